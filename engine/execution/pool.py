"""The launcher's workers: warm Python processes, each for one group of attempts, and single ones for one attempt.

A *group* is what attempts must share to run in one process: interpreter, folder, environment, workflow version. A
worker gets *blocks*: rows of one task, often one, that it runs one after the other. A block is *queued* in a worker
when it was sent to it; its rows *begin* when the worker says so in the page that both share. Only rows of the first of
the queue can have begun. When a worker dies, the row that ran ends with it. Rows behind it in the same block are given
back to the engine, blocks behind it go to another worker: nothing of them ran.
"""

import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from engine.execution import proc
from engine.execution import worker as worker_file
from engine.execution.attempt import Attempt, Order, outcome_of
from engine.execution.block import Block
from engine.execution.loop import Peer
from engine.execution.places import open_log, segment_path
from engine.execution.spawn import SpawnError
from engine.execution.wire import Message

if TYPE_CHECKING:
    from engine.execution.launcher import Launcher

_IDLE_S = 60.0
_IDLE_MAX = 32
_QUEUE_MAX = 500
_LOOK_S = worker_file.TICK_US / 1e6
_WORKER_BIT = 1 << 39
_PAUSE_TRIES = 200
_BEGIN_TRIES = 3
_RECALLED = "recalled: the attempt before it takes long"


class Worker:
    """One worker process. `sent` holds the blocks that it has, rows of the first one may have begun."""

    def __init__(self, key: str, seq: int, single: bool) -> None:
        self.key = key
        self.seq = seq
        self.single = single
        self.pid = 0
        self.ticks = 0
        self.peer: Peer | None = None
        self.sent: deque[Attempt] = deque()
        self.unsent: list[dict[str, Any]] = []
        self.ready = False
        self.gathers = False
        self.closing = False
        self.left: Attempt | None = None
        self.last_run = -1
        self.segment = ""
        self.segment_fd = -1
        self.segment_start = 0
        self.looking = False
        self.still = False
        """Whether it is to stand still, whoever else paused it for a moment."""
        self.idle_since = 0.0


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
            self._spawn(worker, attempt, interpreter, output, self._launcher.cookie(cookie))
        except (SpawnError, OSError) as error:
            self._close_segment(worker)
            self._launcher.refuse(attempt, str(error))
            return None
        if single:
            self._launcher.sharing.bind(worker.pid, order)
            self._launcher.limits.apply(attempt, worker.pid)
        worker.ticks = proc.start_ticks(worker.pid)
        self._workers[worker.pid] = worker
        self._launcher.roots[worker.pid] = worker
        self._changed = True
        return worker

    def _spawn(self, worker: Worker, attempt: Attempt, interpreter: str, output: int, cookie: int) -> None:
        order = attempt.order
        ours, theirs = socket.socketpair()
        high = fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD_CLOEXEC, 64)
        try:
            env: dict[str, str] = order["environment"]
            if worker.single:
                env = {**env, **self._launcher.identity(order)}
            worker.pid = self._launcher.limits.spawn(
                attempt,
                [interpreter, worker_file.__file__, order["python"]["folder"], "single" if worker.single else "shared"],
                env=env,
                output=output,
                folder=order["dir"],
                cookie=cookie,
                pass_fds=[high],
            )
        except (SpawnError, OSError):
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(high)
        worker.peer = Peer(
            self._launcher.loop, ours, lambda _peer, message: self._heard(worker, message), lambda _peer: None
        )

    def _send(self, worker: Worker, attempt: Attempt, segment: str | None) -> None:
        order, what = attempt.order, attempt.order["python"]
        try:
            block = attempt.block = attempt.block or Block(self._launcher.places, attempt.number, order["count"])
            metrics = self._launcher.measuring.begin(attempt, worker.pid) if "measure" in order else ""
        except OSError as error:
            self._launcher.refuse(attempt, f"its page or report cannot be made: {error}")
            self._next(worker)
            return
        for offset in order.get("skips", ()):
            block.skip(offset)
        log = order["log"][0] if worker.single else segment_path(order["run"], self._launcher.slot, worker.seq)
        block.page.segment = log
        attempt.worker = worker
        worker.sent.append(attempt)
        if len(worker.sent) == 1:
            self._first(worker)
        env = {} if worker.single else self._launcher.identity(order)
        if what["script"]:
            env = {**env, "ORCHCTL_ARGS": json.dumps(what["args"])}
        message = {
            "attempt": attempt.number, "index": order["index"], "page": self._launcher.places.page(attempt.number),
            "target": what["target"], "args": what["args"], "columns": what["columns"], "script": what["script"],
            "dir": order["dir"], "env": env, "cookie": self._launcher.cookie(attempt.number), "segment": segment,
            "result": self._launcher.places.result(attempt.number), "metrics": metrics,
        }  # fmt: skip
        worker.unsent.append(message)
        self._unsent.add(worker)

    def flush(self) -> None:
        """Send each worker what this turn brought for it, as one message."""
        for worker in self._unsent:
            items, worker.unsent = worker.unsent, []
            if worker.peer is not None:
                worker.peer.send(["run", items])
        self._unsent.clear()

    def _first(self, worker: Worker) -> None:
        """The rows of the first of the queue may begin at any moment: its limits count from now."""
        attempt = worker.sent[0]
        if not worker.single:
            with contextlib.suppress(OSError):  # then the worker cannot open it either, and says so
                self._open_segment(worker, attempt.order["run"])
                size = os.fstat(worker.segment_fd).st_size
                block = attempt.block  # that may have begun, and written, before this launcher looks
                attempt.order["log"] = [worker.segment, block.log_base if block is not None and block.begun else size]
        self._launcher.begun(attempt, worker.pid, worker.ticks)

    # --- what workers say -------------------------------------------------------------------------------------------

    def _heard(self, worker: Worker, message: Message) -> None:
        kind = message[0]
        attempt = worker.sent[0] if worker.sent else None
        if kind == "ready":
            worker.ready, worker.gathers = True, bool(message[1])
        elif kind == "stale":
            worker.closing = True
        elif attempt is None or attempt.number != message[1]:
            self._drop(worker, message[1])
        elif kind == "tick":
            self._look(worker)
        elif kind == "end":
            self._end(worker, attempt)
        elif kind == "left" and attempt.worker is worker:
            worker.left = attempt
            self._launcher.look_at_end(attempt)
        elif kind == "empty" and worker.left is attempt:
            worker.left = None
            self._launcher.calm(attempt)

    def _drop(self, worker: Worker, number: int) -> None:
        """The worker is done with a block that was taken from it before it began."""
        for attempt in worker.sent:
            if attempt.number == number and attempt.worker is not worker:
                worker.sent.remove(attempt)
                break

    def _look(self, worker: Worker) -> None:
        """Tell what has ended, and look again soon: what ends meanwhile is not told by the worker."""
        if worker.looking:
            return
        worker.looking = True
        self._launcher.loop.later(_LOOK_S, lambda: self._look_again(worker))
        if worker.sent:
            self._tell_news(worker.sent[0])

    def _look_again(self, worker: Worker) -> None:
        worker.looking = False
        if worker.sent and self._tell_news(worker.sent[0]):
            self._look(worker)

    def _tell_news(self, attempt: Attempt) -> bool:
        """Whether rows of a block have ended since the last look."""
        block = attempt.block
        if block is None or block.lone or attempt.worker is None:
            return False
        facts = block.news()
        self._launcher.tell_rows(attempt, facts)
        return bool(facts)

    def _end(self, worker: Worker, attempt: Attempt) -> None:
        """The worker is done with the first of its queue."""
        block = attempt.block
        if worker.single and block is not None:
            self._take_end(attempt, block)  # its process has still to end
            return
        worker.sent.popleft()
        if block is not None and attempt.worker is worker:
            if not worker.gathers:
                self._launcher.find_strays()
            if not block.lone:
                self._give_back(attempt, block, _RECALLED)
            elif not block.begun:  # it was about to begin when it was recalled
                self._launcher.tell_rows(attempt, block.give_back(_RECALLED))
                self._launcher.withdraw(attempt)
            else:
                self._take_end(attempt, block)
            self._launcher.look_at_end(attempt)
        self._next(worker)

    @staticmethod
    def _take_end(attempt: Attempt, block: Block) -> None:
        """The only row of the block has ended."""
        for _, found in block.news():
            attempt.outcome = found["o"]
            attempt.cpu_ns, attempt.rss_bytes = found["cpu"], found["rss"]
            attempt.took_ns = found["at"] - found["began"]
            attempt.result = {key: found[key] for key in ("result", "file", "bad") if key in found}
            if not (attempt.worker is not None and attempt.worker.single):
                attempt.slice = found.get("log")

    def _next(self, worker: Worker) -> None:
        if worker.sent:
            first = worker.sent[0]
            if first.outcome is None and not first.tree_pid and first.worker is worker:
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
        held_up = worker.left is not None  # by the tree of the one before, so that nothing else could begin
        if worker.left is not None:
            touched.append(worker.left)
            worker.left = None
        never_ready = f"the worker did not start: {_words(status)}" if not (worker.ready or worker.closing) else ""
        worker.closing = True
        sent, worker.sent = worker.sent, deque()
        for place, attempt in enumerate(sent):
            if attempt.worker is worker:
                why = never_ready or (self._vain(attempt, status) if place == 0 and not held_up else "")
                touched += self._bereave(worker, attempt, status, usage, why)
        self._close_segment(worker, sent)
        return touched

    @staticmethod
    def _vain(attempt: Attempt, status: int) -> str:
        """Why no further worker is tried for what was next, if none is: to load its module may be what ends them."""
        attempt.tries += 1
        if attempt.tries < _BEGIN_TRIES:
            return ""
        return f"{attempt.tries} workers ended one after the other before it began; the last: {_words(status)}"

    def _bereave(self, worker: Worker, attempt: Attempt, status: int, usage: Any, never_ready: str) -> list[Attempt]:
        """The worker of a block is dead. Whether the attempt's end is to be looked at."""
        block = attempt.block
        assert block is not None
        if block.lone:
            self._take_end(attempt, block)
        if block.begun or (worker.single and worker.ready):
            self._end_with(worker, attempt, block, status, usage)
        elif not never_ready or attempt.ended_by is not None:
            return self._again(attempt)
        elif block.lone:
            attempt.outcome = {"kind": "not_started", "why": never_ready}
            self._take_rest_of_log(worker, attempt)
        else:
            block.refuse({"kind": "not_started", "why": never_ready})
            self._give_back(attempt, block, "")
        return [attempt]

    def _end_with(self, worker: Worker, attempt: Attempt, block: Block, status: int, usage: Any) -> None:
        """The row that ran ended with the worker; those behind it never began."""
        outcome = outcome_of(status)
        if outcome["kind"] == "succeeded":
            outcome = {"kind": "failed", "exit_code": 0, "why": "the process ended in the middle of it"}
        if not block.lone:
            if block.running >= 0:
                block.end_running(outcome, os.fstat(worker.segment_fd).st_size if worker.segment_fd >= 0 else 0)
            self._give_back(attempt, block, "its worker died before it began")
            return
        if worker.single:
            attempt.note_usage(usage)
        if attempt.outcome is None:
            attempt.outcome = outcome
            self._take_rest_of_log(worker, attempt)

    def _give_back(self, attempt: Attempt, block: Block, why: str) -> None:
        """What of a block has not begun will not; the block is over."""
        self._launcher.tell_rows(attempt, [*block.news(), *block.give_back(why)])
        attempt.outcome = worker_file.SUCCESS

    @staticmethod
    def _take_rest_of_log(worker: Worker, attempt: Attempt) -> None:
        block = attempt.block
        if worker.segment_fd >= 0 and block is not None:
            start = block.row_log if block.begun else worker.segment_start
            attempt.slice = [worker.segment, start, max(0, os.fstat(worker.segment_fd).st_size - start)]

    def _again(self, attempt: Attempt) -> list[Attempt]:
        """Nothing of it began. Unless it was stopped meanwhile, another worker gets it."""
        self._launcher.freezing.release(attempt)
        attempt.worker = None
        attempt.tree_pid = 0
        if attempt.wall_timer is not None:
            attempt.wall_timer.cancel()
        if attempt.ended_by is not None:
            attempt.outcome = {"kind": "cancelled"}
            return [attempt]
        self.take(attempt)
        return []

    # --- stopping and taking back -----------------------------------------------------------------------------------

    def seize(self, attempt: Attempt) -> bool:
        """Whether the attempt may be signalled. The worker is paused, so that the answer stays true; `release` lets it
        go on. One that has not begun is over at once: the worker will find that it must skip it."""
        worker = attempt.worker
        if worker is None or worker.single or attempt.outcome is not None or self.seize_row(attempt, 0):
            return True
        block = attempt.block
        if block is None or block.begun:  # it has ended by itself just now
            return False
        attempt.outcome = {"kind": "cancelled", "why": "recalled before it started"}
        attempt.ended_by, attempt.tree_pid, attempt.worker = None, 0, None
        self._launcher.look_at_end(attempt)
        return False

    def seize_row(self, attempt: Attempt, offset: int) -> bool:
        """Whether the row of a block runs now and may be signalled, as `seize` says it; else it will not begin."""
        worker, block = attempt.worker, attempt.block
        if worker is None or block is None:
            return False
        block.skip(offset)
        _pause(worker.pid)
        if block.running == offset:
            return True
        _go_on(worker)
        return False

    @staticmethod
    def release(attempt: Attempt) -> None:
        worker = attempt.worker
        if worker is not None and not worker.single and attempt.outcome is None:
            _go_on(worker)

    def take_back(self, attempt: Attempt) -> None:
        """Rows of which nothing has begun are given back to the engine; those that have go on."""
        worker, block = attempt.worker, attempt.block
        if worker is None or block is None or worker.single or attempt.outcome is not None:
            return
        block.cut(0)
        _pause(worker.pid)
        begun = block.begun
        facts = block.give_back(_RECALLED)
        _go_on(worker)
        self._launcher.tell_rows(attempt, [*([] if block.lone else block.news()), *facts])
        if not begun:
            self._launcher.freezing.thaw(attempt)
            attempt.worker, attempt.tree_pid = None, 0
            self._launcher.withdraw(attempt)

    @staticmethod
    def behind(attempt: Attempt) -> int:
        """How many wait in the worker for the attempt, which has ended there."""
        return len(attempt.worker.sent) if attempt.worker is not None and not attempt.worker.single else 0

    @staticmethod
    def left(attempt: Attempt) -> bool:
        """Whether the worker waits for children that a row left behind."""
        return attempt.worker is not None and attempt.worker.left is attempt

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
        worker.segment_start = os.fstat(fresh).st_size

    def _segment_for(self, worker: Worker, run: int) -> str:
        """The worker may open it before this launcher does, so its folder must be there when the item is sent."""
        path = self._launcher.places.log(segment_path(run, self._launcher.slot, worker.seq))
        if run != worker.last_run:
            worker.last_run = run
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        return path

    def _close_segment(self, worker: Worker, sent: Iterable[Attempt] = ()) -> None:
        if worker.segment_fd < 0:
            return
        queued = {segment_path(one.order["run"], self._launcher.slot, worker.seq) for one in (*worker.sent, *sent)}
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
    if what is None or what["isolate"] or what["script"]:
        return False
    alone = order["memory"] or order["processes"] or order["limits"] or order["cpus"]
    return not (alone or "CUDA_VISIBLE_DEVICES" in order["extra"])


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


def _go_on(worker: Worker) -> None:
    if not worker.still:
        with contextlib.suppress(OSError):
            os.kill(worker.pid, signal.SIGCONT)


def _words(status: int) -> str:
    found = outcome_of(status)
    return f"signal {found['signal']}" if "signal" in found else f"exit {found['exit_code']}"
