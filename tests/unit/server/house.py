"""A whole engine for the server's tests, without disk or processes: the real machine, a history in memory, and a
world that commits at once. What a test needs of attempts it reports itself.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec

from engine.core.changes import AuditEntry, Changes
from engine.core.effects import Answer
from engine.core.events import (
    AnyEvent,
    Ask,
    AttemptExited,
    AttemptStarted,
    External,
    LogSlice,
    RunRequested,
    Usage,
    WorkflowAdded,
)  # fmt: skip
from engine.core.explain import Explainer
from engine.core.machine import Machine
from engine.core.notable import is_notable
from engine.core.replay import Batch, batch_of, placed
from engine.core.state import Attempt, EngineState, Meta, RunHeader, RunState
from engine.model.errors import ValueFault
from engine.model.ids import NO_INDEX
from engine.model.instants import SECOND
from engine.model.resources import Capacity
from engine.model.status import SUCCESS, Outcome, RunStatus
from engine.model.workflow import Command, Need, Task, Workflow, decode
from engine.planning.plan import make_plan
from engine.protocol.rows import EngineRow
from engine.scheduling.fair_queue import Entry
from engine.server.look import Look
from engine.server.ports import AuditLine, HostUse, Installed, JournalEntry, JournalPage, PastPage, Standing
from engine.server.standing import standing, waiting

BEGIN_NS = 1_795_000_000 * SECOND
TRUE = Command(("true",))


def tasks_of(*specs: tuple[str, str] | tuple[str, str, Any]) -> tuple[Task, ...]:
    """Tasks from (name, "needs separated by blanks", items of its for_each)."""
    made: list[Task] = []
    for name, needs, *items in specs:
        made.append(
            Task(name, TRUE, needs=tuple(Need(need) for need in needs.split()), for_each=items[0] if items else None)
        )
    return tuple(made)


class MemoryHistory:
    """The History port over dictionaries, filled by what batches change."""

    def __init__(self) -> None:
        self.headers: dict[int, RunHeader] = {}
        self.finished: dict[int, RunState] = {}
        self.ended: dict[int, Attempt] = {}
        self.journal: list[JournalEntry] = []
        self.lines: list[AuditLine] = []
        self.past: dict[int, list[Batch]] = {}
        self.workflows: dict[str, Workflow] = {}
        self.loads = 0
        self.reads = 0

    def take(self, state: EngineState, changes: Changes) -> None:
        for number in changes.runs:
            self.headers[number] = msgspec.structs.replace(state.runs[number].header)
            self.headers[number].counts = list(state.runs[number].header.counts)
        for number, attempt in changes.attempts.items():
            self.ended[number] = msgspec.structs.replace(attempt)
        events = placed(changes)
        for number in {place[0] for _, place in events} - {0}:
            batch = batch_of(number, changes.revision, changes.now_ns, events)
            self.past.setdefault(number, []).append(batch)
        self.journal += [self._entry(changes, event) for event in changes.journal]
        self.lines += [AuditLine(changes.revision, changes.now_ns, entry) for entry in changes.audit]

    def _entry(self, changes: Changes, event: AnyEvent) -> JournalEntry:
        attempt = self.ended.get(getattr(event, "attempt", 0))
        named = event if attempt is None or hasattr(event, "run") else attempt
        run, task = getattr(named, "run", 0), getattr(named, "task", -1)
        return JournalEntry(changes.revision, changes.now_ns, event, run, task, getattr(named, "index", NO_INDEX))

    def runs_page(self, before: int, limit: int, workflow: str, statuses: Collection[RunStatus]) -> Sequence[RunHeader]:
        self.reads += 1
        found = [
            header
            for number, header in sorted(self.headers.items(), reverse=True)
            if (not before or number < before)
            and (not workflow or header.workflow == workflow)
            and (not statuses or header.status in statuses)
        ]
        return found[:limit]

    def load_run(self, run: int) -> RunState | None:
        self.loads += 1
        return self.finished.get(run)

    def attempts_of(self, run: int, task: int, index: int) -> Sequence[Attempt]:
        found = [kept for kept in self.ended.values() if (kept.run, kept.task, kept.index) == (run, task, index)]
        return sorted(found, key=lambda attempt: attempt.number)

    def attempts_at(self, run: int, places: Sequence[tuple[int, int, int]]) -> Sequence[Attempt | None]:
        self.reads += 1
        found = {(kept.task, kept.index, kept.number): kept for kept in self.ended.values() if kept.run == run}
        return [found.get(place) for place in places]

    def events_page(self, run: int, cursor: str, limit: int, since: int = 0) -> JournalPage:
        if cursor and not cursor.isdecimal():
            raise ValueFault("this is no cursor of ours")
        at = int(cursor or sum(entry.revision < since for entry in self.journal))
        entries: list[JournalEntry] = []
        while at < len(self.journal) and len(entries) < limit:
            entry = self.journal[at]
            at += 1
            if not run or entry.run == run:
                entries.append(entry)
        return JournalPage(entries, str(at) if at < len(self.journal) else "")

    def past_page(self, run: int, after: int, until: int, until_ns: int, most: int) -> PastPage:
        found = [
            batch for batch in self.past.get(run, ()) if after < batch.revision <= until and batch.at_ns <= until_ns
        ]  # fmt: skip
        weight = 0
        for count, batch in enumerate(found):
            if weight >= most:
                return PastPage(found[:count], more=True)
            weight += batch.weight
        return PastPage(found, more=False)

    def moments(self, run: int, before: int, after: int, limit: int) -> Sequence[tuple[int, int]]:
        found = [(batch.revision, batch.at_ns) for batch in self.past.get(run, ())]
        if before:
            return [moment for moment in reversed(found) if moment[0] < before][:limit]
        return [moment for moment in found if moment[0] > after][:limit]

    def notable_moments(self, run: int, before: int, after: int, limit: int) -> Sequence[tuple[int, int, bool]]:
        notable = {
            batch.revision for batch in self.past.get(run, ()) if any(is_notable(event) for event, _ in batch.events)
        }
        return [(*found, True) for found in self.moments(run, before, after, 10**6) if found[0] in notable][:limit]

    def newest_of_partitions(self, workflow: str, dues: Sequence[int]) -> dict[int, tuple[int, RunStatus]]:
        headers = [header for _, header in sorted(self.headers.items()) if header.workflow == workflow]
        return {header.due_ns: (header.run, header.status) for header in headers if header.due_ns in dues}

    def audit_page(self, before: int, limit: int) -> Sequence[AuditLine]:
        found = [line for line in reversed(self.lines) if not before or line.revision < before]
        while limit < len(found) and found[limit].revision == found[limit - 1].revision:
            limit += 1
        return found[:limit]

    def workflow(self, version: str) -> Workflow | None:
        return self.workflows.get(version)


class House:
    """The World port, and the loop around the machine: every batch is committed as soon as it is stepped."""

    def __init__(
        self, cpus: int = 8, pools: tuple[tuple[str, int], ...] = (), capacity: Capacity | None = None
    ) -> None:
        self.state = EngineState(Meta(instance=7, seed=1), capacity or Capacity(cpus * 1000, 2**34, pools))
        self.machine = Machine(self.state)
        self.history = MemoryHistory()
        self.look = Look(self.state, self.history, self, "/logs")
        self.now_ns = BEGIN_NS
        self.committing = False
        self.faults: dict[str, str] = {}
        self.use = HostUse()
        self.stops: list[tuple[bool, bool]] = []
        self.audited: list[AuditEntry] = []
        self.keep_finished = False
        self.on_answer: Callable[[Answer], None] = lambda _: None
        self.on_changes: Callable[[Changes], None] = self.look.forget

    # --- driving ----------------------------------------------------------------------------------------------------

    def step(self, *events: External, seconds: float = 0.001) -> Changes:
        """One batch, some time later."""
        self.now_ns += int(seconds * SECOND)
        changes = self.machine.step(events, self.now_ns, self.now_ns)
        self.history.take(self.state, changes)
        for effect in changes.effects:
            if isinstance(effect, Answer):
                self.on_answer(effect)
        if not self.keep_finished:
            for number in changes.finished_runs:
                run = self.state.runs.get(number)
                if run is not None:
                    self.history.finished[number] = run
                    self.machine.forget_run(number)
        self.on_changes(changes)
        return changes

    def install(self, workflow: Workflow) -> Installed:
        plan = make_plan(workflow)
        self.machine.install_plan(plan)
        self.history.workflows[plan.version] = workflow
        return Installed(workflow.name, plan.version)

    def add(self, workflow: Workflow) -> Installed:
        installed = self.install(workflow)
        self.step(WorkflowAdded(Ask(), installed.workflow, installed.version))
        return installed

    def begin(self, workflow: Workflow, **params: Any) -> int:
        """A run of the workflow; its number."""
        installed = self.install(workflow)
        before = self.state.meta.next_run
        self.step(RunRequested(Ask(), installed.workflow, installed.version, params))
        assert self.state.meta.next_run == before + 1
        return before

    def live(self, run: int) -> list[Attempt]:
        """The live attempts of a run, oldest first."""
        return sorted((held for held in self.state.attempts.values() if held.run == run), key=lambda a: a.attempt)

    def start(self, attempt: Attempt, pid: int = 4242) -> None:
        self.step(AttemptStarted(attempt.attempt, self.now_ns, pid))

    def end(
        self, attempt: Attempt, outcome: Outcome = SUCCESS, log: LogSlice | None = None, seconds: float = 1
    ) -> None:
        self.now_ns += int(seconds * SECOND)
        usage = Usage(cpu_ns=SECOND // 2, max_rss_bytes=2**20)
        self.step(AttemptExited(attempt.attempt, self.now_ns, outcome, usage, log or LogSlice()))

    def attempt_of(self, run: int, task: str, index: int = NO_INDEX) -> Attempt:
        """The live attempt of a row."""
        number = self.state.runs[run].plan.index[task]
        return next(held for held in self.live(run) if (held.task, held.index) == (number, index))

    def finish_one(self, run: int) -> None:
        """Let the oldest live attempt of a run succeed."""
        attempt = self.live(run)[0]
        self.start(attempt)
        self.end(attempt, seconds=0.01)

    def finish(self, run: int) -> None:
        """Let everything of a run succeed."""
        while self.live(run):
            for attempt in self.live(run):
                self.start(attempt)
                self.end(attempt, seconds=0.01)

    # --- the World port ---------------------------------------------------------------------------------------------

    def settled(self) -> bool:
        return not self.committing

    def wall_ns(self) -> int:
        return self.now_ns

    async def submit(self, event: External) -> None:
        number = getattr(event, "run", 0)
        if number and number not in self.state.runs and number in self.history.finished:
            self.machine.install_run(self.history.finished.pop(number))
        self.step(event)

    async def install_workflow(self, data: bytes) -> Installed:
        try:
            return self.install(decode(data))
        except ValueError as error:
            raise ValueFault(f"this is no workflow: {error}") from error

    def fault_of(self, workflow: str) -> str:
        return self.faults.get(workflow, "")

    def engine_row(self) -> EngineRow:
        return EngineRow(
            pid=1, state="serving", revision=0, version="0", protocol=1, instance="7", epoch=1, started_at="", home="/",
            socket="/",
        )  # fmt: skip

    def host_use(self) -> HostUse:
        return self.use

    def explainer(self) -> Explainer:
        return Explainer(self.machine.cx)

    def standing(self) -> Standing:
        return standing(self.machine.cx)

    def waiting(self, count: int) -> tuple[Sequence[Entry], int]:
        return waiting(self.machine.cx, count)

    def audit(self, entry: AuditEntry) -> None:
        self.audited.append(entry)

    async def backup(self, folder: str) -> dict[str, Any]:
        return {"folder": folder, "revision": self.state.meta.revision, "bytes": 0}

    async def collect_garbage(self, *, dry_run: bool) -> dict[str, Any]:
        gone = [number for number in self.history.finished if not dry_run]
        for number in gone:
            del self.history.finished[number]
            del self.history.headers[number]
        return {"runs": len(gone), "records": 0}

    async def verify_audit(self) -> dict[str, Any]:
        return {"intact": True, "entries": len(self.audited), "fault": ""}

    def stop(self, *, kill: bool, drain: bool) -> None:
        self.stops.append((kill, drain))
