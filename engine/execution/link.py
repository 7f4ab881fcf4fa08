"""The engine's connection to one launcher: it says hello with the epoch, sends what is posted, and hands messages on.

When the launcher dies the connection is lost; the next one is made to its successor, which tells in its welcome what
it knows. What was posted to the old connection and not answered is not sent again here: the executor knows what it
wants and compares it with the welcome. A launcher that is there and says nothing hangs, or was stopped; the keeper,
which may continue or end it, is told so each time that it was asked in vain.
"""

import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import trio

from engine.execution import wire
from engine.execution.places import Places

_READ_BYTES = 65_536
_OUT_BYTES_MAX = 256 * 2**20
_WELCOME_S = 2.0
_ALIVE_S = 5.0
_PING = wire.pack(["ping"])
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
    """`slot` names the launcher; `tables` are the environments that this connection has been sent. `on_silence` is told
    the slot of a launcher that does not answer."""

    def __init__(
        self, places: Places, slot: int, instance: int, epoch: int, on_silence: Callable[[int], Awaitable[None]]
    ) -> None:
        self.slot = slot
        self.pid = 0
        self.workers: list[int] = []
        self.tables: set[str] = set()
        self.damaged = False
        self.load = 0
        self._on_silence = on_silence
        self._spoke = False
        self._path = places.socket(f"launcher-{slot}")
        self._hello = wire.pack(["hello", {"instance": instance, "epoch": epoch}])
        self._sock: socket.socket | None = None
        self._inbox = wire.Inbox(_decode)
        self._waiting: list[wire.Message] = []
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._wake = trio.Event()

    @property
    def connected(self) -> bool:
        return self._sock is not None

    def post(self, frame: bytes) -> None:
        """Queue a frame for the launcher; what is posted while there is no connection is dropped. A launcher that
        takes nothing any more is treated as gone."""
        if self._sock is None:
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
            except trio.TooSlowError:
                await self._on_silence(self.slot)
            except (OSError, wire.WireError, trio.ClosedResourceError):
                pass
            await trio.sleep(pause_s)
            pause_s = min(_PAUSE_MAX_S, pause_s * 1.5)

    async def _open_once(self) -> Welcome:
        self._drop()
        sock = wire.connect(self._path)
        sock.settimeout(0)
        self._inbox, self._waiting = wire.Inbox(_decode), []
        try:
            with trio.fail_after(_WELCOME_S):
                await _send(sock, self._hello)
                while not self._waiting:
                    self._waiting = self._inbox.feed(await _receive(sock))
            message = self._waiting.pop(0)
            if message[0] != "welcome":
                raise Refused(str(message[-1]))
        except BaseException:
            sock.close()
            raise
        self._sock = sock
        self.tables.clear()
        self.pid, self.workers = message[1]["pid"], message[1]["workers"]
        self.damaged = message[1]["damaged"]
        return message[1]

    async def serve(self, on_messages: Callable[["Link", list[wire.Message]], None]) -> None:
        """Send and receive until the connection is lost."""
        sock = self._sock
        if sock is None:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_all, sock)
            nursery.start_soon(self._give_up_when_silent, nursery.cancel_scope)
            try:
                while True:
                    messages, self._waiting = self._waiting, []
                    if messages:
                        on_messages(self, messages)
                    self._waiting = self._inbox.feed(await _receive(sock))
                    self._spoke = True
            except (OSError, wire.WireError, trio.ClosedResourceError):
                pass
            nursery.cancel_scope.cancel()
        self._drop()

    async def _give_up_when_silent(self, scope: trio.CancelScope) -> None:
        """Nobody is asked who has nothing to do. To give up is harmless: the next welcome tells everything."""
        asked = False
        while not asked or self._spoke:
            asked, self._spoke = self.load > 0, False
            if asked:
                self.post(_PING)
            await trio.sleep(_ALIVE_S)
        scope.cancel()

    async def _send_all(self, sock: socket.socket) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                data, self._out, self._out_bytes = b"".join(self._out), [], 0
                await _send(sock, data)
        except (OSError, trio.ClosedResourceError):
            self._drop()

    def _drop(self) -> None:
        sock, self._sock = self._sock, None
        self._out, self._out_bytes = [], 0
        if sock is not None:
            trio.lowlevel.notify_closing(sock)
            sock.close()

    async def aclose(self) -> None:
        self._drop()
        await trio.lowlevel.checkpoint()


async def _receive(sock: socket.socket) -> bytes:
    """What has arrived, once something has. A stream of trio would first look in vain, each time. Raises OSError, also
    for the end."""
    while True:
        await trio.lowlevel.wait_readable(sock)
        with contextlib.suppress(BlockingIOError):
            data = sock.recv(_READ_BYTES)
            break
    if not data:
        raise ConnectionResetError("the launcher closed the connection")
    return data


async def _send(sock: socket.socket, data: bytes) -> None:
    """All of it. Raises OSError."""
    left = memoryview(data)
    while left:
        try:
            left = left[sock.send(left) :]
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sock)
