"""The logs of attempts that are processes of their own: one file each, within a cap, and none for those that wrote
nothing.

Making, renaming and removing a file each cost as much as a third of starting a process, and most short attempts are
silent. So a log that stayed empty serves the attempt that starts in the same turn, and gets that one's name when it has
something in it at the end, or has been open for a moment; only what nobody wants is removed. Nothing but the tree of
its attempt has a log open, and it is empty before the attempt ends. Cost: what an attempt wrote in its first moment is
lost with its launcher.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from engine.execution.attempt import Attempt, looked_text
from engine.execution.loop import Alarm, Loop
from engine.execution.places import LOG_FLAGS, Places, log_path, open_log

if TYPE_CHECKING:
    from engine.execution.pool import Worker

_BORROWED_S = 0.02
_FEARED = 2**30
"""Bytes that a log may grow by in a second, before it is known how fast it does."""
_CALM_MOST = 8.0
"""What has not grown for seconds is feared less by as many times."""
_LEAST_S = 0.02
_CALM_S = 0.1
"""The least between two looks at what grows, and at what has not for a second."""
_MOST_S = 1.0


class Logs:
    """Opens and closes them. `_spare` are empty ones of attempts that ended in this turn: run, descriptor, name;
    `_borrowed` are in use under the name that they had before: attempt, name."""

    def __init__(self, loop: Loop, places: Places) -> None:
        self._loop = loop
        self._places = places
        self._spare: list[tuple[int, int, str]] = []
        self._borrowed: dict[int, tuple[Attempt, str]] = {}
        self._timer = False

    def open(self, attempt: Attempt) -> None:
        """Give the attempt a log of its own. Raises OSError."""
        order = attempt.order
        name = log_path(order["run"], order["task"], order["index"], order["number"])
        if not self._take_spare(attempt):
            attempt.log_fd = open_log(self._places.log(name))
            attempt.log_start = os.fstat(attempt.log_fd).st_size
        attempt.slice = [name, attempt.log_start, 0]
        order["log"] = [name, attempt.log_start]

    def _take_spare(self, attempt: Attempt) -> bool:
        if not self._spare or self._spare[-1][0] != attempt.order["run"]:
            return False
        _, attempt.log_fd, name = self._spare.pop()
        fcntl.fcntl(attempt.log_fd, fcntl.F_SETFL, LOG_FLAGS)  # a process shares them and may have changed them
        self._borrowed[attempt.number] = attempt, name
        if not self._timer:
            self._timer = True
            self._loop.later(_BORROWED_S, self._name_all)
        return True

    def _name_all(self) -> None:
        self._timer = False
        for number in list(self._borrowed):
            self._name(number)

    def _name(self, number: int) -> None:
        """Give a borrowed log its own name. A row never has two attempts of one number, so what that may replace is of
        a state that was left behind. Where the host does not let us, the log is told under its old name."""
        attempt, name = self._borrowed.pop(number)
        if attempt.slice is not None:
            try:
                os.rename(self._places.log(name), self._places.log(attempt.slice[0]))
            except OSError:
                attempt.slice[0] = name

    def close(self, attempt: Attempt) -> None:
        """The attempt has ended: its slice is known now."""
        fd, attempt.log_fd = attempt.log_fd, -1
        try:
            size = cut(fd, attempt.log_start, attempt.log_cap)
        except OSError:  # a full disk takes no mark; the log is short already
            size = os.fstat(fd).st_size
        if size == 0 and attempt.slice is not None:
            _, name = self._borrowed.pop(attempt.number, (attempt, attempt.slice[0]))
            self._spare.append((attempt.order["run"], fd, name))
            return
        if attempt.number in self._borrowed:
            self._name(attempt.number)
        if attempt.slice is not None:
            attempt.slice[2] = size - attempt.log_start
        os.close(fd)

    def drop_spare(self) -> None:
        """Nothing started in this turn that could use them."""
        for _, fd, name in self._spare:
            os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(self._places.log(name))
        self._spare.clear()


class _Seen:
    """What was found of a log at the last look: its size, and when; when it last grew, when it is looked at next."""

    __slots__ = ("at", "due", "grew", "size")

    def __init__(self, attempt: Attempt, now: float) -> None:
        self.size = -1
        self.at = self.grew = self.due = now - max((time.time_ns() - attempt.order["at"]) / 1e9, 0.0)


class Caps:
    """Keeps every live log within its cap. Each is looked at when it could be half way to its cap, at the rate at which
    it grows or is feared to, so it is exceeded by at most what is written between two looks. `segment_of` names the
    worker whose log an attempt writes to; `on_look` is told at each look how much an attempt has written, and how fast.
    """

    def __init__(
        self,
        loop: Loop,
        attempts: Mapping[int, Attempt],
        segment_of: "Callable[[Attempt], Worker | None]",
        on_look: Callable[[Attempt, int, str], None],
    ) -> None:
        self._attempts = attempts
        self._segment_of = segment_of
        self._on_look = on_look
        self._seen: dict[int, _Seen] = {}
        self._alarm = Alarm(loop, self._look)

    def watch(self, attempt: Attempt) -> None:
        """It has begun: from now on, while it runs."""
        self._alarm.within(min(max(attempt.log_cap / _FEARED / 2, _LEAST_S), _MOST_S))

    def _look(self) -> None:
        now, seen = time.monotonic(), dict[int, _Seen]()
        begun = [(number, attempt) for number, attempt in self._attempts.items() if attempt.tree_pid]
        for number, attempt in begun:
            one = seen[number] = self._seen.get(number) or _Seen(attempt, now)
            if one.due <= now + _LEAST_S / 4:
                one.due = now + self._look_at(attempt, one, now)
        self._seen = seen
        if seen:
            self._alarm.within(min(one.due for one in seen.values()) - now)

    def _look_at(self, attempt: Attempt, seen: _Seen, now: float) -> float:
        """Seconds until the next look."""
        fd, start = attempt.log_fd, attempt.log_start
        if fd < 0:
            worker = self._segment_of(attempt)
            if worker is None or attempt.block is None or not attempt.block.begun:
                return _CALM_S
            fd, start = worker.segment_fd, attempt.block.row_log
        try:
            size, past_s = os.fstat(fd).st_size, max(now - seen.at, 1e-3)
            rate = max(size - (seen.size if seen.size >= 0 else start), 0) / past_s
            self._on_look(attempt, size - start, looked_text(f"{rate / 2**20:.3g} MiB/s", past_s))
            seen.at, seen.size = now, cut(fd, start, attempt.log_cap)
        except OSError:  # a full disk takes no mark; the log is short already
            return _CALM_S
        if rate:
            seen.grew = now
        calm_s = now - seen.grew
        feared = max(rate, _FEARED / min(max(calm_s, 1.0), _CALM_MOST))
        least_s = _LEAST_S if calm_s < 1.0 else _CALM_S
        return min(max((start + attempt.log_cap - seen.size) / feared / 2, least_s), _MOST_S)


def cut(fd: int, start: int, cap: int) -> int:
    """Take a log back to `cap` bytes after `start` and mark the place; the writer goes on behind the mark. Where the
    log ends now."""
    size = os.fstat(fd).st_size
    most = start + cap
    marker = f"\n[orchctl: log cut at {cap} bytes]\n".encode()
    if size <= most or size == most + len(marker):
        return size
    plain = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        # The mark is written into what is there, which a descriptor for appending cannot do, and then the rest is cut
        # off: a writer that is busy at this moment cannot come between.
        os.pwrite(plain, marker, most)
        os.ftruncate(plain, most + len(marker))
    finally:
        os.close(plain)
    return most + len(marker)
