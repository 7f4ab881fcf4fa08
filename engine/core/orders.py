"""The end of an order: its claim is free, or the next one of its lane has taken it over."""

from engine.core.context import Context
from engine.core.state import Attempt, RunState


def give_back(cx: Context, run: RunState, attempt: Attempt) -> None:
    """The attempt, or all of the block, has ended."""
    number = attempt.attempt
    del cx.state.attempts[number]
    cx.changes.attempts[number] = attempt
    free, moved = cx.lanes.end(number)
    if free:
        cx.ledger.release(attempt.claim)
    if moved is not None:
        follower, before = moved
        cx.changes.attempts[follower] = cx.state.attempts[follower]
        cx.state.attempts[follower].claim_from = before
    run.live_of_task[attempt.task] -= 1
    cx.changes.runs.add(run.run)
    _unpark_siblings(cx, run, attempt.task)


def _unpark_siblings(cx: Context, run: RunState, task: int) -> None:
    """An order of the task has ended: those that waited for a place among `max_parallel` may go."""
    parked = cx.parallel_parked.pop((run.run, task), None)
    for entry in parked or ():
        cx.queue.put_back(entry)
