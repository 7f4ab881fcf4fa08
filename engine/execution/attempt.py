"""One attempt as a launcher sees it, and how its end is put into words that the engine understands.

An attempt has a *root*, the process that its outcome comes from: its own, or the worker that runs it. Its *strays* are
processes of its tree whose parent died, so that they became children of the launcher, which is a subreaper. The
attempt has ended when the root is done and no stray is left.
"""

import contextlib
import json
import os
import signal
import stat
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.execution.block import Block
    from engine.execution.cgroups import Leaf
    from engine.execution.freezing import Still
    from engine.execution.loop import Timer
    from engine.execution.pool import Worker

Outcome = dict[str, Any]
Order = dict[str, Any]

RESULT_INLINE_BYTES = 4096
LOG_BYTES_DEFAULT = 256 * 2**20
DRAIN_S = 2.0
_TAIL_BYTES = 4096


class Attempt:
    """The order, and what became of it so far. `outcome` is that of the root, once it is done; `known` says that the
    engine has the end of every row of a block on disk already."""

    __slots__ = (
        "block", "cores", "cpu_ns", "ended_by", "grace_timer", "killing", "known", "leaf", "levels", "log_fd",
        "log_start", "number", "order", "outcome", "reaped_ns", "result", "rss_bytes", "settle_timer",
        "silence_timer", "slice", "still", "strays", "took_ns", "tree_pid", "tries", "wall_timer", "watched",
        "worker",
    )  # fmt: skip

    def __init__(self, order: Order) -> None:
        self.number: int = order["attempt"]
        self.order = order
        self.tree_pid = 0
        self.tries = 0
        self.worker: Worker | None = None
        self.block: Block | None = None
        self.strays: set[int] = set()
        self.outcome: Outcome | None = None
        self.ended_by: Outcome | None = None
        self.leaf: Leaf | None = None
        self.cores: list[int] = []
        self.levels: dict[str, str] = {}
        self.still: Still | None = None
        self.watched = False
        self.wall_timer: Timer | None = None
        self.silence_timer: Timer | None = None
        self.settle_timer: Timer | None = None
        self.grace_timer: Timer | None = None
        self.killing = False
        self.known = False
        self.log_fd = -1
        self.log_start = 0
        self.slice: list[Any] | None = None
        self.result: dict[str, Any] = {}
        self.cpu_ns = 0
        self.rss_bytes = 0
        self.reaped_ns = 0
        self.took_ns = 0

    @property
    def has_rows(self) -> bool:
        """Whether it is a block of several rows, each of which ends by itself."""
        return self.order["count"] > 1

    @property
    def limited(self) -> bool:
        """Whether it has a quota on its tree."""
        return bool(self.order["memory"] or self.order["processes"] or self.order["limits"])

    @property
    def grace_s(self) -> float:
        return self.order["grace_ns"] / 1e9

    @property
    def log_cap(self) -> int:
        return self.order["log_bytes"] or LOG_BYTES_DEFAULT

    def note_usage(self, usage: Any) -> None:
        """Of `wait4`: the CPU of the process and those that it waited for, the peak of the largest."""
        self.reaped_ns = time.monotonic_ns()
        self.cpu_ns += round((usage.ru_utime + usage.ru_stime) * 1e9)
        self.rss_bytes = max(self.rss_bytes, usage.ru_maxrss * 1024)

    def final_outcome(self) -> Outcome:
        """What ended it, if something of ours did; else the root's own outcome, read again for memory."""
        own = self.outcome or {"kind": "lost", "why": "its end was not seen"}
        if self.ended_by is not None:
            details = {key: own[key] for key in ("exit_code", "signal") if own.get(key) is not None}
            return {**details, **self.ended_by}
        if self._out_of_memory(own):
            limit = self.order["memory"]
            return {**own, "kind": "over_quota", "which": "memory", "used": max(self.rss_bytes, limit), "limit": limit}
        return own

    def _out_of_memory(self, own: Outcome) -> bool:
        """Ended by MemoryError or by the kernel while at its quota; the quota is also RLIMIT_DATA, so the resident
        size need not have reached it. The text is looked for only in what a failed process wrote last."""
        quota = self.order["memory"]
        if not quota or own["kind"] not in ("failed", "signalled"):
            return False
        if own.get("exception") == "MemoryError" or own.get("exception", "").endswith(".MemoryError"):
            return True
        if own.get("signal") == signal.SIGKILL:
            return self.rss_bytes >= quota * 0.8
        return self.log_fd >= 0 and b"\nMemoryError" in b"\n" + tail_of(self.log_fd)


def identity_of(order: Order, result: str) -> dict[str, str]:
    """What tells a process which attempt it is; `result` is the file that it may write to."""
    return {
        **order["extra"],
        "ORCHCTL_RUN": f"r{order['run']}",
        "ORCHCTL_TASK": order["task"],
        "ORCHCTL_INDEX": "" if order["index"] < 0 else str(order["index"]),
        "ORCHCTL_ATTEMPT": str(order["number"]),
        "ORCHCTL_RESULT": result,
    }


def looked_text(grew: str, past_s: float) -> str:
    """By how much a quota may have been overshot: what grew at that rate was last looked at so long before."""
    return f"it grew by {grew} and was looked at {past_s * 1000:.0f} ms before"


def tail_of(fd: int) -> bytes:
    """What was written to a log last."""
    try:
        size = os.fstat(fd).st_size
        return os.pread(fd, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    except OSError:
        return b""


def outcome_of(status: int) -> Outcome:
    """The outcome that a wait status means."""
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return {"kind": "succeeded", "exit_code": 0}
    if code > 0:
        return {"kind": "failed", "exit_code": code}
    return {"kind": "signalled", "signal": -code}


def take_result(path: str) -> dict[str, Any]:
    """What the file of ORCHCTL_RESULT says: `{}`, `{"result": JSON}`, `{"file": path}` or `{"bad": why}`.

    A short one is read here and removed; a long one stays until its end is acknowledged.
    """
    if not os.access(path, os.F_OK, follow_symlinks=False):
        return {}
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return {"bad": f"result cannot be read: {error.strerror}"}
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return {"bad": "result is not a regular file"}
        if found.st_size > RESULT_INLINE_BYTES:
            return {"file": path}
        data = os.read(fd, RESULT_INLINE_BYTES)
    finally:
        os.close(fd)
    with contextlib.suppress(OSError):
        os.unlink(path)
    if not data.strip():
        return {}
    try:
        json.loads(data)
        return {"result": data.decode()}
    except (ValueError, RecursionError) as error:
        return {"bad": f"result is not JSON: {error}"}
