"""The tables of states: for each cause, from which status to which. Everything that may happen to a run, a row, an
attempt or a backfill is a line here; what is not here is illegal, raises, and changes nothing. ARCHITECTURE.md shows
these tables.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import TypeVar

from engine.model.errors import IllegalTransition
from engine.model.status import AttemptStatus, BackfillStatus, RunStatus, TaskStatus

Status = TypeVar("Status", bound=IntEnum)
Table = Mapping[str, Mapping[Status, Status]]

_T, _R, _A, _B = TaskStatus, RunStatus, AttemptStatus, BackfillStatus
_UNTOUCHED = (_T.WAITING, _T.READY, _T.BACKING_OFF)
_FINAL = (_T.SUCCEEDED, _T.FAILED, _T.SKIPPED, _T.UPSTREAM_FAILED, _T.CANCELLED)


def _all(sources: tuple[Status, ...], target: Status) -> dict[Status, Status]:
    return dict.fromkeys(sources, target)


TASK: Table[TaskStatus] = {
    "released": {_T.WAITING: _T.READY},
    "ordered": {_T.READY: _T.RUNNING},
    "returned": {_T.RUNNING: _T.READY},
    "ordered_on_success": {_T.WAITING: _T.RUNNING},
    "withdrawn": {_T.RUNNING: _T.WAITING},
    "backed_off": {_T.RUNNING: _T.BACKING_OFF},
    "delay_over": {_T.BACKING_OFF: _T.READY},
    "succeeded": {_T.RUNNING: _T.SUCCEEDED},
    "failed": {_T.RUNNING: _T.FAILED, _T.WAITING: _T.FAILED, _T.READY: _T.FAILED},
    "skipped": {_T.WAITING: _T.SKIPPED},
    "upstream_failed": {_T.WAITING: _T.UPSTREAM_FAILED},
    "cancelled": _all((*_UNTOUCHED, _T.RUNNING), _T.CANCELLED),
    "reopened": _all((*_FINAL, *_UNTOUCHED), _T.WAITING),
    "marked_succeeded": _all((*_FINAL, *_UNTOUCHED), _T.SUCCEEDED),
    "marked_failed": _all((*_FINAL, *_UNTOUCHED), _T.FAILED),
}

ATTEMPT: Table[AttemptStatus] = {
    "started": {
        _A.ORDERED: _A.RUNNING,
        _A.RUNNING: _A.RUNNING,
        _A.SUSPENDED: _A.SUSPENDED,
        _A.STOPPING: _A.STOPPING,
    },
    "stop_ordered": _all((_A.ORDERED, _A.RUNNING, _A.SUSPENDED, _A.STOPPING), _A.STOPPING),
    "suspended": {_A.RUNNING: _A.SUSPENDED, _A.SUSPENDED: _A.SUSPENDED, _A.STOPPING: _A.STOPPING},
    "resumed": {_A.SUSPENDED: _A.RUNNING, _A.RUNNING: _A.RUNNING, _A.STOPPING: _A.STOPPING},
    "never_started": {_A.ORDERED: _A.EXITED, _A.STOPPING: _A.EXITED},
    "exited": _all((_A.ORDERED, _A.RUNNING, _A.SUSPENDED, _A.STOPPING), _A.EXITED),
    "lost": _all((_A.ORDERED, _A.RUNNING, _A.SUSPENDED, _A.STOPPING), _A.LOST),
}

RUN: Table[RunStatus] = {
    "started": {_R.QUEUED: _R.RUNNING},
    "paused": {_R.QUEUED: _R.PAUSED, _R.RUNNING: _R.PAUSED},
    "resumed": {_R.PAUSED: _R.RUNNING},
    "resumed_waiting": {_R.PAUSED: _R.QUEUED},
    "cancel_requested": _all((_R.QUEUED, _R.RUNNING, _R.PAUSED, _R.CANCELLING), _R.CANCELLING),
    "succeeded": {_R.RUNNING: _R.SUCCEEDED, _R.PAUSED: _R.SUCCEEDED, _R.CANCELLING: _R.SUCCEEDED},
    "failed": {_R.RUNNING: _R.FAILED, _R.PAUSED: _R.FAILED, _R.CANCELLING: _R.FAILED},
    "cancelled": {_R.RUNNING: _R.CANCELLED, _R.PAUSED: _R.CANCELLED, _R.CANCELLING: _R.CANCELLED},
    "reopened": _all((_R.SUCCEEDED, _R.FAILED, _R.CANCELLED), _R.RUNNING),
}


BACKFILL: Table[BackfillStatus] = {
    "paused": {_B.RUNNING: _B.PAUSED},
    "resumed": {_B.PAUSED: _B.RUNNING},
    "cancelled": _all((_B.RUNNING, _B.PAUSED), _B.CANCELLED),
    "done": _all((_B.RUNNING, _B.PAUSED), _B.DONE),
    "reopened": {_B.DONE: _B.RUNNING},
}


def after(table: Table[Status], status: Status, cause: str) -> Status:
    """The status that follows. Raises IllegalTransition where the table has no such line."""
    try:
        return table[cause][status]
    except KeyError:
        raise IllegalTransition(f"{status.name.lower()} cannot become {cause}") from None
