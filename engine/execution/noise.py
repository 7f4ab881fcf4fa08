"""How quiet the host is: what else happened on it between two snapshots.

A snapshot is text of /proc, taken before and after (or now and then during) a trial; what it says is the difference.
*Foreign* CPU is what was busy in total less what our own processes used: `ours_ns` is told by whoever measures them.
Steal is time that a hypervisor gave to others (proc(5), /proc/stat); pressure is the kernel's stall information, whose
`total` counts microseconds (Documentation/accounting/psi.rst), so a difference misses nothing between samples. What a
kernel does not tell is None, never a zero that looks quiet.
"""

import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from engine.execution.host_text import read

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_USER, _NICE, _SYSTEM, _IDLE, _IOWAIT, _IRQ, _SOFTIRQ, _STEAL = range(8)
_STALLS = ("cpu", "memory", "io")


class Snapshot(NamedTuple):
    """Counters at an instant. `busy` and `steal` are seconds of all CPUs together, `stalled` seconds by resource,
    `frequency` the mean of all CPUs in kHz."""

    at_ns: int
    ours_ns: int
    cpus: int
    busy: float
    steal: float
    stalled: dict[str, float]
    frequency: float | None


class Noise(NamedTuple):
    """Between two snapshots: CPUs that others kept busy, CPUs that were stolen, the share of time (0 to 1) in which
    something stood still for want of a resource, and the frequency at the end as a share of that at the beginning."""

    foreign_cpus: float
    stolen_cpus: float
    stalled: dict[str, float]
    frequency_ratio: float | None


class Limits(NamedTuple):
    """As `model.campaign.NoiseLimits`, for a launcher, which reads them from its order."""

    foreign: float
    forgiven: float
    stolen: float
    memory: float
    io: float
    frequency: float
    look_ns: int
    looks: int


def take(ours_ns: int, root: Path = Path("/"), at_ns: int | None = None) -> Snapshot:
    """A snapshot now. `ours_ns` is the CPU time that the trial's processes (and ours) have used so far."""
    stat = read(root / "proc/stat")
    busy, steal = cpu_seconds(stat)
    return Snapshot(
        at_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME) if at_ns is None else at_ns,
        ours_ns=ours_ns,
        cpus=sum(line.startswith("cpu") and line[3:4].isdecimal() for line in stat.splitlines()),
        busy=busy,
        steal=steal,
        stalled=_stalled(root),
        frequency=_frequency(root),
    )


def between(before: Snapshot, after: Snapshot) -> Noise:
    """What happened from one snapshot to a later one. Raises ValueError if it is not later."""
    span = (after.at_ns - before.at_ns) / 1e9
    if span <= 0:
        raise ValueError("the second snapshot is not later than the first")
    ours = (after.ours_ns - before.ours_ns) / 1e9
    stalled = {
        name: min(max(total - before.stalled[name], 0.0) / span, 1.0)
        for name, total in after.stalled.items()
        if name in before.stalled
    }
    return Noise(
        foreign_cpus=max(after.busy - before.busy - ours, 0.0) / span,
        stolen_cpus=max(after.steal - before.steal, 0.0) / span,
        stalled=stalled,
        frequency_ratio=_ratio(before.frequency, after.frequency),
    )


def _ratio(before: float | None, after: float | None) -> float | None:
    return after / before if before and after else None


def marks(noise: Noise, cpus: int, limits: Limits) -> tuple[str, ...]:
    """Why a trial counts as noisy, a sentence each with the limit; none if the host was quiet."""
    found: list[str] = []
    foreign, stolen = max(limits.foreign * cpus, limits.forgiven), limits.stolen * cpus
    if noise.foreign_cpus > foreign:
        found.append(f"others used {noise.foreign_cpus:.2f} CPUs (limit {foreign:.3g})")
    if noise.stolen_cpus > stolen:
        found.append(f"the hypervisor took {noise.stolen_cpus:.2f} CPUs (limit {stolen:.3g})")
    for resource, limit in (("memory", limits.memory), ("io", limits.io)):
        share = noise.stalled.get(resource, 0.0)
        if share > limit:
            found.append(f"{share:.0%} of the time something waited for {resource} (limit {limit * 100:.3g}%)")
    if noise.frequency_ratio is not None and abs(noise.frequency_ratio - 1) > limits.frequency:
        speed = f"{noise.frequency_ratio:.0%} of their frequency at the beginning"
        found.append(f"the CPUs ran at {speed} (limit 100±{limits.frequency * 100:.3g}%)")
    return tuple(found)


def cpu_seconds(stat: str, cpus: Collection[int] | None = None) -> tuple[float, float]:
    """(busy, steal) of these CPUs together, of all unless they are named. Guests are counted within user and nice."""
    names = {"cpu"} if cpus is None else {f"cpu{number}" for number in cpus}
    busy = steal = 0
    for line in stat.splitlines():
        words = line.split()
        if words and words[0] in names:
            ticks = [int(word) for word in words[1:] if word.isdecimal()]
            ticks += [0] * (_STEAL + 1 - len(ticks))
            busy += sum(ticks[place] for place in (_USER, _NICE, _SYSTEM, _IRQ, _SOFTIRQ))
            steal += ticks[_STEAL]
    return busy / TICKS_A_SECOND, steal / TICKS_A_SECOND


def _stalled(root: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for resource in _STALLS:
        for line in read(root / "proc/pressure" / resource).splitlines():
            total = line.rpartition("total=")[2]
            if line.startswith("some ") and total.isdecimal():
                found[resource] = int(total) / 1e6
    return found


def _frequency(root: Path) -> float | None:
    folders = (root / "sys/devices/system/cpu/cpufreq").glob("policy*")
    values = [read(folder / "scaling_cur_freq").strip() for folder in folders]
    known = [int(value) for value in values if value.isdecimal()]
    return sum(known) / len(known) if known else None
