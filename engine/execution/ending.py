"""How a launcher ends attempts before they end by themselves: politely, then at once, and again until the tree is gone.

Of a block it ends single rows: one that has not begun never will, one that runs takes its worker with it.
"""

import os
import time
from typing import TYPE_CHECKING, Any

from engine.execution import trees
from engine.execution.attempt import Attempt, Outcome

if TYPE_CHECKING:
    from engine.execution.launcher import Launcher

KILL_AGAIN_S = 0.05


class Ending:
    def __init__(self, launcher: "Launcher") -> None:
        self._launcher = launcher
        self._rows_stood: dict[int, tuple[int, float]] = {}
        """Of blocks that stood still: the row that ran then, and for how long."""

    def early(self, attempt: Attempt, why: dict[str, Any], *, at_once: bool) -> None:
        """Ask the tree to end, and kill it after the grace; the first reason is the one that counts."""
        if attempt.outcome is None and attempt.ended_by is None:
            attempt.ended_by = why
        self._launcher.freezing.release(attempt)
        if attempt.worker is not None and not self._launcher.pool.seize(attempt):
            return
        if at_once:
            self.kill(attempt)
        elif attempt.grace_timer is None:
            trees.ask_to_end(self.tree(attempt), attempt.order["signal"])
            attempt.grace_timer = self._launcher.loop.later(attempt.grace_s, lambda: self.kill(attempt))
        self._launcher.pool.release(attempt)

    def whole(self, attempt: Attempt, why: Outcome) -> None:
        """End an attempt at once, of a block all that runs or has not begun."""
        if not attempt.has_rows:
            self.early(attempt, why, at_once=True)
            return
        self._launcher.pool.take_back(attempt)
        if attempt.block is not None and attempt.number in self._launcher.attempts:
            self.row(attempt, attempt.block.running, why, at_once=True)

    def row(self, attempt: Attempt, row: int, why: Outcome, *, at_once: bool) -> None:
        """End one row of a block: one that has not begun never will, one that runs takes its worker with it."""
        if row < 0 or not self._launcher.pool.seize_row(attempt, row) or attempt.block is None:
            return
        attempt.block.judge(row, why)
        self._launcher.freezing.release(attempt)
        if at_once:
            self.kill(attempt)
        else:
            trees.ask_to_end(self.tree(attempt), attempt.order["signal"])
            if attempt.grace_timer is None:
                attempt.grace_timer = self._launcher.loop.later(
                    attempt.grace_s, lambda: self.row(attempt, row, why, at_once=True)
                )
        self._launcher.pool.release(attempt)

    def tree(self, attempt: Attempt) -> trees.Tree:
        """What of the attempt there is to signal."""
        own = set(attempt.strays)
        if self._launcher.roots.get(attempt.tree_pid) is (attempt.worker or attempt) and self._root_is_its(attempt):
            own.add(attempt.tree_pid)
        return trees.Tree(
            own, self._launcher.pool.leftovers(attempt), attempt.tree_pid, self._launcher.cookie(attempt.number)
        )

    def _root_is_its(self, attempt: Attempt) -> bool:
        """A warm worker goes on when the attempt is done; a process of its own belongs to it to the end."""
        if attempt.worker is None or attempt.worker.single:
            return True
        return attempt.outcome is None and not self._launcher.pool.left(attempt)

    def kill(self, attempt: Attempt) -> None:
        """Again and again until the tree is gone; processes that cannot die yet are asked less and less often."""
        if attempt.killing or attempt.number not in self._launcher.attempts:
            return
        attempt.killing = True
        self._kill_again(attempt, KILL_AGAIN_S)

    def _kill_again(self, attempt: Attempt, pause_s: float) -> None:
        if self._launcher.attempts.get(attempt.number) is attempt and attempt.killing:
            if attempt.leaf is not None:
                attempt.leaf.kill()
            trees.kill(self.tree(attempt))
            self._launcher.loop.later(pause_s, lambda: self._kill_again(attempt, min(1.0, pause_s * 1.5)))

    def _wall_is_over(self, attempt: Attempt) -> None:
        if attempt.outcome is None:
            limit = attempt.order["wall_ns"]
            self.early(attempt, {"kind": "timed_out", "why": f"wall {limit / 1e9:g} s"}, at_once=False)

    def _wall_of_row(self, attempt: Attempt) -> None:
        """The rows of a block are looked at one by one: the limit is that of the row that runs."""
        block, limit_s = attempt.block, attempt.order["wall_ns"] / 1e9
        if block is None or self._launcher.attempts.get(attempt.number) is not attempt:
            return
        left_s = limit_s
        row = block.running
        if row >= 0:
            left_s = block.began_s + limit_s + self._stood(attempt, row) - time.time()
            if left_s <= 0:
                self.row(attempt, row, {"kind": "timed_out", "why": f"wall {limit_s:g} s"}, at_once=False)
                left_s = limit_s
        attempt.wall_timer = self._launcher.loop.later(left_s, lambda: self._wall_of_row(attempt))

    def over_quota(
        self, number: int, which: str, used: int, limit: int, why: str = "", *, at_once: bool = False
    ) -> None:
        """The meter says so, or whoever looks at the log."""
        attempt = self._launcher.attempts.get(number)
        if attempt is not None and attempt.outcome is None:
            over = {"kind": "over_quota", "which": which, "used": used, "limit": limit, "why": why}
            self.early(attempt, over, at_once=at_once)

    def look_at(self, attempt: Attempt, written: int, why: str) -> None:
        """Now and then, at each that runs: what lives for long is measured, and one may have written too much."""
        if not attempt.watched:
            self._launcher.meter.consider(attempt)
        if attempt.order["limits"].get("log_stop") and written > attempt.log_cap:
            self.over_quota(attempt.number, "log", written, attempt.log_cap, why)

    def limit_silence(self, attempt: Attempt) -> None:
        """It runs now: from here on it must write something now and then."""
        limit_s = attempt.order["limits"].get("silence", 0) / 1e9
        if limit_s:
            self._listen(attempt, limit_s, attempt.log_start, time.monotonic())

    def _listen(self, attempt: Attempt, limit_s: float, size: int, since: float) -> None:
        """Nothing was written since then, when the log had that size."""
        if self._launcher.attempts.get(attempt.number) is not attempt or attempt.outcome is not None:
            return
        now, pause_s = time.monotonic(), min(max(limit_s / 20, 0.01), 1.0)
        found = os.fstat(attempt.log_fd).st_size
        if attempt.still is not None:
            since += min(pause_s, now - attempt.still.since)
        elif found != size:
            since = now
        elif now - since >= limit_s:
            self.over_quota(attempt.number, "silence", round((now - since) * 1e9), round(limit_s * 1e9))
            return
        attempt.silence_timer = self._launcher.loop.later(pause_s, lambda: self._listen(attempt, limit_s, found, since))

    def _stood(self, attempt: Attempt, row: int) -> float:
        """How long the row of a block has stood still."""
        of_row, stood_s = self._rows_stood.get(attempt.number, (row, 0.0))
        return stood_s if of_row == row else 0.0

    def forget(self, attempt: Attempt) -> None:
        self._rows_stood.pop(attempt.number, None)

    def went_on(self, attempt: Attempt, wall_left_s: float, stood_s: float) -> None:
        """The attempt stood still for so long: its limits of time count from here on again."""
        if not attempt.order["wall_ns"]:
            return
        if attempt.has_rows and attempt.block is not None:
            row = attempt.block.running
            self._rows_stood[attempt.number] = row, self._stood(attempt, row) + stood_s
            self._wall_of_row(attempt)
        else:
            attempt.wall_timer = self._launcher.loop.later(wall_left_s, lambda: self._wall_is_over(attempt))

    def limit_wall(self, attempt: Attempt) -> None:
        """It runs now: its time counts from here."""
        limit_ns = attempt.order["wall_ns"]
        if limit_ns:
            over = self._wall_of_row if attempt.has_rows else self._wall_is_over
            attempt.wall_timer = self._launcher.loop.later(limit_ns / 1e9, lambda: over(attempt))
