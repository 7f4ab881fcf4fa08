"""Frames between processes, and sockets in folders with long names."""

import json
import socket
import struct
import threading
from pathlib import Path

import pytest

from engine.execution import wire


def test_messages_survive_any_cutting_of_the_stream() -> None:
    messages = [["a", 1], ["b", {"x": "ü\udc80"}], ["c", [None, True]]]
    data = b"".join(wire.pack(message) for message in messages)
    for size in (1, 3, 7, len(data)):
        inbox = wire.Inbox()
        found = [one for start in range(0, len(data), size) for one in inbox.feed(data[start : start + size])]
        assert found == messages


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"nonsense", b"\xff\xfe", b"[1"])
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.Inbox().feed(struct.pack(">I", len(body)) + body)


def test_a_length_beyond_the_bound_is_refused_before_it_arrives() -> None:
    with pytest.raises(wire.WireError):
        wire.Inbox().feed(struct.pack(">I", wire.FRAME_BYTES_MAX + 1))
    with pytest.raises(wire.WireError):
        wire.frame(bytes(wire.FRAME_BYTES_MAX + 1))


@pytest.mark.parametrize("depth", [1, 60])
def test_a_socket_works_in_a_folder_with_a_name_of_any_length(tmp_path: Path, depth: int) -> None:
    folder = tmp_path.joinpath(*["sub-folder"] * depth)
    folder.mkdir(parents=True)
    path = folder / "x.sock"
    path.write_text("a stale file")
    with wire.listen(path) as server:
        assert path.stat().st_mode & 0o777 == 0o600
        server.settimeout(5)

        def answer() -> None:
            connection: socket.socket = server.accept()[0]
            with connection:
                asked = wire.Inbox().feed(connection.recv(4096))
                connection.sendall(wire.pack(["answer", json.dumps(asked)]))

        thread = threading.Thread(target=answer)
        thread.start()
        assert wire.request(path, ["hello"], 5.0) == ["answer", '[["hello"]]']
        thread.join()


def test_a_request_to_nobody_fails(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        wire.request(tmp_path / "none.sock", ["hello"], 1.0)
