"""Live pressure: what the host is short of though nobody claimed it, and what that means for admission.

Claims are promises; the host is what it is. Samples of it make one of three levels, *open*, *slow* and *closed*, for
each of two things:

- **Memory** (what is available, and the kernel's pressure stall information): slow is one start a second, closed is
  none. So admission stops before the host swaps.
- **CPU that others use**, on all CPUs that we may use: slow is that it counts as claimed, so that fewer run side by
  side, closed is one attempt at a time. It makes things late and not lost, so it never stops everything: what would be
  the only one that holds CPUs starts, and when nothing has started for a minute one more does. Nothing waits for ever.

Hysteresis, so that a level does not flap with every start: a worse one holds at once; a better one only when the sample
has been clear of the bound by a margin, for a while, and then one step at a time. What others use counts at its peak
for as long. What runs is not touched here: that is what quotas are for. Pressure stall information:
Documentation/accounting/psi.rst of the kernel; `some avg10` is the percentage of the last ten seconds in which at least
one task stood still for want of memory.
"""

from enum import IntEnum
from typing import Annotated, NamedTuple

import msgspec

from engine.admission.ledger import Ledger
from engine.model.instants import MINUTE, SECOND
from engine.model.resources import Claim, Reason, pressure_text

SLOW_PAUSE_NS = SECOND
CALM_NS = 10 * SECOND
MARGIN = 0.2
"""How much better than its bound a value must be before the level gets better."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]


class Level(IntEnum):
    OPEN = 0
    SLOW = 1
    CLOSED = 2


class Sample(NamedTuple):
    """The host at an instant; None is what it does not tell. CPU in thousandths of a core: what others used on average
    of the last seconds, and all that this process may use. `stalled` in percent."""

    memory_available_bytes: int | None = None
    memory_total_bytes: int = 0
    memory_stalled: float | None = None
    cpu_foreign_milli: int | None = None
    cpu_total_milli: int = 0


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where slow and closed begin: shares of memory that is available, percentages of stalled time, and shares of the
    CPUs that others use (1: that never counts).
    """

    memory_slow: Share = 0.10
    memory_closed: Share = 0.05
    stalled_slow: Percent = 10.0
    stalled_closed: Percent = 40.0
    foreign_slow: Share = 0.5
    foreign_closed: Share = 0.9


def bounds_faults(bounds: Bounds) -> list[str]:
    """What is wrong with them as a whole, a sentence each."""
    pairs = (
        ("memory_closed", bounds.memory_closed, "memory_slow", bounds.memory_slow),
        ("stalled_slow", bounds.stalled_slow, "stalled_closed", bounds.stalled_closed),
        ("foreign_slow", bounds.foreign_slow, "foreign_closed", bounds.foreign_closed),
    )
    return [f"{low} ({less:g}) is above {high} ({more:g})" for low, less, high, more in pairs if less > more]


_Found = list[tuple[Level, Reason]]
_EFFECTS = {
    ("memory", Level.SLOW): "one attempt starts a second", ("memory", Level.CLOSED): "nothing starts",
    ("cpu", Level.SLOW): "what others use counts as claimed", ("cpu", Level.CLOSED): "one attempt at a time",
}  # fmt: skip


class _Dial:
    """A level with hysteresis, and why it is what it is."""

    def __init__(self) -> None:
        self.level = Level.OPEN
        self.reasons: tuple[Reason, ...] = ()
        self._calm_since_ns: int | None = None

    def turn(self, found: _Found, near: _Found, now_ns: int) -> None:
        """`found` is what is beyond its bound, `near` what is not clear of it."""
        worst = max((level for level, _ in found), default=Level.OPEN)
        if worst >= self.level:
            self.level, self._calm_since_ns = worst, None
            self.reasons = tuple(reason for _, reason in found)
            return
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


class Pressure:
    """The levels, and why."""

    def __init__(self, bounds: Bounds = Bounds()) -> None:  # noqa: B008 - frozen
        self.bounds = bounds
        self.level = Level.OPEN
        """The worse of the two."""
        self._memory, self._cpu = _Dial(), _Dial()
        self._sample = Sample()
        self._others_milli = self._others_since_ns = 0
        self._last_start_ns: int | None = None

    @property
    def foreign_worth(self) -> float:
        """The share of the CPUs that others must at least use for it to matter; more than all where it never does."""
        bound = self.bounds.foreign_slow
        return bound * (1 - MARGIN) if bound < 1 else 2.0

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What is short, the worse first. `asked` is the bound, `available` what there is."""
        first, then = (self._memory, self._cpu) if self._memory.level >= self._cpu.level else (self._cpu, self._memory)
        return first.reasons + then.reasons

    @property
    def sentences(self) -> list[str]:
        """The same for people, with what it means."""
        dials = (("memory", self._memory), ("cpu", self._cpu))
        return [
            f"{pressure_text(reason.resource, reason.asked, reason.available)}: {_EFFECTS[name, dial.level]}"
            for name, dial in dials
            for reason in dial.reasons
        ]

    @property
    def foreign_milli(self) -> int | None:
        """What others use of the CPUs as far as it was looked at."""
        return self._sample.cpu_foreign_milli

    def concerned(self, sample: Sample) -> bool:
        """Whether the sample has to be observed: something is short, or was."""
        return self.level is not Level.OPEN or bool(self._short_of_memory(sample, 0.0) + self._others(sample, 0.0))

    def observe(self, sample: Sample, now_ns: int) -> bool:
        """Take a sample. Returns whether the level is another one now."""
        before = self.level
        self._sample = sample
        for dial, look in ((self._memory, self._short_of_memory), (self._cpu, self._others)):
            dial.turn(look(sample, 0.0), look(sample, MARGIN), now_ns)
        foreign = sample.cpu_foreign_milli or 0
        if foreign >= self._others_milli or now_ns - self._others_since_ns >= CALM_NS:
            self._others_milli, self._others_since_ns = foreign, now_ns
        self.level = max(self._memory.level, self._cpu.level)
        return self.level is not before

    # --- may it -----------------------------------------------------------------------------------------------------

    def may_start(self, claim: Claim, ledger: Ledger, now_ns: int) -> bool:
        """Whether an attempt may start now as far as the host is concerned."""
        if self._memory.level is Level.CLOSED or self.next_start_ns() > now_ns:
            return False
        if self._cpu.level is Level.OPEN or not ledger.cpu_milli or not claim.cpu_milli:
            return True
        if self._last_start_ns is None or now_ns - self._last_start_ns >= MINUTE:
            return True
        return self._cpu.level is Level.SLOW and ledger.cpu_milli + claim.cpu_milli <= self._left_milli(ledger)

    def _left_milli(self, ledger: Ledger) -> int:
        """How much may be claimed in all. Who was told of fewer CPUs than there are may have all of these while others
        leave so many; who was told of more gets the same share of them."""
        capacity, total = ledger.capacity.cpu_milli, self._sample.cpu_total_milli
        left = max(total - self._others_milli, 0) * max(capacity, total) // max(total, 1)
        return min(capacity, left)

    def started(self, now_ns: int) -> None:
        """An attempt was started."""
        self._last_start_ns = now_ns

    def next_start_ns(self) -> int:
        """When the next may start while memory is low; 0: at any time."""
        if self._last_start_ns is None or self._memory.level is not Level.SLOW:
            return 0
        return self._last_start_ns + SLOW_PAUSE_NS

    # --- what is short ----------------------------------------------------------------------------------------------

    def _short_of_memory(self, sample: Sample, margin: float) -> _Found:
        """What is beyond its bound, or nearer to it than the margin, the worst first."""
        bounds, found = self.bounds, list[tuple[Level, Reason]]()
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
        return sorted(found, key=lambda finding: -finding[0])

    def _others(self, sample: Sample, margin: float) -> _Found:
        foreign, total = sample.cpu_foreign_milli, sample.cpu_total_milli
        if foreign is None or not total:
            return []
        for level, share in ((Level.CLOSED, self.bounds.foreign_closed), (Level.SLOW, self.bounds.foreign_slow)):
            if foreign > share * total * (1 - margin) and share < 1:
                left = max(total - foreign, 0)
                return [(level, Reason("pressure", "cpu", round((1 - share) * total) / 1000, left / 1000))]
        return []
