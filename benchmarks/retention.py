"""What do those who run feel of it when a million finished tasks are forgotten, or the state is copied?

A stream of small durable commits goes on meanwhile, through the engine's writer thread and in its loop's way: retention
in steps with rests between, the backup in a thread. What counts is how much later than alone a commit is on disk.
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import trio

from benchmarks import lab
from benchmarks.store import World
from engine.core.state import RunState
from engine.daemon.tending import BETWEEN_STEPS_S
from engine.store.backup import backup
from engine.store.environment import Environment, open_environment
from engine.store.retention import Retention, RetentionSettings, logs_removed
from engine.store.writer import Committer, Writer

BATCH = 1_000
ALONE_S = 5.0
LIVE_ROWS = 1_000_000
REST_S = 0.002
"""Between two commits of the stream: it is one of many who write, not the only one."""


def filled(environment: Environment, world: World, runs: int, rows: int) -> None:
    """Finished runs of so many rows each, with all that is kept of them."""
    committer = Committer(environment, 0)
    for number in range(1, runs + 1):
        committer.commit(world.encode(world.begin_run(number, rows)))
        run = world.state.runs[number]
        for changes in world.attempts_in_batches(run, rows, BATCH):
            committer.commit(world.encode(changes))
        committer.commit(world.encode(world.end_run(run)))
        del world.state.runs[number]


class Stream:
    """Orders of one attempt each, committed one after the other, with the milliseconds that each took."""

    def __init__(self, world: World, writer: Writer, run: RunState) -> None:
        self._world, self._writer, self._run = world, writer, run
        self._next = 0

    async def during(self, work: Callable[[], Awaitable[object]]) -> tuple[list[float], float]:
        """The commits' times while the work goes on, and the seconds that it took."""
        times: list[float] = []
        done = trio.Event()

        async def stream() -> None:
            while not done.is_set():
                batch = self._world.encode(self._world.order(self._run, range(self._next, self._next + 1)))
                self._world.state.attempts.clear()
                self._next += 1
                begin = time.perf_counter()
                await self._writer.commit(batch)
                times.append((time.perf_counter() - begin) * 1e3)
                await trio.sleep(REST_S)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream)
            begin = time.perf_counter()
            await work()
            seconds = time.perf_counter() - begin
            done.set()
        return times, seconds


async def forget(writer: Writer, now_ns: int, live: set[int]) -> int:
    """Apply retention as the engine does; the records that were deleted."""
    retention = Retention(RetentionSettings(runs_count=0, journal_batches=0))
    deleted, more = 0, True
    while more:
        step = await writer.run(lambda edit: retention.step(edit, now_ns, live))
        await writer.run(partial(logs_removed, runs=step.logs))
        deleted += step.deleted
        more = step.more or bool(step.logs)
        await trio.sleep(BETWEEN_STEPS_S)
    return deleted


async def measure(environment: Environment, world: World, folder: Path, runs: int, rows: int) -> list[lab.Record]:
    """Alone, during a backup, during retention; each once."""
    size = environment.used_bytes()
    live = runs + 1
    found = [lab.one("store of finished runs", "bytes/task", size / runs / rows, tasks=runs * rows)]
    async with Writer(environment, world.state.meta.revision) as writer:
        await writer.commit(world.encode(world.begin_run(live, LIVE_ROWS)))
        stream = Stream(world, writer, world.state.runs[live])
        deleted = 0

        async def forgetting() -> None:
            nonlocal deleted
            deleted = await forget(writer, world.now_ns, {live})

        copying = partial(trio.to_thread.run_sync, backup, environment, folder / "backup")
        for what, work in (
            ("alone", partial(trio.sleep, ALONE_S)), ("during a backup", copying), ("during retention", forgetting),
        ):  # fmt: skip
            times, seconds = await stream.during(work)
            found += lab.spread("a small commit", "ms", times, contender=what)
            if what != "alone":
                found.append(lab.one(f"a small commit {what}, longest", "ms", max(times)))
                found.append(lab.one(f"seconds {what}", "s", seconds, bytes=size, tasks=runs * rows))
    found.append(lab.one("retention: records deleted, commits going on", "records/s", deleted / seconds, all=deleted))
    return found


def run(options: lab.Options) -> list[lab.Record]:
    """Twenty runs of 50,000 tasks."""
    runs, rows = (4, 2_000) if options.quick else (20, 50_000)
    with lab.folder() as folder:
        world = World(rows)
        environment = open_environment(folder / "state")
        lab.say(f"retention: writing {runs * rows:,} finished tasks")
        filled(environment, world, runs, rows)
        found = trio.run(measure, environment, world, folder, runs, rows)
        environment.close()
    return found
