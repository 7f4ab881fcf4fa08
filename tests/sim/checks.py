"""What must be true of every history, judged from journal, effects and columns and not from the engine's own rules.

Each check returns sentences; they begin with the run and, where one is concerned, the row: `r3 b[1]: ...`.
"""

from collections import Counter
from collections.abc import Iterator

from engine.core.changes import Changes
from engine.core.events import (
    AnyEvent,
    AttemptExited,
    AttemptLost,
    AttemptOrdered,
    AttemptStarted,
    BlockOrdered,
    Expanded,
    RowsReturned,
    TaskFinished,
    TaskReopened,
    TrialRepeated,
)  # fmt: skip
from engine.core.machine import Machine
from engine.core.state import NOT_FINAL, RunState
from engine.core.unfold import Place, unfold
from engine.model.ids import NO_INDEX
from engine.model.status import OutcomeKind, RunStatus, TaskStatus
from tests.sim.oracle import FAILED, OPEN, SKIPPED, SUCCEEDED, may_go

LOSSES_MAX = 3
Row = tuple[int, int, int]
"""(run, task, index)"""


class History:
    """What has happened to rows since they were last reopened."""

    def __init__(self) -> None:
        self.begun: set[Row] = set()
        self.successes: dict[Row, int] = {}
        self.marked: set[Row] = set()
        self.blocks: dict[int, BlockOrdered] = {}
        self.open_attempts: dict[int, Row] = {}
        self.rows_of_attempts: dict[int, Row] = {}
        self.losses: dict[Row, int] = {}

    def after(self, machine: Machine, changes: Changes) -> list[str]:
        """Take in a committed batch; what is wrong with it."""
        events = list(self._unfolded(changes))
        first = self._read(changes, events)
        found = _overclaimed(machine, changes) + list(_unwanted(machine, events)) + self._lost_too_often(events)
        for row in first:
            run = machine.state.runs.get(row[0])
            if run is not None and run.status[run.row(row[1], row[2])] == TaskStatus.RUNNING:
                verdict = _judge(run, row[1], row[2])
                if verdict is not True:
                    found.append(f"{_text(run, row)}: it started although its needs say {verdict}")
        for number in changes.runs:
            run = machine.state.runs[number]
            found += self._rows(run)
            found += _waiting(run)
        return found

    def _unfolded(self, changes: Changes) -> Iterator[AnyEvent]:
        """The journal as if every row of a block had been ordered and reported by itself."""
        for event in changes.journal:
            if isinstance(event, BlockOrdered):
                self.blocks[event.attempt] = event
            block = self.blocks.get(getattr(event, "block", 0) or getattr(event, "attempt", 0))
            place: Place = (block.run, block.task, block.index, block.number) if block is not None else (0, -1, -1, 0)
            yield from (one for one, _ in unfold(event, place))

    def _read(self, changes: Changes, events: list[AnyEvent]) -> list[Row]:
        """Follow the journal; the rows that begin for the first time since they were reopened."""
        first: list[Row] = []
        judged = {attempt.attempt: attempt for attempt in changes.attempts.values() if not attempt.is_block}
        judged |= {attempt.attempt: attempt for attempt in changes.ended}
        for event in events:
            if isinstance(event, AttemptOrdered):
                row = (event.run, event.task, event.index)
                self.open_attempts[event.attempt] = row
                if event.on_success:  # its needs are to be met when it starts
                    continue
                if row not in self.begun:
                    first.append(row)
                self.begun.add(row)
            elif isinstance(event, AttemptStarted):
                row = self.open_attempts.get(event.attempt)
                if row is not None and row not in self.begun:
                    first.append(row)
                    self.begun.add(row)
            elif isinstance(event, AttemptExited):
                row = self.open_attempts.pop(event.attempt, None)
                known = judged.get(event.attempt)
                outcome = known.outcome if known is not None else event.outcome
                if row is not None and outcome is not None and outcome.kind is OutcomeKind.SUCCEEDED:
                    self.successes[row] = self.successes.get(row, 0) + 1
            elif isinstance(event, TrialRepeated):
                self.successes.pop((event.run, event.task, event.index), None)
            elif isinstance(event, TaskReopened):
                self._forget(event.run, event.task, event.index)
            elif isinstance(event, Expanded):
                for index in range(event.count):
                    self._forget(event.run, event.task, index)
            elif isinstance(event, TaskFinished) and event.why.startswith("marked"):
                self.marked.add((event.run, event.task, event.index))
            elif isinstance(event, RowsReturned):
                for attempt in range(event.attempt + event.offset, event.attempt + self.blocks[event.attempt].count):
                    self.open_attempts.pop(attempt, None)
        for number, attempt in judged.items():
            if not attempt.live:
                self.open_attempts.pop(number, None)
        return first

    def _forget(self, *row: int) -> None:
        run, task, index = row
        self.begun.discard((run, task, index))
        self.marked.discard((run, task, index))
        self.successes.pop((run, task, index), None)

    def _lost_too_often(self, events: list[AnyEvent]) -> list[str]:
        """A row whose last three attempts were lost is not ordered again."""
        found: list[str] = []
        for event in events:
            if isinstance(event, AttemptOrdered):
                row = (event.run, event.task, event.index)
                self.rows_of_attempts[event.attempt] = row
                if self.losses.get(row, 0) >= LOSSES_MAX:
                    found.append(f"r{event.run}: row {row} is ordered after {self.losses[row]} losses in a row")
            elif isinstance(event, AttemptLost | AttemptExited) and event.attempt in self.rows_of_attempts:
                row = self.rows_of_attempts.pop(event.attempt)
                self.losses[row] = self.losses.get(row, 0) + 1 if isinstance(event, AttemptLost) else 0
            elif isinstance(event, TaskReopened):
                self.losses.pop((event.run, event.task, event.index), None)
            elif isinstance(event, Expanded):
                for index in range(event.count):
                    self.losses.pop((event.run, event.task, index), None)
        return found

    def _rows(self, run: RunState) -> Iterator[str]:
        for task, index in _places(run):
            row = (run.run, task, index)
            if run.status[run.row(task, index)] != TaskStatus.SUCCEEDED or row in self.marked:
                continue
            if self.successes.get(row, 0) != 1:
                yield f"{_text(run, row)}: it has succeeded, by {self.successes.get(row, 0)} successful attempts"


def _places(run: RunState) -> Iterator[tuple[int, int]]:
    for task in range(len(run.plan)):
        if task not in run.mapped_counts:
            yield task, NO_INDEX
        else:
            yield from ((task, index) for index in range(run.row_count[task]))


def _text(run: RunState, row: Row) -> str:
    return f"r{run.run} {run.text(row[1], row[2])}"


def _letter(status: int) -> str:
    if status == NOT_FINAL or status < TaskStatus.SUCCEEDED:
        return OPEN
    return {TaskStatus.SUCCEEDED: SUCCEEDED, TaskStatus.SKIPPED: SKIPPED}.get(TaskStatus(status), FAILED)


def _judge(run: RunState, task: int, index: int) -> bool | None:
    """What the trigger rule says of a row, by the second opinion."""
    spec = run.plan.tasks[task]
    needs = {need.task: need.same_index for need in spec.needs} | {
        name: False for name in spec.teardown_for if name not in {need.task for need in spec.needs}
    }
    letters: list[str] = []
    setups: list[str] = []
    for name, same_index in needs.items():
        up = run.plan.index[name]
        paired = same_index and index != NO_INDEX and run.first_row[up] >= 0
        letter = _letter(run.status[run.first_row[up] + index] if paired else run.task_final[up])
        letters.append(letter)
        if run.plan.tasks[up].setup or name in spec.teardown_for:
            setups.append(letter)
    return may_go(run.plan.policy(task).trigger_rule, letters, setups)


def _waiting(run: RunState) -> Iterator[str]:
    """A row waits only while its needs leave the answer open."""
    status = run.header.status
    if RunStatus.QUEUED in (status, run.header.paused_from) or status.finished:
        return
    for task, index in _places(run):
        if run.status[run.row(task, index)] == TaskStatus.WAITING and _judge(run, task, index) is not None:
            yield f"{_text(run, (run.run, task, index))}: it waits although its needs say {_judge(run, task, index)}"
    for task in run.mapped_counts:
        if run.first_row[task] < 0 and run.task_final[task] == NOT_FINAL:
            pairs = [run.plan.index[need.task] for need in run.plan.tasks[task].needs if need.same_index]
            others = [up for up in run.plan.ups(task) if up not in pairs]
            unknown = any(run.first_row[up] < 0 and run.task_final[up] == NOT_FINAL for up in pairs)
            if not pairs and _judge(run, task, NO_INDEX) is not None:
                yield f"r{run.run} {run.plan.names[task]}: its rows could be known"
            if pairs and not unknown and all(run.task_final[up] != NOT_FINAL for up in others):
                yield f"r{run.run} {run.plan.names[task]}: its pairs could be known"


def _unwanted(machine: Machine, events: list[AnyEvent]) -> Iterator[str]:
    """Nothing is ordered for a run that is paused, queued, over, or being cancelled (but for its teardowns)."""
    for event in events:
        if not isinstance(event, AttemptOrdered):
            continue
        run = machine.state.runs[event.run]
        status = run.header.status
        teardown = run.plan.tasks[event.task].teardown and not run.header.killed
        if status is not RunStatus.RUNNING and not (status is RunStatus.CANCELLING and teardown):
            yield f"{_text(run, (event.run, event.task, event.index))}: it is ordered although its run is {status.text}"


def _overclaimed(machine: Machine, changes: Changes) -> list[str]:
    """At the instant of an order, all claims together are within what there is."""
    numbers = [event.attempt for event in changes.journal if isinstance(event, AttemptOrdered | BlockOrdered)]
    ordered = [changes.attempts[number] for number in numbers]
    if not ordered:
        return []
    state = machine.state
    claims = [attempt.held for attempt in state.holding()]
    cpu = sum(claim.cpu_milli for claim in claims)
    memory = sum(claim.memory_bytes for claim in claims)
    shared = sum(slots for claim in claims for name, slots in claim.pools if name == "shared")
    newest = ordered[-1].claim
    mutexes = Counter(name for claim in claims for name in claim.mutexes)
    found: list[str] = []
    if any(count > 1 for count in mutexes.values()):
        found.append(f"r{ordered[-1].run}: mutexes are held by {dict(mutexes)}")
    if len(claims) > 1 and any(claim.exclusive for claim in claims):
        found.append(f"r{ordered[-1].run}: somebody has the host alone, with {len(claims)} others")
    if newest.cpu_milli and cpu > state.capacity.cpu_milli:
        found.append(f"r{ordered[-1].run}: {cpu} of {state.capacity.cpu_milli} thousandths of a CPU are claimed")
    if newest.memory_bytes and memory > state.capacity.memory_bytes:
        found.append(f"r{ordered[-1].run}: {memory} of {state.capacity.memory_bytes} bytes are claimed")
    if shared > dict(state.capacity.pools).get("shared", 0):
        found.append(f"r{ordered[-1].run}: {shared} slots of the shared pool are claimed")
    return found
