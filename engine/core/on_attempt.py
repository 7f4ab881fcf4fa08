"""What the launchers report: an attempt started, exited, never started, or was lost."""

import msgspec

from engine.core import transitions
from engine.core.ahead import learn
from engine.core.blocks import end_row
from engine.core.context import PREEMPTED, Context
from engine.core.effects import AcknowledgeExit
from engine.core.events import (
    AttemptExited,
    AttemptLost,
    AttemptNeverStarted,
    AttemptStarted,
    BlockStarted,
    RetryScheduled,
    RowsReleased,
    RowWithdrawn,
    TrialRepeated,
)  # fmt: skip
from engine.core.orders import give_back
from engine.core.progress import finish_row, is_ending
from engine.core.standstill import repeat_order, stood_still
from engine.core.state import Attempt, RunState
from engine.model.campaign import TRIAL
from engine.model.errors import IllegalTransition
from engine.model.ids import NO_INDEX
from engine.model.status import AttemptStatus, Outcome, OutcomeKind
from engine.scheduling.retry import applies, delay_ns

LOSSES_MAX = 3
_COUNT_MAX = 255


def on_started(cx: Context, event: AttemptStarted | BlockStarted) -> None:
    """A process of it runs. A report about an attempt that has ended already says nothing new.

    After a restart the launchers say again what runs: who shall stop, or stand still, is told once more.
    """
    attempt = cx.state.attempts.get(event.attempt)
    if attempt is None:
        return
    attempt.status = transitions.after(transitions.ATTEMPT, attempt.status, "started")
    attempt.pid, attempt.start_ticks, attempt.started_ns = event.pid, event.start_ticks, event.at_ns
    if event.log.path:
        attempt.log = event.log
    if isinstance(event, AttemptStarted):
        attempt.levels = event.levels
    cx.changes.attempts[event.attempt] = attempt
    cx.repeat_stops(attempt)
    if attempt.frozen or attempt.status is AttemptStatus.SUSPENDED:
        repeat_order(cx, attempt)
    run = cx.state.runs[attempt.run]
    row = run.row(attempt.task, attempt.index + attempt.done if attempt.is_block else attempt.index)
    run.started[row] = event.at_ns
    cx.touch(run, row)


def on_exited(cx: Context, event: AttemptExited) -> None:
    """Its tree has ended, and how is known."""
    found = _end(cx, event, "exited", event.began_ns, event.log.length)
    if found is None:
        return
    run, attempt = found
    outcome = _keep_result(cx, run, attempt, event)
    attempt.outcome, attempt.usage, attempt.log, attempt.measured = outcome, event.usage, event.log, event.measured
    row = run.row(attempt.task, attempt.index)
    run.losses[row] = 0
    _show_outcome(run, attempt, outcome)
    if outcome.kind is OutcomeKind.SUCCEEDED:
        run.header.grown.pop(row, None)
        if event.result is None:
            run.trust += 1
        if not _repeat_noisy(cx, run, attempt):
            finish_row(cx, run, attempt.task, attempt.index, "succeeded", at_ns=event.at_ns)
    elif attempt.stop == PREEMPTED:
        _again_or_cancelled(cx, run, attempt)
    elif attempt.stop or outcome.kind is OutcomeKind.CANCELLED:
        finish_row(cx, run, attempt.task, attempt.index, "cancelled", at_ns=event.at_ns)
    else:
        _after_failure(cx, run, attempt, outcome)


def on_never_started(cx: Context, event: AttemptNeverStarted) -> None:
    """Nothing of it ran: the row is as ready as it was before. Who has seen it run knows better: then it is lost."""
    known = cx.state.attempts.get(event.attempt)
    if known is not None and known.started_ns:
        lost = AttemptLost(event.attempt, cx.now_ns, f"it ran, and was reported as never started: {event.why}")
        cx.note(lost)
        on_lost(cx, lost)
        return
    attempt = known
    if attempt is None:
        return
    attempt.status = transitions.after(transitions.ATTEMPT, attempt.status, "never_started")
    attempt.finished_ns = cx.now_ns
    run = _end_single(cx, attempt)
    attempt.outcome = Outcome(OutcomeKind.NOT_STARTED, why=event.why)
    if attempt.on_success:
        run.trust = 0
    _again_or_cancelled(cx, run, attempt)


def on_lost(cx: Context, event: AttemptLost) -> None:
    """How it ended is unknown. It costs no retry, but a task that is lost three times in a row has failed."""
    found = _end(cx, event, "lost")
    if found is None:
        return
    run, attempt = found
    attempt.outcome = Outcome(OutcomeKind.LOST, why=event.why)
    _show_outcome(run, attempt, attempt.outcome)
    row = run.row(attempt.task, attempt.index)
    run.losses[row] = min(run.losses[row] + 1, _COUNT_MAX)
    if attempt.to_end:
        finish_row(cx, run, attempt.task, attempt.index, "cancelled")
    elif run.losses[row] >= LOSSES_MAX:
        why = f"lost {LOSSES_MAX} times in a row; the last time: {event.why}"
        finish_row(cx, run, attempt.task, attempt.index, "failed", why)
    elif run.plan.policy(attempt.task).on_lost == "hold":
        why = f"lost ({event.why}) and on_lost is hold: retry it, or mark it"
        finish_row(cx, run, attempt.task, attempt.index, "failed", why)
    else:
        _again_or_cancelled(cx, run, attempt)


def _end(
    cx: Context, event: AttemptExited | AttemptLost, cause: str, began_ns: int = 0, written: int = 0
) -> tuple[RunState, Attempt] | None:
    """Give back the attempt's claim and its row's place; None for an attempt that has ended already."""
    if event.block:
        found = end_row(cx, event.block, event.attempt - event.block, cause, event.at_ns, began_ns, written)
        if found is not None:
            learn(cx, *found)
        return found
    cx.changes.effects.append(AcknowledgeExit(event.attempt))
    attempt = cx.state.attempts.get(event.attempt)
    if attempt is None:
        return None
    if attempt.is_block:
        raise IllegalTransition(f"block {event.attempt} has rows: it cannot end as one attempt")
    attempt.status = transitions.after(transitions.ATTEMPT, attempt.status, cause)
    attempt.finished_ns = event.at_ns
    stood_still(attempt, event.at_ns)
    return _end_single(cx, attempt), attempt


def _end_single(cx: Context, attempt: Attempt) -> RunState:
    run = cx.state.runs[attempt.run]
    del run.live[run.row(attempt.task, attempt.index)]
    give_back(cx, run, attempt)
    learn(cx, run, attempt)
    return run


def _show_outcome(run: RunState, attempt: Attempt, outcome: Outcome) -> None:
    """Let expressions downstream see how the task's last attempt ended."""
    if run.plan.needs_result[attempt.task] and attempt.index == NO_INDEX:
        run.header.outcomes[attempt.task] = (outcome.text, outcome.exit_code)


def _keep_result(cx: Context, run: RunState, attempt: Attempt, event: AttemptExited) -> Outcome:
    """Store the result of a success; one that is not JSON makes it a failure. No result takes an older one away."""
    if event.outcome.kind is not OutcomeKind.SUCCEEDED:
        return event.outcome
    if event.result is None:
        if run.results.get((attempt.task, attempt.index)) is not None:
            run.results[attempt.task, attempt.index] = None
            cx.changes.results.append((run.run, attempt.task, attempt.index, b"null"))
        return event.outcome
    try:
        value = msgspec.json.decode(event.result)
    except (ValueError, RecursionError) as error:
        return Outcome(OutcomeKind.FAILED, exit_code=0, why=f"its result is not JSON: {str(error)[:200]}")
    cx.changes.results.append((run.run, attempt.task, attempt.index, event.result))
    if run.plan.needs_result[attempt.task]:
        run.results[attempt.task, attempt.index] = value
    return event.outcome


def _repeat_noisy(cx: Context, run: RunState, attempt: Attempt) -> bool:
    """Whether a trial goes again because the host disturbed it. Warm-ups do not: nobody looks at what they measure."""
    measured = attempt.measured
    if measured is None or not measured.marks or attempt.stop:
        return False
    campaign = run.plan.tasks[attempt.task].campaign
    if campaign is None:
        return False
    row = run.row(attempt.task, attempt.index)
    times = run.header.repeated.get(row, 0)
    warming_up = run.items[attempt.task][attempt.index][TRIAL] < 1
    if times >= campaign.repeat_noisy or warming_up or is_ending(run, attempt.task):
        return False
    run.header.repeated[row] = times + 1
    cx.note(TrialRepeated(run.run, attempt.task, attempt.index, measured.marks))
    _ready_again(cx, run, attempt.task, attempt.index)
    return True


def _after_failure(cx: Context, run: RunState, attempt: Attempt, outcome: Outcome) -> None:
    """Again after a delay, or the row has failed."""
    task, index = attempt.task, attempt.index
    row = run.row(task, index)
    retry = run.plan.policy(task).retry
    failures = run.failures[row] = min(run.failures[row] + 1, _COUNT_MAX)
    if outcome.which in dict(retry.grow):
        times = run.header.grown.setdefault(row, {})
        times[outcome.which] = min(times.get(outcome.which, 0) + 1, _COUNT_MAX)
    if failures > min(retry.limit, _COUNT_MAX - 1) or not applies(retry, outcome):
        finish_row(cx, run, task, index, "failed", at_ns=attempt.finished_ns)
        return
    if is_ending(run, task):
        finish_row(cx, run, task, index, "cancelled")
        return
    due_ns = cx.now_ns + delay_ns(retry, failures, cx.state.meta.seed, attempt.attempt)
    cx.note(RetryScheduled(run.run, task, index, due_ns))
    if due_ns <= cx.now_ns:
        _ready_again(cx, run, task, index)
        return
    cx.move_row(run, row, task, "backed_off")
    run.finished[row] = due_ns
    cx.set_timer(due_ns, run.run, row)


def _again_or_cancelled(cx: Context, run: RunState, attempt: Attempt) -> None:
    task, index = attempt.task, attempt.index
    if attempt.to_end or is_ending(run, task):
        finish_row(cx, run, task, index, "cancelled")
        return
    if attempt.on_success and run.up_success[task] < run.plan.up_start[task + 1] - run.plan.up_start[task]:
        cx.move_row(run, task, task, "withdrawn")
        cx.note(RowWithdrawn(run.run, task, index))
        cx.unsettled.append((run, task))
        return
    _ready_again(cx, run, task, index)


def _ready_again(cx: Context, run: RunState, task: int, index: int) -> None:
    row = run.row(task, index)
    cx.move_row(run, row, task, "returned")
    cx.note(RowsReleased(run.run, task, index))
    cx.enqueue(run, task, range(row, row + 1))
