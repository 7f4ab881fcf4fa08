"""Backfills as clients ask for them: dates turned into instants, what earlier runs there were, and rows."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from engine.core.backfills import Known, due_instants, partitions_of
from engine.core.events import BackfillScope
from engine.core.runs import partition_of
from engine.core.state import Backfill, WorkflowEntry
from engine.model.errors import NotFound, ValueFault
from engine.model.ids import backfill_text, is_name, run_text
from engine.model.instants import from_datetime, from_text, optional_text, to_text
from engine.model.workflow import Workflow
from engine.protocol.messages import ListPartitions, OfPartitions
from engine.protocol.rows import BackfillRow, PartitionRow
from engine.server.look import Look
from engine.server.packing import short_map, short_text

_DATE_CHARS = len("2026-11-23")
_YEARS = range(1970, 2200)


def scope_of(look: Look, request: OfPartitions) -> tuple[WorkflowEntry, Workflow, BackfillScope]:
    """The workflow that is meant, and which of its partitions. Raises EngineError."""
    if not is_name(request.workflow):
        raise ValueFault(f"{request.workflow[:80]!r} is no name of a workflow")
    entry = look.state.workflows.get(request.workflow)
    if entry is None:
        raise NotFound(
            f"there is no workflow {request.workflow!r}",
            "`orchctl workflows` lists them, `orchctl add FILE` adds one",
        )
    workflow = look.state.plans[entry.version].workflow
    schedules = workflow.schedules
    number = request.schedule - 1 if 0 < request.schedule <= len(schedules) else 0
    zone = ZoneInfo(schedules[number].timezone if schedules else "UTC")
    first_ns, last_ns = _instant(request.since, zone, whole_day=False), _instant(request.until, zone, whole_day=True)
    scope = BackfillScope(first_ns, last_ns, request.schedule, request.order, request.reprocess, request.most)
    return entry, workflow, scope


def _instant(text: str, zone: ZoneInfo, *, whole_day: bool) -> int:
    """The instant of a text: a date is its first moment in the zone, or (`whole_day`) its last."""
    shown = text[:80]
    try:
        day = date.fromisoformat(text) if len(text) == _DATE_CHARS else None
    except ValueError:
        raise ValueFault(f"{shown!r} is no date such as 2026-11-23") from None
    if day is None:
        try:
            found = from_text(shown)
        except ValueFault as fault:
            raise ValueFault(fault.sentence, "a day such as 2026-11-23 will do as well") from None
        if not 0 <= found < from_datetime(datetime(_YEARS.stop, 1, 1, tzinfo=ZoneInfo("UTC"))):
            raise ValueFault(f"{shown!r} is not between the years {_YEARS.start} and {_YEARS.stop}")
        return found
    if day.year not in _YEARS:
        raise ValueFault(f"{shown!r} is not between the years {_YEARS.start} and {_YEARS.stop}")
    if not whole_day:
        return max(_midnight(day, zone), 0)
    return _midnight(day + timedelta(days=1), zone) - 1


def _midnight(day: date, zone: ZoneInfo) -> int:
    return from_datetime(datetime(day.year, day.month, day.day, tzinfo=zone))


def known_runs(look: Look, workflow: Workflow, scope: BackfillScope) -> Known:
    """What is on record of the partitions of the scope. Raises ValueFault."""
    return look.history.newest_of_partitions(workflow.name, due_instants(workflow, scope))


def partition_rows(look: Look, question: ListPartitions) -> list[PartitionRow]:
    """What a backfill would do, without doing it. Raises EngineError."""
    _, workflow, scope = scope_of(look, question)
    found = partitions_of(look.state, workflow, scope, known_runs(look, workflow, scope), look.world.wall_ns())
    return [
        PartitionRow(
            partition=one.partition, due_at=to_text(one.due_ns), runs=not one.why, why=one.why,
            run=run_text(one.run) if one.run else None,
        )
        for one in found
    ]  # fmt: skip


def backfill_rows(look: Look) -> list[BackfillRow]:
    """All that are known, the newest first."""
    return [_row(look, backfill) for _, backfill in sorted(look.state.backfills.items(), reverse=True)]


def _row(look: Look, backfill: Backfill) -> BackfillRow:
    plan = look.plan_of(backfill.version) if backfill.pending else None
    return BackfillRow(
        backfill=backfill_text(backfill.backfill), workflow=backfill.workflow, version=backfill.version,
        status=backfill.status.text, partitions=backfill.partitions, left_out=backfill.left_out,
        pending=len(backfill.pending), active=[run_text(run) for run in backfill.active],
        ended={status: count for status, count in backfill.ended.items() if count}, since=to_text(backfill.first_ns),
        until=to_text(backfill.last_ns), order=backfill.order, reprocess=backfill.reprocess,
        max_active=backfill.max_active, made_at=optional_text(backfill.made_ns),
        finished_at=optional_text(backfill.finished_ns),
        next_partition=partition_of(plan.workflow, backfill.pending[-1]) if plan is not None else None,
        params=short_map(backfill.params), actor=backfill.actor.name, note=short_text(backfill.note),
    )  # fmt: skip
