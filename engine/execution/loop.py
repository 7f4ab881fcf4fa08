"""A small event loop for keeper, launcher and meter: descriptors by epoll, timers in a heap, children by SIGCHLD.

It sleeps without a timeout when there is no timer, so an idle process costs nothing.
"""

import contextlib
import heapq
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from engine.execution import wire

OUT_BYTES_MAX = 64 * 2**20
_READ_BYTES = 65_536
"""A buffer that malloc keeps; it maps a larger one anew for every read."""


class Timer:
    """A call that is due at a monotonic instant, until it is cancelled."""

    __slots__ = ("call", "due")

    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due = due
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class Loop:
    """`run` calls back until `stop`; `after_turn` is called when a turn's events are handled, to send in batches."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], object]] = {}
        self._writers: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._going = True
        self.after_turn: Callable[[], None] = lambda: None

    def watch(self, fd: int, on_readable: Callable[[], object]) -> None:
        self._readers[fd] = on_readable
        self._epoll.register(fd, select.EPOLLIN)

    def watch_writing(self, fd: int, on_writable: Callable[[], None] | None) -> None:
        """Wait for room to write on a watched descriptor, or (None) no longer."""
        if on_writable is None:
            self._writers.pop(fd, None)
            self._epoll.modify(fd, select.EPOLLIN)
        else:
            self._writers[fd] = on_writable
            self._epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT)

    def forget(self, fd: int) -> None:
        if self._readers.pop(fd, None) is not None:
            self._writers.pop(fd, None)
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)

    def later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        timer = Timer(time.monotonic() + max(0.0, delay_s), call)
        self._count += 1
        heapq.heappush(self._timers, (timer.due, self._count, timer))
        return timer

    def on_child(self, call: Callable[[], None]) -> None:
        """Call after SIGCHLD: at least one child may be reaped."""
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

        def woken() -> None:
            with contextlib.suppress(BlockingIOError):
                os.read(reading, 4096)
            call()

        self.watch(reading, woken)

    def stop(self) -> None:
        self._going = False

    def run(self) -> None:
        while self._going:
            self.turn()

    def turn(self) -> None:
        for fd, events in self._epoll.poll(self._patience()):
            if events & ~select.EPOLLOUT and fd in self._readers:
                self._readers[fd]()
            if events & select.EPOLLOUT and fd in self._writers:
                self._writers[fd]()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.call is not None:
                timer.call()
        self.after_turn()

    def _patience(self) -> float | None:
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None


class Alarm:
    """One call that several may wish for: it comes at the earliest instant that anybody has asked for, once."""

    def __init__(self, loop: Loop, call: Callable[[], None]) -> None:
        self._loop = loop
        self._call = call
        self._timer: Timer | None = None

    def within(self, pause_s: float) -> None:
        """Call then at the latest."""
        if self._timer is not None:
            if self._timer.due <= time.monotonic() + pause_s:
                return
            self._timer.cancel()
        self._timer = self._loop.later(pause_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._call()


class Peer:
    """One connection: messages in by callback, messages out through a bounded buffer."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        on_message: Callable[["Peer", wire.Message], None],
        on_close: Callable[["Peer"], None],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._on_message = on_message
        self._on_close = on_close
        self._inbox = wire.Inbox()
        self._out = bytearray()
        self._stuck = False
        self.open = True
        sock.settimeout(0)
        loop.watch(sock.fileno(), self._readable)

    def send(self, message: wire.Message) -> None:
        """Never blocks. A peer that does not read is dropped when the buffer is full."""
        if not self.open:
            return
        self._out += wire.pack(message)
        if len(self._out) > OUT_BYTES_MAX:
            self.close()
        elif not self._stuck:
            self._flush()

    def close(self) -> None:
        if self.open:
            self.open = False
            self._loop.forget(self._sock.fileno())
            self._sock.close()
            self._on_close(self)

    def drain(self) -> None:
        """Take everything that has arrived, before a peer that died is forgotten."""
        while self.open and self._readable():
            pass

    def _readable(self) -> bool:
        try:
            data = self._sock.recv(_READ_BYTES)
            messages = self._inbox.feed(data)
        except BlockingIOError:
            return False
        except (OSError, wire.WireError):
            self.close()
            return False
        for message in messages:
            if self.open:
                self._on_message(self, message)
        if not data:
            self.close()
        return bool(data)

    def _flush(self) -> None:
        try:
            sent = self._sock.send(self._out)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        del self._out[:sent]
        if bool(self._out) != self._stuck:
            self._stuck = bool(self._out)
            self._loop.watch_writing(self._sock.fileno(), self._flush if self._stuck else None)


def serve(
    loop: Loop, path: Path, on_message: Callable[[Peer, wire.Message], None], on_close: Callable[[Peer], None]
) -> Callable[[], None]:
    """Listen on the path and hand each connection's messages over. The result closes the socket and its file."""
    server = wire.listen(path)

    def incoming() -> None:
        try:
            sock, _ = server.accept()
        except OSError:
            return
        Peer(loop, sock, on_message, on_close)

    def close() -> None:
        loop.forget(server.fileno())
        server.close()
        path.unlink(missing_ok=True)

    loop.watch(server.fileno(), incoming)
    return close
