"""The machine: events in, effects out. `step` is the one door.

It takes the facts of a batch in order, lets each change the state, lets the consequences settle, orders what may start,
and returns what has to be written and done. It reads no clock and draws no random number: the same state, events and
instants always give the same decisions. It never waits and never fails halfway: a handler that refuses does so before
it changes anything.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from engine.admission.lanes import HORIZON_NS
from engine.admission.pressure import Bounds, Sample
from engine.core.acts import on_cancel, on_mark, on_rerun, on_retry, on_run_pause, on_run_resume
from engine.core.ahead import recall_overdue, watch
from engine.core.backfills import make_runs, on_backfill_cancel, on_backfill_pause, on_backfill_requested
from engine.core.blocks import on_rows_returned, on_rows_succeeded
from engine.core.changes import Changes
from engine.core.context import EARLY_MAX, Context
from engine.core.dispatch import dispatch
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
    BlockStarted,
    CancelRequested,
    ClockAdvanced,
    EngineStarted,
    External,
    HostSampled,
    MarkRequested,
    PressureChanged,
    RerunRequested,
    RetryRequested,
    RowsReleased,
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
)  # fmt: skip
from engine.core.on_attempt import on_exited, on_lost, on_never_started, on_started
from engine.core.on_schedule import (
    fire_schedules,
    next_wall_due,
    on_workflow_added,
    on_workflow_pause,
    on_workflow_removed,
)
from engine.core.orders import hold_again, share_cpus
from engine.core.progress import settle
from engine.core.runs import on_run_requested
from engine.core.settings import on_settings_change
from engine.core.standstill import on_resumed, on_suspended, stand_again
from engine.core.state import EngineState, RunState
from engine.model.errors import EngineError
from engine.model.ids import backfill_text, run_text
from engine.model.instants import MINUTE
from engine.model.status import TaskStatus
from engine.planning.plan import Plan
from engine.scheduling.fair_share import Usage


def _on_engine_started(cx: Context, event: EngineStarted) -> None:
    """A new life: on another boot nothing of the old one can run any more."""
    meta = cx.state.meta
    rebooted = bool(meta.boot_id) and meta.boot_id != event.boot_id
    meta.boot_id = event.boot_id
    meta.epoch = event.epoch
    meta.next_attempt += EARLY_MAX
    cx.state.capacity = event.capacity
    cx.ledger.set_capacity(event.capacity)
    if cx.ledger.cpus:
        share_cpus(cx)
    if rebooted:
        for number, attempt in sorted(cx.state.attempts.items()):
            for row in range(attempt.done, attempt.limit):
                block = number if attempt.is_block else 0
                lost = AttemptLost(number + row, cx.now_ns, "the host was restarted", block)
                cx.note(lost)
                on_lost(cx, lost)


def _on_space(cx: Context, event: SpaceChanged) -> None:
    """While there is no room nothing begins; what runs is still recorded."""
    cx.state.meta.read_only = event.read_only
    fire_schedules(cx)


def sample_of(event: HostSampled) -> Sample:
    """In the words of admission."""
    return Sample(
        event.memory_available_bytes, event.memory_total_bytes, event.memory_stalled, event.cpu_foreign_milli,
        event.cpu_total_milli,
    )  # fmt: skip


def _on_sample(cx: Context, event: HostSampled) -> None:
    """The host is short of something that nobody claimed, or not any more."""
    pressure = cx.pressure
    if pressure.observe(sample_of(event), cx.now_ns):
        cx.note(PressureChanged(pressure.level.name.lower(), "; ".join(pressure.sentences)))


def _on_clock(cx: Context, event: ClockAdvanced) -> None:
    """Delays that are over make their rows ready; schedules that are due make runs."""
    for due_ns, number, row in cx.due_timers():
        run = cx.state.runs.get(number)
        if run is None or run.status[row] != TaskStatus.BACKING_OFF or run.finished[row] != due_ns:
            continue
        task, index = run.place(row)
        cx.move_row(run, row, task, "delay_over")
        cx.note(RowsReleased(run.run, task, index))
        run.finished[row] = 0
        cx.enqueue(run, task, range(row, row + 1))
    if cx.lanes_due_ns and cx.lanes_due_ns <= cx.now_ns:
        recall_overdue(cx)
    fire_schedules(cx)


_REQUESTS: dict[type[External], tuple[str, Callable[[Context, Any], None]]] = {
    RunRequested: ("submit", on_run_requested),
    WorkflowAdded: ("add", on_workflow_added),
    WorkflowRemoved: ("remove", on_workflow_removed),
    WorkflowPauseRequested: ("pause", on_workflow_pause),
    RunPauseRequested: ("pause", on_run_pause),
    RunResumeRequested: ("resume", on_run_resume),
    CancelRequested: ("cancel", on_cancel),
    RetryRequested: ("retry", on_retry),
    RerunRequested: ("rerun", on_rerun),
    MarkRequested: ("mark", on_mark),
    SettingsChangeRequested: ("set", on_settings_change),
    BackfillRequested: ("backfill", on_backfill_requested),
    BackfillPauseRequested: ("pause", on_backfill_pause),
    BackfillCancelRequested: ("cancel", on_backfill_cancel),
}
_REPORTS: dict[type[External], Callable[[Context, Any], None]] = {
    AttemptStarted: on_started,
    AttemptSuspended: on_suspended,
    AttemptResumed: on_resumed,
    AttemptExited: on_exited,
    AttemptNeverStarted: on_never_started,
    AttemptLost: on_lost,
    BlockStarted: on_started,
    RowsSucceeded: on_rows_succeeded,
    RowsReturned: on_rows_returned,
    ClockAdvanced: _on_clock,
    SpaceChanged: _on_space,
    HostSampled: _on_sample,
    EngineStarted: _on_engine_started,
}
_NOTED_BY_THEMSELVES = (ClockAdvanced, HostSampled, RowsSucceeded, RowsReturned)
"""Of these the journal holds what was news, or nothing."""


USAGE_EVERY_NS = MINUTE


class Machine:
    """The state and what is derived from it. Only the engine's loop (and a test's) steps it."""

    def __init__(self, state: EngineState, bounds: Bounds = Bounds()) -> None:  # noqa: B008 - frozen
        """`state` as it was loaded: ledger, ready queue and timers are derived from it here. `bounds` say where the
        host is under pressure."""
        self.state = state
        self.cx = Context(state, bounds)
        for run in state.runs.values():
            self._restore(run)
        for workflow in {run.header.workflow for run in state.runs.values()} | set(state.workflows):
            self.cx.refresh_pools(workflow)
        self.cx.shares.restore(Usage(*kept) for kept in state.meta.usage)
        self.cx.now_ns = state.meta.now_ns
        for number, attempt in sorted(state.attempts.items()):
            if attempt.claim_from in state.attempts:
                self.cx.lanes.follow(number, attempt.claim_from, 0)
                watch(self.cx)
            else:
                self.cx.lanes.open(number, attempt.claim, HORIZON_NS)
                hold_again(self.cx, state.runs[attempt.run], attempt)
                stand_again(self.cx, attempt)
            if attempt.is_block:
                watch(self.cx)

    def step(self, events: Sequence[External], now_ns: int, wall_ns: int) -> Changes:
        """Take a batch of facts at an instant of engine time (never goes back) and of the wall clock."""
        cx = self.cx
        meta = self.state.meta
        meta.revision += 1
        meta.now_ns = cx.now_ns = max(now_ns, meta.now_ns)
        cx.wall_ns = wall_ns
        cx.changes = changes = Changes(meta.revision, cx.now_ns)
        cx.early_below = meta.next_attempt + EARLY_MAX
        for event in events:
            self._take(cx, event)
            if cx.unsettled:
                settle(cx)
        settle(cx)
        dispatch(cx)
        settle(cx)
        while make_runs(cx):
            settle(cx)
            dispatch(cx)
            settle(cx)
        self._keep_usage(cx)
        for number in changes.runs:
            run = self.state.runs[number]
            run.header.tasks = run.mapped_tasks()
            run.header.rows = len(run.status)
        return changes

    @staticmethod
    def _keep_usage(cx: Context) -> None:
        """Once in a while, what the owners have used is kept for the next life."""
        meta = cx.state.meta
        newest_ns = meta.usage[0][2] if meta.usage else 0
        if not cx.changes.empty and cx.now_ns - newest_ns >= USAGE_EVERY_NS:
            meta.usage = [(kept.owner, kept.seconds, kept.at_ns) for kept in cx.shares.usage(cx.now_ns)]

    def _take(self, cx: Context, event: External) -> None:
        kind = type(event)
        report = _REPORTS.get(kind)
        if report is not None:
            if kind not in _NOTED_BY_THEMSELVES:
                cx.note(event)
            report(cx, event)
            return
        verb, handler = _REQUESTS[kind]
        ask = cast("Ask", event.ask)  # pyright: ignore[reportAttributeAccessIssue]
        if cx.repeated(ask):
            return
        mark = len(cx.changes.journal)
        cx.note(event)
        try:
            handler(cx, event)
        except EngineError as error:
            del cx.changes.journal[mark:]
            cx.refuse(ask, _verb_of(event, verb), _target_of(event), error, getattr(event, "note", ""))

    def next_due(self) -> tuple[int, int]:
        """When the clock has to be looked at again: (engine time of a delay, wall clock of a schedule), 0 for never."""
        timers, lanes_due_ns = self.cx.timers, self.cx.lanes_due_ns
        slow_ns = self.cx.pressure.next_start_ns() if self.cx.held_back else 0
        delays = [due for due in (timers[0][0] if timers else 0, lanes_due_ns, slow_ns) if due]
        return min(delays, default=0), next_wall_due(self.cx)

    def install_plan(self, plan: Plan) -> None:
        """Make a version known, before an event refers to it."""
        self.state.plans[plan.version] = plan

    def install_run(self, run: RunState) -> None:
        """Bring a finished run back into memory, before an event refers to it."""
        if run.run not in self.state.runs:
            self.state.runs[run.run] = run
            self._restore(run)

    def forget_run(self, number: int) -> None:
        """Let a finished run leave the memory."""
        run = self.state.runs.get(number)
        if run is not None and run.header.status.finished and not run.live:
            del self.state.runs[number]

    def drain(self, *, on: bool = True) -> None:
        """Order no new attempts from now on, or (`on` False) order again."""
        self.cx.draining = on

    def _restore(self, run: RunState) -> None:
        """Put a loaded run's ready rows in the queue and its delays on the clock."""
        cx = self.cx
        if run.header.status.finished:
            return
        for task in range(len(run.plan)):
            for rows in _ready_ranges(run, task):
                cx.enqueue(run, task, rows)
            for row in run.rows_of(task):
                if run.status[row] == TaskStatus.BACKING_OFF:
                    cx.set_timer(run.finished[row], run.run, row)


def _ready_ranges(run: RunState, task: int) -> Iterable[range]:
    """Consecutive ready rows of a task; rows whose claim has grown stand alone."""
    rows = run.rows_of(task)
    start = rows.start
    for row in rows:
        if run.status[row] != TaskStatus.READY or row in run.header.grown:
            if start < row:
                yield range(start, row)
            if run.status[row] == TaskStatus.READY:
                yield range(row, row + 1)
            start = row + 1
    if start < rows.stop:
        yield range(start, rows.stop)


def _verb_of(event: External, verb: str) -> str:
    """The verb as the operator said it, where one event serves two."""
    if isinstance(event, CancelRequested | BackfillCancelRequested) and event.kill:
        return "kill"
    resumes = isinstance(event, WorkflowPauseRequested | BackfillPauseRequested) and not event.paused
    return "resume" if resumes else verb


def _target_of(event: External) -> str:
    """What a refused request was about, for the audit."""
    if isinstance(event, BackfillPauseRequested | BackfillCancelRequested):
        return backfill_text(event.backfill)
    run = getattr(event, "run", 0)
    return run_text(run) if run else str(getattr(event, "workflow", ""))
