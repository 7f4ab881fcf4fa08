"""The order among ready rows: priority first, then the longest way to the end, then age.

One entry stands for a range of rows of one task, so the 100,000 rows of a `for_each` are one entry. Entries are kept in
one heap per claim: whether a claim fits is asked once per claim and not once per waiting entry, so a full pool costs
nothing however many wait for it. Entries whose rows are no longer ready are dropped by the caller when it meets them.
"""

from collections.abc import Callable, Iterator
from heapq import heappop, heappush

from engine.model.resources import Claim


class Entry:
    """Rows `low` to `high` (exclusive) of a task of a run. Smaller sorts first."""

    __slots__ = ("claim", "high", "key", "low", "run", "task")

    def __init__(self, key: tuple[int, int, int], run: int, task: int, rows: range, claim: Claim) -> None:
        self.key = key
        self.run = run
        self.task = task
        self.low = rows.start
        self.high = rows.stop
        self.claim = claim

    def __lt__(self, other: "Entry") -> bool:
        return self.key < other.key


class ReadyQueue:
    """Ready rows that are not admitted yet."""

    def __init__(self) -> None:
        self._heaps: dict[Claim, list[Entry]] = {}
        self._age = 0

    def push(self, run: int, task: int, rows: range, claim: Claim, *, priority: int, weight: int) -> None:
        """Queue the rows behind those of the same rank that came before."""
        self._age += 1
        self.put_back(Entry((-priority, -weight, self._age), run, task, rows, claim))

    def put_back(self, entry: Entry) -> None:
        """Queue an entry where it was before."""
        heap = self._heaps.get(entry.claim)
        if heap is None:
            heap = self._heaps[entry.claim] = []
        heappush(heap, entry)

    def best(self, fits: Callable[[Claim], bool]) -> Entry | None:
        """The first entry whose claim fits, left where it is."""
        best: Entry | None = None
        for claim, heap in self._heaps.items():
            if (best is None or heap[0].key < best.key) and fits(claim):
                best = heap[0]
        return best

    def heads(self) -> list[Entry]:
        """The first entry of each claim, left where it is."""
        return [heap[0] for heap in self._heaps.values()]

    def take(self, entry: Entry) -> None:
        """Remove an entry that `best` gave."""
        heap = self._heaps[entry.claim]
        heappop(heap)
        if not heap:
            del self._heaps[entry.claim]

    def entries(self) -> Iterator[Entry]:
        """All entries, in no particular order."""
        for heap in self._heaps.values():
            yield from heap

    def __len__(self) -> int:
        """Rows, counting those that are no longer ready and not yet dropped."""
        return sum(entry.high - entry.low for entry in self.entries())
