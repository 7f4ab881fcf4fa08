"""The order of the queue: band, fair share, the longest way, age; the oldest in turn; and few are asked."""

from collections.abc import Sequence

import pytest

from engine.model.instants import ANY_NS, SECOND
from engine.model.resources import Claim
from engine.scheduling.fair_queue import ASKED_MAX, OLDEST_EVERY, Band, Entry, FairQueue
from engine.scheduling.fair_share import Shares, Usage

SMALL, LARGE = Claim(500), Claim(4000)


class Door:
    """A gate that lets through what it is told, and remembers who was asked."""

    def __init__(self, free_milli: int = 10**9, refused: frozenset[int] = frozenset()) -> None:
        self.free = (free_milli, 10**9)
        self.refused = refused
        self.asked: list[int] = []
        self.kinds: list[Claim] = []
        self.first: Entry | None = None
        self.noted: list[int] = []

    def beside(self, band: Band) -> tuple[int, int, int]:
        return *self.free, 0

    def longest_ns(self, claims: Sequence[Claim], band: Band) -> list[int]:
        self.kinds += claims
        return [ANY_NS if claim.cpu_milli <= self.free[0] else 0 for claim in claims]

    def admits(self, entry: Entry) -> bool:
        self.asked.append(entry.run)
        if entry.claim.cpu_milli > self.free[0]:
            self.noted.append(entry.run)
            return False
        return entry.run not in self.refused

    def due(self) -> Entry | None:
        return self.first

    def reserves(self, band: Band) -> bool:
        return not self.noted

    def would_reserve(self, entry: Entry) -> bool:
        return not self.noted


def queue_of(*rows: tuple[int, Claim, int, int], shares: Shares | None = None) -> FairQueue:
    queue = FairQueue(shares or Shares())
    for run, claim, priority, weight in rows:
        queue.push(run, 0, range(1), claim, priority=priority, weight=weight)
    return queue


def drain(queue: FairQueue, door: Door | None = None) -> list[int]:
    door = door or Door()
    taken: list[int] = []
    queue.begin(0)
    while (entry := queue.best(door)) is not None:
        queue.advance(entry)
        taken.append(entry.run)
    return taken


def test_priority_then_the_longest_way_then_age_across_claims():
    queue = queue_of((1, SMALL, 0, 1), (2, LARGE, 0, 9), (3, SMALL, 0, 9), (4, LARGE, 5, 1), (5, SMALL, -1, 99))
    assert [entry.run for entry in queue.heads(4) or ()] == [4, 2, 3, 5]
    assert drain(queue) == [4, 2, 3, 1, 5]
    assert len(queue) == 0


def test_backfills_yield_to_what_is_fresh_in_their_class_only():
    queue = FairQueue(Shares())
    for run, priority, backfill in ((1, 0, True), (2, 0, False), (3, 1, True), (4, -1, False)):
        queue.push(run, 0, range(1), SMALL, priority=priority, weight=0, backfill=backfill)
    assert drain(queue) == [3, 2, 1, 4]


def test_the_owner_who_has_used_least_goes_first_and_then_the_next():
    shares = Shares()
    shares.restore([Usage("much", 100.0, 0), Usage("some", 10.0, 0)])
    queue = FairQueue(shares)
    for run, owner in enumerate(("much", "some", "none", "none")):
        queue.push(run, 0, range(1), SMALL, priority=0, weight=0, owner=owner)
    door = Door()
    queue.begin(0)
    order: list[int] = []
    while (entry := queue.best(door)) is not None:
        shares.started(entry.run, entry.owner, 500_000, 0)
        queue.advance(entry)
        order.append(entry.run)
    assert order == [2, 1, 0, 3]


def test_what_does_not_fit_is_passed_by_and_only_the_first_is_noted():
    queue = queue_of((1, LARGE, 0, 9), (2, SMALL, 0, 1), (3, LARGE, 0, 8), (4, SMALL, 1, 1))
    door = Door(free_milli=1000)
    assert drain(queue, door) == [4, 2]
    assert door.noted == [1]
    assert sorted(entry.run for entry in queue.entries()) == [1, 3]


def test_a_full_host_is_asked_by_kinds_and_not_by_entries():
    queue = queue_of(*((run, SMALL if run % 2 else LARGE, 0, 1) for run in range(1000)))
    door = Door(free_milli=1000)
    door.noted = [-1]
    door.free = (400, 0)
    assert drain(queue, door) == []
    assert (door.kinds, door.asked) == ([], [])


def test_who_asks_again_has_the_answer_of_what_is_free_by_then():
    """What is taken aside may hold something from then on, as one that goes on does."""
    queue = queue_of((1, SMALL, 0, 9), (2, SMALL, 0, 1))
    door = Door()
    door.noted = [-1]
    queue.begin(0)
    first = queue.best(door)
    assert first is not None
    queue.take(first)
    door.free = (400, 0)
    assert queue.best(door) is None


def test_few_are_asked_in_vain():
    queue = queue_of(*((run, Claim(run, mutexes=("m",)), 0, 1) for run in range(200)))
    door = Door(refused=frozenset(range(200)))
    door.noted = [-1]
    assert drain(queue, door) == []
    assert len(door.asked) == ASKED_MAX


def test_who_is_due_goes_before_its_band_but_not_before_a_higher_one():
    queue = queue_of((1, SMALL, 0, 9), (2, SMALL, 1, 1))
    door = Door()
    door.first = queue.push(3, 0, range(1), LARGE, priority=0, weight=0)
    queue.begin(0)
    order: list[int] = []
    for _ in range(3):
        entry = queue.best(door)
        assert entry is not None
        queue.advance(entry)
        order.append(entry.run)
        if entry is door.first:
            door.first = None
    assert order == [2, 3, 1]


def test_every_sixteenth_start_is_the_oldest_ones_turn():
    queue = queue_of((0, SMALL, 0, 0), *((run, SMALL, 0, 5) for run in range(1, 100)))
    assert drain(queue).index(0) == OLDEST_EVERY - 1


def test_a_range_of_rows_is_one_entry_and_goes_row_by_row():
    queue = FairQueue(Shares())
    queue.push(1, 0, range(100_000), SMALL, priority=0, weight=1)
    assert len(list(queue.entries())) == 1
    entry = queue.best(Door())
    assert entry is not None
    queue.advance(entry)
    assert (entry.low, entry.waiting, len(queue)) == (1, True, 99_999)


def test_an_entry_that_is_put_back_keeps_its_age_wherever_it_was_taken_from():
    queue = queue_of(*((run, SMALL, 0, 1) for run in range(5)))
    third = next(entry for entry in queue.entries() if entry.run == 2)
    for _ in range(3):
        queue.take(third)
        assert 2 not in [entry.run for entry in queue.entries()]
        queue.put_back(third)
    assert drain(queue) == [0, 1, 2, 3, 4]


def test_what_is_queued_during_a_pass_is_asked_in_it():
    queue = queue_of((1, SMALL, 0, 1))
    door = Door()
    queue.begin(0)
    assert queue.best(door) is not None
    queue.push(2, 0, range(1), LARGE, priority=0, weight=9)
    entry = queue.best(door)
    assert entry is not None
    assert entry.run == 2


@pytest.mark.parametrize("claim", [SMALL, Claim(500, mutexes=("m",))], ids=["sums only", "with a mutex"])
def test_who_takes_too_long_or_nobody_knows_how_long_is_not_asked_and_that_can_be_learned(claim: Claim):
    class Brief(Door):
        def beside(self, band: Band) -> tuple[int, int, int]:
            return 0, 0, 4 * SECOND

        def longest_ns(self, claims: Sequence[Claim], band: Band) -> list[int]:
            return [4 * SECOND for _ in claims]

    queue = FairQueue(Shares())
    entry = queue.push(1, 0, range(10), claim, priority=0, weight=1)
    for expected_ns, starts in ((0, False), (5 * SECOND, False), (3 * SECOND, True)):
        queue.expect(entry, expected_ns)
        door = Brief()
        door.noted = [-1]
        queue.begin(0)
        assert (queue.best(door) is entry) == starts
        assert starts or not door.asked


def test_an_entry_that_was_taken_aside_comes_back_to_a_line_that_has_emptied_meanwhile():
    queue = FairQueue(Shares())
    rows = range(2 * OLDEST_EVERY)
    aside = queue.push(1, 0, rows, SMALL, priority=0, weight=1)
    queue.take(aside)
    queue.put_back(aside)
    door = Door()
    queue.begin(0)
    started: list[int] = []
    while (entry := queue.best(door)) is not None:
        started.append(entry.low)
        queue.advance(entry)
    assert started == list(rows)
