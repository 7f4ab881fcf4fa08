"""Frames in any pieces, messages typed, everything else refused with a ValueFault."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.errors import ValueFault
from engine.protocol.framing import FrameBuffer, decode_reply, decode_request, frame
from engine.protocol.messages import Done, Gone, Hello, ListRuns, Refused, Snapshot, key_of

MESSAGES = [Hello(id=1, protocol=1), ListRuns(id=2, workflow="w", limit=5), ListRuns(id=3)]


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), max_size=60))
def test_frames_come_out_whole_however_they_come_in(cuts: list[int]):
    data = b"".join(frame(message) for message in MESSAGES)
    buffer, bodies, start = FrameBuffer(), list[bytes](), 0
    for cut in [*cuts, len(data)]:
        bodies += buffer.feed(data[start : start + cut])
        start += cut
    assert [decode_request(body) for body in bodies] == MESSAGES
    assert not buffer.partial


def test_a_frame_that_is_not_complete_stays():
    buffer = FrameBuffer()
    assert buffer.feed(frame(MESSAGES[0])[:-1]) == []
    assert buffer.partial


@pytest.mark.parametrize("length", [0, 65, 2**32 - 1])
def test_a_length_beyond_the_limit_is_refused_before_anything_is_kept(length: int):
    with pytest.raises(ValueFault, match="is not allowed"):
        FrameBuffer(limit_bytes=64).feed(length.to_bytes(4, "big"))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_value_fault(body: bytes):
    for decode in (decode_request, decode_reply):
        with suppress(ValueFault):
            decode(body)


def test_a_refusal_is_a_sentence_that_a_terminal_can_hold():
    with pytest.raises(ValueFault) as refusal:
        decode_request(b"\x81\xa4type\xda\x40\x00" + b"x" * 2**14)
    assert len(refusal.value.sentence) < 300


@pytest.mark.parametrize(
    "body",
    [
        b"\x82\xa4type\xa5Hello\xa8protocol\xa1x",  # a text where a number belongs
        b"\x81\xa4type\xa5Hello",  # a field is missing
        b"\x83\xa4type\xa5Hello\xa8protocol\x01\xa4evil\x01",  # a field too many
        b"\x82\xa4type\xa4Evil\xa8protocol\x01",
        b"\x82\xa4type\xa2\xff\xfe\xa8protocol\x01",
        b"\x91" * 5_000,
    ],
)
def test_what_is_no_request_is_refused(body: bytes):
    with pytest.raises(ValueFault, match="not a request"):
        decode_request(body)


@pytest.mark.parametrize(
    "reply",
    [Done(id=4, body={"run": "r1"}), Refused(id=5, code="conflict", sentence="no"), Gone(id=6, why="removed"),
     Snapshot(id=7, revision=9, rows=[{"run": "r1"}], total=1)],
)  # fmt: skip
def test_a_reply_is_read_as_it_was_sent(reply: Done):
    (body,) = FrameBuffer().feed(frame(reply))
    assert decode_reply(body) == reply


def test_a_request_is_no_reply():
    (body,) = FrameBuffer().feed(frame(MESSAGES[0]))
    with pytest.raises(ValueFault, match="not a reply"):
        decode_reply(body)


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({"task": "a", "index": None}, "a"),
        ({"task": "a", "index": 0}, "a[0]"),
        ({"task": "a", "index": 0, "number": 2}, "2"),
        ({"workflow": "w", "schedule": "0 * * * *"}, "w/0 * * * *"),
        ({"run": "r1", "workflow": "w"}, "r1"),
        ({"workflow": "w"}, "w"),
    ],
)
def test_rows_are_known_by_what_identifies_them(row: dict[str, object], key: str):
    assert key_of(row) == key
