"""Events about many rows, as the events about each of them that they stand for.

The journal holds one event for a block and one for each span of it. Whoever reads history (people, `orchctl events`,
tests) sees what each row's attempt went through, as if it had been ordered and reported by itself.
"""

from collections.abc import Iterator, Mapping

from engine.core.events import (
    AnyEvent,
    AttemptExited,
    AttemptOrdered,
    AttemptStarted,
    BlockOrdered,
    LogSlice,
    RowsSucceeded,
    TaskFinished,
    Usage,
    columns_of,
)
from engine.model.ids import NO_INDEX
from engine.model.instants import MICROSECOND
from engine.model.status import SUCCESS, TaskStatus

_A_ROW = 3

Place = tuple[int, int, int, int]
"""(run, task, index, number) of an attempt, of a block those of its first row."""


def place_of(event: AnyEvent, places: Mapping[int, Place]) -> Place:
    """What an event is about: it says so itself, or names an attempt, whose place is known."""
    run: int = getattr(event, "run", 0)
    attempt: int = getattr(event, "attempt", 0)
    if attempt and not run:
        return places.get(attempt, (0, -1, NO_INDEX, 0))
    task = getattr(event, "task", -1)
    number = task if isinstance(task, int) else -1  # requests name tasks as people do
    return run, number, getattr(event, "index", NO_INDEX), getattr(event, "number", 0)


def unfolded_count(event: AnyEvent) -> int:
    """How many events this one stands for."""
    if isinstance(event, BlockOrdered):
        return event.count
    if isinstance(event, RowsSucceeded):
        return _A_ROW * event.count
    return 2 if isinstance(event, AttemptExited) and event.began_ns else 1


def unfold(event: AnyEvent, place: Place) -> Iterator[tuple[AnyEvent, Place]]:
    """The events that this one stands for, each with the place of its attempt."""
    run, task, _, number = place
    if isinstance(event, BlockOrdered):
        before = event.claim_from
        for row in range(event.count):
            attempt = event.attempt + row
            at = event.index + row
            yield AttemptOrdered(attempt, run, task, at, event.number, before), (run, task, at, number)
            before = attempt
    elif isinstance(event, RowsSucceeded):
        yield from _rows(event, place)
    else:
        if isinstance(event, AttemptExited) and event.began_ns:
            yield AttemptStarted(event.attempt, event.began_ns, 0), place
        yield event, place


def _rows(event: RowsSucceeded, place: Place) -> Iterator[tuple[AnyEvent, Place]]:
    run, task, index, number = place
    now_us, log_at = event.last_us, event.log.offset
    columns = columns_of(event.columns)
    for at, (gap, took, cpu, written) in enumerate(zip(*columns, strict=True)):
        row = event.offset + at
        attempt, here = event.attempt + row, (run, task, index + row, number)
        began_ns = (now_us + gap) * MICROSECOND
        now_us += gap + took
        log = LogSlice(event.log.path, log_at, written) if written else LogSlice()
        log_at += written
        result = event.results[at] if event.results else None
        usage = Usage(cpu * MICROSECOND, event.max_rss_bytes)
        yield AttemptStarted(attempt, began_ns, 0), here
        yield AttemptExited(attempt, now_us * MICROSECOND, SUCCESS, usage, log, result, event.attempt), here
        yield TaskFinished(run, task, index + row, TaskStatus.SUCCEEDED), here
