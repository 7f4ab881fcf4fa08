"""Pausing what runs: its attempts stand still, and go on as if nothing had been."""

import pytest

from engine.core.effects import ResumeAttempt, SuspendAttempt
from engine.core.events import AttemptExited, AttemptResumed, AttemptStarted, AttemptSuspended
from engine.model.instants import SECOND
from engine.model.resources import Claim
from engine.model.status import SUCCESS, AttemptStatus, Outcome, OutcomeKind, RunStatus
from tests.support.builders import flow, task
from tests.support.stories import Player, Refused


def two(**fields: object) -> Player:
    """A run of two tasks that run."""
    player = Player(flow(task("a"), task("b"), task("c", "a")), **fields)  # pyright: ignore[reportArgumentType]
    player.submit()
    player.begin("a")
    player.begin("b")
    return player


def status_of(player: Player, row: str) -> AttemptStatus:
    return player.state.attempts[player.attempt(row).attempt].status


def test_a_task_is_paused_and_resumed_while_the_rest_of_its_run_goes_on():
    player = two()
    assert player.pause(0, "a") == {"changed": 1, "refused": []}
    assert player.freezes == [("a", True)]
    assert status_of(player, "a") is AttemptStatus.RUNNING  # until the launcher says so
    player.suspended("a")
    assert status_of(player, "a") is AttemptStatus.SUSPENDED
    assert player.status() is RunStatus.RUNNING
    assert player.rows()["a"] == "running"
    player.resume(0, "a")
    player.resumed("a")
    assert player.freezes == [("a", True), ("a", False)]
    assert status_of(player, "a") is AttemptStatus.RUNNING
    player.ok("a", "b", "c")
    assert player.status() is RunStatus.SUCCEEDED


def test_a_paused_attempt_keeps_its_claim_if_its_definition_says_so():
    player = Player(flow(task("a", claim=Claim(1000), on_pause="keep"), task("b", claim=Claim(1000))), cpus=1)
    player.submit()
    player.begin("a")
    player.pause(0, "a")
    player.suspended("a")
    assert player.running == ["a"]
    player.resume(0, "a")
    player.resumed("a")
    player.ok("a")
    assert player.running == ["b"]


def test_a_run_is_paused_with_what_runs_of_it_and_resumed_with_it():
    player = two()
    assert player.pause(running=True)["changed"] == 2
    assert player.freezes == [("a", True), ("b", True)]
    assert player.status() is RunStatus.PAUSED
    player.suspended("a")
    player.suspended("b")
    assert player.resume()["changed"] == 2
    assert player.freezes[2:] == [("a", False), ("b", False)]
    assert player.status() is RunStatus.RUNNING


def test_what_runs_of_a_paused_run_is_paused_later():
    player = two()
    player.pause()
    assert player.freezes == []
    player.pause(running=True)
    assert player.freezes == [("a", True), ("b", True)]
    with pytest.raises(Refused, match="only a queued or running run"):
        player.pause(running=True)


def test_resuming_a_run_that_goes_on_lets_its_paused_tasks_go_on():
    player = two()
    with pytest.raises(Refused, match="not paused"):
        player.resume()
    player.pause(0, "b")
    player.suspended("b")
    player.resume()
    assert player.freezes == [("b", True), ("b", False)]


def test_what_does_not_run_cannot_be_paused():
    player = two()
    with pytest.raises(Refused, match="nothing to pause: c is waiting"):
        player.pause(0, "c")
    with pytest.raises(Refused, match="nothing to resume: a is not paused"):
        player.resume(0, "a")
    player.pause(0, "a")
    assert player.pause(0, "a", "b") == {"changed": 1, "refused": [{"row": "a", "why": "is paused already"}]}
    player.cancel("b")
    with pytest.raises(Refused, match="b is being stopped"):
        player.resume(0, "b")


def test_an_attempt_that_has_not_started_is_suspended_when_it_has():
    player = Player(flow(task("a")))
    player.submit()
    player.pause(0, "a")
    assert player.freezes == []
    player.begin("a")
    assert player.freezes == [("a", True)]


def test_the_time_that_it_stood_still_teaches_nothing_about_how_long_it_takes():
    player = two()
    number = player.attempt("a").attempt
    player.pause(0, "a")
    begun = player.state.attempts[number].started_ns
    player.step(AttemptSuspended(number, begun + SECOND))
    player.resume(0, "a")
    player.step(AttemptResumed(number, begun + 61 * SECOND))
    attempt = player.state.attempts[number]
    assert attempt.still_ns == 60 * SECOND
    player.step(AttemptExited(number, begun + 62 * SECOND, SUCCESS))
    assert attempt.took_ns == 2 * SECOND


def test_a_suspended_attempt_that_ends_has_stood_still_until_then():
    player = two()
    number = player.attempt("a").attempt
    player.pause(0, "a")
    begun = player.state.attempts[number].started_ns
    player.step(AttemptSuspended(number, begun + SECOND))
    attempt = player.state.attempts[number]
    player.step(AttemptExited(number, begun + 9 * SECOND, Outcome(OutcomeKind.SIGNALLED, signal=9)))
    assert (attempt.status, attempt.took_ns) == (AttemptStatus.EXITED, SECOND)


def test_cancelling_a_paused_attempt_stops_it_and_wants_it_still_no_more():
    player = two()
    player.pause(0, "a")
    player.suspended("a")
    player.cancel("a")
    assert player.stops == [("a", False)]
    attempt = player.state.attempts[player.attempt("a").attempt]
    assert (attempt.status, attempt.frozen) == (AttemptStatus.STOPPING, False)
    player.suspended("a")  # told before the launcher heard of the stop
    assert player.freezes == [("a", True)]
    player.stopped("a")
    assert player.rows()["a"] == "cancelled"


def test_cancelling_a_run_lets_a_paused_teardown_go_on():
    player = Player(flow(task("set", setup=True), task("undo", "set", teardown_for=("set",))))
    player.submit()
    player.ok("set")
    player.begin("undo")
    player.pause(running=True)
    player.suspended("undo")
    player.cancel()
    assert player.freezes == [("undo", True), ("undo", False)]
    assert player.stops == []


def test_a_restart_tells_what_shall_stand_still_and_what_shall_go_on_once_more():
    player = two()
    player.pause(0, "a")
    player.pause(0, "b")
    player.suspended("b")
    player.resume(0, "b")
    player.restart()
    player.freezes.clear()
    numbers = {row: player.attempt(row).attempt for row in ("a", "b")}
    player.step(*(AttemptStarted(number, player.now_ns, pid=7) for number in numbers.values()))
    assert player.freezes == [("a", True), ("b", False)]
    assert status_of(player, "b") is AttemptStatus.SUSPENDED


def test_reports_and_orders_that_cross_are_put_right():
    player = two()
    number = player.attempt("a").attempt
    player.pause(0, "a")
    player.resume(0, "a")
    changes = player.step(AttemptSuspended(number, player.now_ns, 1))
    assert ResumeAttempt(number, 2) in changes.effects
    player.resumed("a")
    player.pause(0, "a")
    changes = player.step(AttemptResumed(number, player.now_ns, 2))
    assert SuspendAttempt(number, 3) in changes.effects


def test_the_retry_of_an_attempt_that_was_killed_while_it_stood_still_moves():
    player = two()
    player.pause(0, "a")
    player.suspended("a")
    player.lose("a")
    assert player.rows()["a"] == "running"
    player.begin("a")
    assert player.freezes == [("a", True)]
    assert status_of(player, "a") is AttemptStatus.RUNNING


def test_a_paused_attempt_makes_room_for_a_higher_priority():
    low = task("low", claim=Claim(1000), preemption="requeue", on_pause="keep")
    player = Player(flow(low, task("gate"), task("high", "gate", claim=Claim(1000), priority=5)), cpus=2)
    player.submit()
    player.begin("low")
    player.pause(0, "low")
    player.suspended("low")
    player.know(flow(task("wide", claim=Claim(2000), priority=9), name="other"))
    player.submit("other")
    player.ok("gate", run=1)
    attempt = next(iter(player.state.attempts.values()))
    assert (attempt.status, attempt.frozen) == (AttemptStatus.STOPPING, False)
