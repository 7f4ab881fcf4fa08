"""Looking back: what the rows of a run were at any past moment, folded from its journal.

The journal holds every fact and decision in order, so the statuses after a batch follow from the events up to it, and
nothing is decided again. A `Replay` takes a run's batches one after the other and can be copied on the way: who goes
back begins at the last copy before the moment that is wanted (`Replays`). The run that it holds has statuses and counts
alone: when things began or ended and what they gave is in the records.
"""

from collections.abc import Iterable, Sequence
from copy import copy

import msgspec

from engine.core.changes import Changes
from engine.core.events import (
    AnyEvent,
    AttemptOrdered,
    BlockOrdered,
    Expanded,
    RetryScheduled,
    RowsReleased,
    RowsSucceeded,
    RowWithdrawn,
    RunFinished,
    RunQueued,
    RunStarted,
    RunStatusChanged,
    SettingsChangeRequested,
    TaskFinished,
    TaskReopened,
)
from engine.core.progress import sum_up
from engine.core.state import NOT_FINAL, RunHeader, RunState, changed_settings
from engine.core.unfold import Place, place_of
from engine.model.ids import NO_INDEX
from engine.model.status import RunStatus, TaskStatus
from engine.planning.plan import Plan

COPIES_MAX = 16
COPY_EVERY = 2_000
"""So many events lie between two copies at first; twice as many whenever there would be too many copies."""

_OF_ROWS = frozenset({
    Expanded, RowsReleased, RowWithdrawn, AttemptOrdered, BlockOrdered, RetryScheduled, RowsSucceeded, TaskFinished,
    TaskReopened,
})  # fmt: skip
"""What says something of rows; most of a journal tells how attempts fared, which no status follows from."""

Placed = tuple[AnyEvent, Place]


class Batch(msgspec.Struct, frozen=True):
    """What a batch of the journal says of one run. `place` is what each event is about."""

    revision: int
    at_ns: int
    events: Sequence[Placed]

    @property
    def weight(self) -> int:
        """About how much work it is."""
        return sum(1 + (event.count // 32 if isinstance(event, RowsSucceeded) else 0) for event, _ in self.events)


class Replay:
    """One run as it was after the batch at `revision`."""

    def __init__(self, header: RunHeader, plan: Plan) -> None:
        """At the beginning, before anything happened to it; `header` says what never changes."""
        fresh = RunHeader(
            run=header.run, workflow=header.workflow, version=header.version, params=header.params,
            trigger=header.trigger, due_ns=header.due_ns, note=header.note, actor=header.actor,
            partition=header.partition, backfill=header.backfill,
        )  # fmt: skip
        self.run = RunState(fresh, plan)
        self.revision = 0
        self.at_ns = 0

    def take(self, batch: Batch) -> None:
        """The next batch that concerns the run."""
        header = self.run.header
        self.revision, self.at_ns = batch.revision, batch.at_ns
        for event, place in batch.events:
            if type(event) in _OF_ROWS:
                self._take_of_task(event, place)
            elif isinstance(event, RunQueued):
                header.queued_ns = batch.at_ns
            elif isinstance(event, RunStarted):
                header.status, header.started_ns = RunStatus.RUNNING, batch.at_ns
            elif isinstance(event, RunStatusChanged):
                header.status, header.finished_ns = event.status, 0
            elif isinstance(event, RunFinished):
                header.status, header.finished_ns = event.status, batch.at_ns
            elif isinstance(event, SettingsChangeRequested):
                header.settings = changed_settings(header.settings, event.task, event.settings)

    def copy(self) -> "Replay":
        """Another that can go on by itself."""
        run, fresh = self.run, copy(self)
        again = fresh.run = copy(run)
        again.header = msgspec.structs.replace(run.header, counts=list(run.header.counts))
        again.status = bytearray(run.status)
        for name in ("tries", "failures", "losses", "started", "finished", "first_row", "row_count", "task_final"):
            setattr(again, name, copy(getattr(run, name)))
        again.mapped_counts = {task: list(counts) for task, counts in run.mapped_counts.items()}
        again.owner_of_row = list(run.owner_of_row)
        return fresh

    # --- what events mean for rows ----------------------------------------------------------------------------------

    def _take_of_task(self, event: AnyEvent, place: Place) -> None:
        run, (_, task, index, _) = self.run, place
        if not 0 <= task < len(run.plan):
            return
        if isinstance(event, Expanded):
            run.append_rows(task, event.count)
            if not event.count:
                run.task_final[task] = sum_up(run, task)
        elif isinstance(event, TaskReopened):
            self._reopen(task, index)
        elif isinstance(event, TaskFinished) and run.first_row[task] < 0:
            run.task_final[task] = event.status
        elif run.first_row[task] >= 0:
            self._take_of_rows(event, task, run.row(task, index))

    def _take_of_rows(self, event: AnyEvent, task: int, row: int) -> None:
        if isinstance(event, RowsReleased):
            self._move(task, range(row, row + event.count), TaskStatus.READY)
        elif isinstance(event, RowWithdrawn):
            self._move(task, range(row, row + 1), TaskStatus.WAITING)
        elif isinstance(event, AttemptOrdered):
            self._move(task, range(row, row + 1), TaskStatus.RUNNING)
        elif isinstance(event, BlockOrdered):
            self._move(task, range(row, row + event.count), TaskStatus.RUNNING)
        elif isinstance(event, RetryScheduled):
            self._move(task, range(row, row + 1), TaskStatus.BACKING_OFF)
        elif isinstance(event, RowsSucceeded):
            self._end(task, range(row + event.offset, row + event.offset + event.count), TaskStatus.SUCCEEDED)
        elif isinstance(event, TaskFinished):
            self._end(task, range(row, row + 1), event.status)

    def _reopen(self, task: int, index: int) -> None:
        run = self.run
        run.task_final[task] = NOT_FINAL
        if task in run.mapped_counts and index == NO_INDEX:
            if run.first_row[task] >= 0:
                run.drop_rows(task)
        elif run.first_row[task] >= 0:
            row = run.row(task, index)
            self._move(task, range(row, row + 1), TaskStatus.WAITING)

    def _end(self, task: int, rows: range, status: TaskStatus) -> None:
        self._move(task, rows, status)
        if self.run.rows_finished(task):
            self.run.task_final[task] = sum_up(self.run, task)

    def _move(self, task: int, rows: range, status: TaskStatus) -> None:
        """Rows get a status, together where they are alike. Where damage has cost events, some may not be known."""
        run = self.run
        known = run.rows_of(task)
        if rows.start < known.start or rows.stop > known.stop:
            rows = range(max(rows.start, known.start), min(rows.stop, known.stop))
        if len(rows) > 1:
            before = TaskStatus(run.status[rows.start])
            if run.status.count(before, rows.start, rows.stop) == len(rows):
                run.set_rows(rows, task, before, status)
                return
        for row in rows:
            run.set_status(row, task, status)


class Replays:
    """One run's past, gone through forth and back. What was gone through once costs little to come back to."""

    def __init__(self, header: RunHeader, plan: Plan) -> None:
        self._begin = Replay(header, plan)
        self.now = self._begin.copy()
        """Where it stands."""
        self._copies: list[Replay] = []
        self._every = COPY_EVERY
        self._since = 0

    @property
    def rows(self) -> int:
        """How much memory it takes, in rows."""
        return len(self.now.run.status) * (2 + len(self._copies))

    def rewind(self, revision: int, at_ns: int) -> None:
        """Go back, if need be, to somewhere that is not after the revision and the instant."""
        if self.now.revision <= revision and self.now.at_ns <= at_ns:
            return
        earlier = [kept for kept in self._copies if kept.revision <= revision and kept.at_ns <= at_ns]
        self.now = (earlier[-1] if earlier else self._begin).copy()
        self._since = 0

    def take(self, batch: Batch) -> None:
        """The next batch; now and then what it leads to is kept."""
        self.now.take(batch)
        self._since += batch.weight
        newest = self._copies[-1].revision if self._copies else 0
        if self._since < self._every or batch.revision <= newest:
            return
        self._since = 0
        self._copies.append(self.now.copy())
        if len(self._copies) > COPIES_MAX:
            self._copies = self._copies[1::2]
            self._every *= 2


def placed(changes: Changes) -> list[Placed]:
    """The events of a batch that was just made, each with what it is about."""
    places = {
        attempt.attempt: (attempt.run, attempt.task, attempt.index, attempt.number)
        for attempt in (*changes.attempts.values(), *changes.ended)
    }
    return [(event, place_of(event, places)) for event in changes.journal]


def batch_of(run: int, revision: int, at_ns: int, events: Iterable[Placed]) -> Batch:
    """The part of a batch that concerns a run."""
    return Batch(revision, at_ns, [entry for entry in events if entry[1][0] == run])
