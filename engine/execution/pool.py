"""The launcher's workers: warm Python processes, each for one group of attempts, and single ones for one attempt.

A *group* is what attempts must share to run in one process: interpreter, folder, environment, workflow version. An
attempt is *queued* in a worker when it was sent to it, and *begins* when the worker says so in the page that both
share. Only the first of the queue can have begun. When a worker dies, the attempt that had begun ends with it, and the
others go to another worker: nothing of them ran.
"""

import contextlib
import fcntl
import json
import mmap
import os
import signal
import socket
import struct
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from engine.execution import proc
from engine.execution import worker as worker_file
from engine.execution.attempt import Attempt, Order, outcome_of
from engine.execution.loop import Peer
from engine.execution.places import open_log, segment_path
from engine.execution.spawn import SpawnError, spawn
from engine.execution.wire import Message

if TYPE_CHECKING:
    from engine.execution.launcher import Launcher

_IDLE_S = 60.0
_IDLE_MAX = 32
_QUEUE_MAX = worker_file.SKIPS_MAX
_WORKER_BIT = 1 << 39
_PAUSE_TRIES = 200
_NUMBER = struct.Struct("<Q")


class Worker:
    """One worker process. `sent` holds the attempts that it has, the first one may have begun."""

    def __init__(self, key: str, seq: int, single: bool) -> None:
        self.key = key
        self.seq = seq
        self.single = single
        self.pid = 0
        self.ticks = 0
        self.peer: Peer | None = None
        self.page = mmap.mmap(-1, worker_file.PAGE_BYTES)
        self.sent: deque[Attempt] = deque()
        self.unsent: list[dict[str, Any]] = []
        self.ready = False
        self.gathers = False
        self.closing = False
        self.left: Attempt | None = None
        self.last_run = -1
        self.segment = ""
        self.segment_fd = -1
        self.segment_end = 0
        self.idle_since = 0.0

    @property
    def begun(self) -> int:
        return _NUMBER.unpack_from(self.page, 0)[0]

    def skip(self, number: int) -> None:
        """The attempt must not begin any more."""
        count = _NUMBER.unpack_from(self.page, 8)[0]
        slot = count % _QUEUE_MAX
        _NUMBER.pack_into(self.page, 16 + 8 * slot, number)
        _NUMBER.pack_into(self.page, 8, count + 1)


class Pool:
    def __init__(self, launcher: "Launcher") -> None:
        self._launcher = launcher
        self._workers: dict[int, Worker] = {}
        self._idle: dict[str, list[Worker]] = {}
        self._seq = 0
        self._changed = False
        self._idle_timer = False
        self._unsent: set[Worker] = set()

    def pids(self) -> list[int]:
        return list(self._workers)

    def report(self) -> None:
        """Tell the engine which workers there are, when that changed."""
        if self._changed:
            self._changed = False
            self._launcher.tell(["workers", self.pids()])

    # --- starting -------------------------------------------------------------------------------------------------

    def take(self, attempt: Attempt) -> None:
        """Send the attempt to an idle worker of its group, or to a new one."""
        order = attempt.order
        what = order["python"]
        single = not _is_shared(order)
        key = _group(order)
        idle = [] if single else self._idle.get(key, [])
        worker = self._worker_before(order)
        if worker is None:
            worker = idle.pop() if idle else self._new(attempt, key, what["interpreter"] or sys.executable, single)
        if worker is None:
            return
        try:
            segment = None if worker.single else self._segment_for(worker, order["run"])
        except OSError as error:
            self._launcher.refuse(attempt, f"its log cannot be made: {error}")
            self._next(worker)
            return
        self._send(worker, attempt, segment)

    def may_queue(self, leader: Attempt | Order, order: Order) -> bool:
        """Whether the order may be sent to its leader's worker at once: that runs one after the other, and does not
        begin the next before the tree of the one before is empty."""
        before = leader.order if isinstance(leader, Attempt) else leader
        if not (_is_shared(before) and _is_shared(order) and _group(before) == _group(order)):
            return False
        return not isinstance(leader, Attempt) or self._worker_before(order) is not None

    def _worker_before(self, order: Order) -> Worker | None:
        leader = self._launcher.attempts.get(order["after"])
        worker = leader.worker if leader is not None else None
        if leader is None or worker is None or not _is_shared(order) or worker.key != _group(order):
            return None
        full = worker.closing or len(worker.sent) >= _QUEUE_MAX
        return worker if not full and (worker.left is leader or leader in worker.sent) else None

    def _new(self, attempt: Attempt, key: str, interpreter: str, single: bool) -> Worker | None:
        self._seq += 1
        worker = Worker(key, self._seq, single)
        order = attempt.order
        try:
            if single:
                self._launcher.open_own_log(attempt)
                output = attempt.log_fd
            else:
                self._open_segment(worker, order["run"])
                output = worker.segment_fd
            cookie = attempt.number if single else _WORKER_BIT | worker.seq
            self._spawn(worker, order, interpreter, output, self._launcher.cookie(cookie))
        except (SpawnError, OSError) as error:
            self._close_segment(worker)
            self._launcher.refuse(attempt, str(error))
            return None
        if single:
            self._launcher.set_memory_limit(worker.pid, order["memory"])
        worker.ticks = proc.start_ticks(worker.pid)
        self._workers[worker.pid] = worker
        self._launcher.roots[worker.pid] = worker
        self._changed = True
        return worker

    def _spawn(self, worker: Worker, order: Order, interpreter: str, output: int, cookie: int) -> None:
        ours, theirs = socket.socketpair()
        memory = os.memfd_create("orchctl-worker", os.MFD_CLOEXEC)
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64) for fd in (theirs.fileno(), memory)]
        try:
            os.ftruncate(memory, worker_file.PAGE_BYTES)
            worker.page = mmap.mmap(memory, worker_file.PAGE_BYTES)
            env: dict[str, str] = order["environment"]
            if worker.single:
                env = {**env, **self._launcher.identity(order)}
            worker.pid = spawn(
                [interpreter, worker_file.__file__, order["python"]["folder"], "single" if worker.single else "shared"],
                env=env,
                output=output,
                folder=order["dir"],
                cookie=cookie,
                pass_fds=high,
            )
        except (SpawnError, OSError):
            ours.close()
            raise
        finally:
            theirs.close()
            for fd in (memory, *high):
                os.close(fd)
        worker.peer = Peer(
            self._launcher.loop, ours, lambda _peer, message: self._heard(worker, message), lambda _peer: None
        )

    def _send(self, worker: Worker, attempt: Attempt, segment: str | None) -> None:
        order = attempt.order
        what = order["python"]
        attempt.worker = worker
        worker.sent.append(attempt)
        if len(worker.sent) == 1:
            self._first(worker)
        env = {} if worker.single else self._launcher.identity(order)
        if what["script"]:
            env = {**env, "ORCHCTL_ARGS": json.dumps(what["args"])}
        item = {
            "attempt": attempt.number, "target": what["target"], "args": what["args"], "script": what["script"],
            "dir": order["dir"], "env": env, "cookie": self._launcher.cookie(attempt.number),
            "segment": segment,
            "result": self._launcher.places.result(attempt.number),
        }  # fmt: skip
        worker.unsent.append(item)
        self._unsent.add(worker)

    def flush(self) -> None:
        """Send each worker what this turn brought for it, as one message."""
        for worker in self._unsent:
            items, worker.unsent = worker.unsent, []
            if worker.peer is not None:
                worker.peer.send(["run", items])
        self._unsent.clear()

    def _first(self, worker: Worker) -> None:
        """The first of the queue may begin at any moment: its limits count from now."""
        attempt = worker.sent[0]
        if not worker.single:
            with contextlib.suppress(OSError):  # then the worker cannot open it either, and says so
                self._open_segment(worker, attempt.order["run"])
                attempt.order["log"] = [worker.segment, os.fstat(worker.segment_fd).st_size]
        self._launcher.begun(attempt, worker.pid, worker.ticks)

    # --- what workers say -------------------------------------------------------------------------------------------

    def _heard(self, worker: Worker, message: Message) -> None:
        kind = message[0]
        if kind == "ready":
            worker.ready, worker.gathers = True, bool(message[1])
        elif kind == "done":
            self._done(worker, message[1])
        elif kind == "skipped":
            self._skipped(worker, message[1])
        elif kind == "empty" and worker.left is not None and worker.left.number == message[1]:
            attempt, worker.left = worker.left, None
            self._launcher.look_at_end(attempt)
            self._next(worker)
        elif kind == "stale":
            worker.closing = True

    def _done(self, worker: Worker, done: dict[str, Any]) -> None:
        attempt = worker.sent[0]
        attempt.outcome = done["outcome"]
        attempt.cpu_ns, attempt.rss_bytes = done["cpu"], done["rss"]
        attempt.result = {key: done[key] for key in ("result", "file") if key in done}
        offset, length = done["log"]
        if worker.single:
            return
        worker.sent.popleft()
        worker.segment_end = offset + length
        attempt.slice = [worker.segment, offset, length]
        if done["left"]:
            worker.left = attempt
        if not worker.gathers:
            self._launcher.find_strays()
        self._launcher.look_at_end(attempt)
        if worker.left is None:
            self._next(worker)

    def _skipped(self, worker: Worker, number: int) -> None:
        for attempt in worker.sent:
            if attempt.number == number:
                worker.sent.remove(attempt)
                break
        self._next(worker)

    def _next(self, worker: Worker) -> None:
        if worker.sent:
            first = worker.sent[0]
            if first.outcome is None and not first.tree_pid:
                self._first(worker)
            return
        if worker.closing or worker in self._idle.setdefault(worker.key, []):
            return
        worker.idle_since = time.monotonic()
        self._idle[worker.key].append(worker)
        if sum(map(len, self._idle.values())) > _IDLE_MAX:
            self._retire(min((one for group in self._idle.values() for one in group), key=lambda one: one.idle_since))
        if not self._idle_timer:
            self._idle_timer = True
            self._launcher.loop.later(_IDLE_S, self._retire_old)

    def _retire_old(self) -> None:
        limit = time.monotonic() - _IDLE_S
        idle = [worker for group in self._idle.values() for worker in group]
        for worker in idle:
            if worker.idle_since <= limit:
                self._retire(worker)
        self._idle_timer = any(self._idle.values())
        if self._idle_timer:
            self._launcher.loop.later(_IDLE_S / 2, self._retire_old)

    def _retire(self, worker: Worker) -> None:
        """A worker that reads the end of its socket exits."""
        self._leave_idle(worker)
        worker.closing = True
        if worker.peer is not None:
            worker.peer.close()

    def _leave_idle(self, worker: Worker) -> None:
        group = self._idle.get(worker.key, [])
        if worker in group:
            group.remove(worker)
        if not group:
            self._idle.pop(worker.key, None)

    def close_all(self) -> None:
        """End all workers at once; none has an attempt any more."""
        for worker in self._workers.values():
            self._retire(worker)
            with contextlib.suppress(OSError):
                os.kill(worker.pid, signal.SIGKILL)

    # --- the end of a worker ----------------------------------------------------------------------------------------

    def died(self, worker: Worker, status: int, usage: Any) -> list[Attempt]:
        """The attempts whose end must be looked at. What had not begun goes to another worker."""
        if worker.peer is not None:
            worker.peer.drain()
            worker.peer.close()
        del self._workers[worker.pid]
        self._leave_idle(worker)
        self._changed = True
        touched: list[Attempt] = []
        if worker.left is not None:
            touched.append(worker.left)
            worker.left = None
        never_ready = not worker.ready and not worker.closing
        worker.closing = True
        for attempt in worker.sent:
            if attempt.worker is not worker:
                continue
            begun = worker.begun == attempt.number or attempt.outcome is not None
            if begun or (worker.single and worker.ready):
                self._ended_with(worker, attempt, status, usage)
                touched.append(attempt)
            elif never_ready and attempt.ended_by is None:
                attempt.outcome = {"kind": "not_started", "why": f"the worker did not start: {_words(status)}"}
                self._take_rest_of_log(worker, attempt)
                touched.append(attempt)
            else:
                touched += self._again(attempt)
        worker.sent.clear()
        self._close_segment(worker)
        return touched

    def _ended_with(self, worker: Worker, attempt: Attempt, status: int, usage: Any) -> None:
        if attempt.outcome is None:
            attempt.outcome = outcome_of(status)
            if attempt.outcome["kind"] == "succeeded":
                attempt.outcome = {"kind": "failed", "exit_code": 0, "why": "the process ended in the middle of it"}
        if worker.single:
            attempt.note_usage(usage)
        self._take_rest_of_log(worker, attempt)

    @staticmethod
    def _take_rest_of_log(worker: Worker, attempt: Attempt) -> None:
        if worker.segment_fd >= 0:
            size = os.fstat(worker.segment_fd).st_size
            attempt.slice = [worker.segment, worker.segment_end, max(0, size - worker.segment_end)]

    def _again(self, attempt: Attempt) -> list[Attempt]:
        """It never began. Unless it was stopped meanwhile, another worker gets it."""
        attempt.worker = None
        attempt.tree_pid = 0
        if attempt.wall_timer is not None:
            attempt.wall_timer.cancel()
        if attempt.ended_by is not None:
            attempt.outcome = {"kind": "cancelled"}
            return [attempt]
        self.take(attempt)
        return []

    # --- stopping one attempt ---------------------------------------------------------------------------------------

    def seize(self, attempt: Attempt) -> bool:
        """Whether the attempt may be signalled. The worker is paused, so that the answer stays true; `release` lets it
        go on. One that has not begun is over at once: the worker will find that it must skip it."""
        worker = attempt.worker
        if worker is None or attempt.outcome is not None or worker.single:
            return True
        worker.skip(attempt.number)
        _pause(worker.pid)
        if worker.begun == attempt.number:
            return True
        with contextlib.suppress(OSError):
            os.kill(worker.pid, signal.SIGCONT)
        attempt.outcome = {"kind": "cancelled", "why": "recalled before it started"}
        attempt.ended_by, attempt.tree_pid, attempt.worker = None, 0, None
        self._launcher.look_at_end(attempt)
        return False

    @staticmethod
    def release(attempt: Attempt) -> None:
        worker = attempt.worker
        if worker is not None and not worker.single and attempt.outcome is None:
            with contextlib.suppress(OSError):
                os.kill(worker.pid, signal.SIGCONT)

    @staticmethod
    def leftovers(attempt: Attempt) -> set[int]:
        """The children of the worker that the attempt left behind, while the worker waits for their end."""
        worker = attempt.worker
        if worker is None or worker.left is not attempt:
            return set()
        return set(proc.children(worker.pid)) or {0}

    # --- the worker's log -------------------------------------------------------------------------------------------

    def _open_segment(self, worker: Worker, run: int) -> None:
        path = segment_path(run, self._launcher.slot, worker.seq)
        if path == worker.segment:
            return
        fresh = open_log(self._launcher.places.log(path))
        self._close_segment(worker)
        worker.segment_fd = fresh
        worker.segment = path
        worker.segment_end = os.fstat(worker.segment_fd).st_size

    def _segment_for(self, worker: Worker, run: int) -> str:
        """The worker may open it before this launcher does, so its folder must be there when the item is sent."""
        path = self._launcher.places.log(segment_path(run, self._launcher.slot, worker.seq))
        if run != worker.last_run:
            worker.last_run = run
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        return path

    def _close_segment(self, worker: Worker) -> None:
        if worker.segment_fd < 0:
            return
        queued = {segment_path(one.order["run"], self._launcher.slot, worker.seq) for one in worker.sent}
        if worker.segment not in queued and os.fstat(worker.segment_fd).st_size == 0:
            with contextlib.suppress(OSError):
                os.unlink(self._launcher.places.log(worker.segment))
        os.close(worker.segment_fd)
        worker.segment_fd = -1

    def segment_of(self, attempt: Attempt) -> Worker | None:
        """The worker whose segment the attempt writes to at the moment."""
        worker = attempt.worker
        return (
            worker
            if worker is not None and worker.segment_fd >= 0 and worker.sent and worker.sent[0] is attempt
            else None
        )


def _is_shared(order: Order) -> bool:
    what = order.get("python")
    return what is not None and not (what["isolate"] or order["memory"] or what["script"])


def _group(order: Order) -> str:
    """What attempts must share to run in one process."""
    what = order["python"]
    return json.dumps([what["interpreter"], what["folder"], order["env"], order["workflow"], order["version"]])


def _pause(pid: int) -> None:
    """Stop the process and wait until it is, for 20 ms at most: one deep in the kernel runs no code anyway."""
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGSTOP)
        for _ in range(_PAUSE_TRIES):
            if os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return
            time.sleep(0.0001)


def _words(status: int) -> str:
    found = outcome_of(status)
    return f"signal {found['signal']}" if "signal" in found else f"exit {found['exit_code']}"
