"""What happened at a moment, told in a line: the events of one change, the weightiest first, those alike as one."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from engine.protocol.rows import EventRow
from orchctl.console.drawing import Line, fitted
from orchctl.console.runlines import row_name
from orchctl.text import count_text, inert

_ASKED = {
    "RunPauseRequested": "asked to pause", "RunResumeRequested": "asked to resume",
    "CancelRequested": "asked to cancel", "RetryRequested": "asked to retry",
    "RerunRequested": "asked to run again", "MarkRequested": "marked",
    "SettingsChangeRequested": "changed settings of",
}  # fmt: skip
_ROWS = {
    "RowsReleased": (4, "became ready"), "AttemptOrdered": (6, "got room"), "AttemptStarted": (5, "started"),
    "AttemptSuspended": (3, "stood still"), "AttemptResumed": (3, "went on"),
    "AttemptPreempted": (1, "had to make room"), "AttemptNeverStarted": (1, "could not be started"),
    "AttemptLost": (1, "was lost"), "RetryScheduled": (1, "is to be tried again"), "TaskReopened": (3, "waits again"),
    "TrialRepeated": (1, "goes again, as the host disturbed it"), "BlockStarted": (5, "started"),
    "RowsReturned": (4, "was given back"),
}  # fmt: skip
"""By event: its weight (1 is told first) and what became of the row."""
_ENDS = {"upstream_failed": "failed upstream", "skipped": "was skipped", "cancelled": "was cancelled"}
_BAD = frozenset(("AttemptLost", "AttemptNeverStarted", "RetryScheduled"))


class _Told(NamedTuple):
    weight: int
    does: str
    style: str
    task: str
    row: str
    many: int
    why: str = ""


def told(events: Sequence[EventRow], width: int) -> Line:
    """What happened, in at most `width` columns."""
    ends = {(row.task, row.index): row for row in events if row.event == "AttemptExited"}
    found = [piece for row in events if (piece := _piece(row, ends)) is not None]
    groups: dict[tuple[int, str, str], list[_Told]] = {}
    for piece in found:
        groups.setdefault((piece.weight, piece.does, piece.task), []).append(piece)
    line: Line = []
    for key in sorted(groups, key=lambda key: key[0]):
        pieces = groups[key]
        first, count = pieces[0], sum(piece.many for piece in pieces)
        who = first.row if count == 1 else f"{count_text(count, 'row')} of {first.task}"
        why = f": {first.why}" if first.why else ""
        line += [("; ", "dim")] if line else []
        line.append((f"{who} {first.does}{why}".strip(), first.style))
    return fitted(line or [("nothing that a row shows", "dim")], width)


def _piece(row: EventRow, ends: dict[tuple[str | None, int | None], EventRow]) -> _Told | None:
    details, name = row.details, row_name(row.task or "", row.index) if row.task else ""
    if row.event in _ASKED:
        return _asked(row)
    if row.event in ("RunStarted", "RunStatusChanged", "RunFinished"):
        return _of_run(row)
    if row.event == "Expanded":
        return _Told(4, f"has {count_text(int(details.get('count') or 0), 'row')}", "plain", row.task or "", name, 1)
    if row.event == "TaskFinished":
        status = inert(details.get("status") or "ended")
        outcome = ends.get((row.task, row.index))
        why = inert(details.get("why") or "") or (_outcome(outcome) if outcome is not None else "")
        weight, style = (1, "red") if status == "failed" else (2, "plain")
        return _Told(weight, _ended(status), style, row.task or "", name, 1, why if status != "succeeded" else "")
    if row.event == "RetryScheduled":
        outcome = ends.get((row.task, row.index))
        return _Told(1, "is to be tried again", "yellow", row.task or "", name, 1, _outcome(outcome) if outcome else "")
    known = _ROWS.get(row.event)
    if known is None:
        return None
    count = int(details.get("count") or 1) if row.event == "RowsReleased" else 1
    why = inert(details.get("why") or "") if row.event in _BAD else ""
    return _Told(known[0], known[1], "yellow" if row.event in _BAD else "plain", row.task or "", name, count, why)


def _asked(row: EventRow) -> _Told:
    details = row.details
    verb = _ASKED[row.event]
    what = row.task or ""
    rows = cast("list[dict[str, Any]]", details.get("rows") or [])
    if rows:
        index = rows[0].get("index")
        named = row_name(inert(rows[0].get("task")), index if isinstance(index, int) and index >= 0 else None)
        what = named if len(rows) == 1 else count_text(len(rows), "row")
    status = f" as {inert(details['status'])}" if row.event == "MarkRequested" and details.get("status") else ""
    note = f" ({inert(details['note'])})" if details.get("note") else ""
    who = inert(details.get("actor") or "somebody")
    does = f"{verb} {what or 'the run'}{status}{note}"
    return _Told(0, does, "yellow", "", who, 1)


def _of_run(row: EventRow) -> _Told:
    if row.event == "RunStarted":
        return _Told(0, "began", "strong", "", "the run", 1)
    status = inert(row.details.get("status") or "ended")
    does = f"is {status}" if row.event == "RunStatusChanged" else _ended(status)
    return _Told(0, does, "red" if status == "failed" else "strong", "", "the run", 1)


def _ended(status: str) -> str:
    return _ENDS.get(status, status)


def _outcome(row: EventRow) -> str:
    """How an attempt ended."""
    outcome = cast("dict[str, Any]", row.details.get("outcome") or {})
    if outcome.get("exit_code"):
        return f"exit {outcome['exit_code']}"
    if outcome.get("signal"):
        return f"signal {outcome['signal']}"
    why = inert(outcome.get("why") or "")
    said = inert(outcome.get("outcome") or "")
    return f"{said}: {why}" if why else said
