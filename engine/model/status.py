"""The states of runs, tasks, attempts and backfills, and how an attempt can end.

The numbers are stored in columns of bytes, so they are never reused or renumbered; the names are what people and
`--json` see.
"""

from enum import IntEnum

import msgspec

from engine.model.instants import SECOND
from engine.model.resources import size_text


class _Status(IntEnum):
    @property
    def text(self) -> str:
        return self.name.lower()


class RunStatus(_Status):
    """A retry or rerun reopens a finished run."""

    QUEUED = 0
    RUNNING = 1
    PAUSED = 2
    CANCELLING = 3
    SUCCEEDED = 4
    FAILED = 5
    CANCELLED = 6

    @property
    def finished(self) -> bool:
        return self >= RunStatus.SUCCEEDED


class TaskStatus(_Status):
    """The status of one row: a task, or one item of its `for_each`. Deferred is not a status but a list of reasons."""

    WAITING = 0
    READY = 1
    RUNNING = 2
    BACKING_OFF = 3
    SUCCEEDED = 4
    FAILED = 5
    SKIPPED = 6
    UPSTREAM_FAILED = 7
    CANCELLED = 8

    @property
    def finished(self) -> bool:
        return self >= TaskStatus.SUCCEEDED


class AttemptStatus(_Status):
    ORDERED = 0
    RUNNING = 1
    SUSPENDED = 2
    STOPPING = 3
    EXITED = 4
    LOST = 5


class BackfillStatus(_Status):
    """Done and cancelled ones make nothing more; one that is done goes on when a run of it is reopened."""

    RUNNING = 0
    PAUSED = 1
    DONE = 2
    CANCELLED = 3

    @property
    def finished(self) -> bool:
        return self >= BackfillStatus.DONE


class OutcomeKind(_Status):
    SUCCEEDED = 0
    FAILED = 1
    SIGNALLED = 2
    TIMED_OUT = 3
    OVER_QUOTA = 4
    CANCELLED = 5
    NOT_STARTED = 6
    LOST = 7


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """How an attempt ended. `which`, `used`, `limit` belong to over_quota; `why` explains what a code cannot."""

    kind: OutcomeKind
    exit_code: int | None = None
    signal: int | None = None
    why: str = ""
    exception: str = ""
    which: str = ""
    used: int = 0
    limit: int = 0

    @property
    def text(self) -> str:
        """`failed`, or `over_quota.memory`: the words that `retry.on` uses."""
        return f"{self.kind.text}.{self.which}" if self.which else self.kind.text

    def sentence(self) -> str:
        """For people: `failed: exit 3`, `signalled: signal 11`, `over_quota.memory: used 16.1G of 16.0G`."""
        details: list[str] = []
        if self.exit_code:
            details.append(f"exit {self.exit_code}")
        if self.signal is not None:
            details.append(f"signal {self.signal}")
        if self.limit:
            details.append(f"used {_amount(self.which, self.used)} of {_amount(self.which, self.limit)}")
        if self.exception:
            details.append(self.exception)
        if self.why:
            details.append(self.why)
        return ": ".join([self.text, ", ".join(details)]) if details else self.text


def _amount(which: str, value: int) -> str:
    if which in ("memory", "disk", "log"):
        return size_text(value)
    return f"{value / SECOND:.4g} s" if which in ("cpu_time", "silence") else str(value)


SUCCESS = Outcome(OutcomeKind.SUCCEEDED, exit_code=0)
