"""The one table of what can be written: keys, what they hold, and a line about each.

The parser, its suggestions, the Python way of writing workflows and the JSON Schema all read these tables.
"""

import re
import signal
from typing import Any, get_args

from engine.definition.complaints import Complaints, Path
from engine.definition.kinds import (
    INVALID,
    Choice,
    Field,
    Flag,
    Json,
    JsonMap,
    Kind,
    ListOf,
    MapOf,
    Measure,
    Name,
    Number,
    Record,
    Text,
    as_written,
)
from engine.definition.written import WrittenFloat, WrittenInt
from engine.expressions.faults import did_you_mean
from engine.model.campaign import (
    LOOK_MAX_NS,
    LOOK_MIN_NS,
    LOOKS_MAX,
    REGEX_CHARS_MAX,
    REPEATS_MAX,
    SEED_MAX,
    TRIALS_MAX,
    WARMUPS_MAX,
    TrialOrder,
)  # fmt: skip
from engine.model.errors import ValueFault
from engine.model.instants import DAY, MILLISECOND, from_text, parse_duration
from engine.model.resources import parse_cpu, parse_gpu, parse_size
from engine.model.workflow import (
    PRIORITY_MAX,
    QUOTA_FIELDS,
    RETRY_DELAY_MAX_NS,
    ROWS_MAX,
    SCHEDULE_INTERVAL_MIN_NS,
    CatchUp,
    Fold,
    Gap,
    IfRunning,
    Jitter,
    OnLog,
    OnLost,
    OnPause,
    ParamType,
    Preemption,
    TriggerRule,
)
from engine.scheduling.trials import values_fault

TASKS_MAX = 1_000_000
RETRY_LIMIT_MAX = 1_000
SLOTS_MAX = 1_000_000
PROCESSES_MAX = 4_194_304
OPEN_FILES_MAX = 1_048_576
DURATION_MAX_NS = 3_650 * DAY
ENV_NAME_PATTERN = "[A-Za-z_][A-Za-z0-9_]*"
RETRY_ON = (
    "failed", "timed_out", "signalled", "over_quota", *(f"over_quota.{which}" for which in QUOTA_FIELDS), "not_started",
)  # fmt: skip
GROW = tuple(QUOTA_FIELDS)
_DURATION_PATTERN = r"^\s*(\d+(\.\d+)?|(\d+(\.\d+)?\s*(us|ms|s|m|h|d|w))+)\s*$"
_SIZE_PATTERN = r"^\s*\d+(\.\d+)?\s*(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB|K|M|G|T)?\s*$"


def _duration(least: int = 0, most: int = DURATION_MAX_NS) -> Measure:
    return Measure("a duration such as 30s, 5m or 1h30m", parse_duration, least, most, _DURATION_PATTERN)


def _size(least: int = 0) -> Measure:
    return Measure("a size such as 512MiB or 2GiB", parse_size, least, 2**62, _SIZE_PATTERN)


class _Signal(Kind):
    """A signal by its name or number."""

    expected = "a signal such as TERM or INT"

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        names = {str(s.name).removeprefix("SIG"): int(s) for s in signal.Signals}
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 64:
            return int(value)
        if isinstance(value, str) and value.upper().removeprefix("SIG") in names:
            return names[value.upper().removeprefix("SIG")]
        hint = did_you_mean(value.upper(), list(names)) if isinstance(value, str) else ""
        return self.refuse(value, path, complaints, hint)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 1, "maximum": 64}]}


class _Instant(Kind):
    """An RFC 3339 instant, as ns since the epoch."""

    expected = "an instant such as 2026-01-31T00:00:00Z"

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        try:
            return from_text(value) if isinstance(value, str) else self.refuse(value, path, complaints)
        except ValueFault as fault:
            complaints.add(path, fault.sentence)
            return INVALID

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


class _PoolClaim(Kind):
    """Pools to claim slots of: a map to numbers of slots, or names for one slot each."""

    expected = "a map from pools to slots, or a list of pools"
    _map = MapOf(Number(1, SLOTS_MAX), Name())
    _list = ListOf(Name(), single=True)

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        if isinstance(value, dict):
            return self._map.read(value, path, complaints)
        if not isinstance(value, list | str):
            return self.refuse(value, path, complaints)
        names = self._list.read(value, path, complaints)
        return names if names is INVALID else tuple(sorted((name, 1) for name in set(names)))

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self._map.schema(), self._list.schema()]}


class _Mutexes(Kind):
    """Names of which nobody else may hold one at the same time."""

    expected = "a name, or a list of names"
    _list = ListOf(Name(), single=True)

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        if not isinstance(value, list | str):
            return self.refuse(value, path, complaints)
        names = self._list.read(value, path, complaints)
        return names if names is INVALID else tuple(sorted(set(names)))

    def schema(self) -> dict[str, Any]:
        return self._list.schema()


class _Tolerate(Kind):
    """How many rows may fail: a count, or a share such as "5%". Gives (count, percent)."""

    expected = 'a count, or a share such as "5%"'

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= ROWS_MAX:
            return int(value), 0.0
        if isinstance(value, str) and value.strip().endswith("%"):
            try:
                percent = float(value.strip()[:-1])
            except ValueError:
                percent = -1.0
            if 0 <= percent <= 100:
                return 0, percent
        return self.refuse(value, path, complaints)

    def schema(self) -> dict[str, Any]:
        share = {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*%\s*$"}
        return {"anyOf": [{"type": "integer", "minimum": 0, "maximum": ROWS_MAX}, share]}


class _ForEach(Kind):
    """A list of items, or a text with one `{{ }}` that gives the list."""

    expected = "a list, or one {{ }} that gives a list"
    _json = Json()

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        if isinstance(value, str) and "{{" in value:
            return value
        if not isinstance(value, list):
            return self.refuse(value, path, complaints)
        return self._json.read(value, path, complaints)

    def schema(self) -> dict[str, Any]:
        listed = {"type": "array", "maxItems": ROWS_MAX}
        return {"anyOf": [listed, {"type": "string", "pattern": r"\{\{"}]}


class _Values(Kind):
    """The values of a parameter of a matrix: a list of scalars, or a text with one `{{ }}` that gives one."""

    expected = "a list of values, or one {{ }} that gives one"
    _json = Json()

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        if isinstance(value, str) and "{{" in value:
            return value
        if not isinstance(value, list):
            return self.refuse(value, path, complaints)
        plain = self._json.read(value, path, complaints)
        fault = "" if plain is INVALID else values_fault(plain)
        if fault:
            complaints.add(path, fault)
        return INVALID if fault else plain

    def schema(self) -> dict[str, Any]:
        listed = {"type": "array", "maxItems": ROWS_MAX, "items": {"type": ["string", "number", "boolean", "null"]}}
        return {"anyOf": [listed, {"type": "string", "pattern": r"\{\{"}]}


class _Regex(Kind):
    """A regular expression with one group, for a number in a log."""

    expected = "a regular expression"

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        if not isinstance(value, str):
            return self.refuse(value, path, complaints)
        fault = regex_fault(value)
        if fault:
            complaints.add(path, *fault)
            return INVALID
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "regex", "pattern": r"\(", "maxLength": REGEX_CHARS_MAX}


def regex_fault(text: str) -> tuple[str, str] | None:
    """Why the text cannot find a metric in a log, and a hint; None where it can."""
    if len(text) > REGEX_CHARS_MAX:
        return f"a regular expression has at most {REGEX_CHARS_MAX} characters", ""
    try:
        groups = re.compile(text).groups
    except (re.error, RecursionError, OverflowError) as error:
        return f"this is no regular expression: {error}", ""
    return None if groups == 1 else (f"one group is expected, not {groups}", "put ( ) around the number")


class _Scalar(Kind):
    """The short form of a parameter: its default, which also gives its type."""

    expected = "a default"

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "number", "boolean", "array"]}


class _ParamDefault(Json):
    """A default keeps how a number was written, in case the parameter is a text."""

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        return value if isinstance(value, WrittenInt | WrittenFloat) else super().read(value, path, complaints)


class _EnvName(Text):
    """The name of an environment variable."""

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        text = str(value)
        if not (text.isascii() and text.isidentifier()):
            complaints.add(path, "this is no name of an environment variable", "letters, digits and _")
            return INVALID
        if text.startswith("ORCHCTL_"):
            complaints.add(path, "names that begin with ORCHCTL_ are set by the engine")
            return INVALID
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{ENV_NAME_PATTERN}$"}


class _Run(Kind):
    """A command: a list of words, or one text for the shell."""

    expected = "a list of words, or a text for the shell"
    _words = ListOf(Text("a word", command=True, scalars=True), least=1, most=10_000)
    _script = Text("a command", command=True, empty=False)

    def quick(self, value: Any) -> Any:
        if value.__class__ is list:
            return self._words.quick(value) if value and value[0] else INVALID
        return self._script.quick(value)

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        if isinstance(value, list):
            if value[:1] == [""]:
                complaints.add((*path, 0), "the first word is the command, and it is empty")
            return self._words.read(value, path, complaints)
        if isinstance(value, str):
            return self._script.read(value, path, complaints)
        return self.refuse(value, path, complaints)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self._words.schema(), self._script.schema()]}


def _words_of(literal: Any) -> Choice:
    return Choice(*get_args(literal))


RETRY = Record(
    {
        "limit": Field(Number(0, RETRY_LIMIT_MAX), "further attempts after the first"),
        "delay": Field(_duration(0, RETRY_DELAY_MAX_NS), "wait before the first retry", "delay_ns"),
        "backoff": Field(Number(1, 100, whole=False), "factor by which each wait is longer than the one before"),
        "max_delay": Field(_duration(0, RETRY_DELAY_MAX_NS), "the longest wait", "max_delay_ns"),
        "jitter": Field(_words_of(Jitter), "randomness of the wait: none, full (0 to all of it), equal (half to all)"),
        "on": Field(ListOf(Choice(*RETRY_ON), single=True), "outcomes that are retried; all when it is not there"),
        "exit_codes": Field(ListOf(Number(0, 255), single=True), "of `failed`, only these exit codes"),
        "exceptions": Field(
            ListOf(Text("the name of an exception", empty=False), single=True), "of `failed`, only these exceptions"
        ),
        "grow": Field(
            MapOf(Number(1, 100, whole=False), Choice(*GROW)), "factors for quota and claim after an over_quota of it"
        ),
    },
    short=Number(0, RETRY_LIMIT_MAX),
    short_for="limit",
)

_LOG = Record(
    {
        "limit": Field(_size(1), "the most output that is kept", "log_bytes"),
        "on_exceed": Field(_words_of(OnLog), "cut: the rest is dropped; stop: the attempt is over its quota", "on_log"),
    },
    short=_size(1),
    short_for="log_bytes",
)

QUOTA = Record(
    {
        "wall": Field(_duration(1), "the longest that an attempt may take", "wall_ns"),
        "memory": Field(_size(1), "the most memory that its processes may hold together", "memory_bytes"),
        "processes": Field(Number(1, PROCESSES_MAX), "the most processes at one time"),
        "threads": Field(Number(1, PROCESSES_MAX), "the most threads of all its processes at one time"),
        "cpu_time": Field(_duration(1), "the most CPU time that its processes may use together", "cpu_ns"),
        "cpu": Field(
            Measure("a number of CPUs such as 2 or 0.5", parse_cpu, 1, 10**8, r"^\s*\d+(\.\d+)?\s*$"),
            "the most CPUs at one time; it is slowed down, not ended", "cpu_milli",
        ),
        "open_files": Field(Number(3, OPEN_FILES_MAX), "the most open files of all its processes at one time"),
        "disk": Field(_size(1), "the most that it may add to the folder that it runs in", "disk_bytes"),
        "log": Field(_LOG, "the most output that is kept; a size, or a map that says what happens then"),
        "silence": Field(_duration(10 * MILLISECOND), "the longest that it may write no output", "silence_ns"),
    }
)  # fmt: skip

CLAIM = Record(
    {
        "cpu": Field(
            Measure("a number of CPUs such as 2 or 0.5", parse_cpu, 0, 10**8, r"^\s*\d+(\.\d+)?\s*$"),
            "CPUs that it needs while it runs; 1 unless written", "cpu_milli",
        ),
        "memory": Field(_size(), "memory that it needs while it runs", "memory_bytes"),
        "pools": Field(_PoolClaim(), "slots of named pools that it holds while it runs"),
        "mutex": Field(_Mutexes(), "names that it holds alone while it runs, in whatever workflow", "mutexes"),
        "gpu": Field(
            Measure("a number of GPUs, or a part of one such as 0.5", parse_gpu, 0, 10**6, r"^\s*\d+(\.\d+)?\s*$"),
            "GPUs that are its own while it runs (CUDA_VISIBLE_DEVICES names them), or a part of one", "gpu_milli",
        ),
        "scratch": Field(_size(), "disk that it needs while it runs", "scratch_bytes"),
        "pin": Field(
            Choice("core", "node"), "whole cores of its own that nobody else uses; node: all of one NUMA node"
        ),
        "exclusive": Field(Flag(), "it waits until nothing else runs, and has the host alone"),
    }
)  # fmt: skip

STOP = Record(
    {
        "signal": Field(_Signal(), "the signal that asks it to end"),
        "grace": Field(_duration(), "how long it may take until it is killed", "grace_ns"),
    }
)

SCHEDULE = Record(
    {
        "cron": Field(Text("a cron expression", empty=False), "minute, hour, day of month, month, day of week"),
        "every": Field(_duration(SCHEDULE_INTERVAL_MIN_NS), "an interval", "interval_ns"),
        "anchor": Field(_Instant(), "an instant from which intervals are counted; 1970 unless written", "anchor_ns"),
        "timezone": Field(Text("a time zone", empty=False), "an IANA zone such as Europe/Berlin; UTC unless written"),
        "dst": Field(
            Record(
                {
                    "gap": Field(_words_of(Gap), "for a local time that a clock change leaves out"),
                    "fold": Field(_words_of(Fold), "for a local time that comes twice"),
                }
            ),
            "what happens when the clock changes",
        ),
    },
    short=Text("a cron expression", empty=False),
    short_for="cron",
)

PARAM = Record(
    {
        "type": Field(_words_of(ParamType), "its type; taken from the default, or string"),
        "default": Field(_ParamDefault(), "its value when none is given; may be an expression over `partition`"),
        "choices": Field(ListOf(Json(), least=1, most=10_000), "the values that it may have"),
        "description": Field(Text(), "what it means"),
    },
    short=_Scalar(),
    short_for="default",
)

_NEED = Record(
    {
        "task": Field(Name(), "the task that is waited for"),
        "same_index": Field(Flag(), "row i waits for row i of that task only"),
    },
    short=Name(),
    short_for="task",
    needed=("task",),
)

POLICY = {
    "retry": Field(RETRY, "what happens after an attempt that did not succeed; a number is the limit"),
    "claim": Field(CLAIM, "what it needs while it runs; it waits until that is free"),
    "quota": Field(QUOTA, "the most that an attempt may use; only what is written is enforced"),
    "stop": Field(STOP, "how it is asked to end"),
    "env": Field(
        MapOf(Text("a text", command=True, scalars=True), _EnvName()), "environment variables; may hold expressions"
    ),
    "dir": Field(Text("a folder", empty=False), "where it runs; the workflow's folder unless written"),
    "pass_env": Field(
        ListOf(Text("a name or glob", empty=False), single=True), "variables of the engine's own environment, globs too"
    ),
    "trigger_rule": Field(_words_of(TriggerRule), "which ends of its needs let it start; all_success unless written"),
    "priority": Field(Number(-PRIORITY_MAX, PRIORITY_MAX), "higher goes first; 0 unless written"),
    "preemption": Field(
        _words_of(Preemption),
        "for what has a higher priority: requeue: it may be stopped, and goes again later; suspend: it may stand still "
        "and give its CPUs back until there is room again, if it is memory-light",
    ),
    "on_pause": Field(
        _words_of(OnPause),
        "release: while it is paused others have its CPUs, if it is memory-light (it occupies no more than it claims, "
        "or 5 % of the host's memory); keep: nobody has them",
    ),
    "on_lost": Field(_words_of(OnLost), "after an attempt whose end nobody saw: rerun, or hold for an operator"),
}

METRIC = Record(
    {
        "unit": Field(Text("a unit", empty=False), "what it is counted in, such as s, B or MB/s"),
        "better": Field(Choice("lower", "higher"), "which direction is better; without it nothing is judged"),
        "regex": Field(_Regex(), "looked for in the log; its only group is the number, and the last match counts"),
    },
    short=Text("a unit", empty=False),
    short_for="unit",
)

_SHARE = Number(0, 1, whole=False)
NOISE = Record(
    {
        "foreign": Field(_SHARE, "the share of all CPUs that others may use, 0 to 1"),
        "forgiven": Field(Number(0, 10_000, whole=False), "CPUs of others that never count, whatever `foreign` says"),
        "stolen": Field(_SHARE, "the share of all CPUs that a hypervisor may take"),
        "memory": Field(_SHARE, "the share of the time in which something may wait for memory"),
        "io": Field(_SHARE, "the share of the time in which something may wait for a disk"),
        "frequency": Field(_SHARE, "how far the CPUs' frequency may be off from that at the beginning, as a share"),
        "look": Field(_duration(LOOK_MIN_NS, LOOK_MAX_NS), "how long the host is watched before a trial", "look_ns"),
        "looks": Field(Number(1, LOOKS_MAX), "how often at most, while others are at work; then it starts anyway"),
    }
)

CAMPAIGN = {
    "matrix": Field(MapOf(_Values(), Name(), ordered=True), "parameters and their values: rows for all combinations"),
    "trials": Field(
        Number(1, TRIALS_MAX), "how often each combination is tried, one at a time unless `max_parallel` says otherwise"
    ),
    "warmups": Field(Number(0, WARMUPS_MAX), "trials before these, which do not count: their `item.trial` is below 1"),
    "order": Field(_words_of(TrialOrder), "interleaved (round by round), random or sequential (one after the other)"),
    "seed": Field(Number(0, SEED_MAX), "of the random order; 0 unless written"),
    "repeat_noisy": Field(Number(0, REPEATS_MAX), "how often a trial that the host disturbed goes again, at no retry"),
    "noise": Field(NOISE, "from when on a trial counts as disturbed; the host's own limits unless written"),
    "metrics": Field(MapOf(METRIC, Name(), ordered=True), "numbers that an attempt reports, to compare runs by"),
}

TASK = Record(
    {
        "run": Field(_Run(), "the command: a list is executed directly, a text by `sh -e -c`"),
        "shell": Field(Text("a script", command=True, empty=False), "a script for bash with -e and pipefail"),
        "python": Field(Text("module:function or script.py", empty=False), "a Python function or script"),
        "args": Field(JsonMap(), "arguments of the Python function; texts may hold expressions"),
        "interpreter": Field(Text("a path", empty=False), "the Python interpreter; the engine's own unless written"),
        "isolate": Field(Flag(), "a process of its own instead of a warm worker"),
        "needs": Field(ListOf(_NEED, single=True), "the tasks that it waits for"),
        "when": Field(Text("an expression", empty=False), "it is skipped unless this is true; may look at its needs"),
        "for_each": Field(_ForEach(), "one row for each item; `item` and `index` are known in its expressions"),
        "max_parallel": Field(Number(0, ROWS_MAX), "the most rows at one time; 0 is no limit"),
        "tolerate": Field(_Tolerate(), "how many rows may fail before the task has failed"),
        **CAMPAIGN,
        **POLICY,
        "outputs": Field(ListOf(Text("an output", empty=False), single=True), "what it makes; may hold expressions"),
        "setup": Field(Flag(), "it prepares what a teardown removes again"),
        "teardown": Field(ListOf(Name(), single=True, least=1), "it cleans up after these setups", "teardown_for"),
        "owner": Field(Text(), "who is responsible"),
        "tags": Field(ListOf(Text(empty=False), single=True), "words to find it by"),
        "description": Field(Text(), "what it does"),
    }
)

HEAD = Record(
    {
        "name": Field(Name(), "the workflow's name; the file's unless written"),
        "owner": Field(Text(), "who is responsible"),
        "description": Field(Text(), "what it does"),
        "tags": Field(ListOf(Text(empty=False), single=True), "words to find it by"),
        "schedule": Field(ListOf(SCHEDULE, single=True, most=100), "when a run is due", "schedules"),
        "catch_up": Field(_words_of(CatchUp), "which of the runs that were missed are made up for"),
        "if_running": Field(_words_of(IfRunning), "what happens when a run is due and the one before goes on"),
        "durability": Field(
            Choice("strict", "relaxed"), "relaxed: attempts may start ahead of the disk, and twice after a crash"
        ),
        "params": Field(MapOf(PARAM, Name(), ordered=True), "inputs of a run"),
        "pools": Field(MapOf(Number(1, SLOTS_MAX), Name()), "named pools and their slots"),
        "defaults": Field(Record(POLICY), "what holds for every task that does not say otherwise, key by key"),
    }
)


def as_text(value: Any) -> Any:
    """A default of a text parameter as it was written; anything else as it is."""
    written = as_written(value)
    return value if written is None else written
