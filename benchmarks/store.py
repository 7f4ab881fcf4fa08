"""How many commits a second, how many bytes an attempt, how long a start takes.

The disk decides the rates, so each is compared with what a bare append and fdatasync of as many bytes reaches on the
same disk in the same run.
"""

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import trio

from benchmarks import lab
from engine.core.changes import AuditEntry, Changes
from engine.core.events import (
    Actor,
    AttemptExited,
    AttemptOrdered,
    AttemptStarted,
    LogSlice,
    RunFinished,
    RunQueued,
    TaskFinished,
    Usage,
)
from engine.core.state import CHUNK_ROWS, Attempt, EngineState, Meta, RunHeader, RunState
from engine.model.resources import Capacity, Claim
from engine.model.status import SUCCESS, AttemptStatus, RunStatus, TaskStatus
from engine.model.workflow import Command, Task, Workflow
from engine.planning.plan import Plan, make_plan
from engine.store.environment import Environment, open_environment
from engine.store.load import load_state
from engine.store.queries import runs_page
from engine.store.records import Batch, encode_batch
from engine.store.retention import Retention, RetentionSettings, logs_removed
from engine.store.writer import Committer, Writer

HOST = Capacity(10**9, 0)
START_NS = 1_700_000_000 * 10**9


class World:
    """A state whose one run lets its rows be ordered, started and ended in batches of any size."""

    def __init__(self, rows: int) -> None:
        self.state = EngineState(Meta(instance=1, seed=1), HOST)
        workflow = Workflow("bench", (Task("many", Command(("true",)), for_each=f"{{{{ range({rows}) }}}}"),))
        self.plan: Plan = make_plan(workflow)
        self.state.plans[self.plan.version] = self.plan
        self.now_ns = START_NS

    def changes(self) -> Changes:
        self.state.meta.revision += 1
        self.now_ns += 1_234_567
        return Changes(self.state.meta.revision, self.now_ns)

    def begin_run(self, number: int, rows: int) -> Changes:
        changes = self.changes()
        header = RunHeader(
            run=number, workflow="bench", version=self.plan.version, params={}, status=RunStatus.RUNNING,
            queued_ns=self.now_ns, started_ns=self.now_ns,
        )  # fmt: skip
        run = RunState(header, self.plan)
        run.append_rows(0, rows)
        run.items[0] = range(rows)
        header.tasks, header.rows = run.mapped_tasks(), len(run.status)
        self.state.runs[number] = run
        changes.runs.add(number)
        changes.new_runs.add(number)
        changes.items.add((number, 0))
        changes.versions.add(self.plan.version)
        changes.chunks |= {(number, chunk) for chunk in range((rows + 1 + CHUNK_ROWS - 1) // CHUNK_ROWS)}
        changes.journal.append(RunQueued(number, "bench", self.plan.version))
        changes.audit.append(AuditEntry(Actor(), "submit", f"r{number}", "accepted"))
        return changes

    def order(self, run: RunState, indexes: range) -> Changes:
        changes = self.changes()
        for index in indexes:
            row = run.row(0, index)
            run.set_status(row, 0, TaskStatus.RUNNING)
            run.tries[row] = 1
            number = self.state.meta.next_attempt
            self.state.meta.next_attempt += 1
            attempt = Attempt(number, run.run, 0, index, 1, Claim(), ordered_ns=self.now_ns)
            self.state.attempts[number] = changes.attempts[number] = attempt
            changes.journal.append(AttemptOrdered(number, run.run, 0, index, 1))
            changes.chunks.add((run.run, row // CHUNK_ROWS))
        changes.runs.add(run.run)
        return changes

    def start(self) -> Changes:
        changes = self.changes()
        for number, attempt in self.state.attempts.items():
            attempt.status, attempt.pid = AttemptStatus.RUNNING, 10_000 + number % 30_000
            attempt.started_ns = self.now_ns + number % 1_000
            attempt.start_ticks = 987_654 + number
            changes.attempts[number] = attempt
            changes.journal.append(AttemptStarted(number, attempt.started_ns, attempt.pid, attempt.start_ticks))
        return changes

    def finish(self, run: RunState) -> Changes:
        changes = self.changes()
        for number, attempt in self.state.attempts.items():
            row = run.row(0, attempt.index)
            attempt.status, attempt.outcome = AttemptStatus.EXITED, SUCCESS
            attempt.finished_ns = self.now_ns + number % 1_000
            attempt.usage = Usage(1_500_000 + number % 77_777, 4_000_000 + number % 999)
            attempt.log = LogSlice(f"r{run.run}/many.{attempt.index}.1.log", 0, number % 5_000)
            run.set_status(row, 0, TaskStatus.SUCCEEDED)
            changes.attempts[number] = attempt
            exited = AttemptExited(number, attempt.finished_ns, SUCCESS, attempt.usage, attempt.log)
            changes.journal += (exited, TaskFinished(run.run, 0, attempt.index, TaskStatus.SUCCEEDED))
            changes.chunks.add((run.run, row // CHUNK_ROWS))
        changes.runs.add(run.run)
        self.state.attempts.clear()
        return changes

    def end_run(self, run: RunState) -> Changes:
        changes = self.changes()
        run.header.status, run.header.finished_ns = RunStatus.SUCCEEDED, self.now_ns
        changes.runs.add(run.run)
        changes.finished_runs.add(run.run)
        changes.journal.append(RunFinished(run.run, RunStatus.SUCCEEDED))
        return changes

    def encode(self, changes: Changes) -> Batch:
        return encode_batch(self.state, changes)

    def attempts_in_batches(self, run: RunState, rows: int, size: int) -> Iterator[Changes]:
        """Everything that happens to `rows` rows, in batches of `size` attempts."""
        for first in range(0, rows, size):
            yield self.order(run, range(first, min(first + size, rows)))
            yield self.start()
            yield self.finish(run)


def sheet(question: str, **figures: float) -> list[lab.Record]:
    """One record a figure; the figure's name is its unit."""
    return [
        lab.Record(question=question, contender="orchctl", value=float(value), unit=name)
        for name, value in figures.items()
    ]


def sync_rate(folder: Path, size: int, count: int) -> float:
    """Appends of `size` bytes, each with its own fdatasync, a second: what the disk can do."""
    fd = os.open(folder / "appends", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    data = os.urandom(size)
    start = time.perf_counter()
    for _ in range(count):
        os.write(fd, data)
        os.fdatasync(fd)
    elapsed = time.perf_counter() - start
    os.close(fd)
    (folder / "appends").unlink()
    return count / elapsed


def measure_commits(folder: Path, size: int, rows: int) -> list[lab.Record]:
    world = World(rows)
    environment = open_environment(folder / f"commits{size}")
    committer = Committer(environment, 0)
    committer.commit(world.encode(world.begin_run(1, rows)))
    run = world.state.runs[1]
    before = environment.used_bytes()
    encoding = writing = 0.0
    commits = written = 0
    for changes in world.attempts_in_batches(run, rows, size):
        start = time.perf_counter()
        batch = world.encode(changes)
        middle = time.perf_counter()
        committer.commit(batch)
        encoding += middle - start
        writing += time.perf_counter() - middle
        written += batch.size_bytes
        commits += 1
    grown_bytes = round((environment.used_bytes() - before) / rows)
    disk = sync_rate(folder, written // commits, min(commits, 300))
    environment.close()
    return sheet(
        f"store: {size} attempts a batch", commits_per_s=round(commits / writing),
        append_and_sync_per_s=round(disk), ratio=round(commits / writing / disk, 2),
        attempt_changes_per_s=round(3 * rows / (writing + encoding)),
        encode_us_per_change=round(encoding / rows / 3e-6, 2),
        write_us_per_change=round(writing / rows / 3e-6, 2),
        bytes_per_attempt=grown_bytes,
    )  # fmt: skip


def measure_thread(folder: Path, count: int) -> list[lab.Record]:
    """What the thread adds to a commit, seen from the trio program."""
    world = World(count)
    environment = open_environment(folder / "thread")

    async def through_writer() -> float:
        async with Writer(environment, 0) as writer:
            await writer.commit(world.encode(world.begin_run(1, count)))
            batches = [world.encode(world.changes()) for _ in range(count)]
            start = time.perf_counter()
            for batch in batches:
                await writer.commit(batch)
            return (time.perf_counter() - start) / count

    threaded = trio.run(through_writer)
    committer = Committer(environment, world.state.meta.revision)
    batches = [world.encode(world.changes()) for _ in range(count)]
    start = time.perf_counter()
    for batch in batches:
        committer.commit(batch)
    direct = (time.perf_counter() - start) / count
    environment.close()
    return sheet("store: what the writer thread adds", direct_us=round(direct * 1e6), threaded_us=round(threaded * 1e6))


def timed_start(folder: Path) -> tuple[float, float, Environment, EngineState]:
    """Seconds to open, seconds to load, and what was loaded."""
    start = time.perf_counter()
    environment = open_environment(folder)
    middle = time.perf_counter()
    state = load_state(environment, HOST).state
    return middle - start, time.perf_counter() - middle, environment, state


def measure_live_start(folder: Path, rows: int, live: int) -> list[lab.Record]:
    world = World(rows)
    environment = open_environment(folder / "live")
    committer = Committer(environment, 0)
    committer.commit(world.encode(world.begin_run(1, rows)))
    run = world.state.runs[1]
    for changes in world.attempts_in_batches(run, rows // 2, 2_000):
        committer.commit(world.encode(changes))
    committer.commit(world.encode(world.order(run, range(rows // 2, rows // 2 + live))))
    environment.close()
    opening, loading, environment, state = timed_start(folder / "live")
    assert len(state.attempts) == live
    environment.close()
    return sheet(
        f"store: start with a live run of {rows} rows", open_ms=round(opening * 1e3, 1), load_ms=round(loading * 1e3, 1)
    )


def measure_history_start(folder: Path, runs: int) -> list[lab.Record]:
    world = World(1)
    environment = open_environment(folder / "history")
    committer = Committer(environment, 0)
    for number in range(1, runs + 1):
        committer.commit(world.encode(world.begin_run(number, 1)))
        run = world.state.runs[number]
        committer.commit(world.encode(world.order(run, range(1))))
        committer.commit(world.encode(world.finish(run)))
        committer.commit(world.encode(world.end_run(run)))
        del world.state.runs[number]
    size = environment.used_bytes()
    environment.close()
    opening, loading, environment, state = timed_start(folder / "history")
    assert not state.runs
    start = time.perf_counter()
    page = runs_page(environment, runs // 2, 50, "bench", (RunStatus.SUCCEEDED,))
    paging = time.perf_counter() - start
    assert len(page.headers) == 50
    figures = sheet(
        f"store: start with {runs} finished runs", open_ms=round(opening * 1e3, 1),
        load_ms=round(loading * 1e3, 1), page_of_50_ms=round(paging * 1e3, 2), bytes_per_run=round(size / runs),
    )  # fmt: skip
    figures += measure_retention(Committer(environment, state.meta.revision), world.now_ns, runs)
    environment.close()
    return figures


def measure_retention(committer: Committer, now_ns: int, runs: int) -> list[lab.Record]:
    """Forget all of it, journal first, in the steps that the engine takes between its batches."""
    figures: list[lab.Record] = []
    for settings in (RetentionSettings(journal_batches=0), RetentionSettings(runs_count=0)):
        retention = Retention(settings)
        times: list[float] = []
        more = True
        while more:
            start = time.perf_counter()
            step = committer.run(lambda edit, retention=retention: retention.step(edit, now_ns))
            committer.run(lambda edit, logs=step.logs: logs_removed(edit, logs))
            times.append(time.perf_counter() - start)
            more = step.more or bool(step.logs)
        what = "journal" if settings.journal_batches == 0 else "runs"
        longest, median = max(times) * 1e3, statistics.median(times) * 1e3
        figures += sheet(
            f"store: a step of retention of {runs} runs, {what}", steps=len(times), longest_ms=round(longest, 1),
            median_ms=round(median, 1),
        )  # fmt: skip
    return figures


def run(options: lab.Options) -> list[lab.Record]:
    """All questions, in a folder of the temporary file system."""
    scale = 10 if options.quick else 1
    with lab.folder() as folder:
        return [
            *measure_commits(folder, 1, 2_000 // scale),
            *measure_commits(folder, 64, 20_000 // scale),
            *measure_commits(folder, 1_000, 100_000 // scale),
            *measure_thread(folder, 2_000 // scale),
            *measure_live_start(folder, 100_000 // scale, 1_000 // scale),
            *measure_history_start(folder, 10_000 // scale),
        ]
