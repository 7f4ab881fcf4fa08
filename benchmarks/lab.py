"""What every benchmark needs: an engine of its own in a fresh home, CPU accounting of all its processes, and records.

A record is one JSON line: the question, the contender, the figure, its unit, and where it was measured. Contenders of
one question are measured in the same run, interleaved, and compared by ratio of medians: machines are noisy.
"""

import contextlib
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil

ORCHCTL = [sys.executable, "-m", "orchctl"]


class Record(msgspec.Struct, kw_only=True):
    """One figure. `ratio` compares with the first contender of the question (above 1 is more of the unit)."""

    question: str
    contender: str
    value: float
    unit: str
    ratio: float | None = None
    rounds: int = 1
    details: dict[str, Any] = {}


def machine() -> dict[str, Any]:
    """Where it was measured."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
        "load_before": round(os.getloadavg()[0], 2),
    }


class Engine:
    """An engine in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {**os.environ, "ORCHCTL_HOME": str(home)}

    def call(self, *words: str) -> str:
        """The output of a verb. Raises where it ends otherwise than with 0."""
        done = subprocess.run([*ORCHCTL, *words], env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"orchctl {' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def processes(self) -> list[psutil.Process]:
        """Engine, keeper, launchers, workers, meter."""
        status = msgspec.json.decode(self.call("engine", "status", "--json"))
        pids = [status["pid"], status["keeper"], *status["launchers"], *status["workers"], status["meter"]]
        return [psutil.Process(pid) for pid in pids if pid]

    def cpu_seconds(self) -> float:
        """CPU that all our processes have used so far, with the children that they have waited for left out."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """A running engine, gone with all that is its own at the end."""
    home = Path(tempfile.mkdtemp(prefix="orchctl-bench-"))
    bench = Engine(home)
    bench.call("engine", "start")
    try:
        yield bench
    finally:
        bench.call("engine", "stop", "--kill", "--yes")
        shutil.rmtree(home, ignore_errors=True)


def timed(act: Callable[[], object]) -> float:
    """Seconds that the act took."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def interleaved(contenders: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each contender's figures, taken in turns so that noise falls on all alike."""
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            figures[name].append(measure())
    return figures


def compare(question: str, unit: str, figures: dict[str, list[float]], **details: Any) -> list[Record]:
    """Records of the medians; ratios to the first contender, which is ours."""
    medians = {name: statistics.median(values) for name, values in figures.items()}
    ours = next(iter(medians.values()))
    return [
        Record(
            question=question, contender=name, value=round(value, 4), unit=unit, rounds=len(figures[name]),
            ratio=round(value / ours, 3) if ours else None,
            details={"low": round(min(figures[name]), 4), "high": round(max(figures[name]), 4), **details},
        )
        for name, value in medians.items()
    ]  # fmt: skip


def have(program: str) -> str | None:
    """The path of a peer, or None."""
    return shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
