"""From ready to ordered: take the best entry whose claim fits, render its texts, order an attempt."""

from array import array
from typing import Any

import msgspec

from engine.admission.lanes import HORIZON_NS
from engine.admission.pressure import Level
from engine.core.ahead import expected_ns, next_ahead, next_on_success, watch
from engine.core.blocks import arguments, size_of_block
from engine.core.context import Context
from engine.core.effects import StartAttempt
from engine.core.events import AttemptOrdered, BlockOrdered
from engine.core.orders import hold
from engine.core.preemption import preempt
from engine.core.progress import finish_row, settle
from engine.core.scope import environment_of, folder_of, rendered_action, scope_of
from engine.core.standstill import go_on, go_on_all, go_on_past, settle_still
from engine.core.state import Attempt, RunState
from engine.model.errors import EngineError, Unavailable
from engine.model.ids import NO_INDEX
from engine.model.resources import UNBOUND
from engine.model.status import RunStatus, TaskStatus
from engine.model.workflow import Action
from engine.scheduling.fair_queue import Entry

TRIES_MAX = 65_535
"""The column of tries has 16 bits; a row that was ordered so often (never started, again and again) is given up."""


def dispatch(cx: Context) -> None:
    """Order attempts until nothing that is ready fits."""
    cx.gate.begin(cx.now_ns)
    if cx.settling:
        settle_still(cx)
    if cx.draining or cx.state.meta.read_only:
        go_on_all(cx)
        return
    go_on_past(cx)
    cx.queue.begin(cx.now_ns)
    cx.held_back = False
    while (entry := cx.queue.best(cx.gate)) is not None:
        if cx.pressure.level is not Level.OPEN and not cx.pressure.may_start(entry.claim, cx.ledger, cx.now_ns):
            cx.held_back = cx.pressure.next_start_ns() > cx.now_ns
            if not cx.held_back:
                go_on_all(cx)
            return
        _order_next(cx, entry, 0)
    go_on_past(cx)
    preempt(cx)
    if cx.pressure.level is not Level.OPEN:
        return
    while (choice := next_ahead(cx)) is not None:
        _order_next(cx, *choice)
    if cx.queue.empty:
        for lane in cx.lanes:
            while (found := next_on_success(cx, lane)) is not None and _order_on_success(cx, *found, lane.members[-1]):
                pass


def _order_on_success(cx: Context, run: RunState, task: int, leader: int) -> bool:
    """Order a task that waits to follow the attempt if that succeeds. False where its texts have a fault: that is for
    its time to say."""
    if run.tries[task] >= TRIES_MAX:
        return False
    try:
        scope = scope_of(run, task, NO_INDEX)
        action = rendered_action(run.plan.tasks[task].action, scope)
        effect = _render(cx, run, task, NO_INDEX, task, leader, action, scope)
    except EngineError:
        return False
    _order(cx, run, task, msgspec.structs.replace(effect, on_success=True), None)
    return True


def _order_next(cx: Context, entry: Entry, claim_from: int) -> None:
    """Order the entry's first row that is still ready, with a claim of its own or to take over one that is in use."""
    if entry.attempt:
        go_on(cx, entry)
        return
    run = cx.state.runs.get(entry.run)
    if run is None or run.header.status.finished:
        cx.queue.take(entry)
        return
    if run.header.status is RunStatus.PAUSED:
        cx.queue.take(entry)
        run.parked.append(entry)
        return
    task, row = entry.task, entry.low
    if run.status[row] != TaskStatus.READY or row in run.live:
        cx.queue.advance(entry)
        return
    limit = run.max_parallel(task)
    if limit and run.live_of_task.get(task, 0) >= limit:
        cx.queue.take(entry)
        cx.parallel_parked.setdefault((run.run, task), []).append(entry)
        return
    block = _render_block(cx, run, entry, claim_from)
    if block is not None:
        _order(cx, run, row, block, entry)
        cx.queue.advance(entry, block.count)
        return
    if run.header.grown and cx.grown_of(run, task, row)[0] != entry.claim:
        cx.queue.advance(entry)
        cx.enqueue(run, task, range(row, row + 1))  # queued before its claim grew
        return
    index = run.place(row)[1]
    try:
        if run.tries[row] >= TRIES_MAX:
            raise Unavailable(f"it was ordered {TRIES_MAX} times: run it anew in another run")
        scope = scope_of(run, task, index)
        action = rendered_action(run.plan.tasks[task].action, scope)
        effect = _render(cx, run, task, index, row, claim_from, action, scope)
    except EngineError as error:
        cx.queue.advance(entry)
        finish_row(cx, run, task, index, "failed", error.sentence)
        settle(cx)
        return
    _order(cx, run, row, effect, entry)
    cx.queue.advance(entry)


def _render_block(cx: Context, run: RunState, entry: Entry, claim_from: int) -> StartAttempt | None:
    """The entry's next rows as a block; None where a row has to be ordered, or to fail, by itself."""
    task, row = entry.task, entry.low
    count = size_of_block(cx, run, entry, expected_ns(cx, run, task)) if entry.high - row > 1 else 1
    if count == 1 or run.tries[row] >= TRIES_MAX:
        return None
    index = run.place(row)[1]
    try:
        scope = scope_of(run, task, index)
        action, columns = arguments(run, task, index, count, scope)
        order = _render(cx, run, task, index, row, claim_from, action, scope)
    except EngineError:
        return None
    return msgspec.structs.replace(order, count=count, columns=columns)


def _render(
    cx: Context, run: RunState, task: int, index: int, row: int, claim_from: int, action: Action, scope: dict[str, Any]
) -> StartAttempt:
    policy = run.plan.policy(task)
    claim, quota = cx.claim_of(run.plan, run.plan.policies[task]), policy.quota
    if run.header.grown:
        claim, quota = cx.grown_of(run, task, row)
    return StartAttempt(
        attempt=cx.state.meta.next_attempt,
        run=run.run,
        workflow=run.header.workflow,
        version=run.header.version,
        task=run.plan.names[task],
        index=index,
        number=run.tries[row] + 1,
        action=action,
        dir=folder_of(run, policy.dir, scope),
        env=environment_of(run, policy.env, scope),
        pass_env=policy.pass_env,
        claim=claim,
        quota=quota,
        stop=policy.stop,
        folder=run.plan.workflow.source.folder,
        claim_from=claim_from,
        campaign=run.plan.tasks[task].campaign if run.plan.measures[task] else None,
    )


def _order(cx: Context, run: RunState, row: int, effect: StartAttempt, entry: Entry | None) -> None:
    task, _ = run.place(row)
    meta, count = cx.state.meta, effect.count
    expected = expected_ns(cx, run, task)
    binding = hold(cx, run, effect, entry, (expected or 0) * count)
    if binding is not UNBOUND:
        effect = msgspec.structs.replace(effect, binding=binding)
    meta.next_attempt += count
    attempt = Attempt(
        attempt=effect.attempt, run=run.run, task=task, index=effect.index, number=effect.number, claim=effect.claim,
        ordered_ns=cx.now_ns, claim_from=effect.claim_from, count=count, limit=count, binding=binding,
        on_success=effect.on_success,
    )  # fmt: skip
    if count > 1:
        rows = range(row, row + count)
        cx.move_rows(run, rows, task, TaskStatus.READY, TaskStatus.RUNNING)
        run.tries[row : row + count] = array("H", [effect.number]) * count
        run.live.update(dict.fromkeys(rows, effect.attempt))
        watch(cx)
    else:
        cx.move_row(run, row, task, "ordered_on_success" if effect.on_success else "ordered")
        run.tries[row] = effect.number
        run.live[row] = effect.attempt
    run.live_of_task[task] = run.live_of_task.get(task, 0) + 1
    cx.state.attempts[effect.attempt] = attempt
    if effect.claim_from:
        cx.lanes.follow(effect.attempt, effect.claim_from, (expected or 0) * count)
        watch(cx)
    else:
        cx.lanes.open(effect.attempt, effect.claim, HORIZON_NS if expected is None else expected * count)
    cx.changes.attempts[effect.attempt] = attempt
    relaxed = run.plan.workflow.durability == "relaxed" and effect.attempt < cx.early_below
    (cx.changes.early if relaxed else cx.changes.effects).append(effect)
    if count > 1:
        cx.note(BlockOrdered(effect.attempt, run.run, task, effect.index, count, effect.number, effect.claim_from))
    else:
        behind = effect.claim_from, effect.on_success
        cx.note(AttemptOrdered(effect.attempt, run.run, task, effect.index, effect.number, *behind))


def unpark_run(cx: Context, run: RunState) -> None:
    """The run was resumed (or is being cancelled): its entries are queued again, where they were."""
    for entry in run.parked:
        cx.queue.put_back(entry)
    run.parked.clear()
