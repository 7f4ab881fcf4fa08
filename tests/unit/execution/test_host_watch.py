"""What others use of the CPUs is what is busy and not ours, over the last seconds; looked at where it may matter."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from engine.core.events import HostSampled
from engine.execution.noise import TICKS_A_SECOND
from engine.execution.pressure import HostWatch
from engine.model.instants import SECOND

CPUS = len(os.sched_getaffinity(0))


class Host:
    """A /proc whose processors were busy for so many seconds; `ours` is what a meter would say, if asked."""

    def __init__(self, root: Path, worth: float = 0.4) -> None:
        self.root = root
        self.now_s = self.asked = 0
        self.busy_s = self.ours_s = 0.0
        self.silent = False
        self.watch = HostWatch(self.ours, worth, root)
        for name, text in (
            ("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\n"),
            ("proc/pressure/memory", "some avg10=1.50 avg60=0.00 avg300=0.00 total=0\n"),
        ):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)

    async def ours(self) -> int | None:
        self.asked += 1
        return None if self.silent else int(self.ours_s * SECOND)

    def second(self, busy: float, ours: float = 0.0) -> HostSampled:
        """A second goes by, in which so many CPUs were busy, and so many with ours; then it is looked."""
        self.now_s += 1
        self.busy_s += busy
        self.ours_s += ours
        each = int(self.busy_s * TICKS_A_SECOND / CPUS)
        lines = [f"cpu{number} {each} 0 0 9999 0 0 0 0" for number in sorted(os.sched_getaffinity(0))]
        (self.root / "proc/stat").write_text(
            "\n".join(["cpu 0 0 0 0 0 0 0 0", *lines, "cpu4096 99999 0 0 0 0 0 0 0\n"])
        )

        async def look() -> HostSampled:
            return await self.watch.look(self.now_s * SECOND)

        return trio.run(look)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def seconds(count: int, second: Callable[[], HostSampled]) -> HostSampled:
    return [second() for _ in range(count)][-1]


def test_memory_and_stalls_are_read(host: Host):
    found = host.second(0)
    assert (found.memory_available_bytes, found.memory_total_bytes) == (400 * 1024, 1000 * 1024)
    assert (found.memory_stalled, found.cpu_foreign_milli, found.cpu_total_milli) == (1.5, None, CPUS * 1000)


def test_a_quiet_host_is_not_looked_at_more_closely(host: Host):
    assert seconds(15, lambda: host.second(CPUS * 0.3)).cpu_foreign_milli is None
    assert host.asked == 0


def test_what_is_busy_and_not_ours_is_of_others(host: Host):
    found = seconds(15, lambda: host.second(CPUS * 0.9, ours=CPUS * 0.2))
    assert found.cpu_foreign_milli == pytest.approx(CPUS * 700, rel=0.03)


def test_ours_alone_is_nobody_elses_however_busy(host: Host):
    found = seconds(15, lambda: host.second(CPUS, ours=CPUS))
    assert found.cpu_foreign_milli is not None
    assert found.cpu_foreign_milli < CPUS * 30


def test_a_moment_of_others_is_no_pressure(host: Host):
    seconds(10, lambda: host.second(CPUS, ours=CPUS))
    found = seconds(2, lambda: host.second(CPUS, ours=0))
    assert found.cpu_foreign_milli == pytest.approx(CPUS * 200, rel=0.1)
    found = seconds(12, lambda: host.second(CPUS, ours=CPUS))
    assert found.cpu_foreign_milli is not None
    assert found.cpu_foreign_milli < CPUS * 30


def test_without_a_meter_nothing_is_known_and_a_process_that_is_gone_begins_it_anew(host: Host):
    seconds(12, lambda: host.second(CPUS, ours=CPUS * 0.5))
    host.silent = True
    assert host.second(CPUS).cpu_foreign_milli is None
    host.silent, host.ours_s = False, 1.0
    assert seconds(2, lambda: host.second(CPUS, ours=CPUS * 0.5)).cpu_foreign_milli == pytest.approx(
        CPUS * 500, rel=0.1
    )
    host.ours_s = 0.0
    assert host.second(CPUS, ours=0.1).cpu_foreign_milli is None
