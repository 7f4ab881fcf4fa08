"""Signalling the whole tree of an attempt, whatever its processes did to leave it.

The launcher's own children are safe to signal by number: nobody else can reap them. Anything deeper is opened as a
pidfd first and then checked to carry the attempt's cookie or session, so a number that was used again is never hit.
"""

import contextlib
import os
import signal
from typing import NamedTuple

from engine.execution import proc

_ROUNDS = 64


class Tree(NamedTuple):
    """Where a tree begins: `own` are children of this process, `others` are children of a worker. `session` is that of
    the attempt's first process."""

    own: set[int]
    others: set[int]
    session: int
    cookie: int

    def members(self) -> list[int]:
        return proc.descendants(sorted(self.own | self.others))


def send(tree: Tree, number: int) -> None:
    """Signal every process of the tree once."""
    for pid in tree.members():
        _signal(pid, tree, number)


def ask_to_end(tree: Tree, number: int) -> None:
    """The stop signal to every process; stopped ones are continued so that they can heed it."""
    send(tree, number)
    if number != signal.SIGKILL:
        send(tree, signal.SIGCONT)


def kill(tree: Tree) -> None:
    """Stop all, then kill all."""
    stopped, already = _stop_all(tree)
    for pid in stopped | already:
        _signal(pid, tree, signal.SIGKILL)


def freeze(tree: Tree) -> set[int]:
    """Stop all; the processes that were not stopped before, which `thaw` lets go on again."""
    return _stop_all(tree)[0]


def thaw(tree: Tree, pids: set[int]) -> None:
    """Let those of the tree go on that were stopped by us."""
    for pid in tree.members():
        if pid in pids:
            _signal(pid, tree, signal.SIGCONT)


def _stop_all(tree: Tree) -> tuple[set[int], set[int]]:
    """A stopped process starts no others, so rounds end when one finds nobody new. Those that were stopped by this, and
    those that were stopped already."""
    stopped: set[int] = set()
    already: set[int] = set()
    for _ in range(_ROUNDS):
        fresh = [pid for pid in tree.members() if pid not in stopped and pid not in already]
        if not fresh:
            break
        for pid in fresh:
            found = proc.stat(pid)
            (already if found is not None and found.state == "T" else stopped).add(pid)
            _signal(pid, tree, signal.SIGSTOP)
    return stopped, already


def _signal(pid: int, tree: Tree, number: int) -> None:
    if pid in tree.own:
        with contextlib.suppress(OSError):
            os.kill(pid, number)
        return
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            found = proc.stat(pid)
            if proc.read_cookie(pid) == tree.cookie or (found is not None and found.session == tree.session):
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def sweep(instance: int, listed: dict[int, int], spare: set[int], never: set[int]) -> int:
    """Kill the listed processes (pid -> attempt of the instance), but for those of the `spare` attempts and the `never`
    pids. The number of them that are still there."""
    found = {pid: number for pid, number in listed.items() if number not in spare and pid not in never}
    for signal_number in (signal.SIGSTOP, signal.SIGKILL):
        for pid, number in found.items():
            proc.signal_marked(pid, proc.cookie_of(instance, number), signal_number)
    return sum(1 for pid in found if _alive(pid))


def _alive(pid: int) -> bool:
    found = proc.stat(pid)
    return found is not None and found.state not in "ZX"
