"""Backfills: a run for each partition of a stretch of the past, made lazily, at most so many of them unfinished.

A partition is a due instant of the workflow's schedules. `partitions_of` decides which are to be run and why the others
are left out; a dry run shows the same. When a run ends, the batch that ends it makes the next one, so a crash leaves no
gap. Their rows wait in the lower band of the queue: what is fresh goes first. A partition for which a run goes on, or
that another backfill is about to make, is never made twice.
"""

from collections.abc import Mapping

import msgspec

from engine.core.acts import end_run
from engine.core.context import Context
from engine.core.events import (
    Ask,
    BackfillCancelRequested,
    BackfillMade,
    BackfillPauseRequested,
    BackfillRequested,
    BackfillScope,
    RunRequested,
)
from engine.core.runs import check_claims, make_run, move_backfill, partition_of, skip_run, start_run
from engine.core.state import BACKFILL, Backfill, EngineState, RunState
from engine.expressions.params import bind_params
from engine.model.errors import Conflict, EngineError, NotFound, Unavailable, ValueFault
from engine.model.ids import backfill_text, run_text
from engine.model.instants import to_text
from engine.model.status import BackfillStatus, RunStatus
from engine.model.workflow import Workflow
from engine.scheduling.cron import due_between

PARTITIONS_MAX = 5_000
ACTIVE_MAX = 100
UNFINISHED_MAX = 100
FINISHED_KEPT = 100

Known = Mapping[int, tuple[int, RunStatus]]
"""By due instant: the newest run for it and its status."""


class Partition(msgspec.Struct, frozen=True):
    """One due instant. `why` says why it is left out, empty if it is to be run; `run` is its newest run, or 0."""

    due_ns: int
    partition: str
    run: int = 0
    why: str = ""


# --- which partitions -----------------------------------------------------------------------------------------------


def due_instants(workflow: Workflow, scope: BackfillScope) -> list[int]:
    """When the schedules are due within the scope, ascending. Raises ValueFault where there are none, or too many."""
    schedules = workflow.schedules
    if not schedules:
        raise ValueFault(f"{workflow.name} has no schedule, so it has no partitions", "run it with parameters instead")
    if not 0 <= scope.schedule <= len(schedules):
        raise ValueFault(f"{workflow.name} has no schedule {scope.schedule}: it has {len(schedules)}")
    if scope.last_ns < scope.first_ns:
        raise ValueFault(f"{to_text(scope.first_ns)} is after {to_text(scope.last_ns)}", "turn the dates round")
    if not 1 <= scope.most <= PARTITIONS_MAX:
        raise ValueFault(f"a backfill is about 1 to {PARTITIONS_MAX} partitions, not {scope.most}")
    chosen = schedules[scope.schedule - 1 : scope.schedule] if scope.schedule else schedules
    found: set[int] = set()
    for schedule in chosen:
        dues, cut = due_between(schedule, scope.first_ns - 1, scope.last_ns, scope.most)
        found.update(dues)
        if cut or len(found) > scope.most:
            hint = f"choose a shorter stretch, or allow more of them (up to {PARTITIONS_MAX})"
            raise ValueFault(f"these are more than {scope.most} partitions", hint)
    if not found:
        raise ValueFault(f"{workflow.name} is not due from {to_text(scope.first_ns)} to {to_text(scope.last_ns)}")
    return sorted(found)


def partitions_of(
    state: EngineState, workflow: Workflow, scope: BackfillScope, known: Known, wall_ns: int
) -> list[Partition]:
    """All partitions of the scope in its order, those that are left out too. Raises ValueFault."""
    newest = dict(known)
    for run in state.runs.values():
        due_ns = run.header.due_ns
        if due_ns and run.header.workflow == workflow.name and run.run >= newest.get(due_ns, (0,))[0]:
            newest[due_ns] = run.run, run.header.status
    planned = {
        due_ns: backfill.backfill
        for backfill in state.backfills.values()
        if backfill.workflow == workflow.name and not backfill.status.finished
        for due_ns in backfill.pending
    }
    found: list[Partition] = []
    for due_ns in due_instants(workflow, scope):
        run, status = newest.get(due_ns, (0, None))
        why = "it is not due yet" if due_ns > wall_ns else _why_not(scope, run, status)
        if due_ns in planned and not why:
            why = f"{backfill_text(planned[due_ns])} is about to run it"
        found.append(Partition(due_ns, partition_of(workflow, due_ns), run, why))
    return found if scope.order == "oldest" else found[::-1]


def _why_not(scope: BackfillScope, run: int, status: RunStatus | None) -> str:
    if status is None:
        return ""
    if not status.finished:
        return f"{run_text(run)} is {status.text}"
    if scope.reprocess == "none" or (scope.reprocess == "failed" and status is RunStatus.SUCCEEDED):
        return f"{run_text(run)} {'was' if status is RunStatus.CANCELLED else 'has'} {status.text}"
    return ""


# --- what operators ask for -----------------------------------------------------------------------------------------


def on_backfill_requested(cx: Context, event: BackfillRequested) -> None:
    """The partitions are chosen now; the runs are made as there is room."""
    state = cx.state
    plan = state.plans.get(event.version)
    if plan is None:
        raise NotFound(f"workflow {event.workflow!r} has no version {event.version!r}")
    if state.meta.read_only:
        raise Unavailable("the engine is read-only: its disk or map is nearly full", "free space, then try again")
    if not 1 <= event.max_active <= ACTIVE_MAX:
        raise ValueFault(f"max_active is 1 to {ACTIVE_MAX}, not {event.max_active}")
    if sum(not backfill.status.finished for backfill in state.backfills.values()) >= UNFINISHED_MAX:
        raise Conflict(f"{UNFINISHED_MAX} backfills go on already", "wait until one has ended, or cancel one")
    partitions = partitions_of(state, plan.workflow, event.scope, event.known, cx.wall_ns)
    wanted = [partition for partition in partitions if not partition.why]
    if not wanted:
        example = partitions[0]
        sentence = f"nothing is left to run of {len(partitions)} partitions: {example.partition}, {example.why}"
        raise Conflict(sentence, "reprocess failed or all runs what had a run before")
    check_claims(cx, plan)
    bind_params(plan.workflow, event.params, wanted[0].partition)  # refused now, and not a thousand times later
    number = state.meta.next_backfill
    state.meta.next_backfill += 1
    backfill = state.backfills[number] = Backfill(
        backfill=number, workflow=plan.workflow.name, version=plan.version, params=event.params,
        first_ns=event.scope.first_ns, last_ns=event.scope.last_ns, order=event.scope.order,
        reprocess=event.scope.reprocess, max_active=event.max_active, actor=event.ask.actor, note=event.note,
        made_ns=cx.now_ns, partitions=len(wanted), left_out=len(partitions) - len(wanted),
        pending=[partition.due_ns for partition in reversed(wanted)],
    )  # fmt: skip
    cx.changes.backfills.add(number)
    cx.changes.versions.add(plan.version)
    cx.backfills_due.add(number)
    cx.note(BackfillMade(number, backfill.workflow, backfill.version, backfill.partitions, backfill.left_out))
    _forget_the_oldest(cx)
    body: dict[str, object] = {
        "backfill": backfill_text(number), "workflow": backfill.workflow, "version": backfill.version,
        "partitions": backfill.partitions, "left_out": backfill.left_out,
    }  # fmt: skip
    cx.accept(event.ask, "backfill", f"{backfill_text(number)} {backfill.workflow}", body, event.note)


def _forget_the_oldest(cx: Context) -> None:
    finished = [number for number, backfill in cx.state.backfills.items() if backfill.status.finished]
    for number in finished[: max(0, len(finished) - FINISHED_KEPT)]:
        del cx.state.backfills[number]
        cx.changes.backfills.add(number)


def on_backfill_pause(cx: Context, event: BackfillPauseRequested) -> None:
    """No more runs are made, or they are again; the runs themselves go on."""
    backfill = _seen(cx, event.backfill, event.seen)
    wanted = BackfillStatus.RUNNING if event.paused else BackfillStatus.PAUSED
    if backfill.status is not wanted:
        name = backfill_text(backfill.backfill)
        raise Conflict(f"{name} is {backfill.status.text}, not {wanted.text}")
    move_backfill(cx, backfill, "paused" if event.paused else "resumed")
    cx.backfills_due.add(backfill.backfill)
    verb = "pause" if event.paused else "resume"
    cx.accept(event.ask, verb, backfill_text(backfill.backfill), {"changed": 1}, event.note)


def on_backfill_cancel(cx: Context, event: BackfillCancelRequested) -> None:
    """What has no run gets none, and its runs that go on are cancelled."""
    backfill = _seen(cx, event.backfill, event.seen)
    name = backfill_text(backfill.backfill)
    if backfill.status.finished:
        raise Conflict(f"{name} is {backfill.status.text} already")
    move_backfill(cx, backfill, "cancelled")
    backfill.finished_ns = cx.now_ns
    dropped = len(backfill.pending)
    backfill.pending = []
    runs = list(backfill.active)
    for number in runs:
        end_run(cx, cx.state.runs[number], kill=event.kill)
    body: dict[str, object] = {"changed": dropped + len(runs), "dropped": dropped, "runs": len(runs)}
    cx.accept(event.ask, "kill" if event.kill else "cancel", name, body, event.note)


def _seen(cx: Context, number: int, seen: BackfillStatus | None) -> Backfill:
    backfill = cx.state.backfills.get(number)
    if backfill is None:
        raise NotFound(f"there is no backfill {backfill_text(number)}", "`orchctl backfills` lists them")
    if seen is not None and backfill.status is not seen:
        name = backfill_text(number)
        raise Conflict(f"{name} is {backfill.status.text} now, it was {seen.text} when you looked")
    return backfill


# --- making the runs ------------------------------------------------------------------------------------------------


def make_runs(cx: Context) -> bool:
    """Make the next runs of backfills that have room for them. Whether any was made, so there is more to settle."""
    if cx.draining or cx.state.meta.read_only or not cx.backfills_due:
        return False
    due, cx.backfills_due = sorted(cx.backfills_due), set()
    made = False
    for number in due:
        backfill = cx.state.backfills.get(number)
        if backfill is None or backfill.status.finished:
            continue
        runs: list[RunState] = []
        while backfill.status is BackfillStatus.RUNNING and backfill.pending and _has_room(backfill):
            runs += _make_next(cx, backfill)
        for run in reversed(runs):  # what is started last is looked at first
            start_run(cx, run)
        made |= bool(runs)
        if not backfill.pending and not backfill.active:
            move_backfill(cx, backfill, "done")
            backfill.finished_ns = cx.now_ns
    return made


def _has_room(backfill: Backfill) -> bool:
    return len(backfill.active) < backfill.max_active


def _make_next(cx: Context, backfill: Backfill) -> list[RunState]:
    """One run, not started yet; none where another is for the partition and goes on, or where it cannot be made."""
    due_ns = backfill.pending.pop()
    cx.changes.backfills.add(backfill.backfill)
    name = backfill_text(backfill.backfill)
    rival = next(
        (
            run for run in cx.state.runs.values()
            if run.header.due_ns == due_ns and run.header.workflow == backfill.workflow and run.unfinished
        ),
        None,
    )  # fmt: skip
    event = RunRequested(
        ask=Ask(actor=backfill.actor), workflow=backfill.workflow, version=backfill.version, params=backfill.params,
        trigger=BACKFILL, due_ns=due_ns, note=backfill.note or f"{name}: due {to_text(due_ns)}",
    )  # fmt: skip
    try:
        if rival is not None:
            raise Conflict(f"{run_text(rival.run)} is {rival.header.status.text}")
        run = make_run(cx, cx.state.plans[backfill.version], event)
    except EngineError as error:
        backfill.partitions -= 1
        backfill.left_out += 1
        skip_run(cx, backfill.workflow, due_ns, f"{name} leaves it out: {error.sentence}")
        return []
    run.header.backfill = backfill.backfill
    backfill.active.append(run.run)
    return [run]
