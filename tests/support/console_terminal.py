"""A real console process on a real pseudo-terminal, whose other end the test holds."""

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator
from pathlib import Path

import pyte

from tests.support.console_pilot import until

_CHILD = """
import fcntl, signal, sys, termios
from pathlib import Path
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
if "ignore-hangup" in sys.argv:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
from orchctl.console.app import main
sys.exit(main(Path(sys.argv[1])))
"""


class Terminal:
    """The holder of the terminal: what came, what it looks like, and the keys."""

    def __init__(self, master: int, process: "subprocess.Popen[bytes]", before: list[object]) -> None:
        """`before`: how the terminal was before the console."""
        self._master = master
        self.process = process
        self.output = bytearray()
        self._screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self._screen)
        self.reading = False
        self.before = before

    def attributes(self) -> list[object]:
        """How the terminal treats what is typed and written."""
        return termios.tcgetattr(self._master)

    def read_on(self) -> None:
        """Take what the console writes from now on."""
        self.reading = True
        asyncio.get_running_loop().add_reader(self._master, self._take)

    def stall(self) -> None:
        """Take nothing more, like a link that hangs."""
        self.reading = False
        asyncio.get_running_loop().remove_reader(self._master)

    def _take(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError:
            self.stall()
            return
        self.output += data
        with contextlib.suppress(Exception):  # pyte does not know every private sequence
            self._stream.feed(data)

    def send(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display)

    async def shows(self, part: str) -> None:
        try:
            await until(lambda: part in self.text(), 20.0)
        except AssertionError:
            raise AssertionError(f"{part!r} did not appear on\n{self.text()}") from None

    async def ended(self, within_s: float = 10.0) -> int:
        """The exit code, once the process has ended."""
        await until(lambda: self.process.poll() is not None, within_s)
        code = self.process.returncode
        assert code is not None
        return code

    def hang_up(self) -> None:
        """Close the terminal's other end."""
        if self.reading:
            self.stall()
        os.close(self._master)
        self._master = -1

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        if self._master >= 0:
            self.hang_up()


@contextlib.asynccontextmanager
async def terminal_on(home: Path, *words: str, **environment: str) -> AsyncIterator[Terminal]:
    """A console of a home on an 80x24 terminal."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    surroundings = {
        **os.environ,
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "COLUMNS": "80",
        "LINES": "24",
        **environment,
    }
    before = termios.tcgetattr(master)
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", _CHILD, str(home), *words], stdin=slave, stdout=slave, stderr=slave,
        start_new_session=True, env=surroundings,
    )  # fmt: skip
    os.close(slave)
    terminal = Terminal(master, process, before)
    terminal.read_on()
    try:
        yield terminal
    finally:
        terminal.close()
