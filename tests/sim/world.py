"""The machine in a fake world: time jumps, launchers die, the engine is killed, operators act at random.

Everything is drawn from one seed, so a seed is a test: the same seed gives the same journal, byte for byte. After each
batch the machine's invariants and the checks of `tests.sim.checks` are asked; at a crash everything is thrown away but
the disk and the launchers. When the world is left alone, every run must come to its end.
"""

import re
from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec

from engine.core.changes import Changes
from engine.core.effects import (
    AcknowledgeExit,
    Answer,
    AnyEffect,
    RecallAttempt,
    ResumeAttempt,
    ShareCpus,
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
    BackfillCancelRequested,
    BackfillPauseRequested,
    BackfillRequested,
    BackfillScope,
    BlockStarted,
    CancelRequested,
    ClockAdvanced,
    EngineStarted,
    External,
    MarkRequested,
    RerunRequested,
    RetryRequested,
    RowRef,
    RowsReturned,
    RowsSucceeded,
    RunPauseRequested,
    RunRequested,
    RunResumeRequested,
    SettingsChangeRequested,
    SpaceChanged,
    WorkflowAdded,
    WorkflowPauseRequested,
    WorkflowRemoved,
)
from engine.core.invariants import violations
from engine.core.machine import Machine
from engine.core.state import EngineState, Meta, RunHeader, RunState
from engine.model.instants import MINUTE, SECOND
from engine.model.resources import Capacity
from engine.model.status import BackfillStatus, RunStatus, TaskStatus
from engine.planning.plan import Plan, make_plan
from tests.sim.checks import History
from tests.sim.launchers import ENDLESS_NS, Launchers
from tests.sim.workflows import GIB, SHARED_POOLS, random_workflow
from tests.support.looking_back import Looking
from tests.support.memory_disk import MemoryDisk, differences, picture

CALM_STEPS_MAX = 3_000
_REPORTS = (
    AttemptStarted, AttemptExited, AttemptLost, AttemptNeverStarted, BlockStarted, RowsSucceeded, RowsReturned,
    AttemptSuspended, AttemptResumed,
)  # fmt: skip


class Failure(AssertionError):
    """A seed has found a fault; the text is the sentence and the story of what it is about."""


class World:
    """One seed's world. `run()` lives through it."""

    def __init__(self, seed: int, steps: int = 150) -> None:
        self.seed = seed
        self.steps = steps
        self.rng = Random(seed)
        self.now_ns = 1_700_000_000 * SECOND
        self.wall_ns = self.now_ns
        self.disk = MemoryDisk()
        self.launchers = Launchers(
            self.rng, failing=self.rng.choice((0.0, 0.1, 0.4)), mean_s=self.rng.choice((4.0, 0.004, 0.0005))
        )
        self.trouble = self.rng.choice((0.02, 0.03, 0.15))
        """How likely an engine's crash or a launcher's death is at each batch."""
        self.rush = self.rng.random() < 0.3
        """Whether the host is small, much is asked of it, and some of that is in a hurry."""
        if self.rush:
            self.launchers.mean_s = 4.0
        self.history = History()
        self.past = Looking()
        self.plans: dict[str, list[Plan]] = {}
        self.machine = Machine(EngineState(Meta(instance=1, seed=seed), self._capacity()))
        self.story: list[tuple[int, int, Any]] = []
        self.sent: list[External] = []
        self.counts = {"batches": 0, "crashes": 0, "attempts": 0, "runs": 0}
        self.tickets = 0
        self.boot = 1
        for name in ("one", "two")[: self.rng.randint(1, 2)]:
            self._new_version(name)

    # --- the course of a life ---------------------------------------------------------------------------------------

    def run(self) -> list[bytes]:
        """Live through chaos, then calm down. Returns the journal. Raises Failure."""
        self._restart(rebooted=False)
        for _ in range(self.steps):
            self._pass_time()
            events = self._what_happens()
            if self.rng.random() < self.trouble:
                self._crash(events)
            else:
                self._batch(events)
        self._calm()
        return self.disk.journal

    def _pass_time(self) -> None:
        """To the next thing that is due, or somewhere before it; sometimes the wall clock jumps."""
        dues = [due for due in (self.launchers.due_ns(), self.machine.next_due()[0]) if due]
        wall_due = self.machine.next_due()[1]
        if wall_due:
            dues.append(self.now_ns + wall_due - self.wall_ns)
        step_ns = self.rng.choice((0, 1, SECOND // 2, SECOND if self.rush else 10 * SECOND))
        if dues and self.rng.random() < 0.6:
            step_ns = max(min(dues) - self.now_ns, 0)
        self.now_ns += step_ns
        self.wall_ns += step_ns
        if self.rng.random() < 0.02:
            self.wall_ns += self.rng.choice((-3600, -30, 30, 400)) * SECOND

    def _what_happens(self) -> list[External]:
        events = self.launchers.reports(self.now_ns)
        if self.rng.random() < self.trouble:
            events += self.launchers.die(self.now_ns)
        if self.rng.random() < 0.8:
            events.append(ClockAdvanced())
        while self.rng.random() < 0.3:
            events.append(self._act())
        if self.rng.random() < 0.02:
            events.append(SpaceChanged(self.rng.random() < 0.5))
        return self._shuffled(events) + (self._waver() if self.rng.random() < 0.08 else [])

    def _shuffled(self, events: list[External]) -> list[External]:
        """In any order, but for what a block's page says, which is read from front to back, and for the answers to the
        orders to stand still and to go on."""
        order = list(range(len(events)))
        self.rng.shuffle(order)
        places: dict[int, list[int]] = {}
        for place, at in enumerate(order):
            event = events[at]
            number = getattr(event, "block", 0) or getattr(event, "attempt", 0)
            if number in self.launchers.blocks or isinstance(event, AttemptSuspended | AttemptResumed):
                places.setdefault(number, []).append(place)
        for mine in places.values():
            for place, at in zip(mine, sorted(order[place] for place in mine), strict=True):
                order[place] = at
        return [events[at] for at in order]

    def _calm(self) -> None:
        """Nobody interferes any more: everything must end."""
        quiet: list[External] = [SpaceChanged(read_only=False)]
        for number, backfill in self.machine.state.backfills.items():
            if backfill.status is BackfillStatus.PAUSED:
                quiet.append(BackfillPauseRequested(Ask(), number, paused=False))
        for name, entry in self.machine.state.workflows.items():
            if not entry.paused:
                quiet.append(WorkflowPauseRequested(Ask(), name, paused=True))
        self._batch(quiet)
        for _ in range(CALM_STEPS_MAX):
            runs = self.machine.state.runs.values()
            paused = [run.run for run in runs if run.header.status is RunStatus.PAUSED or self._stands_still(run)]
            if not any(run.unfinished for run in runs):
                break
            dues = [due for due in (self.launchers.due_ns(), self.machine.next_due()[0]) if due]
            step_ns = max(min(dues) - self.now_ns, 0) if dues else SECOND
            self.now_ns += step_ns
            self.wall_ns += step_ns
            resumes = [RunResumeRequested(Ask(), number) for number in paused]
            self._batch([*self.launchers.reports(self.now_ns), ClockAdvanced(), *resumes, *self._end_the_endless()])
        stuck = [run.run for run in self.machine.state.runs.values() if run.unfinished]
        if stuck:
            self._fail(f"r{stuck[0]}: it never ends, and nothing is left that could happen")
        unfinished = [number for number, kept in self.machine.state.backfills.items() if not kept.status.finished]
        if unfinished:
            self._fail(f"b{unfinished[0]} is never done, and nothing is left that could happen")
        if self.machine.state.attempts:
            self._fail("attempts are live although all runs have ended")
        if left := sorted([*self.launchers.children, *self.launchers.blocks]):
            self._fail(f"the ends of attempts {left} were never acknowledged")

    def _stands_still(self, run: RunState) -> bool:
        return any(self.machine.state.attempts[number].paused for number in run.live.values())

    def _end_the_endless(self) -> list[External]:
        """Somebody cancels, once, what would run for ever."""
        found: list[External] = []
        for number, child in self.launchers.children.items():
            attempt = self.machine.state.attempts.get(number)
            if attempt is not None and child.ends_ns == ENDLESS_NS and not attempt.stop:
                row = RowRef(child.start.task, child.start.index)
                found.append(CancelRequested(Ask(), attempt.run, (row,)))
        for number, block in self.launchers.blocks.items():
            attempt, row = self.machine.state.attempts.get(number), len(block.rows)
            if attempt is not None and block.ends_ns == ENDLESS_NS and not block.over and row not in attempt.stops:
                ref = RowRef(block.start.task, block.start.index + row)
                found.append(CancelRequested(Ask(), attempt.run, (ref,)))
        return found

    # --- batches and crashes ----------------------------------------------------------------------------------------

    def _batch(self, events: list[External]) -> Changes:
        """Step, commit, perform; then look at everything."""
        changes = self._step(events)
        self._perform(changes.early)
        self.disk.commit(changes, self.machine.state)
        self._look(changes, events)
        self._perform(changes.effects)
        for number in sorted(changes.finished_runs):
            if self.rng.random() < 0.7:
                self.machine.forget_run(number)
        return changes

    def _crash(self, events: list[External]) -> None:
        """The engine dies before the commit, between the commit and the effects, or halfway through them."""
        self.counts["crashes"] += 1
        moment = self.rng.choice(("before", "between", "halfway"))
        changes = self._step(events)
        self._perform(changes.early)
        if moment != "before":
            self.disk.commit(changes, self.machine.state)
            self._look(changes, events)
            if moment == "halfway":
                self._perform(changes.effects[: len(changes.effects) // 2])
        rebooted = self.rng.random() < 0.2
        if rebooted:
            self.boot += 1
            self.launchers.reboot()
        self._restart(rebooted=rebooted)

    def _restart(self, *, rebooted: bool) -> None:
        """A new life: load, announce itself, compare the inventory with what the records say."""
        if self.disk.meta:
            state = self.disk.load()
            state.capacity = self._capacity()
            for plans in self.plans.values():
                for plan in plans:
                    state.plans[plan.version] = plan
            self.machine = Machine(state)
        state = self.machine.state
        events: list[External] = [EngineStarted(state.meta.epoch + 1, state.capacity, f"boot-{self.boot}")]
        blocks = {number: attempt.done for number, attempt in state.attempts.items() if attempt.is_block}
        events += self.launchers.inventory(blocks, self.now_ns, rebooted=rebooted)
        for number in state.attempts.keys() - blocks:
            child = self.launchers.children.get(number)
            if child is None and not rebooted:
                events.append(AttemptNeverStarted(number, "no launcher has an intent"))
            elif child is not None and child.end is not None:
                events.append(child.end)
            elif child is not None and child.started:
                events += self.launchers.child_again(number, child, self.now_ns)
        for number, child in list(self.launchers.children.items()):
            if number not in state.attempts and child.end is not None:
                events.append(child.end)
            elif number not in state.attempts:  # begun ahead of the disk, and forgotten: it is killed
                del self.launchers.children[number]
        self._batch(events)

    def _step(self, events: list[External]) -> Changes:
        self.counts["batches"] += 1
        self._look_at_what_moves()
        try:
            return self.machine.step(events, self.now_ns, self.wall_ns)
        except Exception as error:
            self.story.append((0, self.now_ns, events))
            raise Failure(f"seed {self.seed}: the machine raised {error!r}\n{self._tell('')}") from error

    def _perform(self, effects: Sequence[AnyEffect]) -> None:
        for effect in effects:
            match effect:
                case StartAttempt():
                    self.counts["attempts"] += 1
                    self.launchers.start(effect, self.now_ns)
                case SuspendAttempt() | ResumeAttempt():
                    frozen = isinstance(effect, SuspendAttempt)
                    self.launchers.freeze(effect.attempt, effect.turn, frozen=frozen)
                case RecallAttempt():
                    self.launchers.recall(effect.attempt)
                case StopAttempt():
                    self.launchers.stop(effect.attempt, self.now_ns, kill=effect.kill, row=effect.row)
                case AcknowledgeExit():
                    self.launchers.acknowledge(effect.attempt)
                case Answer() | ShareCpus():
                    pass

    # --- looking ----------------------------------------------------------------------------------------------------

    def _look(self, changes: Changes, events: list[External]) -> None:
        self.story += [(changes.revision, changes.now_ns, event) for event in changes.journal]
        self.counts["runs"] += len(changes.new_runs)
        machine = self.machine
        found = violations(machine) + self.history.after(machine, changes) + self.past.after(changes, machine.state)
        asked = sorted(ask.ticket for event in events if (ask := getattr(event, "ask", None)) and ask.ticket)
        answered = sorted(effect.ticket for effect in changes.effects if isinstance(effect, Answer))
        if asked != answered:
            found.append(f"requests {asked} were answered as {answered}")
        if self.rng.random() < 0.2:
            found += differences(machine.state, self.disk.load())
        for number in sorted(changes.finished_runs):
            ours, theirs = picture(machine.state.runs[number]), picture(self.disk.load_run(number))
            found += [
                f"r{number} {key}: {ours[key]}, on disk {theirs[key]}" for key in ours if ours[key] != theirs[key]
            ]
        if found:
            self._fail("\n".join(found))

    def _look_at_what_moves(self) -> None:
        """Nothing runs whose CPUs others may have."""
        for number, attempt in self.machine.state.attempts.items():
            if attempt.released and self.launchers.moving(number):
                self._fail(f"r{attempt.run}: attempt {number} runs although it has given its CPUs back")

    def _fail(self, sentence: str) -> None:
        raise Failure(f"seed {self.seed}, batch {self.counts['batches']}: {sentence}\n{self._tell(sentence)}")

    def _tell(self, sentence: str) -> str:
        """The story of the run (and the row) that the sentence names; without a name the latest events of all."""
        named = re.search(r"\br(\d+)(?: (t\d|undo)(?:\[(\d+)\])?)?", sentence)
        run = int(named[1]) if named else 0
        plan = self.machine.state.runs[run].plan if run in self.machine.state.runs else None
        task = plan.index.get(named[2]) if named and plan is not None and named[2] else None
        attempts = {
            event.attempt for _, _, event in self.story if type(event).__name__ in ("AttemptOrdered", "BlockOrdered")
            and event.run == run and task in (None, event.task)
        }  # fmt: skip
        lines: list[str] = []
        for revision, now_ns, event in self.story:
            about = getattr(event, "run", None) == run and task in (None, getattr(event, "task", task))
            reported = {event.attempt, getattr(event, "block", 0)} if isinstance(event, _REPORTS) else set[int]()
            if not run or about or reported & attempts:
                lines.append(f"  {revision} {(now_ns - 1_700_000_000 * SECOND) / SECOND:.1f}s {event}")
        if plan is not None:
            lines += [f"  {spec.name}: {spec} {plan.policy(i)}" for i, spec in enumerate(plan.tasks)]
        return "\n".join(lines[-80:])

    # --- operators --------------------------------------------------------------------------------------------------

    def _capacity(self) -> Capacity:
        return Capacity(
            2000 if self.rush else self.rng.choice((2000, 3000, 5000)), 4 * GIB, tuple(SHARED_POOLS.items())
        )

    def _new_version(self, name: str) -> Plan:
        plan = make_plan(random_workflow(self.rng, name, rush=self.rush))
        self.plans.setdefault(name, []).append(plan)
        self.machine.install_plan(plan)
        return plan

    def _ask(self) -> Ask:
        self.tickets += 1
        return Ask(self.tickets, f"request-{self.rng.randint(1, 40)}" if self.rng.random() < 0.3 else "")

    def _act(self) -> External:
        """One request of somebody who does not look twice."""
        name = self.rng.choice(sorted(self.plans))
        plan = self.rng.choice(self.plans[name])
        numbers = sorted(self.disk.headers)
        draw = self.rng.random()
        if draw < 0.3 or not numbers or (self.rush and self.rng.random() < 0.3):
            return RunRequested(self._ask(), name, plan.version, {"flag": self.rng.random() < 0.7})
        if draw < 0.4:
            if self.rng.random() < 0.3 and len(self.plans[name]) < 4:
                plan = self._new_version(name)
            return WorkflowAdded(self._ask(), name, plan.version)
        if draw < 0.45:
            return WorkflowPauseRequested(self._ask(), name, self.rng.random() < 0.4)
        if draw < 0.47:
            return WorkflowRemoved(self._ask(), name)
        if draw < 0.55:
            return self._act_on_backfills(plan)
        return self._act_on_run(self.rng.choice(numbers[-6:]))

    def _act_on_backfills(self, plan: Plan) -> External:
        numbers = sorted(self.machine.state.backfills)
        if not numbers or self.rng.random() < 0.5:
            first_ns = self.wall_ns - self.rng.randint(0, 20) * MINUTE
            scope = BackfillScope(
                first_ns, first_ns + self.rng.randint(1, 6) * MINUTE, order=self.rng.choice(("oldest", "newest")),
                reprocess=self.rng.choice(("none", "failed", "all")), most=self.rng.choice((4, 100)),
            )  # fmt: skip
            params = {"flag": self.rng.random() < 0.7}
            return BackfillRequested(
                self._ask(), plan.workflow.name, plan.version, scope, self.rng.randint(1, 3), params, self._known(plan)
            )
        number = self.rng.choice(numbers[-3:])
        if self.rng.random() < 0.3:
            return BackfillCancelRequested(self._ask(), number, self.rng.random() < 0.3)
        return BackfillPauseRequested(self._ask(), number, self.rng.random() < 0.4)

    def _known(self, plan: Plan) -> dict[int, tuple[int, RunStatus]]:
        """The newest run on disk for each due instant."""
        headers = [msgspec.msgpack.decode(self.disk.headers[number], type=RunHeader) for number in self.disk.headers]
        return {
            header.due_ns: (header.run, header.status)
            for header in headers
            if header.due_ns and header.workflow == plan.workflow.name
        }

    def _act_on_run(self, number: int) -> External:
        if number not in self.machine.state.runs:
            self.machine.install_run(self.disk.load_run(number))
        plan = self.machine.state.runs[number].plan
        rows = tuple(self._ref(plan) for _ in range(self.rng.randint(1, 3)))
        some = rows if self.rng.random() < 0.6 else ()
        status = self.rng.choice((TaskStatus.SUCCEEDED, TaskStatus.FAILED))
        match self.rng.randrange(11):
            case 0 | 9 | 10:
                some = self._live_refs(number) if self.rng.random() < 0.5 else some
                return RunPauseRequested(self._ask(), number, rows=some, running=self.rng.random() < 0.5)
            case 1 | 2:
                return RunResumeRequested(self._ask(), number, rows=some if self.rng.random() < 0.5 else ())
            case 3:
                return CancelRequested(self._ask(), number, some, self.rng.random() < 0.3)
            case 4 | 5:
                return RetryRequested(self._ask(), number, some)
            case 6:
                return self._change(number, plan)
            case 7:
                return RerunRequested(self._ask(), number, rows)
            case _:
                return MarkRequested(self._ask(), number, rows, status)

    def _waver(self) -> list[External]:
        """Somebody pauses what runs, and resumes it, and pauses it, before anything of that is done."""
        running = [run.run for run in self.machine.state.runs.values() if run.live]
        if not running:
            return []
        number = self.rng.choice(running)
        rows = self._live_refs(number)
        kinds = (RunPauseRequested, RunResumeRequested, RunPauseRequested)
        return [kind(self._ask(), number, rows=rows) for kind in kinds]

    def _live_refs(self, number: int) -> tuple[RowRef, ...]:
        """Some of what runs: an operator would rarely hit it blindly."""
        run = self.machine.state.runs[number]
        places = [run.place(row) for row in sorted(run.live)]
        chosen = self.rng.sample(places, min(len(places), self.rng.randint(1, 3)))
        return tuple(RowRef(run.plan.names[task], index) for task, index in chosen)

    def _change(self, number: int, plan: Plan) -> External:
        task = self.rng.choice(plan.tasks)
        name = self.rng.choice(("priority", "max_parallel", "tolerate")) if task.mapped else "priority"
        whole = name == "priority" and self.rng.random() < 0.3
        settings = {name: self.rng.choice((None, 0, 1, 2, 3))}
        return SettingsChangeRequested(self._ask(), number, settings, "" if whole else task.name)

    def _ref(self, plan: Plan) -> RowRef:
        task = self.rng.choice(plan.tasks)
        index = self.rng.choice((None, None, 0, 1)) if task.mapped else None
        seen = self.rng.choice((None, None, None, TaskStatus.FAILED, TaskStatus.SUCCEEDED))
        return RowRef(task.name, index, seen)
