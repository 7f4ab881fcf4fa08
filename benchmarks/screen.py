"""A console on a pseudo-terminal that a benchmark holds: it types, looks at the screen, and takes the time."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator

import pyte

from benchmarks import lab

COLUMNS, LINES = 80, 24
_CHUNK_BYTES = 65536


class Screen:
    """What the terminal shows. `bytes_read` counts all that reached it."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self.bytes_read = 0

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display)

    def until(self, done: Callable[[str], bool], within_s: float = 20.0) -> float:
        """Read until the screen is as wished; the instant (`time.perf_counter`) of the bytes that made it so."""
        deadline = time.monotonic() + within_s
        at = time.perf_counter()
        while not done(self.text()):
            if not self._read(deadline):
                raise TimeoutError(f"not seen within {within_s:.0f} s; the screen is\n{self.text()}")
            at = time.perf_counter()
        return at

    def settle(self, seconds: float) -> None:
        """Take what comes within so many seconds."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass

    def _read(self, deadline: float) -> bool:
        if not select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        data = os.read(self._master, _CHUNK_BYTES)
        self.bytes_read += len(data)
        with contextlib.suppress(Exception):  # pyte does not know every private sequence
            self._stream.feed(data)
        return True


@contextlib.contextmanager
def console(bench: lab.Engine, *words: str) -> Iterator[Screen]:
    """`orchctl console` on a terminal of 80 by 24, killed at the end if it still runs."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    surroundings = {**bench.environment, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    process = subprocess.Popen(
        [*lab.ORCHCTL, "console", *words], stdin=slave, stdout=slave, stderr=slave, env=surroundings,
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(slave)
    try:
        yield Screen(master)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(master)
