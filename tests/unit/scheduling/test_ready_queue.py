"""The order among ready rows, and what does not fit being passed by."""

from engine.model.resources import Claim
from engine.scheduling.ready_queue import Entry, ReadyQueue

SMALL, LARGE = Claim(500), Claim(4000)


def queue_of(*rows: tuple[int, Claim, int, int]) -> ReadyQueue:
    queue = ReadyQueue()
    for run, claim, priority, weight in rows:
        queue.push(run, 0, range(1), claim, priority=priority, weight=weight)
    return queue


def drain(queue: ReadyQueue, fits: Claim | None = None) -> list[int]:
    taken: list[int] = []
    while (entry := queue.best(lambda claim: fits is None or claim == fits)) is not None:
        queue.take(entry)
        taken.append(entry.run)
    return taken


def test_priority_then_weight_then_age_across_claims():
    queue = queue_of((1, SMALL, 0, 1), (2, LARGE, 0, 9), (3, SMALL, 0, 9), (4, LARGE, 5, 1), (5, SMALL, -1, 99))
    assert drain(queue) == [4, 2, 3, 1, 5]


def test_what_does_not_fit_is_passed_by_and_stays():
    queue = queue_of((1, LARGE, 9, 9), (2, SMALL, 0, 1), (3, SMALL, 1, 1))
    assert drain(queue, fits=SMALL) == [3, 2]
    assert [entry.run for entry in queue.entries()] == [1]


def test_an_entry_that_is_put_back_keeps_its_age():
    queue = queue_of((1, SMALL, 0, 1), (2, SMALL, 0, 1))
    first = queue.best(lambda _: True)
    assert isinstance(first, Entry)
    queue.take(first)
    queue.put_back(first)
    assert drain(queue) == [1, 2]


def test_a_range_of_rows_is_one_entry():
    queue = ReadyQueue()
    queue.push(1, 0, range(100_000), SMALL, priority=0, weight=1)
    assert len(list(queue.entries())) == 1
    assert len(queue) == 100_000


def test_whether_a_claim_fits_is_asked_once_for_each_claim():
    queue = queue_of(*((run, SMALL, 0, 1) for run in range(1000)))
    asked: list[Claim] = []

    def never(claim: Claim) -> bool:
        asked.append(claim)
        return False

    assert queue.best(never) is None
    assert asked == [SMALL]
