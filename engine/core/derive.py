"""What follows from a run's stored columns: counts, upstream counters, live rows. Called once when a run is loaded."""

from collections.abc import Iterable

from engine.core.state import NOT_FINAL, Attempt, RunState
from engine.model.status import TaskStatus


def derive(run: RunState, live: Iterable[Attempt]) -> None:
    """Recompute everything derived from the columns, the expansions in the header, and the run's live attempts."""
    tasks = len(run.plan)
    run.owner_of_row = []
    for task, first, count, final in run.header.tasks:
        run.first_row[task] = first
        run.row_count[task] = count
        run.task_final[task] = final
        if count:
            run.owner_of_row.append((first, task))
    run.owner_of_row.sort()
    for task, counts in run.mapped_counts.items():
        counts[:] = [0] * len(counts)
        rows = run.rows_of(task)
        for status in run.status[rows.start : rows.stop]:
            counts[status] += 1
    totals = [0] * len(TaskStatus)
    for task in range(tasks):
        if task not in run.mapped_counts:
            totals[run.status[task]] += 1
            if run.status[task] >= TaskStatus.SUCCEEDED:
                run.task_final[task] = run.status[task]
            else:
                run.task_final[task] = NOT_FINAL
    for counts in run.mapped_counts.values():
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
    run.header.counts = totals
    run.unfinished_tasks = sum(1 for final in run.task_final if final == NOT_FINAL)
    count_upstream(run, range(tasks))
    run.live = {}
    run.live_of_task = {}
    for attempt in live:
        first = run.row(attempt.task, attempt.index)
        run.live.update(dict.fromkeys(range(first + attempt.done, first + attempt.limit), attempt.attempt))
        run.live_of_task[attempt.task] = run.live_of_task.get(attempt.task, 0) + 1


def count_upstream(run: RunState, tasks: Iterable[int]) -> None:
    """Recompute how the upstream tasks of each of these tasks ended."""
    for task in tasks:
        success = failed = skipped = 0
        for up in run.plan.ups(task):
            final = run.task_final[up]
            if final == TaskStatus.SUCCEEDED:
                success += 1
            elif final == TaskStatus.SKIPPED:
                skipped += 1
            elif final != NOT_FINAL:
                failed += 1
        run.up_success[task] = success
        run.up_failed[task] = failed
        run.up_skipped[task] = skipped
