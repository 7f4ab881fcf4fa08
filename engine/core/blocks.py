"""Blocks: rows of a `for_each` that one worker runs one after another, ordered, reported and recorded as one.

Short Python rows would cost more to order one by one than to run. So rows that follow each other, were tried as often
as each other and are known to be short are one order with one claim, as many as take about `BLOCK_NS` together. To
everyone else each row still has an attempt of its own: it can be stopped, it fails and is retried alone. Rows end in
their order; those of which nothing has begun can be given back, and are when a row before them turns out slow.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, chain
from typing import Any, cast

import msgspec

from engine.core import transitions
from engine.core.ahead import BLOCK_NS, learn_took
from engine.core.changes import Span
from engine.core.context import Context
from engine.core.effects import AcknowledgeExit
from engine.core.events import LogSlice, RowsReturned, RowsSucceeded, columns_of
from engine.core.orders import give_back
from engine.core.progress import finish_row, is_ending, release_pairs, sum_up_if_over
from engine.core.scope import rendered, scope_of
from engine.core.state import Attempt, RunState
from engine.expressions import compile_template
from engine.model.errors import IllegalTransition
from engine.model.instants import MICROSECOND
from engine.model.status import AttemptStatus, TaskStatus
from engine.model.workflow import Python
from engine.planning.plan import Plan
from engine.scheduling.fair_queue import Entry

ROWS_MAX = 4_096
_OF_A_ROW = ("item", "index")

Json = dict[str, Any]


# --- ordering -------------------------------------------------------------------------------------------------------


def size_of_block(cx: Context, run: RunState, entry: Entry, expected_ns: int | None) -> int:
    """How many rows of the entry make the next order. Towards the end of the entry blocks become small, so that the
    last of them end together."""
    rest = entry.high - entry.low
    if rest == 1 or expected_ns is None or run.header.grown or not _may_be_block(cx, run.plan, entry.task):
        return 1
    parallel = max(1, cx.state.capacity.cpu_milli // (entry.claim.cpu_milli or 1000))
    parallel = min(parallel, run.plan.max_parallel[entry.task] or parallel)
    size = min(ROWS_MAX, BLOCK_NS // max(expected_ns, 1), max(1, rest // (2 * parallel)))
    return _alike(run, entry.low, max(1, size))


def _alike(run: RunState, low: int, size: int) -> int:
    """How many of the rows are ready, not running, and were tried as often as the first."""
    tries, ready = run.tries[low], TaskStatus.READY
    for row in range(low + 1, low + size):
        if run.status[row] != ready or run.tries[row] != tries or row in run.live:
            return row - low
    return size


def _may_be_block(cx: Context, plan: Plan, task: int) -> bool:
    """Whether all that differs between the rows of the task is in their arguments, and a warm worker runs them."""
    key = (plan.version, task)
    known = cx.blockable.get(key)
    if known is None:
        known = cx.blockable[key] = _all_alike(plan, task)
    return known


def _all_alike(plan: Plan, task: int) -> bool:
    action, policy = plan.tasks[task].action, plan.policy(task)
    if not isinstance(action, Python) or action.isolate or action.target.endswith(".py"):
        return False
    if not plan.tasks[task].mapped or policy.quota.memory_bytes or policy.quota.processes:
        return False
    if plan.tasks[task].campaign is not None:  # each attempt has a report of its own
        return False
    paired = bool(plan.paired(task))
    return not any(_varies(text, paired) for text in (policy.dir, *(text for _, text in policy.env)))


def _varies(value: Any, paired: bool) -> bool:
    """Whether a JSON value has a text in it that looks at the row."""
    if isinstance(value, str):
        names = compile_template(value).references if "{{" in value else ()
        return any(path[0] in _OF_A_ROW or (paired and path[0] == "needs") for path in names)
    if isinstance(value, dict):
        return any(_varies(inner, paired) for inner in value.values())  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return any(_varies(inner, paired) for inner in value)  # pyright: ignore[reportUnknownVariableType]
    return False


def arguments(
    run: RunState, task: int, index: int, count: int, first: Json
) -> tuple[Python, tuple[tuple[str, Sequence[Any]], ...]]:
    """What the rows run, with the arguments that all of them share, and a column for each that differs. `first` is the
    scope of the first row. Raises EngineError."""
    paired = bool(run.plan.paired(task))
    action = cast("Python", run.plan.tasks[task].action)
    items = run.items[task]
    scope: Callable[[int], Json] = lambda at: (  # noqa: E731
        scope_of(run, task, at) if paired else {**first, "index": at, "item": items[at]}
    )
    shared: Json = {}
    columns: list[tuple[str, Sequence[Any]]] = []
    rows = range(index, index + count)
    for name, value in action.args.items():
        if not _varies(value, paired):
            shared[name] = rendered(value, first)
        elif isinstance(value, str) and _is_item(value):
            columns.append((name, list(items[index : index + count])))
        else:
            columns.append((name, [rendered(value, scope(at)) for at in rows]))
    return msgspec.structs.replace(action, args=shared), tuple(columns)


def _is_item(value: str) -> bool:
    single = compile_template(value).single
    return single is not None and single.text.strip() == "item"


# --- what becomes of the rows ---------------------------------------------------------------------------------------


def on_rows_succeeded(cx: Context, event: RowsSucceeded) -> None:
    """Rows ended well, one after the other. What is known already is left out."""
    block = _block(cx, event.attempt)
    if block is None:
        return
    start, stop = max(event.offset, block.done), min(event.offset + event.count, block.limit)
    if stop <= start:
        return
    if start > block.done:
        raise IllegalTransition(f"block {event.attempt} is at row {block.done}, its rows from {start} on cannot end")
    event = _part(event, start, stop)
    cx.note(event)
    run, task, count = cx.state.runs[block.run], block.task, event.count
    low = run.row(task, block.index + start)
    _, took, _, written = columns = columns_of(event.columns)
    began_us, ended_us = _instants(event.last_us, *columns[:2])
    cx.move_rows(run, range(low, low + count), task, TaskStatus.RUNNING, TaskStatus.SUCCEEDED)
    run.losses[low : low + count] = bytes(count)
    for at in range(count):
        row = low + at
        run.started[row] = began_us[at] * MICROSECOND
        run.finished[row] = ended_us[at] * MICROSECOND
        del run.live[row]
    _keep_results(cx, run, block, start, event)
    learn_took(cx, run, task, sum(took) * MICROSECOND // count)
    cx.changes.spans.append(
        Span(
            block.attempt + start, run.run, task, block.index + start, block.number, count, block.ordered_ns,
            block.pid, block.start_ticks, block.claim, event.last_us, event.columns, event.log, event.max_rss_bytes,
        )
    )  # fmt: skip
    _advance(cx, run, block, stop, ended_us[-1] * MICROSECOND, sum(written))
    if any(task in run.plan.paired(down) for down in run.plan.downs(task)):
        for at in range(count):
            release_pairs(cx, run, task, block.index + start + at)
    sum_up_if_over(cx, run, task)


def _part(event: RowsSucceeded, start: int, stop: int) -> RowsSucceeded:
    """The event without the rows that are known already."""
    skip, count = start - event.offset, stop - start
    if count == event.count:
        return event
    columns = columns_of(event.columns)
    last_us = event.last_us + sum(columns[0][:skip]) + sum(columns[1][:skip])
    log = LogSlice(event.log.path, event.log.offset + sum(columns[3][:skip]))
    data = b"".join(column[skip : skip + count].tobytes() for column in columns)
    return msgspec.structs.replace(
        event, offset=start, count=count, last_us=last_us, columns=data, log=log,
        results=event.results[skip : skip + count],
    )  # fmt: skip


def _instants(last_us: int, gaps: Sequence[int], took: Sequence[int]) -> tuple[list[int], list[int]]:
    """When each row began and ended, in microseconds."""
    moments = list(accumulate(chain.from_iterable(zip(gaps, took, strict=True)), initial=last_us))
    return moments[1::2], moments[2::2]


def _keep_results(cx: Context, run: RunState, block: Attempt, start: int, event: RowsSucceeded) -> None:
    """Store the results; no result takes an older one away."""
    first, task, needed = block.index + start, block.task, run.plan.needs_result[block.task]
    for at in range(event.count) if event.results or (needed and block.number > 1) else ():
        index = first + at
        data = event.results[at] if event.results else None
        if data is not None:
            cx.changes.results.append((run.run, task, index, data))
        elif run.results.get((task, index)) is not None:
            cx.changes.results.append((run.run, task, index, b"null"))
        else:
            continue
        if needed:
            run.results[task, index] = msgspec.json.decode(data) if data is not None else None


def end_row(
    cx: Context, number: int, offset: int, cause: str, at_ns: int, began_ns: int = 0, written: int = 0
) -> tuple[RunState, Attempt] | None:
    """One row of a block has ended by itself: its run and its attempt; None where that is known already."""
    block = _block(cx, number)
    if block is None or offset < block.done or offset >= block.limit:
        return None
    if offset > block.done:
        raise IllegalTransition(f"block {number} is at row {block.done}, its row {offset} cannot end")
    run = cx.state.runs[block.run]
    attempt = block.of_row(offset)
    attempt.status = transitions.after(transitions.ATTEMPT, attempt.status, cause)
    attempt.started_ns = began_ns or attempt.started_ns
    attempt.finished_ns = at_ns
    cx.changes.ended.append(attempt)
    row = run.row(block.task, attempt.index)
    run.started[row] = attempt.started_ns
    del run.live[row]
    _advance(cx, run, block, offset + 1, at_ns, written)
    return run, attempt


def on_rows_returned(cx: Context, event: RowsReturned) -> None:
    """From here on nothing of the block ever ran: its rows are ready again, or cancelled if they were to stop."""
    block = _block(cx, event.attempt)
    if block is None:
        return
    offset, limit = max(event.offset, block.done), block.limit
    if offset >= limit:
        return
    cx.note(RowsReturned(event.attempt, offset, event.why))
    run, task = cx.state.runs[block.run], block.task
    stops = {row: block.stops.pop(row) for row in list(block.stops) if row >= offset}
    low = run.row(task, block.index)
    for row in range(low + offset, low + limit):
        del run.live[row]
    block.limit = offset
    _advance(cx, run, block, block.done, block.finished_ns, 0)
    if is_ending(run, task):
        stops = dict.fromkeys(range(offset, limit), "")
    for row in stops:
        finish_row(cx, run, task, block.index + row, "cancelled")
    free = [low + row for row in range(offset, limit) if row not in stops]
    for rows in _ranges(free):
        cx.move_rows(run, rows, task, TaskStatus.RUNNING, TaskStatus.READY)
        cx.enqueue(run, task, rows)


def _ranges(rows: Sequence[int]) -> list[range]:
    """Ascending numbers as ranges of those that follow each other."""
    found: list[range] = []
    for row in rows:
        if found and found[-1].stop == row:
            found[-1] = range(found[-1].start, row + 1)
        else:
            found.append(range(row, row + 1))
    return found


def _block(cx: Context, number: int) -> Attempt | None:
    """The block, while it lives; of one that does not, the launcher may forget all."""
    block = cx.state.attempts.get(number)
    if block is None:
        cx.changes.effects.append(AcknowledgeExit(number))
    return block


def _advance(cx: Context, run: RunState, block: Attempt, done: int, at_ns: int, written: int) -> None:
    """So many rows of the block have ended; with the last one the block has."""
    block.done = done
    block.finished_ns = at_ns
    block.log = LogSlice(block.log.path, block.log.offset, block.log.length + written)
    cx.changes.attempts[block.attempt] = block
    cx.changes.runs.add(run.run)
    for row in [row for row in block.stops if row < done]:
        del block.stops[row]
    if done >= block.limit:
        block.status = AttemptStatus.EXITED
        cx.changes.effects.append(AcknowledgeExit(block.attempt))
        give_back(cx, run, block)
