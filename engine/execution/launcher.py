"""A launcher: starts attempts, ends them, and remembers how they ended until the engine has it on disk.

Theory. Orders come from one engine connection; facts go back in batches, one a turn of the loop. A turn (1) takes
events: orders, children that died, items that workers finished, timers; (2) writes all new ends and the intents of
orders that may start now to the spool; (3) starts these; (4) tells the engine, at once where it has something to
decide, else together with what follows soon. So nothing runs that the spool does not know, and nothing is told that the
spool could forget. When the engine is away everything goes on: limits, stops and chains of orders are kept here.
"""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any, NoReturn

from engine.execution import proc, trees
from engine.execution.attempt import DRAIN_S, Attempt, Order, Outcome, identity_of, outcome_of, take_result
from engine.execution.block import Block, Fact
from engine.execution.ending import KILL_AGAIN_S, Ending
from engine.execution.freezing import Freezing
from engine.execution.inheriting import inherited
from engine.execution.limits import Limits
from engine.execution.logs import Caps, Logs
from engine.execution.loop import Loop, Peer
from engine.execution.measuring import Measuring
from engine.execution.metering import Metering
from engine.execution.places import Places
from engine.execution.pool import Pool, Worker
from engine.execution.queue import NO_SUCCESS, Queue, is_success
from engine.execution.report import Report
from engine.execution.resident import begin, serve_until_stopped
from engine.execution.sharing import Sharing
from engine.execution.spawn import Encoded, SpawnError, raise_file_limit
from engine.execution.spool import Exit, Spool, SpoolFull
from engine.execution.wire import Message

_SPOOL_AGAIN_S = 1.0
_SPAWN_AGAIN_S = 0.1
_SPAWN_TRIES = 20


class Launcher:
    """Everything of one launcher process. It has a single thread."""

    def __init__(self, loop: Loop, places: Places, slot: int, instance: int) -> None:
        self.loop = loop
        self.places = places
        self.slot = slot
        self.spool = Spool(places.spool(slot), instance, proc.boot_id())
        self.epoch = 0
        self.engine: Peer | None = None
        self.envs: dict[str, dict[str, str]] = {}
        self._encoded = Encoded()
        self.attempts: dict[int, Attempt] = {}
        self._report = Report(loop, self.tell)
        self.queue = Queue(self.attempts, self._report, lambda before, order: self.pool.may_queue(before, order))
        self.measuring = Measuring(loop, places, self.queue.held)
        self.roots: dict[int, Attempt | Worker] = {}
        self.strays: dict[int, int] = {}
        self.logs = Logs(loop, places)
        self.open_own_log = self.logs.open
        self.kept: dict[int, Block] = {}
        """Encoded that are over here, until the engine has their end on disk."""
        self.pool = Pool(self)
        self.ending = Ending(self)
        self.freezing = Freezing(self)
        self.sharing = Sharing(self.attempts)
        self.limits = Limits(loop, slot, self.attempts, lambda: self.instance)
        self.meter = Metering(loop, places, self.cookie, self.ending.over_quota)
        self._caps = Caps(loop, self.attempts, self.pool.segment_of, self.ending.look_at)
        self._pid = os.getpid()
        self._spool_timer = False
        self._leaving: Peer | None = None
        loop.on_child(self._reap)
        loop.after_turn = self._finish_turn
        self._ended, kept, spent = inherited(places, self.spool, self.measuring.forget)
        self.kept.update((block.number, block) for block in kept)
        self._spent = {block.number: block for block in spent}  # their pages go once the ends are saved
        self._save_ends()

    @property
    def instance(self) -> int:
        return self.spool.instance

    def cookie(self, number: int) -> int:
        return proc.cookie_of(self.instance, number)

    # --- messages -------------------------------------------------------------------------------------------------

    def on_message(self, peer: Peer, message: Message) -> None:
        """`hello` from an engine, or `shutdown` from the keeper; the rest only from the engine that said hello."""
        kind = message[0]
        if kind == "hello":
            self._hello(peer, message[1]["instance"], message[1]["epoch"])
        elif kind == "shutdown":
            self._shutdown(peer, bool(message[1]))
        elif peer is not self.engine:
            peer.close()
        elif kind == "env":
            self.envs[message[1]] = message[2]
        elif kind == "start":
            self._take_orders(message[1])
        elif kind == "recall":
            self._recall(message[1])
        elif kind == "stop":
            for number, at_once, *row in message[1]:
                self.stop(number, at_once, *row)
        elif kind == "freeze":
            for number, frozen, turn, cpus in message[1]:
                self.freezing.order(number, turn, cpus, frozen=frozen)
        elif kind == "ack":
            self._forget(message[1])
        elif kind == "settled":
            self.spool.settle()
        elif kind == "share":
            self.sharing.share(message[1])
        elif kind == "ping":
            peer.send(["pong"])

    def on_close(self, peer: Peer) -> None:
        if peer is self.engine:
            self.engine = None

    def _hello(self, peer: Peer, instance: int, epoch: int) -> None:
        if instance == self.instance and epoch < self.epoch:
            peer.send(["refused", f"epoch {epoch} is older than {self.epoch}"])
            peer.close()
            return
        previous, self.engine = self.engine, None
        if previous is not None and previous is not peer:
            previous.close()
        self.epoch = epoch
        self.envs.clear()
        self._encoded.clear()
        if instance != self.instance:
            self._change_instance(peer, instance)
        else:
            self._welcome(peer)

    def _change_instance(self, peer: Peer, instance: int) -> None:
        """The state was restored or replaced: what runs here belongs to a life that is over."""
        self.queue.clear()
        for attempt in list(self.attempts.values()):
            self.ending.whole(attempt, {"kind": "lost", "why": "the state was replaced"})
        if self.attempts:
            self.loop.later(KILL_AGAIN_S, lambda: self._change_instance(peer, instance))
            return
        self.pool.close_all()
        self._ended.clear()
        self._report.clear()
        for block in (*self.kept.values(), *self._spent.values()):
            block.remove()
        self.kept.clear()
        self.spool.adopt(instance)
        self._welcome(peer)

    def _welcome(self, peer: Peer) -> None:
        """From here on this engine is told everything."""
        self.engine = peer
        self._save_ends()
        self._report.clear()
        blocks = [*self.kept.values(), *(one.block for one in self.attempts.values() if one.has_rows and one.block)]
        running = [[one.number, one.tree_pid, *self._start_of(one)] for one in self.attempts.values() if one.tree_pid]
        waiting = [one.number for one in self.attempts.values() if not one.tree_pid]
        peer.send([
            "welcome",
            {
                "pid": self._pid,
                "slot": self.slot,
                "damaged": self.spool.damaged,
                "running": running,
                "frozen": self.freezing.frozen(),
                "held": [*self.queue, *waiting, *self.kept, *(found["a"] for found in self._ended)],
                "exits": list(self.spool.exits.values()),
                "workers": self.pool.pids(),
            },
        ])  # fmt: skip
        for block in blocks:
            self._report.now(block.everything())

    @staticmethod
    def _start_of(attempt: Attempt) -> list[Any]:
        """Start ticks, instant, where its log begins, [path, offset], and how its quotas are enforced."""
        order = attempt.order
        known = [order["ticks"], order["at"], order.get("log", ["", 0])]
        return [*known, attempt.levels] if attempt.levels else known

    def _forget(self, numbers: list[int]) -> None:
        for number in numbers:
            if number in self.attempts:  # all rows of a block were told before its worker was done with it
                self.attempts[number].known = True
            block = self.kept.pop(number, None)
            if block is not None:
                block.remove()
            found = self.spool.exits.get(number)
            if found and found.get("file"):
                with contextlib.suppress(OSError):
                    os.unlink(found["file"])
        self.spool.forget(number for number in numbers if number not in self.attempts)

    # --- starting ---------------------------------------------------------------------------------------------------

    def _take_orders(self, orders: list[Order]) -> None:
        for order in orders:
            number = order["attempt"]
            if self._knows(number):
                continue
            order["environment"] = self.envs.get(order["env"], {})
            if self.queue.waits_in_vain(order, self._end_of):
                self.queue.give_back(number, NO_SUCCESS)
            elif self.queue.must_wait(order) or self.measuring.look_first(order, self.queue.release):
                self.queue.hold(order)
            else:
                self.queue.ready[number] = order

    def _end_of(self, number: int) -> Exit | None:
        return self.spool.exits.get(number) or next((found for found in self._ended if found["a"] == number), None)

    def _knows(self, number: int) -> bool:
        places = (self.attempts, self.queue, self.kept, self.spool.exits)
        return any(number in place for place in places)

    def _start(self, orders: list[Order]) -> None:
        """Their intents are written."""
        for order in orders:
            attempt = Attempt(order)
            self.attempts[attempt.number] = attempt
            if "python" in order:
                self.pool.take(attempt)
            else:
                self._start_process(attempt)

    def _start_process(self, attempt: Attempt) -> None:
        order = attempt.order
        try:
            if attempt.log_fd < 0:
                self.logs.open(attempt)
            identity, cookie = self.identity(order), self.cookie(attempt.number)
            before = proc.ticks_now()
            if "measure" in order:
                env = {**order["environment"], **identity}
                pid = self.measuring.spawn(attempt, env, cookie, self.limits.spawn)
            else:
                env = self._encoded.of(order["env"], order["environment"], identity)
                given = {"env": env, "output": attempt.log_fd, "folder": order["dir"], "cookie": cookie}
                pid = self.limits.spawn(attempt, order["argv"], **given)
        except (SpawnError, OSError, ValueError) as error:
            if isinstance(error, SpawnError) and error.passing and attempt.tries < _SPAWN_TRIES:
                attempt.tries += 1
                self.loop.later(_SPAWN_AGAIN_S, lambda: self._try_again(attempt))
            else:
                tried = f" (tried {attempt.tries + 1} times in {attempt.tries * _SPAWN_AGAIN_S:g} s)"
                self.refuse(attempt, f"{error}{tried if attempt.tries else ''}")
            return
        self.roots[pid] = attempt
        self.sharing.bind(pid, order)
        self.limits.apply(attempt, pid)
        self.begun(attempt, pid, before if before == proc.ticks_now() else 0)

    def _try_again(self, attempt: Attempt) -> None:
        """The host had no room for another process a moment ago. One that was stopped meanwhile has ended."""
        if attempt.ended_by is not None:
            attempt.outcome = {"kind": "cancelled"}
            self._conclude(attempt)
        else:
            self._start_process(attempt)

    def identity(self, order: Order) -> dict[str, str]:
        """What tells a process which attempt it is."""
        return identity_of(order, self.places.result(order["attempt"]))

    def begun(self, attempt: Attempt, pid: int, ticks: int = 0) -> None:
        """The attempt runs now: its limits count from here."""
        order = attempt.order
        attempt.tree_pid = pid
        order["ticks"], order["at"] = ticks or proc.start_ticks(pid), time.time_ns()
        self._report.soon([["started", attempt.number, pid, *self._start_of(attempt)]])
        self.ending.limit_wall(attempt)
        if attempt.limited:
            self.ending.limit_silence(attempt)
            self.limits.settle(attempt, lambda: self.members(attempt), self.meter.watch)
        self._caps.watch(attempt)

    def refuse(self, attempt: Attempt, why: str) -> None:
        """Nothing of it was started, because it cannot be."""
        outcome: Outcome = {"kind": "not_started", "why": why}
        if not attempt.has_rows:
            attempt.outcome = outcome
            self._conclude(attempt)
            return
        now, block = time.time_ns(), attempt.number
        rows = range(block, block + attempt.order["count"])
        self._report.now(["exit", {"a": row, "b": block, "began": 0, "at": now, "o": outcome}] for row in rows)
        self._let_go(attempt)
        self.queue.release(block)

    # --- ending -----------------------------------------------------------------------------------------------------

    def stop(self, number: int, at_once: bool, row: int = -1) -> None:
        """An order to end it; one that has not started is recalled and leaves no trace in the spool. Of a block it ends
        one row (-1: all)."""
        waiting = self.queue.order(number)
        if waiting is not None and waiting["count"] > 1 and row >= 0:
            waiting.setdefault("skips", []).append(row)
        elif waiting is not None:
            if self.queue.remove(number) is None:
                del self.queue.ready[number]
            self._end_unspooled(number, {"kind": "cancelled", "why": "recalled before it started"})
        elif number in self.attempts:
            attempt = self.attempts[number]
            if not attempt.has_rows:
                self.ending.early(attempt, {"kind": "cancelled"}, at_once=at_once)
                return
            if row < 0:
                self.ending.whole(attempt, {"kind": "cancelled"})
            else:
                self.ending.row(attempt, row, {"kind": "cancelled"}, at_once=at_once)

    def _recall(self, numbers: list[int]) -> None:
        """Give orders back of which nothing has begun; what runs goes on."""
        for number in numbers:
            if number in self.queue.held:
                self.queue.give_back(number, "recalled: the attempt before it takes long")
                self.queue.remove(number)
            elif number in self.attempts:
                self.pool.take_back(self.attempts[number])

    def tell_rows(self, attempt: Attempt, facts: list[Fact]) -> None:
        """What became of rows of a block, which its page keeps for whoever has to be told again."""
        if attempt.block is not None and attempt.block.lone:
            facts = [fact for fact in facts if fact[0] == "returned"]
        self._report.now(facts)
        if attempt.grace_timer is not None and attempt.block is not None and not attempt.block.condemned:
            self.calm(attempt)

    def calm(self, attempt: Attempt) -> None:
        """What was to be ended has ended, and the attempt goes on."""
        attempt.killing = False
        if attempt.grace_timer is not None:
            attempt.grace_timer.cancel()
            attempt.grace_timer = None

    def withdraw(self, attempt: Attempt) -> None:
        """Nothing of the attempt has begun, nor will, and the engine is told so: it is as if it had never come."""
        self._let_go(attempt)
        if "measure" in attempt.order:
            self.measuring.forget(attempt.number)
        self.queue.close_gap(attempt.order)
        if attempt.has_rows and attempt.block is not None:
            self._keep(attempt, attempt.block)
        else:
            if attempt.block is not None:
                attempt.block.remove()
            self.spool.forget([attempt.number])

    def _reap(self) -> None:
        """Take every child that died. Children of a dead parent have become ours by then, so one look finds them."""
        touched: list[Attempt] = []
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                self.find_strays()
                break
            owner = self.roots.pop(pid, None)
            if isinstance(owner, Attempt):
                owner.note_usage(usage)
                owner.outcome = outcome_of(status)
                touched.append(owner)
            elif owner is not None:
                touched += self.pool.died(owner, status, usage)
            else:
                touched += self._stray_died(pid, usage)
        for attempt in touched:
            self.look_at_end(attempt)

    def members(self, attempt: Attempt) -> list[int]:
        """All processes of the attempt that are there now."""
        self.find_strays()
        return self.ending.tree(attempt).members()

    def _stray_died(self, pid: int, usage: Any) -> list[Attempt]:
        attempt = self.attempts.get(self.strays.pop(pid, 0))
        if attempt is None:
            return []
        attempt.strays.discard(pid)
        attempt.note_usage(usage)
        return [attempt]

    def find_strays(self) -> None:
        """Whose parent died is our child now; its cookie says which attempt it belongs to."""
        for pid in proc.children(self._pid):
            if pid in self.roots or pid in self.strays:
                continue
            number = proc.attempt_of(proc.read_cookie(pid), self.instance) or self._by_session(pid)
            attempt = self.attempts.get(number)
            self.strays[pid] = number
            if attempt is not None:
                attempt.strays.add(pid)
            else:
                trees.kill(trees.Tree({pid}, set(), pid, self.cookie(number)))

    def _by_session(self, pid: int) -> int:
        """A process that took its cookie off may still be in the session of its attempt; else it is nobody's."""
        found = proc.stat(pid)
        owner = self.roots.get(found.session) if found else None
        return owner.number if isinstance(owner, Attempt) else 0

    def look_at_end(self, attempt: Attempt) -> None:
        """After its root or a stray died: it has ended, or what is left of its tree is asked to end."""
        if attempt.outcome is None and not self.pool.left(attempt):
            return
        if self.attempts.get(attempt.number) is not attempt:
            return
        if not attempt.strays and not self.pool.leftovers(attempt):
            self._conclude(attempt)
        elif attempt.grace_timer is None:
            trees.ask_to_end(self.ending.tree(attempt), signal.SIGTERM)
            attempt.grace_timer = self.loop.later(min(attempt.grace_s, DRAIN_S), lambda: self.ending.kill(attempt))

    def _conclude(self, attempt: Attempt) -> None:
        self._let_go(attempt)
        block = attempt.block
        if block is not None and attempt.has_rows:  # its page tells how its rows ended
            self._keep(attempt, block)
            self.queue.release(attempt.number)
            return
        self.limits.end(attempt)
        found: Exit = {
            "a": attempt.number, "at": time.time_ns(), "o": attempt.final_outcome(), "cpu": attempt.cpu_ns,
            "rss": attempt.rss_bytes,
        }  # fmt: skip
        found |= attempt.result or (take_result(self.places.result(attempt.number)) if attempt.tree_pid else {})
        if attempt.log_fd >= 0:
            self.logs.close(attempt)
        if attempt.slice is not None and attempt.slice[2]:
            found["log"] = attempt.slice
        if "measure" in attempt.order:
            found["m"] = self.measuring.take(attempt)
        self._ended.append(found)
        took_ns = attempt.took_ns or (found["at"] - attempt.order["at"] if attempt.tree_pid else 0)
        sent = self.pool.behind(attempt)
        self.queue.release(attempt.number, succeeded=is_success(found), took_s=took_ns / 1e9, sent=sent)
        if block is not None:
            self._spent[attempt.number] = block

    def _keep(self, attempt: Attempt, block: Block) -> None:
        """A block is over: its page stays until the engine has all of it on disk."""
        if attempt.known:
            block.remove()
            self.spool.forget([attempt.number])
        else:
            self.kept[attempt.number] = block

    def _let_go(self, attempt: Attempt) -> None:
        for timer in (attempt.wall_timer, attempt.grace_timer, attempt.silence_timer, attempt.settle_timer):
            if timer is not None:
                timer.cancel()
        del self.attempts[attempt.number]
        if attempt.watched:
            self.meter.forget(attempt)
        self.ending.forget(attempt)

    def _end_unspooled(self, number: int, outcome: dict[str, Any]) -> None:
        """It never had an intent, or none that could be written: nothing is to be remembered."""
        now = time.time_ns()
        self._report.now([["exit", {"a": number, "at": now, "o": outcome}]])
        self.queue.release(number)

    # --- the end of a turn ------------------------------------------------------------------------------------------

    def _finish_turn(self) -> None:
        orders = self._save()
        while orders or self.queue.ready:
            self._start(orders)
            orders = self._save()
        self.logs.drop_spare()
        self.pool.flush()
        self._report.end_turn()
        self.pool.report()
        if self._leaving is not None and not self.attempts:
            self._leave(self._leaving)

    def _save(self) -> list[Order]:
        """Write the ends, and with them the intents of all that is ready; the orders that may be started now. An end
        that finds no room is tried again; an intent is not."""
        orders = list(self.queue.ready.values())
        self.queue.ready.clear()
        if orders:
            ends = [] if self._spool_timer else self._ended
            try:
                self.spool.write(ends, [(order["attempt"], order["count"]) for order in orders])
            except (SpoolFull, OSError) as error:
                for order in orders:
                    self._end_unspooled(order["attempt"], {"kind": "not_started", "why": f"the spool is full: {error}"})
                orders = []
            else:
                self._saved(ends)
        self._save_ends()
        return orders

    def _save_ends(self) -> None:
        if not self._ended or self._spool_timer:
            return
        try:
            self.spool.end(self._ended)
        except (SpoolFull, OSError):
            self._spool_timer = True
            self.loop.later(_SPOOL_AGAIN_S, self._save_again)
        else:
            self._saved(self._ended)

    def _saved(self, ends: list[Exit]) -> None:
        self._report.soon(["exit", found] for found in ends)
        for number in self._spent and self._spent.keys() & {found["a"] for found in ends}:
            self._spent.pop(number).remove()
        self._ended = self._ended[len(ends) :]

    def _save_again(self) -> None:
        self._spool_timer = False
        self._report.now()
        self._save_ends()

    def tell_soon(self, fact: Fact) -> None:
        """A fact that the engine has to decide on: it is told at the end of the turn."""
        self._report.now([fact])

    def tell(self, message: Message) -> None:
        if self.engine is not None:
            self.engine.send(message)

    # --- leaving ----------------------------------------------------------------------------------------------------

    def _shutdown(self, peer: Peer, kill: bool) -> None:
        """End this process, and with `kill` first what runs; without it, refuse while something does."""
        if self.attempts and not kill:
            peer.send(["busy", len(self.attempts)])
            return
        self._leaving = peer
        self.queue.clear()
        for attempt in list(self.attempts.values()):
            self.ending.whole(attempt, {"kind": "cancelled", "why": "the engine was shut down"})

    def _leave(self, peer: Peer) -> None:
        self.pool.close_all()
        self.spool.close()
        peer.send(["bye"])
        self.loop.stop()


def main(words: list[str]) -> NoReturn:
    """`launcher HOME RUN_DIR LOGS SLOT INSTANCE`: serve until told to end; exit 3 when the slot is taken."""
    places = Places(Path(words[0]), Path(words[1]), Path(words[2]))
    slot, instance = int(words[3]), int(words[4])
    begin(places.lock(f"launcher-{slot}"))
    raise_file_limit()
    loop = Loop()
    launcher = Launcher(loop, places, slot, instance)
    serve_until_stopped(loop, places.socket(f"launcher-{slot}"), launcher.on_message, launcher.on_close)
