"""An operator at a console: a real process on a pseudo-terminal, whose other end a thread reads, as through a link.

A link may be slow (`rate` bytes a second towards the operator) and far (`delay_s` in each direction). What has arrived
is drawn by a terminal emulator, so that the operator waits for what can be seen, and for nothing else.
"""

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import psutil
import pyte

from tests.support.home import Home, wait_for

COLUMNS, LINES = 80, 24
_CHUNK_BYTES = 256
"""What a slow link carries at once."""


class Operator:
    """One console, and who looks at it. Instants are `time.perf_counter` seconds."""

    def __init__(self, place: Home, *words: str, rate: int = 0, delay_s: float = 0.0, **environment: str) -> None:
        self._rate = rate
        self._delay_s = delay_s
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._seen = threading.Condition()
        self._typed: deque[tuple[float, bytes]] = deque()
        self._may_read = threading.Event()
        self._may_read.set()
        self._gone = False
        self.tail = b""
        """The newest bytes that arrived."""
        self.bytes_read = 0
        self.began = time.perf_counter()
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.before = termios.tcgetattr(slave)
        surroundings = {**place.environment, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environment}
        surroundings.pop("NO_COLOR", None)
        self._slave_name = os.ttyname(slave)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orchctl", "console", *words], stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True, preexec_fn=_take_terminal, env=surroundings, cwd=place.root,
        )  # fmt: skip
        self._slave = slave
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._read, self._type)]
        for thread in self._threads:
            thread.start()

    # --- the link -------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        arriving: deque[tuple[float, bytes]] = deque()
        deliver = threading.Thread(target=self._deliver, args=(arriving,), daemon=True)
        if self._delay_s:
            deliver.start()
        while not self._gone:
            self._may_read.wait()
            try:
                data = os.read(self._master, _CHUNK_BYTES if self._rate else 65536)
            except OSError:
                return
            if self._rate:
                time.sleep(len(data) / self._rate)
            if self._delay_s:
                arriving.append((time.perf_counter() + self._delay_s, data))
            else:
                self._show(data)

    def _deliver(self, arriving: deque[tuple[float, bytes]]) -> None:
        while not self._gone:
            if not arriving:
                time.sleep(0.002)
                continue
            due, data = arriving.popleft()
            time.sleep(max(0.0, due - time.perf_counter()))
            self._show(data)

    def _show(self, data: bytes) -> None:
        with self._seen:
            self.bytes_read += len(data)
            self.tail = (self.tail + data)[-8192:]
            with contextlib.suppress(Exception):  # pyte does not know every private sequence
                self._stream.feed(data)
            self._seen.notify_all()

    def _type(self) -> None:
        while not self._gone:
            if not self._typed:
                time.sleep(0.001)
                continue
            due, keys = self._typed.popleft()
            time.sleep(max(0.0, due - time.perf_counter()))
            with contextlib.suppress(OSError):
                os.write(self._master, keys)

    def stall(self) -> None:
        """Take nothing more, like a link that hangs; `go_on` ends it."""
        self._may_read.clear()

    def go_on(self) -> None:
        self._may_read.set()

    # --- looking and typing ---------------------------------------------------------------------------------------

    def press(self, keys: bytes) -> float:
        """Type; the instant at which it was done."""
        at = time.perf_counter()
        if self._delay_s:
            self._typed.append((at + self._delay_s, keys))
        else:
            os.write(self._master, keys)
        return at

    def lines(self) -> list[str]:
        with self._seen:
            return [line.rstrip() for line in self._screen.display]

    def text(self) -> str:
        return "\n".join(self.lines())

    def until(self, done: Callable[[list[str]], object], what: str, within_s: float = 20.0) -> float:
        """Wait until the screen is as wished; the instant at which it was seen to be. Raises AssertionError."""
        deadline = time.perf_counter() + within_s
        with self._seen:
            while not done([line.rstrip() for line in self._screen.display]):
                left = deadline - time.perf_counter()
                assert left > 0, f"waited {within_s} s for {what}; the screen is\n" + "\n".join(self._screen.display)
                self._seen.wait(min(left, 0.5))
            return time.perf_counter()

    def shows(self, part: str, within_s: float = 20.0) -> float:
        return self.until(lambda lines: any(part in line for line in lines), repr(part), within_s)

    def resize(self, columns: int, lines: int) -> None:
        with self._seen:
            self._screen.resize(lines, columns)
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.signal(signal.SIGWINCH)

    # --- the process ----------------------------------------------------------------------------------------------

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def cpu_s(self) -> float:
        """CPU seconds that the console has used."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def memory_mib(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / 2**20

    def ended(self, within_s: float = 10.0) -> int:
        """The exit code, once the process has ended."""
        wait_for(lambda: self.process.poll() is not None, "the console to end", within_s)
        return self.process.returncode

    def left_clean(self) -> bool:
        """Whether the terminal is as before: out of the other screen, cursor shown, mouse off, and in its old mode."""
        now = termios.tcgetattr(self._slave)
        shown = self.tail.rfind(b"\x1b[?25h") > self.tail.rfind(b"\x1b[?25l")
        main = self.tail.rfind(b"\x1b[?1049l") > self.tail.rfind(b"\x1b[?1049h")
        return shown and main and now[:4] == self.before[:4]

    def hang_up(self) -> None:
        """Close the terminal's other end."""
        self._gone = True
        self._may_read.set()
        for descriptor in (self._master, self._slave):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        self.hang_up()


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextlib.contextmanager
def operator(place: Home, *words: str, rate: int = 0, delay_s: float = 0.0, **environment: str) -> Iterator[Operator]:
    """A console of a home on an 80x24 terminal, ended at the end."""
    made = Operator(place, *words, rate=rate, delay_s=delay_s, **environment)
    try:
        yield made
    finally:
        made.close()
