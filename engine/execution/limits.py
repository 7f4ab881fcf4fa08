"""What a launcher sets up so that the quotas of an attempt hold, and what it finds of them at the attempt's end.

The kernel holds what it can: private memory and open files of each process by resource limits, cores by affinity, and
memory, CPU share and threads of the whole tree where controllers are delegated (see `cgroups`). The meter looks at the
rest. `levels` says which is which: *kernel*, *sampled*, *rounded* (a share of the CPU that is held to whole cores, the
next more) or *none*. Most attempts are short, so what only helps to look at a tree comes when it has
lived for a moment: its leaf, where the kernel holds nothing by it, and the meter's attention.
"""

import contextlib
import os
import resource
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from engine.execution.attempt import Attempt, tail_of
from engine.execution.cgroups import Groups, Leaf
from engine.execution.loop import Loop
from engine.execution.spawn import spawn

_REMOVE_AGAIN_S = 0.05
_SETTLE_S = 0.05
_YIELDING = 5
"""The niceness of attempts that may have a part of a core only: what they take beyond it others get first."""


class Limits:
    """One for a launcher. `instance` tells the present one of the state."""

    def __init__(self, loop: Loop, slot: int, attempts: Mapping[int, Attempt], instance: Callable[[], int]) -> None:
        self._loop = loop
        self._attempts = attempts
        self._instance = instance
        self._groups = Groups(slot)

    def spawn(self, attempt: Attempt, argv: list[str], **given: Any) -> int:
        """Start the attempt's first process, in a leaf of its own if the kernel holds it to a quota by that. Raises
        SpawnError."""
        if not attempt.limited or not self._groups.controlled(self._instance()):
            return spawn(argv, **given)
        attempt.leaf = attempt.leaf or self._groups.make(self._instance(), attempt.number)
        if attempt.leaf is None or not self._groups.enter(attempt.leaf):
            self._drop(attempt)
            return spawn(argv, **given)
        try:
            return spawn(argv, **given)
        finally:
            self._groups.leave()

    def apply(self, attempt: Attempt, pid: int) -> None:
        """The process has just been started: from here on it is held to its quotas."""
        if not attempt.limited:
            return
        order, limits = attempt.order, attempt.order["limits"]
        memory, cpu, threads = order["memory"], limits.get("cpu", 0), limits.get("threads", 0)
        held = attempt.leaf.limit(memory, cpu, threads) if attempt.leaf is not None else set[str]()
        with contextlib.suppress(OSError, ValueError):
            if memory:
                resource.prlimit(pid, resource.RLIMIT_DATA, (memory, memory))
        if "open_files" in limits:
            _limit_files(pid, limits["open_files"])
        attempt.levels = {which: "kernel" if which in held else "sampled" for which in _written(order)}
        if cpu and "cpu" not in held:
            attempt.levels["cpu"] = self._bind(attempt, pid, cpu)

    def settle(self, attempt: Attempt, members: Callable[[], list[int]], then: Callable[[Attempt], None]) -> None:
        """It has begun: if it still runs in a moment, it gets a leaf, and `then` is told."""

        def settled() -> None:
            if attempt.leaf is None and attempt.outcome is None:
                leaf = self._groups.make(self._instance(), attempt.number)
                if leaf is not None and self._groups.gather(leaf, members):
                    attempt.leaf = leaf
                elif leaf is not None:
                    leaf.remove()
            then(attempt)

        attempt.settle_timer = self._loop.later(_SETTLE_S, settled)

    def _bind(self, attempt: Attempt, pid: int, cpu_milli: int) -> str:
        """Give it as many cores as its share needs, of those that it may have the ones that fewest others were given;
        the level to which that holds it."""
        count = -(-cpu_milli // 1000)
        given = Counter(core for other in self._attempts.values() for core in other.cores)
        try:
            allowed = os.sched_getaffinity(pid)
            if count < len(allowed):
                cores = sorted(allowed, key=lambda core: (given[core], core))[:count]
                os.sched_setaffinity(pid, cores)
                attempt.cores = cores
            if cpu_milli % 1000:
                os.setpriority(os.PRIO_PROCESS, pid, _YIELDING)
        except OSError:
            return "none"
        return "rounded" if cpu_milli % 1000 else "kernel"

    def end(self, attempt: Attempt) -> None:
        """The tree is gone: see what the kernel has held it to, and give back what it had."""
        if not attempt.limited:
            return
        if attempt.ended_by is None:
            found = self._exceeded(attempt)
            if found is not None:
                which, used, limit, why = found
                attempt.ended_by = {"kind": "over_quota", "which": which, "used": used, "limit": limit, "why": why}
        self._drop(attempt)

    @staticmethod
    def _exceeded(attempt: Attempt) -> tuple[str, int, int, str] | None:
        """The quota that the attempt ended by although nobody saw it: which, used, limit, why."""
        order, limits, leaf = attempt.order, attempt.order["limits"], attempt.leaf
        bad = attempt.outcome is not None and attempt.outcome["kind"] in ("failed", "signalled")
        if leaf is not None and bad and order["memory"] and leaf.number("memory.events", "oom_kill"):
            used = max(leaf.number("memory.peak"), order["memory"])
            return "memory", used, order["memory"], "the kernel ended it"
        threads = limits.get("threads", 0)
        if leaf is not None and bad and threads and leaf.number("pids.events", "max"):
            return "threads", threads, threads, "the kernel let it start no more"
        files = limits.get("open_files", 0)
        if bad and files and attempt.log_fd >= 0 and b"Too many open files" in tail_of(attempt.log_fd):
            return "open_files", files, files, "a process could open no more"
        if limits.get("log_stop") and attempt.log_fd >= 0:
            written = os.fstat(attempt.log_fd).st_size - attempt.log_start
            if written > attempt.log_cap:
                return "log", written, attempt.log_cap, "it had ended before that was seen"
        return None

    def _drop(self, attempt: Attempt) -> None:
        leaf, attempt.leaf = attempt.leaf, None
        if leaf is not None and not leaf.remove():
            self._remove_again(leaf)

    def _remove_again(self, leaf: Leaf) -> None:
        """A process that is just ending still counts. Nothing else can be left: the launcher reaps the whole tree."""
        if not leaf.remove():
            leaf.kill()
            self._loop.later(_REMOVE_AGAIN_S, lambda: self._remove_again(leaf))


def _limit_files(pid: int, files: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        most = files if hard == resource.RLIM_INFINITY else min(files, hard)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))


def _written(order: dict[str, Any]) -> list[str]:
    """The quotas that the order has, by the names under which they are written."""
    names = [name for name in ("memory", "processes") if order[name]]
    names += [name for name in order["limits"] if name != "log_stop"]
    return names + (["log"] if order["log_bytes"] or order["limits"].get("log_stop") else [])
