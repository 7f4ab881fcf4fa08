"""The host and the engine's standing things: resources, workflows, schedules."""

from collections import Counter
from typing import Any

import msgspec

from engine.core.state import EngineState, WorkflowEntry
from engine.model.ids import run_text
from engine.model.instants import duration_text, optional_text
from engine.model.status import TaskStatus
from engine.model.workflow import Param, Schedule, Workflow
from engine.protocol.rows import EngineRow, ResourcesRow, ScheduleRow, WorkflowRow
from engine.server.look import Look
from engine.server.packing import MAP_BYTES_MAX, short_text, short_value

_HOLDERS = 100
_PARAMS_SHOWN = 1_000


def engine_row(look: Look, clients: int) -> EngineRow:
    return msgspec.structs.replace(look.world.engine_row(), clients=clients, revision=look.revision)


def resources_row(look: Look) -> ResourcesRow:
    """Capacity, what live attempts claim of it, and what the host really uses."""
    state, use = look.state, look.world.host_use()
    claimed: Counter[str] = Counter()
    cpu_milli = memory_bytes = 0
    for attempt in state.holding():
        cpu_milli += attempt.claim.cpu_milli
        memory_bytes += attempt.claim.memory_bytes
        for name, slots in attempt.claim.pools:
            claimed[name] += slots
    slots_of = _pools(state)
    capacity = state.capacity
    return ResourcesRow(
        cpus=capacity.cpu_milli / 1000, cpus_claimed=cpu_milli / 1000, cpus_used=use.cpus,
        memory=capacity.memory_bytes, memory_claimed=memory_bytes, memory_available=use.memory_available_bytes,
        memory_used=use.memory_used_bytes,
        load=use.load,
        pools={name: {"slots": slots, "claimed": claimed[name]} for name, slots in sorted(slots_of.items())},
        running=len(state.attempts), ready=sum(run.header.counts[TaskStatus.READY] for run in state.runs.values()),
        holders=_holders(look, use.rss_bytes),
    )  # fmt: skip


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
    live = sorted(
        state.holding(),
        key=lambda held: (-held.claim.cpu_milli, -held.claim.memory_bytes, held.attempt),
    )
    return [
        {
            "row": state.runs[held.run].text(held.task, held.index), "run": run_text(held.run),
            "cpu": held.claim.cpu_milli / 1000, "memory": held.claim.memory_bytes,
            "pools": dict(held.claim.pools), "rss": rss_bytes.get(held.attempt),
        }
        for held in live[:_HOLDERS]
    ]  # fmt: skip


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
