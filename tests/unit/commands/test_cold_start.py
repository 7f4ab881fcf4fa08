"""A verb starts fast, because it imports nothing that it does not use."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fake_engine import FakeEngine, rows_of
from tests.support.rows import run_row

HEAVY = ("textual", "trio", "asyncio", "yaml", "rich", "uvloop", "psutil", "lmdb", "croniter", "subprocess", "pathlib")
NEEDLESS = ("inspect", "ast", "typing_extensions", "shutil", "bz2", "lzma", "difflib")
"""What the libraries that a verb uses would load, were they left to it."""

PROGRAM = """
import sys
before = set(sys.modules)
from orchctl.commands.dispatch import guarded
code = guarded(sys.argv[1:])
sys.stdout.flush()
sys.stderr.write("\\n" + " ".join(sorted(set(name.split(".")[0] for name in set(sys.modules) - before))))
import typing_extensions  # whoever asks for it still gets it
sys.exit(code)
"""


def modules(*words: str) -> set[str]:
    """What a verb has imported into a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode in (0, 3), done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["runs", "--help"],
        ["run", "--help"],
        ["logs", "--help"],
        ["cancel", "--help"],
        ["compare", "--help"],
        ["engine", "status", "--help"],
        ["version", "--help"],
    ],
)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    assert modules(*words).isdisjoint((*HEAVY, *NEEDLESS))


@pytest.mark.parametrize("words", [["runs"], ["runs", "--json"], ["show", "r12", "--json"], ["engine", "status"]])
def test_a_verb_imports_nothing_heavy(tmp_path: Path, words: list[str]) -> None:
    from engine.protocol.messages import GetRun, ListRuns

    with FakeEngine(tmp_path) as engine:
        engine.answers[ListRuns] = engine.answers[GetRun] = rows_of(run_row())
        assert modules("--home", str(tmp_path), *words).isdisjoint((*HEAVY, *NEEDLESS))


def test_the_overview_does_not_even_import_msgspec() -> None:
    assert "msgspec" not in modules("--help")
