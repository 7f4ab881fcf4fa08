"""The beginning of runs: requested, checked, queued behind an earlier one if so declared, started."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from engine.core.context import Context, own_pools
from engine.core.events import RunQueued, RunRequested, RunSkipped, RunStarted
from engine.core.state import CHUNK_ROWS, RunHeader, RunState, WorkflowEntry
from engine.expressions.params import bind_params
from engine.model.errors import NotFound, Unavailable, ValueFault
from engine.model.ids import run_text
from engine.model.instants import SECOND
from engine.model.resources import Reason, size_text
from engine.model.status import RunStatus
from engine.model.workflow import Workflow
from engine.planning.paths import remaining_paths_ns
from engine.planning.plan import Plan

QUEUED_RUNS_MAX = 1_000


def on_run_requested(cx: Context, event: RunRequested) -> None:
    """A person (or a program) asks for a run: it is made whatever else of the workflow goes on."""
    plan = cx.state.plans.get(event.version)
    if plan is None:
        raise NotFound(f"workflow {event.workflow!r} has no version {event.version!r}")
    if cx.state.meta.read_only:
        raise Unavailable("the engine is read-only: its disk or map is nearly full", "free space, then try again")
    run = make_run(cx, plan, event)
    start_run(cx, run)
    body: dict[str, object] = {
        "run": run_text(run.run),
        "workflow": plan.workflow.name,
        "version": plan.version,
    }
    cx.accept(event.ask, "submit", f"{run_text(run.run)} {plan.workflow.name}", body, event.note)


def make_run(cx: Context, plan: Plan, event: RunRequested) -> RunState:
    """A queued run. Raises EngineError, with nothing changed, for bad parameters or claims that cannot be met."""
    check_claims(cx, plan)
    partition = partition_of(plan.workflow, event.due_ns or cx.wall_ns)
    params = bind_params(plan.workflow, event.params, partition)
    meta = cx.state.meta
    header = RunHeader(
        run=meta.next_run, workflow=plan.workflow.name, version=plan.version, params=params, trigger=event.trigger,
        due_ns=event.due_ns, note=event.note, actor=event.ask.actor, queued_ns=cx.now_ns, partition=partition,
    )  # fmt: skip
    meta.next_run += 1
    run = RunState(header, plan)
    cx.state.runs[run.run] = run
    if plan.workflow.pools:
        cx.refresh_pools(header.workflow)
    cx.changes.new_runs.add(run.run)
    cx.changes.runs.add(run.run)
    cx.changes.versions.add(plan.version)
    for row in range(0, len(run.status), CHUNK_ROWS):
        cx.touch(run, row)
    cx.note(RunQueued(run.run, header.workflow, header.version))
    return run


def start_run(cx: Context, run: RunState) -> None:
    """The run's first tasks are looked at."""
    cx.move_run(run, "started", quiet=True)
    run.header.started_ns = cx.now_ns
    cx.note(RunStarted(run.run))
    plan = run.plan
    took_ns = cx.took_before.get(plan.version)
    if took_ns is not None:
        run.paths_ns = remaining_paths_ns(plan, took_ns)
    first = [task for task in range(len(plan)) if not plan.ups(task) or plan.policy(task).trigger_rule == "always"]
    cx.unsettled.extend((run, task) for task in reversed(first))
    entry = cx.state.workflows.get(run.header.workflow)
    if entry is not None:
        entry.active.append(run.run)
        cx.changes.workflows.add(entry.name)


def queue_run(cx: Context, entry: WorkflowEntry, run: RunState) -> None:
    """The run waits until those of its workflow that go on have ended."""
    entry.waiting.append(run.run)
    cx.changes.workflows.add(entry.name)


def leave_workflow(cx: Context, ended: RunState) -> None:
    """A run has ended: it is neither active nor waiting any more."""
    entry = cx.state.workflows.get(ended.header.workflow)
    for numbers in (entry.active, entry.waiting) if entry is not None else ():
        if ended.run in numbers:
            numbers.remove(ended.run)
            cx.changes.workflows.add(ended.header.workflow)
    if ended.plan.workflow.pools:
        cx.refresh_pools(ended.header.workflow)
    start_waiting(cx, ended.header.workflow)


def start_waiting(cx: Context, workflow: str) -> None:
    """The oldest run that waits for the workflow may start, if nothing else of it goes on."""
    entry = cx.state.workflows.get(workflow)
    if entry is None:
        return
    while entry.waiting and not entry.active:
        run = cx.state.runs[entry.waiting[0]]
        if run.header.status is not RunStatus.QUEUED:  # paused while it waited: it keeps its place
            return
        entry.waiting.pop(0)
        start_run(cx, run)


def skip_run(cx: Context, workflow: str, due_ns: int, why: str) -> None:
    """A trigger makes no run."""
    cx.note(RunSkipped(workflow, due_ns, why))


def check_claims(cx: Context, plan: Plan) -> None:
    """Refuse a workflow that claims what this host can never give. Raises ValueFault with all the numbers."""
    own = own_pools(plan)
    faults: list[str] = []
    for number in range(len(plan.workflow.policies)):
        short = cx.ledger.impossible(cx.claim_of(plan, number), own)
        if short:
            users = [task.name for task in plan.tasks if task.policy == number]
            if users:
                faults.append(f"{_some(users)}: " + "; ".join(_impossible(reason) for reason in short))
    if faults:
        hint = "lower the claim, or raise the capacity under [host] or the pool in config.toml"
        raise ValueFault("this host can never meet these claims: " + " | ".join(faults), hint)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _impossible(reason: Reason) -> str:
    asked, available = f"{reason.asked:g}", f"{reason.available:g}"
    if reason.resource == "memory" and reason.kind == "capacity":
        asked, available = size_text(reason.asked), size_text(reason.available)
    kind = "pool " if reason.kind == "pool" else ""
    return f"{kind}{reason.resource} {asked} of {available}"


def partition_of(workflow: Workflow, wall_ns: int) -> str:
    """The local date of an instant, in the zone of the workflow's first schedule (UTC without one)."""
    zone = ZoneInfo(workflow.schedules[0].timezone) if workflow.schedules else UTC
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=wall_ns // SECOND)
    return moment.astimezone(zone).date().isoformat()
