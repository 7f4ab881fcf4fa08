"""What an order holds, from its beginning to its end: a claim of its own, or one that it takes over in its lane.

Ledger, gate, shares and lanes are told together, here and nowhere else, so that they cannot disagree.
"""

from engine.core.context import Context
from engine.core.effects import ShareCpus, StartAttempt
from engine.core.events import CpusRegained, CpusReleased
from engine.core.state import Attempt, Pause, RunState
from engine.model.resources import Binding
from engine.scheduling.fair_queue import Entry


def hold(cx: Context, run: RunState, effect: StartAttempt, entry: Entry | None, expected_ns: int) -> Binding:
    """The order holds its claim from now on, or will after the one before it. Returns where."""
    if effect.claim_from:
        return cx.state.attempts[effect.claim_from].binding
    cx.pressure.started(cx.now_ns)
    expected_ns = expected_ns or effect.quota.wall_ns
    binding = cx.gate.began(effect.attempt, effect.claim, cx.now_ns, expected_ns, entry=entry)
    cx.shares.started(effect.attempt, run.owner, cx.ledger.share_ppm(effect.claim), cx.now_ns)
    if binding.cpus:
        share_cpus(cx)
    return binding


def share_cpus(cx: Context) -> None:
    """Which CPUs nobody is pinned to has changed."""
    cx.changes.effects.append(ShareCpus(cx.ledger.shared_cpus()))


def hold_again(cx: Context, run: RunState, attempt: Attempt) -> None:
    """A live attempt that was loaded holds what it held."""
    since_ns = attempt.started_ns or attempt.ordered_ns
    expected_ns = cx.durations.get(run.alike(attempt.task), 0) * attempt.count
    cx.gate.began(attempt.attempt, attempt.held, since_ns, expected_ns, binding=attempt.binding)
    cx.shares.started(attempt.attempt, run.owner, cx.ledger.share_ppm(attempt.held), cx.now_ns)


def release_cpus(cx: Context, run: RunState, attempt: Attempt, pause: Pause) -> None:
    """The attempt stands still: others may have its CPUs."""
    number, bound = attempt.attempt, attempt.binding.cpus
    pause.released = True
    attempt.binding = Binding(gpus=attempt.binding.gpus)
    cx.gate.gave_back(number, attempt.held, attempt.binding)
    _change_share(cx, run, attempt)
    if bound:
        share_cpus(cx)
    cx.note(CpusReleased(number))


def regain_cpus(
    cx: Context, run: RunState, attempt: Attempt, pause: Pause, left_ns: int, entry: Entry | None
) -> None:  # fmt: skip
    """The attempt is to move: its CPUs are its own again. Without an entry, which was admitted, it has them at once."""
    pause.released = False
    attempt.binding = cx.gate.took_again(attempt.attempt, attempt.claim, cx.now_ns, left_ns, entry=entry)
    _change_share(cx, run, attempt)
    if attempt.binding.cpus:
        share_cpus(cx)
    cx.note(CpusRegained(attempt.attempt, attempt.binding.cpus))


def _change_share(cx: Context, run: RunState, attempt: Attempt) -> None:
    cx.shares.ended(attempt.attempt, cx.now_ns)
    cx.shares.started(attempt.attempt, run.owner, cx.ledger.share_ppm(attempt.held), cx.now_ns)


def give_back(cx: Context, run: RunState, attempt: Attempt) -> None:
    """The attempt, or all of the block, has ended: its claim is free, or the next of its lane has it."""
    number = attempt.attempt
    if attempt.pause is not None:
        cx.withdraw(number)
    del cx.state.attempts[number]
    cx.changes.attempts[number] = attempt
    ended = cx.lanes.end(number)
    if ended.free:
        cx.gate.ended(number)
        cx.shares.ended(number, cx.now_ns)
        if attempt.binding.cpus:
            share_cpus(cx)
    elif ended.heir:
        _pass_on(cx, number, cx.state.attempts[ended.heir])
    elif ended.follower:
        follower = cx.state.attempts[ended.follower]
        cx.changes.attempts[ended.follower] = follower
        follower.claim_from = ended.before
    run.live_of_task[attempt.task] -= 1
    cx.changes.runs.add(run.run)
    unpark_siblings(cx, run, attempt.task)


def _pass_on(cx: Context, before: int, heir: Attempt) -> None:
    run = cx.state.runs[heir.run]
    expected_ns = cx.durations.get(run.alike(heir.task), 0) * heir.count
    cx.gate.passed_on(before, heir.attempt, cx.now_ns, expected_ns)
    cx.shares.ended(before, cx.now_ns)
    cx.shares.started(heir.attempt, run.owner, cx.ledger.share_ppm(heir.claim), cx.now_ns)


def unpark_siblings(cx: Context, run: RunState, task: int) -> None:
    """An order of the task has ended, or its limit is another: who waited for a place among `max_parallel` may go."""
    parked = cx.parallel_parked.pop((run.run, task), None)
    for entry in parked or ():
        cx.queue.put_back(entry)
