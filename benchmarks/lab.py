"""What every benchmark needs: folders and engines that are gone at the end, records, and percentiles.

A record is one JSON line: the question, the contender, the figure, its unit, and where it was measured. Contenders of
one question are measured in the same run, interleaved, and compared by the ratio of their medians: machines are noisy.
"""

import contextlib
import math
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil

from benchmarks.cpu import Sample, Used, run_command, used_by_all
from engine.protocol.messages import GetEngine, GetRun
from engine.protocol.rows import EngineRow, RunRow
from orchctl.client.session import Session
from orchctl.paths import Home

ORCHCTL = [sys.executable, "-m", "orchctl"]
SLOTS = 2
HOST = f"[host]\ncpus = {SLOTS}\n\n[pressure]\nforeign_slow = 1\nforeign_closed = 1\n\n"
"""The clients and watchers of a benchmark are others to the engine: it must not make way for them."""


class Record(msgspec.Struct, kw_only=True):
    """One figure. `ratio` compares with the first contender of the question (above 1 is more of the unit)."""

    question: str
    contender: str
    value: float
    unit: str
    ratio: float | None = None
    rounds: int = 1
    details: dict[str, Any] = {}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks of every question."""

    quick: bool = False
    peers: tuple[str, ...] = ()
    python: str = sys.executable
    """The Python that has the peers of PyPI."""


def machine() -> dict[str, Any]:
    """Where it was measured."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def peers_python() -> str:
    """The Python that `ORCHCTL_BENCH_PYTHON` names, else this one."""
    return os.environ.get("ORCHCTL_BENCH_PYTHON") or sys.executable


def say(text: str) -> None:
    """A remark for who waits; the figures go to standard output alone."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


# --- folders and engines ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A new folder, gone at the end."""
    path = Path(tempfile.mkdtemp(prefix="orchctl-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Engine:
    """An engine in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {**os.environ, "ORCHCTL_HOME": str(home)}
        self.files = home / "files"
        self.files.mkdir(exist_ok=True)

    def sample(self, *words: str) -> tuple[Sample, str]:
        """A verb's whole time, the CPU of it and of all our processes meanwhile, and its output."""
        before = self.used()
        client, text = run_command([*ORCHCTL, *words], self.files, self.environment)
        ours = self.used() - before
        return Sample(client.seconds, client.cpu_s + ours.all_s, client.cpu_s + ours.own_s), text

    def call(self, *words: str) -> str:
        """The output of a verb. Raises RuntimeError where it ends otherwise than with 0."""
        return run_command([*ORCHCTL, *words], self.files, self.environment)[1]

    def rows(self, *words: str) -> list[dict[str, Any]]:
        """What a verb prints with --json."""
        return [msgspec.json.decode(line) for line in self.call(*words, "--json").splitlines()]

    def session(self) -> Session:
        return Session(Home(self.home))

    def status(self) -> EngineRow:
        with self.session() as session:
            return session.one(GetEngine(), EngineRow)[0]

    def pids(self) -> list[int]:
        """Engine, keeper, launchers, workers, meter."""
        row = self.status()
        return [pid for pid in (row.pid, row.keeper, *row.launchers, *row.workers, row.meter) if pid]

    def used(self) -> Used:
        """CPU of all our processes so far, and of what they have waited for."""
        return used_by_all(self.pids())

    def file(self, name: str, text: str) -> Path:
        path = self.files / name
        path.write_text(text)
        return path

    def close(self) -> None:
        """End all that is the home's own, also what an engine that was killed has left behind."""
        argv = [*ORCHCTL, "engine", "stop", "--kill", "--yes"]
        subprocess.run(argv, env=self.environment, capture_output=True, check=False, start_new_session=True)


@contextlib.contextmanager
def home(config: str = HOST) -> Iterator[Engine]:
    """A home in which no engine runs yet; whatever runs in it at the end is ended, and a second Ctrl+C waits for it."""
    with folder() as path:
        (path / "config.toml").write_text(config)
        bench = Engine(path)
        try:
            yield bench
        finally:
            known = signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                bench.close()
            finally:
                signal.signal(signal.SIGINT, known)


@contextlib.contextmanager
def engine(config: str = HOST) -> Iterator[Engine]:
    """A running engine, gone with all that is its own at the end."""
    with home(config) as bench:
        bench.call("engine", "start")
        yield bench


def finished(session: Session, run: int, within_s: float = 3600.0) -> RunRow:
    """The row of a run once it has ended, asked for a few times a second. Raises TimeoutError."""
    deadline = time.monotonic() + within_s
    while True:
        row = session.one(GetRun(run=run), RunRow)[0]
        if row.finished_at is not None:
            return row
        if time.monotonic() > deadline:
            raise TimeoutError(f"r{run} has not ended within {within_s:.0f} s: {row.tasks}")
        time.sleep(0.05)


def until(condition: Callable[[], object], what: str, within_s: float = 120.0, every_s: float = 0.02) -> float:
    """Poll a condition; the seconds that it took to come true. Raises TimeoutError."""
    begin = time.perf_counter()
    while not condition():
        if time.perf_counter() - begin > within_s:
            raise TimeoutError(f"waited {within_s:.0f} s for {what}")
        time.sleep(every_s)
    return time.perf_counter() - begin


# --- figures ----------------------------------------------------------------------------------------------------------


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


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent do not exceed, of those that there are."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


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


def spread(question: str, unit: str, values: Sequence[float], contender: str = "orchctl") -> list[Record]:
    """Two records: the value that half do not exceed, and the one that 99 % do not."""
    return [
        Record(
            question=f"{question}, p{percent}", contender=contender, value=round(percentile(values, percent), 4),
            unit=unit, rounds=len(values), details={"low": round(min(values), 4), "high": round(max(values), 4)},
        )
        for percent in (50, 99)
    ]  # fmt: skip


def series(question: str, unit: str, values: dict[str, float], **details: Any) -> list[Record]:
    """Records of one measurement each that belong together; ratios to the first."""
    return compare(question, unit, {name: [value] for name, value in values.items()}, **details)


def one(question: str, unit: str, value: float, contender: str = "orchctl", **details: Any) -> Record:
    """A record of one measurement."""
    return Record(question=question, contender=contender, value=round(float(value), 4), unit=unit, details=details)
