"""A workflow as the engine keeps it: the same whether it was written in YAML or in Python.

Text fields that may hold `{{ }}` stay text here; `engine.expressions` compiles them. Everything is frozen, so one
object serves all runs of a version and equal workflows have equal encodings. The version of a workflow is the hash of
its encoding without `source`, so that comments and line breaks make no new version.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from engine.model.campaign import Campaign
from engine.model.instants import DAY, HOUR, SECOND
from engine.model.packed import Packed, Packer
from engine.model.resources import Claim

ROWS_MAX = 1_000_000
PRIORITY_MAX = 1_000
DEFINITION_BYTES_MAX = 64 * 2**20
RESULT_BYTES_MAX = 2**20
SCHEDULE_INTERVAL_MIN_NS = SECOND
RETRY_DELAY_MAX_NS = 30 * DAY

ParamType = Literal["string", "integer", "number", "boolean", "date", "datetime", "duration", "list", "map"]
TriggerRule = Literal[
    "all_success", "all_failed", "all_done", "all_done_min_one_success", "all_done_setup_success", "one_success",
    "one_failed", "one_done", "none_failed", "none_skipped", "always", "none_failed_min_one_success", "all_skipped",
]  # fmt: skip
Gap = Literal["skip", "run_after"]
Fold = Literal["first", "last", "both"]
Jitter = Literal["none", "full", "equal"]
OnLog = Literal["cut", "stop"]
OnLost = Literal["rerun", "hold"]
Preemption = Literal["never", "requeue", "suspend"]
OnPause = Literal["release", "keep"]
CatchUp = Literal["none", "last", "all"]
IfRunning = Literal["skip", "queue_one", "queue_all", "cancel", "kill", "allow"]


class Param(msgspec.Struct, frozen=True):
    """A declared input of a workflow. `default` is a JSON value or text with `{{ }}`; UNSET means it is required."""

    name: str
    type: ParamType = "string"
    default: Any = msgspec.UNSET
    choices: tuple[Any, ...] = ()
    description: str = ""


class Schedule(msgspec.Struct, frozen=True):
    """When a run is due. Exactly one of `cron` and `interval_ns` is set.

    `gap` says what happens to a local time that a clock change leaves out, `fold` to one that comes twice.
    An interval counts from `anchor_ns` (0: the epoch), so it does not depend on when the engine started.
    """

    cron: str = ""
    interval_ns: int = 0
    anchor_ns: int = 0
    timezone: str = "UTC"
    gap: Gap = "run_after"
    fold: Fold = "first"


class Retry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`limit` further attempts after the first. The n-th retry waits delay * backoff**(n-1), at most max_delay.

    `on` names outcomes (`failed`, `timed_out`, `signalled`, `over_quota`, `over_quota.memory`, `not_started`); empty
    means all of them. `exit_codes` and `exceptions` narrow `failed` where they are not empty. `grow` multiplies the
    quota of a resource after an over_quota of it, and the claim where there is one: pairs of name and factor.
    """

    limit: int = 0
    delay_ns: int = 0
    backoff: float = 1.0
    max_delay_ns: int = HOUR
    jitter: Jitter = "none"
    on: tuple[str, ...] = ()
    exit_codes: tuple[int, ...] = ()
    exceptions: tuple[str, ...] = ()
    grow: tuple[tuple[str, float], ...] = ()


class Quota(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The most an attempt may use, with all processes of its tree; 0 means no limit was written.

    `cpu_ns` is CPU time in all, `cpu_milli` the share of the host at any time, which never ends an attempt.
    `disk_bytes` is what it may add to its folder, `silence_ns` how long it may write no output. A log that is too long
    is cut, or (`on_log`) ends the attempt.
    """

    wall_ns: int = 0
    memory_bytes: int = 0
    processes: int = 0
    log_bytes: int = 0
    cpu_ns: int = 0
    cpu_milli: int = 0
    threads: int = 0
    open_files: int = 0
    disk_bytes: int = 0
    silence_ns: int = 0
    on_log: OnLog = "cut"

    @property
    def of_tree(self) -> bool:
        """Whether it limits more than the time and the log: such an attempt has a process of its own."""
        return bool(
            self.memory_bytes or self.processes or self.cpu_ns or self.cpu_milli or self.threads or self.open_files
            or self.disk_bytes or self.silence_ns or self.on_log == "stop"
        )  # fmt: skip


QUOTA_FIELDS = {
    "memory": "memory_bytes", "processes": "processes", "threads": "threads", "cpu_time": "cpu_ns",
    "open_files": "open_files", "disk": "disk_bytes", "log": "log_bytes", "silence": "silence_ns",
}  # fmt: skip
"""What an attempt can go over, by the name that its outcome has."""


class Stop(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How an attempt is asked to end: the signal's number, then after the grace SIGKILL to the whole tree."""

    signal: int = 15
    grace_ns: int = 10 * SECOND


class Need(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An upstream task. With `same_index`, row i waits for row i of it only."""

    task: str
    same_index: bool = False


class Command(msgspec.Struct, frozen=True, array_like=True, tag=0, gc=False):
    """Executed directly. Each word may hold `{{ }}`."""

    argv: tuple[str, ...]


class Shell(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """Run by `sh -e -c` or `bash -e -o pipefail -c`; `{{ }}` is inserted shell-quoted."""

    script: str
    bash: bool = False


class Python(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """`module:function`, or a script ending in .py. `interpreter` empty means the engine's own."""

    target: str
    args: dict[str, Any] = {}
    interpreter: str = ""
    isolate: bool = False


Action = Command | Shell | Python


class Policy(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Everything about a task that many tasks share. Tasks refer to it by index, so it is stored once."""

    claim: Claim = Claim()
    quota: Quota = Quota()
    retry: Retry = Retry()
    stop: Stop = Stop()
    trigger_rule: TriggerRule = "all_success"
    priority: int = 0
    on_lost: OnLost = "rerun"
    dir: str = ""
    env: tuple[tuple[str, str], ...] = ()
    pass_env: tuple[str, ...] = ()
    preemption: Preemption = "never"
    on_pause: OnPause = "release"


class Task(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One task. `for_each` is a list or text holding one `{{ }}`; None means the task has a single row, unless its
    campaign has trials: these are its rows then.

    `tolerate` is the number of rows that may fail (`tolerate_percent`: of 100) before the task has failed.
    A teardown names its setups in `teardown_for`; a setup is a task that such a teardown names.
    """

    name: str
    action: Action
    policy: int = 0
    needs: tuple[Need, ...] = ()
    when: str = ""
    for_each: Any = None
    max_parallel: int = 0
    tolerate: int = 0
    tolerate_percent: float = 0.0
    setup: bool = False
    teardown_for: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    description: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    campaign: Campaign | None = None

    @property
    def mapped(self) -> bool:
        """Whether rows arrive by expansion, when the list of items is known."""
        return self.for_each is not None or self.has_trials

    @property
    def has_trials(self) -> bool:
        return self.campaign is not None and self.campaign.trials > 0

    @property
    def row_texts(self) -> tuple[str, ...]:
        """The texts with `{{ }}` that say which rows there are."""
        values = (self.for_each,) if self.campaign is None else (values for _, values in self.campaign.matrix)
        return tuple(value for value in values if isinstance(value, str))

    @property
    def teardown(self) -> bool:
        return bool(self.teardown_for)


class Source(msgspec.Struct, frozen=True):
    """Where a workflow came from, and its text as it was then; `folder` is absolute."""

    file: str = ""
    folder: str = ""
    text: str = ""


class Workflow(msgspec.Struct, frozen=True):
    """A named definition of tasks, their dependencies and triggers. `tasks` keeps the order of the file."""

    name: str
    tasks: Sequence[Task]
    policies: tuple[Policy, ...] = (Policy(),)
    params: tuple[Param, ...] = ()
    pools: tuple[tuple[str, int], ...] = ()
    schedules: tuple[Schedule, ...] = ()
    catch_up: CatchUp = "none"
    if_running: IfRunning = "skip"
    durability: Literal["strict", "relaxed"] = "strict"
    description: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    source: Source = Source()


_PACKED_FROM_BYTES = 64 * 2**10
_TASK_BYTES_MAX = 16 * 2**10
_encoder = msgspec.msgpack.Encoder(order="deterministic")
_packer = Packer(Task)
# As a workflow, but with the tasks left encoded.
_outline: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(
    msgspec.defstruct(
        "Outline",
        [
            (field.name, msgspec.Raw if field.name == "tasks" else field.type, field.default)
            for field in msgspec.structs.fields(Workflow)
        ],
    )
)


def encode(workflow: Workflow) -> bytes:
    """The bytes by which a workflow is sent and stored."""
    if isinstance(workflow.tasks, Packed):
        workflow = msgspec.structs.replace(workflow, tasks=msgspec.Raw(workflow.tasks.encoded()))
    return _encoder.encode(workflow)


def decode(data: bytes) -> Workflow:
    """The workflow of `encode`. Raises ValueError (also for bad UTF-8) where the bytes are none.

    The tasks of a large one stay packed, unless some are so long that making them anew would be slow.
    """
    outline = _outline.decode(data)
    tasks = _packer.pack(outline.tasks)
    packed = len(data) > _PACKED_FROM_BYTES and tasks.longest <= _TASK_BYTES_MAX
    fields: dict[str, Any] = {name: getattr(outline, name) for name in Workflow.__struct_fields__}
    fields["tasks"] = tasks if packed else tuple(tasks)
    return Workflow(**fields)


def version_of(workflow: Workflow) -> str:
    """16 hexadecimal digits that only a real change of the definition changes; its folder is part of it."""
    from hashlib import blake2b  # it loads OpenSSL, and those who only compile or send a definition need none of it

    folder_only = msgspec.structs.replace(workflow, source=Source(folder=workflow.source.folder))
    return blake2b(encode(folder_only), digest_size=8).hexdigest()
