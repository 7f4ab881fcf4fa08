"""Workflows that were added, and what their schedules ask for as the wall clock goes on.

A due instant that is at most a minute old is on time. Older ones were missed (the engine was down, the clock jumped):
`catch_up` says what becomes of them. At most 1,000 runs are made up for. A paused workflow's schedules pass by, and
resuming it makes up for nothing.
"""

from engine.core.acts import end_run
from engine.core.context import Context
from engine.core.events import Ask, RunRequested, WorkflowAdded, WorkflowPauseRequested, WorkflowRemoved
from engine.core.runs import QUEUED_RUNS_MAX, check_claims, make_run, queue_run, skip_run, start_run
from engine.core.state import WorkflowEntry
from engine.model.errors import Conflict, EngineError, NotFound
from engine.model.instants import MINUTE, to_text
from engine.planning.plan import Plan
from engine.scheduling.cron import due_between, next_after

ON_TIME_NS = MINUTE
CATCH_UP_MAX = 1_000


def on_workflow_added(cx: Context, event: WorkflowAdded) -> None:
    """The version is the current one from now on. Adding the same version again changes nothing."""
    plan = cx.state.plans.get(event.version)
    if plan is None:
        raise NotFound(f"workflow {event.workflow!r} has no version {event.version!r}")
    check_claims(cx, plan)
    old = cx.state.workflows.get(event.workflow)
    changed = old is None or old.version != event.version
    if changed:
        count = len(plan.workflow.schedules)
        entry = WorkflowEntry(
            name=event.workflow, version=event.version, added_ns=cx.now_ns, cursors=[cx.wall_ns] * count
        )
        if old is not None:
            entry.paused, entry.active, entry.waiting = old.paused, old.active, old.waiting
        else:
            entry.active = _runs_of(cx, event.workflow)
        cx.state.workflows[event.workflow] = entry
        cx.refresh_pools(event.workflow)
        _look_ahead(plan, entry)
        cx.changes.workflows.add(event.workflow)
        cx.changes.versions.add(event.version)
    body: dict[str, object] = {"workflow": event.workflow, "version": event.version, "changed": changed}
    cx.accept(event.ask, "add", event.workflow, body)


def _runs_of(cx: Context, workflow: str) -> list[int]:
    """Runs that were asked for before the workflow was added (or added again), and go on."""
    runs = cx.state.runs.values()
    return [run.run for run in runs if run.header.workflow == workflow and run.unfinished]


def on_workflow_removed(cx: Context, event: WorkflowRemoved) -> None:
    """Its schedules end; its runs go on and stay in the history."""
    entry = _entry(cx, event.workflow)
    if entry.waiting:
        raise Conflict(f"{entry.name} has {len(entry.waiting)} queued runs", "cancel them first")
    del cx.state.workflows[event.workflow]
    cx.refresh_pools(event.workflow)
    cx.changes.workflows.add(event.workflow)
    cx.accept(event.ask, "remove", event.workflow, {"workflow": event.workflow})


def on_workflow_pause(cx: Context, event: WorkflowPauseRequested) -> None:
    """Pausing holds the schedules back, not the runs that go on."""
    entry = _entry(cx, event.workflow)
    verb = "pause" if event.paused else "resume"
    if entry.paused == event.paused:
        raise Conflict(f"{entry.name} is {'paused already' if event.paused else 'not paused'}")
    entry.paused = event.paused
    if not event.paused:
        entry.cursors = [cx.wall_ns] * len(entry.cursors)
    _look_ahead(cx.state.plans[entry.version], entry)
    cx.changes.workflows.add(entry.name)
    cx.accept(event.ask, verb, entry.name, {"changed": 1})


def _entry(cx: Context, name: str) -> WorkflowEntry:
    entry = cx.state.workflows.get(name)
    if entry is None:
        raise NotFound(f"there is no workflow {name!r}", "`orchctl workflows` lists them")
    return entry


def _look_ahead(plan: Plan, entry: WorkflowEntry) -> None:
    """Ask each schedule for its next due instant; a paused workflow has none."""
    schedules = plan.workflow.schedules
    if entry.paused:
        entry.next_due = [0] * len(schedules)
        return
    entry.next_due = [
        next_after(schedule, cursor) or 0 for schedule, cursor in zip(schedules, entry.cursors, strict=True)
    ]


def next_wall_due(cx: Context) -> int:
    """The next instant of the wall clock at which a schedule is due; 0 if there is none, or none may make a run."""
    if cx.state.meta.read_only:
        return 0
    return min((due for entry in cx.state.workflows.values() for due in entry.next_due if due), default=0)


def fire_schedules(cx: Context) -> None:
    """Make the runs that are due. While the engine is read-only they wait, and are missed like any others."""
    if cx.state.meta.read_only:
        return
    for entry in list(cx.state.workflows.values()):
        if any(due and due <= cx.wall_ns for due in entry.next_due):
            _fire(cx, entry)


def _fire(cx: Context, entry: WorkflowEntry) -> None:
    plan = cx.state.plans[entry.version]
    due: set[int] = set()
    for number, schedule in enumerate(plan.workflow.schedules):
        found, cut = due_between(schedule, entry.cursors[number], cx.wall_ns, CATCH_UP_MAX)
        if cut:
            skip_run(cx, entry.name, found[0], f"more than {CATCH_UP_MAX} were missed: the oldest are left out")
        due.update(_wanted(cx, plan, found))
        entry.cursors[number] = max(cx.wall_ns, entry.cursors[number])
    _look_ahead(plan, entry)
    cx.changes.workflows.add(entry.name)
    for instant in sorted(due)[-CATCH_UP_MAX:]:
        try:
            _request(cx, entry, plan, instant)
        except EngineError as error:
            skip_run(cx, entry.name, instant, error.sentence)


def _wanted(cx: Context, plan: Plan, found: list[int]) -> list[int]:
    """Of what is due, what `catch_up` lets through."""
    on_time = [instant for instant in found if instant >= cx.wall_ns - ON_TIME_NS]
    match plan.workflow.catch_up:
        case "all":
            return found
        case "last":
            return on_time or found[-1:]
        case "none":
            return on_time


def _request(cx: Context, entry: WorkflowEntry, plan: Plan, instant: int) -> None:
    """One due run, as `if_running` says if another goes on."""
    event = RunRequested(
        ask=Ask(), workflow=entry.name, version=entry.version, trigger="schedule", due_ns=instant,
        note=f"due {to_text(instant)}",
    )  # fmt: skip
    busy = bool(entry.active or entry.waiting)
    policy = plan.workflow.if_running
    if busy and policy == "skip":
        skip_run(cx, entry.name, instant, "an earlier run goes on and if_running is skip")
        return
    if busy and policy == "queue_one" and entry.waiting:
        skip_run(cx, entry.name, instant, "a run is queued already and if_running is queue_one")
        return
    if len(entry.waiting) >= QUEUED_RUNS_MAX:
        skip_run(cx, entry.name, instant, f"{QUEUED_RUNS_MAX} runs are queued already")
        return
    run = make_run(cx, plan, event)
    if not busy or policy == "allow":
        start_run(cx, run)
        return
    queue_run(cx, entry, run)
    if policy in ("cancel", "kill"):
        for number in [*entry.active, *entry.waiting[:-1]]:
            end_run(cx, cx.state.runs[number], kill=policy == "kill")
