"""One word for one thing: public names use the glossary's words and not their rivals.

The glossary and the words to avoid are those of the design. A name that another system dictates (Airflow's trigger
rules, WfCommons' format, msgspec's and LMDB's interfaces) is on the short list of exceptions, with its reason.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AVOID = {
    "canceled": "cancelled",
    "cancelation": "cancellation",
    "dag": "workflow or plan",
    "dagrun": "run",
    "job": "task, attempt or run",
    "jobs": "tasks, attempts or runs",
    "semaphore": "pool",
    "throttle": "quota or claim",
    "abort": "cancel, stop or kill",
    "aborted": "cancelled or upstream_failed",
    "blocked": "deferred",
    "runnable": "ready",
}
UNITS = re.compile(r"^(ns|ms|seconds|bytes|milli)_[a-z]")
EXCEPTIONS = {
    ("orchctl/importing", "job"): "formats of others are read in their own words",
    ("orchctl/importing", "jobs"): "formats of others are read in their own words",
    ("engine/store", "job"): "what the writer thread is handed: never an attempt or a run, and seen by nobody else",
}
ROOMS = sorted(
    str(path.relative_to(ROOT))
    for top in ("engine", "orchctl")
    for path in (ROOT / top).glob("*")
    if path.is_dir() and path.name != "__pycache__"
)


def _names(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Names that others see, and whether each holds a value: of classes, functions, arguments and fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, False
        elif isinstance(node, ast.arg):
            yield node.arg, True
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, True


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word.lower() for word in spaced.split("_") if word]


def faults_of(source: str, room: str) -> list[str]:
    """What is wrong with the public names of a source text."""
    found: list[str] = []
    for name, holds_value in _names(ast.parse(source)):
        if name.startswith("_"):
            continue
        for word in _words(name):
            if word in AVOID and (room, word) not in EXCEPTIONS:
                found.append(f"{name}: say {AVOID[word]}")
        if holds_value and UNITS.match(name):
            found.append(f"{name}: units go last")
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_speaks_the_words_of_the_glossary(room: str):
    found: list[str] = []
    for file in sorted((ROOT / room).glob("**/*.py")):
        found += [f"{file.relative_to(ROOT)}: {fault}" for fault in faults_of(file.read_text(encoding="utf-8"), room)]
    assert found == []


def test_a_wrong_word_would_be_seen():
    assert faults_of("def start_job(ns_timeout): pass", "engine/core") == [
        "start_job: say task, attempt or run", "ns_timeout: units go last",
    ]  # fmt: skip
    assert faults_of("class JobCanceled: pass", "engine/core") == [
        "JobCanceled: say task, attempt or run", "JobCanceled: say cancelled",
    ]  # fmt: skip


def test_cancelled_is_spelt_with_two_ls_everywhere():
    files = [*ROOT.glob("engine/**/*.py"), *ROOT.glob("orchctl/**/*.py"), *ROOT.glob("*.md"), *ROOT.glob("engine/*.md")]
    wrong = re.compile(r"\bcancel(ed|ing)\b", re.IGNORECASE)
    assert [str(file.relative_to(ROOT)) for file in files if wrong.search(file.read_text(encoding="utf-8"))] == []
