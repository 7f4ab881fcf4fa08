"""Rows of a run, attempts of a row, and reasons why rows do not run."""

from collections.abc import Sequence
from posixpath import join
from typing import Any

import msgspec

from engine.core.events import Measured
from engine.core.state import Attempt, EngineState, RunState, Settings
from engine.model.ids import NO_INDEX
from engine.model.instants import SECOND, optional_text
from engine.model.status import AttemptStatus, Outcome, OutcomeKind, TaskStatus
from engine.protocol.rows import AttemptRow, ReasonRow, TaskRow
from engine.server.look import Look
from engine.server.packing import Packed, pack, short_text, short_value
from engine.server.shape import Place, status_of


def packed_tasks(look: Look, run: RunState, places: Sequence[Place]) -> list[Packed]:
    """The rows at the places. A row that is as it was is not encoded again."""
    cache = look.packed_rows
    found: list[Packed | None] = []
    missing: list[tuple[int, Place, object]] = []
    for place in places:
        mark = _mark(look, run, place)
        known = cache.get((run.run, place.row)) if place.row >= 0 else None
        if known is not None and known[0] == mark:
            found.append(known[1])
        else:
            missing.append((len(found), place, mark))
            found.append(None)
    if missing:
        attempts = look.attempts_of_places(run, [place for _, place, _ in missing])
        for at, place, mark in missing:
            packed = found[at] = pack(task_row(look, run, place, attempts.get(place)))
            if place.row >= 0:
                cache[run.run, place.row] = (mark, packed)
    return [packed for packed in found if packed is not None]


def _mark(look: Look, run: RunState, place: Place) -> object:
    """Everything that the row's encoding depends on, as cheap to compare as can be."""
    row = place.row
    if row < 0:
        return None
    attempt = look.state.attempt_of_row(run, row)
    still = why_still(look.state, attempt)
    live = (attempt.attempt, attempt.status, attempt.pid, attempt.log, still) if attempt is not None else None
    why = run.header.whys.get(row) if run.header.whys else None
    known = place.task in run.items
    own = run.header.settings.get(run.plan.names[place.task]) if run.header.settings else None
    return run.status[row], run.tries[row], run.started[row], run.finished[row], live, why, known, own


def task_row(look: Look, run: RunState, place: Place, attempt: Attempt | None) -> TaskRow:
    """One row. What the newest attempt came to is shown once the row is no longer where it was before it."""
    name, index = run.plan.names[place.task], None if place.item == NO_INDEX else place.item
    status = TaskStatus(status_of(run, place))
    if place.row < 0:
        return TaskRow(task=name, index=index, status=status.text, why=short_text(run.header.whys.get(~place.task, "")))
    row = place.row
    outcome = attempt.outcome if attempt is not None and status is not TaskStatus.WAITING else None
    why = why_of_row(run, row, status, outcome) or why_still(look.state, attempt)
    items = run.items.get(place.task) if index is not None else None
    item = items[index] if items is not None and index is not None and index < len(items) else None
    ended = attempt is not None and not attempt.live
    return TaskRow(
        task=name, index=index, status=status.text, attempts=run.tries[row],
        started_at=optional_text(run.started[row]),
        finished_at=optional_text(run.finished[row]) if status.finished else None,
        outcome=outcome.text if outcome else None, exit_code=outcome.exit_code if outcome else None,
        signal=outcome.signal if outcome else None, why=short_text(why), pid=(attempt.pid or None) if attempt else None,
        max_rss=attempt.usage.max_rss_bytes if attempt and ended else None,
        cpu_seconds=attempt.usage.cpu_ns / SECOND if attempt and ended else None,
        log=_log(look, attempt) if attempt else None, item=short_value(item),
        suspended=attempt is not None and attempt.status is AttemptStatus.SUSPENDED,
        enforced=dict(attempt.levels) if attempt is not None else {},
        settings=shown_settings(run.header.settings.get(name)),
    )  # fmt: skip


def shown_settings(settings: Settings | None) -> dict[str, int]:
    """Those that were changed."""
    if settings is None:
        return {}
    return {name: value for name, value in msgspec.structs.asdict(settings).items() if value is not None}


def why_of_row(run: RunState, row: int, status: TaskStatus, outcome: Outcome | None) -> str:
    """Why a row is where it is: what was decided about it, else how its newest attempt ended if it did not succeed."""
    known = run.header.whys.get(row, "")
    if known or outcome is None or outcome.kind is OutcomeKind.SUCCEEDED:
        return known
    return outcome.sentence() if status.finished or status is TaskStatus.BACKING_OFF else ""


def why_still(state: EngineState, attempt: Attempt | None) -> str:
    """Why an attempt that runs is to stand still; empty if it is not."""
    if attempt is None or not attempt.frozen:
        return ""
    if attempt.paused:
        return "paused; others may have its CPUs" if attempt.released else "paused"
    if attempt.pause is not None and attempt.pause.for_row is not None:
        return f"suspended for {state.name_of(*attempt.pause.for_row)} (higher priority)"
    return "waits for its CPUs, to go on"


def _log(look: Look, attempt: Attempt) -> dict[str, Any] | None:
    log = attempt.log
    if not log.path:
        return None
    return {"path": join(look.logs, log.path), "offset": log.offset, "length": log.length}


def attempt_row(look: Look, run: RunState, attempt: Attempt) -> AttemptRow:
    """One attempt."""
    outcome, ended, measured = attempt.outcome, not attempt.live, attempt.measured or Measured()
    return AttemptRow(
        task=run.plan.names[attempt.task], index=None if attempt.index == NO_INDEX else attempt.index,
        number=attempt.number, attempt=attempt.attempt, status=attempt.status.text,
        ordered_at=optional_text(attempt.ordered_ns), started_at=optional_text(attempt.started_ns),
        finished_at=optional_text(attempt.finished_ns), outcome=outcome.text if outcome else None,
        sentence=short_text(outcome.sentence()) if outcome else "", exit_code=outcome.exit_code if outcome else None,
        signal=outcome.signal if outcome else None, pid=attempt.pid or None,
        max_rss=attempt.usage.max_rss_bytes if ended else None,
        cpu_seconds=attempt.usage.cpu_ns / SECOND if ended else None, log=_log(look, attempt),
        used=outcome.used if outcome and outcome.limit else None, limit=(outcome.limit or None) if outcome else None,
        suspended_seconds=attempt.still_ns / SECOND if attempt.still_ns else None, enforced=dict(attempt.levels),
        values=measured.values, notes=measured.notes, marks=measured.marks,
    )  # fmt: skip


def attempts_of_row(look: Look, run: RunState, task: int, index: int) -> list[Attempt]:
    """All attempts of a row, oldest first, the live one as it is in memory."""
    live = look.state.attempt_of_row(run, run.row(task, index))
    kept = look.history.attempts_of(run.run, task, index)
    return [attempt for attempt in kept if live is None or attempt.number != live.number] + ([live] if live else [])


def reason_row(look: Look, run: RunState, place: Place) -> ReasonRow:
    """Why the row does not run."""
    rank, predicted_ns, reasons = look.explainer().reasons(run, place.task, place.item)
    return ReasonRow(
        task=run.plan.names[place.task], index=None if place.item == NO_INDEX else place.item,
        status=TaskStatus(status_of(run, place)).text, rank=rank,
        predicted_start=optional_text(predicted_ns or 0),
        reasons=[msgspec.structs.asdict(reason) for reason in reasons],
    )  # fmt: skip
