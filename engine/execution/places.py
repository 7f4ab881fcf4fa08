"""Where the execution world keeps its files: state beside the store, sockets in the run folder, logs by run.

Standard library only, and of that what starts quickly: every process of ours loads this. The state folder gets
`execution/` with lock files, spools, the pages of blocks, and the results of attempts that are too long for an exit
record.
"""

import os
from functools import cached_property
from pathlib import Path

LOG_FLAGS = os.O_APPEND | os.O_NONBLOCK
"""Of an open log. It is no pipe, whatever a task may have put in its place."""


class Places:
    """The folders that one engine's processes share; all absolute."""

    def __init__(self, home: Path, run_dir: Path, logs: Path) -> None:
        self.home = home
        self.run_dir = run_dir
        self.logs = logs

    @cached_property
    def state(self) -> Path:
        return self.home / "execution"

    @cached_property
    def results(self) -> Path:
        return self.state / "results"

    @cached_property
    def pages(self) -> Path:
        return self.state / "pages"

    @property
    def diary(self) -> Path:
        """What keeper, launchers and meter have to say about themselves. The keeper keeps it bounded."""
        return self.state / "processes.log"

    def prepare(self) -> None:
        """Make the folders, private to the user."""
        for folder in (self.state, self.results, self.pages, self.run_dir, self.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def lock(self, who: str) -> Path:
        """The file whose flock says that `who` lives: `keeper`, `meter`, `launcher-0`..."""
        return self.state / f"{who}.lock"

    def socket(self, who: str) -> Path:
        return self.run_dir / f"{who}.sock"

    def spool(self, slot: int) -> Path:
        return self.state / f"launcher-{slot}.spool"

    @cached_property
    def _texts(self) -> tuple[str, str, str]:
        return str(self.results), str(self.logs), str(self.pages)

    def result(self, attempt: int) -> str:
        """The file that ORCHCTL_RESULT names."""
        return f"{self._texts[0]}/{attempt}.json"

    def metrics(self, attempt: int) -> str:
        """The file to which ORCHCTL_METRICS_FD leads."""
        return f"{self._texts[0]}/{attempt}.metrics"

    def page(self, block: int) -> str:
        """What launcher and worker share of a block."""
        return f"{self._texts[2]}/{block}.page"

    def log(self, path: str) -> str:
        """A path below the log folder, absolute."""
        return f"{self._texts[1]}/{path}"

    def slots(self) -> list[int]:
        """The slots that any launcher ever had in this state folder."""
        numbers = (name.stem.removeprefix("launcher-") for name in self.state.glob("launcher-*.lock"))
        return sorted(int(number) for number in numbers if number.isdecimal())


def log_path(run: int, task: str, index: int, number: int) -> str:
    """The log of an attempt that is a process of its own, below the log folder. `index` is negative without one."""
    row = task if index < 0 else f"{task}.{index}"
    return f"r{run}/{row}.{number}.log"


def segment_path(run: int, slot: int, worker: int) -> str:
    """The file that a worker writes to while it serves a run; an attempt's output is a slice of it."""
    return f"r{run}/workers/{slot}-{worker}.log"


def open_log(path: str) -> int:
    """Open (and make) a log for appending, without following a link. Raises OSError."""
    flags = os.O_RDWR | LOG_FLAGS | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, flags, 0o600)
