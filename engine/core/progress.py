"""How the end of a row spreads: to its task, to the tasks downstream, to the run.

Nothing recurses: a task whose upstream has changed is put on the unsettled list, and `settle` works it off, so a chain
of a million tasks that is skipped needs no stack.
"""

from engine.core.context import Context
from engine.core.derive import count_upstream
from engine.core.events import Expanded, RowsReleased, RunFinished, TaskFinished, TaskReopened
from engine.core.runs import leave_backfill, leave_workflow
from engine.core.scope import holds, items_of, when_is_per_row
from engine.core.state import NOT_FINAL, RunState, chunks_of
from engine.model.errors import EngineError, ValueFault
from engine.model.ids import NO_INDEX
from engine.model.status import RunStatus, TaskStatus
from engine.scheduling.trigger_rules import Upstream, Verdict, verdict

HISTORIES_MAX = 200
HISTORY_TASKS_MAX = 20_000
_STATUSES = tuple(TaskStatus)
_CAUSE = {
    Verdict.SKIP: "skipped",
    Verdict.UPSTREAM_FAILED: "upstream_failed",
}


def finish_row(
    cx: Context, run: RunState, task: int, index: int, cause: str, why: str = "", *, at_ns: int = 0, alone: bool = True
) -> None:
    """The row reaches a final status by `cause` (a line of the transition table), now or (`at_ns`) when its attempt
    ended. If it is not `alone`, others of its task are about to, and whoever says so has the task summed up after them.
    """
    row = run.row(task, index)
    status = cx.move_row(run, row, task, cause)
    run.finished[row] = at_ns or cx.now_ns
    cx.explain_row(run, row, why)
    cx.note(TaskFinished(run.run, task, index, status, why))
    if index != NO_INDEX:
        release_pairs(cx, run, task, index)
    if alone:
        sum_up_if_over(cx, run, task)


def sum_up_if_over(cx: Context, run: RunState, task: int) -> None:
    """With its last row a task has ended."""
    if run.task_final[task] == NOT_FINAL and run.rows_finished(task):
        finish_task(cx, run, task, sum_up(run, task))


def finish_task(cx: Context, run: RunState, task: int, status: TaskStatus, why: str = "") -> None:
    """The task as a whole has ended; those that need it are to be looked at."""
    run.task_final[task] = status
    run.unfinished_tasks -= 1
    cx.changes.runs.add(run.run)
    cx.explain_row(run, ~task, why)
    if task in run.mapped_counts and run.first_row[task] < 0:
        cx.note(TaskFinished(run.run, task, NO_INDEX, status, why))
    tally = run.up_success if status == TaskStatus.SUCCEEDED else run.up_failed
    if status == TaskStatus.SKIPPED:
        tally = run.up_skipped
    for down in reversed(run.plan.downs(task)):
        tally[down] += 1
        cx.unsettled.append((run, down))


def sum_up(run: RunState, task: int) -> TaskStatus:
    """The status of a task from its rows: as many may fail as the task tolerates."""
    counts = run.mapped_counts.get(task)
    if counts is None:
        return _STATUSES[run.status[task]]
    if counts[TaskStatus.CANCELLED]:
        return TaskStatus.CANCELLED
    allowed = run.tolerated(task)
    if counts[TaskStatus.FAILED] > allowed:
        return TaskStatus.FAILED
    if counts[TaskStatus.UPSTREAM_FAILED] > allowed - counts[TaskStatus.FAILED]:
        return TaskStatus.UPSTREAM_FAILED
    if counts[TaskStatus.SUCCEEDED] or counts[TaskStatus.FAILED]:
        return TaskStatus.SUCCEEDED
    return TaskStatus.SKIPPED


def settle(cx: Context) -> None:
    """Look at every task whose upstream has changed until nothing follows any more, and end the runs that are over.

    The end of a run may start one that waited for it, so both are done until neither leads to anything.
    """
    while True:
        while cx.unsettled:
            run, task = cx.unsettled.pop()
            cx.changes.runs.add(run.run)
            consider(cx, run, task)
        for number in list(cx.changes.runs):
            run = cx.state.runs[number]
            if run.unfinished_tasks == 0 and not run.live and not run.header.status.finished:
                finish_run(cx, run)
        if not cx.unsettled:
            return


def consider(cx: Context, run: RunState, task: int) -> None:
    """Release, skip or give up what of a task has not begun, if its rule now says so."""
    if run.task_final[task] != NOT_FINAL or run.header.status is RunStatus.QUEUED:
        return
    counts = run.mapped_counts.get(task)
    if counts is None:
        if run.status[task] == TaskStatus.WAITING:
            _consider_single(cx, run, task)
    elif run.first_row[task] < 0:
        _consider_mapped(cx, run, task)
    elif counts[TaskStatus.WAITING]:
        rows = run.rows_of(task)
        for index in [row - rows.start for row in rows if run.status[row] == TaskStatus.WAITING]:
            consider_row(cx, run, task, index)
    if run.task_final[task] == NOT_FINAL and run.first_row[task] >= 0 and run.rows_finished(task):
        finish_task(cx, run, task, sum_up(run, task))


def _upstream(run: RunState, task: int) -> Upstream:
    total = run.plan.up_start[task + 1] - run.plan.up_start[task]
    finals = [run.task_final[setup] for setup in run.plan.setups(task)]
    return Upstream(total, run.up_success[task], run.up_failed[task], run.up_skipped[task], *_tally(finals))


def _tally(finals: list[int]) -> tuple[int, int, int]:
    """Of setups: how many, how many succeeded, how many were skipped."""
    return len(finals), finals.count(TaskStatus.SUCCEEDED), finals.count(TaskStatus.SKIPPED)


def _consider_single(cx: Context, run: RunState, task: int) -> None:
    if is_ending(run, task):
        finish_row(cx, run, task, NO_INDEX, "cancelled")
        return
    decision = verdict(run.plan.policy(task).trigger_rule, _upstream(run, task))
    if decision is Verdict.WAIT:
        return
    if decision is not Verdict.GO:
        finish_row(cx, run, task, NO_INDEX, _CAUSE[decision])
        return
    _release(cx, run, task, NO_INDEX)


def _release(cx: Context, run: RunState, task: int, index: int) -> None:
    """The rule allows the row; `when` has the last word."""
    if run.plan.has_when[task]:
        try:
            allowed = holds(run, task, index)
        except EngineError as error:
            finish_row(cx, run, task, index, "failed", f"when: {error.sentence}")
            return
        if not allowed:
            finish_row(cx, run, task, index, "skipped", "when is false")
            return
    row = run.row(task, index)
    cx.move_row(run, row, task, "released")
    cx.note(RowsReleased(run.run, task, index))
    cx.enqueue(run, task, range(row, row + 1))


def _consider_mapped(cx: Context, run: RunState, task: int) -> None:
    if is_ending(run, task):
        finish_task(cx, run, task, TaskStatus.CANCELLED)
        return
    pairs = run.plan.paired(task)
    if pairs:
        if not _pairs_are_known(run, task, pairs):
            return
    else:
        decision = verdict(run.plan.policy(task).trigger_rule, _upstream(run, task))
        if decision is Verdict.WAIT:
            return
        if decision is not Verdict.GO:
            status = TaskStatus.SKIPPED if decision is Verdict.SKIP else TaskStatus.UPSTREAM_FAILED
            finish_task(cx, run, task, status)
            return
    try:
        _expand(cx, run, task, pairs)
    except EngineError as error:
        what = "matrix" if run.plan.tasks[task].has_trials else "for_each"
        finish_task(cx, run, task, TaskStatus.FAILED, f"{what}: {error.sentence}")


def _pairs_are_known(run: RunState, task: int, pairs: list[int]) -> bool:
    """Whether all paired upstream tasks have their rows (or never will), and all others have ended."""
    for up in run.plan.ups(task):
        if run.task_final[up] == NOT_FINAL and (up not in pairs or run.first_row[up] < 0):
            return False
    return True


def _expand(cx: Context, run: RunState, task: int, pairs: list[int]) -> None:
    spec = run.plan.tasks[task]
    per_row = bool(spec.when) and when_is_per_row(run, task)
    if spec.when and not per_row and not holds(run, task, NO_INDEX):
        finish_task(cx, run, task, TaskStatus.SKIPPED, "when is false")
        return
    for up in pairs:
        if run.first_row[up] < 0:  # it ended without rows, so there is nothing to pair with
            skipped = run.task_final[up] in (TaskStatus.SKIPPED, TaskStatus.SUCCEEDED)
            finish_task(cx, run, task, TaskStatus.SKIPPED if skipped else TaskStatus.UPSTREAM_FAILED)
            return
    items = items_of(run, task)
    for up in pairs:
        if run.row_count[up] != len(items):
            name, count = run.plan.names[up], run.row_count[up]
            raise ValueFault(f"it has {len(items)} items but {name}, its same_index need, has {count}")
    run.items[task] = items
    run.append_rows(task, len(items))
    cx.changes.items.add((run.run, task))
    cx.note(Expanded(run.run, task, len(items)))
    cx.unsettled.extend((run, down) for down in run.plan.downs(task) if task in run.plan.paired(down))
    rows = run.rows_of(task)
    if rows:
        cx.changes.chunks.update((run.run, chunk) for chunk in chunks_of(rows))
        _release_rows(cx, run, task, rows, one_by_one=per_row or bool(pairs))
    else:
        what = "matrix" if spec.has_trials else "for_each"
        finish_task(cx, run, task, TaskStatus.SKIPPED, f"{what} gave no items")


def _release_rows(cx: Context, run: RunState, task: int, rows: range, *, one_by_one: bool) -> None:
    if one_by_one:
        for index in range(len(rows)):
            consider_row(cx, run, task, index)
        return
    run.set_rows(rows, task, TaskStatus.WAITING, TaskStatus.READY)
    cx.note(RowsReleased(run.run, task, 0, len(rows)))
    cx.enqueue(run, task, rows)


def release_pairs(cx: Context, run: RunState, task: int, index: int) -> None:
    """A row has ended: the rows that are paired with it may go."""
    for down in run.plan.downs(task):
        if run.first_row[down] >= 0 and task in run.plan.paired(down):
            consider_row(cx, run, down, index)


def consider_row(cx: Context, run: RunState, task: int, index: int) -> None:
    """Release, skip or give up one row of an expanded task, by the rows that it is paired with and its other needs."""
    row = run.row(task, index)
    if run.status[row] != TaskStatus.WAITING:
        return
    if is_ending(run, task):
        finish_row(cx, run, task, index, "cancelled")
        return
    decision = verdict(run.plan.policy(task).trigger_rule, _row_upstream(run, task, index))
    if decision is Verdict.GO:
        _release(cx, run, task, index)
    elif decision is not Verdict.WAIT:
        finish_row(cx, run, task, index, _CAUSE[decision])


def _row_upstream(run: RunState, task: int, index: int) -> Upstream:
    success = failed = skipped = 0
    start, end = run.plan.up_start[task], run.plan.up_start[task + 1]
    setups, finals = run.plan.setups(task), list[int]()
    for edge in range(start, end):
        up = run.plan.upstream[edge]
        status = run.status[run.row(up, index)] if run.plan.same_index[edge] else run.task_final[up]
        if status == TaskStatus.SUCCEEDED:
            success += 1
        elif status == TaskStatus.SKIPPED:
            skipped += 1
        elif TaskStatus.SUCCEEDED < status < NOT_FINAL:
            failed += 1
        if up in setups:
            finals.append(status)
    return Upstream(end - start, success, failed, skipped, *_tally(finals))


def is_ending(run: RunState, task: int) -> bool:
    """Whether nothing more of the task shall begin. Teardowns of a cancelled run still do, not of a killed one."""
    header = run.header
    return header.status is RunStatus.CANCELLING and (header.killed or not run.plan.teardown[task])


def finish_run(cx: Context, run: RunState) -> None:
    """All tasks have ended. A failed teardown does not fail the run; any other failed or upstream_failed task does."""
    seen = {final for task, final in enumerate(run.task_final) if not run.plan.teardown[task]}
    if TaskStatus.FAILED in seen or TaskStatus.UPSTREAM_FAILED in seen:
        cause = "failed"
    elif TaskStatus.CANCELLED in seen:
        cause = "cancelled"
    else:
        cause = "succeeded"
    if run.header.status is RunStatus.CANCELLING and TaskStatus.CANCELLED in seen:
        cause = "cancelled"
    status = cx.move_run(run, cause, quiet=True)
    run.header.finished_ns = cx.now_ns
    if status is RunStatus.SUCCEEDED and 1 < len(run.plan) <= HISTORY_TASKS_MAX:
        while len(cx.took_before) >= HISTORIES_MAX:
            del cx.took_before[next(iter(cx.took_before))]
        cx.took_before[run.plan.version] = run.took_ns()
    cx.changes.finished_runs.add(run.run)
    cx.note(RunFinished(run.run, status))
    leave_backfill(cx, run)
    leave_workflow(cx, run)


def reopen_tasks(cx: Context, run: RunState, tasks: set[int]) -> None:
    """The tasks count as not ended again, and they and those that need them are looked at."""
    affected = set(tasks)
    for task in tasks:
        affected.update(run.plan.downs(task))
        if run.task_final[task] != NOT_FINAL:
            run.task_final[task] = NOT_FINAL
            run.unfinished_tasks += 1
            if task in run.mapped_counts and run.first_row[task] < 0:
                cx.note(TaskReopened(run.run, task, NO_INDEX))
    count_upstream(run, affected)
    cx.unsettled.extend((run, task) for task in sorted(affected, reverse=True))
