"""How much CPU processes have used, to the nanosecond, while they live and after.

The kernel gives each process a clock of its own CPU time that others may read, also of one that has ended and was not
waited for. What a process has waited for is in its stat file, to 10 ms. A tree's use is the sum of both over its live
members: what one of them ended with has moved to the member that waited for it.
"""

import os
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Used:
    """Seconds of CPU: by the processes themselves, and by the children that they have waited for."""

    own_s: float = 0.0
    waited_s: float = 0.0

    @property
    def all_s(self) -> float:
        return self.own_s + self.waited_s

    def __add__(self, other: "Used") -> "Used":
        return Used(self.own_s + other.own_s, self.waited_s + other.waited_s)

    def __sub__(self, other: "Used") -> "Used":
        return Used(self.own_s - other.own_s, self.waited_s - other.waited_s)


def used_by(pid: int) -> Used:
    """What a process has used so far; nothing if there is no such process."""
    try:
        own_s = time.clock_gettime((~pid << 3) | 2)  # what clock_getcpuclockid() answers
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return Used()
    return Used(own_s, (int(fields[13]) + int(fields[14])) * _TICK_S)


def used_by_all(pids: Iterable[int]) -> Used:
    return sum((used_by(pid) for pid in pids), Used())


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [pid, *(child.pid for child in children)]


def pss_bytes(pids: Iterable[int]) -> int:
    """Memory of processes, pages that are shared counted by share."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


@dataclass(frozen=True)
class Sample:
    """One measurement: whole time, CPU of all that took part, and what of it was not the tasks' (None: not known)."""

    seconds: float
    cpu_s: float
    own_s: float | None = None


def run_command(argv: list[str], folder: Path, environment: dict[str, str], stdin: bytes = b"") -> tuple[Sample, str]:
    """Run a command to its end: its sample and its output. Raises RuntimeError where it ends otherwise than with 0."""
    given, out = folder / ".stdin", folder / ".output"
    given.write_bytes(stdin)
    with given.open("rb") as source, out.open("wb") as sink:
        begin = time.perf_counter()
        process = subprocess.Popen(argv, cwd=folder, env=environment, stdin=source, stdout=sink, stderr=sink)
        try:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            seconds = time.perf_counter() - begin
            own_s = used_by(process.pid).own_s
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:  # interrupted
                process.terminate()
                process.wait()
    text = out.read_text(errors="replace")
    if process.returncode:
        raise RuntimeError(f"{' '.join(argv)[:200]} ended with {process.returncode}: {text[-2000:]}")
    return Sample(seconds, usage.ru_utime + usage.ru_stime, own_s), text
