"""A home of its own for a test, with the real engine and the real command line in it.

Everything that is started is known by pid from `engine status`, and is gone when the home closes.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[2]
REGARDLESS = "\n[pressure]\nforeign_slow = 1\nforeign_closed = 1\n"
"""What else keeps this host busy is no matter of a test: as many run side by side as it says."""


class Home:
    """A folder for ORCHCTL_HOME and the verbs to use it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {**os.environ, "ORCHCTL_HOME": str(root), "PYTHONPATH": str(ROOT)}

    def call(self, *words: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """A verb, whatever it ends with."""
        argv = [sys.executable, "-m", "orchctl", *words]
        return subprocess.run(
            argv, env=self.environment, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=self.root,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def ok(self, *words: str, timeout_s: float = 120) -> str:
        """A verb that must end with 0; its output."""
        done = self.call(*words, timeout_s=timeout_s)
        assert done.returncode == 0, (
            f"{words} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        )
        return done.stdout

    def rows(self, *words: str) -> list[dict[str, Any]]:
        """The lines of a verb with --json."""
        return [msgspec.json.decode(line) for line in self.ok(*words, "--json").splitlines()]

    def status(self) -> dict[str, Any]:
        return self.rows("engine", "status")[0]

    def start(self) -> dict[str, Any]:
        self.ok("engine", "start")
        return self.status()

    def kill_engine(self) -> None:
        """kill -9, and wait until it is gone."""
        kill_pid(self.status()["pid"])

    def file(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def close(self) -> None:
        """End everything that belongs to the home."""
        self.call("engine", "stop", "--kill", "--yes")


def kill_pid(pid: int, timeout_s: float = 10) -> None:
    """SIGKILL to a process of ours, and wait until it has gone (or is a zombie of somebody else)."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid), f"process {pid} to be gone", timeout_s)


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = 20) -> None:
    """Poll a condition that must come true within a bound."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"waited {timeout_s} s for {what}"
        time.sleep(0.02)


@contextlib.contextmanager
def home(config: str = "") -> Iterator[Home]:
    """A home in a new folder with these settings, ended and removed at the end."""
    root = Path(tempfile.mkdtemp(prefix="orchctl-test-"))
    place = Home(root)
    place.file("config.toml", config + REGARDLESS)
    try:
        yield place
    finally:
        place.close()
        shutil.rmtree(root, ignore_errors=True)
