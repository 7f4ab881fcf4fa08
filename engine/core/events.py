"""Facts, in the past tense: what may come into the machine, and what the machine decided because of it.

Both are written to the journal in the order in which they happened, which is what `orchctl events` shows. The first
family comes from the world (requests, launchers, timers); the second are the machine's decisions, written down so that
a restart loads them and decides nothing again. Rows are (task index in the plan, row index); instants are ns.
"""

from array import array
from typing import Any, Literal

import msgspec

from engine.model.ids import NO_INDEX
from engine.model.resources import Capacity
from engine.model.status import BackfillStatus, Outcome, RunStatus, TaskStatus


class Event(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of all facts; the tag is the class name, which is also the name that people see."""


class LogSlice(msgspec.Struct, frozen=True, array_like=True):
    """Where an attempt's output is: a file under the log folder, a first byte and a length."""

    path: str = ""
    offset: int = 0
    length: int = 0


class Usage(msgspec.Struct, frozen=True, array_like=True):
    """What an attempt used, from `wait4`: CPU of the waited-for tree, peak resident memory of its largest process.

    The kernel counts the launcher's memory (about 22 MiB) as the child's until it executes: smaller peaks show as that.
    """

    cpu_ns: int = 0
    max_rss_bytes: int = 0


class Noise(msgspec.Struct, frozen=True, array_like=True):
    """What else happened on the host for a while: CPUs that others kept busy and that were stolen, by resource the
    share of the time in which something waited for it, and by how much the frequency changed (None: not told)."""

    seconds: float
    foreign_cpus: float
    stolen_cpus: float
    stalled: dict[str, float] = {}
    frequency_ratio: float | None = None


class Measured(msgspec.Struct, frozen=True, array_like=True):
    """What an attempt reported, and what about its report was wrong. Of a trial, the noise on the host just before and
    during it, and in `marks` why it counts as disturbed, if it does."""

    values: dict[str, float] = {}
    notes: tuple[str, ...] = ()
    before: Noise | None = None
    during: Noise | None = None
    marks: tuple[str, ...] = ()


class Actor(msgspec.Struct, frozen=True, array_like=True):
    """Who asked: user id, login name, by which means (`cli`, `console`, `schedule`), and from which terminal or
    process, as the client says."""

    uid: int = -1
    name: str = "engine"
    via: str = "engine"
    place: str = ""


class RowRef(msgspec.Struct, frozen=True, array_like=True):
    """A row as an operator saw it. `status` None: whatever it is now; `index` None: all rows of the task."""

    task: str
    index: int | None = NO_INDEX
    status: TaskStatus | None = None
    attempts: int | None = None


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """The part that all requests share. `ticket` finds the waiting client; `request_id` makes a repeat harmless."""

    ticket: int = 0
    request_id: str = ""
    actor: Actor = Actor()


# --- from the world -------------------------------------------------------------------------------------------------


class EngineStarted(Event, frozen=True):
    """A new life of the engine. On another boot every live attempt is lost."""

    epoch: int
    capacity: Capacity
    boot_id: str


class ClockAdvanced(Event, frozen=True):
    """A timer or a schedule may be due."""


class SpaceChanged(Event, frozen=True):
    """Disk or map is nearly full (`read_only`: no new runs or attempts, ends are still recorded), or not any more."""

    read_only: bool


class HostSampled(Event, frozen=True):
    """What the host was like, where that may matter to admission; None and 0 are what it does not tell.

    `stalled` is the percentage of the last ten seconds in which something stood still for want of memory, `foreign` the
    CPU that others used in them, of the `total` that this process may use.
    """

    memory_available_bytes: int | None = None
    memory_total_bytes: int = 0
    memory_stalled: float | None = None
    cpu_foreign_milli: int | None = None
    cpu_total_milli: int = 0


class RunRequested(Event, frozen=True):
    """`version` must be known to the machine. `trigger` is manual, schedule or backfill; `due_ns` is the schedule's
    instant.
    """

    ask: Ask
    workflow: str
    version: str
    params: dict[str, Any] = {}
    trigger: str = "manual"
    due_ns: int = 0
    note: str = ""


class WorkflowAdded(Event, frozen=True):
    """The version becomes the current one of its name; its schedules count from now."""

    ask: Ask
    workflow: str
    version: str


class WorkflowRemoved(Event, frozen=True):
    """The name has no current version any more, and no schedules; its runs go on."""

    ask: Ask
    workflow: str


class WorkflowPauseRequested(Event, frozen=True):
    """`paused` False resumes: what was missed meanwhile is not made up for."""

    ask: Ask
    workflow: str
    paused: bool


class RunPauseRequested(Event, frozen=True):
    """Nothing new of the run begins; what runs goes on, unless it is to stand still too (`running`). With rows: what
    runs of them stands still, and the run goes on. `seen` is the run's status as the operator saw it.
    """

    ask: Ask
    run: int
    seen: RunStatus | None = None
    note: str = ""
    rows: tuple[RowRef, ...] = ()
    running: bool = False


class RunResumeRequested(Event, frozen=True):
    """The run goes on where it was paused: it waits again, or orders again, and what stands still of it goes on. With
    rows: only these.
    """

    ask: Ask
    run: int
    seen: RunStatus | None = None
    note: str = ""
    rows: tuple[RowRef, ...] = ()


class CancelRequested(Event, frozen=True):
    """Politely (`kill` False: the stop signal, then the grace) or at once. Without rows: the whole run."""

    ask: Ask
    run: int
    rows: tuple[RowRef, ...] = ()
    kill: bool = False
    seen: RunStatus | None = None
    note: str = ""


class RetryRequested(Event, frozen=True):
    """Failed, upstream_failed and cancelled rows go again, and what waits on them. Without rows: all of the run's."""

    ask: Ask
    run: int
    rows: tuple[RowRef, ...] = ()
    note: str = ""


class RerunRequested(Event, frozen=True):
    """The rows go again whatever they are, with everything downstream."""

    ask: Ask
    run: int
    rows: tuple[RowRef, ...]
    note: str = ""


class MarkRequested(Event, frozen=True):
    """The rows count as succeeded or failed from now on; what waits on them is looked at again."""

    ask: Ask
    run: int
    rows: tuple[RowRef, ...]
    status: TaskStatus
    note: str = ""


class SettingsChangeRequested(Event, frozen=True):
    """Priority, max_parallel or tolerate of a task (empty: priority of the whole run) are others from now on; None
    stands for what the definition says."""

    ask: Ask
    run: int
    settings: dict[str, int | None]
    task: str = ""
    seen: RunStatus | None = None
    note: str = ""


class BackfillScope(msgspec.Struct, frozen=True, array_like=True):
    """Which partitions a backfill is about: those of the workflow's schedules (`schedule` counts from 1, 0 means all)
    that are due from `first_ns` to `last_ns`, both included, and what becomes of those that have had a run."""

    first_ns: int
    last_ns: int
    schedule: int = 0
    order: Literal["oldest", "newest"] = "oldest"
    reprocess: Literal["none", "failed", "all"] = "none"
    most: int = 1_000


class BackfillRequested(Event, frozen=True):
    """Make a run for each partition, at most `max_active` of them unfinished at a time. `known` holds, by due instant,
    the newest run on record and its status."""

    ask: Ask
    workflow: str
    version: str
    scope: BackfillScope
    max_active: int = 1
    params: dict[str, Any] = {}
    known: dict[int, tuple[int, RunStatus]] = {}
    note: str = ""


class BackfillPauseRequested(Event, frozen=True):
    """Make no more runs; those that were made go on. `paused` False: go on making them."""

    ask: Ask
    backfill: int
    paused: bool
    seen: BackfillStatus | None = None
    note: str = ""


class BackfillCancelRequested(Event, frozen=True):
    """Make no more runs, and cancel (`kill`: at once) those that go on."""

    ask: Ask
    backfill: int
    kill: bool = False
    seen: BackfillStatus | None = None
    note: str = ""


class AttemptStarted(Event, frozen=True):
    """A process (or a worker's item) of the attempt is running. `start_ticks` is field 22 of /proc/PID/stat; `log` says
    where its output begins, with length 0; `levels` how each of its quotas is enforced: kernel, sampled,
    rounded or none.
    """

    attempt: int
    at_ns: int
    pid: int
    start_ticks: int = 0
    log: LogSlice = LogSlice()
    levels: tuple[tuple[str, str], ...] = ()


class AttemptSuspended(Event, frozen=True):
    """All processes of the attempt (of a block, its worker) stand still, and occupy so much memory. `turn` is that of
    the order which this answers."""

    attempt: int
    at_ns: int
    turn: int = 0
    memory_bytes: int = 0


class AttemptResumed(Event, frozen=True):
    """What stood still goes on, or never stood still. With the turn of an order to stand still: it goes on because its
    launcher is about to end it."""

    attempt: int
    at_ns: int
    turn: int = 0


class AttemptExited(Event, frozen=True):
    """The attempt's whole tree has ended. `result` is JSON, at most 1 MiB.

    `block` names the block that the attempt was a row of (0: it was ordered by itself), `began_ns` when it began there.
    `measured` is None for a task that measures nothing.
    """

    attempt: int
    at_ns: int
    outcome: Outcome
    usage: Usage = Usage()
    log: LogSlice = LogSlice()
    result: bytes | None = None
    block: int = 0
    began_ns: int = 0
    measured: Measured | None = None


class AttemptNeverStarted(Event, frozen=True):
    """It is proved that nothing of the attempt ever ran: it costs no retry, and no loss."""

    attempt: int
    why: str


class AttemptLost(Event, frozen=True):
    """How the attempt ended is unknown, and nothing of it runs any more. Never success, costs no retry."""

    attempt: int
    at_ns: int
    why: str
    block: int = 0


class BlockStarted(Event, frozen=True):
    """A worker has the block, and begins its rows one after the other; the fields are those of AttemptStarted."""

    attempt: int
    at_ns: int
    pid: int
    start_ticks: int = 0
    log: LogSlice = LogSlice()


class RowsSucceeded(Event, frozen=True):
    """Rows of a block ended well, one after the other: a *span*.

    `attempt` is the block's, `offset` counts its rows from 0. `columns` holds four arrays of `count` unsigned integers
    of 32 bits, in the host's byte order: microseconds between the row before and this one, microseconds that it took,
    microseconds of CPU, and bytes of output. `last_us` is when the row before ended, `log` where the output of the
    first begins. `results` holds JSON for those rows that have a result; empty if none has.
    """

    attempt: int
    offset: int
    count: int
    last_us: int
    columns: bytes
    log: LogSlice = LogSlice()
    max_rss_bytes: int = 0
    results: tuple[bytes | None, ...] = ()


def columns_of(data: bytes) -> "list[array[int]]":
    """The four columns of a span: gap, duration, CPU, bytes of output. Raises ValueError where they are not equal."""
    cells = array("I", data)
    count, rest = divmod(len(cells), 4)
    if rest:
        raise ValueError(f"{len(data)} bytes are not four columns")
    return [cells[count * n : count * (n + 1)] for n in range(4)]


class RowsReturned(Event, frozen=True):
    """From `offset` on nothing of the block ever ran, nor will: its rows are as ready as they were before."""

    attempt: int
    offset: int
    why: str


# --- decisions ------------------------------------------------------------------------------------------------------


class RunQueued(Event, frozen=True):
    """A run was made, by a request or a schedule, and has its number; it has not begun."""

    run: int
    workflow: str
    version: str


class RunStarted(Event, frozen=True):
    """The run has begun: its tasks are looked at from now on."""

    run: int


class RunStatusChanged(Event, frozen=True):
    """Paused, resumed, cancelling or reopened."""

    run: int
    status: RunStatus


class RunFinished(Event, frozen=True):
    """All tasks of the run are final, and what they come to is the run's final status."""

    run: int
    status: RunStatus


class RunSkipped(Event, frozen=True):
    """A trigger that made no run, and why: `if_running: skip`, a full queue, catch-up beyond its bound."""

    workflow: str
    due_ns: int
    why: str


class Expanded(Event, frozen=True):
    """The items of a `for_each` are known: `count` rows."""

    run: int
    task: int
    count: int


class RowsReleased(Event, frozen=True):
    """`count` rows from `index` on are ready: their rule allows them, a delay is over, or an order came to nothing."""

    run: int
    task: int
    index: int
    count: int = 1


class AttemptOrdered(Event, frozen=True):
    """`claim_from` names the attempt whose claim this one takes over when that has ended, 0 if it has its own; with
    `on_success` it starts only if that attempt has succeeded, which is all that its row waits for."""

    attempt: int
    run: int
    task: int
    index: int
    number: int
    claim_from: int = 0
    on_success: bool = False


class RowWithdrawn(Event, frozen=True):
    """The task waits again for those that it needs: what it was ordered to follow has not succeeded."""

    run: int
    task: int
    index: int


class AttemptPreempted(Event, frozen=True):
    """The attempt was told to stop to make room for a row of a higher priority; its own goes again, and loses no retry.
    If it is `suspended`, it was told to stand still instead.

    `for_run`, `for_task` and `for_index` name the row that it makes room for.
    """

    attempt: int
    for_run: int
    for_task: int
    for_index: int
    suspended: bool = False


class CpusReleased(Event, frozen=True):
    """The attempt stands still, and others may have its CPUs."""

    attempt: int


class CpusRegained(Event, frozen=True):
    """The attempt has its CPUs again; `cpus` are those that are its own, if it is pinned."""

    attempt: int
    cpus: tuple[int, ...] = ()


class BlockOrdered(Event, frozen=True):
    """Rows `index` to `index + count` of a task were ordered as a block: a worker runs them one after another with one
    claim. The attempts are `attempt`, `attempt + 1` and so on, and each is the `number`th of its row.
    """

    attempt: int
    run: int
    task: int
    index: int
    count: int
    number: int
    claim_from: int = 0


class PressureChanged(Event, frozen=True):
    """Admission is open, slow (one start a second) or closed from now on, and why."""

    level: str
    why: str = ""


class RetryScheduled(Event, frozen=True):
    """The row's attempt has ended badly; the row backs off until `due_ns` and is then ready for another attempt."""

    run: int
    task: int
    index: int
    due_ns: int


class TrialRepeated(Event, frozen=True):
    """The row's trial succeeded, but the host disturbed it: it goes again, which costs no retry."""

    run: int
    task: int
    index: int
    marks: tuple[str, ...]


class TaskFinished(Event, frozen=True):
    """A row reached a final status. `why` is for those that no attempt explains (skipped, upstream_failed, marked)."""

    run: int
    task: int
    index: int
    status: TaskStatus
    why: str = ""


class TaskReopened(Event, frozen=True):
    """By a retry or rerun, the row waits again. Of a mapped task as a whole (NO_INDEX): its items will be looked up
    anew."""

    run: int
    task: int
    index: int


class BackfillMade(Event, frozen=True):
    """A backfill has its number: so many partitions are to be run, so many are left out."""

    backfill: int
    workflow: str
    version: str
    partitions: int
    left_out: int


class BackfillStatusChanged(Event, frozen=True):
    """Paused, running again, cancelled, or done: all that it is about has ended."""

    backfill: int
    status: BackfillStatus


External = (
    EngineStarted | ClockAdvanced | SpaceChanged | HostSampled | RunRequested | WorkflowAdded | WorkflowRemoved
    | WorkflowPauseRequested | RunPauseRequested | RunResumeRequested | CancelRequested | RetryRequested
    | RerunRequested | MarkRequested | SettingsChangeRequested | BackfillRequested | BackfillPauseRequested
    | BackfillCancelRequested | AttemptStarted | AttemptExited | AttemptNeverStarted | AttemptLost
    | AttemptSuspended | AttemptResumed | BlockStarted | RowsSucceeded | RowsReturned
)  # fmt: skip
Decision = (
    RunQueued | RunStarted | RunStatusChanged | RunFinished | RunSkipped | Expanded | RowsReleased | RowWithdrawn
    | AttemptOrdered | BlockOrdered | AttemptPreempted | CpusReleased | CpusRegained | PressureChanged | RetryScheduled
    | TrialRepeated | TaskFinished | TaskReopened | BackfillMade | BackfillStatusChanged
)  # fmt: skip
AnyEvent = External | Decision
