"""What is ready and waits, in the order in which it is to start: band, then fair share, then critical path, then age.

A *band* is a class of priority, and within it what is fresh before what makes up for the past (backfills). In a band
each owner has a *line*; the line of the owner that has used least for its weight (`fair_share`) is asked first.
Within a line the entry with the longest way to the end of its run goes first, then the oldest. Every 16th start of a
line is its oldest entry's turn, so nothing waits for ever behind longer ways.

An entry stands for a range of rows of a task, so the 100,000 rows of a `for_each` are one. A line has a heap for each
*kind* of claim (the same in all dimensions), so what does not fit is asked once for all that wait with it.

A *pass* is `begin`, then `best` until it gives None. It first asks which kinds may start at all, and looks only at
lines where one of them waits: a full host costs next to nothing, however much waits for it. While a pass lasts there
is only less and less to be had, so who was refused is not asked again in it. At most `ASKED_MAX` are asked in vain.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain
from typing import Protocol

from engine.model.instants import ANY_NS
from engine.model.resources import Claim
from engine.scheduling.fair_share import Shares

Band = tuple[int, bool]
_Ranked = tuple[int, int, "Entry"]
"""The weight of the way to the end, negative, then the age; no two entries have the same."""

OLDEST_EVERY = 16
ASKED_MAX = 16
"""So many are tried in vain in a pass, of those who look as if they might start."""
SPARSE = 4
"""While less than such a part of a line's heads may start, these are sorted and not all looked at."""


class Entry:
    """Rows `low` to `high` (exclusive) of a task of a run; `waiting` while it is in the queue. `expected_ns` is what an
    attempt of it is expected to take, 0 if nothing is known. `attempt` is one that stands still and waits to go on."""

    __slots__ = (
        "age", "aged", "attempt", "band", "claim", "expected_ns", "heaped", "high", "kind", "low", "owner", "run",
        "task", "waiting", "weight",
    )  # fmt: skip

    def __init__(
        self, run: int, task: int, rows: range, claim: Claim, *,
        owner: str, band: Band, weight: int, age: int, expected_ns: int, attempt: int,
    ) -> None:  # fmt: skip
        self.run = run
        self.task = task
        self.low = rows.start
        self.high = rows.stop
        self.claim = claim
        self.expected_ns = expected_ns
        self.kind = 0
        self.owner = owner
        self.band = band
        self.weight = weight
        self.age = age
        self.attempt = attempt
        self.waiting = self.heaped = self.aged = False

    def __lt__(self, other: "Entry") -> bool:
        """Of two of the same rank one took the other's place: what is gone comes up first, to be dropped."""
        return other.waiting and not self.waiting

    def with_priority(self, priority: int) -> "Entry":
        """The same rows with the same age, in another band. It waits nowhere yet."""
        band = (-priority, self.band[1])
        return Entry(
            self.run, self.task, range(self.low, self.high), self.claim, owner=self.owner, band=band,
            weight=self.weight, age=self.age, expected_ns=self.expected_ns, attempt=self.attempt,
        )  # fmt: skip


class Gatekeeper(Protocol):
    """Who says what may start (the admission's gate)."""

    @property
    def cpu_free_milli(self) -> int:
        """What asks for more does not fit."""
        ...

    def longest_ns(self, claims: Sequence[Claim], band: Band) -> list[int]:
        """How long an entry of the band with each of these claims may be expected to take if it is to start now: 0:
        none may start, ANY_NS: whatever it takes, also if that is unknown.
        """
        ...

    def admits(self, entry: Entry) -> bool:
        """Whether the entry may start now. It is asked in order, so the first that does not fit can be noted."""
        ...

    def due(self) -> Entry | None:
        """An entry that goes first in its band."""
        ...

    def reserves(self, band: Band) -> bool:
        """Whether the first of the band that does not fit is wanted."""
        ...

    def would_reserve(self, entry: Entry) -> bool:
        """Whether this may be the first."""
        ...


class _Line:
    """The entries of one owner in one band. `heads` are the tops of the heaps, in order, `refused` those that were
    asked in vain in this pass. What leaves the queue from within a heap stays there until it comes to the top.
    """

    __slots__ = ("ages", "heads", "heaps", "oldest_asked", "owner", "refused", "size", "starts")

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.heaps: dict[int, list[_Ranked]] = {}
        self.heads: list[_Ranked] = []
        self.refused: set[Entry] = set()
        self.ages: list[tuple[int, Entry]] = []
        self.size = 0
        self.starts = 0
        self.oldest_asked = False

    def insert(self, entry: Entry) -> None:
        entry.waiting = True
        self.size += 1
        if not entry.aged:
            entry.aged = True
            heappush(self.ages, (entry.age, entry))
        if entry.heaped:
            return
        entry.heaped = True
        ranked = (-entry.weight, entry.age, entry)
        heap = self.heaps.get(entry.kind)
        if heap is None:
            self.heaps[entry.kind] = [ranked]
            insort(self.heads, ranked)
            return
        top = heap[0]
        heappush(heap, ranked)
        if heap[0] is not top:
            self._remove_head(top)
            insort(self.heads, ranked)

    def remove(self, entry: Entry) -> bool:
        """Returns whether it was the last of its kind."""
        entry.waiting = False
        self.size -= 1
        if len(self.ages) > 2 * self.size + OLDEST_EVERY:
            self._forget_the_gone()
        heap = self.heaps[entry.kind]
        if heap[0][2] is not entry:
            return False
        self._remove_head(heap[0])
        while heap and not heap[0][2].waiting:
            heappop(heap)[2].heaped = False
        if heap:
            insort(self.heads, heap[0])
            return False
        del self.heaps[entry.kind]
        return True

    def oldest(self) -> Entry:
        while not self.ages[0][1].waiting:
            heappop(self.ages)[1].aged = False
        return self.ages[0][1]

    def has_any(self, kinds: dict[int, int]) -> bool:
        return not self.heaps.keys().isdisjoint(kinds)

    def heads_of(self, kinds: dict[int, int]) -> list[_Ranked]:
        """The heads in order, at least those of these kinds: to sort a few is less than to look at many."""
        if SPARSE * len(kinds) < len(self.heads):
            return sorted(self.heaps[kind][0] for kind in kinds if kind in self.heaps)
        return self.heads

    def close(self) -> None:
        """Nobody waits any more; who was here may come back, to another line."""
        for _, entry in self.ages:
            entry.aged = False

    def _forget_the_gone(self) -> None:
        for _, entry in self.ages:
            entry.aged = entry.waiting
        self.ages = [aged for aged in self.ages if aged[1].waiting]
        heapify(self.ages)

    def _remove_head(self, ranked: _Ranked) -> None:
        del self.heads[bisect_left(self.heads, ranked)]


_Asked = tuple[float, str, _Line]
"""A line in the order of a pass: by its owner's key."""


class FairQueue:
    """Ready rows that are not admitted yet."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._bands: dict[Band, dict[str, _Line]] = {}
        self._order: list[Band] = []
        self._kinds: dict[Claim, int] = {}
        self._lines_of: dict[int, set[_Line]] = {}
        self._by_cpu: list[tuple[int, int, Claim]] = []
        """(CPU, kind, claim) of every kind that waits, in order."""
        self._least_ns: dict[int, int] = {}
        """The least that an entry of the kind was expected to take, since the kind waits."""
        self._age = self._kind = 0
        self._free_milli = self._last = 0
        """What was free when the pass began, and how many of `_by_cpu` ask for no more."""
        self._passing: dict[Band, dict[int, int]] = {}
        """The kinds that may start in this pass, and how long they may take."""
        self._behind: dict[int, int] | None = None
        self._opened: dict[Band, list[_Asked]] = {}
        self._refusals = 0

    def push(
        self, run: int, task: int, rows: range, claim: Claim, *,
        priority: int, weight: int, owner: str = "", backfill: bool = False, expected_ns: int = 0,
        attempt: int = 0,
    ) -> Entry:  # fmt: skip
        """Queue the rows behind those of the same rank that came before."""
        self._age += 1
        band = (-priority, backfill)
        entry = Entry(
            run, task, rows, claim, owner=owner, band=band, weight=weight, age=self._age, expected_ns=expected_ns,
            attempt=attempt,
        )  # fmt: skip
        self.put_back(entry)
        return entry

    def put_back(self, entry: Entry) -> None:
        """Queue an entry where it was before."""
        lines = self._bands.get(entry.band)
        if lines is None:
            lines = self._bands[entry.band] = {}
            insort(self._order, entry.band)
        line = lines.get(entry.owner)
        if line is None:
            line = lines[entry.owner] = _Line(entry.owner)
        entry.kind = self._kind_of(entry.claim)
        self._lines_of[entry.kind].add(line)
        line.insert(entry)
        self.expect(entry, entry.expected_ns)
        opened = self._opened.get(entry.band)
        if opened is not None:
            self._passing[entry.band][entry.kind] = ANY_NS
            if all(asked[2] is not line for asked in opened):
                insort(opened, self._ranked(line))

    def expect(self, entry: Entry, expected_ns: int) -> None:
        """An attempt of the entry is expected to take so long, as is known now."""
        entry.expected_ns = expected_ns
        least = self._least_ns.get(entry.kind, 0)
        if expected_ns and (expected_ns < least or not least):
            self._least_ns[entry.kind] = expected_ns

    def _kind_of(self, claim: Claim) -> int:
        kind = self._kinds.get(claim)
        if kind is None:
            self._kind += 1
            kind = self._kinds[claim] = self._kind
            self._lines_of[kind] = set()
            insort(self._by_cpu, (claim.cpu_milli, kind, claim))
            self._last += claim.cpu_milli <= self._free_milli
        return kind

    # --- a pass -----------------------------------------------------------------------------------------------------

    def begin(self, now_ns: int, gate: Gatekeeper) -> None:
        """A pass begins: everything may be asked."""
        self._shares.refresh(now_ns)
        self._opened = {}
        self._behind = None
        self._refusals = 0
        self._free_milli = max(gate.cpu_free_milli, 0)
        self._last = bisect_left(self._by_cpu, (self._free_milli + 1,))

    def best(self, gate: Gatekeeper) -> Entry | None:
        """The first entry that the gate admits, left where it is."""
        first = gate.due()
        for band in self._order:
            if first is not None and band >= first.band:
                return first
            opened = self._opened.get(band)
            if opened is None:
                opened = self._opened[band] = self._open(band, gate)
            while opened and self._refusals < ASKED_MAX:
                if self._full(gate) and not gate.reserves(band):
                    return None  # and who was to be noted has been
                line = self._next_line(opened)
                wanted = gate.reserves(band)
                entry = self._ask(line, band, gate)
                if entry is not None:
                    return entry
                del opened[0]
                if wanted and not gate.reserves(band):
                    opened[:] = [asked for asked in opened if asked[2].has_any(self._passing[band])]
        return None

    def _next_line(self, opened: list[_Asked]) -> _Line:
        """The line whose owner has used least. Keys only grow within a pass, so only the first may be out of date."""
        while (fresh := self._ranked(opened[0][2])) != opened[0]:
            del opened[0]
            insort(opened, fresh)
        return opened[0][2]

    def _ranked(self, line: _Line) -> _Asked:
        return self._shares.key(line.owner), line.owner, line

    def _open(self, band: Band, gate: Gatekeeper) -> list[_Asked]:
        """The lines of the band in which somebody may start, or may be noted."""
        lines = self._bands[band]
        if gate.reserves(band):
            self._passing[band] = self._passable(band, gate)
            opened = list(lines.values())
        else:  # all bands that do not outrank the reservation may start the same
            if self._behind is None:
                self._behind = self._passable(band, gate)
            passing = self._passing[band] = self._behind.copy()
            found = set[_Line]().union(*(self._lines_of.get(kind, ()) for kind in passing))
            opened = [line for line in found if lines.get(line.owner) is line]
        for line in opened:
            line.refused.clear()
            line.oldest_asked = False
        return sorted(self._ranked(line) for line in opened)

    def _passable(self, band: Band, gate: Gatekeeper) -> dict[int, int]:
        small, least_ns = self._by_cpu[: self._last], self._least_ns
        longest_ns = gate.longest_ns([claim for _, _, claim in small], band)
        return {
            kind: longest
            for (_, kind, _), longest in zip(small, longest_ns, strict=True)
            if longest and (longest == ANY_NS or 0 < least_ns.get(kind, 0) <= longest)
        }

    def _ask(self, line: _Line, band: Band, gate: Gatekeeper) -> Entry | None:
        if line.starts % OLDEST_EVERY == OLDEST_EVERY - 1 and not line.oldest_asked:
            line.oldest_asked = True
            oldest = line.oldest()
            if gate.admits(oldest):
                return oldest
        passing, wanted, free_milli = self._passing[band], gate.reserves(band), max(gate.cpu_free_milli, 0)
        for _, _, entry in line.heads if wanted else line.heads_of(passing):
            longest = passing.get(entry.kind, 0) if entry.claim.cpu_milli <= free_milli else 0
            may = longest == ANY_NS or 0 < entry.expected_ns <= longest
            if not (may or (wanted and gate.would_reserve(entry))) or entry in line.refused:
                continue
            if gate.admits(entry):
                return entry
            line.refused.add(entry)
            self._refusals += 1
            wanted = wanted and gate.reserves(band)
            if self._refusals >= ASKED_MAX or (self._full(gate) and not wanted):
                break
        return None

    def _full(self, gate: Gatekeeper) -> bool:
        """Whether nothing that waits is so small that it fits."""
        return self._by_cpu[0][0] > max(gate.cpu_free_milli, 0)

    def advance(self, entry: Entry, rows: int = 1) -> None:
        """The entry's first rows were ordered (or are no longer ready): the next is its first."""
        entry.low += rows
        self._bands[entry.band][entry.owner].starts += 1
        if entry.low >= entry.high:
            self.take(entry)

    def take(self, entry: Entry) -> None:
        """Remove an entry, whatever its place."""
        lines = self._bands[entry.band]
        line = lines[entry.owner]
        if line.remove(entry):
            self._drop_kind(entry, line)
        if line.size:
            return
        line.close()
        del lines[entry.owner]
        if entry.band in self._opened:
            self._opened[entry.band] = [asked for asked in self._opened[entry.band] if asked[2] is not line]
        if not lines:
            del self._bands[entry.band]
            self._order.remove(entry.band)

    def _drop_kind(self, entry: Entry, line: _Line) -> None:
        lines = self._lines_of[entry.kind]
        lines.discard(line)
        if not lines:
            del self._lines_of[entry.kind], self._kinds[entry.claim]
            self._least_ns.pop(entry.kind, None)
            place = bisect_left(self._by_cpu, (entry.claim.cpu_milli, entry.kind))
            del self._by_cpu[place]
            self._last -= place < self._last

    # --- looking ----------------------------------------------------------------------------------------------------

    def heads(self) -> list[Entry]:
        """The first entry of each kind of each line, in the order in which they would be asked."""
        return [
            head[2]
            for band in self._order
            for _, _, line in sorted(self._ranked(line) for line in self._bands[band].values())
            for head in line.heads
        ]

    def ranked(self) -> list[Entry]:
        """All entries that wait, in the order of bands, owners as they stand now, and the ways to the end."""
        return [
            ranked[2]
            for band in self._order
            for _, _, line in sorted(self._ranked(line) for line in self._bands[band].values())
            for ranked in sorted(chain.from_iterable(line.heaps.values()))
            if ranked[2].waiting
        ]

    def entries(self) -> Iterator[Entry]:
        """All entries that wait, in no particular order."""
        for lines in self._bands.values():
            for line in lines.values():
                for heap in line.heaps.values():
                    yield from (ranked[2] for ranked in heap if ranked[2].waiting)

    def __len__(self) -> int:
        """Rows, counting those that are no longer ready and not yet dropped."""
        return sum(entry.high - entry.low for entry in self.entries())
