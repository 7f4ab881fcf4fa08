"""The tables of the store and the keys of their records.

Keys are big endian, so that the order of bytes is the order of numbers and a run's records lie side by side. A row's
index is stored plus one, because NO_INDEX is -1. Everything about a run that may be dropped with it has the run's
number first in its key (RUN_TABLES).

Indexes hold keys only. `by_status` and `by_workflow` answer pages of runs, `by_partition` whether a due instant has had
a run, `finished` is the order in which finished runs are forgotten, `by_version` says whether a version is still in
use; `run_status` remembers what these hold of a run, so that a change of status removes exactly the entries that it
made.
"""

from enum import IntEnum
from struct import Struct

from engine.model.ids import NO_INDEX


class Table(IntEnum):
    """A named database of the environment. The number seeds the checksum, so it is never reused."""

    META = 1
    JOURNAL = 2
    """revision -> the batch's instant, events and references."""
    JOURNAL_BY_RUN = 3
    """(run, revision) -> nothing: which batches concern a run."""
    RUNS = 4
    """run -> RunHeader."""
    ROWS = 5
    """(run, chunk) -> columns of up to CHUNK_ROWS rows."""
    ATTEMPTS = 6
    """(run, task, index, number) -> Attempt."""
    LIVE = 7
    """attempt -> its key in ATTEMPTS, while it is live."""
    ITEMS = 8
    """(run, task, part) -> the items of a `for_each`: part 0 describes, the others are pieces."""
    RESULTS = 9
    """(run, task, index) -> JSON."""
    VERSIONS = 10
    """version -> Workflow."""
    WORKFLOWS = 11
    """name -> WorkflowEntry."""
    AUDIT = 12
    """(revision, n) -> AuditEntry, chained by hashes."""
    REQUESTS = 13
    """(revision, n) -> the request's id and its answer."""
    HISTORY = 14
    """(run, first revision) -> the run's part of journal batches that were pruned."""
    RUN_STATUS = 15
    """run -> status, instant of finishing: what the indexes hold of it."""
    BY_STATUS = 16
    """(status, run) -> nothing."""
    BY_WORKFLOW = 17
    """(workflow, status, run) -> nothing."""
    FINISHED = 18
    """(instant, run) -> nothing."""
    BY_VERSION = 19
    """(version, run) -> nothing."""
    DROPPING = 20
    """run -> nothing: its records are being removed, and then its logs."""
    QUARANTINE = 21
    """(table, key) -> a damaged record as it was found."""
    BLOCKS = 22
    """(run, attempt) -> a block, while it lives."""
    SPANS = 23
    """(run, task, number, first index) -> attempts of a block that ended well, one after the other."""

    BACKFILLS = 24
    """backfill -> Backfill."""
    BY_PARTITION = 25
    """(workflow, due instant, run) -> nothing: the runs that schedules and backfills made."""

    @property
    def db_name(self) -> bytes:
        return self.title.encode()

    @property
    def title(self) -> str:
        """The name for people."""
        return self.name.lower()


RUN_TABLES = (
    Table.ROWS, Table.ATTEMPTS, Table.ITEMS, Table.RESULTS, Table.HISTORY, Table.JOURNAL_BY_RUN, Table.SPANS,
    Table.BLOCKS,
)  # fmt: skip
"""What is deleted by prefix when a run is forgotten. Its header and indexes go first: nobody sees half a run."""

FORMAT_KEY = b"format"
ABOUT_KEY = b"about"
STATE_KEY = b"state"
AUDIT_TIP_KEY = b"audit_tip"
INDEXES_KEY = b"indexes"
"""The generation of the indexes: those of an older one lack entries, and are made anew from the headers."""
INDEXES_GENERATION = 1

_ONE = Struct(">Q")
_PAIR = Struct(">QQ")
_PART = Struct(">QI")
_ROW = Struct(">QII")
_ATTEMPT = Struct(">QIIH")
_SPAN = Struct(">QIHI")
_SPANS_OF = Struct(">QIH")
_STATUS = Struct(">BQ")

number_key = _ONE.pack
"""Key of a revision, run or attempt."""
pair_key = _PAIR.pack
"""Key of (run, revision), (instant, run) or (run, attempt)."""
part_key = _PART.pack
"""Key of (run, chunk) or (revision, n)."""
item_key = _ROW.pack
"""Key of (run, task, part)."""
span_key = _SPAN.pack
"""Key of a span: (run, task, number, first index)."""
spans_prefix = _SPANS_OF.pack
"""The prefix of the spans of (run, task, number)."""
status_key = _STATUS.pack
"""Key of (status, run)."""
attempt_key_packed = _ATTEMPT.pack
"""As `attempt_key` with the index plus one: for whoever packs many."""
ATTEMPT_KEY_BYTES = _ATTEMPT.size


def attempt_key(run: int, task: int, index: int, number: int) -> bytes:
    """Key of one attempt of a row."""
    return _ATTEMPT.pack(run, task, index - NO_INDEX, number)


def row_key(run: int, task: int, index: int) -> bytes:
    """Key of a row's result, and the prefix of its attempts."""
    return _ROW.pack(run, task, index - NO_INDEX)


def number_of(key: bytes) -> int:
    """The first number of a key: its revision, run, attempt or instant."""
    return _ONE.unpack_from(key)[0]


def last_number_of(key: bytes) -> int:
    """The last eight bytes as a number: the run of an index's key, the revision of (run, revision)."""
    return _ONE.unpack_from(key, len(key) - 8)[0]


def part_of(key: bytes) -> tuple[int, int]:
    """(run, chunk) or (revision, n)."""
    return _PART.unpack(key)


def row_of(key: bytes) -> tuple[int, int, int]:
    """(run, task, index) of a result's key."""
    run, task, index = _ROW.unpack(key)
    return run, task, index + NO_INDEX


def attempt_of(key: bytes) -> tuple[int, int, int, int]:
    """(run, task, index, number) of an attempt's key."""
    run, task, index, number = _ATTEMPT.unpack(key)
    return run, task, index + NO_INDEX, number


def span_of(key: bytes) -> tuple[int, int, int, int]:
    """(run, task, number, first index) of a span's key."""
    return _SPAN.unpack(key)


def workflow_prefix(workflow: str, status: int) -> bytes:
    """The prefix of one status of a workflow's runs. Names hold no NUL."""
    return workflow.encode() + b"\0" + bytes((status,))


def partition_prefix(workflow: str, due_ns: int) -> bytes:
    """The prefix of the runs of one due instant of a workflow."""
    return workflow.encode() + b"\0" + _ONE.pack(due_ns)


def version_prefix(version: str) -> bytes:
    """The prefix of the runs that were made from a version."""
    return version.encode() + b"\0"


def key_text(table: Table, key: bytes) -> str:
    """A key as a person reads it in an error."""
    if table in (Table.RUNS, Table.RUN_STATUS, Table.DROPPING) and len(key) == 8:
        return f"r{number_of(key)}"
    if table in (Table.ROWS, Table.AUDIT, Table.REQUESTS) and len(key) == _PART.size:
        first, second = part_of(key)
        return f"r{first} chunk {second}" if table is Table.ROWS else f"{first}.{second}"
    if table is Table.ATTEMPTS and len(key) == _ATTEMPT.size:
        run, task, index, number = attempt_of(key)
        return f"r{run} task {task} index {index} attempt {number}"
    if table is Table.SPANS and len(key) == _SPAN.size:
        run, task, number, index = span_of(key)
        return f"r{run} task {task} from index {index} on, attempt {number}"
    if table is Table.BLOCKS and len(key) == _PAIR.size:
        return f"r{number_of(key)} attempt {last_number_of(key)}"
    if table in (Table.ITEMS, Table.RESULTS) and len(key) == _ROW.size:
        run, task, index = row_of(key)
        return f"r{run} task {task} " + (f"part {index + 1}" if table is Table.ITEMS else f"index {index}")
    if table in (Table.HISTORY, Table.JOURNAL_BY_RUN) and len(key) == _PAIR.size:
        return f"r{number_of(key)} revision {last_number_of(key)}"
    if table is Table.BACKFILLS and len(key) == 8:
        return f"b{number_of(key)}"
    if table in (Table.JOURNAL, Table.LIVE) and len(key) == 8:
        return str(number_of(key))
    if table in (Table.META, Table.VERSIONS, Table.WORKFLOWS):
        return ascii(key.decode(errors="replace"))
    return key.hex()
