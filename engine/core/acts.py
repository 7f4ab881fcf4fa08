"""What operators do to runs: pause, resume, cancel, kill, retry, rerun, mark.

An act names the rows as the operator saw them. Rows that have moved on since are refused one by one and listed in the
answer; the others are acted on. An act that would change nothing at all is refused as a whole.
"""

from collections.abc import Callable, Iterable

from engine.core.ahead import recall
from engine.core.context import Context
from engine.core.dispatch import unpark_run
from engine.core.events import (
    Ask,
    CancelRequested,
    MarkRequested,
    RerunRequested,
    RetryRequested,
    RowRef,
    RunPauseRequested,
    RunResumeRequested,
    TaskReopened,
)  # fmt: skip
from engine.core.progress import finish_row, finish_task, reopen_tasks, sum_up_if_over
from engine.core.runs import rejoin_backfill, start_waiting
from engine.core.standstill import pause, resume, stop
from engine.core.state import BACKFILL, CHUNK_ROWS, NOT_FINAL, Attempt, RunState
from engine.model.errors import Conflict, NotFound, ValueFault
from engine.model.ids import NO_INDEX, row_text, run_text
from engine.model.status import RunStatus, TaskStatus

_STATUSES = tuple(TaskStatus)
_BAD = (TaskStatus.FAILED, TaskStatus.UPSTREAM_FAILED, TaskStatus.CANCELLED)
_STUCK = (*_BAD, TaskStatus.SKIPPED)
_HELD = (
    TaskStatus.UPSTREAM_FAILED,
    TaskStatus.CANCELLED,
    TaskStatus.SKIPPED,
    TaskStatus.READY,
    TaskStatus.BACKING_OFF,
)
_REFUSED_SHOWN = 100

Row = tuple[int, int]
"""(task, index)"""


def on_run_pause(cx: Context, event: RunPauseRequested) -> None:
    """Nothing new of the run is ordered; what runs goes on, or (`running`) stands still too. Rows: only these do."""
    run = seen_run(cx, event.run, event.seen)
    if event.rows:
        _freeze_rows(cx, run, event.ask, event.rows, event.note, frozen=True)
        return
    moving = [attempt for attempt in _freezable(cx, run) if not attempt.paused] if event.running else []
    if not (moving and run.header.status is RunStatus.PAUSED):
        _pause(cx, run)
    for attempt in moving:
        pause(cx, attempt)
    cx.accept(event.ask, "pause", run_text(run.run), {"changed": max(1, len(moving))}, event.note)


def _pause(cx: Context, run: RunState) -> None:
    if run.header.status not in (RunStatus.QUEUED, RunStatus.RUNNING):
        raise Conflict(f"{run_text(run.run)} is {run.header.status.text}: only a queued or running run can be paused")
    run.header.paused_from = run.header.status
    cx.move_run(run, "paused")
    numbers = sorted(set(run.live.values()))
    recall(cx, [number for number in numbers if cx.state.attempts[number].is_block or not cx.lanes.holds(number)])


def on_run_resume(cx: Context, event: RunResumeRequested) -> None:
    """The run goes on where it was paused, and what stands still of it. Rows: only these do."""
    run = seen_run(cx, event.run, event.seen)
    if event.rows:
        _freeze_rows(cx, run, event.ask, event.rows, event.note, frozen=False)
        return
    paused = [attempt for attempt in _freezable(cx, run) if attempt.paused]
    if not (paused and run.header.status is not RunStatus.PAUSED):
        _resume(cx, run)
    for attempt in paused:
        resume(cx, attempt)
    cx.accept(event.ask, "resume", run_text(run.run), {"changed": max(1, len(paused))}, event.note)


def _resume(cx: Context, run: RunState) -> None:
    if run.header.status is not RunStatus.PAUSED:
        raise Conflict(f"{run_text(run.run)} is {run.header.status.text}, not paused")
    waiting = run.header.paused_from is RunStatus.QUEUED
    cx.move_run(run, "resumed_waiting" if waiting else "resumed")
    run.header.paused_from = None
    unpark_run(cx, run)
    if waiting:
        start_waiting(cx, run.header.workflow)


def _freezable(cx: Context, run: RunState) -> list[Attempt]:
    """The live attempts and blocks of the run that nobody has told to stop."""
    attempts = [cx.state.attempts[number] for number in sorted(set(run.live.values()))]
    return [attempt for attempt in attempts if not attempt.stop]


def _freeze_rows(cx: Context, run: RunState, ask: Ask, refs: tuple[RowRef, ...], note: str, *, frozen: bool) -> None:
    """Make the rows that run stand still, or go on; a block does so as a whole."""
    verb = "pause" if frozen else "resume"
    rows, refused = _choose(run, refs, lambda status: status is TaskStatus.RUNNING)
    attempts = {attempt.attempt: attempt for attempt in _freezable(cx, run)}
    chosen: list[Row] = []
    for task, index in rows:
        attempt = attempts.get(run.live[run.row(task, index)])
        if attempt is not None and attempt.paused is not frozen:
            chosen.append((task, index))
            continue
        refused.append({"row": run.text(task, index), "why": _why_not(attempt, frozen=frozen)})
    _require(chosen, refused, f"nothing to {verb}")
    for number in sorted({run.live[run.row(*place)] for place in chosen}):
        (pause if frozen else resume)(cx, attempts[number])
    _accept_rows(cx, ask, verb, run, chosen, refused, note)


def _why_not(attempt: Attempt | None, *, frozen: bool) -> str:
    """Why an attempt cannot be paused (`frozen`) or resumed."""
    if attempt is None:
        return "is being stopped"
    if frozen:
        return "is paused already"
    return "goes on by itself, when there is room" if attempt.frozen else "is not paused"


def on_cancel(cx: Context, event: CancelRequested) -> None:
    """End the run, or some of its rows: what has not begun is cancelled, what runs is stopped (or killed)."""
    run = seen_run(cx, event.run, event.seen)
    verb = "kill" if event.kill else "cancel"
    if run.header.status.finished:
        raise Conflict(f"{run_text(run.run)} is {run.header.status.text} already")
    if event.rows:
        _refuse_unbegun(run)
        rows, refused = _choose(run, event.rows, lambda status: not status.finished)
        _require(rows, refused, f"nothing to {verb}")
        _end_rows(cx, run, rows, kill=event.kill)
        _accept_rows(cx, event.ask, verb, run, rows, refused, event.note)
        return
    changed = end_run(cx, run, kill=event.kill)
    cx.accept(event.ask, verb, run_text(run.run), {"changed": changed}, event.note)


def end_run(cx: Context, run: RunState, *, kill: bool) -> int:
    """Cancel (or kill) all of a run that is not finished. Returns the number of rows that this changes."""
    if run.header.status.finished:
        return 0
    unbegun = _unbegun(run)
    cx.move_run(run, "cancel_requested")
    run.header.paused_from = None
    run.header.killed = run.header.killed or kill
    unpark_run(cx, run)
    changed = _end_everything(cx, run, kill=kill or unbegun)
    for attempt in _freezable(cx, run):  # a teardown is left to run, and can only do so if it moves
        if attempt.paused:
            resume(cx, attempt)
    return changed


def _end_everything(cx: Context, run: RunState, *, kill: bool) -> int:
    """All rows that are not final; teardowns of a run that is merely cancelled are left to run. Returns how many."""
    changed = 0
    for task in range(len(run.plan)):
        if run.task_final[task] != NOT_FINAL or (run.plan.teardown[task] and not kill):
            continue
        if run.first_row[task] < 0:
            finish_task(cx, run, task, TaskStatus.CANCELLED)
            changed += 1
            continue
        single = task not in run.mapped_counts
        rows = run.rows_of(task)
        ends = [row - rows.start for row in rows if run.status[row] < TaskStatus.SUCCEEDED]
        _end_rows(cx, run, [(task, NO_INDEX if single else index) for index in ends], kill=kill)
        changed += len(ends)
    return changed


def _end_rows(cx: Context, run: RunState, rows: Iterable[Row], *, kill: bool) -> None:
    for task, index in rows:
        row = run.row(task, index)
        number = run.live.get(row)
        if number is not None:
            attempt = cx.state.attempts[number]
            stop(cx, attempt, index - attempt.index, kill=kill)
        elif run.status[row] < TaskStatus.SUCCEEDED:
            finish_row(cx, run, task, index, "cancelled")


def on_retry(cx: Context, event: RetryRequested) -> None:
    """Rows that ended badly go again, and what could not go because of them."""
    run = cx.run(event.run)
    _refuse_ending(run)
    if event.rows:
        rows, refused = _choose(run, event.rows, lambda status: status in _BAD)
    else:
        rows, refused = [place for place in _all_rows(run) if run.status[run.row(*place)] in _BAD], []
    unborn = [
        task for task in run.mapped_counts
        if run.first_row[task] < 0 and run.task_final[task] in _BAD and _named(event.rows, run.plan.names[task])
    ]  # fmt: skip
    if not unborn:
        _require(rows, refused, f"{run_text(run.run)} has nothing to retry")
    _reopen(cx, run, rows, unborn, whatever=False)
    _accept_rows(cx, event.ask, "retry", run, rows, refused, event.note, unborn=len(unborn))


def _named(rows: tuple[RowRef, ...], name: str) -> bool:
    return not rows or any(ref.task == name for ref in rows)


def on_rerun(cx: Context, event: RerunRequested) -> None:
    """Rows go again whatever they were, with everything downstream."""
    run = cx.run(event.run)
    _refuse_ending(run)
    rows, refused = _choose(run, event.rows, lambda _: True)
    named = {run.plan.index[ref.task] for ref in event.rows}
    unborn = [task for task in sorted(named) if run.first_row[task] < 0 and run.task_final[task] != NOT_FINAL]
    if not unborn:
        _require(rows, refused, "nothing to rerun")
    tasks = {task for task, _ in rows} | set(unborn)
    for task in tasks | run.plan.below(tasks):
        if run.live_of_task.get(task, 0):
            name = run.plan.names[task]
            raise Conflict(f"{name} is running", f"cancel it first, or wait: {name} would run twice at once")
    _reopen(cx, run, rows, unborn, whatever=True)
    _accept_rows(cx, event.ask, "rerun", run, rows, refused, event.note, unborn=len(unborn))


def on_mark(cx: Context, event: MarkRequested) -> None:
    """The rows count as succeeded or failed; what waited on them, or failed because of them, is looked at again."""
    if event.status not in (TaskStatus.SUCCEEDED, TaskStatus.FAILED):
        raise ValueFault(f"a task cannot be marked {event.status.text}", "mark it succeeded or failed")
    run = cx.run(event.run)
    _refuse_ending(run)
    rows, refused = _choose(run, event.rows, lambda _: True)
    live = [place for place in rows if run.row(*place) in run.live]
    if live:
        raise Conflict(f"{run.text(*live[0])} is running", "cancel it first, then mark it")
    named = {run.plan.index[ref.task] for ref in event.rows}
    unborn = [task for task in sorted(named) if run.first_row[task] < 0]
    if not unborn:
        _require(rows, refused, "nothing to mark")
    _revive(cx, run)
    tasks = {task for task, _ in rows} | set(unborn)
    cause, why = f"marked_{event.status.text}", f"marked {event.status.text} by {event.ask.actor.name}"
    reopened = tasks | _reopen_below(cx, run, tasks)
    reopen_tasks(cx, run, reopened)
    for task in unborn:
        finish_task(cx, run, task, event.status, why)
    depth = {task: at for at, task in enumerate(run.plan.order) if task in tasks}
    for task, index in sorted(rows, key=lambda place: -depth[place[0]]):  # else one's end would decide a later one's
        run.header.outcomes.pop(run.row(task, index), None)  # no attempt made it so
        finish_row(cx, run, task, index, cause, why, alone=False)
    for task in sorted({task for task, _ in rows}):
        sum_up_if_over(cx, run, task)
    note = f"{event.status.text}: {event.note}" if event.note else event.status.text  # the audit tells which it was
    _accept_rows(cx, event.ask, "mark", run, rows, refused, note, unborn=len(unborn))


# --- what the acts share --------------------------------------------------------------------------------------------


def seen_run(cx: Context, number: int, seen: RunStatus | None) -> RunState:
    """The run, as long as its status is the one that the operator saw. Raises NotFound, Conflict."""
    run = cx.run(number)
    if seen is not None and run.header.status is not seen:
        raise Conflict(f"{run_text(number)} is {run.header.status.text} now, it was {seen.text} when you looked")
    return run


def _unbegun(run: RunState) -> bool:
    return RunStatus.QUEUED in (run.header.status, run.header.paused_from)


def _refuse_unbegun(run: RunState) -> None:
    """Before its start nobody looks at a run's tasks, so nothing would follow from what is done to one of them."""
    if _unbegun(run):
        raise Conflict(f"{run_text(run.run)} has not begun", "cancel the whole run, or wait until it starts")


def _refuse_ending(run: RunState) -> None:
    _refuse_unbegun(run)
    if run.header.status is RunStatus.CANCELLING:
        raise Conflict(f"{run_text(run.run)} is being cancelled", "wait until it has ended")


def _all_rows(run: RunState) -> Iterable[Row]:
    for task in range(len(run.plan)):
        if task in run.mapped_counts:
            for index in range(run.row_count[task]):
                yield task, index
        else:
            yield task, NO_INDEX


def _choose(
    run: RunState, refs: tuple[RowRef, ...], allowed: Callable[[TaskStatus], bool]
) -> tuple[list[Row], list[dict[str, str]]]:
    """The rows meant that are as they were seen and may be acted on, and the others with the reason."""
    chosen: dict[Row, None] = {}
    refused: list[dict[str, str]] = []
    for ref in refs:
        task = run.plan.index.get(ref.task)
        if task is None:
            raise NotFound(
                f"{run_text(run.run)} has no task {ref.task!r}",
                f"`orchctl tasks {run_text(run.run)}` lists them",
            )
        for index in _indexes(run, task, ref):
            row = run.row(task, index)
            status = _STATUSES[run.status[row]]
            why = ""
            if ref.status is not None and status is not ref.status:
                why = f"is {status.text} now, it was {ref.status.text} when you looked"
            elif ref.attempts is not None and run.tries[row] != ref.attempts:
                why = f"is at attempt {run.tries[row]} now, it was at {ref.attempts} when you looked"
            elif not allowed(status):
                why = f"is {status.text}"
            if why:
                refused.append({"row": row_text(ref.task, index), "why": why})
            else:
                chosen[task, index] = None
    return list(chosen), refused


def _indexes(run: RunState, task: int, ref: RowRef) -> Iterable[int]:
    if task not in run.mapped_counts:
        if ref.index not in (None, NO_INDEX):
            raise NotFound(f"{ref.task} has no items: it is no for_each")
        return (NO_INDEX,)
    if ref.index is None or ref.index == NO_INDEX:
        return range(run.row_count[task])
    if not 0 <= ref.index < run.row_count[task]:
        raise NotFound(f"{ref.task} has no item {ref.index}: it has {run.row_count[task]}")
    return (ref.index,)


def _require(rows: list[Row], refused: list[dict[str, str]], sentence: str) -> None:
    if not rows:
        why = "; ".join(f"{entry['row']} {entry['why']}" for entry in refused[:3])
        raise Conflict(f"{sentence}: {why}" if why else sentence)


def _accept_rows(
    cx: Context, ask: Ask, verb: str, run: RunState, rows: list[Row], refused: list[dict[str, str]], note: str,
    *, unborn: int = 0,
) -> None:  # fmt: skip
    names = ", ".join(run.text(*place) for place in rows[:5]) + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")
    body: dict[str, object] = {"changed": len(rows) + unborn, "refused": refused[:_REFUSED_SHOWN]}
    cx.accept(ask, verb, f"{run_text(run.run)} {names}".strip(), body, note)


def _revive(cx: Context, run: RunState) -> None:
    """A finished run goes on."""
    if run.header.status.finished:
        rejoin_backfill(cx, run)
        cx.move_run(run, "reopened")
        cx.changes.finished_runs.discard(run.run)
        run.header.finished_ns = 0
        run.header.killed = False
        run.header.paused_from = None
        if run.plan.workflow.pools:
            cx.refresh_pools(run.header.workflow)
        entry = cx.state.workflows.get(run.header.workflow)
        if entry is not None and run.run not in entry.active and run.header.trigger != BACKFILL:
            entry.active.append(run.run)
            cx.changes.workflows.add(entry.name)


def _reopen(cx: Context, run: RunState, rows: list[Row], unborn: list[int], *, whatever: bool) -> None:
    """The rows wait again, with all that is downstream (`whatever`) or what of it could not go."""
    _revive(cx, run)
    tasks = {task for task, _ in rows} | set(unborn)
    for task, index in rows:
        reopen_row(cx, run, task, index)
    for task in unborn:
        run.header.whys.pop(~task, None)
    below = _reopen_all_below(cx, run, rows, unborn) if whatever else _reopen_below(cx, run, tasks)
    guards = _reopen_guards(cx, run, tasks | below)
    guarded = _reopen_below(cx, run, guards)
    reopen_tasks(cx, run, tasks | below | guards | guarded)


def reopen_row(cx: Context, run: RunState, task: int, index: int) -> None:
    """One row waits again as if it had never gone, but for the number of its attempts. One that runs is let be."""
    row = run.row(task, index)
    if run.status[row] in (TaskStatus.WAITING, TaskStatus.RUNNING):
        return
    cx.move_row(run, row, task, "reopened")
    run.failures[row] = run.losses[row] = 0
    run.started[row] = run.finished[row] = 0
    run.header.grown.pop(row, None)
    run.header.repeated.pop(row, None)
    run.header.whys.pop(row, None)
    run.header.outcomes.pop(row, None)
    cx.note(TaskReopened(run.run, task, index))


def _reopen_below(cx: Context, run: RunState, tasks: set[int]) -> set[int]:
    """Downstream rows that did not run because of what was upstream, or were about to. Returns their tasks."""
    found: set[int] = set()
    for task in sorted(run.plan.below(tasks)):
        if run.first_row[task] < 0:
            if run.task_final[task] in _STUCK:
                run.header.whys.pop(~task, None)
                found.add(task)
            continue
        single = task not in run.mapped_counts
        rows = run.rows_of(task)
        stuck = [row - rows.start for row in rows if run.status[row] in _HELD]
        for index in stuck:
            reopen_row(cx, run, task, NO_INDEX if single else index)
        if stuck:
            found.add(task)
    return found


def _reopen_all_below(cx: Context, run: RunState, rows: list[Row], unborn: list[int]) -> set[int]:
    """Everything downstream waits again; along same_index needs only the paired rows do. Returns the tasks."""
    chosen: dict[int, set[int] | None] = dict.fromkeys(unborn)
    for task, index in rows:
        known = chosen.setdefault(task, set())
        if known is not None:
            known.add(index)
    begun = set(chosen)
    for task in run.plan.order:
        if task not in chosen:
            continue
        indexes = chosen[task]
        for down in run.plan.downs(task):
            paired = task in run.plan.paired(down) and indexes is not None and NO_INDEX not in indexes
            if not paired:
                chosen[down] = None
            elif (known := chosen.setdefault(down, set())) is not None:
                known.update(indexes or ())
    for task, indexes in chosen.items():
        _reopen_task(cx, run, task, indexes)
    return set(chosen) - begun


def _reopen_task(cx: Context, run: RunState, task: int, indexes: set[int] | None) -> None:
    if run.live_of_task.get(task, 0):
        return  # a setup that runs already
    run.header.whys.pop(~task, None)
    if task not in run.mapped_counts:
        reopen_row(cx, run, task, NO_INDEX)
        return
    if run.first_row[task] < 0:
        return
    if indexes is None and any("needs" in text for text in run.plan.tasks[task].row_texts):
        dropped = run.rows_of(task)
        cx.note(TaskReopened(run.run, task, NO_INDEX))
        run.drop_rows(task)  # its items depend on what goes again: they are looked up anew
        cx.changes.runs.add(run.run)
        cx.changes.chunks.update((run.run, row // CHUNK_ROWS) for row in dropped)
        return
    for index in range(run.row_count[task]) if indexes is None else sorted(indexes):
        reopen_row(cx, run, task, index)


def _reopen_guards(cx: Context, run: RunState, tasks: set[int]) -> set[int]:
    """A teardown downstream of what goes again has undone its setups: they go again too. Returns both."""
    found: set[int] = set()
    for task, spec in enumerate(run.plan.tasks):
        if not spec.teardown or run.task_final[task] not in (TaskStatus.SUCCEEDED, TaskStatus.FAILED):
            continue
        if task in tasks or task in run.plan.below(tasks):
            for guard in (task, *(run.plan.index[name] for name in spec.teardown_for)):
                _reopen_task(cx, run, guard, None)
                found.add(guard)
    return found
