"""The rows of a run in the order that is asked for, and no more of them than are wanted."""

from collections.abc import Sequence
from heapq import nlargest
from itertools import islice

from engine.core.state import RunState
from engine.model.ids import NO_INDEX
from engine.model.status import TaskStatus
from engine.protocol.messages import ListTasks
from engine.server.look import Look
from engine.server.shape import Place, counts_in, matching, places_of, positions_of, rows_of

_ATTENTION = (
    TaskStatus.FAILED, TaskStatus.RUNNING, TaskStatus.BACKING_OFF, TaskStatus.UPSTREAM_FAILED, TaskStatus.READY,
    TaskStatus.WAITING, TaskStatus.CANCELLED, TaskStatus.SKIPPED, TaskStatus.SUCCEEDED,
)  # fmt: skip
_RANKED_FEW = 10_000
"""So many are picked out of all rows; for more, all are sorted."""
_FINAL = bytes(int(status >= TaskStatus.SUCCEEDED) for status in range(256))


def in_order(run: RunState, tasks: Sequence[int], wanted: frozenset[int], offset: int, limit: int) -> list[Place]:
    """A window of the rows in topological order."""
    if wanted:
        return list(islice(matching(run, tasks, wanted), offset, offset + limit))
    found: list[Place] = []
    for task in tasks:
        size = positions_of(run, task)
        if offset >= size:
            offset -= size
            continue
        found.extend(islice(places_of(run, task, offset), limit - len(found)))
        offset = 0
        if len(found) >= limit:
            break
    return found


def by_attention(
    run: RunState, tasks: Sequence[int], wanted: frozenset[int], offset: int, limit: int
) -> tuple[list[Place], int]:
    """What needs a look first, and how many there are; statuses that lie wholly outside the window are not listed."""
    counts = counts_in(run, tasks)
    found: list[Place] = []
    total = 0
    for status in _ATTENTION:
        if wanted and status not in wanted:
            continue
        begin, end = max(offset - total, 0), min(offset + limit - total, counts[status])
        if begin < end:
            found.extend(islice(matching(run, tasks, frozenset({int(status)})), begin, end))
        total += counts[status]
    return found, total


def by_duration(
    look: Look, run: RunState, question: ListTasks, tasks: Sequence[int], wanted: frozenset[int], most: int
) -> list[Place]:
    """The first `most` of the longest, rows that have not started last. What was ranked is kept for the revision."""
    key = (run.run, question.task, question.text, wanted)
    ranked = look.ranked_rows.get(key, ())
    if len(ranked) < most:
        rows = list(rows_of(run, tasks, wanted))
        lengths = _lengths(run, rows, look.state.meta.now_ns)
        by_length = lengths.__getitem__
        if most <= _RANKED_FEW:
            order = nlargest(most, range(len(rows)), key=by_length)
        else:
            order = sorted(range(len(rows)), key=by_length, reverse=True)
        ranked = look.ranked_rows[key] = [rows[at] for at in order]
    return [Place(*run.place(row), row) if row >= 0 else Place(~row, NO_INDEX, -1) for row in ranked[:most]]


def _lengths(run: RunState, rows: Sequence[int], now_ns: int) -> list[int]:
    """How long each row has taken so far, -1 for one that has not started: a look at a million of them is quick."""
    started, finished, final = run.started, run.finished, bytearray(run.status.translate(_FINAL))
    return [
        (finished[row] if final[row] else now_ns) - started[row] if row >= 0 and started[row] else -1 for row in rows
    ]
