"""What a client sees: rows. Instants are RFC 3339 text in UTC, sizes bytes, durations seconds, names as written.

`--json` prints these rows, so their fields are a contract: fields are added, never renamed. Text fields may hold any
character that a user or a task wrote; whoever prints them makes them inert first.
"""

from typing import Any

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Base of all rows."""


class RunRow(Row, frozen=True, kw_only=True):
    """One run. `tasks` counts rows by status, without zeros; `due_at` is the schedule's instant."""

    run: str
    workflow: str
    version: str
    status: str
    queued_at: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    tasks: dict[str, int] = {}
    trigger: str = "manual"
    due_at: str | None = None
    params: dict[str, Any] = {}
    note: str = ""
    actor: str = ""
    folder: str = ""
    partition: str = ""
    backfill: str | None = None
    settings: dict[str, dict[str, int]] = {}
    """By task (empty: the whole run): what was changed for this run."""


class TaskRow(Row, frozen=True, kw_only=True):
    """One row of a run: a task, or one item of its `for_each` (`index` is None for a task without)."""

    task: str
    index: int | None
    status: str
    attempts: int = 0
    started_at: str | None = None
    finished_at: str | None = None
    outcome: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    why: str = ""
    pid: int | None = None
    max_rss: int | None = None
    cpu_seconds: float | None = None
    log: dict[str, Any] | None = None
    """{"path", "offset", "length"}; the path is absolute."""
    item: Any = None
    suspended: bool = False
    """Whether it runs but stands still."""
    enforced: dict[str, str] = {}
    """How each quota of its newest attempt is enforced: kernel, sampled, rounded (CPU, up to whole cores) or none."""
    settings: dict[str, int] = {}
    """What was changed for the task in this run."""


class SpecRow(Row, frozen=True, kw_only=True):
    """What a task is to do. `kind` is command, shell or python; `lines` the command, script or function, with
    its `{{ }}` as written; values of `env` and `args` whose names look secret are hidden by the engine.

    `claim` as in QueueRow; `quota` holds what was written, in seconds and bytes; neighbours are {"task", "status",
    "mapped": it has rows, "paired": row by row with this one}, at most 200 each way.
    """

    task: str
    kind: str
    lines: list[str]
    args: dict[str, Any] = {}
    dir: str = ""
    env: dict[str, str] = {}
    pass_env: tuple[str, ...] = ()
    claim: dict[str, Any] = {}
    quota: dict[str, float] = {}
    retry: dict[str, Any] = {}
    trigger_rule: str = ""
    when: str = ""
    priority: int = 0
    description: str = ""
    owner: str = ""
    outputs: tuple[str, ...] = ()
    mapped: bool = False
    max_parallel: int = 0
    upstream: list[dict[str, Any]] = []
    upstream_total: int = 0
    downstream: list[dict[str, Any]] = []
    downstream_total: int = 0


class AttemptRow(Row, frozen=True, kw_only=True):
    """One attempt of a row. `number` counts from 1; `status` is ordered, running, suspended, stopping, exited, lost."""

    task: str
    index: int | None
    number: int
    attempt: int
    status: str
    ordered_at: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    outcome: str | None = None
    sentence: str = ""
    exit_code: int | None = None
    signal: int | None = None
    pid: int | None = None
    max_rss: int | None = None
    cpu_seconds: float | None = None
    log: dict[str, Any] | None = None
    used: int | None = None
    limit: int | None = None
    """Of one that went over a quota: what it used of what it might, in bytes, ns or by number."""
    suspended_seconds: float | None = None
    """How long it stood still, once it has."""
    enforced: dict[str, str] = {}
    """How each of its quotas is enforced: kernel, sampled, rounded (CPU, up to whole cores) or none."""
    values: dict[str, float] = {}
    notes: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    """What it reported, what was wrong with the report, and why a trial counts as disturbed by the host."""


class SampleRow(Row, frozen=True, kw_only=True):
    """What an attempt used at an instant: memory, processes and threads then, the rest since its start.

    `cpus` is how many it kept busy since the sample before. Bytes are those of reads and writes, of anything.
    """

    at: str
    memory: int
    cpu_seconds: float
    cpus: float
    read: int
    written: int
    processes: int
    threads: int


class MetricRow(Row, frozen=True, kw_only=True):
    """A metric that the trials of a task measure. `better` is lower, higher, or empty: neither is."""

    task: str
    metric: str
    unit: str = ""
    better: str = ""


class TrialRow(Row, frozen=True, kw_only=True):
    """The newest attempt of a row that measures something. `cell` holds the parameters; `trial` counts from 1, warm-ups
    have 0 and below; `values` may lack any metric. `noise` is what others did to the host just before and meanwhile.
    """

    task: str
    index: int | None
    cell: dict[str, Any]
    trial: int
    status: str
    attempts: int
    values: dict[str, float]
    marks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    noise: dict[str, Any] = {}


class GroupRow(Row, frozen=True, kw_only=True):
    """One task of a run with all its rows: what the outline shows. `depth` is its level from the roots.

    `tasks` counts rows by status, without zeros; `running`, `failed` name a few rows (longest running, newest failed).
    Of a task without `for_each`, `attempts` and `why` tell what its one row does.
    """

    task: str
    status: str
    mapped: bool
    rows: int
    tasks: dict[str, int]
    depth: int = 0
    needs: tuple[str, ...] = ()
    started_at: str | None = None
    finished_at: str | None = None
    running: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    why: str = ""
    description: str = ""
    action: str = ""
    max_parallel: int = 0
    attempts: int = 0
    priority: int = 0
    settings: dict[str, int] = {}
    """What was changed for the task in this run; `max_parallel` and `priority` are as they are now."""
    fold: str = ""
    """Of several tasks that are shown as one (`task` is then `load_*`): the filter that lets them through."""


class LaneRow(Row, frozen=True, kw_only=True):
    """When one row ran (`spans`: began, ended or None, how; one for each of its newest attempts), or when the rows of
    a mapped task did (`busy`: how many ran in each of as many equal parts of the time from `started_at` to `until`).

    Of very many rows `busy` is estimated from some of them.
    """

    task: str
    index: int | None
    status: str
    mapped: bool = False
    rows: int = 1
    tasks: dict[str, int] = {}
    started_at: str | None = None
    until: str | None = None
    spans: list[tuple[str, str | None, str]] = []
    busy: list[int] = []


class GridRow(Row, frozen=True, kw_only=True):
    """How one task went in several runs: its status by run; `unknown` where that run is too large to look into."""

    task: str
    cells: dict[str, str] = {}


class StatsRow(Row, frozen=True, kw_only=True):
    """Figures over the rows of a run (`task` is empty) or of a task. `seconds` and `max_rss` hold p50, p90, p99, max of
    those that have ended; where they are very many, of some of them (`looked_at`). `failures` groups failed rows by
    their cause, the most frequent first: {"why", "count", "rows": a few names}.
    """

    task: str
    rows: int
    tasks: dict[str, int] = {}
    looked_at: int = 0
    seconds: dict[str, float] = {}
    max_rss: dict[str, int] = {}
    failures: list[dict[str, Any]] = []


class ReasonRow(Row, frozen=True, kw_only=True):
    """One row that does not run, or stands still, and all reasons why; `predicted_start` is then when it goes on."""

    task: str
    index: int | None
    status: str
    rank: int | None = None
    predicted_start: str | None = None
    reasons: list[dict[str, Any]] = []
    """Each {"kind", "resource", "asked", "available", "holders"}."""


class EventRow(Row, frozen=True, kw_only=True):
    """One entry of the journal. `details` holds the event's further fields."""

    revision: int
    at: str
    event: str
    run: str | None = None
    task: str | None = None
    index: int | None = None
    attempt: int | None = None
    details: dict[str, Any] = {}


class AuditRow(Row, frozen=True, kw_only=True):
    """Who asked for what, from where (`via` cli or console, `place` its terminal or process), and what became of it
    (`accepted`, or the refusal's code)."""

    revision: int
    at: str
    uid: int
    actor: str
    via: str
    verb: str
    target: str
    result: str
    note: str = ""
    place: str = ""


class ScheduleRow(Row, frozen=True, kw_only=True):
    """One schedule of a workflow, and when it is due next (None: paused or never)."""

    workflow: str
    schedule: str
    timezone: str
    paused: bool
    next_at: str | None = None
    last_at: str | None = None
    last_run: str | None = None
    catch_up: str = "none"
    if_running: str = "skip"


class BackfillRow(Row, frozen=True, kw_only=True):
    """A backfill. `partitions` are those that it is about, `pending` of them have no run yet, `active` are its runs
    that are not finished, `ended` counts the others by status."""

    backfill: str
    workflow: str
    version: str
    status: str
    partitions: int
    left_out: int
    pending: int
    active: list[str] = []
    ended: dict[str, int] = {}
    since: str
    until: str
    order: str
    reprocess: str
    max_active: int
    made_at: str | None = None
    finished_at: str | None = None
    next_partition: str | None = None
    params: dict[str, Any] = {}
    actor: str = ""
    note: str = ""


class PartitionRow(Row, frozen=True, kw_only=True):
    """A partition that a backfill would run, or leave out (`why`). `run` is the newest run that it has had."""

    partition: str
    due_at: str
    runs: bool
    why: str = ""
    run: str | None = None


class MomentRow(Row, frozen=True, kw_only=True):
    """A run at a past moment: after the last of its changes up to there (`revision`, `at`; None: before the first).

    `reached` False: the journal has been read up to `revision` only, ask again.
    """

    run: str
    workflow: str
    revision: int
    at: str | None
    status: str
    tasks: dict[str, int] = {}
    reached: bool = True
    settings: dict[str, dict[str, int]] = {}


class ChangeRow(Row, frozen=True, kw_only=True):
    """A revision at which something of a run changed. `notable` is said where it was asked for."""

    revision: int
    at: str
    notable: bool = False


class WorkflowRow(Row, frozen=True, kw_only=True):
    """A workflow that was added."""

    workflow: str
    version: str
    paused: bool
    tasks: int
    owner: str = ""
    tags: tuple[str, ...] = ()
    description: str = ""
    schedules: tuple[str, ...] = ()
    next_at: str | None = None
    added_at: str | None = None
    last_run: str | None = None
    last_status: str | None = None
    file: str = ""
    params: list[dict[str, Any]] = []
    fault: str = ""
    """Why the newest text of its file was not taken, if so: the last good version stays."""


class ResourcesRow(Row, frozen=True, kw_only=True):
    """The host: capacity, what attempts claim, what is really used; pools as {name: {"slots", "claimed"}}.

    GPUs are {UUID: the part that is claimed, 0 to 1}, `gpus_used` what anybody really uses of them ({UUID: {"busy" in
    percent, "memory" in bytes}}; null where the driver does not tell), mutexes {name: who holds it}, `cores` those that
    can be pinned and `cores_bound` how many of them are, `reservation` who has room set aside ({"run", "row", "since",
    "due"}), and `owners` who shares the host: {"owner", "weight", "share" held now, "used" host-seconds, decayed}.
    `admission` is open, slow or closed by what the host is short of, `pressure` says of what, and what that means;
    while others keep more CPUs busy than they may, `cpus_others` is how many.
    """

    cpus: float
    cpus_claimed: float
    cpus_used: float | None = None
    memory: int
    memory_claimed: int
    memory_available: int | None = None
    memory_used: int | None = None
    load: float | None = None
    pools: dict[str, dict[str, int]] = {}
    running: int = 0
    ready: int = 0
    holders: list[dict[str, Any]] = []
    """Of live attempts, at most 100, the largest claims first: {"row", "run", "owner", "since", "cpu", "memory",
    "pools", "gpus", "scratch", "mutexes", "cpus": those that it is bound to, "exclusive", "rss", "released": CPUs that
    it has given back while it stands still, "still": why it does, "enforced": how each of its quotas is, as in
    AttemptRow}."""
    scratch: int = 0
    scratch_claimed: int = 0
    scratch_free: int | None = None
    gpus: dict[str, float] = {}
    gpus_used: dict[str, dict[str, int | None]] = {}
    mutexes: dict[str, str] = {}
    cores: int = 0
    cores_bound: int = 0
    reservation: dict[str, Any] | None = None
    admission: str = "open"
    cpus_others: float | None = None
    owners: list[dict[str, Any]] = []
    pressure: list[str] = []
    """Why starts are slowed or stopped for the sake of the host, in sentences; empty while they are not."""


class QueueRow(Row, frozen=True, kw_only=True):
    """A stretch of `rows` rows of one task that wait for room, from the row named on. `rank` is its place in the queue
    (1 is next), None while it waits for rows of its own task; `expected` seconds are what an attempt is to take.

    `claim` holds what it asks for: {"cpu", "memory", "pools", "gpu", "scratch", "mutexes", "pin", "exclusive"}.
    """

    run: str
    task: str
    index: int | None
    rows: int
    rank: int | None = None
    owner: str = ""
    priority: int = 0
    backfill: bool = False
    reserved: bool = False
    expected: float | None = None
    claim: dict[str, Any] = {}
    reasons: list[dict[str, Any]] = []


class EngineRow(Row, frozen=True, kw_only=True):
    """The engine itself. `state` is serving, read_only or stopping."""

    pid: int
    state: str
    revision: int
    version: str
    protocol: int
    instance: str
    epoch: int
    started_at: str
    home: str
    socket: str
    keeper: int | None = None
    launchers: list[int] = []
    workers: list[int] = []
    meter: int | None = None
    runs: dict[str, int] = {}
    attempts: int = 0
    clients: int = 0
    disk_free: int | None = None
    store_bytes: int | None = None
    problems: list[str] = []
