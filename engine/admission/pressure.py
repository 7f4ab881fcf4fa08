"""Live pressure: what the host is short of though nobody claimed it, and what that means for admission.

Claims are promises; the host is what it is. Samples of it (memory that is available, the kernel's pressure stall
information, CPU that others use) make one of three levels: *open*, *slow* (one start a second), *closed* (none). So
admission stops before the host swaps.

Hysteresis, so that the level does not flap with every start: a worse level holds at once; a better one only when the
sample has been clear of the bound by a margin, for a while, and then one step at a time. CPU that is short slows
and never closes, as it makes things late and not lost. What runs is not touched here: that is what quotas are for.
Pressure stall information: Documentation/accounting/psi.rst of the kernel; `some avg10` is the percentage of the last
ten seconds in which at least one task stood still for want of memory.
"""

from enum import IntEnum
from typing import NamedTuple

import msgspec

from engine.model.instants import SECOND
from engine.model.resources import Reason, size_text

SLOW_PAUSE_NS = SECOND
CALM_NS = 10 * SECOND
MARGIN = 0.2
"""How much better than its bound a value must be before the level gets better."""


class Level(IntEnum):
    OPEN = 0
    SLOW = 1
    CLOSED = 2


class Sample(NamedTuple):
    """The host at an instant; None is what it does not tell. CPU in thousandths of a core, `stalled` in percent."""

    memory_available_bytes: int | None = None
    memory_total_bytes: int = 0
    memory_stalled: float | None = None
    cpu_foreign_milli: int | None = None


class Bounds(msgspec.Struct, frozen=True):
    """Where slow and closed begin: shares of memory that is available, percentages of stalled time, and the share of
    the host's CPU that others may use.
    """

    memory_slow: float = 0.10
    memory_closed: float = 0.05
    stalled_slow: float = 10.0
    stalled_closed: float = 40.0
    foreign_slow: float = 0.25


def sentence_of(reason: Reason) -> str:
    """`memory: 1.2G available, the bound is 2.3G`, for people."""
    if reason.resource == "memory":
        return f"memory: {size_text(reason.available)} available, the bound is {size_text(reason.asked)}"
    return f"{reason.resource}: {reason.available:g}, the bound is {reason.asked:g}"


class Pressure:
    """The level, and why. `cpu_milli` is what the host has."""

    def __init__(self, cpu_milli: int, bounds: Bounds = Bounds()) -> None:  # noqa: B008 - frozen
        self.level = Level.OPEN
        self.reasons: tuple[Reason, ...] = ()
        self._cpu_milli = cpu_milli
        self._bounds = bounds
        self._calm_since_ns: int | None = None
        self._last_start_ns: int | None = None

    def concerned(self, sample: Sample) -> bool:
        """Whether the sample has to be observed: something is short, or was."""
        return self.level is not Level.OPEN or bool(_findings(sample, self._bounds, self._cpu_milli, 0.0))

    def observe(self, sample: Sample, now_ns: int) -> bool:
        """Take a sample. Returns whether the level is another one now."""
        before = self.level
        found = _findings(sample, self._bounds, self._cpu_milli, 0.0)
        worst = max((level for level, _ in found), default=Level.OPEN)
        if worst >= self.level:
            self.level, self._calm_since_ns = worst, None
            self.reasons = tuple(reason for _, reason in found)
            return self.level is not before
        near = _findings(sample, self._bounds, self._cpu_milli, MARGIN)
        if any(level >= self.level for level, _ in near):
            self._calm_since_ns = None
        elif self._calm_since_ns is None:
            self._calm_since_ns = now_ns
        elif now_ns - self._calm_since_ns >= CALM_NS:
            self.level = Level(self.level - 1)
            self._calm_since_ns = now_ns
            if self.level is Level.OPEN:
                self.reasons = ()
        if found and self.level is not Level.OPEN:
            self.reasons = tuple(reason for _, reason in found)
        return self.level is not before

    def may_start(self, now_ns: int) -> bool:
        """Whether an attempt may start now as far as the host is concerned."""
        if self.level is Level.OPEN:
            return True
        return self.level is Level.SLOW and self.next_start_ns() <= now_ns

    def started(self, now_ns: int) -> None:
        """An attempt was started."""
        self._last_start_ns = now_ns

    def next_start_ns(self) -> int:
        """When the next may start while the level is slow."""
        return 0 if self._last_start_ns is None else self._last_start_ns + SLOW_PAUSE_NS


def _findings(sample: Sample, bounds: Bounds, cpu_milli: int, margin: float) -> list[tuple[Level, Reason]]:
    """What is beyond its bound, or nearer to it than the margin, the worst first. `asked` of a reason is the bound."""
    found: list[tuple[Level, Reason]] = []
    if sample.memory_available_bytes is not None and sample.memory_total_bytes:
        for level, share in ((Level.CLOSED, bounds.memory_closed), (Level.SLOW, bounds.memory_slow)):
            bound = int(share * sample.memory_total_bytes)
            if sample.memory_available_bytes < bound * (1 + margin):
                found.append((level, Reason("pressure", "memory", bound, sample.memory_available_bytes)))
                break
    if sample.memory_stalled is not None:
        for level, bound in ((Level.CLOSED, bounds.stalled_closed), (Level.SLOW, bounds.stalled_slow)):
            if sample.memory_stalled > bound * (1 - margin):
                found.append((level, Reason("pressure", "memory stalls", bound, sample.memory_stalled)))
                break
    if sample.cpu_foreign_milli is not None:
        bound = bounds.foreign_slow * cpu_milli
        if sample.cpu_foreign_milli > bound * (1 - margin):
            reason = Reason("pressure", "cpu of others", bound / 1000, sample.cpu_foreign_milli / 1000)
            found.append((Level.SLOW, reason))
    return sorted(found, key=lambda finding: -finding[0])
