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
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from engine.execution.attempt import Attempt
from engine.execution.loop import Loop
from engine.execution.places import LOG_FLAGS, Places, log_path, open_log

if TYPE_CHECKING:
    from engine.execution.pool import Worker

_BORROWED_S = 0.02
_CALM_S = 1.0
_BUSY_S = 0.1


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
            attempt.log_start = attempt.log_end = os.fstat(attempt.log_fd).st_size
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
            size = cut(fd, attempt.log_start, attempt.log_end, attempt.log_cap)[1]
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


class Caps:
    """Keeps every live log within its cap, which it exceeds by its rate times 0.1 s, at first times 1 s. `segment_of`
    names the worker whose log an attempt writes to; `on_look` is told at each look how much an attempt has written."""

    def __init__(
        self,
        loop: Loop,
        attempts: Mapping[int, Attempt],
        segment_of: "Callable[[Attempt], Worker | None]",
        on_look: Callable[[Attempt, int], None],
    ) -> None:
        self._loop = loop
        self._attempts = attempts
        self._segment_of = segment_of
        self._on_look = on_look
        self._timer = False

    def watch(self) -> None:
        """From now on, while anything runs."""
        if not self._timer:
            self._timer = True
            self._loop.later(_CALM_S, self._look)

    def _look(self) -> None:
        busy = False
        for attempt in list(self._attempts.values()):
            busy |= self._cut(attempt) or "log_stop" in attempt.order["limits"]
        self._timer = bool(self._attempts)
        if self._timer:
            self._loop.later(_BUSY_S if busy else _CALM_S, self._look)

    def _cut(self, attempt: Attempt) -> bool:
        fd, start = attempt.log_fd, attempt.log_start
        if fd < 0:
            worker = self._segment_of(attempt)
            if worker is None or attempt.block is None or not attempt.block.begun:
                return False
            fd, start = worker.segment_fd, attempt.block.row_log
        try:
            self._on_look(attempt, os.fstat(fd).st_size - start)
            busy, attempt.log_end = cut(fd, start, attempt.log_end, attempt.log_cap)
        except OSError:  # a full disk takes no mark; the log is short already
            return True
        return busy


def cut(fd: int, start: int, last: int, cap: int) -> tuple[bool, int]:
    """Take a log back to `cap` bytes after `start` and mark the place; the writer goes on behind the mark.

    Whether it grows fast enough to look again soon, and where it ends now.
    """
    size = os.fstat(fd).st_size
    most = start + cap
    if size <= most:
        return size - last > cap // 8, size
    marker = f"\n[orchctl: log cut at {cap} bytes]\n".encode()
    if size == most + len(marker):
        return size - last > cap // 8, size
    plain = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        # The mark is written into what is there, which a descriptor for appending cannot do, and then the rest is cut
        # off: a writer that is busy at this moment cannot come between.
        os.pwrite(plain, marker, most)
        os.ftruncate(plain, most + len(marker))
    finally:
        os.close(plain)
    return True, most + len(marker)
