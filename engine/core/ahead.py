"""Orders ahead of time: what is known to be short takes over a claim that is in use.

Two kinds go ahead: what is ready, and, while nothing is, what waits only for the success of the last attempt of a lane.
Such an order *on success* comes to nothing if that attempt does not succeed, and its row waits again.

Nothing is ordered ahead past something that ranks before it and could use the claim when it is given back, so order and
fairness are those of the queue. What an attempt will take is learned from those of its task, or of the same program:
at once when one is slow, slowly when they are fast.
"""

from engine.admission.lanes import OVERDUE_NS, Lane
from engine.core.context import Context
from engine.core.effects import RecallAttempt
from engine.core.state import Attempt, RunState
from engine.model.ids import NO_INDEX
from engine.model.instants import MILLISECOND
from engine.model.status import RunStatus, TaskStatus
from engine.scheduling.fair_queue import Entry

CLAIMS_MAX = 16
"""With more different claims waiting, comparing them all would cost more than the round trip that is saved."""

DURATIONS_MAX = 10_000

DOWNS_MAX = 8
"""Of the tasks that need an attempt's task, so many are looked at for one that could follow it on success."""

BLOCK_NS = 10 * MILLISECOND
"""The expected work of a block: a lane has room for more than one, so that a worker has the next one while the engine
learns of the last one's end."""


def expected_ns(cx: Context, run: RunState, task: int) -> int | None:
    """What an attempt of the task is expected to take; None while none has ended."""
    return cx.durations.get(run.alike(task))


def learn(cx: Context, run: RunState, attempt: Attempt) -> None:
    """An attempt has ended; one that never began, or took no time that a clock can tell, teaches nothing."""
    if attempt.started_ns:
        learn_took(cx, run, attempt.task, attempt.took_ns)


def learn_took(cx: Context, run: RunState, task: int, took_ns: int) -> None:
    """An attempt of the task took so long, or those of a span did on average."""
    if took_ns > 0:
        if len(cx.durations) >= DURATIONS_MAX:
            cx.durations.clear()
        key = run.alike(task)
        for entry in cx.unknown.pop(key, ()):
            if entry.waiting:
                cx.queue.expect(entry, took_ns)
        cx.durations[key] = max(took_ns, (took_ns + cx.durations.get(key, 0)) // 2)


def next_ahead(cx: Context) -> tuple[Entry, int] | None:
    """The best entry that may go ahead, and the attempt that it follows (0: its run does not go on)."""
    heads = cx.queue.heads(CLAIMS_MAX)
    if heads is None:
        return None
    before: list[Entry] = []
    reserved = cx.gate.reserved
    for entry in heads:
        if entry.attempt:  # it goes on with a claim of its own, of which what is given back may be a part
            if entry is reserved:
                return None
            before.append(entry)
            continue
        run = cx.state.runs.get(entry.run)
        if run is None or run.header.status.finished or run.header.status is RunStatus.PAUSED:
            return entry, 0  # to be put aside, not to be ordered
        spec = run.plan.tasks[entry.task] if run.plan.measures[entry.task] else None
        # A trial begins with a look at the host, while nothing else of it runs.
        alone = run.max_parallel(entry.task) or (spec is not None and spec.has_trials)
        expected = None if alone else expected_ns(cx, run, entry.task)
        leader = cx.lanes.room(entry.claim, expected) if expected is not None else 0
        if leader and _may_pass_on(cx, entry, before):
            return entry, leader
        if entry is reserved:
            return None  # what is given back is set aside for it
        before.append(entry)
    return None


def next_on_success(cx: Context, lane: Lane) -> tuple[RunState, int] | None:
    """A task that waits only for the last attempt of the lane, and may be ordered to follow its success."""
    leader = cx.state.attempts[lane.members[-1]]
    if leader.is_block or leader.index != NO_INDEX or leader.stop or leader.frozen:
        return None
    run = cx.state.runs[leader.run]
    plan, upper = run.plan, leader.task
    if run.header.status is not RunStatus.RUNNING or plan.measures[upper] or len(lane.members) > run.trust:
        return None
    if not cx.ledger.fits_after(lane.claim, lane.claim):
        return None
    start = plan.down_start[upper]
    for task in plan.downstream[start : min(start + DOWNS_MAX, plan.down_start[upper + 1])]:
        if _waits_for_one(run, task) and cx.claim_of(plan, plan.policies[task]) == lane.claim:
            expected = expected_ns(cx, run, task)
            if expected is not None and lane.has_room(expected):
                return run, task
    return None


def _waits_for_one(run: RunState, task: int) -> bool:
    """Whether the success of one more task is all that the task waits for, and nothing else will be asked then."""
    plan = run.plan
    return (
        run.status[task] == TaskStatus.WAITING
        and task not in run.mapped_counts
        and run.up_success[task] == plan.up_start[task + 1] - plan.up_start[task] - 1
        and not (plan.has_when[task] or plan.teardown[task] or plan.measures[task] or plan.reads_needs[task])
        and plan.policy(task).trigger_rule == "all_success"
        and not run.max_parallel(task)
        and task not in run.header.grown
    )


def _may_pass_on(cx: Context, entry: Entry, before: list[Entry]) -> bool:
    """Whether the claim may be taken over: the host still has it (it may have shrunk), nobody before could use it."""
    if not cx.ledger.fits_after(entry.claim, entry.claim):
        return False
    return not any(cx.ledger.fits_after(other.claim, entry.claim) for other in before)


def recall_overdue(cx: Context) -> None:
    """Take back what waits behind holders that are slower than anybody thought: other orders, and rows of a block
    behind the one that runs."""
    cx.lanes_due_ns = 0
    for lane in cx.lanes:
        holder, *others = lane.members
        attempt = cx.state.attempts[holder]
        if attempt.is_block and attempt.limit - attempt.done > 1:
            others.append(holder)
        if lane.closed or not others:
            continue
        if cx.now_ns - attempt.newest_ns < OVERDUE_NS:
            watch(cx)
            continue
        lane.closed = True
        recall(cx, others)


def recall(cx: Context, numbers: list[int]) -> None:
    """Ask for orders back; the launcher answers that they never started, or that they have."""
    cx.changes.effects.extend(RecallAttempt(number) for number in numbers)


def watch(cx: Context) -> None:
    """Look at the lanes again in a while."""
    if not cx.lanes_due_ns:
        cx.lanes_due_ns = cx.now_ns + OVERDUE_NS
