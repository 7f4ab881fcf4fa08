"""Running verbs in tests: in this process, where its output is plain, or as a real process on a
pseudo-terminal.
"""

import contextlib
import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

from orchctl.commands.dispatch import guarded


class Result(NamedTuple):
    """What a verb ended with and printed."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The objects of `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]


def orchctl(home: Path, *words: str) -> Result:
    """Run a verb in this process, its output not a terminal."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = guarded(["--home", str(home), *words])
    out.flush()
    err.flush()
    return Result(code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode())  # pyright: ignore[reportAttributeAccessIssue]


def command(*words: str) -> list[str]:
    """The words that run orchctl as a process."""
    return [sys.executable, "-m", "orchctl", *words]


class Terminal:
    """A verb as a process on a pseudo-terminal of 80 by 24. `seen` is every byte that reached the terminal."""

    def __init__(self, process: "subprocess.Popen[bytes]", master: int) -> None:
        self.process = process
        self.master = master
        self.seen = b""

    def read_until(self, done: Callable[[bytes], bool], within_s: float = 20.0) -> None:
        """Read what the verb writes until `done` says so of all that was seen. Fails when it never does."""
        deadline = time.monotonic() + within_s
        while not done(self.seen):
            if not self._read(deadline):
                raise AssertionError(f"never seen; the terminal got {self.seen!r}")

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self, within_s: float = 20.0) -> int:
        """Read until the verb has ended; its exit code."""
        deadline = time.monotonic() + within_s
        while self._read(deadline):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def _read(self, deadline: float) -> bool:
        if not select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:  # the terminal has no writer any more
            return False
        self.seen += data
        return bool(data)


@contextlib.contextmanager
def on_terminal(home: Path, *words: str, **environment: str) -> Generator[Terminal]:
    """Start a verb on a pseudo-terminal; it is killed at the end if it still runs."""
    master, slave = pty.openpty()
    known = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "ORCHCTL_HOME")}
    process = subprocess.Popen(
        command("--home", str(home), *words),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=known | {"TERM": "xterm"} | environment,
        start_new_session=True,
    )
    os.close(slave)
    terminal = Terminal(process, master)
    try:
        yield terminal
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        os.close(master)
