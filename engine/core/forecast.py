"""When will it start? What waits is admitted in thought, in the order of the queue, as what runs is expected to end.

The ledger is copied and time jumps from one expected end to the next; each start uses the same ledger as the real one.
So pools, mutexes, memory and exclusive tasks count, and what is asked about is found on the way. After `STARTS_MAX`
starts the rest is reckoned as a fluid: the work that is ahead (share of the host times expected duration) over the
whole host. Where the duration of something on the way is not known, nothing after it can be told.
"""

from heapq import heappop, heappush

from engine.core.context import Context
from engine.core.state import Attempt
from engine.scheduling.fair_queue import Entry

STARTS_MAX = 1_000

Spans = list[tuple[int, int, int]]
"""(first row, row after the last, instant) of rows that start at the same time, ascending."""


class Forecast:
    """Of one moment. `starts` costs the simulation the first time, and a look-up afterwards."""

    def __init__(self, cx: Context, order: list[Entry]) -> None:
        self._cx = cx
        self._found: dict[int, Spans] = {}
        self._fluid: dict[int, tuple[int, float]] = {}
        """Of entries that were not simulated: when their first row starts, and the time (ns) between rows."""
        self._simulate(order)

    def starts(self, entry: Entry, row: int) -> int | None:
        """The expected start of a row of the entry (ns), None where that is not known."""
        for low, high, at_ns in self._found.get(id(entry), ()):
            if low <= row < high:
                return at_ns
        first = self._fluid.get(id(entry))
        return None if first is None else first[0] + int(first[1] * (row - entry.low))

    def _simulate(self, order: list[Entry]) -> None:
        cx, now_ns = self._cx, self._cx.now_ns
        room = cx.ledger.copy()
        ends: list[tuple[int, int, Attempt | None, Entry | None]] = []
        for number in cx.gate.holders:
            attempt = cx.state.attempts[number]
            if attempt.frozen:
                continue  # it holds what it holds until it goes on, in its place in the queue or when somebody says so
            left_ns = self._left_ns(attempt)
            if left_ns is None:
                return
            heappush(ends, (now_ns + left_ns, number, attempt, None))
        starts = 0
        for place, entry in enumerate(order):
            row = entry.low
            while row < entry.high:
                while not room.fits(entry.claim):
                    if not ends:
                        return  # what the host has no more: nothing behind it can be told
                    now_ns, _, holder, started = heappop(ends)
                    if holder is not None:
                        room.release(holder.held, holder.binding)
                    if started is not None:
                        room.release(started.claim)
                if entry.claim.gpu_milli or entry.claim.pin:
                    return  # where they lie is not followed here
                if starts >= STARTS_MAX:
                    self._go_on_as_fluid(order[place:], row, max(now_ns, cx.now_ns))
                    return
                spans = self._found.setdefault(id(entry), [])
                if spans and spans[-1][2] == now_ns:
                    spans[-1] = (spans[-1][0], row + 1, now_ns)
                else:
                    spans.append((row, row + 1, now_ns))
                room.take(entry.claim)
                starts += 1
                if not entry.expected_ns:
                    return  # nobody knows when it will give back what it holds
                holder = cx.state.attempts[entry.attempt] if entry.attempt else None
                heappush(ends, (now_ns + entry.expected_ns, -starts, holder, entry))
                row += 1

    def _left_ns(self, attempt: Attempt) -> int | None:
        """What a holder is expected to need yet; what is late is expected to take as long again as it is late."""
        cx = self._cx
        run = cx.state.runs[attempt.run]
        expected_ns = cx.durations.get(run.alike(attempt.task), 0) or run.plan.policy(attempt.task).quota.wall_ns
        if not expected_ns:
            return None
        rows, stood_ns = (attempt.limit - attempt.done, 0) if attempt.is_block else (1, attempt.still_ns)
        left_ns = attempt.newest_ns + stood_ns + expected_ns * rows - cx.now_ns
        return left_ns if left_ns > 0 else max(-left_ns, 1)

    def _go_on_as_fluid(self, rest: list[Entry], row: int, now_ns: int) -> None:
        at_ns = float(now_ns)
        for entry in rest:
            if not entry.expected_ns:
                return
            step_ns = entry.expected_ns * max(self._cx.ledger.share_ppm(entry.claim), 1) / 1e6
            skipped = (row - entry.low) if row > entry.low and entry is rest[0] else 0
            self._fluid[id(entry)] = (int(at_ns - skipped * step_ns), step_ns)
            at_ns += step_ns * (entry.high - entry.low - skipped)
