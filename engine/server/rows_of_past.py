"""A run at a past moment, as rows. Statuses and counts follow from the journal alone; when things began and ended is
in the records of the run as it is now, and is told as far as it lies before the moment.
"""

from collections.abc import Sequence
from itertools import islice

from engine.core.replay import Replay
from engine.core.state import RunState
from engine.model.ids import NO_INDEX, run_text
from engine.model.instants import from_text, optional_text, to_text
from engine.model.status import TaskStatus
from engine.protocol.rows import GroupRow, LaneRow, MomentRow, TaskRow
from engine.server.folding import Item, fold_row
from engine.server.look import Look
from engine.server.packing import short_text
from engine.server.rows_of_figures import row_lanes, task_lanes
from engine.server.rows_of_runs import action_text, counted, counts_of, settings_of
from engine.server.rows_of_tasks import shown_settings
from engine.server.shape import Place, matching, status_of

_NEEDS_SHOWN = 1_000
_NAMED = 3


def moment_row(past: Replay, *, reached: bool) -> MomentRow:
    header = past.run.header
    header.tasks = past.run.mapped_tasks()
    return MomentRow(
        run=run_text(header.run), workflow=header.workflow, revision=past.revision, at=optional_text(past.at_ns),
        status=header.status.text, tasks=counted(counts_of(header)), reached=reached, settings=settings_of(header),
    )  # fmt: skip


def past_items(look: Look, now: RunState, past: Replay, items: Sequence[Item]) -> list[GroupRow]:
    """One row for each of the tasks, and for several that are shown as one."""
    depth = look.plans.of(now.plan).depth
    return [
        _group(now, past, item, depth[item]) if isinstance(item, int) else fold_row(past.run, item, depth[item[0]])
        for item in items
    ]


def past_groups(look: Look, now: RunState, past: Replay, tasks: Sequence[int]) -> list[GroupRow]:
    """One row for each of the tasks."""
    return past_items(look, now, past, tasks)


def _group(now: RunState, past: Replay, task: int, depth: int) -> GroupRow:
    run = past.run
    spec, counts = run.plan.tasks[task], run.task_counts(task)
    if run.first_row[task] < 0:
        counts[status_of(run, Place(task, NO_INDEX, -1))] += 1
    status = run.task_status(task)
    began, ended = (0, 0) if spec.mapped else _times(now, past, Place(task, NO_INDEX, task), status)
    return GroupRow(
        task=spec.name, status=status.text, mapped=spec.mapped, rows=run.row_count[task],
        tasks=counted(counts), depth=depth, needs=tuple(run.plan.names[up] for up in run.plan.ups(task)[:_NEEDS_SHOWN]),
        description=short_text(spec.description), action=action_text(spec.action), max_parallel=run.max_parallel(task),
        priority=run.priority(task), settings=shown_settings(run.header.settings.get(spec.name)),
        started_at=optional_text(began), finished_at=optional_text(ended),
        running=_named(run, task, TaskStatus.RUNNING), failed=_named(run, task, TaskStatus.FAILED),
    )  # fmt: skip


def _named(run: RunState, task: int, status: TaskStatus) -> tuple[str, ...]:
    """A few of a mapped task's rows that had a status."""
    if task not in run.mapped_counts:
        return ()
    found = islice(matching(run, [task], frozenset({status})), _NAMED)
    return tuple(run.text(place.task, place.item) for place in found)


def past_tasks(now: RunState, past: Replay, places: Sequence[Place]) -> list[TaskRow]:
    """One row for each of the places."""
    return [_task(now, past, place) for place in places]


def _task(now: RunState, past: Replay, place: Place) -> TaskRow:
    status = TaskStatus(status_of(past.run, place))
    began, ended = _times(now, past, place, status)
    return TaskRow(
        task=now.plan.names[place.task], index=None if place.item == NO_INDEX else place.item, status=status.text,
        started_at=optional_text(began), finished_at=optional_text(ended),
    )  # fmt: skip


def _times(now: RunState, past: Replay, place: Place, status: TaskStatus) -> tuple[int, int]:
    """When the row's newest attempt began and ended, as far as that lies before the moment; 0 where it does not."""
    if now.first_row[place.task] < 0 or place.item >= now.row_count[place.task]:
        return 0, 0
    row = now.row(place.task, place.item)
    began, ended = now.started[row], now.finished[row]
    if not began or began > past.at_ns:
        return 0, 0
    return began, ended if status.finished and ended <= past.at_ns else 0


# --- lanes ----------------------------------------------------------------------------------------------------------


def past_lanes(look: Look, now: RunState, past: Replay, tasks: Sequence[int]) -> list[LaneRow]:
    """A lane a task, up to the moment."""
    run, until = past.run, to_text(past.at_ns)
    lanes: list[LaneRow] = []
    for lane, task in zip(task_lanes(look, now, tasks), tasks, strict=True):
        counts = counted(run.task_counts(task)) if lane.mapped else {}
        lanes.append(_cut(lane, until, run.task_status(task).text, run.row_count[task] if lane.mapped else 1, counts))
    return lanes


def past_row_lanes(look: Look, now: RunState, past: Replay, places: Sequence[Place]) -> list[LaneRow]:
    """A lane a row, up to the moment."""
    until = to_text(past.at_ns)
    known = [Place(place.task, place.item, now.row(place.task, place.item)) for place in places]
    return [
        _cut(lane, until, TaskStatus(status_of(past.run, place)).text, 1, {})
        for lane, place in zip(row_lanes(look, now, known), places, strict=True)
    ]


def _cut(lane: LaneRow, until: str, status: str, rows: int, tasks: dict[str, int]) -> LaneRow:
    """The lane without what came after an instant. Instants have one form, so that their texts have their order."""
    spans: list[tuple[str, str | None, str]] = [
        (began, ended, how) if ended is not None and ended <= until else (began, None, "running")
        for began, ended, how in lane.spans
        if began <= until
    ]
    busy, end = _busy_until(lane, until)
    return LaneRow(
        task=lane.task, index=lane.index, status=status, mapped=lane.mapped, rows=rows, tasks=tasks,
        started_at=lane.started_at if busy else None, until=end, spans=spans, busy=busy,
    )  # fmt: skip


def _busy_until(lane: LaneRow, until: str) -> tuple[list[int], str | None]:
    """How busy the rows were in the parts of the time that had begun, and when the last of these ends."""
    if lane.started_at is None or lane.until is None or lane.started_at > until:
        return [], None
    if lane.until <= until:
        return lane.busy, lane.until
    began, ended, parts = from_text(lane.started_at), from_text(lane.until), len(lane.busy)
    kept = min(parts, (from_text(until) - began) * parts // (ended - began) + 1)
    return lane.busy[:kept], to_text(began + (ended - began) * kept // parts)
