"""The engine's connection to one launcher: it says hello with the epoch, sends what is posted, and hands messages on.

When the launcher dies the connection is lost; the next one is made to its successor, which tells in its welcome what
it knows. What was posted to the old connection and not answered is not sent again here: the executor knows what it
wants and compares it with the welcome.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import trio

from engine.execution import wire
from engine.execution.places import Places

_READ_BYTES = 65_536
_OUT_BYTES_MAX = 256 * 2**20
_WELCOME_S = 5.0
_PAUSE_FIRST_S = 0.01
_PAUSE_MAX_S = 0.2

Welcome = dict[str, Any]
_fast = msgspec.json.Decoder(list[Any])


def _decode(body: bytes) -> wire.Message:
    """As wire.decode, faster; it takes no lone surrogates, which only file names can hold."""
    with contextlib.suppress(UnicodeDecodeError, msgspec.MsgspecError):
        if message := _fast.decode(body):
            return message
    return wire.decode(body)


class Refused(Exception):
    """A newer epoch has taken the launcher: this engine must end."""


class Link:
    """`slot` names the launcher; `tables` are the environments that this connection has been sent."""

    def __init__(self, places: Places, slot: int, instance: int, epoch: int) -> None:
        self.slot = slot
        self.pid = 0
        self.workers: list[int] = []
        self.tables: set[str] = set()
        self.damaged = False
        self.load = 0
        self._path = places.socket(f"launcher-{slot}")
        self._hello = wire.pack(["hello", {"instance": instance, "epoch": epoch}])
        self._stream: trio.SocketStream | None = None
        self._inbox = wire.Inbox(_decode)
        self._waiting: list[wire.Message] = []
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._wake = trio.Event()

    @property
    def connected(self) -> bool:
        return self._stream is not None

    def post(self, frame: bytes) -> None:
        """Queue a frame for the launcher; what is posted while there is no connection is dropped. A launcher that
        takes nothing any more is treated as gone."""
        if self._stream is None:
            return
        self._out.append(frame)
        self._out_bytes += len(frame)
        if self._out_bytes > _OUT_BYTES_MAX:
            self._drop()
        self._wake.set()

    async def open(self) -> Welcome:
        """Connect, again and again until it succeeds, and return the launcher's welcome. Raises Refused."""
        pause_s = _PAUSE_FIRST_S
        while True:
            try:
                return await self._open_once()
            except (OSError, wire.WireError, trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError):
                self._drop()
                await trio.sleep(pause_s)
                pause_s = min(_PAUSE_MAX_S, pause_s * 1.5)

    async def _open_once(self) -> Welcome:
        self._drop()
        sock = wire.connect(self._path)
        sock.settimeout(0)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._inbox, self._waiting = wire.Inbox(_decode), []
        try:
            with trio.fail_after(_WELCOME_S):
                await stream.send_all(self._hello)
                message = await self._next(stream)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        if message[0] != "welcome":
            await trio.aclose_forcefully(stream)
            raise Refused(str(message[-1]))
        self._stream = stream
        self.tables.clear()
        self.pid, self.workers = message[1]["pid"], message[1]["workers"]
        self.damaged = message[1]["damaged"]
        return message[1]

    async def _next(self, stream: trio.SocketStream) -> wire.Message:
        while not self._waiting:
            data = await stream.receive_some(_READ_BYTES)
            if not data:
                raise ConnectionResetError("the launcher closed the connection")
            self._waiting = self._inbox.feed(bytes(data))
        return self._waiting.pop(0)

    async def serve(self, on_messages: Callable[["Link", list[wire.Message]], None]) -> None:
        """Send and receive until the connection is lost."""
        stream = self._stream
        if stream is None:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_all, stream)
            try:
                while True:
                    messages, self._waiting = self._waiting, []
                    if messages:
                        on_messages(self, messages)
                    data = await stream.receive_some(_READ_BYTES)
                    if not data:
                        break
                    self._waiting = self._inbox.feed(bytes(data))
            except (OSError, wire.WireError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            nursery.cancel_scope.cancel()
        self._drop()

    async def _send_all(self, stream: trio.SocketStream) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                data, self._out, self._out_bytes = b"".join(self._out), [], 0
                if data:
                    await stream.send_all(data)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            self._drop()

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        self._out, self._out_bytes = [], 0
        if stream is not None:
            stream.socket.close()

    async def aclose(self) -> None:
        self._drop()
        await trio.lowlevel.checkpoint()
