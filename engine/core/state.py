"""What the machine knows: runs, live attempts, workflows, the clock's last reading.

A run's rows are columns (arrays), not objects. The first len(plan) rows belong to the tasks of the plan in order; the
rows of a `for_each` are appended when its items are known, so `first_row[task]` and `row_count[task]` locate them. A
mapped task has no row of its own: its first_row is -1 until it is expanded. What can be derived (counts, unmet needs,
ledger, ready queue) is rebuilt from the columns at start and never stored.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from engine.core.events import Actor, LogSlice, Measured, Usage
from engine.model.ids import NO_INDEX, row_text, run_text
from engine.model.resources import UNBOUND, Binding, Capacity, Claim
from engine.model.status import AttemptStatus, BackfillStatus, Outcome, RunStatus, TaskStatus
from engine.planning.paths import UNKNOWN_NS
from engine.planning.plan import Plan

CHUNK_ROWS = 128
"""Rows that are stored together: 128 rows of 21 bytes stay below one page of the store."""

ROWS_LOOKED_AT = 100_000
NOT_FINAL = 255
WHOLE_RUN = ""
"""The name under which settings stand that concern all tasks of a run."""

BACKFILL = "backfill"
"""The trigger of runs that a backfill makes."""

_STATUSES = len(TaskStatus)
_FINISHED = [status for status in TaskStatus if status.finished]


def chunks_of(rows: range) -> range:
    """The chunks in which consecutive rows lie."""
    return range(rows.start // CHUNK_ROWS, (rows.stop - 1) // CHUNK_ROWS + 1)


class Pause(msgspec.Struct, array_like=True):
    """Of an attempt that was told to stand still once (see `standstill`). `turn` counts the orders to stand still and
    to go on: only the answer to the newest one says how things are.

    `released`: its CPUs are given back until it goes on. `waits`: it goes on by itself as soon as there is room, else
    it was paused by an operator. `for_row` is the (run, task, index) that it made room for; `memory_bytes` what it
    occupied when it last stood still.
    """

    turn: int = 0
    released: bool = False
    waits: bool = False
    for_row: tuple[int, int, int] | None = None
    memory_bytes: int = 0


class Attempt(msgspec.Struct):
    """One try of one row. `number` counts the row's tries from 1; instants are ns, 0 is "not yet".

    With a `count` it is a *block*, an order for that many rows from `index` on, which one worker runs one after
    another with one claim: the attempts of its rows are `attempt`, `attempt + 1` and so on. `done` of them have ended,
    those from `limit` on were given back. While it lives, `finished_ns` is when the newest of them ended, `log` what
    they wrote, and `stops` says which rows were told to stop, by offset, and how.

    `frozen` is what is wanted: that it stands still. Whether it does, its status says, which follows the launcher's
    reports. `still_ns` is how long it has stood still so far, without the present time, which began at
    `still_since_ns`. `levels` says how each of its quotas is enforced.
    """

    attempt: int
    run: int
    task: int
    index: int
    number: int
    claim: Claim
    status: AttemptStatus = AttemptStatus.ORDERED
    ordered_ns: int = 0
    started_ns: int = 0
    finished_ns: int = 0
    pid: int = 0
    start_ticks: int = 0
    claim_from: int = 0
    stop: str = ""
    outcome: Outcome | None = None
    usage: Usage = Usage()
    log: LogSlice = LogSlice()
    count: int = 1
    done: int = 0
    limit: int = 1
    stops: dict[int, str] = {}
    binding: Binding = UNBOUND
    """Where its claim is held; a follower's is that of the attempt that it takes over from."""
    frozen: bool = False
    still_ns: int = 0
    still_since_ns: int = 0
    levels: tuple[tuple[str, str], ...] = ()
    measured: Measured | None = None
    on_success: bool = False
    """It starts only if `claim_from` has succeeded: until then its row may have to wait again."""
    pause: Pause | None = None

    @property
    def released(self) -> bool:
        """Whether it stands still and has given its CPUs back."""
        return self.pause is not None and self.pause.released

    @property
    def paused(self) -> bool:
        """Whether it is to stand still until an operator says otherwise."""
        return self.frozen and (self.pause is None or not self.pause.waits)

    @property
    def held(self) -> Claim:
        """What of its claim it holds now."""
        return self.claim.kept_part if self.released else self.claim

    @property
    def to_end(self) -> bool:
        """Whether it was told to stop for good, and not only to make room."""
        return self.stop in ("cancelled", "killed")

    @property
    def is_block(self) -> bool:
        return self.count > 1

    @property
    def took_ns(self) -> int:
        """How long it ran, of an attempt that has ended, without the time that it stood still."""
        return self.finished_ns - self.started_ns - self.still_ns

    @property
    def newest_ns(self) -> int:
        """When something of it was last heard: its order, its start, the end of one of its rows."""
        return self.finished_ns or self.started_ns or self.ordered_ns

    def of_row(self, offset: int) -> "Attempt":
        """The attempt of one row of a block that has not ended: the first of these runs, if the block has begun."""
        runs = offset == self.done and self.status is not AttemptStatus.ORDERED
        log = self.log
        return Attempt(
            self.attempt + offset, self.run, self.task, self.index + offset, self.number, self.claim,
            self.status if runs else AttemptStatus.ORDERED, self.ordered_ns,
            (self.finished_ns or self.started_ns) if runs else 0, 0, self.pid if runs else 0,
            self.start_ticks if runs else 0, self.claim_from, self.stops.get(offset, ""),
            log=LogSlice(log.path, log.offset + log.length) if runs else LogSlice(), binding=self.binding,
            frozen=self.frozen and runs, pause=self.pause if runs else None,
        )  # fmt: skip

    @property
    def live(self) -> bool:
        return self.status < AttemptStatus.EXITED


class Settings(msgspec.Struct, frozen=True, array_like=True):
    """What was changed for a task of one run while it went on; None: as the definition says."""

    priority: int | None = None
    max_parallel: int | None = None
    tolerate: int | None = None


def changed_settings(
    before: Mapping[str, Settings], task: str, values: Mapping[str, int | None]
) -> dict[str, Settings]:
    """The settings of a run with those of a task (or WHOLE_RUN) changed. What says nothing is not kept."""
    own = msgspec.structs.replace(before.get(task, Settings()), **values)
    others = {name: settings for name, settings in before.items() if name != task}
    return others if own == Settings() else {**others, task: own}


class RunHeader(msgspec.Struct, kw_only=True):
    """The part of a run that is one record."""

    run: int
    workflow: str
    version: str
    params: dict[str, Any]
    status: RunStatus = RunStatus.QUEUED
    trigger: str = "manual"
    due_ns: int = 0
    note: str = ""
    actor: Actor = Actor()
    queued_ns: int = 0
    started_ns: int = 0
    finished_ns: int = 0
    paused_from: RunStatus | None = None
    killed: bool = False
    partition: str = ""
    """The local date that the run is for."""
    rows: int = 0
    tasks: list[tuple[int, int, int, int]] = []
    """Of each mapped task: its index, first row (-1: not expanded), row count, and its final status or 255."""
    grown: dict[int, dict[str, int]] = msgspec.field(default_factory=dict[int, dict[str, int]], name="grown_by")
    """Rows whose attempts went over quotas that grow, with how often by resource."""
    repeated: dict[int, int] = {}
    """Rows whose trials were disturbed and went again, with how often."""
    tries_before: dict[int, int] = {}
    """Mapped tasks that were expanded anew, with the most tries that a row had before: numbers are never used twice."""
    outcomes: dict[int, tuple[str, int | None]] = {}
    """Of tasks that an expression downstream may look at: how the last attempt ended, and its exit code."""
    whys: dict[int, str] = {}
    """Rows (or, negative, ~task) whose final status no attempt explains, with the sentence. Bounded."""
    counts: list[int] = msgspec.field(default_factory=lambda: [0] * _STATUSES)
    backfill: int = 0
    """Which backfill made it, 0 for none."""
    settings: dict[str, Settings] = {}
    """By the task's name, or WHOLE_RUN: what was changed for this run."""


class RunState:
    """A run in memory. `header` is what is stored of it beside its rows."""

    def __init__(self, header: RunHeader, plan: Plan) -> None:
        tasks = len(plan)
        self.header = header
        self.plan = plan
        self.first_row = array("q", range(tasks))
        self.row_count = array("q", [1]) * tasks
        self.task_final = bytearray([NOT_FINAL]) * tasks
        self.up_success = array("I", bytes(4 * tasks))
        self.up_failed = array("I", bytes(4 * tasks))
        self.up_skipped = array("I", bytes(4 * tasks))
        self.status = bytearray(tasks)
        self.tries = array("H", bytes(2 * tasks))
        self.failures = bytearray(tasks)
        self.losses = bytearray(tasks)
        self.started = array("q", bytes(8 * tasks))
        self.finished = array("q", bytes(8 * tasks))
        """When the row ended; while it backs off, when its delay is over."""
        self.items: dict[int, Sequence[Any]] = {}
        self.results: dict[tuple[int, int], Any] = {}
        self.live: dict[int, int] = {}
        """Live attempts by row."""
        self.live_of_task: dict[int, int] = {}
        self.mapped_counts: dict[int, list[int]] = {}
        self.unfinished_tasks = tasks
        self.paths_ns: array[int] | None = None
        """By task, the expected time to the end of the run, where an earlier run of the version tells; not stored."""
        self.owner_of_row: list[tuple[int, int]] = []
        """(first row, task) of each expansion, ascending, to find the task of an appended row."""
        self.trust = 1
        """So many tasks may be ordered on success behind each other: as many as succeeded since one came back."""
        self.parked: list[Any] = []
        """Entries of the ready queue that wait for the run to be resumed."""
        for task in plan.mapped:
            self.first_row[task] = -1
            self.row_count[task] = 0
            self.mapped_counts[task] = [0] * _STATUSES
        header.counts = [0] * _STATUSES
        header.counts[TaskStatus.WAITING] = tasks - len(self.mapped_counts)

    @property
    def run(self) -> int:
        return self.header.run

    @property
    def owner(self) -> str:
        """Whose share of the host its attempts count against."""
        return self.plan.workflow.owner or self.header.actor.name

    @property
    def unfinished(self) -> bool:
        return not self.header.status.finished

    def weight(self, task: int) -> int:
        """How far the task is from the end of the run (ns): what is farther goes first."""
        return self.paths_ns[task] if self.paths_ns is not None else self.plan.weight[task] * UNKNOWN_NS

    def took_ns(self) -> list[int]:
        """By task, from its first start to its last end; 0 where it did not run, or has too many rows to look at."""
        spans = zip(self.started[: len(self.plan)], self.finished[: len(self.plan)], strict=True)
        found = [max(finished - started, 0) if started else 0 for started, finished in spans]
        for task in self.mapped_counts:
            rows = self.rows_of(task)
            starts = [at for at in self.started[rows.start : rows.stop] if at] if len(rows) <= ROWS_LOOKED_AT else []
            found[task] = max(max(self.finished[rows.start : rows.stop]) - min(starts), 0) if starts else 0
        return found

    def alike(self, task: int) -> tuple[str, str | int]:
        """What tells attempts that take about as long as each other: rows of a task, and tasks of one program."""
        return self.header.version, task if task in self.mapped_counts else self.plan.programs[task]

    def max_parallel(self, task: int) -> int:
        """The most orders of the task at one time; 0 is no limit."""
        own = self.header.settings.get(self.plan.names[task]) if self.header.settings else None
        return self.plan.max_parallel[task] if own is None or own.max_parallel is None else own.max_parallel

    def priority(self, task: int) -> int:
        """Higher goes first."""
        for key in (self.plan.names[task], WHOLE_RUN) if self.header.settings else ():
            own = self.header.settings.get(key)
            if own is not None and own.priority is not None:
                return own.priority
        return self.plan.policy(task).priority

    def tolerated(self, task: int) -> int:
        """How many rows of an expanded task may fail before it has failed."""
        own = self.header.settings.get(self.plan.names[task]) if self.header.settings else None
        if own is not None and own.tolerate is not None:
            return own.tolerate
        spec = self.plan.tasks[task]
        return max(spec.tolerate, int(self.row_count[task] * spec.tolerate_percent / 100))

    def row(self, task: int, index: int) -> int:
        """The row of a task's item; NO_INDEX names the only row of a task without `for_each`."""
        return self.first_row[task] + (index if index != NO_INDEX else 0)

    def place(self, row: int) -> tuple[int, int]:
        """(task, index) of a row."""
        if row < len(self.plan):
            return row, NO_INDEX
        low, high = 0, len(self.owner_of_row)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.owner_of_row[middle][0] <= row else (low, middle)
        first, task = self.owner_of_row[low]
        return task, row - first

    def rows_of(self, task: int) -> range:
        first = self.first_row[task]
        return range(first, first + self.row_count[task]) if first >= 0 else range(0)

    def text(self, task: int, index: int) -> str:
        """`clean[3]`."""
        return row_text(self.plan.names[task], index)

    def append_rows(self, task: int, count: int) -> int:
        """Room for the rows of an expansion, all waiting. Returns the first row."""
        first = len(self.status)
        before = self.header.tries_before.get(task, 0)
        self.first_row[task] = first
        self.row_count[task] = count
        self.status.extend(bytes(count))
        self.tries.extend(array("H", [before]) * count)
        self.failures.extend(bytes(count))
        self.losses.extend(bytes(count))
        self.started.extend(array("q", bytes(8 * count)))
        self.finished.extend(array("q", bytes(8 * count)))
        if count:
            self.owner_of_row.append((first, task))
        counts = self.mapped_counts[task]
        counts[TaskStatus.WAITING] += count
        self.header.counts[TaskStatus.WAITING] += count
        return first

    def drop_rows(self, task: int) -> None:
        """Forget an expansion; its rows stay as unused room, cancelled so that no queue or timer takes them up."""
        rows = self.rows_of(task)
        counts = self.mapped_counts[task]
        for status, count in enumerate(counts):
            self.header.counts[status] -= count
            counts[status] = 0
        if rows:
            self.header.tries_before[task] = max(self.tries[rows.start : rows.stop])
            self.status[rows.start : rows.stop] = bytes([TaskStatus.CANCELLED]) * len(rows)
        self.first_row[task] = -1
        self.row_count[task] = 0
        self.items.pop(task, None)

    def set_status(self, row: int, task: int, status: TaskStatus) -> None:
        """Move a row, and keep the counts. Whether it may move so is `transitions`' business."""
        old = self.status[row]
        self.status[row] = status
        counts = self.header.counts
        counts[old] -= 1
        counts[status] += 1
        mapped = self.mapped_counts.get(task)
        if mapped is not None:
            mapped[old] -= 1
            mapped[status] += 1

    def set_rows(self, rows: range, task: int, before: TaskStatus, after: TaskStatus) -> None:
        """As `set_status`, for consecutive rows of an expanded task that are all of one status."""
        self.status[rows.start : rows.stop] = bytes((after,)) * len(rows)
        for counts in (self.header.counts, self.mapped_counts[task]):
            counts[before] -= len(rows)
            counts[after] += len(rows)

    def rows_finished(self, task: int) -> bool:
        """Whether all rows of an expanded task are final."""
        counts = self.mapped_counts.get(task)
        if counts is None:
            return self.status[task] >= TaskStatus.SUCCEEDED
        return sum(counts[status] for status in _FINISHED) == self.row_count[task]

    def task_status(self, task: int) -> TaskStatus:
        """One status for a task with all its rows, for people and for graphs."""
        final = self.task_final[task]
        if final != NOT_FINAL:
            return TaskStatus(final)
        counts = self.mapped_counts.get(task)
        if counts is None:
            return TaskStatus(self.status[task])
        for status in (TaskStatus.RUNNING, TaskStatus.READY, TaskStatus.BACKING_OFF):
            if counts[status]:
                return status
        return TaskStatus.RUNNING if any(counts[status] for status in _FINISHED) else TaskStatus.WAITING

    def task_counts(self, task: int) -> list[int]:
        """Rows of the task by status. A mapped task that is not expanded has none."""
        counts = self.mapped_counts.get(task)
        if counts is not None:
            return list(counts)
        single = [0] * _STATUSES
        single[self.status[task]] = 1
        return single

    def mapped_tasks(self) -> list[tuple[int, int, int, int]]:
        """What the header keeps of each mapped task."""
        return [
            (task, self.first_row[task], self.row_count[task], self.task_final[task]) for task in self.mapped_counts
        ]


class WorkflowEntry(msgspec.Struct, kw_only=True):
    """A workflow that was added: its current version and what its schedules have come to."""

    name: str
    version: str
    paused: bool = False
    added_ns: int = 0
    cursors: list[int] = []
    """Of each schedule, the instant up to which due times have been dealt with (wall clock)."""
    next_due: list[int] = []
    """Of each schedule, its next due instant; 0 means never."""
    waiting: list[int] = []
    """Queued runs that wait for an earlier one, oldest first."""
    active: list[int] = []
    """Runs that are not finished, without the waiting ones and those that a backfill made."""


class Backfill(msgspec.Struct, kw_only=True):
    """Runs for partitions of the past, made one after the other as earlier ones end."""

    backfill: int
    workflow: str
    version: str
    params: dict[str, Any] = {}
    status: BackfillStatus = BackfillStatus.RUNNING
    first_ns: int
    last_ns: int
    order: str
    reprocess: str
    max_active: int
    actor: Actor = Actor()
    note: str = ""
    made_ns: int = 0
    finished_ns: int = 0
    partitions: int = 0
    """How many it is about, without those that were left out."""
    left_out: int = 0
    pending: list[int] = []
    """Due instants that have no run yet; the last comes next."""
    active: list[int] = []
    """Its runs that are not finished."""
    ended: dict[str, int] = {}
    """How many of its runs have ended, by status."""


class Meta(msgspec.Struct, kw_only=True):
    """Counters and identities of the state. `instance` is random and drawn anew by a restore."""

    instance: int
    seed: int
    epoch: int = 0
    boot_id: str = ""
    revision: int = 0
    next_run: int = 1
    next_attempt: int = 1
    next_backfill: int = 1
    now_ns: int = 0
    read_only: bool = False
    usage: list[tuple[str, float, int]] = []
    """What each owner had used (host-seconds, decayed) at an instant: kept once in a while."""


class EngineState:
    """All live state. Finished runs are not in it: they are loaded by whoever reopens them."""

    def __init__(self, meta: Meta, capacity: Capacity, weights: Mapping[str, float] | None = None) -> None:
        """`weights` are those of the owners in the order of the queue; who is not named has 1."""
        self.meta = meta
        self.capacity = capacity
        self.weights = dict(weights or {})
        self.plans: dict[str, Plan] = {}
        self.runs: dict[int, RunState] = {}
        self.attempts: dict[int, Attempt] = {}
        self.workflows: dict[str, WorkflowEntry] = {}
        self.backfills: dict[int, Backfill] = {}
        """All that go on and the newest of the others, by number."""
        self.requests: dict[str, dict[str, Any]] = {}
        """Answers to the newest requests by their ids, oldest first: a repeat gets the same answer."""

    def attempt_of_row(self, run: RunState, row: int) -> Attempt | None:
        """The live attempt of a row, None where it has none."""
        number = run.live.get(row)
        attempt = self.attempts.get(number) if number is not None else None
        if attempt is None or not attempt.is_block:
            return attempt
        return attempt.of_row(row - run.row(attempt.task, attempt.index))

    def name_of(self, number: int, task: int, index: int) -> str:
        """`r3 clean[7]`; of a run that is not in memory only its number."""
        run = self.runs.get(number)
        return run_text(number) if run is None else f"{run_text(number)} {run.text(task, index)}"

    def holding(self) -> Iterator[Attempt]:
        """Live attempts that use their claim; the others wait to take one over."""
        return (attempt for attempt in self.attempts.values() if attempt.claim_from not in self.attempts)
