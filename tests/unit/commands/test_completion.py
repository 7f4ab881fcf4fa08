"""The Tab key: words from the table, the parsers and the engine; and scripts that their shells accept."""

import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from engine.protocol.messages import ListBackfills, ListGroups, ListRuns, ListWorkflows
from engine.protocol.rows import WorkflowRow
from tests.support.cli import orchctl
from tests.support.fake_engine import FakeEngine, rows_of
from tests.support.rows import backfill_row, group_row, run_row


@pytest.fixture
def engine(tmp_path: Path) -> Generator[FakeEngine]:
    with FakeEngine(tmp_path) as fake:
        fake.answers[ListRuns] = rows_of(run_row(), run_row(run="r11"))
        fake.answers[ListGroups] = rows_of(group_row(), group_row(task="$(reboot)\x1b[2J"))
        fake.answers[ListWorkflows] = rows_of(WorkflowRow(workflow="orders", version="a", paused=False, tasks=1))
        fake.answers[ListBackfills] = rows_of(backfill_row(backfill="b3"), backfill_row(backfill="b1", status="done"))
        yield fake


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ex"], ["explain"]),
        (["engine", "st"], ["start", "stop", "status"]),
        (["import", ""], ["wfcommons"]),
        (["runs", "--s"], ["--status"]),
        (["engine", "stop", "--"], ["--drain", "--help", "--home", "--json", "--kill", "--yes"]),
        (["show", ""], ["latest", "r12", "r11"]),
        (["show", "r"], ["r12", "r11"]),
        (["pause", "o"], ["orders"]),
        (["cancel", "b"], ["b3"]),
        (["trigger", ""], ["orders"]),
        (["logs", "r12", ""], ["clean"]),
        (["cancel", "r12", "clean", "cl"], ["clean"]),
        (["completion", "z"], ["zsh"]),
        (["tasks", "--status", "failed", "l"], ["latest"]),
        (["runs", "--status", "q"], ["queued"]),
        (["runs", "--workflow", ""], ["orders"]),
        (["show", "r12", "--at", ""], []),
        (["--home", "nowhere", "sho"], ["show"]),
        (["--home", "nowhere", "show", ""], []),
        (["--home", ""], []),
        (["validate", ""], []),
        (["nonsense", ""], []),
    ],
)
def test_words_complete(engine: FakeEngine, words: list[str], expected: list[str]) -> None:
    result = orchctl(engine.home, "completion", f"--last=:{words[-1]}", "words", "--", *words[:-1])
    assert (result.code, result.out.splitlines()) == (0, expected)


def test_without_an_engine_nothing_is_offered_and_nothing_said(tmp_path: Path) -> None:
    assert orchctl(tmp_path, "completion", "words", "--", "show") == (0, "", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_one_that_it_reads(tmp_path: Path, shell: str) -> None:
    script = orchctl(tmp_path, "completion", shell).out
    assert "orchctl completion " in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True, timeout=20)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_by_the_script(engine: FakeEngine, tmp_path: Path) -> None:
    import sys

    script = orchctl(engine.home, "completion", "bash").out
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "orchctl").write_text(f'#!/bin/sh\nexec {sys.executable} -m orchctl --home {engine.home} "$@"\n')
    (fake / "orchctl").chmod(0o755)
    ask = (
        f'PATH={fake}:$PATH\n{script}\nCOMP_WORDS=(orchctl show r); COMP_CWORD=2; _orchctl; echo "${{COMPREPLY[@]}}"\n'
    )
    done = subprocess.run(["bash"], input=ask, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "r12 r11\n"
