"""Settings that change while a run goes on: the priority of its tasks, and how many rows may run at once or fail.

What is changed is kept with the run and outranks the definition; None gives the definition its say again. What waits in
the queue moves to its new band with the age that it had, and who waited for a place may have one now.
"""

from collections.abc import Callable, Container

from engine.core.acts import seen_run
from engine.core.context import Context
from engine.core.events import SettingsChangeRequested
from engine.core.orders import unpark_siblings
from engine.core.state import NOT_FINAL, WHOLE_RUN, RunState, Settings, changed_settings
from engine.model.errors import Conflict, NotFound, ValueFault
from engine.model.ids import run_text
from engine.model.workflow import PRIORITY_MAX, ROWS_MAX
from engine.scheduling.fair_queue import Entry

SETTINGS_MAX = 1_000
_BOUNDS = {"priority": (-PRIORITY_MAX, PRIORITY_MAX), "max_parallel": (0, ROWS_MAX), "tolerate": (0, ROWS_MAX)}
_EFFECTIVE: dict[str, Callable[[RunState, int], int]] = {
    "priority": RunState.priority, "max_parallel": RunState.max_parallel, "tolerate": RunState.tolerated,
}  # fmt: skip


def on_settings_change(cx: Context, event: SettingsChangeRequested) -> None:
    """From now on. The answer says what was set before (None: nothing), by which the change is undone, and what that
    meant for a task."""
    run = seen_run(cx, event.run, event.seen)
    if run.header.status.finished:
        raise Conflict(f"{run_text(run.run)} is {run.header.status.text}: nothing of it is to come")
    task = None if event.task == WHOLE_RUN else _task(run, event.task)
    _check(run, task, event.settings)
    before = run.header.settings.get(event.task, Settings())
    was = {name: getattr(before, name) for name in event.settings}
    meant = {name: _EFFECTIVE[name](run, task) for name in event.settings} if task is not None else {}
    after = changed_settings(run.header.settings, event.task, event.settings)
    if after == run.header.settings:
        raise Conflict(f"{_name(event)} has these settings already")
    if len(after) > SETTINGS_MAX:
        raise Conflict(f"{SETTINGS_MAX} tasks of {run_text(run.run)} have settings already", "give some of them up")
    run.header.settings = after
    cx.changes.runs.add(run.run)
    if "priority" in event.settings:
        _rank_again(cx, run, range(len(run.plan)) if task is None else (task,))
    if "max_parallel" in event.settings and task is not None:
        unpark_siblings(cx, run, task)
    told = " ".join(f"{name}={'default' if value is None else value}" for name, value in event.settings.items())
    body: dict[str, object] = {"changed": 1, "was": was, "meant": meant}
    cx.accept(event.ask, "set", f"{_name(event)} {told}", body, event.note)


def _name(event: SettingsChangeRequested) -> str:
    return f"{run_text(event.run)} {event.task}".strip()


def _task(run: RunState, name: str) -> int:
    task = run.plan.index.get(name)
    if task is None:
        shown = run_text(run.run)
        raise NotFound(f"{shown} has no task {name!r}", f"`orchctl tasks {shown}` lists them")
    if run.task_final[task] != NOT_FINAL:
        raise Conflict(f"{name} has ended: nothing of it is to come")
    return task


def _check(run: RunState, task: int | None, settings: dict[str, int | None]) -> None:
    if not settings:
        raise ValueFault("nothing is to be set", "write for example priority=5")
    for name, value in settings.items():
        bounds = _BOUNDS.get(name)
        if bounds is None:
            raise ValueFault(f"{name[:80]!r} cannot be set", f"what can be set: {', '.join(_BOUNDS)}")
        if value is not None and not bounds[0] <= value <= bounds[1]:
            raise ValueFault(f"{name} is {bounds[0]} to {bounds[1]}, not {value}")
        if name == "priority":
            continue
        if task is None:
            raise ValueFault(f"{name} belongs to a task", "name the task")
        if task not in run.mapped_counts:
            raise ValueFault(f"{run.plan.names[task]} has one row: {name} is for those with for_each")


def _rank_again(cx: Context, run: RunState, tasks: Container[int]) -> None:
    """Everything of the tasks that waits, wherever it does, goes to the band of its priority."""

    def moved(entry: Entry) -> Entry:
        return entry.with_priority(run.priority(entry.task)) if entry.task in tasks else entry

    for entry in [entry for entry in cx.queue.entries() if entry.run == run.run and entry.task in tasks]:
        cx.queue.take(entry)
        fresh = moved(entry)
        cx.queue.put_back(fresh)
        if fresh.attempt:
            cx.returning[fresh.attempt] = fresh
        else:
            cx.unknown.get(run.alike(entry.task), []).append(fresh)
    run.parked[:] = [moved(entry) for entry in run.parked]
    for (number, _), parked in cx.parallel_parked.items():
        if number == run.run:
            parked[:] = [moved(entry) for entry in parked]
