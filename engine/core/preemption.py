"""Making room: attempts of a lower priority that allow it are stopped for one that waits, and go again later.

Only for the entry that holds the reservation, only from attempts of a lower priority whose task says `preemption:
requeue`, and only if that gives it all that it claims: nobody is stopped in vain. What is stopped already counts as
free. The lowest priority goes first, and of those what began last, as it loses least.
"""

from engine.admission.ledger import Ledger
from engine.core import transitions
from engine.core.context import PREEMPTED, Context
from engine.core.effects import StopAttempt
from engine.core.events import AttemptPreempted
from engine.core.state import Attempt
from engine.scheduling.fair_queue import Entry


def preempt(cx: Context) -> None:
    """Order the end of what has to go so that the first of the queue may start."""
    entry = cx.gate.reserved
    if entry is None or entry.band[1]:  # what makes up for the past stops nobody
        return
    lower = _lower(cx, entry)
    if not lower:
        return
    room = cx.ledger.copy()
    for attempt in cx.state.holding():
        if attempt.stop:
            room.release(attempt.claim, attempt.binding)
    chosen: list[Attempt] = []
    for attempt in lower:
        if room.fits(entry.claim):
            break
        room.release(attempt.claim, attempt.binding)
        chosen.append(attempt)
    if room.fits(entry.claim):
        for attempt in _needed(chosen, room, entry):
            _stop(cx, attempt, entry)


def _lower(cx: Context, entry: Entry) -> list[Attempt]:
    """Attempts that may be stopped for the entry, the first to go first."""
    found: list[tuple[int, int, Attempt]] = []
    for attempt in cx.state.holding():
        policy = cx.state.runs[attempt.run].plan.policy(attempt.task)
        lower = policy.preemption == "requeue" and policy.priority < -entry.band[0]
        if lower and not attempt.stop and not attempt.is_block:
            found.append((policy.priority, -attempt.attempt, attempt))
    return [attempt for _, _, attempt in sorted(found, key=lambda one: one[:2])]


def _needed(chosen: list[Attempt], room: Ledger, entry: Entry) -> list[Attempt]:
    """Without those whose claim turned out not to be needed."""
    needed: list[Attempt] = []
    for attempt in chosen:
        room.take(attempt.claim, attempt.binding)
        if not room.fits(entry.claim):
            room.release(attempt.claim, attempt.binding)
            needed.append(attempt)
    return needed


def _stop(cx: Context, attempt: Attempt, entry: Entry) -> None:
    attempt.status = transitions.after(transitions.ATTEMPT, attempt.status, "stop_ordered")
    attempt.stop = PREEMPTED
    cx.changes.attempts[attempt.attempt] = attempt
    cx.changes.effects.append(StopAttempt(attempt.attempt))
    cx.note(AttemptPreempted(attempt.attempt, entry.run, entry.task, cx.state.runs[entry.run].place(entry.low)[1]))
