"""What a client has still to read. A client that reads slowly is fed less (subscriptions skip it, answers wait for
room); one that reads nothing for some seconds, or makes too much wait, is dropped. What all clients have unread
together is bounded too.
"""

import os
from collections import deque

import trio

from engine.server.limits import Limits


class OutSpace:
    """The bytes that wait in the outboxes of all sessions."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.used_bytes = 0


class Outbox:
    """Frames for one client, in the order of `put`: written at once while the client keeps up, else by `write`."""

    def __init__(self, stream: trio.SocketStream, space: OutSpace) -> None:
        self._socket = stream.socket
        self._space = space
        self._limits = space.limits
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._writing = False
        self._filled = trio.Event()
        self._emptied = trio.Event()
        self.closed = False

    @property
    def behind(self) -> bool:
        """Whether the client has enough to read for now."""
        return self._bytes > self._limits.backlog_bytes

    def put(self, frame: bytes) -> None:
        """Send a frame, or queue what the client has no room for yet. One for whom there is no more room here is
        dropped instead."""
        if self.closed:
            return
        if not self._frames and not self._writing:
            frame = frame[self._write_now(frame) :]
            if not frame:
                return
        self._bytes += len(frame)
        self._space.used_bytes += len(frame)
        self._frames.append(frame)
        if self._bytes > self._limits.out_bytes or self._space.used_bytes > self._limits.out_bytes_total:
            self.close()
        self._filled.set()

    async def room(self) -> None:
        """Wait until the client is not behind any more."""
        while self.behind and not self.closed:
            if self._emptied.is_set():
                self._emptied = trio.Event()
            await self._emptied.wait()

    async def drained(self) -> None:
        """Wait until everything is written, or given up."""
        while self._bytes:
            if self._emptied.is_set():
                self._emptied = trio.Event()
            await self._emptied.wait()

    async def write(self) -> None:
        """Write until the outbox is closed, or the client is gone or stuck; then the outbox is closed."""
        try:
            while not self.closed:
                if not self._frames:
                    self._filled = trio.Event()
                    await self._filled.wait()
                    continue
                self._writing = True
                if not await self._write_one(self._frames.popleft()):
                    return
                self._writing = False
        finally:
            self.close()

    def _write_now(self, frame: bytes) -> int:
        """How many bytes the client's socket takes; what is wrong with it shows when the rest is written."""
        try:
            return os.write(self._socket.fileno(), frame)
        except OSError:
            return 0

    async def _write_one(self, frame: bytes) -> bool:
        view = memoryview(frame)
        while view:
            with trio.move_on_after(self._limits.stall_s) as patience:
                try:
                    sent = await self._socket.send(view)
                except (OSError, trio.ClosedResourceError):
                    return False
                view = view[sent:]
                self._took(sent)
            if patience.cancelled_caught:
                return False
        return True

    def _took(self, count: int) -> None:
        if self.closed:
            return
        self._bytes -= count
        self._space.used_bytes -= count
        if not self.behind:
            self._emptied.set()

    def close(self) -> None:
        """Give up what is not written."""
        if not self.closed:
            self.closed = True
            self._space.used_bytes -= self._bytes
            self._bytes = 0
            self._frames.clear()
            self._filled.set()
            self._emptied.set()
