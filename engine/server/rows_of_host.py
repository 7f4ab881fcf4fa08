"""The host and the engine's standing things: resources, workflows, schedules."""

from collections import Counter
from heapq import nsmallest
from typing import Any

import msgspec

from engine.core.state import EngineState, WorkflowEntry
from engine.model.ids import NO_INDEX, run_text
from engine.model.instants import SECOND, duration_text, optional_text
from engine.model.status import TaskStatus
from engine.model.workflow import Param, Schedule, Workflow
from engine.protocol.rows import EngineRow, QueueRow, ResourcesRow, ScheduleRow, WorkflowRow
from engine.scheduling.fair_queue import Entry
from engine.server.look import Look
from engine.server.packing import MAP_BYTES_MAX, short_text, short_value
from engine.server.ports import Standing
from engine.server.rows_of_definition import claim_map
from engine.server.rows_of_tasks import why_still
from engine.server.standing import first_waiting

_HOLDERS = 100
_OWNERS = 100
_EXPLAINED_MAX = 20_000
"""In a longer queue ranks and reasons are told of those only that are asked for one by one."""
_PARAMS_SHOWN = 1_000


def engine_row(look: Look, clients: int) -> EngineRow:
    return msgspec.structs.replace(look.world.engine_row(), clients=clients, revision=look.revision)


def resources_row(look: Look) -> ResourcesRow:
    """Capacity, what live attempts claim of it, and what the host really uses."""
    state, use = look.state, look.world.host_use()
    claimed: Counter[str] = Counter()
    gpus = dict.fromkeys((uuid for uuid, _ in state.capacity.gpus), 0)
    mutexes: dict[str, str] = {}
    bound: set[int] = set()
    cpu_milli = memory_bytes = scratch_bytes = 0
    for attempt in state.holding():
        claim = attempt.held
        cpu_milli += claim.cpu_milli
        memory_bytes += claim.memory_bytes
        scratch_bytes += claim.scratch_bytes
        bound.update(attempt.binding.cpus)
        for name, slots in claim.pools:
            claimed[name] += slots
        for uuid, milli in attempt.binding.gpus:
            gpus[uuid] = gpus.get(uuid, 0) + milli
        for name in claim.mutexes:
            mutexes[name] = state.name_of(attempt.run, attempt.task, attempt.index)
    slots_of = _pools(state)
    capacity = state.capacity
    standing = look.world.standing()
    return ResourcesRow(
        cpus=capacity.cpu_milli / 1000, cpus_claimed=cpu_milli / 1000, cpus_used=use.cpus,
        memory=capacity.memory_bytes, memory_claimed=memory_bytes, memory_available=use.memory_available_bytes,
        memory_used=use.memory_used_bytes,
        load=use.load,
        pools={name: {"slots": slots, "claimed": claimed[name]} for name, slots in sorted(slots_of.items())},
        running=len(state.attempts), ready=sum(run.header.counts[TaskStatus.READY] for run in state.runs.values()),
        holders=_holders(look, use.rss_bytes),
        scratch=capacity.scratch_bytes, scratch_claimed=scratch_bytes, scratch_free=use.scratch_free_bytes,
        gpus={uuid: milli / 1000 for uuid, milli in gpus.items()},
        gpus_used={
            one.uuid: {"busy": one.busy_percent, "memory": one.memory_used_bytes}
            for one in use.gpus if one.uuid in gpus
        },
        mutexes=dict(sorted(mutexes.items())),
        cores=len(capacity.cores), cores_bound=sum(not bound.isdisjoint(cpus) for _, cpus in capacity.cores),
        reservation=_reservation(state, standing),
        admission=standing.level, pressure=list(standing.pressure), cpus_others=standing.cpus_of_others,
        owners=[
            {"owner": owner.owner, "weight": owner.weight, "share": owner.share, "used": owner.used_s}
            for owner in standing.owners[:_OWNERS]
        ],
    )  # fmt: skip


def _reservation(state: EngineState, standing: Standing) -> dict[str, Any] | None:
    entry = standing.reserved
    if entry is None or entry.run not in state.runs:
        return None
    run = state.runs[entry.run]
    return {
        "run": run_text(run.run), "row": run.text(*run.place(entry.low)),
        "since": optional_text(standing.since_ns), "due": optional_text(standing.due_ns),
    }  # fmt: skip


def _pools(state: EngineState) -> dict[str, int]:
    """All pools by name: the host's, and those that workflows which were added or run declare for themselves."""
    slots = dict(state.capacity.pools)
    plans = [state.plans[entry.version] for entry in state.workflows.values() if entry.version in state.plans]
    for plan in (*plans, *(run.plan for run in state.runs.values())):
        for name, count in plan.workflow.pools:
            slots[f"{plan.workflow.name}/{name}"] = count
    return slots


def _holders(look: Look, rss_bytes: dict[int, int]) -> list[dict[str, Any]]:
    """Live attempts, those that hold most first."""
    state = look.state
    live = nsmallest(
        _HOLDERS, state.holding(),
        key=lambda held: (not held.claim.exclusive, -held.held.cpu_milli, -held.claim.memory_bytes, held.attempt),
    )  # fmt: skip
    return [
        {
            "row": state.runs[held.run].text(held.task, held.index), "run": run_text(held.run),
            "owner": state.runs[held.run].owner, "since": optional_text(held.started_ns or held.ordered_ns),
            "cpu": held.held.cpu_milli / 1000, "released": (held.claim.cpu_milli - held.held.cpu_milli) / 1000,
            "still": why_still(state, held), "memory": held.claim.memory_bytes, "pools": dict(held.claim.pools),
            "gpus": {uuid: milli / 1000 for uuid, milli in held.binding.gpus}, "scratch": held.claim.scratch_bytes,
            "mutexes": held.claim.mutexes, "cpus": held.binding.cpus, "exclusive": held.claim.exclusive,
            "rss": rss_bytes.get(held.attempt), "enforced": dict(held.levels),
        }
        for held in live
    ]  # fmt: skip


def queue_rows(look: Look, offset: int, limit: int) -> tuple[list[QueueRow], int]:
    """What waits for room, from a place on, and how many stretches of rows wait in all."""
    waiting, total = look.world.waiting(offset + limit)
    reserved, told = look.world.standing().reserved, total <= _EXPLAINED_MAX
    return [_queue_row(look, entry, reserved, told=told) for entry in waiting[offset:]], total


def _queue_row(look: Look, entry: Entry, reserved: Entry | None, *, told: bool) -> QueueRow:
    run = look.state.runs[entry.run]
    first = first_waiting(look.state, entry)
    task, index = run.place(first)
    rank, _, reasons = look.explainer().reasons(run, task, index) if told else (None, None, [])
    priority, backfill = entry.band
    return QueueRow(
        run=run_text(run.run), task=run.plan.names[task], index=None if index == NO_INDEX else index,
        rows=1 if entry.attempt else run.status.count(TaskStatus.READY, first, entry.high), rank=rank,
        owner=entry.owner, priority=-priority, backfill=backfill,
        reserved=entry is reserved, expected=entry.expected_ns / SECOND if entry.expected_ns else None,
        claim=claim_map(entry.claim),
        reasons=[msgspec.structs.asdict(reason) for reason in reasons],
    )  # fmt: skip


def workflow_rows(look: Look) -> list[WorkflowRow]:
    """All workflows that were added, by name."""
    return [_workflow_row(look, entry) for _, entry in sorted(look.state.workflows.items())]


def _workflow_row(look: Look, entry: WorkflowEntry) -> WorkflowRow:
    workflow = look.state.plans[entry.version].workflow
    newest = look.newest_of(entry.name)[:1]
    return WorkflowRow(
        workflow=entry.name, version=entry.version, paused=entry.paused, tasks=len(workflow.tasks),
        owner=workflow.owner, tags=workflow.tags, description=short_text(workflow.description),
        schedules=tuple(schedule_names(workflow)), next_at=optional_text(_next_due(entry)),
        added_at=optional_text(entry.added_ns), last_run=run_text(newest[0].run) if newest else None,
        last_status=newest[0].status.text if newest else None, file=workflow.source.file,
        params=_params(workflow), fault=short_text(look.world.fault_of(entry.name)),
    )  # fmt: skip


def _next_due(entry: WorkflowEntry) -> int:
    return min((due for due in entry.next_due if due), default=0)


def _params(workflow: Workflow) -> list[dict[str, Any]]:
    """The declared parameters; of very many only names and types."""
    shown = [_param(param) for param in workflow.params]
    if len(msgspec.json.encode(shown)) <= MAP_BYTES_MAX:
        return shown
    return [{"name": param.name, "type": param.type} for param in workflow.params[:_PARAMS_SHOWN]]


def _param(param: Param) -> dict[str, Any]:
    """A declared parameter; without `default` it must be given."""
    shown: dict[str, Any] = {
        "name": param.name, "type": param.type, "choices": short_value(list(param.choices)),
        "description": short_text(param.description),
    }  # fmt: skip
    if param.default is not msgspec.UNSET:
        shown["default"] = short_value(param.default)
    return shown


def schedule_rows(look: Look) -> list[ScheduleRow]:
    """All schedules of all workflows, by workflow."""
    rows: list[ScheduleRow] = []
    for _, entry in sorted(look.state.workflows.items()):
        workflow = look.state.plans[entry.version].workflow
        if not workflow.schedules:
            continue
        last = next((header for header in look.newest_of(entry.name) if header.trigger == "schedule"), None)
        for number, name in enumerate(schedule_names(workflow)):
            schedule = workflow.schedules[number]
            due = entry.next_due[number] if number < len(entry.next_due) else 0
            rows.append(
                ScheduleRow(
                    workflow=entry.name, schedule=name, timezone=schedule.timezone, paused=entry.paused,
                    next_at=optional_text(due), last_at=optional_text(last.due_ns) if last else None,
                    last_run=run_text(last.run) if last else None, catch_up=workflow.catch_up,
                    if_running=workflow.if_running,
                )
            )  # fmt: skip
    return rows


def schedule_names(workflow: Workflow) -> list[str]:
    """What each schedule is called: its text, numbered where the same text comes again."""
    names: list[str] = []
    seen: Counter[str] = Counter()
    for schedule in workflow.schedules:
        text = _schedule_text(schedule)
        seen[text] += 1
        names.append(text if seen[text] == 1 else f"{text} #{seen[text]}")
    return names


def _schedule_text(schedule: Schedule) -> str:
    return schedule.cron or f"every {duration_text(schedule.interval_ns)}"
