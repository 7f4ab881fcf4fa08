"""The wire's messages. A client sends requests, each with a number of its own; the engine answers each once.

Every list request is also a view: `Subscribe` keeps its answer current. The engine sends a `Snapshot` of the rows, then
`Delta`s of rows that changed, at most `rate` a second; rows are matched by `key_of`. A client that falls behind is
dropped and subscribes anew. Requests that act carry a `request_id`, so that repeating one after a lost answer does
nothing twice, and name what the operator saw, so that a target that has moved on is refused and told.
"""

from typing import Any, Literal

import msgspec

from engine.protocol.rows import EngineRow

PROTOCOL = 1
FRAME_BYTES_MAX = 2**20
UPLOAD_BYTES_MAX = 64 * 2**20
CHUNK_BYTES = 512 * 2**10
LOG_CHUNK_BYTES = 256 * 2**10


class Request(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Base of requests. `id` is echoed by the answer."""

    id: int = 0


# --- session --------------------------------------------------------------------------------------------------------


class Hello(Request, frozen=True, kw_only=True):
    """The first message. `via` is cli or console, `place` the terminal or process that it speaks from, for the audit; a
    read-only session cannot act."""

    protocol: int
    via: Literal["cli", "console"] = "cli"
    place: str = ""
    read_only: bool = False


class Subscribe(Request, frozen=True, kw_only=True):
    """Keep the answer to `view` current. `id` names the subscription in Snapshot and Delta; rate is 0.2 to 20."""

    view: "View"
    rate: float = 10.0


class Unsubscribe(Request, frozen=True, kw_only=True):
    subscription: int


# --- questions ------------------------------------------------------------------------------------------------------


class GetEngine(Request, frozen=True, kw_only=True):
    pass


class ListRuns(Request, frozen=True, kw_only=True):
    """Newest first. `before` continues a page: runs with a smaller number. Empty filters mean all."""

    workflow: str = ""
    statuses: tuple[str, ...] = ()
    before: int = 0
    limit: int = 50


class GetRun(Request, frozen=True, kw_only=True):
    """`run` 0 means the newest."""

    run: int


class ListGroups(Request, frozen=True, kw_only=True):
    """The tasks of a run in topological order. `text` is a filter (engine.protocol.filters); with `statuses`
    those that have a row of one of them. With `fold` many that are named alike (`load_001`, `load_002`, ...) are one
    row."""

    run: int
    text: str = ""
    statuses: tuple[str, ...] = ()
    fold: bool = False
    offset: int = 0
    limit: int = 200


class ListTasks(Request, frozen=True, kw_only=True):
    """Rows of a run. `task` one task's rows only; `text` a filter of tasks (engine.protocol.filters); `sort`
    topological, attention (failed, running, ...) or duration."""

    run: int
    task: str = ""
    index: int | None = None
    text: str = ""
    statuses: tuple[str, ...] = ()
    sort: Literal["topological", "attention", "duration"] = "topological"
    offset: int = 0
    limit: int = 200


class ListLanes(Request, frozen=True, kw_only=True):
    """When a run's tasks ran, in topological order; with `task`, when its rows did. Filters as in ListGroups."""

    run: int
    task: str = ""
    text: str = ""
    statuses: tuple[str, ...] = ()
    offset: int = 0
    limit: int = 200


class ListGrid(Request, frozen=True, kw_only=True):
    """How the tasks of a run went in it and in the runs of its workflow before it, at most `runs` in all."""

    run: int
    runs: int = 10
    text: str = ""
    offset: int = 0
    limit: int = 200


class GetStats(Request, frozen=True, kw_only=True):
    """Figures over all rows of a run, or of one of its tasks."""

    run: int
    task: str = ""


class GetTask(Request, frozen=True, kw_only=True):
    """What a task of a run is to do, and its neighbours."""

    run: int
    task: str


class ListAttempts(Request, frozen=True, kw_only=True):
    run: int
    task: str
    index: int = -1


class ListMetrics(Request, frozen=True, kw_only=True):
    """What the tasks of a run measure (those with a campaign; or `task` alone, whatever it is)."""

    run: int
    task: str = ""


class ListTrials(Request, frozen=True, kw_only=True):
    """What rows of these tasks measured, task by task: the newest attempt of each row that has ended. `metrics` leaves
    all others out; empty means all."""

    run: int
    task: str = ""
    metrics: tuple[str, ...] = ()
    offset: int = 0
    limit: int = 1000


class ExplainRun(Request, frozen=True, kw_only=True):
    """Why rows do not run: all waiting ones of the run, or those of one task, or one row."""

    run: int
    task: str = ""
    index: int | None = None
    limit: int = 200


class ReadLog(Request, frozen=True, kw_only=True):
    """A piece of an attempt's log. `offset` counts from the attempt's first byte; negative: from its end.

    `number` 0 means the row's newest attempt.
    """

    run: int
    task: str
    index: int = -1
    number: int = 0
    offset: int = 0
    limit: int = LOG_CHUNK_BYTES


class ListSamples(Request, frozen=True, kw_only=True):
    """What an attempt used over time, oldest first, while it runs and later. `number` 0: the row's newest attempt."""

    run: int
    task: str
    index: int = -1
    number: int = 0


class ListEvents(Request, frozen=True, kw_only=True):
    """The journal of a run (0: of everything) in order, after a cursor that the page before gave; without one, from the
    revision `since` on."""

    run: int = 0
    cursor: str = ""
    since: int = 0
    limit: int = 500


class ListAudit(Request, frozen=True, kw_only=True):
    """Newest first; `before` is the revision where the page before ended."""

    before: int = 0
    limit: int = 100


class ListSchedules(Request, frozen=True, kw_only=True):
    pass


class ListWorkflows(Request, frozen=True, kw_only=True):
    pass


class OfPartitions(Request, frozen=True, kw_only=True):
    """Which partitions of an added workflow are meant: due from `since` to `until`, each a date (in the schedule's
    zone, both days included) or an instant. `schedule` counts from 1, 0 means all. More than `most` are refused."""

    workflow: str
    since: str
    until: str
    schedule: int = 0
    order: Literal["oldest", "newest"] = "oldest"
    reprocess: Literal["none", "failed", "all"] = "none"
    most: int = 1_000


class ListPartitions(OfPartitions, frozen=True, kw_only=True):
    """What a backfill would run, and why the others are left out."""


class ListBackfills(Request, frozen=True, kw_only=True):
    """Newest first: all that go on, and the newest of those that have ended."""


class GetMoment(Request, frozen=True, kw_only=True):
    """The run as it was at an instant (`at`), or after a revision; without either, as the journal has it now.

    The journal is read on by a bounded piece for each request: until the row says `reached`, ask again.
    """

    run: int
    revision: int = 0
    at: str = ""


class ListMoments(Request, frozen=True, kw_only=True):
    """Revisions at which something of the run changed: the last ones below `before`, newest first, or (where that is 0)
    the first ones above `after`.

    `notable`: only those at which something failed or was tried again, somebody asked for something, or the run itself
    changed. A bounded piece of the journal is looked through for each request: where the last row is not notable,
    looking has come to there, and goes on from it.
    """

    run: int
    before: int = 0
    after: int = 0
    limit: int = 50
    notable: bool = False


class ListPast(Request, frozen=True, kw_only=True):
    """The tasks of a run as they were after a revision to which GetMoment has gone; with `task`, its rows. `of` rows
    lists those of all tasks, `of` lanes is as ListLanes. Filters, `fold` and `sort` as in ListGroups and ListTasks."""

    run: int
    revision: int
    of: Literal["tasks", "rows", "lanes"] = "tasks"
    task: str = ""
    text: str = ""
    statuses: tuple[str, ...] = ()
    fold: bool = False
    sort: Literal["topological", "attention"] = "topological"
    offset: int = 0
    limit: int = 200


class GetWorkflow(Request, frozen=True, kw_only=True):
    """The definition of a workflow's current version, or of the version given."""

    workflow: str
    version: str = ""


class GetResources(Request, frozen=True, kw_only=True):
    pass


class ListQueue(Request, frozen=True, kw_only=True):
    """What is ready and waits for room, of all runs, in the order in which it is to start; a row for each stretch of
    consecutive rows of a task."""

    offset: int = 0
    limit: int = 200


# --- acts -----------------------------------------------------------------------------------------------------------


class Upload(Request, frozen=True, kw_only=True):
    """A piece of an encoded workflow larger than a frame, in order. `upload` is a name of the client's choice."""

    upload: str
    offset: int
    data: bytes


class Submit(Request, frozen=True, kw_only=True):
    """Make a run, of a workflow that was added (`workflow`), or of one sent along (`definition` or `upload`)."""

    request_id: str
    workflow: str = ""
    definition: bytes = b""
    upload: str = ""
    params: dict[str, Any] = {}
    note: str = ""


class AddWorkflow(Request, frozen=True, kw_only=True):
    request_id: str
    definition: bytes = b""
    upload: str = ""
    paused: bool = False


class RemoveWorkflow(Request, frozen=True, kw_only=True):
    request_id: str
    workflow: str


class PauseWorkflow(Request, frozen=True, kw_only=True):
    request_id: str
    workflow: str
    paused: bool


class StartBackfill(OfPartitions, frozen=True, kw_only=True):
    """Make a run for each partition that ListPartitions would run, at most `max_active` of them unfinished."""

    request_id: str
    max_active: int = 1
    params: dict[str, Any] = {}
    note: str = ""


class ActOnBackfill(Request, frozen=True, kw_only=True):
    """Cancel and kill take its runs with it; pause leaves them. `seen` is its status as the operator saw it."""

    request_id: str
    verb: Literal["pause", "resume", "cancel", "kill"]
    backfill: int
    seen: str = ""
    note: str = ""


class ChangeSettings(Request, frozen=True, kw_only=True):
    """Change priority, max_parallel or tolerate of a task, or the priority of a whole run; None: as it is defined."""

    request_id: str
    run: int
    settings: dict[str, int | None]
    task: str = ""
    seen: str = ""
    note: str = ""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A row as the operator saw it. `index` None: all rows of the task. Unset status or attempts: whatever they are."""

    task: str
    index: int | None = -1
    status: str = ""
    attempts: int = -1


class Act(Request, frozen=True, kw_only=True):
    """Pause, resume, cancel, kill, retry, rerun or mark. No targets: the run. `mark` is succeeded or failed; `running`
    pauses also what runs of the run.
    """

    request_id: str
    verb: Literal["pause", "resume", "cancel", "kill", "retry", "rerun", "mark"]
    run: int
    targets: tuple[Target, ...] = ()
    seen: str = ""
    mark: str = ""
    note: str = ""
    running: bool = False


class Backup(Request, frozen=True, kw_only=True):
    """Copy the state, consistent at one revision, into a new folder (absolute path)."""

    folder: str


class CollectGarbage(Request, frozen=True, kw_only=True):
    """Apply retention now. With `dry_run`, only count."""

    dry_run: bool = False


class VerifyAudit(Request, frozen=True, kw_only=True):
    """Follow the chain of the audit: {"intact", "entries", "fault"}."""


class StopEngine(Request, frozen=True, kw_only=True):
    """Attempts go on unless `kill`; `drain` waits for live attempts and orders no new ones."""

    kill: bool = False
    drain: bool = False


View = (
    GetEngine | ListRuns | GetRun | ListGroups | ListTasks | ListLanes | ListGrid | GetStats | ListAttempts | ExplainRun
    | ListSchedules | ListWorkflows | ListBackfills | GetResources | ListQueue
)  # fmt: skip
Question = (
    View | ReadLog | ListSamples | ListEvents | ListAudit | GetWorkflow | GetTask | ListPartitions | GetMoment
    | ListMoments | ListPast | ListMetrics | ListTrials
)  # fmt: skip
ActRequest = (
    Submit | AddWorkflow | RemoveWorkflow | PauseWorkflow | Act | StartBackfill | ActOnBackfill | ChangeSettings
    | Backup | CollectGarbage | VerifyAudit | StopEngine | Upload
)  # fmt: skip
AnyRequest = Hello | Subscribe | Unsubscribe | Question | ActRequest


# --- answers --------------------------------------------------------------------------------------------------------


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of everything that the engine sends."""

    id: int = 0


class Welcome(Reply, frozen=True, kw_only=True):
    """`role` is viewer, operator or admin."""

    protocol: int
    engine: EngineRow
    role: str


class Refused(Reply, frozen=True, kw_only=True):
    """Nothing was changed. `code` as in engine.model.errors; `faults` for a definition."""

    code: str
    sentence: str
    hint: str = ""
    faults: tuple[str, ...] = ()


class Done(Reply, frozen=True, kw_only=True):
    """An act is on disk. `body` by verb: submit {"run"}, add {"workflow", "version", "changed"}, act {"changed",
    "refused": [{"row", "why"}]}, backfill {"backfill", "workflow", "version", "partitions", "left_out"}, set {"was",
    "meant"} (by setting: what was set before, and what that meant for a task), backup {"folder", "revision", "bytes"},
    gc {"runs", "records"}."""

    body: dict[str, Any] = {}


class Rows(Reply, frozen=True, kw_only=True):
    """The answer to a question that lists. `total` counts all that match; `cursor` continues (empty: the end).

    `rows` are row structs of the request's kind, as maps.
    """

    revision: int
    rows: list[dict[str, Any]]
    total: int = 0
    cursor: str = ""


class LogChunk(Reply, frozen=True, kw_only=True):
    """`data` begins at `offset` of the attempt's log, whose length now is `size`. `final`: it will not grow.

    `sentence` says how an attempt that has ended did.
    """

    data: bytes
    offset: int
    size: int
    number: int
    final: bool
    path: str = ""
    sentence: str = ""


class Definition(Reply, frozen=True, kw_only=True):
    """A workflow version: its text as written, cut off (`truncated`) where it does not fit a frame."""

    workflow: str
    version: str
    file: str
    text: str
    truncated: bool = False


class Snapshot(Reply, frozen=True, kw_only=True):
    """All rows of a subscription at a revision, in order."""

    revision: int
    rows: list[dict[str, Any]]
    total: int = 0


class Delta(Reply, frozen=True, kw_only=True):
    """What changed since revision `since`. `order` lists the keys when rows came, went or moved, else it is None."""

    since: int
    revision: int
    rows: list[dict[str, Any]]
    order: list[str] | None = None
    total: int = 0


class Gone(Reply, frozen=True, kw_only=True):
    """A subscription has ended because its subject does not exist any more."""

    why: str


AnyReply = Welcome | Refused | Done | Rows | LogChunk | Definition | Snapshot | Delta | Gone


def key_of(row: dict[str, Any]) -> str:
    """What identifies a row within one view: the task and index (of a view over all runs with the run before it), the
    attempt number, the run or the workflow."""
    if "number" in row:
        return str(row["number"])
    if "pending" in row:
        return row["backfill"]
    if "task" in row:
        index = row.get("index")
        name = row["task"] if index is None else f"{row['task']}[{index}]"
        return f"{row['run']} {name}" if "run" in row else name
    if "schedule" in row:
        return f"{row['workflow']}/{row['schedule']}"
    return str(row.get("run") or row.get("workflow") or "")
