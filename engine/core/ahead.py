"""Orders ahead of time: what is ready and known to be short takes over a claim that is in use.

Nothing is ordered ahead past something that ranks before it and could use the claim when it is given back, so order and
fairness are those of the queue. What an attempt will take is learned from those of its task, or of the same program:
at once when one is slow, slowly when they are fast.
"""

from engine.admission.lanes import OVERDUE_NS
from engine.core.context import Context
from engine.core.effects import RecallAttempt
from engine.core.state import Attempt, RunState
from engine.model.status import RunStatus
from engine.model.workflow import Command, Python
from engine.scheduling.ready_queue import Entry

CLAIMS_MAX = 16
"""With more different claims waiting, comparing them all would cost more than the round trip that is saved."""

DURATIONS_MAX = 10_000

_Key = tuple[str, int, str]


def expected_ns(cx: Context, run: RunState, task: int) -> int | None:
    """What an attempt of the task is expected to take; None while none has ended, or where it cannot go ahead."""
    spec = run.plan.tasks[task]
    if isinstance(spec.action, Python) or spec.max_parallel:
        return None
    return cx.durations.get(_key(run, task))


def _key(run: RunState, task: int) -> _Key:
    spec = run.plan.tasks[task]
    if spec.mapped:
        return run.header.version, task, ""
    program = spec.action.argv[0] if isinstance(spec.action, Command) else "shell"
    return run.header.version, -1, program


def learn(cx: Context, run: RunState, attempt: Attempt) -> None:
    """An attempt has ended; one that never began, or took no time that a clock can tell, teaches nothing."""
    took = attempt.finished_ns - attempt.started_ns
    if attempt.started_ns and took > 0 and not isinstance(run.plan.tasks[attempt.task].action, Python):
        if len(cx.durations) >= DURATIONS_MAX:
            cx.durations.clear()
        key = _key(run, attempt.task)
        cx.durations[key] = max(took, (took + cx.durations.get(key, 0)) // 2)


def next_ahead(cx: Context) -> tuple[Entry, int] | None:
    """The best entry that may go ahead, and the attempt that it follows (0: its run does not go on)."""
    heads = cx.queue.heads()
    if len(heads) > CLAIMS_MAX:
        return None
    before: list[Entry] = []
    for entry in sorted(heads):
        run = cx.state.runs.get(entry.run)
        if run is None or run.header.status.finished or run.header.status is RunStatus.PAUSED:
            return entry, 0  # to be put aside, not to be ordered
        expected = expected_ns(cx, run, entry.task)
        leader = cx.lanes.room(entry.claim, expected) if expected is not None else 0
        if leader and _may_pass_on(cx, entry, before):
            return entry, leader
        before.append(entry)
    return None


def _may_pass_on(cx: Context, entry: Entry, before: list[Entry]) -> bool:
    """Whether the claim may be taken over: the host still has it (it may have shrunk), nobody before could use it."""
    if not cx.ledger.fits_after(entry.claim, entry.claim):
        return False
    return not any(cx.ledger.fits_after(other.claim, entry.claim) for other in before)


def recall_overdue(cx: Context) -> None:
    """Take back what waits behind holders that are slower than anybody thought."""
    cx.lanes_due_ns = 0
    for lane in cx.lanes.waiting():
        holder = cx.state.attempts[lane.members[0]]
        since = holder.started_ns or holder.ordered_ns
        if lane.closed:
            continue
        if cx.now_ns - since < OVERDUE_NS:
            watch(cx)
            continue
        lane.closed = True
        recall(cx, list(lane.members)[1:])


def recall(cx: Context, numbers: list[int]) -> None:
    """Ask for orders back; the launcher answers that they never started, or that they have."""
    cx.changes.effects.extend(RecallAttempt(number) for number in numbers)


def watch(cx: Context) -> None:
    """Look at the lanes again in a while."""
    if not cx.lanes_due_ns:
        cx.lanes_due_ns = cx.now_ns + OVERDUE_NS
