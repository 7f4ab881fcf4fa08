"""What is ready and waits, in the order in which it is to start: band, then fair share, then critical path, then age.

A *band* is a class of priority, and within it what is fresh before what makes up for the past (backfills). In a band
each owner has a *line*; the line of the owner that has used least for its weight (`fair_share`) is asked first.
Within a line the entry with the longest way to the end of its run goes first, then the oldest. Every 16th start of a
line is its oldest entry's turn, so nothing waits for ever behind longer ways.

An entry stands for a range of rows of a task, so the 100,000 rows of a `for_each` are one. In a line the entries of a
*kind* of claim (the same in all dimensions) wait together, so what does not fit is asked once for all of them.

A *pass* is `begin`, then `best` until it gives None. Where the first that does not fit is wanted, the lines are asked
in their order. Behind it the kinds are sifted for those that may start at all, and only lines are looked at where one
of them waits: a full host costs next to nothing, however much waits for it. Kinds that claim nothing but CPU and
memory, nearly all, are sifted by these sums, without a question to the gate. While a pass lasts there is only less and
less to be had, so who was refused is not asked again in it. At most `ASKED_MAX` are asked in vain.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
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
SPARSE = 4
"""While less than such a part of a line's heads may start, these are put in order and not looked for among all."""
ASKED_MAX = 16
"""So many are tried in vain in a pass, of those who look as if they might start."""


class Kind:
    """All that waits with the same claim. None is expected to take less than `least_ns`."""

    __slots__ = ("claim", "least_ns", "lines", "number", "sums_only")

    def __init__(self, number: int, claim: Claim) -> None:
        self.number = number
        self.claim = claim
        self.sums_only = claim == Claim(claim.cpu_milli, claim.memory_bytes)
        self.lines: set[_Line] = set()
        self.least_ns = ANY_NS

    @property
    def sized(self) -> "_Sized":
        """Its place in the order of kinds."""
        return self.claim.cpu_milli, self.number, self.claim.memory_bytes, self


NO_KIND = Kind(0, Claim(0))
"""Of an entry that was never queued."""

_Sized = tuple[int, int, int, Kind]
"""CPU, number (no two kinds have the same), memory."""


class Entry:
    """Rows `low` to `high` (exclusive) of a task of a run; `waiting` while it is in the queue. `expected_ns` is what an
    attempt of it is expected to take, 0 if nothing is known. `attempt` is one that stands still and waits to go on."""

    __slots__ = (
        "age", "aged", "attempt", "band", "claim", "expected_ns", "high", "kind", "low", "owner", "placed", "run",
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
        self.kind = NO_KIND
        self.owner = owner
        self.band = band
        self.weight = weight
        self.age = age
        self.attempt = attempt
        self.waiting = self.placed = self.aged = False

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
    def free(self) -> tuple[int, int]:
        """CPU and memory that nobody holds: what asks for more of either does not fit."""
        ...

    def beside(self, band: Band) -> tuple[int, int, int]:
        """How much of the free CPU and memory an entry of the band may hold for however long; and for how long it may
        hold more of it."""
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


class _Ranks:
    """Entries of a kind in a line, of which the first is asked for. Most come in one batch and leave one by one: these
    are sorted once. Who comes later is in a heap, until there are more of them than of the others. What leaves the
    queue from behind the first stays until it comes up.
    """

    __slots__ = ("first", "later", "sorted")

    def __init__(self, first: _Ranked) -> None:
        self.first = first
        self.later = [first]
        self.sorted: list[_Ranked] = []
        """The last is the next."""

    def push(self, ranked: _Ranked) -> None:
        heappush(self.later, ranked)
        if ranked < self.first:
            self.first = ranked

    def pop(self) -> bool:
        """Remove the first, and whoever is gone behind it. Returns whether anybody is left."""
        ranked, later = self.sorted, self.later
        while True:
            gone = ranked.pop() if ranked and ranked[-1] is self.first else heappop(later)
            gone[2].placed = False
            if len(later) > len(ranked):
                ranked += later
                ranked.sort(reverse=True)
                later.clear()
            if not ranked:
                return False
            self.first = min(ranked[-1], later[0]) if later else ranked[-1]
            if self.first[2].waiting:
                return True

    def __iter__(self) -> Iterator[_Ranked]:
        yield from self.sorted
        yield from self.later


class _Line:
    """The entries of one owner in one band. `heads` are the firsts of all kinds, in order."""

    __slots__ = ("ages", "heads", "kinds", "oldest_asked", "owner", "size", "starts")

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.kinds: dict[Kind, _Ranks] = {}
        self.heads: list[_Ranked] = []
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
        if entry.placed:
            return
        entry.placed = True
        ranked = (-entry.weight, entry.age, entry)
        ranks = self.kinds.get(entry.kind)
        if ranks is None:
            self.kinds[entry.kind] = _Ranks(ranked)
            insort(self.heads, ranked)
            return
        first = ranks.first
        ranks.push(ranked)
        if ranks.first is not first:
            self._remove_head(first)
            insort(self.heads, ranked)

    def remove(self, entry: Entry) -> bool:
        """Returns whether it was the last of its kind."""
        entry.waiting = False
        self.size -= 1
        if len(self.ages) > 2 * self.size + OLDEST_EVERY:
            self._forget_the_gone()
        ranks = self.kinds[entry.kind]
        if ranks.first[2] is not entry:
            return False
        self._remove_head(ranks.first)
        if ranks.pop():
            insort(self.heads, ranks.first)
            return False
        del self.kinds[entry.kind]
        return True

    def oldest(self) -> Entry:
        while not self.ages[0][1].waiting:
            heappop(self.ages)[1].aged = False
        return self.ages[0][1]

    def has_any(self, kinds: dict[Kind, int]) -> bool:
        return not self.kinds.keys().isdisjoint(kinds)

    def heads_of(self, kinds: dict[Kind, int]) -> Iterator[_Ranked]:
        """The heads in order, at least those of these kinds."""
        if SPARSE * len(kinds) > len(self.heads):
            yield from self.heads
            return
        heads = [self.kinds[kind].first for kind in kinds if kind in self.kinds]
        heapify(heads)
        while heads:
            yield heappop(heads)

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
        self._kinds: dict[Claim, Kind] = {}
        self._sized: list[_Sized] = []
        """All kinds that wait, in order."""
        self._intricate = 0
        """How many of them claim more than sums."""
        self._least_ns = ANY_NS
        """Nothing that waits is expected to take less."""
        self._age = self._number = 0
        self._opened: dict[Band, list[_Asked]] = {}
        """In this pass: the lines of a band in which somebody may start yet."""
        self._passing: dict[Kind, int] = {}
        """The kinds that may start behind the reservation, and how long they may take."""
        self._sifted = False
        """Whether `_passing` is up to date, which it is for one answer: who asks again has changed what is free."""
        self._refused: set[Entry] = set()

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
        kind = entry.kind = self._kind_of(entry.claim)
        kind.lines.add(line)
        line.insert(entry)
        self.expect(entry, entry.expected_ns)
        opened = self._opened.get(entry.band)
        if opened is not None and all(asked[2] is not line for asked in opened):
            insort(opened, self._ranked(line))

    def expect(self, entry: Entry, expected_ns: int) -> None:
        """An attempt of the entry is expected to take so long, as is known now."""
        entry.expected_ns = expected_ns
        if not 0 < expected_ns < entry.kind.least_ns:
            return
        entry.kind.least_ns = expected_ns
        self._least_ns = min(self._least_ns, expected_ns)

    def _kind_of(self, claim: Claim) -> Kind:
        kind = self._kinds.get(claim)
        if kind is None:
            self._number += 1
            kind = self._kinds[claim] = Kind(self._number, claim)
            self._intricate += not kind.sums_only
            insort(self._sized, kind.sized)
        return kind

    # --- a pass -----------------------------------------------------------------------------------------------------

    def begin(self, now_ns: int) -> None:
        """A pass begins: everything may be asked."""
        self._shares.refresh(now_ns)
        self._opened.clear()
        self._refused.clear()

    def best(self, gate: Gatekeeper) -> Entry | None:
        """The first entry that the gate admits, left where it is."""
        first, self._sifted = gate.due(), False
        for band in self._order:
            if first is not None and band >= first.band:
                return first
            entry = self._best_of(band, gate)
            if entry is not None:
                return entry
        return None

    def _best_of(self, band: Band, gate: Gatekeeper) -> Entry | None:
        while len(self._refused) < ASKED_MAX:
            wanted = gate.reserves(band)
            if not (wanted or self._sift(band, gate)):
                return None
            line = self._next_line(band, wanted)
            if line is None:
                return None
            entry = self._ask_oldest(line, gate) or (self._ask if wanted else self._ask_passing)(line, gate)
            if entry is not None:
                return entry
            if wanted and not gate.reserves(band):
                self._sifted = False  # one was noted: from now on others pass it
            else:
                del self._opened[band][0]
        return None

    def _sift(self, band: Band, gate: Gatekeeper) -> dict[Kind, int]:
        """The kinds of which an entry may start. All bands that do not outrank the reservation may start the same."""
        if self._sifted:
            return self._passing
        self._sifted, self._passing = True, {}
        cpu_free, memory_free = gate.free
        fits = bisect_left(self._sized, (cpu_free + 1,))
        if fits:
            cpu, memory, left_ns = gate.beside(band)
            beside = bisect_left(self._sized, (min(cpu, cpu_free) + 1,))
            memory = min(memory, memory_free)
            passing = self._passing = {kind: ANY_NS for _, _, size, kind in self._sized[:beside] if size <= memory}
            if left_ns >= self._least_ns and len(passing) < fits:
                for _, _, size, kind in self._sized[:fits]:
                    if kind.least_ns <= left_ns and size <= memory_free and kind not in passing:
                        passing[kind] = left_ns
            if self._intricate:
                self._sift_intricate(band, gate)
        return self._passing

    def _sift_intricate(self, band: Band, gate: Gatekeeper) -> None:
        """The gate knows more of what claims more than sums."""
        kinds = [kind for kind in self._passing if not kind.sums_only]
        longest_ns = gate.longest_ns([kind.claim for kind in kinds], band)
        for kind, longest in zip(kinds, longest_ns, strict=True):
            if longest and (longest == ANY_NS or kind.least_ns <= longest):
                self._passing[kind] = longest
            else:
                del self._passing[kind]

    def _next_line(self, band: Band, wanted: bool) -> _Line | None:
        """Of the lines in which somebody may start, or is wanted to be noted, the one whose owner has used least. Keys
        only grow within a pass, so only the first may be out of date."""
        opened = self._opened.get(band)
        if opened is None:
            opened = self._opened[band] = self._open(band, wanted)
        while opened:
            line = opened[0][2]
            fresh = self._ranked(line)
            if fresh != opened[0]:
                del opened[0]
                insort(opened, fresh)
            elif wanted or line.has_any(self._passing):
                return line
            else:
                del opened[0]
        return None

    def _ranked(self, line: _Line) -> _Asked:
        return self._shares.keys.get(line.owner, 0.0), line.owner, line

    def _open(self, band: Band, wanted: bool) -> list[_Asked]:
        lines = self._bands[band]
        found: Iterable[_Line] = lines.values()
        if not wanted and len(self._passing) < len(lines):
            some = set[_Line]().union(*(kind.lines for kind in self._passing))
            found = [line for line in some if lines.get(line.owner) is line]
        for line in found:
            line.oldest_asked = False
        key = self._shares.keys.get
        return sorted([(key(line.owner, 0.0), line.owner, line) for line in found])

    def _ask_oldest(self, line: _Line, gate: Gatekeeper) -> Entry | None:
        """The oldest of the line, if it is its turn and it may start."""
        if line.starts % OLDEST_EVERY < OLDEST_EVERY - 1 or line.oldest_asked:
            return None
        line.oldest_asked = True
        oldest = line.oldest()
        return oldest if gate.admits(oldest) else None

    def _ask(self, line: _Line, gate: Gatekeeper) -> Entry | None:
        """The first of the line if it may start, else it is noted; what can never start is passed by."""
        for _, _, entry in line.heads:
            if gate.admits(entry):
                return entry
            if not gate.reserves(entry.band):
                return None
        return None

    def _ask_passing(self, line: _Line, gate: Gatekeeper) -> Entry | None:
        """The first of the line that may start, of the kinds that were sifted."""
        passing, refused = self._passing, self._refused
        for _, _, entry in line.heads_of(passing):
            longest = passing.get(entry.kind, 0)
            if not (longest == ANY_NS or 0 < entry.expected_ns <= longest) or entry in refused:
                continue
            if entry.kind.sums_only or gate.admits(entry):
                return entry
            refused.add(entry)
            if len(refused) >= ASKED_MAX:
                return None
        return None

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
            self._leave(entry.kind, line)
        if line.size:
            return
        line.close()
        del lines[entry.owner]
        if entry.band in self._opened:
            self._opened[entry.band] = [asked for asked in self._opened[entry.band] if asked[2] is not line]
        if not lines:
            del self._bands[entry.band]
            self._order.remove(entry.band)
            if not self._bands:
                self._least_ns = ANY_NS

    def _leave(self, kind: Kind, line: _Line) -> None:
        """None of the kind waits in the line any more."""
        kind.lines.discard(line)
        if not kind.lines:
            del self._kinds[kind.claim]
            self._intricate -= not kind.sums_only
            del self._sized[bisect_left(self._sized, kind.sized)]

    # --- looking ----------------------------------------------------------------------------------------------------

    @property
    def empty(self) -> bool:
        return not self._bands

    def heads(self, most: int) -> list[Entry] | None:
        """The first entry of each kind of each line, in the order in which they would be asked; None if there are more
        of them than `most`."""
        if sum(len(line.heads) for lines in self._bands.values() for line in lines.values()) > most:
            return None
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
            for ranked in sorted(chain.from_iterable(line.kinds.values()))
            if ranked[2].waiting
        ]

    def entries(self) -> Iterator[Entry]:
        """All entries that wait, in no particular order."""
        for lines in self._bands.values():
            for line in lines.values():
                for ranks in line.kinds.values():
                    yield from (ranked[2] for ranked in ranks if ranked[2].waiting)

    def __len__(self) -> int:
        """Rows, counting those that are no longer ready and not yet dropped."""
        return sum(entry.high - entry.low for entry in self.entries())
