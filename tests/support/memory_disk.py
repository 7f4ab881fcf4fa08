"""A store in memory that believes nothing but `Changes`.

It writes exactly the records that a batch named as changed, as bytes, and loads a state from those bytes alone. So a
handler that forgets to name what it changed is found by comparing what is loaded with what is in memory.
"""

from array import array
from typing import Any

import msgspec

from engine.core.changes import Changes
from engine.core.derive import derive
from engine.core.state import CHUNK_ROWS, Attempt, Backfill, EngineState, Meta, RunHeader, RunState, WorkflowEntry
from engine.model.resources import Capacity
from engine.model.workflow import decode, encode
from engine.planning.plan import Plan, make_plan

COLUMNS = ("status", "tries", "failures", "losses", "started", "finished")


class MemoryDisk:
    """Records by kind, all of them bytes."""

    def __init__(self) -> None:
        self.meta = b""
        self.capacity = b""
        self.headers: dict[int, bytes] = {}
        self.chunks: dict[tuple[int, int], tuple[bytes, ...]] = {}
        self.items: dict[tuple[int, int], bytes] = {}
        self.results: dict[tuple[int, int, int], bytes] = {}
        self.attempts: dict[int, bytes] = {}
        self.workflows: dict[str, bytes] = {}
        self.backfills: dict[int, bytes] = {}
        self.versions: dict[str, bytes] = {}
        self.requests: dict[str, bytes] = {}
        self.journal: list[bytes] = []
        self._plans: dict[str, Plan] = {}

    def commit(self, changes: Changes, state: EngineState) -> None:
        """Write what the batch named."""
        pack = msgspec.msgpack.encode
        self.meta, self.capacity = pack(state.meta), pack(state.capacity)
        self.journal.append(pack(changes.journal))
        for number in changes.runs | changes.new_runs:
            self.headers[number] = pack(state.runs[number].header)
        for number, chunk in changes.chunks:
            self.chunks[number, chunk] = _columns(state.runs[number], chunk)
        for number, task in changes.items:
            items = state.runs[number].items.get(task)
            if items is None:  # a later event of the batch dropped the rows again
                self.items.pop((number, task), None)
            else:
                span = (items.start, items.stop, items.step) if isinstance(items, range) else None
                self.items[number, task] = pack((span, None if span else items))
        for number, task, index, result in changes.results:
            self.results[number, task, index] = result
        for number, attempt in changes.attempts.items():
            self.attempts[number] = pack(attempt)
        for name in changes.workflows:
            if name in state.workflows:
                self.workflows[name] = pack(state.workflows[name])
            else:
                self.workflows.pop(name, None)
        for number in changes.backfills:
            if number in state.backfills:
                self.backfills[number] = pack(state.backfills[number])
            else:
                self.backfills.pop(number, None)
        for version in changes.versions:
            self.versions[version] = encode(state.plans[version].workflow)
        for request, body in changes.requests.items():
            self.requests[request] = pack(body)

    def load(self) -> EngineState:
        """The state after the last commit: all that is not finished."""
        unpack = msgspec.msgpack.decode
        state = EngineState(unpack(self.meta, type=Meta), unpack(self.capacity, type=Capacity))
        for version in sorted(self.versions):
            state.plans[version] = self._plan(version)
        for name in sorted(self.workflows):
            state.workflows[name] = unpack(self.workflows[name], type=WorkflowEntry)
        for number in sorted(self.backfills):
            state.backfills[number] = unpack(self.backfills[number], type=Backfill)
        for number in sorted(self.attempts):
            attempt = unpack(self.attempts[number], type=Attempt)
            if attempt.live:
                state.attempts[number] = attempt
        for number in sorted(self.headers):
            if not unpack(self.headers[number], type=RunHeader).status.finished:
                state.runs[number] = self.load_run(number)
        state.requests = {request: unpack(body) for request, body in self.requests.items()}
        return state

    def load_run(self, number: int) -> RunState:
        """One run, finished or not."""
        header = msgspec.msgpack.decode(self.headers[number], type=RunHeader)
        run = RunState(header, self._plan(header.version))
        stored = [self.chunks[number, chunk] for chunk in range((header.rows + CHUNK_ROWS - 1) // CHUNK_ROWS)]
        for place, name in enumerate(COLUMNS):
            data = b"".join(chunk[place] for chunk in stored)
            column = getattr(run, name)
            fresh = array(column.typecode, data) if isinstance(column, array) else bytearray(data)
            if len(fresh) != header.rows:
                raise AssertionError(
                    f"r{number}: {len(fresh)} rows of {name} are stored, the header says {header.rows}"
                )
            setattr(run, name, fresh)
        for (owner, task), packed in self.items.items():
            if owner == number and any(entry[0] == task and entry[1] >= 0 for entry in header.tasks):
                span, items = msgspec.msgpack.decode(packed)
                run.items[task] = range(*span) if span else items
        for (owner, task, index), result in self.results.items():
            if owner == number and run.plan.needs_result[task]:
                run.results[task, index] = msgspec.json.decode(result)
        attempts = [msgspec.msgpack.decode(packed, type=Attempt) for packed in self.attempts.values()]
        live = [attempt for attempt in attempts if attempt.run == number and attempt.live]
        derive(run, sorted(live, key=lambda attempt: attempt.attempt))
        return run

    def _plan(self, version: str) -> Plan:
        plan = self._plans.get(version)
        if plan is None:
            plan = self._plans[version] = make_plan(decode(self.versions[version]))
        return plan


def _columns(run: RunState, chunk: int) -> tuple[bytes, ...]:
    low, high = chunk * CHUNK_ROWS, min((chunk + 1) * CHUNK_ROWS, len(run.status))
    return tuple(bytes(getattr(run, name)[low:high]) for name in COLUMNS)


def picture(run: RunState) -> dict[str, Any]:
    """All of a run that a restart must bring back, in a form that can be compared and printed."""
    header = msgspec.to_builtins(run.header, str_keys=True)
    shown: dict[str, Any] = {name: bytes(getattr(run, name)).hex() for name in COLUMNS}
    for name in ("first_row", "row_count", "task_final", "up_success", "up_failed", "up_skipped"):
        shown[name] = list(getattr(run, name))
    live_of_task = {task: count for task, count in run.live_of_task.items() if count}
    return shown | {
        "header": header,
        "items": {task: list(items) for task, items in run.items.items()},
        "results": dict(run.results),
        "live": dict(run.live),
        "live_of_task": live_of_task,
        "mapped_counts": {task: list(counts) for task, counts in run.mapped_counts.items()},
        "unfinished_tasks": run.unfinished_tasks,
    }


def differences(ours: EngineState, theirs: EngineState) -> list[str]:
    """What differs between a state in memory and one that was loaded; finished runs may have left the memory."""
    found: list[str] = []
    for number, run in ours.runs.items():
        if run.header.status.finished:
            continue
        if number not in theirs.runs:
            found.append(f"r{number} was never written")
            continue
        left, right = picture(run), picture(theirs.runs[number])
        found += [
            f"r{number} {key}: {left[key]} in memory, {right[key]} on disk" for key in left if left[key] != right[key]
        ]
    found += [f"r{number} is live on disk only" for number in theirs.runs if number not in ours.runs]
    if ours.attempts != theirs.attempts:
        found.append(f"attempts: {ours.attempts} in memory, {theirs.attempts} on disk")
    if ours.workflows != theirs.workflows:
        found.append(f"workflows: {ours.workflows} in memory, {theirs.workflows} on disk")
    for name in ("meta", "requests", "backfills"):
        if getattr(ours, name) != getattr(theirs, name):
            found.append(f"{name}: {getattr(ours, name)} in memory, {getattr(theirs, name)} on disk")
    return found
