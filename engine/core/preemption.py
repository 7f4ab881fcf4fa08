"""Making room: attempts of a lower priority that allow it step aside for an entry that waits, and go on later.

Only for the entry that holds the reservation, only attempts of a lower priority, and only if that gives it all that it
claims: nobody is disturbed in vain. `preemption: requeue` is stopped, which frees all that it holds, and goes again
later; `suspend` stands still, which frees its CPUs at once (see `standstill`), and goes on later. What is about to step
aside already counts as free. The lowest priority goes first; of those, who can be suspended, as that costs nothing; and
then what began last, as it loses least.
"""

from typing import NamedTuple

from engine.admission.ledger import Ledger
from engine.core import transitions
from engine.core.context import PREEMPTED, Context
from engine.core.effects import StopAttempt
from engine.core.events import AttemptPreempted
from engine.core.standstill import gives_back, let_move, suspend
from engine.core.state import Attempt, RunState
from engine.model.resources import Binding
from engine.model.status import AttemptStatus
from engine.scheduling.fair_queue import Entry


class _Victim(NamedTuple):
    """An attempt, and whether it is to stand still and not to stop."""

    attempt: Attempt
    suspended: bool

    def leave(self, room: Ledger) -> None:
        """Free what it would give back."""
        attempt = self.attempt
        room.release(attempt.held, attempt.binding)
        if self.suspended:
            room.take(attempt.claim.kept_part, Binding(gpus=attempt.binding.gpus))

    def come_back(self, room: Ledger) -> None:
        """It holds again what it holds now."""
        attempt = self.attempt
        if self.suspended:
            room.release(attempt.claim.kept_part, Binding(gpus=attempt.binding.gpus))
        room.take(attempt.held, attempt.binding)


def preempt(cx: Context) -> None:
    """Make those go that have to, so that the first of the queue may start."""
    entry = cx.gate.reserved
    if entry is None or entry.band[1]:  # what makes up for the past stops nobody
        return
    lower = _lower(cx, entry)
    if not lower:
        return
    room = cx.ledger.copy()
    for attempt in cx.state.holding():
        if attempt.stop or (attempt.frozen and not attempt.released and gives_back(cx, attempt)):
            _Victim(attempt, not attempt.stop).leave(room)
    chosen: list[_Victim] = []
    for victim in lower:
        if room.fits(entry.claim):
            break
        victim.leave(room)
        chosen.append(victim)
    if room.fits(entry.claim):
        for victim in _needed(chosen, room, entry):
            if victim.suspended:
                suspend(cx, victim.attempt, entry)
            else:
                _stop(cx, victim.attempt, entry)


def _lower(cx: Context, entry: Entry) -> list[_Victim]:
    """Attempts that may be disturbed for the entry, the first to go first."""
    found: list[tuple[int, bool, int, _Victim]] = []
    for attempt in cx.state.holding():
        run = cx.state.runs[attempt.run]
        how = run.plan.policy(attempt.task).preemption
        if how == "never" or attempt.stop:
            continue
        priority = run.priority(attempt.task)
        suspended = how == "suspend"
        may = _may_suspend(cx, run, attempt) if suspended else _may_stop(cx, attempt)
        if may and priority < -entry.band[0]:
            found.append((priority, not suspended, -attempt.attempt, _Victim(attempt, suspended)))
    return [victim for *_, victim in sorted(found, key=lambda one: one[:3])]


def _may_suspend(cx: Context, run: RunState, attempt: Attempt) -> bool:
    """It runs, and gives something back. A trial would measure its own standstill."""
    moves = attempt.status is AttemptStatus.RUNNING and not attempt.frozen
    return moves and gives_back(cx, attempt) and not run.plan.measures[attempt.task]


def _may_stop(cx: Context, attempt: Attempt) -> bool:
    """Who has given its CPUs back needs them to end."""
    return not attempt.is_block and (not attempt.released or cx.ledger.fits(attempt.claim.cpu_part))


def _needed(chosen: list[_Victim], room: Ledger, entry: Entry) -> list[_Victim]:
    """Without those whose claim turned out not to be needed."""
    needed: list[_Victim] = []
    for victim in chosen:
        victim.come_back(room)
        if not room.fits(entry.claim):
            victim.leave(room)
            needed.append(victim)
    return needed


def _stop(cx: Context, attempt: Attempt, entry: Entry) -> None:
    attempt.status = transitions.after(transitions.ATTEMPT, attempt.status, "stop_ordered")
    attempt.stop = PREEMPTED
    if attempt.frozen:
        let_move(cx, attempt)
    cx.changes.attempts[attempt.attempt] = attempt
    cx.changes.effects.append(StopAttempt(attempt.attempt))
    cx.note(AttemptPreempted(attempt.attempt, entry.run, entry.task, cx.state.runs[entry.run].place(entry.low)[1]))
