"""Looks at what the host is short of: memory that is available, how long things stood still for want of it, and CPU.

CPU that is busy and not ours is of others: of all processes but the engine, its helpers and what they run. What is busy
on the CPUs that we may use is read at each look; what is ours costs a walk over our processes, so somebody is asked for
it only while so much is busy that it may matter. Both count as means of the last ten seconds: a compiler that runs for
a moment is no pressure. What of ours was waited for by nobody (its parent ignores its children's end) is taken for
that of others once it has ended.
"""

import os
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from engine.core.events import HostSampled
from engine.execution.host_text import fields_of, kib_of, read
from engine.execution.noise import cpu_seconds
from engine.model.instants import SECOND

SPAN_NS = 10 * SECOND


class _Mean:
    """By how much a counter grows a second, of its readings in the last ten seconds."""

    def __init__(self) -> None:
        self._readings: deque[tuple[int, float]] = deque()

    def add(self, at_ns: int, value: float) -> None:
        self._readings.append((at_ns, value))
        while len(self._readings) > 2 and self._readings[1][0] <= at_ns - SPAN_NS:
            self._readings.popleft()

    def clear(self) -> None:
        self._readings.clear()

    @property
    def rate(self) -> float | None:
        """None until there are two readings."""
        if len(self._readings) < 2:
            return None
        (first_ns, first), (last_ns, last) = self._readings[0], self._readings[-1]
        return max(last - first, 0.0) * SECOND / max(last_ns - first_ns, 1)


class HostWatch:
    """`ours` tells the CPU time in ns that our processes have used so far (None: not now); it is asked for while more
    than the share `worth` of the CPUs is busy."""

    def __init__(self, ours: Callable[[], Awaitable[int | None]], worth: float, root: Path = Path("/")) -> None:
        self._ask_ours = ours
        self._root = root
        self._cpus = frozenset(os.sched_getaffinity(0))
        self._worth = worth * len(self._cpus)
        self._busy, self._others = _Mean(), _Mean()
        self._ours_ns = 0

    async def look(self, now_ns: int) -> HostSampled:
        """What the kernel tells (proc(5), /proc/meminfo, /proc/stat; Documentation/accounting/psi.rst)."""
        memory = fields_of(read(self._root / "proc/meminfo"))
        available = memory.get("MemAvailable")
        foreign = await self._foreign(now_ns)
        return HostSampled(
            kib_of(available) if available else None, kib_of(memory.get("MemTotal", "")),
            _stalled(read(self._root / "proc/pressure/memory")),
            None if foreign is None else round(foreign * 1000), len(self._cpus) * 1000,
        )  # fmt: skip

    async def _foreign(self, now_ns: int) -> float | None:
        """CPUs that others use; None where it is not known, or too little to matter."""
        busy_s = cpu_seconds(read(self._root / "proc/stat"), self._cpus)[0]
        self._busy.add(now_ns, busy_s)
        busy = self._busy.rate
        ours_ns = await self._ask_ours() if busy is not None and busy > self._worth else None
        if ours_ns is None or ours_ns < self._ours_ns:  # fewer: one of ours is gone whom nobody of us waited for
            self._others.clear()
        self._ours_ns = ours_ns or 0
        if ours_ns is None:
            return None
        self._others.add(now_ns, busy_s - ours_ns / SECOND)
        return self._others.rate


def _stalled(text: str) -> float | None:
    for line in text.splitlines():
        if line.startswith("some "):
            for word in line.split():
                name, _, value = word.partition("=")
                if name == "avg10":
                    return float(value)
    return None
