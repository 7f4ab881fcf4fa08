"""Admission as a whole, over thousands of random mixes on a simulated host.

Never more than there is, nobody starves, shares are as the weights, and the host is about as busy as if everybody
could pass everybody. `python -m tests.campaigns.admission` does the same for longer, and for recorded traces.
"""

import random

import pytest

from engine.model.instants import MINUTE, SECOND
from engine.model.resources import Capacity, Claim
from tests.sim.admission import Arrival, Count, Fifo, Greedy, Ours, Overdrawn, Story, busy, simulate, used, waits_ns
from tests.sim.mixes import HOST, usual, wild

SMALL_HOST = Capacity(8000, 0)


@pytest.mark.parametrize("part", range(10))
def test_ten_thousand_mixes_never_hold_more_than_there_is_and_all_start(part: int):
    for seed in range(part * 1000, part * 1000 + 1000):
        simulate(wild(seed, 10), Ours(HOST), HOST)


def test_long_mixes_never_hold_more_than_there_is_and_all_start():
    for seed in range(10):
        simulate(wild(seed, 300), Ours(HOST), HOST)


def test_somebody_who_holds_too_much_would_be_seen():
    count = Count(HOST)
    count.began(0, Claim(16_000), Ours(HOST).gate.ledger.take(Claim(16_000)))
    with pytest.raises(Overdrawn, match="cpu"):
        count.began(1, Claim(250), Ours(HOST).gate.ledger.take(Claim(250)))


def stream(wide: Claim, minutes: int, *, known: bool, wide_weight: int = 0) -> list[Arrival]:
    """Small tasks that alone would fill 1.2 hosts, and in the second minute a wide one, for which nobody ever stops."""
    draw = random.Random(7)
    tasks = [Arrival(MINUTE, 30 * SECOND, wide, 30 * SECOND if known else 0, "wide", 0, wide_weight)]
    at = 0
    while at < minutes * MINUTE:
        at += int(draw.expovariate(1.2 * 8 / 10) * SECOND)
        takes = int(draw.uniform(5, 15) * SECOND)
        tasks.append(Arrival(at, takes, Claim(1000), takes if known else 0, "small", 0, 5))
    return tasks


def wide_wait_ns(tasks: list[Arrival], story: Story) -> int:
    return waits_ns(tasks, story)[0] if story.starts_ns[0] >= 0 else 2**62


@pytest.mark.parametrize("wide", [Claim(8000), Claim(5000), Claim(1000, exclusive=True)], ids=["all", "most", "alone"])
@pytest.mark.parametrize("known", [True, False], ids=["history", "no history"])
def test_the_widest_task_starts_though_small_ones_never_end(wide: Claim, known: bool):
    tasks = stream(wide, 20, known=known)
    until = 20 * MINUTE
    ours = simulate(tasks, Ours(SMALL_HOST), SMALL_HOST, until_ns=until)
    fifo = simulate(tasks, Fifo(SMALL_HOST), SMALL_HOST, until_ns=until)
    greedy = simulate(tasks, Greedy(SMALL_HOST), SMALL_HOST, until_ns=until)
    assert wide_wait_ns(tasks, ours) <= 2 * MINUTE
    assert wide_wait_ns(tasks, ours) <= wide_wait_ns(tasks, fifo) + MINUTE
    assert wide_wait_ns(tasks, greedy) > 18 * MINUTE, "passing freely starves it, else this proves nothing"


def test_the_longest_way_does_not_starve_the_shortest():
    """All of one owner: small ones rank before the wide one for ever, and yet it has its turn."""
    tasks = [task._replace(owner="one") for task in stream(Claim(8000), 20, known=True)]
    story = simulate(tasks, Ours(SMALL_HOST), SMALL_HOST, until_ns=20 * MINUTE)
    assert wide_wait_ns(tasks, story) <= 2 * MINUTE


def test_history_that_lies_does_not_starve_the_widest():
    tasks = [task._replace(expected_ns=SECOND) for task in stream(Claim(8000), 20, known=True)]
    story = simulate(tasks, Ours(SMALL_HOST), SMALL_HOST, until_ns=20 * MINUTE)
    assert wide_wait_ns(tasks, story) <= 3 * MINUTE


@pytest.mark.parametrize("weights", [{"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2, "c": 5}], ids=["equal", "unequal"])
@pytest.mark.parametrize("seed", range(3))
def test_shares_are_within_five_percent_of_the_weights(weights: dict[str, float], seed: int):
    """Owners with tasks of different width and length, all with more than enough to do."""
    draw = random.Random(seed)
    shapes = {"a": (1000, 4), "b": (2000, 15), "c": (500, 40)}
    tasks: list[Arrival] = []
    for owner, (cpu, seconds) in shapes.items():
        for _ in range(int(8 * 3600 * 1000 / cpu / seconds)):
            takes = int(seconds * SECOND * (0.5 + draw.random()))
            tasks.append(Arrival(0, takes, Claim(cpu), takes, owner))
    story = simulate(tasks, Ours(SMALL_HOST, weights), SMALL_HOST, until_ns=55 * MINUTE)
    held = used(tasks, story, SMALL_HOST, 5 * MINUTE, 50 * MINUTE)
    total, weight = sum(held.values()), sum(weights.values())
    for owner in weights:
        assert held[owner] / total == pytest.approx(weights[owner] / weight, rel=0.05)


def test_the_host_is_not_three_percent_less_busy_than_if_all_could_pass():
    mixes = [usual(seed, 300) for seed in range(20)]
    ours = sum(busy(tasks, simulate(tasks, Ours(HOST), HOST), HOST) for tasks in mixes) / len(mixes)
    greedy = sum(busy(tasks, simulate(tasks, Greedy(HOST), HOST), HOST) for tasks in mixes) / len(mixes)
    fifo = sum(busy(tasks, simulate(tasks, Fifo(HOST), HOST), HOST) for tasks in mixes) / len(mixes)
    assert ours >= greedy - 0.03
    assert ours >= fifo + 0.1


def test_higher_classes_and_what_is_fresh_go_first():
    held = Arrival(0, 10 * SECOND, Claim(8000))
    late = [
        Arrival(1, SECOND, Claim(8000), backfill=True), Arrival(2, SECOND, Claim(8000), priority=-1),
        Arrival(3, SECOND, Claim(8000)), Arrival(4, SECOND, Claim(8000), priority=1),
    ]  # fmt: skip
    starts = simulate([held, *late], Ours(SMALL_HOST), SMALL_HOST).starts_ns
    assert sorted(range(1, 5), key=lambda number: starts[number]) == [4, 3, 1, 2]


def test_the_same_tasks_are_admitted_in_the_same_order_again():
    tasks = wild(3, 300)
    assert simulate(tasks, Ours(HOST), HOST) == simulate(tasks, Ours(HOST), HOST)
