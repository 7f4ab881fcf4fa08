"""Runs that wait for an earlier one of their workflow: pausing, resuming, cancelling and acting on them."""

import pytest

from engine.model.instants import MINUTE
from engine.model.status import RunStatus, TaskStatus
from engine.model.workflow import Schedule
from tests.support.builders import flow, task
from tests.support.stories import Player, Refused


def two_runs() -> Player:
    """Run 1 goes on, run 2 is queued behind it."""
    workflow = flow(
        task("a"), task("b", "a"), schedules=(Schedule(interval_ns=MINUTE),), if_running="queue_all", catch_up="all"
    )
    player = Player(workflow)
    player.add()
    player.advance(60)
    player.advance(60)
    player.newest = 2
    assert (player.status(1), player.status(2)) == (RunStatus.RUNNING, RunStatus.QUEUED)
    return player


def finish_first(player: Player) -> None:
    player.ok("a", "b", run=1)
    assert player.status(1) is RunStatus.SUCCEEDED


def test_a_queued_run_starts_when_the_one_before_it_has_ended():
    player = two_runs()
    finish_first(player)
    assert player.status(2) is RunStatus.RUNNING
    assert player.running == ["a"]


def test_a_queued_run_that_is_paused_and_resumed_still_gets_its_turn():
    player = two_runs()
    player.pause(2)
    assert player.status(2) is RunStatus.PAUSED
    player.resume(2)
    assert player.status(2) is RunStatus.QUEUED
    finish_first(player)
    assert player.status(2) is RunStatus.RUNNING


def test_a_queued_run_that_is_paused_keeps_its_place_until_it_is_resumed():
    player = two_runs()
    player.pause(2)
    finish_first(player)
    assert player.status(2) is RunStatus.PAUSED
    assert player.running == []
    player.resume(2)
    assert player.status(2) is RunStatus.RUNNING
    player.play()
    assert player.status(2) is RunStatus.SUCCEEDED


def test_a_queued_run_can_be_cancelled_and_the_next_one_takes_its_place():
    player = two_runs()
    player.advance(60)
    player.cancel(run=2)
    assert player.status(2) is RunStatus.CANCELLED
    finish_first(player)
    assert player.status(3) is RunStatus.RUNNING


@pytest.mark.parametrize("paused", [False, True])
def test_rows_of_a_run_that_has_not_begun_cannot_be_acted_on(paused: bool):
    player = two_runs()
    if paused:
        player.pause(2)
    for act in (
        lambda: player.cancel("a"),
        lambda: player.mark(TaskStatus.SUCCEEDED, "a", "b"),
        lambda: player.rerun("a"),
        lambda: player.retry("a"),
    ):
        with pytest.raises(Refused) as refusal:
            act()
        assert refusal.value.code == "conflict"
        assert "has not begun" in refusal.value.sentence
    assert player.rows(2) == {"a": "waiting", "b": "waiting"}


def test_cancelling_a_run_that_has_not_begun_runs_no_teardown():
    workflow = flow(
        task("up", setup=True),
        task("down", "up", teardown_for=("up",), trigger_rule="all_done"),
        schedules=(Schedule(interval_ns=MINUTE),),
        if_running="queue_all",
    )
    player = Player(workflow)
    player.add()
    player.advance(60)
    player.advance(60)
    player.cancel(run=2)
    assert player.rows(2) == {"up": "cancelled", "down": "cancelled"}
    assert player.status(2) is RunStatus.CANCELLED


def test_a_run_whose_every_text_is_faulty_ends_and_lets_the_next_one_go_in_the_same_batch():
    """The queued run is started by the end of one that ends while attempts are being ordered."""
    faulty = task("a", env=(("X", "{{ 1 / 0 }}"),))
    player = Player(flow(faulty, schedules=(Schedule(interval_ns=MINUTE),), if_running="queue_all"), cpus=1)
    player.know(flow(task("block"), name="other"))
    player.submit("other")
    player.add(flow(faulty, schedules=(Schedule(interval_ns=MINUTE),), if_running="queue_all"))
    player.advance(60)
    player.advance(60)
    player.ok("block", run=1)
    assert [player.status(number) for number in (2, 3)] == [RunStatus.FAILED, RunStatus.FAILED]


def test_a_workflow_that_is_added_while_its_runs_go_on_knows_them():
    workflow = flow(task("a"), schedules=(Schedule(interval_ns=MINUTE),), if_running="skip")
    player = Player(workflow)
    player.submit()
    player.add()
    player.advance(60)
    assert list(player.state.runs) == [1]
