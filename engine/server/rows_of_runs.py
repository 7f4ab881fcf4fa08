"""Runs, and the tasks of a run as groups of rows."""

from collections.abc import Sequence

from engine.core.state import Attempt, RunHeader, RunState
from engine.model.ids import NO_INDEX, backfill_text, run_text
from engine.model.instants import optional_text
from engine.model.status import TaskStatus
from engine.model.workflow import Action, Command, Shell
from engine.protocol.rows import GroupRow, RunRow
from engine.server.look import Look
from engine.server.packing import short_map, short_text
from engine.server.rows_of_tasks import shown_settings, why_of_row, why_still
from engine.server.shape import Place, status_of

_STATUSES = tuple(TaskStatus)
_NAMED = 3
_NEEDS_SHOWN = 1_000
_FAILED_LOOKED_AT = 256
_ACTION_CHARS = 400
_ENDED_BADLY = frozenset((TaskStatus.FAILED, TaskStatus.BACKING_OFF, TaskStatus.CANCELLED))
_TRIED = tuple(status for status in TaskStatus if status not in (TaskStatus.WAITING, TaskStatus.READY))


def run_row(header: RunHeader, folder: str = "") -> RunRow:
    """One run."""
    return RunRow(
        run=run_text(header.run), workflow=header.workflow, version=header.version, status=header.status.text,
        queued_at=optional_text(header.queued_ns), started_at=optional_text(header.started_ns),
        finished_at=optional_text(header.finished_ns), tasks=counted(counts_of(header)), trigger=header.trigger,
        due_at=optional_text(header.due_ns), note=short_text(header.note), actor=header.actor.name, folder=folder,
        params=short_map(header.params), partition=header.partition,
        backfill=backfill_text(header.backfill) if header.backfill else None, settings=settings_of(header),
    )  # fmt: skip


def counts_of(header: RunHeader) -> list[int]:
    """Rows by status. A mapped task whose items are not known counts as one row."""
    counts = list(header.counts)
    for _task, first, _count, final in header.tasks:
        if first < 0:
            counts[final if final < len(counts) else TaskStatus.WAITING] += 1
    return counts


def settings_of(header: RunHeader) -> dict[str, dict[str, int]]:
    """What was changed for the run, by task."""
    return {task: shown_settings(own) for task, own in header.settings.items()}


def counted(counts: Sequence[int]) -> dict[str, int]:
    return {status.text: counts[status] for status in _STATUSES if counts[status]}


def group_rows(look: Look, run: RunState, tasks: Sequence[int]) -> list[GroupRow]:
    """One row for each of the tasks."""
    running = _longest_running(look, run, set(tasks))
    depth = look.plans.of(run.plan).depth
    single = {task: Place(task, NO_INDEX, task) for task in tasks if task not in run.mapped_counts}
    tried = look.attempts_of_places(run, [place for place in single.values() if _did_not_succeed(run, place)])
    return [
        _group_row(
            look, run, task, depth[task], running.get(task, ()), tried.get(single[task]) if task in single else None
        )
        for task in tasks
    ]


def _did_not_succeed(run: RunState, place: Place) -> bool:
    return run.status[place.row] in _ENDED_BADLY


def _group_row(
    look: Look, run: RunState, task: int, depth: int, running: tuple[str, ...], attempt: Attempt | None
) -> GroupRow:
    """`attempt`: the newest of a task without `for_each`, where its outcome explains the status."""
    spec = run.plan.tasks[task]
    counts = run.task_counts(task)
    if run.first_row[task] < 0:
        counts[status_of(run, Place(task, NO_INDEX, -1))] += 1
    status = run.task_status(task)
    why = run.header.whys.get(~task, "")
    if not spec.mapped:
        why = why or why_of_row(run, task, status, attempt.outcome if attempt is not None else None)
        why = why or why_still(look.state, look.state.attempt_of_row(run, task))
    return GroupRow(
        task=spec.name, status=status.text, mapped=spec.mapped, rows=run.row_count[task], tasks=counted(counts),
        depth=depth, needs=tuple(run.plan.names[up] for up in run.plan.ups(task)[:_NEEDS_SHOWN]),
        started_at=optional_text(_started_ns(look, run, task, counts)), running=running,
        finished_at=optional_text(_finished_ns(run, task)) if status.finished else None,
        failed=_newest_failed(run, task, counts), why=short_text(why), description=short_text(spec.description),
        action=action_text(spec.action), max_parallel=run.max_parallel(task),
        attempts=0 if spec.mapped else run.tries[task], priority=run.priority(task),
        settings=shown_settings(run.header.settings.get(spec.name)),
    )  # fmt: skip


def action_text(action: Action) -> str:
    """What a task does, in one line."""
    if isinstance(action, Command):
        text = " ".join(action.argv)
    elif isinstance(action, Shell):
        lines = action.script.strip().splitlines()
        text = lines[0] + (" ..." if len(lines) > 1 else "") if lines else ""
    else:
        text = action.target
    return text[:_ACTION_CHARS]


def _longest_running(look: Look, run: RunState, tasks: set[int]) -> dict[int, tuple[str, ...]]:
    """By task, the names of the rows that run longest."""
    by_task: dict[int, list[tuple[int, int]]] = {}
    attempts = look.state.attempts
    for number in set(run.live.values()):
        attempt = attempts.get(number)
        if attempt is not None and attempt.task in tasks:
            began, index = attempt.started_ns or attempt.ordered_ns, attempt.index
            if attempt.is_block:
                began, index = attempt.newest_ns, index + attempt.done
            by_task.setdefault(attempt.task, []).append((began, index))
    return {
        task: tuple(run.text(task, index) for _, index in sorted(found)[:_NAMED]) for task, found in by_task.items()
    }


def _started_ns(look: Look, run: RunState, task: int, counts: Sequence[int]) -> int:
    """When the first row of the task started; 0 if none has.

    Later starts never change which was first, so the row that was found is remembered and only checked.
    """
    if task not in run.mapped_counts:
        return run.started[task]
    rows = run.rows_of(task)
    if not rows or not any(counts[status] for status in _TRIED):
        return 0
    known = look.earliest.get((run.run, task))
    if known is not None and known[1] in rows and run.started[known[1]] == known[0]:
        return known[0]
    starts = enumerate(run.started[rows.start : rows.stop], rows.start)
    found = min(((at, row) for row, at in starts if at), default=(0, 0))
    look.earliest[run.run, task] = found
    return found[0]


def _finished_ns(run: RunState, task: int) -> int:
    """When the last row of a task that has ended did; 0 if it has no rows."""
    rows = run.rows_of(task)
    return max(run.finished[rows.start : rows.stop], default=0)


def _newest_failed(run: RunState, task: int, counts: Sequence[int]) -> tuple[str, ...]:
    """A few of the rows that failed, the newest first; of very many, among the first ones."""
    if task not in run.mapped_counts or not counts[TaskStatus.FAILED]:
        return ()
    found: list[tuple[int, int]] = []
    rows = run.rows_of(task)
    at = run.status.find(TaskStatus.FAILED, rows.start, rows.stop)
    while at >= 0 and len(found) < _FAILED_LOOKED_AT:
        found.append((-run.finished[at], at))
        at = run.status.find(TaskStatus.FAILED, at + 1, rows.stop)
    return tuple(run.text(task, row - rows.start) for _, row in sorted(found)[:_NAMED])
