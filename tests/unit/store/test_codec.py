"""Records as bytes: whatever goes in comes out, and no flipped bit goes unseen."""

import math
from array import array
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.events import (
    Actor,
    AttemptExited,
    AttemptOrdered,
    AttemptStarted,
    ClockAdvanced,
    LogSlice,
    Measured,
    Noise,
    Usage,
)
from engine.core.state import CHUNK_ROWS, Attempt, Meta, Pause, RunHeader, RunState, WorkflowEntry
from engine.model.ids import NO_INDEX
from engine.model.resources import Claim
from engine.model.status import AttemptStatus, Outcome, OutcomeKind, RunStatus
from engine.model.workflow import Command, Task, Workflow
from engine.planning.plan import make_plan
from engine.store import codec
from engine.store.errors import StoreDamage
from engine.store.records import version_body
from engine.store.tables import Table, attempt_key, number_key, pair_key, part_key

U63 = st.integers(0, 2**63 - 1)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
OUTCOMES = st.builds(
    Outcome,
    st.sampled_from(OutcomeKind),
    exit_code=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    why=st.text(),
    used=U63,
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
NOISE = st.none() | st.builds(
    Noise, FINITE, FINITE, FINITE, st.dictionaries(st.text(), FINITE, max_size=3), st.none() | FINITE
)
MEASURED = st.builds(
    Measured, st.dictionaries(st.text(), FINITE, max_size=4), st.lists(st.text(), max_size=3).map(tuple), NOISE, NOISE,
    st.lists(st.text(), max_size=3).map(tuple),
)  # fmt: skip
PAUSE = st.builds(
    Pause,
    U63,
    st.booleans(),
    st.booleans(),
    st.none() | st.tuples(U63, st.integers(0, 9), st.integers(NO_INDEX, 9)),
    U63,
)
ATTEMPTS = st.builds(
    Attempt,
    attempt=U63,
    run=U63,
    task=st.integers(0, 2**31),
    index=st.integers(NO_INDEX, 10**6),
    number=st.integers(1, 65535),
    claim=st.builds(
        Claim, U63, U63, st.lists(st.tuples(st.text(), st.integers(1, 9)), max_size=3).map(lambda pools: tuple(pools))
    ),
    status=st.sampled_from(AttemptStatus),
    ordered_ns=U63,
    started_ns=U63,
    finished_ns=U63,
    pid=st.integers(0, 2**22),
    start_ticks=U63,
    claim_from=U63,
    stop=st.text(),
    outcome=st.none() | OUTCOMES,
    usage=st.builds(Usage, U63, U63),
    log=st.builds(LogSlice, st.text(), U63, U63),
    measured=st.none() | MEASURED,
    frozen=st.booleans(),
    pause=st.none() | PAUSE,
)
HEADERS = st.builds(
    RunHeader,
    run=U63,
    workflow=st.text(),
    version=st.text(),
    params=st.dictionaries(st.text(), JSON, max_size=5),
    status=st.sampled_from(RunStatus),
    note=st.text(),
    actor=st.builds(Actor, st.integers(-1, 2**32), st.text(), st.text()),
    paused_from=st.none() | st.sampled_from(RunStatus),
    tasks=st.lists(st.tuples(*[st.integers(-1, 10**6)] * 4), max_size=4),
    grown=st.dictionaries(
        st.integers(0, 10**6), st.dictionaries(st.sampled_from(("memory", "disk")), st.integers(1, 9)), max_size=4
    ),
    whys=st.dictionaries(st.integers(-(10**6), 10**6), st.text(), max_size=4),
    queued_ns=U63,
)


@given(ATTEMPTS)
def test_an_attempt_comes_back_from_its_key_and_body(attempt: Attempt) -> None:
    key = attempt_key(attempt.run, attempt.task, attempt.index, attempt.number)
    assert codec.decode_attempt(key, codec.encode_attempt(attempt)) == attempt


def test_a_block_that_stands_still_comes_back() -> None:
    pause = Pause(3, released=True, waits=True, for_row=(9, 2, NO_INDEX), memory_bytes=2**20)
    block = Attempt(7, 4, 0, 3, 1, Claim(), count=5, limit=5, frozen=True, pause=pause)
    assert codec.decode_block(pair_key(4, 7), codec.encode_block(block)) == block


def test_every_field_of_an_attempt_is_in_its_key_or_its_record() -> None:
    stored = {*codec.AttemptRecord.__struct_fields__, "run", "task", "index", "number"}
    of_a_block = {"count", "done", "limit", "stops"}
    assert stored | of_a_block == set(Attempt.__struct_fields__)
    of_an_end = {"stop", "outcome", "usage", "levels", "measured", "on_success"}
    assert {*codec.BlockRecord.__struct_fields__, "run", "attempt", *of_an_end} == set(Attempt.__struct_fields__)


@given(HEADERS)
def test_a_header_comes_back(header: RunHeader) -> None:
    assert codec.decode_header(b"", codec.encode(header)) == header


def test_entries_and_counters_come_back() -> None:
    entry = WorkflowEntry(name="w", version="v", paused=True, cursors=[1], next_due=[2], waiting=[3], active=[4])
    meta = Meta(instance=2**62, seed=3, boot_id="b", revision=9, read_only=True)
    assert codec.decode_entry(b"w", codec.encode(entry)) == entry
    assert codec.decode_meta(b"state", codec.encode(meta)) == meta


def test_a_header_of_an_earlier_engine_without_newer_fields_is_understood() -> None:
    old = msgspec.msgpack.encode({"run": 1, "workflow": "w", "version": "v", "params": {}})
    assert codec.decode_header(b"", old) == RunHeader(run=1, workflow="w", version="v", params={})


@given(st.binary(max_size=200), st.binary(max_size=30), st.sampled_from(Table), st.data())
def test_no_single_flipped_bit_of_a_record_goes_unseen(
    body: bytes, key: bytes, table: Table, data: st.DataObject
) -> None:
    value = bytearray(codec.seal(table, key, body))
    assert codec.unseal(table, key, bytes(value)) == body
    bit = data.draw(st.integers(0, 8 * len(value) - 1))
    value[bit // 8] ^= 1 << bit % 8
    with pytest.raises(StoreDamage):
        codec.unseal(table, key, bytes(value))


@given(st.sampled_from(Table), st.sampled_from(Table), st.binary(max_size=20), st.binary(max_size=20))
def test_a_record_in_another_place_is_damage(here: Table, there: Table, key: bytes, other: bytes) -> None:
    value = codec.seal(here, key, b"body")
    if (here, key) != (there, other):
        with pytest.raises(StoreDamage):
            codec.unseal(there, other, value)


@pytest.mark.parametrize("value", [b"", b"abc", b"\0\0\0\0"])
def test_a_record_that_is_too_short_is_damage(value: bytes) -> None:
    with pytest.raises(StoreDamage, match="record r7 of table runs"):
        codec.unseal(Table.RUNS, number_key(7), value)


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x80", b"\x93\x01", b"\xa1\xff", b"\x91" * 5000])
def test_a_body_that_is_no_record_is_damage(body: bytes) -> None:
    for decode in (
        codec.decode_header,
        codec.decode_entry,
        codec.decode_meta,
        codec.decode_audit,
        codec.decode_request,
    ):
        with pytest.raises(StoreDamage):
            decode(b"key", body)
    with pytest.raises(StoreDamage):
        codec.decode_attempt(attempt_key(1, 2, 3, 4), body)
    for decode_packed in (codec.decode_journal, codec.decode_history, codec.decode_version):
        with pytest.raises(StoreDamage):
            decode_packed(number_key(1), b"\0" + body)
        with pytest.raises(StoreDamage):
            decode_packed(number_key(1), b"\1" + body)


@pytest.mark.parametrize("count", [0, 1, 2, 500])
def test_a_batch_of_events_comes_back_whether_compressed_or_not(count: int) -> None:
    events: list[Any] = [ClockAdvanced()]
    for n in range(count):
        events.append(AttemptOrdered(n, 1, n, NO_INDEX, 1))
        events.append(AttemptStarted(n, 10**18 + n, 1000 + n))
        events.append(AttemptExited(n, 10**18, Outcome(OutcomeKind.FAILED, 3), result=b"\xff\0"))
    body = codec.encode_journal(7, events, b"")
    record = codec.decode_journal(number_key(1), body)
    assert (record.now_ns, record.events) == (7, events)
    assert body[0] == (1 if count > 2 else 0)


def test_references_name_the_rows_of_attempts() -> None:
    refs = b"".join(number_key(n) + attempt_key(n + 1, n + 2, NO_INDEX, n + 3) for n in range(3))
    assert codec.attempt_refs(refs) == {n: (n + 1, n + 2, NO_INDEX, n + 3) for n in range(3)}


def run_with(rows: int) -> RunState:
    tasks = tuple(Task(f"t{n}", Command(("true",))) for n in range(rows))
    return RunState(RunHeader(run=1, workflow="w", version="v", params={}), make_plan(Workflow("w", tasks)))


@given(st.integers(1, 3 * CHUNK_ROWS + 1), st.randoms(use_true_random=False))
def test_columns_come_back_from_their_chunks(rows: int, randomness: Any) -> None:
    run = run_with(1)
    run.status = bytearray(randomness.randbytes(rows))
    run.failures, run.losses = bytearray(randomness.randbytes(rows)), bytearray(randomness.randbytes(rows))
    run.tries = array("H", randomness.randbytes(2 * rows))
    run.started, run.finished = array("q", randomness.randbytes(8 * rows)), array("q", randomness.randbytes(8 * rows))
    columns = codec.Columns(rows)
    for chunk in range(math.ceil(rows / CHUNK_ROWS)):
        body = codec.encode_rows(run, chunk)
        assert len(body) <= 4096 - 4
        columns.put(part_key(1, chunk), chunk, body)
    loaded = run_with(1)
    columns.give(loaded)
    for name in ("status", "failures", "losses", "tries", "started", "finished"):
        assert getattr(loaded, name) == getattr(run, name)


def test_chunks_that_were_never_written_are_rows_that_wait() -> None:
    columns = codec.Columns(300)
    loaded = run_with(1)
    columns.give(loaded)
    assert loaded.status == bytearray(300)


@pytest.mark.parametrize(("chunk", "size"), [(0, 20), (0, 21 * 129), (1, 21 * 128), (9, 21)])
def test_a_chunk_that_does_not_fit_its_run_is_damage(chunk: int, size: int) -> None:
    with pytest.raises(StoreDamage, match="of table rows"):
        codec.Columns(200).put(part_key(1, chunk), chunk, bytes(size))


@given(st.lists(JSON | st.integers(-(10**40), 10**40), max_size=20))
def test_items_come_back(items: list[Any]) -> None:
    assert list(codec.decode_items(b"", codec.encode_items(items))) == items


def test_a_huge_integer_does_not_change_the_items_beside_it() -> None:
    items = [10**30, math.inf, -math.inf, None, 0.1, "é\x1b", {"a": []}]
    assert codec.decode_items(b"", codec.encode_items(items)) == items


@pytest.mark.parametrize("items", [range(10**6), range(5, -5, -2), range(0)])
def test_a_range_of_items_takes_one_small_record(items: range) -> None:
    parts = codec.encode_items(items)
    assert len(parts) == 1
    assert len(parts[0]) < 40
    assert codec.decode_items(b"", parts) == items


def test_long_lists_are_cut_into_pieces_and_a_missing_piece_is_damage() -> None:
    items = ["x" * 1000] * 300
    parts = codec.encode_items(items)
    assert len(parts) > 4
    assert max(len(part) for part in parts) <= 64 * 2**10
    assert codec.decode_items(b"", parts) == items
    with pytest.raises(StoreDamage, match="bytes of the items"):
        codec.decode_items(b"", parts[:-1])


def test_a_workflow_comes_back() -> None:
    workflow = Workflow("w", tuple(Task(f"task{n}", Command(("true", str(n)))) for n in range(500)))
    body = version_body(workflow)
    assert codec.decode_version(b"v", body) == workflow
    assert len(body) < 10_000


def test_an_attempt_that_was_stored_before_attempts_measured_anything_is_read() -> None:
    key = attempt_key(1, 0, NO_INDEX, 1)
    fields = msgspec.msgpack.decode(codec.encode_attempt(Attempt(5, 1, 0, NO_INDEX, 1, Claim())))
    found = codec.decode_attempt(key, msgspec.msgpack.encode(fields[:-1]))
    assert (found.attempt, found.measured) == (5, None)
