"""What a launcher measures of attempts whose task has a campaign: their report, how long they took, and the noise.

A trial is preceded by a *look*: a moment in which the host is watched and the trial does not run yet. While a look
finds others at work it is repeated, a few times; then the trial starts anyway. During the trial the host is watched
too, and what is found there decides whether it counts as disturbed. The kernel counts busy time in ticks, so a trial
shorter than a look is judged together with the look before it.

What the trial's own processes used is known exactly, so everything else is foreign: other users, other attempts, and
also the engine, which does next to nothing meanwhile.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Mapping
from glob import glob
from typing import TYPE_CHECKING, Any

from engine.execution.attempt import Attempt, Order
from engine.execution.loop import Loop
from engine.execution.metrics import REPORT_BYTES_MAX, Values, read_report, read_slice, search_log
from engine.execution.places import Places

if TYPE_CHECKING:
    from engine.execution.noise import Limits, Noise, Snapshot

FD_NAME = "ORCHCTL_METRICS_FD"
_CUT_S = 1.0
_CUT_FROM_BYTES = 2 * REPORT_BYTES_MAX
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_HIGH = 64
"""Above the numbers that a process is given its descriptors by."""
_GOVERNORS = "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor"


class _Watched:
    """A trial: its newest look, from `looked` on, and when it began. `limits` are none where it is no trial."""

    __slots__ = ("before", "began", "began_ns", "limits", "looked", "worker_ns")

    def __init__(self, limits: "Limits | None" = None) -> None:
        self.limits = limits
        self.looked: Snapshot | None = None
        self.before: Noise | None = None
        self.began: Snapshot | None = None
        self.began_ns = 0
        self.worker_ns = 0


class Measuring:
    """`held` are the orders that wait for something; those that look are among them."""

    def __init__(self, loop: Loop, places: Places, held: Mapping[int, Order]) -> None:
        self._loop = loop
        self._places = places
        self._held = held
        self._watched: dict[int, _Watched] = {}
        self._timer = False

    def look_first(self, order: Order, release: Callable[[int], None]) -> bool:
        """Whether the order is a trial, so that it is released only after a look, as one that waits for `after`."""
        written = order.get("measure", {}).get("noise")
        if written is None:
            return False
        from engine.execution.noise import Limits  # only campaigns need it

        order["after"] = -order["attempt"]
        limits = Limits(**written)
        watched = self._watched[order["attempt"]] = _Watched(limits)
        watched.looked = _snapshot(0)
        self._loop.later(limits.look_ns / 1e9, lambda: self._looked(order, release, limits.looks - 1))
        return True

    def _looked(self, order: Order, release: Callable[[int], None], more: int) -> None:
        from engine.execution import noise

        watched = self._watched.get(order["attempt"])
        if order["attempt"] not in self._held or watched is None or watched.looked is None or watched.limits is None:
            self.forget(order["attempt"])  # it was stopped before it began
            return
        now = _snapshot(0)
        watched.before = noise.between(watched.looked, now)
        if more and noise.marks(watched.before, now.cpus, watched.limits):
            watched.looked = now
            self._loop.later(watched.limits.look_ns / 1e9, lambda: self._looked(order, release, more - 1))
        else:
            release(order["after"])

    def begin(self, attempt: Attempt, worker_pid: int = 0) -> str:
        """Make the attempt's report, right before it starts, and give its path. Raises OSError."""
        path = self._places.metrics(attempt.number)
        os.close(os.open(path, _FLAGS, 0o600))
        watched = self._watched.setdefault(attempt.number, _Watched())
        if watched.looked is not None:
            watched.worker_ns = _cpu_of(worker_pid)
            watched.began = _snapshot(0)
        watched.began_ns = time.monotonic_ns()
        if not self._timer:
            self._timer = True
            self._loop.later(_CUT_S, self._cut)
        return path

    def spawn(self, attempt: Attempt, env: dict[str, str], cookie: int, spawn: Callable[..., int]) -> int:
        """Start the attempt's process with its report open. Raises OSError, or what `spawn` does."""
        order = attempt.order
        low = os.open(self.begin(attempt), os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            high = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _HIGH)
        finally:
            os.close(low)
        try:
            return spawn(
                attempt, order["argv"], env={**env, FD_NAME: "3"}, output=attempt.log_fd, folder=order["dir"],
                cookie=cookie, pass_fds=[high],
            )  # fmt: skip
        finally:
            os.close(high)

    def _cut(self) -> None:
        """Keep reports from filling the disk: what is beyond the bound is not read anyway."""
        for number in self._watched:
            with contextlib.suppress(OSError):
                path = self._places.metrics(number)
                if os.stat(path).st_size > _CUT_FROM_BYTES:
                    os.truncate(path, REPORT_BYTES_MAX + 1)
        self._timer = bool(self._watched)
        if self._timer:
            self._loop.later(_CUT_S, self._cut)

    def forget(self, number: int) -> None:
        """The attempt never started, or a launcher before this one lost it."""
        self._watched.pop(number, None)
        with contextlib.suppress(OSError):
            os.unlink(self._places.metrics(number))

    def take(self, attempt: Attempt) -> dict[str, Any]:
        """What is to be told of an attempt that has ended, as `facts` reads it; its log is closed."""
        watched = self._watched.get(attempt.number)
        if watched is None or not watched.began_ns:
            self.forget(attempt.number)
            return {}
        found = Values()
        read_report(read_slice(self._places.metrics(attempt.number), 0, REPORT_BYTES_MAX + 1), found)
        patterns = attempt.order["measure"]["patterns"]
        if patterns:
            path, offset, length = attempt.slice or ("", 0, 0)
            log = read_slice(self._places.log(path), offset, length) if length else b""
            search_log(log.decode(errors="replace"), patterns, found)
        took_ns = attempt.took_ns or max(attempt.reaped_ns - watched.began_ns, 0)
        told: dict[str, Any] = {"values": {**found.values, "duration": took_ns / 1e9}}
        told |= self._noise(attempt, watched, found)
        notes = found.all_notes()
        if notes:
            told["notes"] = notes
        self.forget(attempt.number)
        return told

    def _noise(self, attempt: Attempt, watched: _Watched, found: Values) -> dict[str, Any]:
        limits = watched.limits
        if limits is None or watched.looked is None or watched.began is None or watched.before is None:
            return {}
        from engine.execution import noise

        ours_ns = attempt.cpu_ns
        if attempt.worker is not None:
            ours_ns = max(ours_ns, _cpu_of(attempt.worker.pid) - watched.worker_ns)
        now = _snapshot(ours_ns)
        brief = now.at_ns - watched.began.at_ns < limits.look_ns
        first = watched.looked if brief else watched.began
        during = noise.between(first, now)
        seconds = (now.at_ns - first.at_ns) / 1e9
        governors = _governors()
        if governors:
            found.note(f"the CPUs are governed for {governors}, not for performance")
        return {
            "before": [limits.look_ns / 1e9, *watched.before],
            "during": [seconds, *during],
            "marks": noise.marks(during, now.cpus, limits),
        }


def _snapshot(ours_ns: int) -> "Snapshot":
    from engine.execution import noise

    return noise.take(ours_ns)


def _cpu_of(pid: int) -> int:
    """The CPU time of a process so far, in ns, 0 without one. Linux names its clock so (clock_getcpuclockid(3))."""
    if not pid:
        return 0
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return 0


def _governors() -> str:
    """The governors that are not `performance`; empty where all are, or the host does not say."""
    found: set[str] = set()
    for path in glob(_GOVERNORS):
        with contextlib.suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
            found.add(file.read().strip()[:20])
    return ", ".join(sorted(found - {"performance"}))
