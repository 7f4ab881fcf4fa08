"""What is always true between two steps. The simulation asks after every one; a violation names the place."""

from engine.admission.ledger import Ledger
from engine.core.events import AttemptOrdered, BlockOrdered
from engine.core.machine import Machine
from engine.core.state import NOT_FINAL, RunState
from engine.model.ids import run_text
from engine.model.status import AttemptStatus, RunStatus, TaskStatus


def violations(machine: Machine) -> list[str]:
    """Sentences about everything that is not as it must be; empty is good. Costs O(state)."""
    found = _ledger(machine)
    queued = _queued(machine)
    for run in machine.state.runs.values():
        found += [f"{run_text(run.run)}: {sentence}" for sentence in _run(run)]
        found += [f"{run_text(run.run)}: {sentence}" for sentence in _live(machine, run)]
        found += [f"{run_text(run.run)}: {sentence}" for sentence in _ready(run, queued)]
    return found


def _queued(machine: Machine) -> set[tuple[int, int]]:
    """(run, row) of everything that some queue holds."""
    entries = list(machine.cx.queue.entries())
    for parked in machine.cx.parallel_parked.values():
        entries += parked
    for run in machine.state.runs.values():
        entries += run.parked
    return {(entry.run, row) for entry in entries for row in range(entry.low, entry.high)}


def _ready(run: RunState, queued: set[tuple[int, int]]) -> list[str]:
    if run.header.status.finished:
        return []
    return [
        f"{run.text(*run.place(row))} is ready but in no queue"
        for task in range(len(run.plan))
        for row in run.rows_of(task)
        if run.status[row] == TaskStatus.READY and (run.run, row) not in queued
    ]


def _ledger(machine: Machine) -> list[str]:
    ledger = machine.cx.ledger
    fresh = Ledger(ledger.capacity)
    for attempt in machine.state.holding():
        fresh.take(attempt.held, attempt.binding)
    found = [
        f"attempt {attempt.attempt} takes over from {attempt.claim_from}, but its lane does not say so"
        for attempt in machine.state.attempts.values()
        if machine.cx.lanes.holds(attempt.attempt) != (attempt.claim_from not in machine.state.attempts)
    ]
    if _sums(fresh) != _sums(ledger):
        found.append("the ledger's sums differ from the claims of the live attempts")
    holding = {attempt.attempt for attempt in machine.state.holding()}
    if set(machine.cx.gate.holders) != holding:
        found.append(f"the gate knows {sorted(machine.cx.gate.holders)}, claims are held by {sorted(holding)}")
    waiting = {number for number, attempt in machine.state.attempts.items() if attempt.released and not attempt.paused}
    entries = {entry.attempt for entry in machine.cx.queue.entries() if entry.attempt}
    if not waiting == entries == set(machine.cx.returning):
        found.append(f"{sorted(waiting)} wait for their CPUs, in the queue are {sorted(entries)}")
    held = {name: count for name, count in ledger.pools.items() if count}
    if held != {name: count for name, count in fresh.pools.items() if count}:
        found.append(f"pools hold {held}, live attempts claim {fresh.pools}")
    return found + _overdrawn(machine, held)


def _sums(ledger: Ledger) -> tuple[object, ...]:
    gpus = {uuid: milli for uuid, milli in ledger.gpus.items() if milli}
    mutexes = {name for name, count in ledger.mutexes.items() if count}
    return (
        ledger.cpu_milli, ledger.memory_bytes, ledger.scratch_bytes, ledger.holders, ledger.alone, ledger.cpus, gpus,
        mutexes,
    )  # fmt: skip


def _overdrawn(machine: Machine, held: dict[str, int]) -> list[str]:
    """What attempts that were ordered just now claim must be there; a host that has shrunk may hold older ones."""
    ledger, changes = machine.cx.ledger, machine.cx.changes
    newest = [changes.attempts[number].claim for number in _ordered(machine) if not changes.attempts[number].claim_from]
    found: list[str] = []
    if ledger.cpu_milli > ledger.capacity.cpu_milli and any(claim.cpu_milli for claim in newest):
        found.append("more CPU is claimed than the host has")
    if ledger.memory_bytes > ledger.capacity.memory_bytes and any(claim.memory_bytes for claim in newest):
        found.append("more memory is claimed than the host has")
    asked = {name for claim in newest for name, _ in claim.pools}
    if changes.finished_runs:  # the slots of an older version may have gone with its last run, after the orders
        asked &= set(dict(ledger.capacity.pools))
    return found + [f"pool {name} is overdrawn" for name in sorted(asked) if held[name] > ledger.slots.get(name, 0)]


def _ordered(machine: Machine) -> list[int]:
    """The orders of the newest batch."""
    journal = machine.cx.changes.journal
    return [event.attempt for event in journal if isinstance(event, AttemptOrdered | BlockOrdered)]


def _run(run: RunState) -> list[str]:
    found: list[str] = []
    counts = [0] * len(TaskStatus)
    unfinished = 0
    for task in range(len(run.plan)):
        rows = run.rows_of(task)
        for row in rows:
            counts[run.status[row]] += 1
        over = run.first_row[task] >= 0 and all(run.status[row] >= TaskStatus.SUCCEEDED for row in rows)
        final = run.task_final[task] != NOT_FINAL
        unfinished += not final
        if final and run.first_row[task] >= 0 and not over:
            found.append(f"{run.plan.names[task]} counts as ended but has rows that have not")
        if over and not final:
            found.append(f"all rows of {run.plan.names[task]} have ended but the task has not")
    if counts != run.header.counts:
        found.append(f"counts are {run.header.counts}, rows say {counts}")
    if unfinished != run.unfinished_tasks:
        found.append(f"{run.unfinished_tasks} tasks count as unfinished, {unfinished} are")
    if run.header.status.finished and (unfinished or run.live):
        found.append(
            f"is {run.header.status.text} with {unfinished} unfinished tasks and {len(run.live)} live attempts"
        )
    if not unfinished and not run.live and run.header.status in (RunStatus.RUNNING, RunStatus.CANCELLING):
        found.append("everything has ended but the run goes on")
    return found


def _live(machine: Machine, run: RunState) -> list[str]:
    found: list[str] = []
    newest = _ordered(machine)
    for task in range(len(run.plan)):
        orders: set[int] = set()
        for row in run.rows_of(task):
            orders.update((run.live[row],) if row in run.live else ())
            if (run.status[row] == TaskStatus.RUNNING) != (row in run.live):
                found.append(
                    f"{run.text(*run.place(row))} is {TaskStatus(run.status[row]).text}, live: {row in run.live}"
                )
        limit = run.max_parallel(task)
        live = len(orders)
        if limit and live > limit and not orders.isdisjoint(newest):  # what ran before it was lowered goes on
            found.append(f"{live} orders of {run.plan.names[task]} run, max_parallel is {limit}")
        if live != run.live_of_task.get(task, 0):
            found.append(f"{run.plan.names[task]} counts {run.live_of_task.get(task, 0)} live orders, {live} are")
    for task in range(len(run.plan)):
        found += _early(machine, run, task)
    for number in set(run.live.values()):
        attempt = machine.state.attempts.get(number)
        if attempt is not None and attempt.frozen and attempt.stop:
            found.append(f"attempt {number} is to stand still and to stop")
        if attempt is not None and attempt.status is AttemptStatus.SUSPENDED and not attempt.still_since_ns:
            found.append(f"attempt {number} is suspended, but nobody knows since when")
        if attempt is not None and attempt.released:
            still = attempt.frozen and attempt.status is AttemptStatus.SUSPENDED
            if not still or not machine.cx.lanes.alone(number):
                found.append(f"attempt {number} has given its CPUs back, and may move or be followed")
        if attempt is not None and attempt.pause is not None and attempt.pause.waits and not attempt.frozen:
            found.append(f"attempt {number} waits to go on, and is not to stand still")
    for row, number in run.live.items():
        attempt = machine.state.attempts.get(number)
        first = run.row(attempt.task, attempt.index) if attempt is not None else 0
        if attempt is None or not attempt.live or not first + attempt.done <= row < first + attempt.limit:
            found.append(f"attempt {number} is not the live attempt of its row")
    return found


def _early(machine: Machine, run: RunState, task: int) -> list[str]:
    """What was ordered before all that it needs has succeeded must follow the success of the one that is left."""
    row = run.first_row[task]
    if task in run.mapped_counts or run.status[row] != TaskStatus.RUNNING:
        return []
    attempt = machine.state.attempts.get(run.live.get(row, 0))
    left = [up for up in run.plan.ups(task) if run.task_final[up] != TaskStatus.SUCCEEDED]
    if attempt is None or not attempt.on_success or not attempt.claim_from or len(left) <= 1:
        return []
    return [f"{run.plan.names[task]} was ordered on success, but waits for {len(left)} tasks"]
