"""Rows that sum up: when a run's tasks ran, how they went in the runs before, and figures over many rows.

Whatever the number of rows, a bounded number of them is looked at, evenly spread, and a bounded number of attempts is
read, so that none of these holds the loop for long.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from engine.core.state import Attempt, RunHeader, RunState
from engine.model.ids import NO_INDEX, run_text
from engine.model.instants import SECOND, optional_text, to_text
from engine.model.status import TaskStatus
from engine.protocol.rows import GridRow, LaneRow, StatsRow
from engine.server.look import Look
from engine.server.packing import short_text
from engine.server.rows_of_tasks import attempts_of_row, why_of_row
from engine.server.shape import Place, status_of

GRID_RUNS_MAX = 14
"""Fewer than the shelf holds, or loading one run for the grid would push another out without end."""
_GRID_ROWS_MAX = 100_000
_LOOKED_AT = 5_000
_LANE_ROWS = 20_000
_READ = 250
_PARTS = 60
_ATTEMPTS_SHOWN = 20
_CAUSES = 8
_NAMED = 3
_RAN = frozenset({int(TaskStatus.SUCCEEDED), int(TaskStatus.FAILED)})


# --- lanes ----------------------------------------------------------------------------------------------------------


def task_lanes(look: Look, run: RunState, tasks: Sequence[int]) -> list[LaneRow]:
    """A lane a task: its attempts, or how busy its many rows were."""
    lanes: list[LaneRow] = []
    most = max(_PARTS, _LANE_ROWS // max(1, sum(task in run.mapped_counts for task in tasks)))
    for task in tasks:
        if task in run.mapped_counts:
            lanes.append(_busy_lane(look, run, task, most))
        else:
            lanes.append(_lane(look, run, Place(task, NO_INDEX, run.first_row[task])))
    return lanes


def row_lanes(look: Look, run: RunState, places: Sequence[Place]) -> list[LaneRow]:
    """A lane a row."""
    return [_lane(look, run, place) for place in places]


def _lane(look: Look, run: RunState, place: Place) -> LaneRow:
    attempts = attempts_of_row(look, run, place.task, place.item) if place.row >= 0 and run.tries[place.row] else []
    return LaneRow(
        task=run.plan.names[place.task], index=None if place.item == NO_INDEX else place.item,
        status=TaskStatus(status_of(run, place)).text,
        spans=[_span(attempt) for attempt in attempts[-_ATTEMPTS_SHOWN:] if attempt.started_ns],
    )  # fmt: skip


def _span(attempt: Attempt) -> tuple[str, str | None, str]:
    if attempt.live:
        return to_text(attempt.started_ns), None, "running"
    how = attempt.outcome.text.partition(".")[0] if attempt.outcome else attempt.status.text
    return to_text(attempt.started_ns), to_text(attempt.finished_ns or attempt.started_ns), how


def _busy_lane(look: Look, run: RunState, task: int, most: int) -> LaneRow:
    """`most`: how many of its rows are looked at."""
    rows, now_ns = run.rows_of(task), look.state.meta.now_ns
    step = max(1, len(rows) // most)
    spans: list[tuple[int, int]] = []
    for row in range(rows.start, rows.stop, step):
        if run.started[row]:
            final = TaskStatus(run.status[row]).finished
            spans.append((run.started[row], run.finished[row] if final else now_ns))
    began = min((start for start, _ in spans), default=0)
    until = max((end for _, end in spans), default=0)
    counts = run.task_counts(task)
    return LaneRow(
        task=run.plan.names[task], index=None, status=run.task_status(task).text, mapped=True, rows=len(rows),
        tasks={status.text: counts[status] for status in TaskStatus if counts[status]},
        started_at=optional_text(began), until=optional_text(until), busy=_busy(spans, began, until, step),
    )  # fmt: skip


def _busy(spans: Sequence[tuple[int, int]], began: int, until: int, each: int) -> list[int]:
    """How many of the spans lie in each part of the time; each stands for so many rows."""
    if not spans:
        return []
    part = (until - began) // _PARTS + 1
    change = [0] * (_PARTS + 1)
    for start, end in spans:
        change[(start - began) // part] += each
        change[(max(start, end - 1) - began) // part + 1] -= each
    busy: list[int] = []
    running = 0
    for difference in change[:_PARTS]:
        running += difference
        busy.append(running)
    return busy


# --- grid -----------------------------------------------------------------------------------------------------------


def grid_rows(look: Look, run: RunState, tasks: Sequence[int], runs: int) -> list[GridRow]:
    """How the tasks went in the run and the `runs` - 1 before it of its workflow. Raises RunNeeded."""
    header = run.header
    page = look.history.runs_page(run.run, runs - 1, header.workflow, ()) if runs > 1 else ()
    live = [other.header for other in look.state.runs.values() if other.header.workflow == header.workflow]
    known = {other.run: other for other in (*page, *live) if other.run < run.run}
    before = [known[number] for number in sorted(known, reverse=True)][: runs - 1]
    cells: list[dict[str, str]] = [{run_text(run.run): run.task_status(task).text} for task in tasks]
    for other in before:
        statuses = _statuses_in(look, other, [run.plan.names[task] for task in tasks])
        for cell, status in zip(cells, statuses, strict=True):
            if status:
                cell[run_text(other.run)] = status
    return [GridRow(task=run.plan.names[task], cells=cell) for task, cell in zip(tasks, cells, strict=True)]


def _statuses_in(look: Look, header: RunHeader, names: Sequence[str]) -> list[str]:
    """The status of each task in another run; empty where that has no such task."""
    if header.rows > _GRID_ROWS_MAX and header.run not in look.state.runs:
        return ["unknown"] * len(names)
    other = look.run(header.run)
    found = [other.plan.index.get(name) for name in names]
    return ["" if task is None else other.task_status(task).text for task in found]


# --- figures --------------------------------------------------------------------------------------------------------


def stats_row(look: Look, run: RunState, task: int) -> StatsRow:
    """Figures over a task's rows, or over all rows where `task` is -1."""
    rows = range(len(run.status)) if task < 0 else run.rows_of(task)
    ended = [row for row in rows[:: max(1, len(rows) // _LOOKED_AT)] if run.status[row] in _RAN and run.started[row]]
    seconds = sorted((run.finished[row] - run.started[row]) / SECOND for row in ended)
    read = look.attempts_of_places(run, _places(run, ended[:: max(1, len(ended) // _READ)]))
    memory = sorted(attempt.usage.max_rss_bytes for attempt in read.values() if attempt.usage.max_rss_bytes)
    counts = run.header.counts if task < 0 else run.task_counts(task)
    return StatsRow(
        task="" if task < 0 else run.plan.names[task], rows=sum(counts),
        tasks={status.text: counts[status] for status in TaskStatus if counts[status]}, looked_at=len(ended),
        seconds=_quantiles(seconds), max_rss=_quantiles(memory),
        failures=_failures(look, run, rows),
    )  # fmt: skip


def _places(run: RunState, rows: Sequence[int]) -> list[Place]:
    """The places of rows. Rows of a task that was expanded anew since belong to none."""
    placed = [Place(*run.place(row), row) for row in rows]
    return [place for place in placed if run.row(place.task, place.item) == place.row]


Q = TypeVar("Q", int, float)


def _quantiles(values: Sequence[Q]) -> dict[str, Q]:
    """Of sorted values."""
    if not values:
        return {}
    last = len(values) - 1
    return {"p50": values[last // 2], "p90": values[last * 9 // 10], "p99": values[last * 99 // 100], "max": values[-1]}


def _failures(look: Look, run: RunState, rows: range) -> list[dict[str, Any]]:
    """The causes of failures among the first rows that failed."""
    found: list[int] = []
    at = run.status.find(TaskStatus.FAILED, rows.start, rows.stop)
    while at >= 0 and len(found) < _READ:
        found.append(at)
        at = run.status.find(TaskStatus.FAILED, at + 1, rows.stop)
    places = _places(run, found)
    attempts = look.attempts_of_places(run, places)
    by_cause: dict[str, list[str]] = {}
    for place in places:
        attempt = attempts.get(place)
        why = why_of_row(run, place.row, TaskStatus.FAILED, attempt.outcome if attempt else None)
        by_cause.setdefault(short_text(why), []).append(run.text(place.task, place.item))
    ranked = sorted(by_cause.items(), key=lambda item: -len(item[1]))
    return [{"why": why, "count": len(named), "rows": named[:_NAMED]} for why, named in ranked[:_CAUSES]]
