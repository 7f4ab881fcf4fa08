"""Messages between the processes of the execution world: a length of four bytes, then a JSON list.

Only the standard library is used, because keeper, launchers and workers run without the engine's packages. The first
element of a message is its kind; what follows belongs to the kind and is described where the kind is handled. All
peers have the same user id and are ours, so a frame that is no JSON is a fault, not a guest to be polite to.
"""

import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

Message = list[Any]

FRAME_BYTES_MAX = 64 * 2**20
_LENGTH = struct.Struct(">I")
_PLAIN_PATH_BYTES_MAX = 100


to_text = json.JSONEncoder(separators=(",", ":")).encode
"""JSON in one line. Text may hold lone surrogates (bytes of file names that are not UTF-8)."""


class WireError(Exception):
    """The peer sent what is no message, or one that is too long."""


def pack(message: Message) -> bytes:
    """The frame of one message."""
    return frame(to_text(message).encode())


def frame(body: bytes) -> bytes:
    """The frame of an encoded message. Raises WireError when it is too long."""
    if len(body) > FRAME_BYTES_MAX:
        raise WireError(f"a message of {len(body)} bytes is too long")
    return _LENGTH.pack(len(body)) + body


def decode(body: bytes) -> Message:
    """The message in a frame. Raises WireError."""
    try:
        message: Any = json.loads(body.decode())
    except ValueError as error:
        raise WireError(f"a frame is no JSON: {error}") from error
    if not isinstance(message, list) or not message:
        raise WireError("a message is a list that begins with its kind")
    return cast(Message, message)


class Inbox:
    """Cuts a stream of bytes into messages, with `decode` or what somebody knows to be faster."""

    def __init__(self, decode: Callable[[bytes], Message] = decode) -> None:
        self._bytes = bytearray()
        self._decode = decode

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete now. Raises WireError."""
        self._bytes += data
        messages: list[Message] = []
        start = 0
        while len(self._bytes) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._bytes, start)
            if length > FRAME_BYTES_MAX:
                raise WireError(f"a frame of {length} bytes is too long")
            end = start + _LENGTH.size + length
            if len(self._bytes) < end:
                break
            messages.append(self._decode(bytes(self._bytes[start + _LENGTH.size : end])))
            start = end
        del self._bytes[:start]
        return messages


def listen(path: Path) -> socket.socket:
    """A listening Unix socket with mode 0600; a stale file of that name is replaced. The path may be of any length."""
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _Folder(path.parent) as folder:
        previous = os.umask(0o177)
        try:
            server.bind(folder.address(path))
        finally:
            os.umask(previous)
    server.listen(64)
    server.settimeout(0)
    return server


def connect(path: Path) -> socket.socket:
    """A connected Unix socket, blocking. Raises OSError when nobody listens."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _Folder(path.parent) as folder:
            client.connect(folder.address(path))
    except OSError:
        client.close()
        raise
    return client


def request(path: Path, message: Message, timeout_s: float) -> Message:
    """Connect, send one message, wait for one. Raises OSError (also a timeout) or WireError."""
    with connect(path) as client:
        client.settimeout(timeout_s)
        client.sendall(pack(message))
        inbox = Inbox()
        while data := client.recv(65536):
            messages = inbox.feed(data)
            if messages:
                return messages[0]
    raise ConnectionResetError(f"{path.name} closed the connection")


class _Folder:
    """A socket address holds 108 bytes; a longer path is reached through a descriptor of its folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder
        self._fd = -1

    def __enter__(self) -> "_Folder":
        self._fd = os.open(self._path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def address(self, path: Path) -> str:
        plain = str(path)
        return plain if len(os.fsencode(plain)) <= _PLAIN_PATH_BYTES_MAX else f"/proc/self/fd/{self._fd}/{path.name}"
