"""How admission stands, read from the machine's working set: who shares the host, who has room set aside, who waits."""

from collections import Counter
from collections.abc import Sequence
from heapq import nsmallest
from typing import Any

from engine.admission.pressure import Level
from engine.core.context import Context
from engine.core.state import EngineState
from engine.model.status import TaskStatus
from engine.scheduling.fair_queue import Entry
from engine.server.ports import Owner, Standing


def standing(cx: Context) -> Standing:
    """Owners by what counts against them, the reservation, and the pressure."""
    held: Counter[str] = Counter()
    for attempt in cx.state.holding():
        held[cx.state.runs[attempt.run].owner] += cx.ledger.share_ppm(attempt.held)
    used = {usage.owner: usage.seconds for usage in cx.shares.usage(cx.now_ns)}
    weights = cx.state.weights
    owners = [
        Owner(name, weights.get(name, 1.0), held[name] / 1e6, used.get(name, 0.0))
        for name in sorted(used.keys() | held.keys() | weights.keys())
    ]
    owners.sort(key=lambda owner: (-owner.share, -owner.used_s))
    entry, reservation, pressure = cx.gate.reserved, cx.gate.reservation, cx.pressure
    since_ns, due_ns = (reservation.since_ns, reservation.due_ns) if reservation is not None else (0, 0)
    foreign = pressure.foreign_milli if pressure.level is not Level.OPEN else None
    return Standing(
        tuple(owners), entry, since_ns, due_ns, pressure.level.name.lower(), tuple(pressure.sentences),
        None if foreign is None else foreign / 1000,
    )  # fmt: skip


def waiting(cx: Context, count: int) -> tuple[Sequence[Entry], int]:
    """The first entries of the queue in its order, behind it what waits for rows of its own task, and how many there
    are in all. What is not ready any more, and was not dropped yet, is left out."""
    shares = cx.shares

    def place(entry: Entry) -> tuple[Any, ...]:  # as in the queue: band, share, way to the end, age
        return entry.band, shares.key(entry.owner), entry.owner, -entry.weight, entry.age

    queued = list(cx.queue.entries())
    parked = [entry for entries in cx.parallel_parked.values() for entry in entries]
    first = [*nsmallest(count, queued, key=place), *parked][:count]
    return [entry for entry in first if first_waiting(cx.state, entry) >= 0], len(queued) + len(parked)


def first_waiting(state: EngineState, entry: Entry) -> int:
    """The first row of an entry that is ready, or waits to go on, -1 if none is."""
    run = state.runs.get(entry.run)
    if entry.attempt:
        return entry.low
    return -1 if run is None else run.status.find(TaskStatus.READY, entry.low, entry.high)
