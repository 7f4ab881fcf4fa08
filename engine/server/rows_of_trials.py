"""What the trials of a run measured. What they come to is for the client to say: it may leave some of them out."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from engine.core.events import Measured
from engine.core.state import Attempt, RunState
from engine.model.campaign import MEASURED_ALWAYS, TRIAL
from engine.model.ids import NO_INDEX
from engine.model.instants import SECOND
from engine.model.status import TaskStatus
from engine.protocol.rows import MetricRow, TrialRow
from engine.server.look import Look
from engine.server.packing import short_map
from engine.server.shape import Place, count_in, matching, status_of

_ENDED = frozenset(int(status) for status in (TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED))


def metric_rows(run: RunState, tasks: Iterable[int]) -> Iterator[MetricRow]:
    """What was declared, and what is known of every attempt."""
    for task in tasks:
        campaign = run.plan.tasks[task].campaign
        for metric in (*(campaign.metrics if campaign is not None else ()), *MEASURED_ALWAYS):
            yield MetricRow(task=run.plan.names[task], metric=metric.name, unit=metric.unit, better=metric.better)


def places_of_trials(run: RunState, tasks: Sequence[int], offset: int, limit: int) -> tuple[list[Place], int]:
    """A window over the rows that have ended, in the order of their indexes, and how many there are."""
    return list(islice(matching(run, tasks, _ENDED), offset, offset + limit)), count_in(run, tasks, _ENDED)


def trial_rows(look: Look, run: RunState, places: Sequence[Place], names: frozenset[str]) -> Iterator[TrialRow]:
    """A row of each place; without values where it has no attempt on record."""
    found = look.attempts_of_places(run, places)
    return (_trial_row(run, place, found.get(place), names) for place in places)


def _trial_row(run: RunState, place: Place, attempt: Attempt | None, names: frozenset[str]) -> TrialRow:
    cell, trial = _cell(run, place)
    values = values_of(attempt) if attempt is not None else {}
    measured = (attempt.measured if attempt is not None else None) or Measured()
    return TrialRow(
        task=run.plan.names[place.task], index=None if place.item == NO_INDEX else place.item, cell=short_map(cell),
        trial=trial, status=TaskStatus(status_of(run, place)).text, attempts=attempt.number if attempt else 0,
        values={name: value for name, value in values.items() if not names or name in names},
        marks=measured.marks, notes=measured.notes, noise=_noise(measured),
    )  # fmt: skip


def values_of(attempt: Attempt) -> dict[str, float]:
    """What it reported, and what is known of it without a report."""
    known = {
        "duration": (attempt.finished_ns - attempt.started_ns) / SECOND,
        "cpu": attempt.usage.cpu_ns / SECOND,
        "max_rss": float(attempt.usage.max_rss_bytes),
    }
    return {**known, **(attempt.measured.values if attempt.measured is not None else {})}


def _cell(run: RunState, place: Place) -> tuple[dict[str, Any], int]:
    """The parameters and the number of a trial; rows of other tasks all belong to one cell."""
    if not run.plan.tasks[place.task].has_trials or place.row < 0:
        return {}, place.item + 1 if place.item != NO_INDEX else 1
    item = dict(run.items[place.task][place.item])
    return item, item.pop(TRIAL)


def _noise(measured: Measured) -> dict[str, Any]:
    sides = {"before": measured.before, "during": measured.during}
    return {side: msgspec.structs.asdict(noise) for side, noise in sides.items() if noise is not None}
