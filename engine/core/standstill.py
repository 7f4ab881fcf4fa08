"""Standing still: an attempt is frozen because an operator paused it, or to make room for a higher priority.

Who stands still uses no CPU, so others may have its CPUs meanwhile. All else it keeps: its memory is in use, its GPUs
hold its data, and who has a mutex or a slot of a pool is in the middle of something. It must be *memory-light*, as CPUs
bound how much memory can be in use at all: what it occupies is covered by the memory that it claims, or is a small part
of the host.

CPUs change hands only on facts. They are released when the launcher has answered the newest order by saying that all of
it stands still, and when nobody waits to take over its claim. To go on it waits in the queue for its CPUs, before what
has not begun, and is told to move when it has them. Only who is to end has them at once, so that it can heed: for its
grace more CPUs may be claimed than there are, and nothing starts for so long.

Who has begun may hold what the entry with the reservation waits for. Then it goes on past the reservation, or both
would wait for ever.
"""

from engine.core import transitions
from engine.core.context import CANCELLED, KILLED, Context
from engine.core.effects import RecallAttempt, ResumeAttempt, StopAttempt, SuspendAttempt
from engine.core.events import AttemptPreempted, AttemptResumed, AttemptSuspended
from engine.core.orders import regain_cpus, release_cpus
from engine.core.state import BACKFILL, Attempt, Pause, RunState
from engine.model.ids import run_text
from engine.model.status import AttemptStatus
from engine.scheduling.fair_queue import Entry

LIGHT_PART = 20
"""What occupies at most this part of the host's memory is light, whatever it claims."""
FIRST = 2**62
"""The weight of what has begun: it goes on before anything of its owner and band begins."""


# --- what is wanted -------------------------------------------------------------------------------------------------


def pause(cx: Context, attempt: Attempt) -> None:
    """An operator wants it to stand still. What has not started yet is told so when it has."""
    known = _want(cx, attempt, waits=False)
    if not attempt.frozen:
        _order(cx, attempt, known, frozen=True)


def resume(cx: Context, attempt: Attempt) -> None:
    """It is to go on, as soon as it has its CPUs."""
    known = _want(cx, attempt, waits=attempt.released)
    if attempt.released:
        _wait_for_cpus(cx, attempt, known)
    else:
        _order(cx, attempt, known, frozen=False)


def suspend(cx: Context, attempt: Attempt, entry: Entry) -> None:
    """It makes room for the entry, and goes on by itself when there is room again. Rows of a block that have not begun
    need not wait for that."""
    known = _want(cx, attempt, waits=True)
    index = cx.state.runs[entry.run].place(entry.low)[1]
    known.for_row = (entry.run, entry.task, index)
    if attempt.is_block:
        cx.changes.effects.append(RecallAttempt(attempt.attempt))
    _order(cx, attempt, known, frozen=True)
    cx.note(AttemptPreempted(attempt.attempt, entry.run, entry.task, index, suspended=True))


def stop(cx: Context, attempt: Attempt, offset: int, *, kill: bool) -> None:
    """Order the end of an attempt, or of a block's row; that it was to be killed is kept, so that the order can be
    repeated as it was."""
    if attempt.is_block:
        if attempt.frozen and offset == attempt.done:  # the row cannot heed while its worker stands still
            _order(cx, attempt, let_move(cx, attempt), frozen=False)
        how = attempt.stops[offset] = KILLED if kill or attempt.stops.get(offset) == KILLED else CANCELLED
    else:
        attempt.status = transitions.after(transitions.ATTEMPT, attempt.status, "stop_ordered")
        how = attempt.stop = KILLED if kill or attempt.stop == KILLED else CANCELLED
        if attempt.frozen:
            let_move(cx, attempt)
    cx.changes.attempts[attempt.attempt] = attempt
    cx.changes.effects.append(StopAttempt(attempt.attempt, how == KILLED, offset))


def let_move(cx: Context, attempt: Attempt) -> Pause:
    """It is to end, for which it has to move: nobody waits for CPUs to do that. Its launcher thaws it by itself."""
    known = _want(cx, attempt, waits=False)
    attempt.frozen = False
    if known.released:
        regain_cpus(cx, cx.state.runs[attempt.run], attempt, known, 0, None)
    return known


def _want(cx: Context, attempt: Attempt, *, waits: bool) -> Pause:
    """Forget what was wanted before."""
    cx.withdraw(attempt.attempt)
    cx.changes.attempts[attempt.attempt] = attempt
    known = attempt.pause = attempt.pause or Pause()
    known.waits, known.for_row = waits, None
    return known


def _order(cx: Context, attempt: Attempt, known: Pause, *, frozen: bool) -> None:
    attempt.frozen = frozen
    known.turn += 1
    repeat_order(cx, attempt)


def repeat_order(cx: Context, attempt: Attempt) -> None:
    """Give the newest order again, which may have been lost. Nobody may take over the claim of who stands still."""
    number, turn = attempt.attempt, attempt.pause.turn if attempt.pause is not None else 0
    moves = attempt.status in (AttemptStatus.RUNNING, AttemptStatus.SUSPENDED)
    if attempt.frozen:
        _recall_followers(cx, number)
    if attempt.frozen and moves:
        cx.changes.effects.append(SuspendAttempt(number, turn))
    elif moves:
        cx.changes.effects.append(ResumeAttempt(number, turn, attempt.binding.cpus))


def _recall_followers(cx: Context, number: int) -> None:
    cx.changes.effects.extend(RecallAttempt(follower) for follower in cx.lanes.close(number))


# --- what launchers say ---------------------------------------------------------------------------------------------


def on_suspended(cx: Context, event: AttemptSuspended) -> None:
    """It stands still. If it is wanted to go on by now, it is told so again: reports and orders may have crossed."""
    attempt = cx.state.attempts.get(event.attempt)
    if attempt is None:
        return
    attempt.status = transitions.after(transitions.ATTEMPT, attempt.status, "suspended")
    attempt.still_since_ns = attempt.still_since_ns or event.at_ns
    cx.changes.attempts[event.attempt] = attempt
    known = attempt.pause
    if not attempt.frozen:
        repeat_order(cx, attempt)
    elif known is not None and event.turn == known.turn and not known.released:
        known.memory_bytes = event.memory_bytes
        if gives_back(cx, attempt):
            cx.settling.add(event.attempt)
        elif known.waits:  # it turned out not to be light: it stood still in vain
            resume(cx, attempt)


def on_resumed(cx: Context, event: AttemptResumed) -> None:
    """It goes on. If it is wanted to stand still by now, it is told so again, unless its launcher knows better."""
    attempt = cx.state.attempts.get(event.attempt)
    if attempt is None:
        return
    attempt.status = transitions.after(transitions.ATTEMPT, attempt.status, "resumed")
    stood_still(attempt, event.at_ns)
    cx.changes.attempts[event.attempt] = attempt
    if not attempt.frozen:
        return
    if attempt.pause is not None and event.turn == attempt.pause.turn:
        let_move(cx, attempt)
    else:
        repeat_order(cx, attempt)


def stood_still(attempt: Attempt, until_ns: int) -> None:
    """It moves again, or has ended."""
    if attempt.still_since_ns:
        attempt.still_ns += max(0, until_ns - attempt.still_since_ns)
        attempt.still_since_ns = 0


# --- giving back, and waiting ---------------------------------------------------------------------------------------


def gives_back(cx: Context, attempt: Attempt) -> bool:
    """Whether others may have its CPUs while it stands still, as far as is known of it."""
    claim, policy = attempt.claim, cx.state.runs[attempt.run].plan.policy(attempt.task)
    if claim.exclusive or not (claim.cpu_milli or claim.pin):
        return False
    occupied = attempt.pause.memory_bytes if attempt.pause is not None else 0
    light = occupied <= max(claim.memory_bytes, cx.state.capacity.memory_bytes // LIGHT_PART)
    return light and (policy.on_pause == "release" or not attempt.paused)


def settle_still(cx: Context) -> None:
    """Those whose claim nobody waits to take over any more give their CPUs back."""
    for number in sorted(cx.settling):
        if not cx.lanes.alone(number):
            _recall_followers(cx, number)
            continue
        attempt = cx.state.attempts[number]
        cx.settling.discard(number)
        if attempt.pause is not None:
            release_cpus(cx, cx.state.runs[attempt.run], attempt, attempt.pause)
            cx.changes.attempts[number] = attempt
            if attempt.pause.waits:
                _wait_for_cpus(cx, attempt, attempt.pause)


def stand_again(cx: Context, attempt: Attempt) -> None:
    """A live attempt that was loaded stands still as it did."""
    if attempt.frozen:
        cx.lanes.close(attempt.attempt)
        if attempt.pause is not None and attempt.pause.released and attempt.pause.waits:
            _wait_for_cpus(cx, attempt, attempt.pause)


def _wait_for_cpus(cx: Context, attempt: Attempt, known: Pause) -> None:
    run = cx.state.runs[attempt.run]
    row = run.row(attempt.task, attempt.index) + attempt.done
    known.waits = True
    cx.returning[attempt.attempt] = cx.queue.push(
        run.run, attempt.task, range(row, row + 1), attempt.claim.cpu_part, priority=run.priority(attempt.task),
        weight=FIRST, owner=run.owner, backfill=run.header.trigger == BACKFILL, expected_ns=_left_ns(cx, run, attempt),
        attempt=attempt.attempt,
    )  # fmt: skip


def _left_ns(cx: Context, run: RunState, attempt: Attempt) -> int:
    """What it is expected to need yet; 0 where nobody knows."""
    expected_ns = cx.durations.get(run.alike(attempt.task), 0) or run.plan.policy(attempt.task).quota.wall_ns
    if attempt.is_block:
        return expected_ns * (attempt.limit - attempt.done)
    ran_ns = (attempt.still_since_ns or cx.now_ns) - attempt.started_ns - attempt.still_ns
    return max(expected_ns - ran_ns, 0)


# --- going on -------------------------------------------------------------------------------------------------------


def go_on(cx: Context, entry: Entry) -> None:
    """There is room: it has its CPUs again, and goes on."""
    attempt = cx.state.attempts[entry.attempt]
    known = _want(cx, attempt, waits=False)
    run = cx.state.runs[attempt.run]
    cx.pressure.started(cx.now_ns)
    regain_cpus(cx, run, attempt, known, entry.expected_ns, entry)
    _order(cx, attempt, known, frozen=False)


def go_on_all(cx: Context) -> None:
    """While nothing begins, what has begun goes on where it fits: its end is what frees the host."""
    for entry in list(cx.returning.values()):
        if cx.ledger.fits(entry.claim):
            go_on(cx, entry)


def go_on_past(cx: Context) -> None:
    """What holds something that the entry with the reservation is short of goes on where it fits."""
    reserved = cx.gate.reserved if cx.returning else None
    if reserved is None:
        return
    wanted = reserved.claim.kept_part
    for number, entry in list(cx.returning.items()):
        held = [(run_text(entry.run), cx.state.attempts[number].held)]
        blocks = any(reason.holders for reason in cx.ledger.reasons(wanted, held))
        if blocks and cx.ledger.fits(entry.claim):
            go_on(cx, entry)
