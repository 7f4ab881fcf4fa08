"""A player that steps the machine and plays the launchers' part, so that a test reads like a story.

After every step the machine's invariants are asked, and what the batch named as changed is written to a disk in memory
and compared with the state, so each story also tests that a restart would lose nothing.
"""

from array import array
from typing import Any

from engine.core.changes import Changes
from engine.core.effects import (
    Answer,
    RecallAttempt,
    ResumeAttempt,
    StartAttempt,
    StopAttempt,
    SuspendAttempt,
)
from engine.core.events import (
    Ask,
    AttemptExited,
    AttemptLost,
    AttemptNeverStarted,
    AttemptResumed,
    AttemptStarted,
    AttemptSuspended,
    BlockStarted,
    CancelRequested,
    ClockAdvanced,
    External,
    LogSlice,
    MarkRequested,
    RerunRequested,
    RetryRequested,
    RowRef,
    RowsReturned,
    RowsSucceeded,
    RunPauseRequested,
    RunRequested,
    RunResumeRequested,
    WorkflowAdded,
    WorkflowPauseRequested,
    WorkflowRemoved,
)
from engine.core.explain import Explainer
from engine.core.invariants import violations
from engine.core.machine import Machine
from engine.core.state import EngineState, Meta, RunState
from engine.model.ids import NO_INDEX, parse_row, row_text
from engine.model.instants import MILLISECOND, SECOND
from engine.model.resources import Capacity, Reason
from engine.model.status import SUCCESS, Outcome, OutcomeKind, RunStatus, TaskStatus
from engine.model.workflow import Workflow
from engine.planning.plan import Plan, make_plan
from tests.support.looking_back import Looking
from tests.support.memory_disk import MemoryDisk, differences

BEGINNING_NS = 1_700_000_000 * SECOND
"""2023-11-14T22:13:20Z, when every story begins."""


class Refused(Exception):
    """A request was refused; `code` and `sentence` as the client sees them."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Player:
    """One engine's machine in one story. Rows are written `clean` or `clean[3]`; acts speak of the newest run."""

    def __init__(self, *workflows: Workflow, cpus: float = 100, memory: int = 10**12, **fields: Any) -> None:
        capacity = Capacity(
            round(cpus * 1000), memory, tuple(sorted(fields.pop("pools", {}).items())),
            **{name: fields.pop(name) for name in ("gpus", "cores", "scratch_bytes") if name in fields},
        )  # fmt: skip
        meta = Meta(instance=1, seed=fields.pop("seed", 1))
        self.machine = Machine(EngineState(meta, capacity, fields.pop("weights", None)))
        self.disk = MemoryDisk()
        self.past = Looking()
        self.now_ns = self.wall_ns = BEGINNING_NS
        self.plans: dict[str, Plan] = {}
        self.live: dict[int, StartAttempt] = {}
        self.order: list[str] = []
        self.stops: list[tuple[str, bool]] = []
        self.recalls: list[str] = []
        self.freezes: list[tuple[str, bool]] = []
        """Rows that were told to stand still (True) or to go on."""
        self.turns: dict[int, int] = {}
        """Of attempts, the newest of these orders."""
        self.journal: list[Any] = []
        self.newest = 0
        self._tickets = 0
        for workflow in workflows:
            self.know(workflow)

    # --- stepping ---------------------------------------------------------------------------------------------------

    def know(self, workflow: Workflow) -> Plan:
        """Install a version, as the engine does before an event speaks of it."""
        plan = make_plan(workflow)
        self.plans[workflow.name] = plan
        self.machine.install_plan(plan)
        return plan

    def step(self, *events: External) -> Changes:
        """One batch, a millisecond later; its effects are taken up, its records written and compared."""
        self.now_ns += MILLISECOND
        self.wall_ns += MILLISECOND
        changes = self.machine.step(events, self.now_ns, self.wall_ns)
        assert violations(self.machine) == []
        self.disk.commit(changes, self.state)
        assert differences(self.state, self.disk.load()) == []
        past = self.past.after(changes, self.state)
        assert past == [], past
        self.journal += changes.journal
        for effect in (*changes.early, *changes.effects):
            if isinstance(effect, StartAttempt):
                assert effect.attempt not in self.live, "an attempt is started once"
                self.live[effect.attempt] = effect
                self.order.append(row_text(effect.task, effect.index))
            elif isinstance(effect, StopAttempt) and effect.attempt in self.live:
                start = self.live[effect.attempt]
                self.stops.append((row_text(start.task, start.index), effect.kill))
            elif isinstance(effect, RecallAttempt) and effect.attempt in self.live:
                start = self.live[effect.attempt]
                self.recalls.append(row_text(start.task, start.index))
            elif isinstance(effect, SuspendAttempt | ResumeAttempt) and effect.attempt in self.live:
                start = self.live[effect.attempt]
                self.freezes.append((row_text(start.task, start.index), isinstance(effect, SuspendAttempt)))
                self.turns[effect.attempt] = effect.turn
        return changes

    def restart(self) -> None:
        """Throw the machine away and go on with what is on disk."""
        self.machine = Machine(self.disk.load())
        assert violations(self.machine) == []

    def advance(self, seconds: float) -> Changes:
        """Let time pass on both clocks."""
        self.now_ns += round(seconds * SECOND)
        self.wall_ns += round(seconds * SECOND)
        return self.step(ClockAdvanced())

    def jump(self, seconds: float) -> Changes:
        """Move the wall clock alone, forth or back."""
        self.wall_ns += round(seconds * SECOND)
        return self.step(ClockAdvanced())

    # --- requests ---------------------------------------------------------------------------------------------------

    def ask(self, kind: Any, request_id: str = "", **fields: Any) -> dict[str, Any]:
        """A request and its answer. Raises Refused."""
        self._tickets += 1
        changes = self.step(kind(ask=Ask(self._tickets, request_id), **fields))
        answers = [
            effect for effect in changes.effects if isinstance(effect, Answer) and effect.ticket == self._tickets
        ]
        assert len(answers) == 1, "a request is answered once"
        answer = answers[0]
        if answer.refusal is not None:
            raise Refused(answer.refusal.code, answer.refusal.sentence)
        assert answer.body is not None
        return answer.body

    def submit(self, workflow: str = "", request_id: str = "", **params: Any) -> int:
        """Ask for a run; its number."""
        plan = self.plans[workflow] if workflow else next(reversed(self.plans.values()))
        body = self.ask(RunRequested, request_id, workflow=plan.workflow.name, version=plan.version, params=params)
        self.newest = int(body["run"][1:])
        return self.newest

    def add(self, workflow: Workflow | None = None) -> dict[str, Any]:
        """Add a workflow (the newest known)."""
        plan = self.know(workflow) if workflow is not None else next(reversed(self.plans.values()))
        return self.ask(WorkflowAdded, workflow=plan.workflow.name, version=plan.version)

    def remove(self, name: str) -> dict[str, Any]:
        return self.ask(WorkflowRemoved, workflow=name)

    def pause_workflow(self, name: str, *, paused: bool = True) -> dict[str, Any]:
        return self.ask(WorkflowPauseRequested, workflow=name, paused=paused)

    def pause(self, run: int = 0, *rows: str | RowRef, running: bool = False) -> dict[str, Any]:
        return self.ask(RunPauseRequested, run=run or self.newest, rows=_refs(rows), running=running)

    def resume(self, run: int = 0, *rows: str | RowRef) -> dict[str, Any]:
        return self.ask(RunResumeRequested, run=run or self.newest, rows=_refs(rows))

    def cancel(self, *rows: str | RowRef, run: int = 0, kill: bool = False) -> dict[str, Any]:
        return self.ask(CancelRequested, run=run or self.newest, rows=_refs(rows), kill=kill)

    def retry(self, *rows: str | RowRef, run: int = 0) -> dict[str, Any]:
        return self.ask(RetryRequested, run=run or self.newest, rows=_refs(rows))

    def rerun(self, *rows: str | RowRef, run: int = 0) -> dict[str, Any]:
        return self.ask(RerunRequested, run=run or self.newest, rows=_refs(rows))

    def mark(self, status: TaskStatus, *rows: str | RowRef, run: int = 0) -> dict[str, Any]:
        return self.ask(MarkRequested, run=run or self.newest, rows=_refs(rows), status=status)

    # --- the launchers' part ----------------------------------------------------------------------------------------

    def attempt(self, row: str, run: int = 0) -> StartAttempt:
        """The live attempt of a row."""
        run = run or self.newest
        found = [start for start in self.live.values() if start.run == run and row_text(start.task, start.index) == row]
        assert len(found) == 1, f"{row} has {len(found)} live attempts; live are {self.running}"
        return found[0]

    def end(self, row: str, outcome: Outcome, result: bytes | None = None, run: int = 0, took_ns: int = 0) -> Changes:
        """The row's attempt starts and exits, in no time unless it says how long it took."""
        number = self.attempt(row, run).attempt
        del self.live[number]
        started = AttemptStarted(number, self.now_ns, pid=1000 + number)
        return self.step(started, AttemptExited(number, self.now_ns + took_ns, outcome, result=result))

    def begin(self, row: str, run: int = 0) -> Changes:
        """The row's attempt starts, and goes on."""
        number = self.attempt(row, run).attempt
        return self.step(AttemptStarted(number, self.now_ns, pid=1000 + number))

    def suspended(self, row: str, run: int = 0, memory: int = 0) -> Changes:
        """The launcher says that the row's attempt stands still, as it was told, and how much memory it occupies."""
        number = self.attempt(row, run).attempt
        return self.step(AttemptSuspended(number, self.now_ns, self.turns.get(number, 0), memory))

    def resumed(self, row: str, run: int = 0) -> Changes:
        """The launcher says that the row's attempt goes on, as it was told."""
        number = self.attempt(row, run).attempt
        return self.step(AttemptResumed(number, self.now_ns, self.turns.get(number, 0)))

    def ok(self, *rows: str, result: bytes | None = None, run: int = 0) -> None:
        for row in rows:
            self.end(row, SUCCESS, result, run)

    def fail(self, *rows: str, code: int = 1, run: int = 0, **details: Any) -> None:
        for row in rows:
            self.end(row, Outcome(OutcomeKind.FAILED, exit_code=code, **details), run=run)

    # --- blocks: rows that one worker runs one after another ---------------------------------------------------------

    def begin_block(self, block: StartAttempt) -> Changes:
        """A worker has the block."""
        log = LogSlice(f"r{block.run}/workers/0-1.log", 100)
        return self.step(BlockStarted(block.attempt, self.now_ns, 77, log=log))

    def span(self, block: StartAttempt, offset: int, count: int, took_us: int = 1000, **fields: Any) -> Changes:
        """So many rows of the block end well, each after `took_us`, with 5 bytes of output and no gap between them."""
        return self.step(succeeded(block, offset, count, self.now_ns // 1000, took_us, **fields))

    def end_row(self, block: StartAttempt, offset: int, outcome: Outcome, result: bytes | None = None) -> Changes:
        """One row of the block ends by itself."""
        number = block.attempt + offset
        return self.step(
            AttemptExited(number, self.now_ns, outcome, result=result, block=block.attempt, began_ns=self.now_ns - 5)
        )

    def return_rows(self, block: StartAttempt, offset: int) -> Changes:
        """From there on nothing of the block has begun, nor will."""
        return self.step(RowsReturned(block.attempt, offset, "recalled"))

    def lose(self, row: str, run: int = 0) -> Changes:
        number = self.attempt(row, run).attempt
        del self.live[number]
        return self.step(AttemptLost(number, self.now_ns, "the launcher died"))

    def never(self, row: str, run: int = 0) -> Changes:
        number = self.attempt(row, run).attempt
        del self.live[number]
        return self.step(AttemptNeverStarted(number, "no intent was spooled"))

    def stopped(self, *rows: str, run: int = 0) -> None:
        """Rows that were told to stop do so."""
        for row in rows:
            self.end(row, Outcome(OutcomeKind.CANCELLED), run=run)

    def play(self, steps: int = 10_000) -> None:
        """Let everything that is ordered succeed, and time pass, until nothing is left to do."""
        for _ in range(steps):
            if self.live:
                start = next(iter(self.live.values()))
                self.ok(row_text(start.task, start.index), run=start.run)
            elif due := self.machine.next_due()[0]:
                self.advance((due - self.now_ns) / SECOND)
            else:
                return
        raise AssertionError("it goes on and on")

    # --- what is seen -----------------------------------------------------------------------------------------------

    @property
    def state(self) -> EngineState:
        return self.machine.state

    def run(self, number: int = 0) -> RunState:
        return self.state.runs[number or self.newest]

    def status(self, run: int = 0) -> RunStatus:
        return self.run(run).header.status

    @property
    def running(self) -> list[str]:
        """Rows with a live attempt, in the order in which they were ordered."""
        return [row_text(start.task, start.index) for start in self.live.values()]

    def rows(self, run: int = 0) -> dict[str, str]:
        """The status of every row, and of tasks whose rows are not known."""
        found = self.run(run)
        shown: dict[str, str] = {}
        for task, name in enumerate(found.plan.names):
            rows = found.rows_of(task)
            if not rows:
                shown[name] = found.task_status(task).text
            for row in rows:
                shown[row_text(*_named(found, row))] = TaskStatus(found.status[row]).text
        return shown

    def why(self, row: str, run: int = 0) -> str:
        """The sentence that is kept for a row, or for a task without rows."""
        found = self.run(run)
        name, index = parse_row(row)
        task = found.plan.index[name]
        key = ~task if found.first_row[task] < 0 or ~task in found.header.whys else found.row(task, index)
        return found.header.whys.get(key, "")

    def tries(self, row: str, run: int = 0) -> int:
        name, index = parse_row(row)
        found = self.run(run)
        return found.tries[found.row(found.plan.index[name], index)]

    def explain(self, row: str, run: int = 0) -> tuple[int | None, int | None, list[Reason]]:
        name, index = parse_row(row)
        found = self.run(run)
        return Explainer(self.machine.cx).reasons(found, found.plan.index[name], index)


def succeeded(
    block: StartAttempt, offset: int, count: int, last_us: int, took_us: int = 1000, **fields: Any
) -> RowsSucceeded:
    """The fact that rows of a block ended well."""
    columns = [0] * count, [took_us] * count, [took_us // 2] * count, [5] * count
    data = b"".join(array("I", column).tobytes() for column in columns)
    log = LogSlice(f"r{block.run}/workers/0-1.log", 100 + 5 * offset)
    return RowsSucceeded(block.attempt, offset, count, last_us, data, log, 2**20, **fields)


def _named(run: RunState, row: int) -> tuple[str, int]:
    task, index = run.place(row)
    return run.plan.names[task], index


def _refs(rows: tuple[str | RowRef, ...]) -> tuple[RowRef, ...]:
    """`b` names all rows of b, `b[1]` one."""
    found: list[RowRef] = []
    for row in rows:
        if isinstance(row, RowRef):
            found.append(row)
        else:
            name, index = parse_row(row)
            found.append(RowRef(name, None if index == NO_INDEX else index))
    return tuple(found)
