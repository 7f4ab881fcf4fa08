"""The README's commands are run, in its order, in a home of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.home import ROOT, home

README = (ROOT / "README.md").read_text(encoding="utf-8")


def _files() -> dict[str, str]:
    return dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", README, re.DOTALL))


def _scripts() -> list[str]:
    """Shell blocks, without the two that set up a fresh machine: those are run by hand and by CI."""
    blocks = re.findall(r"(<!-- \w+ command -->\n)?```sh\n(.*?)```", README, re.DOTALL)
    return [text for marked, text in blocks if not marked]


@pytest.mark.e2e
def test_the_commands_of_the_readme_work_in_their_order():
    with home() as place:
        for name, text in _files().items():
            place.file(name, text)
        bin_folder = place.root / "bin"
        bin_folder.mkdir()
        command = bin_folder / "orchctl"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m orchctl "$@"\n')
        command.chmod(0o755)
        environment = {**place.environment, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
        assert len(_scripts()) >= 2
        for script in _scripts():
            done = subprocess.run(
                ["sh", "-e", "-c", script], cwd=place.root, env=environment, capture_output=True, text=True,
                check=False, stdin=subprocess.DEVNULL, timeout=150,
            )  # fmt: skip
            assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


def test_the_readme_names_only_files_that_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_test_command_is_the_one_that_ci_runs():
    script = Path(ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "<!-- test command -->" in script
    assert README.count("<!-- test command -->") == 1
