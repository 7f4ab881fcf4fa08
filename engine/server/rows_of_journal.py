"""The journal and the audit as rows. Numbers by which the machine names tasks become names here."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, cast

import msgspec

from engine.core.events import AnyEvent, Ask
from engine.model.ids import NO_INDEX, backfill_text, run_text
from engine.model.instants import to_text
from engine.model.status import Outcome
from engine.planning.plan import Plan
from engine.protocol.rows import AuditRow, EventRow
from engine.server.look import Look
from engine.server.packing import short_value
from engine.server.ports import AuditLine, JournalEntry

_OWN_FIELDS = frozenset({"run", "task", "index", "attempt", "ask", "at_ns"})


class Names:
    """Finds the names of tasks for a page of the journal; each run's plan is looked up once."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._names: dict[int, Sequence[str]] = {}

    def task(self, run: int, task: int) -> str:
        """The name of a task; its number where the run is not known any more."""
        names = self._names.get(run)
        if names is None:
            names = self._names[run] = self._of_run(run)
        return names[task] if task < len(names) else f"#{task}"

    def _of_run(self, number: int) -> Sequence[str]:
        run = self._look.state.runs.get(number) or self._look.shelf.get(number)
        if run is not None:
            return run.plan.names
        page = self._look.history.runs_page(number + 1, 1, "", ())
        if not page or page[0].run != number:
            return ()
        plan: Plan | None = self._look.plan_of(page[0].version)
        if plan is not None:
            return plan.names
        workflow = self._look.history.workflow(page[0].version)
        return tuple(task.name for task in workflow.tasks) if workflow is not None else ()


def event_row(entry: JournalEntry, names: Names) -> EventRow:
    """One entry."""
    event, run = entry.event, entry.run
    at_ns: int = getattr(event, "at_ns", entry.at_ns)
    return EventRow(
        revision=entry.revision, at=to_text(at_ns), event=type(event).__name__,
        run=run_text(run) if run else None, task=names.task(run, entry.task) if run and entry.task >= 0 else None,
        index=None if entry.index == NO_INDEX else entry.index, attempt=getattr(event, "attempt", 0) or None,
        details=_details(event),
    )  # fmt: skip


def _details(event: AnyEvent) -> dict[str, Any]:
    """The event's further fields. Of a request, who asked; of a result, its length."""
    details: dict[str, Any] = {}
    for name in event.__struct_fields__:
        if name not in _OWN_FIELDS:
            value = getattr(event, name)
            details[name] = backfill_text(value) if name == "backfill" else short_value(_shown(value))
    ask = getattr(event, "ask", None)
    if isinstance(ask, Ask):
        details["actor"] = ask.actor.name
        details["via"] = ask.actor.via
    return details


def _shown(value: object) -> object:
    if isinstance(value, IntEnum):
        return value.name.lower()
    if isinstance(value, bytes):
        return {"bytes": len(value)}
    if isinstance(value, Outcome):
        over = {"used": value.used, "limit": value.limit} if value.limit else {}
        return {"outcome": value.text, "exit_code": value.exit_code, "signal": value.signal, "why": value.why, **over}
    if isinstance(value, msgspec.Struct):
        return {name: _shown(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return [_shown(inner) for inner in cast("tuple[object, ...]", value)]
    return value


def audit_row(line: AuditLine) -> AuditRow:
    entry = line.entry
    return AuditRow(
        revision=line.revision, at=to_text(line.at_ns), uid=entry.actor.uid, actor=entry.actor.name,
        via=entry.actor.via, place=entry.actor.place, verb=entry.verb, target=entry.target, result=entry.result,
        note=entry.note,
    )  # fmt: skip
