"""The engine's side of the world of processes: orders out to launchers, facts back, and nothing decided here.

Theory. The executor remembers for every attempt that was ordered and has not ended: its order, the launcher that it
was sent to, whether it was seen to start, and whether it shall stop. A launcher's welcome, on every new connection,
lists what it runs, holds and has ended; comparing the two tells everything: an attempt that the launcher does not know
was never started (its intent would be in the spool) and is sent again, unless the spool is damaged, which proves
nothing, so that it is lost. An attempt that nobody here knows is killed.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import trio

from engine.core.effects import ResumeAttempt, StartAttempt, StopAttempt, SuspendAttempt
from engine.core.events import (
    AttemptExited,
    AttemptLost,
    AttemptNeverStarted,
    AttemptResumed,
    AttemptStarted,
    AttemptSuspended,
    BlockStarted,
    LogSlice,
    RowsReturned,
)  # fmt: skip
from engine.execution import wire
from engine.execution.environment import Environments, launcher_order
from engine.execution.facts import AttemptEvent, exited, succeeded
from engine.execution.keeping import KeeperLine
from engine.execution.link import Link, Welcome
from engine.execution.places import Places
from engine.model.campaign import NoiseLimits
from engine.model.errors import Unavailable
from engine.model.status import Outcome, OutcomeKind

_ORDERS_A_FRAME = 500
_METER_S = 2.0
_METER_AGAIN_S = 0.05
_SHUTDOWN_S = 30.0


class Rows(NamedTuple):
    """Of an order: how many of its rows have ended, from which on they were given back, whether it is a block."""

    done: int = 0
    limit: int = 1
    block: bool = False


class _Live:
    """An attempt or a block that was ordered and has not ended. `order` is None when an earlier engine sent it."""

    __slots__ = ("link", "order", "pid", "rows", "stops", "wanted")

    def __init__(self, order: StartAttempt | None, link: Link, rows: Rows) -> None:
        self.order = order
        self.link = link
        self.rows = rows
        self.pid = 0
        self.stops: dict[int, StopAttempt] = {}
        """By row."""
        self.wanted: SuspendAttempt | ResumeAttempt | None = None
        """Whether it shall stand still, as far as this engine has said."""


class Executor:
    """The local executor. `home` is the state folder, `run_dir` holds the sockets, `logs` the log files.

    `report` is called in the trio thread with each batch of facts, while `run` runs. `noise` says when a trial counts
    as disturbed.
    """

    def __init__(
        self,
        *,
        home: Path,
        run_dir: Path,
        logs: Path,
        instance: int,
        epoch: int,
        launchers: int,
        report: Callable[[list[AttemptEvent]], None],
        noise: NoiseLimits = NoiseLimits(),  # noqa: B008 - frozen
    ) -> None:
        self._places = Places(home.absolute(), run_dir.absolute(), logs.absolute())
        self._instance = instance
        self._epoch = epoch
        self._report = report
        self._noise = noise
        self._keeper = KeeperLine(self._places, instance, launchers, self._slots_changed)
        self._links: dict[int, Link] = {}
        self._live: dict[int, _Live] = {}
        self._ended: dict[int, Link | None] = {}
        self._unproved: set[int] = set()
        self._shared: tuple[int, ...] = ()
        self._environments = Environments(os.environ)
        self._nursery: trio.Nursery | None = None
        self._meter: trio.SocketStream | None = None
        self._meter_lock = trio.Lock()

    # --- the beginning ------------------------------------------------------------------------------------------------

    async def connect(self, expected: Mapping[int, Rows]) -> list[AttemptEvent]:
        """Find or start the keeper, connect to all launchers, and say what became of the attempts that the state
        expects to be ordered or running; of blocks, that follows. What runs and is not expected is killed. Raises
        link.Refused when a newer engine has the launchers, OSError when no keeper can be started.
        """
        try:
            return await self._connect(expected)
        except BaseException:
            with trio.CancelScope(shield=True):
                await self.aclose()
            raise

    async def _connect(self, expected: Mapping[int, Rows]) -> list[AttemptEvent]:
        for slot in await self._keeper.connect():
            self._links[slot] = self._new_link(slot)
        welcomes: dict[int, Welcome] = {}

        async def open_one(link: Link) -> None:
            welcomes[link.slot] = await link.open()

        async with trio.open_nursery() as nursery:
            for link in self._links.values():
                nursery.start_soon(open_one, link)
        for slot, welcome in welcomes.items():
            link = self._links[slot]
            for number in (*welcome["held"], *(entry[0] for entry in welcome["running"])):
                if number in expected:
                    self._add(number, _Live(None, link, expected[number]))
            for found in welcome["exits"]:
                if found["a"] in expected:
                    self._add(found["a"], _Live(None, link, expected[found["a"]]))
        events = self._unknown({number: rows for number, rows in expected.items() if number not in self._live})
        for slot, welcome in welcomes.items():
            events += self._compare(self._links[slot], welcome)
        return events

    def _new_link(self, slot: int) -> Link:
        return Link(self._places, slot, self._instance, self._epoch, self._keeper.complain)

    def _unknown(self, orders: Mapping[int, Rows]) -> list[AttemptEvent]:
        damaged = [str(link.slot) for link in self._links.values() if link.damaged]
        events: list[AttemptEvent] = []
        for number, rows in sorted(orders.items()):
            if damaged:
                events += self._lost(number, rows, f"the spool of launcher {', '.join(damaged)} is damaged")
            else:
                events.append(_never_started(number, rows, "no launcher had begun it"))
        return events

    def _lost(self, number: int, rows: Rows, why: str) -> list[AttemptEvent]:
        self._unproved.add(number)
        self._ended[number] = None
        block = number if rows.block else 0
        return [AttemptLost(number + row, time.time_ns(), why, block) for row in range(rows.done, rows.limit)]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow keeper and launchers until cancelled. Raises link.Refused when another engine takes over."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._keeper.follow)
            for link in self._links.values():
                nursery.start_soon(self._follow, link)
            task_status.started()

    async def _follow(self, link: Link) -> None:
        while True:
            await link.serve(self._heard)
            welcome = await link.open()
            events = self._compare(link, welcome)
            if events:
                self._report(events)

    def _slots_changed(self, slots: Iterable[int]) -> None:
        """The keeper has launchers that were not there when this engine came."""
        for slot in slots:
            if slot not in self._links and self._nursery is not None:
                self._links[slot] = self._new_link(slot)
                self._nursery.start_soon(self._follow, self._links[slot])

    # --- comparing ----------------------------------------------------------------------------------------------------

    def _compare(self, link: Link, welcome: Welcome) -> list[AttemptEvent]:
        """The facts that the welcome adds to what is known, and orders to the launcher for what must be put right."""
        events: list[AttemptEvent] = []
        foreign: list[list[Any]] = []
        known: set[int] = set(welcome["held"])
        for found in welcome["running"]:
            known.add(found[0])
            events += self._started(*found)
        foreign = [[number, True] for number in known if number not in self._live and number not in self._ended]
        stale: list[int] = []
        for found in welcome["exits"]:
            known.add(found["a"])
            if found["a"] in self._live:
                events += self._fact(link, ["exit", found])
            elif found["a"] not in self._ended:
                stale.append(found["a"])
        if self._shared:
            link.post(wire.pack(["share", self._shared]))
        if foreign:
            link.post(wire.pack(["stop", foreign]))
        if stale:
            link.post(wire.pack(["ack", stale]))
        events += self._settle_frozen(link, welcome["frozen"], known)
        self._send_stops(link, known)
        return events + self._missing(link, known)

    def _settle_frozen(self, link: Link, frozen: list[list[int]], known: set[int]) -> list[AttemptEvent]:
        """What stands still is told, with the order that made it so; what was ordered is ordered once more, as it may
        have been lost."""
        again = [
            _freeze_order(live.wanted)
            for number, live in self._live.items()
            if live.link is link and number in known and live.wanted is not None
        ]
        if again:
            link.post(wire.pack(["freeze", again]))
        now_ns = time.time_ns()
        return [
            AttemptSuspended(number, now_ns, turn, size)
            for number, turn, size in sorted(frozen)
            if number in self._live
        ]

    def _send_stops(self, link: Link, known: set[int]) -> None:
        stops = [
            _stop_order(stop)
            for number, live in self._live.items()
            if live.link is link and number in known
            for stop in live.stops.values()
        ]
        if stops:
            link.post(wire.pack(["stop", stops]))

    def _missing(self, link: Link, known: set[int]) -> list[AttemptEvent]:
        """Orders that the launcher never began: sent again, ended if they shall stop, lost if nothing is proved."""
        events: list[AttemptEvent] = []
        again: list[StartAttempt] = []
        for number, live in list(self._live.items()):
            if live.link is not link or number in known:
                continue
            self._remove(number)
            if link.damaged or live.pid:
                events += self._lost(number, live.rows, f"launcher {link.slot} lost its spool")
            elif live.stops and not live.rows.block:
                self._ended[number] = None
                cancelled = Outcome(OutcomeKind.CANCELLED, why="recalled before it started")
                events.append(AttemptExited(number, time.time_ns(), cancelled))
            elif live.order is None or live.stops:
                events.append(_never_started(number, live.rows, "its launcher died before it began"))
            else:
                again.append(live.order)
        self._settle()
        self.start(again)
        return events

    # --- orders -------------------------------------------------------------------------------------------------------

    def start(self, orders: Sequence[StartAttempt]) -> None:
        """Send the orders. One that inherits a claim goes to the launcher of the attempt that it inherits from."""
        frames: dict[int, list[dict[str, Any]]] = {}
        for order in orders:
            if order.attempt in self._live:
                continue
            leader = self._live.get(order.claim_from)
            link = leader.link if leader is not None else self._least_loaded()
            self._add(order.attempt, _Live(order, link, Rows(0, order.count, order.count > 1)))
            table = self._environments.table(order)
            if table[0] not in link.tables and link.connected:
                link.tables.add(table[0])
                link.post(wire.pack(["env", *table]))
            frames.setdefault(link.slot, []).append(launcher_order(order, table, self._noise))
        for slot, entries in frames.items():
            for first in range(0, len(entries), _ORDERS_A_FRAME):
                self._links[slot].post(_pack(["start", entries[first : first + _ORDERS_A_FRAME]]))

    def _least_loaded(self) -> Link:
        return min(self._links.values(), key=lambda link: (not link.connected, link.load, link.slot))

    def stop(self, orders: Sequence[StopAttempt]) -> None:
        """Pass the orders on; they are repeated to a launcher that is replaced before it obeyed."""
        by_slot: dict[int, list[list[Any]]] = {}
        for order in orders:
            live = self._live.get(order.attempt)
            if live is not None:
                live.stops[order.row] = order
                by_slot.setdefault(live.link.slot, []).append(_stop_order(order))
        for slot, entries in by_slot.items():
            self._links[slot].post(wire.pack(["stop", entries]))

    def freeze(self, orders: Sequence[SuspendAttempt | ResumeAttempt]) -> None:
        """Pass the orders on, in their order; they are repeated to a launcher that was not there."""
        by_slot: dict[int, list[list[Any]]] = {}
        for order in orders:
            live = self._live.get(order.attempt)
            if live is not None:
                live.wanted = order
                by_slot.setdefault(live.link.slot, []).append(_freeze_order(order))
        for slot, entries in by_slot.items():
            self._links[slot].post(wire.pack(["freeze", entries]))

    def recall(self, attempts: Sequence[int]) -> None:
        """Ask for orders back of which nothing has begun; each that comes back is reported as never started."""
        by_slot: dict[int, list[int]] = {}
        for number in attempts:
            live = self._live.get(number)
            if live is not None:
                by_slot.setdefault(live.link.slot, []).append(number)
        for slot, numbers in by_slot.items():
            self._links[slot].post(wire.pack(["recall", numbers]))

    def share(self, cpus: Sequence[int]) -> None:
        """Attempts that are not pinned keep to these CPUs, also in launchers that come later."""
        self._shared = tuple(cpus)
        for link in self._links.values():
            link.post(wire.pack(["share", self._shared]))

    def acknowledge(self, attempts: Sequence[int]) -> None:
        """The ends are on disk: their launchers may forget them."""
        by_slot: dict[int, list[int]] = {}
        for number in attempts:
            link = self._ended.pop(number, None)
            if link is not None:
                by_slot.setdefault(link.slot, []).append(number)
            self._unproved.discard(number)
        for slot, entries in by_slot.items():
            self._links[slot].post(wire.pack(["ack", entries]))
        self._settle()

    def _settle(self) -> None:
        """When every attempt that a damaged spool could not answer for is settled, the damage is of the past."""
        if self._unproved:
            return
        for link in self._links.values():
            if link.damaged and link.connected:
                link.damaged = False
                link.post(wire.pack(["settled"]))

    def _add(self, number: int, live: _Live) -> None:
        self._live[number] = live
        live.link.load += 1

    def _remove(self, number: int) -> None:
        live = self._live.pop(number, None)
        if live is not None:
            live.link.load -= 1

    # --- facts --------------------------------------------------------------------------------------------------------

    def _heard(self, link: Link, messages: list[wire.Message]) -> None:
        events: list[AttemptEvent] = []
        for message in messages:
            if message[0] == "report":
                for fact in message[1]:
                    events += self._fact(link, fact)
            elif message[0] == "workers":
                link.workers = message[1]
        if events:
            self._report(events)

    def _fact(self, link: Link, fact: list[Any]) -> Sequence[AttemptEvent]:
        kind = fact[0]
        if kind == "started":
            return self._started(*fact[1:])
        if kind in ("suspended", "resumed"):
            told = AttemptSuspended if kind == "suspended" else AttemptResumed
            return [told(*fact[1:])] if fact[1] in self._live else []
        if kind == "returned":
            return self._returned(link, *fact[1:])
        if kind == "span":
            return self._rows(link, fact[1], fact[2] + fact[3], lambda: succeeded(fact[1:]))
        found = fact[1]
        number = found.get("b") or found["a"]
        live = self._live.get(number)
        if live is not None and live.rows.block and "b" not in found:  # its spool knows no more than that it began
            self._remove(number)
            return self._lost(number, live.rows, found["o"].get("why", "its launcher lost its page"))
        if live is not None and live.rows.block:
            return self._rows(link, number, found["a"] - number + 1, lambda: (exited(found),))
        if live is not None:
            return [self._exit(link, found)]
        if number not in self._ended:
            link.post(wire.pack(["ack", [number]]))
        return []

    def _rows(
        self, link: Link, number: int, done: int, events: Callable[[], Sequence[AttemptEvent]]
    ) -> Sequence[AttemptEvent]:
        """Rows of a block have ended, so that `done` of them have."""
        live = self._live.get(number)
        if live is None:
            if number not in self._ended:
                link.post(wire.pack(["ack", [number]]))
            return []
        if done <= live.rows.done:
            return []
        self._move(link, number, live, live.rows._replace(done=done))
        return events()

    def _returned(self, link: Link, number: int, offset: int, why: str) -> list[AttemptEvent]:
        live = self._live.get(number)
        if live is None:
            if number not in self._ended:
                link.post(wire.pack(["ack", [number]]))
            return []
        if offset >= live.rows.limit:
            return []
        if not live.rows.block:  # the machine acknowledges ends; of what never began nothing need be kept
            link.post(wire.pack(["ack", [number]]))
        self._move(link, number, live, live.rows._replace(limit=offset))
        return [_never_started(number, live.rows._replace(done=offset), why)]

    def _move(self, link: Link, number: int, live: _Live, rows: Rows) -> None:
        """So many rows have ended or were given back; an order of which none is left has ended."""
        live.rows = rows
        if rows.done >= rows.limit:
            self._remove(number)
            if rows.block:
                self._ended[number] = link

    def _started(
        self, number: int, pid: int, ticks: int, at_ns: int, log: list[Any], levels: dict[str, str] | None = None
    ) -> list[AttemptEvent]:
        live = self._live.get(number)
        if live is None or live.pid == pid:
            return []
        live.pid = pid
        slice_ = LogSlice(log[0], log[1])
        if live.rows.block:
            return [BlockStarted(number, at_ns, pid, ticks, slice_)]
        return [AttemptStarted(number, at_ns, pid, ticks, slice_, tuple((levels or {}).items()))]

    def _exit(self, link: Link, found: dict[str, Any]) -> AttemptEvent:
        self._remove(found["a"])
        self._ended[found["a"]] = link
        return exited(found)

    async def compile(self, words: Sequence[str], folder: str) -> bytes:
        """Have the keeper run a compiler of definitions; what it wrote. Raises Unavailable where it gave no answer."""
        done = await self._keeper.compile(list(words), folder)
        output = await trio.to_thread.run_sync(_take_file, done["path"]) if done["path"] else b""
        if done["why"] or not output:
            raise Unavailable(done["why"] or "the compiler of definitions gave no answer")
        return output

    # --- looking ------------------------------------------------------------------------------------------------------

    def processes(self) -> dict[str, Any]:
        """The pids of keeper, launchers, workers and meter; 0 for one that is being replaced."""
        return {
            "keeper": self._keeper.pid,
            "launchers": [link.pid if link.connected else 0 for link in self._links.values()],
            "workers": sorted(pid for link in self._links.values() for pid in link.workers),
            "meter": self._keeper.meter_pid,
        }

    async def host_use(self) -> dict[str, Any] | None:
        """CPU percent, memory and load of the host; None while there is no meter."""
        answer = await self._ask_meter(["host"])
        return answer[1] if answer else None

    async def memory_of(self, attempts: Sequence[int]) -> dict[int, int]:
        """Bytes that the trees of running attempts use now; those that are not running are left out."""
        pids = [[number, live.pid] for number in attempts if (live := self._live.get(number)) and live.pid]
        answer = await self._ask_meter(["memory", pids]) if pids else None
        return {number: size for number, size in answer[1] if size} if answer else {}

    async def cpu_of_ours(self) -> int | None:
        """CPU time in ns that the engine, its helpers and all that they run have used so far; None without a meter."""
        known = self.processes()
        pids = [os.getpid(), known["keeper"], known["meter"], *known["launchers"], *known["workers"]]
        answer = await self._ask_meter(["cpu", [pid for pid in pids if pid]])
        return answer[1] if answer else None

    async def _ask_meter(self, message: wire.Message) -> wire.Message | None:
        async with self._meter_lock:
            with trio.move_on_after(_METER_S):
                try:
                    return await self._exchange(message)
                except (OSError, wire.WireError, trio.BrokenResourceError, trio.ClosedResourceError):
                    pass
            if self._meter is not None:
                await trio.aclose_forcefully(self._meter)
                self._meter = None
            return None

    async def _exchange(self, message: wire.Message) -> wire.Message:
        if self._meter is None:
            self._meter = await self._connect_meter()
        await self._meter.send_all(wire.pack(message))
        inbox = wire.Inbox()
        while data := await self._meter.receive_some(65536):
            answers = inbox.feed(bytes(data))
            if answers:
                return answers[0]
        raise ConnectionResetError("the meter closed the connection")

    async def _connect_meter(self) -> trio.SocketStream:
        """A meter that is just being started or replaced is waited for."""
        while True:
            try:
                sock = wire.connect(self._places.socket("meter"))
            except OSError:
                await trio.sleep(_METER_AGAIN_S)
                continue
            sock.settimeout(0)
            return trio.SocketStream(trio.socket.from_stdlib_socket(sock))

    async def shutdown(self, kill: bool) -> bool:
        """End keeper, launchers, workers and meter; with `kill` also what runs. False when attempts still run."""
        with trio.move_on_after(_SHUTDOWN_S):
            return await self._keeper.shutdown(kill)
        return False

    async def aclose(self) -> None:
        """Close the connections; everything that runs goes on."""
        for link in self._links.values():
            await link.aclose()
        await self._keeper.aclose()
        if self._meter is not None:
            with contextlib.suppress(OSError):
                await trio.aclose_forcefully(self._meter)


def _never_started(number: int, rows: Rows, why: str) -> AttemptEvent:
    return RowsReturned(number, rows.done, why) if rows.block else AttemptNeverStarted(number, why)


def _freeze_order(order: SuspendAttempt | ResumeAttempt) -> list[Any]:
    cpus = order.cpus if isinstance(order, ResumeAttempt) else ()
    return [order.attempt, isinstance(order, SuspendAttempt), order.turn, cpus]


def _stop_order(order: StopAttempt) -> list[Any]:
    return [order.attempt, order.kill, order.row]


def _take_file(path: str) -> bytes:
    """Read and remove; nothing where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
    finally:
        Path(path).unlink(missing_ok=True)


def _pack(message: wire.Message) -> bytes:
    """As wire.pack, faster; it cannot encode lone surrogates, which only file names can hold."""
    try:
        return wire.frame(msgspec.json.encode(message))
    except (UnicodeEncodeError, msgspec.MsgspecError):
        return wire.pack(message)
