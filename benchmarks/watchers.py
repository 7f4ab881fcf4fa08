"""What do those who look on cost: 0, 1, 20 and 100 subscribers of one run that changes a thousand times a second?

Each subscriber is a socket of its own that follows what a console's run screen follows. The rows are Python calls that
sleep, on so many slots that starts and ends make about a thousand changes a second. An end's delay is from its instant
(by the engine's clock, which follows this host's) to the arrival of the first count that includes it.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks import lab
from benchmarks.cpu import used_by
from benchmarks.peers.kit import Work
from benchmarks.python_tasks import as_workflow
from benchmarks.python_tasks import ours as python_ours
from engine.model.ids import parse_run
from engine.model.instants import from_text
from engine.protocol.framing import FrameBuffer, decode_reply, frame
from engine.protocol.messages import (
    PROTOCOL,
    Delta,
    GetRun,
    Hello,
    ListGroups,
    ListTasks,
    Refused,
    Snapshot,
    Subscribe,
)
from engine.protocol.rows import TaskRow
from orchctl.client.connection import REPLY_BYTES_MAX
from orchctl.client.session import typed
from orchctl.paths import Home, socket_address

WATCHERS = (0, 1, 20, 100)
CHANGES_PER_S = 1_000
NAP_S = 0.05
SLOTS = round(CHANGES_PER_S / 2 * NAP_S)
CONFIG = f"[host]\ncpus = {SLOTS}\n"
RATE = 10.0
"""Updates a second, as the console asks for."""
WINDOW_ROWS = 50
_READ_BYTES = 256 * 2**10
_RUN, _GROUPS, _ROWS = 2, 3, 4
"""The numbers of the subscriptions."""


class Watcher:
    """One subscriber: bytes and updates received; when it knew of how many rows that they had succeeded."""

    def __init__(self, run: int) -> None:
        self._run = run
        self.bytes = 0
        self.updates = 0
        self.known: list[tuple[int, int]] = []
        self._news = asyncio.Event()

    async def watch(self, home: Home) -> None:
        """Follow the run until cancelled."""
        with socket_address(home.socket_text) as address:
            reader, writer = await asyncio.open_unix_connection(address)
        try:
            writer.write(frame(Hello(id=1, protocol=PROTOCOL, via="console", read_only=True)))
            rows = ListTasks(run=self._run, sort="attention", limit=WINDOW_ROWS)
            for number, view in ((_RUN, GetRun(run=self._run)), (_GROUPS, ListGroups(run=self._run)), (_ROWS, rows)):
                writer.write(frame(Subscribe(id=number, view=view, rate=RATE)))
            buffer = FrameBuffer(REPLY_BYTES_MAX)
            while data := await reader.read(_READ_BYTES):
                now_ns = time.time_ns()
                self.bytes += len(data)
                for body in buffer.feed(data):
                    self._take(decode_reply(body), now_ns)
        finally:
            writer.close()

    async def knows(self, tasks: int) -> None:
        """Until it has heard that so many rows have succeeded."""
        while not self.known or self.known[-1][1] < tasks:
            self._news.clear()
            await self._news.wait()

    def _take(self, reply: object, now_ns: int) -> None:
        if isinstance(reply, Refused):
            raise RuntimeError(f"a subscriber was refused: {reply.sentence}")
        if not isinstance(reply, Snapshot | Delta):
            return
        self.updates += 1
        if reply.id == _RUN and reply.rows:
            self.known.append((now_ns, reply.rows[0]["tasks"].get("succeeded", 0)))
            self._news.set()


def delays_ms(ends_ns: list[int], known: list[tuple[int, int]]) -> list[float]:
    """From each end to the arrival of the first count that includes it; what the first count held is left out."""
    found: list[float] = []
    done = known[0][1] if known else 0
    for at_ns, count in known:
        found += [(at_ns - end_ns) / 1e6 for end_ns in ends_ns[done:count]]
        done = max(done, count)
    return found


@asynccontextmanager
async def watching(home: Home, run: int, count: int) -> AsyncIterator[list[Watcher]]:
    """So many subscribers, gone at the end; one that breaks breaks the measurement."""
    watchers = [Watcher(run) for _ in range(count)]
    tasks = [asyncio.create_task(watcher.watch(home)) for watcher in watchers]
    try:
        yield watchers
        broken = [task for task in tasks if task.done()]
        if broken:
            await asyncio.gather(*broken)
            raise RuntimeError(f"{len(broken)} of {count} subscribers were dropped")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _informed(watchers: list[Watcher], tasks: int) -> None:
    """Until all know of the last end. Raises TimeoutError."""
    async with asyncio.timeout(10):
        for watcher in watchers:
            await watcher.knows(tasks)


async def measure(bench: lab.Engine, tasks: int, count: int) -> dict[tuple[str, str], float]:
    """One run under so many eyes."""
    engine = bench.status().pid
    flow = bench.file("naps.yaml", as_workflow(Work(calls=tasks, seconds=NAP_S)))
    run = parse_run(bench.rows("submit", str(flow))[0]["run"])
    before, begin = used_by(engine), time.perf_counter()
    async with watching(Home(bench.home), run, count) as watchers:
        with bench.session() as session:
            await asyncio.to_thread(lab.finished, session, run)
        seconds, used = time.perf_counter() - begin, used_by(engine) - before
        await _informed(watchers, tasks)
    with bench.session() as session:
        rows = typed(list(session.pages(ListTasks(run=run, limit=1000))), TaskRow)
    ends = sorted(from_text(row.finished_at or "") for row in rows)
    figures = {
        ("changes", "changes/s"): 2 * tasks / seconds,
        ("engine CPU", "% of a core"): 100 * used.own_s / seconds,
        ("engine CPU a change", "us"): used.own_s / tasks / 2 * 1e6,
    }
    if count:
        delays = [delay for watcher in watchers for delay in delays_ms(ends, watcher.known)]
        figures |= {
            ("delay p50", "ms"): lab.percentile(delays, 50),
            ("delay p99", "ms"): lab.percentile(delays, 99),
            ("bytes to each", "kB/s"): sum(watcher.bytes for watcher in watchers) / count / seconds / 1e3,
            ("updates to each", "a second"): sum(watcher.updates for watcher in watchers) / count / seconds,
        }
    return figures


def run(options: lab.Options) -> list[lab.Record]:
    """All numbers of subscribers, one after the other, in one engine."""
    tasks = 1_000 if options.quick else 10_000
    sizes: dict[int, dict[tuple[str, str], float]] = {}
    with lab.engine(CONFIG) as bench:
        python_ours(bench)(Work(calls=200, seconds=NAP_S))
        for count in WATCHERS:
            lab.say(f"watchers: {count}")
            sizes[count] = asyncio.run(measure(bench, tasks, count))
    found: list[lab.Record] = []
    for what, unit in sizes[WATCHERS[-1]]:
        values = {f"{n} watchers": figures[what, unit] for n, figures in sizes.items() if (what, unit) in figures}
        found += lab.series(f"watched run: {what}", unit, values, tasks=tasks, rate=RATE)
    return found
