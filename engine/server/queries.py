"""Questions, each answered by a page of rows: one pure function a question, from what `Look` shows.

Windows over a run's rows cost what the window holds, not what the run holds, unless a filter or a sort has to look at
every row; then the result is kept for the revision. Bounds are checked before anything is looked at.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum
from itertools import chain, islice
from typing import Any, TypeAlias, TypeVar

from engine.core.replay import Replay
from engine.core.state import RunHeader, RunState
from engine.model.errors import NotFound, Unavailable, ValueFault
from engine.model.ids import NO_INDEX, is_name, run_text
from engine.model.instants import from_text, to_text
from engine.model.status import RunStatus, TaskStatus
from engine.protocol.messages import (
    ExplainRun,
    GetEngine,
    GetMoment,
    GetResources,
    GetRun,
    GetStats,
    GetTask,
    GetWorkflow,
    ListAttempts,
    ListAudit,
    ListBackfills,
    ListEvents,
    ListGrid,
    ListGroups,
    ListLanes,
    ListMetrics,
    ListMoments,
    ListPartitions,
    ListPast,
    ListQueue,
    ListRuns,
    ListSchedules,
    ListTasks,
    ListTrials,
    ListWorkflows,
    Request,
)  # fmt: skip
from engine.protocol.rows import ChangeRow, Row
from engine.server.backfilling import backfill_rows, partition_rows
from engine.server.folding import Item, fold_row
from engine.server.look import Look, no_run
from engine.server.orderings import by_attention, by_duration, in_order
from engine.server.packing import Page, fitting, pack, pack_all
from engine.server.rows_of_definition import spec_row
from engine.server.rows_of_figures import GRID_RUNS_MAX, grid_rows, row_lanes, stats_row, task_lanes
from engine.server.rows_of_host import engine_row, queue_rows, resources_row, schedule_rows, workflow_rows
from engine.server.rows_of_journal import Names, audit_row, event_row
from engine.server.rows_of_past import moment_row, past_groups, past_items, past_lanes, past_row_lanes, past_tasks
from engine.server.rows_of_runs import group_rows, run_row
from engine.server.rows_of_tasks import attempt_row, attempts_of_row, packed_tasks, reason_row
from engine.server.rows_of_trials import metric_rows, places_of_trials, trial_rows
from engine.server.shape import (
    Place,
    count_in,
    matching,
    status_of,
    tasks_with,
)  # fmt: skip

LIMIT_MAX = 5_000
TEXT_MAX = 256
NAMES_MAX = 1_000
_INDEX_MAX = 10_000_000
_NUMBER_MAX = 2**62
_UNFINISHED = frozenset({int(TaskStatus.WAITING), int(TaskStatus.READY), int(TaskStatus.BACKING_OFF)})

S = TypeVar("S", bound=IntEnum)
Windowed: TypeAlias = ListGroups | ListLanes | ListGrid | ListPast


def answer(look: Look, question: Request, clients: int) -> Page:
    """The rows that answer a question. Raises EngineError, or RunNeeded for a run that has to be loaded first."""
    if isinstance(question, GetEngine):
        return Page([pack(engine_row(look, clients))], 1)
    handler = _HANDLERS.get(type(question))
    if handler is None:
        raise ValueFault(f"{type(question).__name__} is no question that has rows")
    return handler(look, question)


# --- runs -----------------------------------------------------------------------------------------------------------


def _runs(look: Look, question: ListRuns) -> Page:
    """Live runs as they are in memory, finished ones from the history, merged newest first."""
    limit = _limit(question.limit)
    before = _number(question.before, "before")
    statuses = _statuses(question.statuses, RunStatus)
    if question.workflow and not is_name(question.workflow):
        raise ValueFault(f"{question.workflow[:80]!r} is no name of a workflow")

    def matches(header: RunHeader) -> bool:
        return (
            (not before or header.run < before)
            and (not question.workflow or header.workflow == question.workflow)
            and (not statuses or header.status in statuses)
        )

    live = [run.header for run in look.state.runs.values() if matches(run.header)]
    kept = look.history.runs_page(before, limit + 1, question.workflow, statuses)
    headers = live + [header for header in kept if header.run not in look.state.runs]
    headers.sort(key=lambda header: -header.run)
    shown = headers[:limit]
    rows = pack_all(run_row(header) for header in shown)
    return Page(rows, 0, [str(header.run) for header in shown], more=len(headers) > limit)


def _run(look: Look, question: GetRun) -> Page:
    number = question.run or look.newest_run()
    live = look.state.runs.get(_number(number, "run"))
    header = live.header if live is not None else _kept_header(look, number)
    plan = look.plan_of(header.version)
    workflow = plan.workflow if plan is not None else look.history.workflow(header.version)
    folder = workflow.source.folder if workflow is not None else ""
    return Page([pack(run_row(header, folder))], 1)


def _kept_header(look: Look, number: int) -> RunHeader:
    page = look.history.runs_page(number + 1, 1, "", ())
    if not page or page[0].run != number:
        raise no_run(number)
    return page[0]


def _groups(look: Look, question: ListGroups) -> Page:
    run = _loaded(look, question.run)
    if not question.fold:
        shown, total = _window(look, run, question)
        return _paged(group_rows(look, run, shown), question, total)
    window, total = _folded_window(look, run, question)
    depth = look.plans.of(run.plan).depth
    single = iter(group_rows(look, run, [item for item in window if isinstance(item, int)]))
    rows = [next(single) if isinstance(item, int) else fold_row(run, item, depth[item[0]]) for item in window]
    return _paged(rows, question, total)


def _folded_window(look: Look, run: RunState, question: Windowed) -> tuple[Sequence[Item], int]:
    """As `_window`, with tasks that are named alike as one."""
    limit, offset = _limit(question.limit), _number(question.offset, "offset")
    items = look.plans.of(run.plan).folded(_chosen(look, run, question))
    return items[offset : offset + limit], len(items)


def _grid(look: Look, question: ListGrid) -> Page:
    if not 1 <= question.runs <= GRID_RUNS_MAX:
        raise ValueFault(f"a grid shows 1 to {GRID_RUNS_MAX} runs, not {question.runs}")
    run = _loaded(look, question.run)
    shown, total = _window(look, run, question)
    return _paged(grid_rows(look, run, shown, question.runs), question, total)


def _lanes(look: Look, question: ListLanes) -> Page:
    run = _loaded(look, question.run)
    if not question.task:
        shown, total = _window(look, run, question)
        return _paged(task_lanes(look, run, shown), question, total)
    limit, offset = _limit(question.limit), _number(question.offset, "offset")
    wanted = _wanted_rows(question)
    tasks = [_task(run, question.task)]
    places = in_order(run, tasks, wanted, offset, limit)
    return _paged(row_lanes(look, run, places), question, count_in(run, tasks, wanted))


def _stats(look: Look, question: GetStats) -> Page:
    run = _loaded(look, question.run)
    return Page([pack(stats_row(look, run, _task(run, question.task) if question.task else -1))], 1)


def _window(look: Look, run: RunState, question: Windowed) -> tuple[Sequence[int], int]:
    """The tasks that a question's window shows, and how many match."""
    limit, offset = _limit(question.limit), _number(question.offset, "offset")
    tasks = _chosen(look, run, question)
    return tasks[offset : offset + limit], len(tasks)


def _chosen(look: Look, run: RunState, question: Windowed) -> Sequence[int]:
    """The tasks that a question's filter lets through, in topological order."""
    wanted = () if isinstance(question, ListGrid) else _statuses(question.statuses, TaskStatus)
    tasks: Sequence[int] = run.plan.order
    if question.text:
        tasks = look.plans.of(run.plan).named(_text(question.text))
    if wanted:
        numbers = frozenset(map(int, wanted))
        tasks = tasks_with(run, tasks, numbers)
    return tasks


def _paged(rows: Sequence[Row], question: Windowed, total: int) -> Page:
    packed, offset = pack_all(rows), question.offset
    return Page(packed, total, _offsets(offset, len(packed)), more=offset + len(packed) < total)


# --- rows -----------------------------------------------------------------------------------------------------------


def _tasks(look: Look, question: ListTasks) -> Page:
    limit, offset = _limit(question.limit), _number(question.offset, "offset")
    wanted = _wanted_rows(question)
    run = _loaded(look, question.run)
    if question.index is not None:
        if not question.task:
            raise ValueFault("an index needs the task that it belongs to")
        place = _place(run, question.task, question.index)
        found = [place] if not wanted or status_of(run, place) in wanted else []
        return Page(packed_tasks(look, run, found[offset : offset + limit]), len(found))
    tasks = _tasks_meant(look, run, question.task, _text(question.text))
    if question.sort == "duration":
        total = count_in(run, tasks, wanted)
        window = by_duration(look, run, question, tasks, wanted, min(offset + limit, total))[offset:]
    elif question.sort == "attention":
        window, total = by_attention(run, tasks, wanted, offset, limit)
    elif not wanted and not question.task and not question.text:
        layout = look.layout(run)
        window, total = list(islice(layout.from_position(offset), limit)), layout.total
    else:
        window, total = in_order(run, tasks, wanted, offset, limit), count_in(run, tasks, wanted)
    rows = packed_tasks(look, run, window)
    return Page(rows, total, _offsets(offset, len(rows)), more=offset + len(rows) < total)


def _tasks_meant(look: Look, run: RunState, task: str, text: str) -> Sequence[int]:
    named = look.plans.of(run.plan).named(text) if text else run.plan.order
    if not task:
        return named
    number = _task(run, task)
    return [number] if not text or number in named else []


def _attempts(look: Look, question: ListAttempts) -> Page:
    run = _loaded(look, question.run)
    place = _place(run, question.task, question.index)
    attempts = attempts_of_row(look, run, place.task, place.item)
    rows = pack_all(attempt_row(look, run, attempt) for attempt in attempts[-LIMIT_MAX:])
    return Page(rows, len(attempts))


def _spec(look: Look, question: GetTask) -> Page:
    run = _loaded(look, question.run)
    return Page([pack(spec_row(run, _task(run, question.task)))], 1)


def _metrics(look: Look, question: ListMetrics) -> Page:
    run = _loaded(look, question.run)
    rows = pack_all(metric_rows(run, _measuring(run, question.task)))
    return Page(rows, len(rows))


def _trials(look: Look, question: ListTrials) -> Page:
    limit, offset = _limit(question.limit), _number(question.offset, "offset")
    if len(question.metrics) > NAMES_MAX:
        raise ValueFault(f"a question names at most {NAMES_MAX} metrics")
    run = _loaded(look, question.run)
    places, total = places_of_trials(run, _measuring(run, question.task), offset, limit)
    rows = pack_all(trial_rows(look, run, places, frozenset(question.metrics)))
    return Page(rows, total, _offsets(offset, len(rows)), more=offset + len(rows) < total)


def _measuring(run: RunState, task: str) -> Sequence[int]:
    """The tasks that measure something, or the one that is named."""
    if task:
        return [_task(run, task)]
    return [number for number in run.plan.order if run.plan.measures[number]] if any(run.plan.measures) else []


def _explain(look: Look, question: ExplainRun) -> Page:
    limit = _limit(question.limit)
    run = _loaded(look, question.run)
    if question.index is not None:
        place = _place(run, question.task, question.index)
        attempt = look.state.attempt_of_row(run, place.row)
        waits = status_of(run, place) in _UNFINISHED or (attempt is not None and attempt.frozen)
        places = [place] if waits else []
        total = len(places)
    else:
        tasks = _tasks_meant(look, run, question.task, "")
        still = _standing_still(look, run, set(tasks))
        places = list(islice(chain(still, matching(run, tasks, _UNFINISHED)), limit))
        total = len(still) + count_in(run, tasks, _UNFINISHED)
    if run.header.status.finished:
        return Page([], 0)
    return Page(pack_all(reason_row(look, run, place) for place in places), total)


def _standing_still(look: Look, run: RunState, tasks: set[int]) -> list[Place]:
    """The rows that run and stand still, of a block the one that its worker is at."""
    live = [look.state.attempts[number] for number in sorted(set(run.live.values()))]
    still = [attempt for attempt in live if attempt.frozen and attempt.task in tasks]
    rows = [run.row(attempt.task, attempt.index) + attempt.done for attempt in still]
    return [Place(*run.place(row), row) for row in rows]


# --- the engine and its history -------------------------------------------------------------------------------------


def _events(look: Look, question: ListEvents) -> Page:
    """A page of the journal. Where it does not fit a frame, a shorter one is read, so that its cursor is right."""
    limit = _limit(question.limit)
    if len(question.cursor) > TEXT_MAX:
        raise ValueFault("this is no cursor of ours")
    number, since = _number(question.run, "run"), _number(question.since, "since")
    if number >= look.state.meta.next_run:
        raise no_run(number)
    while True:
        page = look.history.events_page(number, question.cursor, limit, since)
        names = Names(look)
        rows = pack_all(event_row(entry, names) for entry in page.entries)
        fits = fitting(rows)
        if fits == len(rows) or limit == 1:
            break
        limit = max(fits, 1)
    return Page(rows, 0, [""] * (len(rows) - 1) + [page.cursor], more=bool(page.cursor))


def _audit(look: Look, question: ListAudit) -> Page:
    """Newest first. A cut is made between revisions, because that is what the next page begins with."""
    lines = look.history.audit_page(_number(question.before, "before"), _limit(question.limit))
    rows = pack_all(audit_row(line) for line in lines)
    fits = fitting(rows)
    while 0 < fits < len(rows) and lines[fits].revision == lines[fits - 1].revision:
        fits -= 1
    cursors = [str(line.revision) for line in lines[:fits]]
    return Page(rows[:fits], 0, cursors, more=len(lines) >= question.limit)


def _workflows(look: Look, question: ListWorkflows) -> Page:
    rows = pack_all(workflow_rows(look))
    return Page(rows, len(rows))


def _schedules(look: Look, question: ListSchedules) -> Page:
    rows = pack_all(schedule_rows(look))
    return Page(rows, len(rows))


def _resources(look: Look, question: GetResources) -> Page:
    return Page([pack(resources_row(look))], 1)


def _queue(look: Look, question: ListQueue) -> Page:
    limit, offset = _limit(question.limit), _number(question.offset, "offset")
    rows, total = queue_rows(look, offset, limit)
    packed = pack_all(rows)
    return Page(packed, total, _offsets(offset, len(packed)), more=offset + len(packed) < total)


def definition_of(look: Look, question: GetWorkflow) -> tuple[str, str, str, str]:
    """(workflow, version, file, text) of a workflow's version, the current one where none is named."""
    entry = look.state.workflows.get(question.workflow)
    version = question.version[:TEXT_MAX] or (entry.version if entry else "")
    plan = look.plan_of(version)
    workflow = plan.workflow if plan is not None else look.history.workflow(version) if version else None
    if workflow is None or (question.workflow and workflow.name != question.workflow):
        what = f"version {question.version[:80]!r} of " if question.version else ""
        raise NotFound(f"there is no {what}workflow {question.workflow[:80]!r}", "`orchctl workflows` lists them")
    return workflow.name, version, workflow.source.file, workflow.source.text


def _backfills(look: Look, question: ListBackfills) -> Page:
    rows = pack_all(backfill_rows(look))
    return Page(rows, len(rows))


def _partitions(look: Look, question: ListPartitions) -> Page:
    rows = pack_all(partition_rows(look, question))
    return Page(rows, len(rows))


# --- looking back ---------------------------------------------------------------------------------------------------


def _moment(look: Look, question: GetMoment) -> Page:
    if question.at and question.revision:
        raise ValueFault("a moment is an instant or a revision, not both")
    run = _loaded(look, question.run)
    until = _number(question.revision, "revision") or _NUMBER_MAX
    until_ns = from_text(question.at[:TEXT_MAX]) if question.at else _NUMBER_MAX
    past, reached = look.pasts.go(run, until, until_ns)
    return Page([pack(moment_row(past, reached=reached))], 1)


def _moments(look: Look, question: ListMoments) -> Page:
    limit, run = _limit(question.limit), _loaded(look, question.run).run
    before, after = _number(question.before, "before"), _number(question.after, "after")
    if question.notable:
        notable = look.history.notable_moments(run, before, after, limit)
        return Page(pack_all(ChangeRow(revision=at, at=to_text(at_ns), notable=is_so) for at, at_ns, is_so in notable))
    found = look.history.moments(run, before, after, limit)
    return Page(pack_all(ChangeRow(revision=revision, at=to_text(at_ns)) for revision, at_ns in found))


def _past(look: Look, question: ListPast) -> Page:
    run = _loaded(look, question.run)
    past, reached = look.pasts.go(run, _number(question.revision, "revision"), _NUMBER_MAX)
    if not reached:
        raise Unavailable(f"the journal has been read up to revision {past.revision} only", "ask GetMoment first")
    if question.of == "rows" or (question.task and question.of == "tasks"):
        return _past_rows(look, run, past, question)
    then = past.run
    if question.task:
        tasks, wanted = [_task(then, question.task)], _wanted_rows(question)
        places = in_order(then, tasks, wanted, question.offset, _limit(question.limit))
        return _paged(past_row_lanes(look, run, past, places), question, count_in(then, tasks, wanted))
    if question.of == "tasks" and question.fold:
        items, total = _folded_window(look, then, question)
        return _paged(past_items(look, run, past, items), question, total)
    shown, total = _window(look, then, question)
    made = past_lanes if question.of == "lanes" else past_groups
    return _paged(made(look, run, past, shown), question, total)


def _past_rows(look: Look, run: RunState, past: Replay, question: ListPast) -> Page:
    limit, offset, then = _limit(question.limit), _number(question.offset, "offset"), past.run
    wanted = _wanted_rows(question)
    tasks = _tasks_meant(look, then, question.task, _text(question.text))
    if question.sort == "attention":
        places, total = by_attention(then, tasks, wanted, offset, limit)
    elif not wanted and not question.task and not question.text:
        layout = look.layout(then)
        places, total = list(islice(layout.from_position(offset), limit)), layout.total
    else:
        places, total = in_order(then, tasks, wanted, offset, limit), count_in(then, tasks, wanted)
    return _paged(past_tasks(run, past, places), question, total)


def _wanted_rows(question: ListPast | ListLanes | ListTasks) -> frozenset[int]:
    return frozenset(int(status) for status in _statuses(question.statuses, TaskStatus))


_HANDLERS: dict[type[Request], Callable[[Look, Any], Page]] = {
    ListRuns: _runs,
    GetRun: _run,
    ListGroups: _groups,
    ListLanes: _lanes,
    ListGrid: _grid,
    GetStats: _stats,
    ListTasks: _tasks,
    ListAttempts: _attempts,
    GetTask: _spec,
    ListMetrics: _metrics,
    ListTrials: _trials,
    ExplainRun: _explain,
    ListEvents: _events,
    ListAudit: _audit,
    ListWorkflows: _workflows,
    ListSchedules: _schedules,
    GetResources: _resources,
    ListBackfills: _backfills,
    ListPartitions: _partitions,
    GetMoment: _moment,
    ListMoments: _moments,
    ListPast: _past,
    ListQueue: _queue,
}


# --- bounds ---------------------------------------------------------------------------------------------------------


def _limit(limit: int) -> int:
    if not 1 <= limit <= LIMIT_MAX:
        raise ValueFault(f"a page holds 1 to {LIMIT_MAX} rows, not {limit}")
    return limit


def _number(number: int, what: str) -> int:
    if not 0 <= number <= _NUMBER_MAX:
        raise ValueFault(f"{what} cannot be {number}")
    return number


def _offsets(offset: int, count: int) -> list[str]:
    """The cursor after each of `count` rows from an offset: the offset of the next."""
    return [str(offset + number) for number in range(1, count + 1)]


def _text(text: str) -> str:
    if len(text) > TEXT_MAX:
        raise ValueFault(f"a filter has at most {TEXT_MAX} characters")
    return text


def _statuses(names: tuple[str, ...], kind: type[S]) -> frozenset[S]:
    if len(names) > len(kind):
        raise ValueFault(f"there are only {len(kind)} statuses")
    known = {status.name.lower(): status for status in kind}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueFault(f"{unknown[0][:80]!r} is no status", f"the statuses are {', '.join(known)}")
    return frozenset(known[name] for name in names)


def _loaded(look: Look, number: int) -> RunState:
    """The run that a question names; 0 is the newest."""
    return look.run(_number(number, "run") or look.newest_run())


def _task(run: RunState, name: str) -> int:
    task = run.plan.index.get(name)
    if task is None:
        shown = run_text(run.run)
        raise NotFound(f"{shown} has no task {name[:80]!r}", f"`orchctl tasks {shown}` lists them")
    return task


def _place(run: RunState, name: str, index: int) -> Place:
    """The row that a task's name and an index mean. Raises NotFound, or ValueFault where an index is missing."""
    task = _task(run, name)
    if not NO_INDEX <= index <= _INDEX_MAX:
        raise ValueFault(f"an index cannot be {index}")
    mapped = task in run.mapped_counts
    if mapped and index == NO_INDEX:
        if run.first_row[task] < 0:
            return Place(task, NO_INDEX, -1)
        raise ValueFault(f"{name} has {run.row_count[task]} items: say which one", f"they are written like {name}[0]")
    if not mapped and index != NO_INDEX:
        raise NotFound(f"{name} has no items: it is no for_each", f"it is written {name}")
    if mapped and (run.first_row[task] < 0 or index >= run.row_count[task]):
        raise NotFound(f"{name} has no item {index}: it has {run.row_count[task]}")
    return Place(task, index, run.row(task, index))


def place_of(look: Look, number: int, task: str, index: int) -> tuple[RunState, Place]:
    """The run and the row of it that a question names. Raises EngineError, or RunNeeded."""
    run = _loaded(look, number)
    return run, _place(run, task, index)
