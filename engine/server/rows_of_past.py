"""A run at a past moment, as rows: what of a run's rows follows from statuses alone."""

from collections.abc import Sequence

from engine.core.replay import Replay
from engine.core.state import RunState
from engine.model.ids import NO_INDEX, run_text
from engine.model.instants import optional_text
from engine.model.status import TaskStatus
from engine.protocol.rows import GroupRow, MomentRow, TaskRow
from engine.server.look import Look
from engine.server.packing import short_text
from engine.server.rows_of_runs import action_text, counted, counts_of, settings_of
from engine.server.rows_of_tasks import shown_settings
from engine.server.shape import Place, status_of

_NEEDS_SHOWN = 1_000


def moment_row(past: Replay, *, reached: bool) -> MomentRow:
    header = past.run.header
    header.tasks = past.run.mapped_tasks()
    return MomentRow(
        run=run_text(header.run), workflow=header.workflow, revision=past.revision, at=optional_text(past.at_ns),
        status=header.status.text, tasks=counted(counts_of(header)), reached=reached, settings=settings_of(header),
    )  # fmt: skip


def past_groups(look: Look, run: RunState, tasks: Sequence[int]) -> list[GroupRow]:
    """One row for each of the tasks."""
    depth = look.plans.of(run.plan).depth
    return [_group(run, task, depth[task]) for task in tasks]


def _group(run: RunState, task: int, depth: int) -> GroupRow:
    spec, counts = run.plan.tasks[task], run.task_counts(task)
    if run.first_row[task] < 0:
        counts[status_of(run, Place(task, NO_INDEX, -1))] += 1
    return GroupRow(
        task=spec.name, status=run.task_status(task).text, mapped=spec.mapped, rows=run.row_count[task],
        tasks=counted(counts), depth=depth, needs=tuple(run.plan.names[up] for up in run.plan.ups(task)[:_NEEDS_SHOWN]),
        description=short_text(spec.description), action=action_text(spec.action), max_parallel=run.max_parallel(task),
        priority=run.priority(task), settings=shown_settings(run.header.settings.get(spec.name)),
    )  # fmt: skip


def past_tasks(run: RunState, places: Sequence[Place]) -> list[TaskRow]:
    """One row for each of the places."""
    return [
        TaskRow(
            task=run.plan.names[place.task], index=None if place.item == NO_INDEX else place.item,
            status=TaskStatus(status_of(run, place)).text,
        )
        for place in places
    ]  # fmt: skip
