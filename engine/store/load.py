"""From the disk to memory: all that is not finished at start, and single finished runs on demand.

Nothing is decided again and nothing is replayed: records are read, and what follows from them is derived. Start costs
what is live, not what ever was. A damaged record costs the run that it belongs to, not the engine: the run is closed as
failed with the reason as its note, its damaged records are kept, and its processes, which the state then does not know,
are ended by whoever compares the inventory. Damage of what everything depends on (the meta record) refuses the state.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from engine.core.context import REQUESTS_KEPT
from engine.core.derive import derive
from engine.core.state import Attempt, EngineState, Meta, RunHeader, RunState, WorkflowEntry
from engine.model.ids import run_text
from engine.model.resources import Capacity
from engine.model.status import RunStatus, TaskStatus
from engine.model.workflow import Workflow
from engine.planning.plan import Plan, make_plan
from engine.store.codec import (
    Columns,
    RunStatusRecord,
    decode_attempt,
    decode_backfill,
    decode_block,
    decode_entry,
    decode_header,
    decode_items,
    decode_json,
    decode_meta,
    decode_request,
    decode_status,
    decode_version,
    encode,
    unseal,
)
from engine.store.environment import Environment
from engine.store.errors import StoreDamage
from engine.store.records import status_record
from engine.store.tables import (
    INDEXES_GENERATION,
    INDEXES_KEY,
    STATE_KEY,
    Table,
    attempt_of,
    item_key,
    last_number_of,
    number_key,
    number_of,
    part_key,
    part_of,
    row_of,
    status_key,
)
from engine.store.transaction import Edit, View

TASK_RUNNING = int(TaskStatus.RUNNING)
UNFINISHED = tuple(status for status in RunStatus if not status.finished)
INDEXES = (
    Table.RUN_STATUS, Table.BY_STATUS, Table.BY_WORKFLOW, Table.FINISHED, Table.BY_VERSION, Table.BY_PARTITION,
)  # fmt: skip

PlanOf = Callable[[Workflow], Plan]


class Loaded(msgspec.Struct, frozen=True):
    """The state, and a sentence for each damage that was met and isolated on the way."""

    state: EngineState
    damage: list[str]
    rebuilt_indexes: bool = False


def load_state(
    environment: Environment, capacity: Capacity, plan_of: PlanOf = make_plan,
    weights: Mapping[str, float] | None = None,
) -> Loaded:  # fmt: skip
    """All live state. Runs with damaged records are closed as failed, in a transaction of its own.

    Raises StoreDamage where nothing can be trusted, lmdb.Error when what was found damaged cannot be written down.
    """
    with environment.read() as view:
        sound = _indexes_are_sound(view)
    if not sound:
        with environment.edit() as edit:
            rebuild_indexes(edit)
    with environment.read() as view:
        loader = _Loader(view, EngineState(load_meta(view), capacity, weights), plan_of)
        loader.load()
    if loader.bad_records or loader.bad_runs:
        with environment.edit() as edit:
            _quarantine(edit, loader)
    return Loaded(loader.state, loader.damage, not sound)


def load_meta(view: View) -> Meta:
    """Counters and identities. Raises StoreDamage."""
    body = view.get(Table.META, STATE_KEY)
    if body is None:
        raise StoreDamage("it is missing", Table.META, STATE_KEY)
    return decode_meta(STATE_KEY, body)


def load_run(environment: Environment, run: int, plan_of: PlanOf = make_plan) -> RunState | None:
    """One run with all that the machine needs to reopen it, None when there is no such run. Raises StoreDamage."""
    with environment.read() as view:
        if view.has(Table.DROPPING, number_key(run)):
            return None
        header = read_header(view, run)
        if header is None:
            return None
        plan = _plan(view, header.version, plan_of)
        loaded = read_run(view, header, plan)
    derive(loaded, ())
    return loaded


def read_header(view: View, run: int) -> RunHeader | None:
    """Raises StoreDamage."""
    key = number_key(run)
    body = view.get(Table.RUNS, key)
    return None if body is None else decode_header(key, body)


def read_version(view: View, version: str) -> Workflow | None:
    """Raises StoreDamage."""
    key = version.encode()
    body = view.get(Table.VERSIONS, key)
    return None if body is None else decode_version(key, body)


def _plan(view: View, version: str, plan_of: PlanOf) -> Plan:
    workflow = read_version(view, version)
    if workflow is None:
        raise StoreDamage("it is missing", Table.VERSIONS, version.encode())
    plan = plan_of(workflow)
    plan.version = version  # the name it was given, even if a newer engine would hash it differently
    return plan


def read_run(view: View, header: RunHeader, plan: Plan) -> RunState:
    """A run's rows, items and needed results. What is derived is not filled in yet. Raises StoreDamage."""
    run = RunState(header, plan)
    columns = Columns(max(header.rows, len(plan)))
    for key, body in view.records(Table.ROWS, number_key(header.run)):
        columns.put(key, part_of(key)[1], body)
    columns.give(run)
    for task, first, count, _ in header.tasks:
        if first < 0:
            continue
        if task not in run.mapped_counts or first + count > columns.rows:
            raise StoreDamage(f"it names rows of task {task} that cannot be", Table.RUNS, number_key(header.run))
        parts = [body for _, body in view.records(Table.ITEMS, part_key(header.run, task))]
        if parts:
            run.items[task] = decode_items(item_key(header.run, task, 0), parts)
    for task, needed in enumerate(plan.needs_result):
        if needed:
            for key, body in view.records(Table.RESULTS, part_key(header.run, task)):
                run.results[row_of(key)[1:]] = decode_json(Table.RESULTS, key, body)
    return run


class _Loader:
    """One pass over what is live, inside one read transaction."""

    def __init__(self, view: View, state: EngineState, plan_of: PlanOf) -> None:
        self._view = view
        self._plan_of = plan_of
        self.state = state
        self.damage: list[str] = []
        self.bad_records: set[tuple[Table, bytes]] = set()
        self.bad_runs: dict[int, str] = {}

    def load(self) -> None:
        live = self._live_attempts()
        for status in UNFINISHED:
            for key, _ in self._view.scan(Table.BY_STATUS, bytes((status,))):
                number = last_number_of(key)
                if number not in self.bad_runs:
                    self._load_run(number, live.get(number, []))
        self._load_workflows()
        self._load_backfills()
        self._load_requests()

    def _note(self, error: StoreDamage) -> None:
        self.damage.append(error.sentence)
        if error.table is not None:
            self.bad_records.add((error.table, error.key))

    def _give_up(self, run: int, error: StoreDamage) -> None:
        self._note(error)
        self.bad_runs.setdefault(run, error.sentence)

    def _live_attempts(self) -> dict[int, list[Attempt]]:
        live: dict[int, list[Attempt]] = {}
        for key, value in self._view.scan(Table.LIVE):
            try:
                place = unseal(Table.LIVE, key, value)
            except StoreDamage as error:
                self._note(error)
                continue
            run = attempt_of(place)[0]
            try:
                body = self._view.get(Table.ATTEMPTS, place)
                if body is None:
                    raise StoreDamage("it is missing", Table.ATTEMPTS, place)
                live.setdefault(run, []).append(decode_attempt(place, body))
            except StoreDamage as error:
                self._give_up(run, error)
        for key, value in self._view.scan(Table.BLOCKS):
            run = number_of(key)
            try:
                live.setdefault(run, []).append(decode_block(key, unseal(Table.BLOCKS, key, value)))
            except StoreDamage as error:
                self._give_up(run, error)
        return live

    def _load_run(self, number: int, live: list[Attempt]) -> None:
        try:
            header = read_header(self._view, number)
            if header is None:
                raise StoreDamage("it is missing", Table.RUNS, number_key(number))
            run = read_run(self._view, header, self._plan(header.version))
            derive(run, live)
            self._compare_live(run)
        except StoreDamage as error:
            self._give_up(number, error)
            return
        self.state.runs[number] = run
        for attempt in live:
            self.state.attempts[attempt.attempt] = attempt

    def _compare_live(self, run: RunState) -> None:
        """A row that runs has an attempt that lives; if that was lost, the row would wait for ever."""
        row = run.status.find(TASK_RUNNING)
        while row >= 0:
            if row not in run.live:
                task, index = run.place(row)
                what = f"{run.text(task, index)} runs, but no attempt of it lives"
                raise StoreDamage(what, Table.RUNS, number_key(run.run))
            row = run.status.find(TASK_RUNNING, row + 1)

    def _plan(self, version: str) -> Plan:
        plan = self.state.plans.get(version)
        if plan is None:
            plan = self.state.plans[version] = _plan(self._view, version, self._plan_of)
        return plan

    def _load_workflows(self) -> None:
        for key, value in self._view.scan(Table.WORKFLOWS):
            try:
                entry = decode_entry(key, unseal(Table.WORKFLOWS, key, value))
                self._plan(entry.version)
            except StoreDamage as error:
                self._note(error)
                continue
            for numbers in (entry.active, entry.waiting):
                numbers[:] = [number for number in numbers if number in self.state.runs]
            self.state.workflows[entry.name] = entry

    def _load_backfills(self) -> None:
        """One whose record, or whose version, is damaged is given up; its runs go on by themselves."""
        for key, value in self._view.scan(Table.BACKFILLS):
            try:
                backfill = decode_backfill(key, unseal(Table.BACKFILLS, key, value))
                if not backfill.status.finished:
                    self._plan(backfill.version)
            except StoreDamage as error:
                self._note(error)
                self.bad_records.add((Table.BACKFILLS, key))
                continue
            backfill.active[:] = [number for number in backfill.active if number in self.state.runs]
            self.state.backfills[backfill.backfill] = backfill

    def _load_requests(self) -> None:
        newest: list[tuple[str, dict[str, Any]]] = []
        for key, value in self._view.scan_back(Table.REQUESTS):
            try:
                record = decode_request(key, unseal(Table.REQUESTS, key, value))
            except StoreDamage as error:
                self._note(error)
                continue
            newest.append((record.request_id, record.answer))
            if len(newest) == REQUESTS_KEPT:
                break
        self.state.requests.update(reversed(newest))


def _quarantine(edit: Edit, loader: _Loader) -> None:
    """Keep damaged records aside, and close the runs that they belong to."""
    for table, key in loader.bad_records:
        value = edit.raw(table, key)
        if value is not None and table is not Table.QUARANTINE:
            edit.put_raw(Table.QUARANTINE, bytes((table,)) + key, value)
            if table in (Table.LIVE, Table.WORKFLOWS, Table.BACKFILLS, Table.REQUESTS, Table.RUNS):
                edit.delete(table, key)
    for run, why in loader.bad_runs.items():
        _close(edit, run, why, loader.state.meta.now_ns)
        for key, value in list(edit.scan(Table.LIVE)):
            if number_of(value[4:]) == run:
                edit.delete(Table.LIVE, key)
        edit.delete_prefix(Table.BLOCKS, number_key(run))


def _close(edit: Edit, run: int, why: str, now_ns: int) -> None:
    try:
        header = read_header(edit, run)
    except StoreDamage:
        header = None
    if header is None:
        edit.delete(Table.RUNS, number_key(run))
        edit.clear_status(run)
        return
    header.status = RunStatus.FAILED
    header.finished_ns = max(now_ns, header.queued_ns)
    header.note = f"{run_text(run)} was closed because its records are damaged: {why}"[:2000]
    edit.put(Table.RUNS, number_key(run), encode(header))
    edit.set_status(run, status_record(header))


def _indexes_are_sound(view: View) -> bool:
    """Whether the index of unfinished runs agrees with itself, the headers and the workflows' own lists."""
    unfinished: set[int] = set()
    try:
        if view.get(Table.META, INDEXES_KEY) != number_key(INDEXES_GENERATION):
            return False
        for status in UNFINISHED:
            for key, _ in view.records(Table.BY_STATUS, bytes((status,))):
                number = last_number_of(key)
                body = view.get(Table.RUN_STATUS, number_key(number))
                if body is None or decode_status(key, body).status != status:
                    return False
                unfinished.add(number)
        runs = view.count(Table.RUNS)
        indexed = (
            view.count(Table.RUN_STATUS),
            view.count(Table.BY_STATUS),
            view.count(Table.FINISHED) + len(unfinished),
        )
        if indexed != (runs, runs, runs):
            return False
    except StoreDamage:
        return False
    return all(number in unfinished for entry in _entries(view) for number in (*entry.active, *entry.waiting))


def _entries(view: View) -> Iterator[WorkflowEntry]:
    for key, value in view.scan(Table.WORKFLOWS):
        try:
            yield decode_entry(key, unseal(Table.WORKFLOWS, key, value))
        except StoreDamage:
            continue


def rebuild_indexes(edit: Edit) -> None:
    """Make all indexes of runs anew from the headers. Costs a look at every run."""
    for table in INDEXES:
        edit.delete_prefix(table, b"")
    edit.put(Table.META, INDEXES_KEY, number_key(INDEXES_GENERATION))
    for key, value in edit.scan(Table.RUNS):
        try:
            header = decode_header(key, unseal(Table.RUNS, key, value))
        except StoreDamage:
            # It stays in the list of what is unfinished, so that loading meets it, says so and sets it aside.
            number = number_of(key)
            edit.put(Table.BY_STATUS, status_key(RunStatus.QUEUED, number), b"")
            edit.put(Table.RUN_STATUS, key, encode(RunStatusRecord(int(RunStatus.QUEUED), 0, "", "")))
            continue
        edit.set_status(header.run, status_record(header))
