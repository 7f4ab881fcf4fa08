"""How long the end of an attempt waits to be told: as long as those behind it keep the place busy."""

import time
from typing import Any

import pytest

from engine.execution.loop import Loop
from engine.execution.queue import Queue
from engine.execution.report import WAIT_S, Report


def is_told_in(seconds: float, *, behind: int = 0, sent: int = 0, took_s: float) -> bool:
    """Whether the end of an attempt is told in so long (0: at once) when so many wait behind it, or were sent after it.
    The answer is exact: the timer was set between two looks at its clock."""
    loop, told = Loop(), list[Any]()
    report = Report(loop, told.append)
    queue = Queue({}, report, lambda _before, _order: False)
    for number in range(1, behind + 1):
        queue.hold({"attempt": number, "after": number - 1})
    report.soon([["exit", 0]])
    before = time.monotonic()
    queue.release(0, succeeded=True, took_s=took_s, sent=sent)
    report.end_turn()
    after = time.monotonic()
    if told:
        return seconds == 0
    ((due, *_),) = loop._timers
    return before + seconds <= due <= after + seconds


def test_who_is_followed_by_nobody_is_told_of_at_once() -> None:
    assert is_told_in(0, took_s=0.05)
    assert is_told_in(0, took_s=5)


@pytest.mark.parametrize("one", [{"behind": 1}, {"sent": 1}])
def test_one_that_waits_gives_time_as_a_part_of_what_it_will_take(one: dict[str, int]) -> None:
    assert is_told_in(0.01, took_s=0.04, **one)
    assert is_told_in(WAIT_S, took_s=10, **one)
    assert is_told_in(0, took_s=0.001, **one)


def test_many_that_wait_give_all_the_time_however_short_they_are() -> None:
    assert is_told_in(WAIT_S, behind=4, took_s=0.0001)
    assert is_told_in(0, behind=3, took_s=0.0001)
