"""Which CPUs an attempt may run on: its own, where it was pinned, else those that nobody is pinned to.

A process inherits the CPUs of the one that starts it. So this process keeps to the shared CPUs, and what it starts does
too; what runs already is moved when they change. Whoever has CPUs of its own is bound to them right after its start.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence

from engine.execution import proc
from engine.execution.attempt import Attempt, Order


class Sharing:
    """`attempts` are those that live."""

    def __init__(self, attempts: Mapping[int, Attempt]) -> None:
        self._attempts = attempts
        self._shared: tuple[int, ...] = ()

    def share(self, cpus: Iterable[int]) -> None:
        """From now on these CPUs are for all that are not pinned."""
        self._shared = tuple(cpus)
        if not self._shared:
            return
        _bind(os.getpid(), self._shared)
        for attempt in self._attempts.values():
            if attempt.tree_pid and not attempt.order["cpus"]:
                kept = attempt.cores  # as many as its quota lets it have
                attempt.cores = sorted(self._shared, key=lambda core: core not in kept)[: len(kept)]
                for pid in proc.descendants([attempt.tree_pid, *attempt.strays]):
                    _bind(pid, attempt.cores or self._shared)

    def move(self, attempt: Attempt, pids: Iterable[int], cpus: Sequence[int]) -> None:
        """A pinned attempt has other CPUs of its own from now on, or (none) keeps to the shared ones."""
        if not attempt.order["cpus"] or list(cpus) == list(attempt.order["cpus"]):
            return
        attempt.order["cpus"] = list(cpus)
        for pid in pids:
            _bind(pid, cpus or self._shared)

    @staticmethod
    def bind(pid: int, order: Order) -> None:
        """A process of the attempt was started just now."""
        if order["cpus"]:
            _bind(pid, order["cpus"])


def _bind(pid: int, cpus: Iterable[int]) -> None:
    """All threads of the process. CPUs that this host does not let us use are left out by the kernel; if none is left,
    the process stays where it is."""
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError, ValueError):
                os.sched_setaffinity(int(thread), cpus)
