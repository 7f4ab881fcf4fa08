"""The fake that the client's tests stand on: it must fail a client that the real engine would fail."""

import os
import socket
from collections.abc import Generator
from pathlib import Path

import pytest

from engine.protocol.framing import FrameBuffer, decode_reply, frame
from engine.protocol.messages import GetEngine, GetRun, Hello, Refused, Rows, Welcome
from tests.support.fake_engine import FakeEngine, engine_row, rows_of
from tests.support.rows import run_row


@pytest.fixture
def engine(tmp_path: Path) -> Generator[FakeEngine]:
    with FakeEngine(tmp_path) as fake:
        yield fake


def exchange(engine: FakeEngine, data: bytes) -> list[object]:
    """Send bytes and read replies until the other side is silent for as many as were sent, or closes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(engine.path))
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        buffer = FrameBuffer()
        replies: list[object] = []
        while piece := client.recv(65536):
            replies += [decode_reply(body) for body in buffer.feed(piece)]
        return replies


def test_it_welcomes_and_answers_with_the_request_s_number(engine: FakeEngine) -> None:
    engine.answers[GetRun] = rows_of(run_row())
    replies = exchange(engine, frame(Hello(id=1, protocol=1)) + frame(GetRun(id=9, run=12)))
    assert isinstance(replies[0], Welcome)
    assert isinstance(replies[1], Rows)
    assert (replies[0].id, replies[1].id) == (1, 9)
    assert replies[1].rows[0]["run"] == "r12"
    assert engine.kinds() == ["GetRun"]


def test_it_refuses_what_the_test_gave_no_answer_to(engine: FakeEngine) -> None:
    (reply,) = exchange(engine, frame(GetEngine(id=1)))
    assert isinstance(reply, Refused)


def test_it_notices_bytes_that_are_no_request(engine: FakeEngine) -> None:
    assert exchange(engine, b"\x00\x00\x00\x01\xc1") == []
    assert "not a request" in engine.bad_frames[0]


def test_a_list_of_answers_is_used_up_to_its_last(engine: FakeEngine) -> None:
    engine.answers[GetEngine] = [rows_of(engine_row(engine.home, epoch=n)) for n in (1, 2)]
    replies = exchange(engine, b"".join(frame(GetEngine(id=n)) for n in (1, 2, 3)))
    assert [reply.rows[0]["epoch"] for reply in replies if isinstance(reply, Rows)] == [1, 2, 2]


def test_it_breaks_connections_and_listens_again(engine: FakeEngine) -> None:
    engine.stop_listening()
    assert not os.path.exists(engine.path)
    engine.listen_again()
    assert isinstance(exchange(engine, frame(Hello(id=1, protocol=1)))[0], Welcome)
