"""How a launcher makes an attempt stand still, and lets it go on.

In a leaf the kernel freezes all at once; elsewhere every process of the tree is stopped, in rounds until one finds
nobody new, and those that the attempt had stopped itself stay so afterwards. A block stands still as a whole, with its
worker. The time that an attempt stands still counts for none of its limits. Every order is answered with its number and
how things are, whatever they were before, so that engine and launcher agree again after any loss. With the answer goes
how much memory the tree occupies: shared pages count for each process, so that it is never too little.

Who stands still may have lost its CPUs to others: the order to go on says which are its own now.
"""

import time
from collections.abc import Sequence
from resource import getpagesize
from typing import TYPE_CHECKING, Any

from engine.execution import proc, trees
from engine.execution.attempt import Attempt

if TYPE_CHECKING:
    from engine.execution.launcher import Launcher

_ROUNDS = 64


class Still:
    """That an attempt stands still: `since` (monotonic), which processes were stopped for it, what they occupy, and the
    newest order to do so."""

    def __init__(self, pids: set[int], wall_left_s: float, memory_bytes: int) -> None:
        self.since = time.monotonic()
        self.pids = pids
        self.wall_left_s = wall_left_s
        self.memory_bytes = memory_bytes
        self.turn = 0


class Freezing:
    def __init__(self, launcher: "Launcher") -> None:
        self._launcher = launcher

    def frozen(self) -> list[list[Any]]:
        """The attempts that stand still now: number, order, memory."""
        standing = [(one.number, one.still) for one in self._launcher.attempts.values()]
        return [[number, still.turn, still.memory_bytes] for number, still in standing if still is not None]

    def order(self, number: int, turn: int, cpus: Sequence[int], *, frozen: bool) -> None:
        """An engine wants it so. An attempt that has ended, or is to end, is told of otherwise."""
        attempt = self._launcher.attempts.get(number)
        if attempt is None or not attempt.tree_pid or attempt.outcome is not None:
            return
        if not frozen:
            if attempt.still is not None:
                self._launcher.sharing.move(attempt, self._members(attempt), cpus)
            self.thaw(attempt)
        elif attempt.still is None and attempt.ended_by is None and attempt.grace_timer is None:
            self._freeze(attempt)
        self._answer(attempt, turn)

    def _answer(self, attempt: Attempt, turn: int) -> None:
        fact = [attempt.number, time.time_ns(), turn]
        if attempt.still is not None:
            attempt.still.turn = turn
            self._launcher.tell_soon(["suspended", *fact, attempt.still.memory_bytes])
        else:
            self._launcher.tell_soon(["resumed", *fact])

    def _members(self, attempt: Attempt) -> list[int]:
        return attempt.leaf.members() if attempt.leaf is not None else self._launcher.ending.tree(attempt).members()

    def _freeze(self, attempt: Attempt) -> None:
        pids: set[int] = set()
        if attempt.leaf is None or not attempt.leaf.freeze(frozen=True):
            pids = self._stop(attempt)
        left_s = 0.0
        if attempt.wall_timer is not None:
            left_s = max(attempt.wall_timer.due - time.monotonic(), 0.0)
            attempt.wall_timer.cancel()
        sizes = [found.rss_pages for pid in self._members(attempt) if (found := proc.stat(pid)) is not None]
        attempt.still = Still(pids, left_s, sum(sizes) * getpagesize())
        if attempt.worker is not None:
            attempt.worker.still = True

    def _stop(self, attempt: Attempt) -> set[int]:
        """Whose parent ends meanwhile becomes a child of the launcher, which has to look for it anew."""
        stopped: set[int] = set()
        for _ in range(_ROUNDS):
            self._launcher.find_strays()
            fresh = trees.freeze(self._launcher.ending.tree(attempt)) - stopped
            if not fresh:
                break
            stopped |= fresh
        return stopped

    def thaw(self, attempt: Attempt) -> None:
        """Let it go on, if it stands still."""
        still, attempt.still = attempt.still, None
        if still is None:
            return
        if attempt.worker is not None:
            attempt.worker.still = False
        stood_s = time.monotonic() - still.since
        self._launcher.ending.went_on(attempt, still.wall_left_s, stood_s)
        if attempt.leaf is not None:
            attempt.leaf.freeze(frozen=False)
        if still.pids:
            trees.thaw(self._launcher.ending.tree(attempt), still.pids)

    def release(self, attempt: Attempt) -> None:
        """It is to end: it goes on so that it can, and the engine is told. Cores that were its own may be another's."""
        still = attempt.still
        if still is not None:
            self._launcher.sharing.move(attempt, self._members(attempt), ())
            self.thaw(attempt)
            self._answer(attempt, still.turn)
