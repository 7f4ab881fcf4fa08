"""Many tasks that are named alike, shown as one: `load_001` to `load_900` are `load_*`, `daily.a` to `daily.z` are
`daily.*`. A definition that lists its tasks one by one is as easy to look at as one with a `for_each`.

What is folded follows from the names alone, so it stays the same while the tasks run. Tasks with rows of their own are
never folded, and neither are fewer than `FOLD_MIN`.
"""

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, cast

from engine.core.state import RunState
from engine.model.instants import optional_text
from engine.model.status import TaskStatus
from engine.planning.plan import Plan
from engine.protocol.rows import GroupRow

FOLD_MIN = 10
_NAMED = 3
_DIGITS = "0123456789"
_STATUSES = tuple(TaskStatus)
_WORST = (
    TaskStatus.RUNNING, TaskStatus.BACKING_OFF, TaskStatus.READY, TaskStatus.WAITING, TaskStatus.FAILED,
    TaskStatus.UPSTREAM_FAILED, TaskStatus.CANCELLED, TaskStatus.SUCCEEDED, TaskStatus.SKIPPED,
)  # fmt: skip
"""The first of these that a member has is the status of all."""

Item = int | list[int]
"""A task, or several that are shown as one."""


def stem_of(name: str) -> str:
    """What a name has in common with those that are folded with it; empty where there is nothing."""
    head = name.rstrip(_DIGITS)
    if head and head != name:
        return f"{head}*"
    parent = name.rpartition(".")[0]
    return f"{parent}.*" if parent else ""


def filter_of(stem: str) -> str:
    """The filter that lets through the tasks of a stem."""
    head = re.escape(stem.removesuffix("*")).replace("\\-", "-")
    return f"~^{head}[^.]*$" if stem.endswith(".*") else f"~^{head}[0-9]*$"


def folded(plan: Plan, tasks: Sequence[int]) -> list[Item]:
    """The tasks in their order, those that are named alike at the place of their first."""
    names, mapped = plan.names, set(plan.mapped)
    stems = ["" if task in mapped else stem_of(names[task]) for task in tasks]
    members: dict[str, list[int]] = {}
    for task, stem in zip(tasks, stems, strict=True):
        if stem:
            members.setdefault(stem, []).append(task)
    items: list[Item] = []
    for task, stem in zip(tasks, stems, strict=True):
        alike = members.get(stem, [])
        if len(alike) < FOLD_MIN:
            items.append(task)
        elif alike[0] == task:
            items.append(members[stem])
    return items


def fold_row(run: RunState, tasks: list[int], depth: int) -> GroupRow:
    """Several tasks as one row: counts by status, when they began and ended, and a few names."""
    pick = cast("Callable[[Any], tuple[int, ...]]", itemgetter(*tasks))
    statuses = bytes(pick(run.status))
    counts = {status.text: count for status in _STATUSES if (count := statuses.count(status))}
    status = next(status for status in _WORST if status.text in counts)
    stem = stem_of(run.plan.names[tasks[0]])
    began = min((at for at in pick(run.started) if at), default=0)
    return GroupRow(
        task=stem, status=status.text, mapped=True, rows=len(tasks), tasks=counts, depth=depth, fold=filter_of(stem),
        started_at=optional_text(began), running=_some(run, tasks, statuses, TaskStatus.RUNNING),
        finished_at=optional_text(max(pick(run.finished))) if status.finished else None,
        failed=_some(run, tasks, statuses, TaskStatus.FAILED),
    )  # fmt: skip


def _some(run: RunState, tasks: list[int], statuses: bytes, status: TaskStatus) -> tuple[str, ...]:
    """A few of the tasks that have a status."""
    found: list[str] = []
    at = statuses.find(status)
    while at >= 0 and len(found) < _NAMED:
        found.append(run.plan.names[tasks[at]])
        at = statuses.find(status, at + 1)
    return tuple(found)
