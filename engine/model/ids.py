"""Names and numbers by which things are called, and their text forms.

A run is a number, shown as `r12`, and so is a backfill, shown as `b3`. A row is one task of a run, or one item of its
`for_each`, shown as `clean` or `clean[3]`. An attempt is a number that is unique within an instance of the state; the
instance is random and drawn anew by `restore`, so an attempt of another life is never taken for one of ours.
"""

import re

from engine.model.errors import ValueFault

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_NAME = re.compile(NAME_PATTERN)
_RUN = re.compile(r"r?([1-9]\d{0,17})")
_BACKFILL = re.compile(r"b([1-9]\d{0,17})")
_ROW = re.compile(rf"({NAME_PATTERN})(?:\[(\d{{1,7}})\])?")

NO_INDEX = -1
"""The index of a row that is no item of a `for_each`."""


def is_name(text: str) -> bool:
    """Whether the text may name a workflow, task, pool or parameter."""
    return _NAME.fullmatch(text) is not None


def run_text(run: int) -> str:
    """`r12`."""
    return f"r{run}"


def parse_run(text: str) -> int:
    """The number of `r12` or `12`. Raises ValueFault."""
    match = _RUN.fullmatch(text)
    if match is None:
        raise ValueFault(f"{text!r} is not a run", "runs are written like r12; `orchctl runs` lists them")
    return int(match[1])


def backfill_text(backfill: int) -> str:
    """`b3`."""
    return f"b{backfill}"


def parse_backfill(text: str) -> int:
    """The number of `b3`. Raises ValueFault."""
    match = _BACKFILL.fullmatch(text)
    if match is None:
        raise ValueFault(f"{text!r} is not a backfill", "backfills are written like b3; `orchctl backfills` lists them")
    return int(match[1])


def row_text(task: str, index: int) -> str:
    """`clean[3]`, or `clean` for a task without `for_each`."""
    return task if index == NO_INDEX else f"{task}[{index}]"


def parse_row(text: str) -> tuple[str, int]:
    """The task and index that `clean[3]` or `clean` names. Raises ValueFault."""
    match = _ROW.fullmatch(text)
    if match is None:
        raise ValueFault(f"{text!r} is not a task", "tasks are written like clean or clean[3]")
    return match[1], int(match[2]) if match[2] is not None else NO_INDEX
