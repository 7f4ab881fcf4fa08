"""Facts are told at once where the engine has something to decide, else together and soon."""

import time
from typing import Any

from engine.execution.loop import Loop
from engine.execution.report import WAIT_S, Report


def made() -> tuple[Loop, Report, list[Any]]:
    loop, told = Loop(), list[Any]()
    report = Report(loop, told.append)
    loop.after_turn = report.end_turn
    return loop, report, told


def turn(loop: Loop) -> None:
    """One that does not wait for anything."""
    loop.later(0, lambda: None)
    loop.turn()


def test_what_may_wait_is_told_together_and_soon() -> None:
    loop, report, told = made()
    report.soon([["exit", 1]])
    report.end_turn()
    report.soon([["exit", 2]])
    assert told == []
    while not told:  # the loop's own timer ends the wait
        loop.turn()
    assert told == [["report", [["exit", 1], ["exit", 2]]]]


def test_what_may_not_wait_takes_with_it_what_waits() -> None:
    loop, report, told = made()
    report.soon([["started", 1]])
    turn(loop)
    report.now([["exit", 1]])
    turn(loop)
    assert told == [["report", [["started", 1], ["exit", 1]]]]
    report.soon([["started", 2]])
    turn(loop)
    assert len(told) == 1


def test_all_that_waits_is_told_as_soon_as_any_of_it_must_be() -> None:
    loop, report, told = made()

    def due() -> float:
        report.end_turn()  # and no turn of the loop, in which time would pass
        return min(timer.due for *_, timer in loop._timers if timer.call is not None)

    report.soon([["exit", 1]])
    late = due()
    report.soon([["exit", 2]])
    report.within(WAIT_S / 2)
    early = due()
    assert early <= time.monotonic() + WAIT_S / 2
    report.within(WAIT_S)
    assert due() == early != late
    assert told == []
    report.within(0)
    report.end_turn()
    assert told == [["report", [["exit", 1], ["exit", 2]]]]


def test_many_facts_do_not_wait() -> None:
    loop, report, told = made()
    report.soon(["started", number] for number in range(1000))
    turn(loop)
    assert len(told[0][1]) == 1000


def test_what_was_cleared_is_never_told() -> None:
    loop, report, told = made()
    report.now([["exit", 1]])
    report.clear()
    turn(loop)
    report.soon([["started", 2]])
    turn(loop)
    assert told == []
