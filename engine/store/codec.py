"""How records look as bytes: a checksum, then msgpack.

The checksum (CRC-32) covers the table, the key and the body, so a flipped bit is found and so is a record that lies
under another's key. LMDB itself has no checksums: without these a flipped bit in a value would be believed.

Attempts are many, so they are arrays without field names (AttemptRecord); headers and entries are few, so they are maps
and may grow fields that have a default. Rows are the columns of up to CHUNK_ROWS rows one after another, in the byte
order of the host, as is the whole file of LMDB. Items are one encoded list in pieces of at most ITEM_PART_BYTES, or a
range as its three numbers.
"""

import json
import zlib
from array import array
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import msgspec

from engine.core.changes import AuditEntry, Span
from engine.core.events import AnyEvent, LogSlice, Measured, Usage
from engine.core.state import CHUNK_ROWS, Attempt, Backfill, Meta, Pause, RunHeader, RunState, WorkflowEntry
from engine.model.resources import UNBOUND, Binding, Claim
from engine.model.status import AttemptStatus, Outcome
from engine.model.workflow import Workflow, decode
from engine.store.errors import StoreDamage
from engine.store.tables import ATTEMPT_KEY_BYTES, Table, attempt_of, last_number_of, number_of

ITEM_PART_BYTES = 64 * 2**10
COMPRESS_FROM_BYTES = 512
ROW_BYTES = 21
_SEALED_BYTES = 4

T = TypeVar("T")
_crc = zlib.crc32
_seed = {table: zlib.crc32(table.db_name) for table in Table}
_pack = msgspec.msgpack.Encoder().encode


class AttemptRecord(msgspec.Struct, frozen=True, array_like=True):
    """An attempt without what its key says. Fields are only ever added, at the end, with a default."""

    attempt: int
    claim: Claim
    status: AttemptStatus
    ordered_ns: int
    started_ns: int
    finished_ns: int
    pid: int
    start_ticks: int
    claim_from: int
    stop: str
    outcome: Outcome | None
    usage: Usage
    log: LogSlice
    binding: Binding = UNBOUND
    frozen: bool = False
    still_ns: int = 0
    still_since_ns: int = 0
    levels: tuple[tuple[str, str], ...] = ()
    measured: Measured | None = None
    on_success: bool = False
    pause: Pause | None = None


class BlockRecord(msgspec.Struct, frozen=True, array_like=True):
    """A block that lives, without what its key says."""

    task: int
    index: int
    number: int
    claim: Claim
    status: AttemptStatus
    ordered_ns: int
    started_ns: int
    finished_ns: int
    pid: int
    start_ticks: int
    claim_from: int
    log: LogSlice
    count: int
    done: int
    limit: int
    stops: dict[int, str]
    binding: Binding = UNBOUND
    frozen: bool = False
    still_ns: int = 0
    still_since_ns: int = 0
    pause: Pause | None = None


class JournalRecord(msgspec.Struct, frozen=True, array_like=True):
    """One batch. `refs` says whose the attempts are that its events only number: see `attempt_refs`."""

    now_ns: int
    events: list[AnyEvent]
    refs: bytes = b""


class HistoryBatch(msgspec.Struct, frozen=True, array_like=True):
    """A run's own part of one batch: its events, each with its position in the batch."""

    revision: int
    now_ns: int
    events: list[tuple[int, AnyEvent]]
    refs: bytes


class HistoryRecord(msgspec.Struct, frozen=True, array_like=True):
    """A run's own part of batches that were pruned from the journal, in order."""

    batches: list[HistoryBatch]


class AuditRecord(msgspec.Struct, frozen=True, array_like=True):
    """`before` is the hash of the entry before, so that none can be changed or taken out unnoticed."""

    now_ns: int
    before: bytes
    entry: AuditEntry


class RequestRecord(msgspec.Struct, frozen=True, array_like=True):
    """The answer that a repeat of the request gets."""

    request_id: str
    now_ns: int
    answer: dict[str, Any]


class RunStatusRecord(msgspec.Struct, frozen=True, array_like=True):
    """What the indexes hold of a run."""

    status: int
    finished_ns: int
    workflow: str
    version: str
    due_ns: int = 0


class About(msgspec.Struct, kw_only=True):
    """Who made the state, for people."""

    engine_version: str
    lmdb_version: str
    created_ns: int


class ItemsRecord(msgspec.Struct, frozen=True, array_like=True):
    """Part 0: either `length` bytes of an encoded list follow in parts, or the items are a range."""

    kind: str
    length: int = 0
    start: int = 0
    stop: int = 0
    step: int = 1


_attempt = msgspec.msgpack.Decoder(AttemptRecord)
_header = msgspec.msgpack.Decoder(RunHeader)
_entry = msgspec.msgpack.Decoder(WorkflowEntry)
_meta = msgspec.msgpack.Decoder(Meta)
_backfill = msgspec.msgpack.Decoder(Backfill)
_block = msgspec.msgpack.Decoder(BlockRecord)
_span = msgspec.msgpack.Decoder(Span)
_journal = msgspec.msgpack.Decoder(JournalRecord)
_history = msgspec.msgpack.Decoder(HistoryRecord)
_audit = msgspec.msgpack.Decoder(AuditRecord)
_request = msgspec.msgpack.Decoder(RequestRecord)
_status = msgspec.msgpack.Decoder(RunStatusRecord)
_items = msgspec.msgpack.Decoder(ItemsRecord)
_list = msgspec.msgpack.Decoder(list[Any])
_about = msgspec.msgpack.Decoder(About)


def seal(table: Table, key: bytes, body: bytes) -> bytes:
    """The record as it is stored."""
    return _crc(body, _crc(key, _seed[table])).to_bytes(4, "big") + body


def unseal(table: Table, key: bytes, value: bytes) -> bytes:
    """The body of a stored record. Raises StoreDamage."""
    body = value[_SEALED_BYTES:]
    if len(value) < _SEALED_BYTES or _crc(body, _crc(key, _seed[table])) != int.from_bytes(value[:4], "big"):
        raise StoreDamage("its checksum is wrong", table, key)
    return body


def encode(record: msgspec.Struct) -> bytes:
    """The body of any record that is a struct."""
    return _pack(record)


def _read(decoder: msgspec.msgpack.Decoder[T], table: Table, key: bytes, body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StoreDamage(f"it cannot be understood ({error})", table, key) from error


# --- single records -------------------------------------------------------------------------------------------------


def encode_attempt(attempt: Attempt) -> bytes:
    return _pack(
        (
            attempt.attempt, attempt.claim, attempt.status, attempt.ordered_ns, attempt.started_ns,
            attempt.finished_ns, attempt.pid, attempt.start_ticks, attempt.claim_from, attempt.stop, attempt.outcome,
            attempt.usage, attempt.log, attempt.binding, attempt.frozen, attempt.still_ns, attempt.still_since_ns,
            attempt.levels, attempt.measured, attempt.on_success, attempt.pause,
        )
    )  # fmt: skip


def decode_attempt(key: bytes, body: bytes) -> Attempt:
    """Raises StoreDamage, as all of these do."""
    record = _read(_attempt, Table.ATTEMPTS, key, body)
    run, task, index, number = attempt_of(key)
    return Attempt(
        record.attempt, run, task, index, number, record.claim, record.status, record.ordered_ns, record.started_ns,
        record.finished_ns, record.pid, record.start_ticks, record.claim_from, record.stop, record.outcome,
        record.usage, record.log, binding=record.binding, frozen=record.frozen, still_ns=record.still_ns,
        still_since_ns=record.still_since_ns, levels=record.levels, measured=record.measured,
        on_success=record.on_success, pause=record.pause,
    )  # fmt: skip


def encode_block(block: Attempt) -> bytes:
    return _pack(
        (
            block.task, block.index, block.number, block.claim, block.status, block.ordered_ns, block.started_ns,
            block.finished_ns, block.pid, block.start_ticks, block.claim_from, block.log, block.count, block.done,
            block.limit, block.stops, block.binding, block.frozen, block.still_ns, block.still_since_ns,
            block.pause,
        )
    )  # fmt: skip


def decode_block(key: bytes, body: bytes) -> Attempt:
    record = _read(_block, Table.BLOCKS, key, body)
    return Attempt(
        last_number_of(key), number_of(key), record.task, record.index, record.number, record.claim, record.status,
        record.ordered_ns, record.started_ns, record.finished_ns, record.pid, record.start_ticks, record.claim_from,
        log=record.log, count=record.count, done=record.done, limit=record.limit, stops=record.stops,
        binding=record.binding, frozen=record.frozen, still_ns=record.still_ns, still_since_ns=record.still_since_ns,
        pause=record.pause,
    )  # fmt: skip


def decode_span(key: bytes, body: bytes) -> Span:
    return _read(_span, Table.SPANS, key, body)


def decode_header(key: bytes, body: bytes) -> RunHeader:
    return _read(_header, Table.RUNS, key, body)


def decode_entry(key: bytes, body: bytes) -> WorkflowEntry:
    return _read(_entry, Table.WORKFLOWS, key, body)


def decode_backfill(key: bytes, body: bytes) -> Backfill:
    return _read(_backfill, Table.BACKFILLS, key, body)


def decode_meta(key: bytes, body: bytes) -> Meta:
    return _read(_meta, Table.META, key, body)


def decode_about(key: bytes, body: bytes) -> About:
    return _read(_about, Table.META, key, body)


def decode_audit(key: bytes, body: bytes) -> AuditRecord:
    return _read(_audit, Table.AUDIT, key, body)


def decode_request(key: bytes, body: bytes) -> RequestRecord:
    return _read(_request, Table.REQUESTS, key, body)


def decode_status(key: bytes, body: bytes) -> RunStatusRecord:
    return _read(_status, Table.RUN_STATUS, key, body)


def decode_version(key: bytes, body: bytes) -> Workflow:
    try:
        return decode(_inflate(Table.VERSIONS, key, body))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StoreDamage(f"it cannot be understood ({error})", Table.VERSIONS, key) from error


# --- compressed records ---------------------------------------------------------------------------------------------


def deflate(body: bytes) -> bytes:
    """The body with a leading byte that says whether it is compressed; short or dense bodies are not."""
    if len(body) >= COMPRESS_FROM_BYTES:
        packed = zlib.compress(body, 1)
        if len(packed) < len(body):
            return b"\1" + packed
    return b"\0" + body


def _inflate(table: Table, key: bytes, body: bytes) -> bytes:
    try:
        return zlib.decompress(body[1:]) if body[:1] == b"\1" else body[1:]
    except zlib.error as error:
        raise StoreDamage(f"it cannot be decompressed ({error})", table, key) from error


def encode_journal(now_ns: int, events: Sequence[AnyEvent], refs: bytes) -> bytes:
    return deflate(_pack((now_ns, events, refs)))


def decode_journal(key: bytes, body: bytes) -> JournalRecord:
    return _read(_journal, Table.JOURNAL, key, _inflate(Table.JOURNAL, key, body))


def encode_history(record: HistoryRecord) -> bytes:
    return deflate(_pack(record))


def decode_history(key: bytes, body: bytes) -> HistoryRecord:
    return _read(_history, Table.HISTORY, key, _inflate(Table.HISTORY, key, body))


REF_BYTES = 8 + ATTEMPT_KEY_BYTES


def attempt_refs(refs: bytes) -> dict[int, tuple[int, int, int, int]]:
    """(run, task, index, number) by attempt, from records of eight bytes of attempt and the attempt's key."""
    found: dict[int, tuple[int, int, int, int]] = {}
    for at in range(0, len(refs) - REF_BYTES + 1, REF_BYTES):
        found[int.from_bytes(refs[at : at + 8], "big")] = attempt_of(refs[at + 8 : at + REF_BYTES])
    return found


# --- rows -----------------------------------------------------------------------------------------------------------


def encode_rows(run: RunState, chunk: int) -> bytes:
    """The columns of one chunk of rows."""
    start = chunk * CHUNK_ROWS
    stop = start + CHUNK_ROWS
    return b"".join(
        (
            run.status[start:stop], run.failures[start:stop], run.losses[start:stop],
            run.tries[start:stop], run.started[start:stop], run.finished[start:stop],
        )
    )  # fmt: skip


def rows_in(body: bytes) -> int:
    """How many rows a chunk holds."""
    return len(body) // ROW_BYTES


class Columns:
    """The columns of a run while its chunks are put in. Chunks that were never written are all waiting."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.status = bytearray(rows)
        self.failures = bytearray(rows)
        self.losses = bytearray(rows)
        self.tries = array("H", bytes(2 * rows))
        self.started = array("q", bytes(8 * rows))
        self.finished = array("q", bytes(8 * rows))

    def put(self, key: bytes, chunk: int, body: bytes) -> None:
        """Raises StoreDamage for a chunk that is longer than the run, or than a chunk."""
        count = rows_in(body)
        start = chunk * CHUNK_ROWS
        stop = start + count
        if len(body) % ROW_BYTES or count > CHUNK_ROWS or stop > self.rows:
            raise StoreDamage(f"it holds {count} rows, which the run has no place for", Table.ROWS, key)
        self.status[start:stop] = body[:count]
        self.failures[start:stop] = body[count : 2 * count]
        self.losses[start:stop] = body[2 * count : 3 * count]
        self.tries[start:stop] = array("H", body[3 * count : 5 * count])
        self.started[start:stop] = array("q", body[5 * count : 13 * count])
        self.finished[start:stop] = array("q", body[13 * count :])

    def give(self, run: RunState) -> None:
        """Make them the run's."""
        run.status, run.failures, run.losses = self.status, self.failures, self.losses
        run.tries, run.started, run.finished = self.tries, self.started, self.finished


# --- items ----------------------------------------------------------------------------------------------------------


def encode_items(items: Sequence[Any]) -> list[bytes]:
    """The parts of a list of items, the describing one first. A range stays a range."""
    if isinstance(items, range):
        return [_pack(ItemsRecord("range", 0, items.start, items.stop, items.step))]
    try:
        kind, data = "msgpack", _pack(items)
    except OverflowError:  # a task's JSON may hold integers of any size, msgpack may not
        kind, data = "json", json.dumps(items).encode()  # this one knows infinity, too
    parts = [data[at : at + ITEM_PART_BYTES] for at in range(0, len(data), ITEM_PART_BYTES)]
    return [_pack(ItemsRecord(kind, len(data))), *parts]


def decode_items(key: bytes, parts: Sequence[bytes]) -> Sequence[Any]:
    """The items of `encode_items`; `key` is that of the first part."""
    record = _read(_items, Table.ITEMS, key, parts[0])
    if record.kind == "range":
        return range(record.start, record.stop, record.step)
    data = b"".join(parts[1:])
    if len(data) != record.length:
        raise StoreDamage(f"{len(data)} of {record.length} bytes of the items are there", Table.ITEMS, key)
    if record.kind == "msgpack":
        return _read(_list, Table.ITEMS, key, data)
    try:
        return cast("list[Any]", json.loads(data))
    except (ValueError, RecursionError) as error:
        raise StoreDamage(f"it is not JSON ({error})", Table.ITEMS, key) from error


def decode_json(table: Table, key: bytes, data: bytes) -> Any:
    """A JSON value, as a result holds it."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StoreDamage(f"it is not JSON ({error})", table, key) from error
