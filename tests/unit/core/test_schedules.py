"""What schedules make as the wall clock goes on, jumps, and the engine comes back late."""

import pytest

from engine.core.events import RunSkipped
from engine.model.instants import DAY, HOUR, MINUTE
from engine.model.status import RunStatus
from engine.model.workflow import Param, Schedule, Workflow
from tests.support.builders import flow, task
from tests.support.stories import BEGINNING_NS, Player, Refused


def hourly(**fields: object) -> Workflow:
    fields.setdefault("schedules", (Schedule(interval_ns=HOUR),))
    return flow(task("a"), **fields)


def added(workflow: Workflow) -> Player:
    player = Player(workflow)
    player.add()
    return player


def skipped(player: Player) -> list[str]:
    return [event.why for event in player.journal if isinstance(event, RunSkipped)]


def to_next(player: Player) -> None:
    """Let time pass until the next instant that is due."""
    player.advance((player.machine.next_due()[1] - player.wall_ns) / 1e9)


def test_a_run_is_made_on_time_with_the_instant_that_it_is_for():
    player = added(hourly())
    assert player.machine.next_due()[1] == BEGINNING_NS // HOUR * HOUR + HOUR
    to_next(player)
    header = player.run(1).header
    assert (header.trigger, header.due_ns) == ("schedule", BEGINNING_NS // HOUR * HOUR + HOUR)
    assert (header.status, header.partition) == (RunStatus.RUNNING, "2023-11-14")
    player.step()
    assert list(player.state.runs) == [1]


def test_a_cron_schedule_follows_its_own_zone():
    player = added(hourly(schedules=(Schedule(cron="30 1 * * *", timezone="Asia/Tokyo"),)))
    to_next(player)
    assert player.run(1).header.due_ns == 1_700_065_800 * 10**9  # 2023-11-15T16:30Z
    assert player.run(1).header.partition == "2023-11-16"


@pytest.mark.parametrize(("catch_up", "made"), [("none", []), ("last", [5]), ("all", [1, 2, 3, 4, 5])])
def test_what_was_missed_is_made_up_for_as_declared(catch_up: str, made: list[int]):
    player = added(hourly(catch_up=catch_up, if_running="allow"))
    first = player.machine.next_due()[1]
    player.restart()
    player.advance((first + 4 * HOUR + 30 * MINUTE - player.wall_ns) / 1e9)
    dues = [run.header.due_ns for run in player.state.runs.values()]
    assert dues == [first + (number - 1) * HOUR for number in made]


def test_what_is_made_up_for_is_bounded_and_the_rest_is_written_down():
    player = added(hourly(catch_up="all", if_running="allow", schedules=(Schedule(interval_ns=MINUTE),) * 2))
    player.advance(2_000 * 60)
    assert len(player.state.runs) == 1_000
    assert skipped(player) == ["more than 1000 were missed: the oldest are left out"] * 2


def test_two_schedules_that_are_due_together_make_one_run():
    player = added(hourly(schedules=(Schedule(interval_ns=HOUR), Schedule(cron="0 * * * *"))))
    to_next(player)
    assert list(player.state.runs) == [1]


def test_a_paused_workflow_makes_nothing_and_makes_up_for_nothing():
    player = added(hourly(catch_up="all"))
    player.pause_workflow("w")
    assert player.machine.next_due() == (0, 0)
    player.advance(10 * 3600)
    player.restart()
    player.pause_workflow("w", paused=False)
    player.step()
    assert player.state.runs == {}
    to_next(player)
    assert list(player.state.runs) == [1]
    with pytest.raises(Refused, match="not paused"):
        player.pause_workflow("w", paused=False)


def test_a_clock_that_jumps_back_makes_no_run_twice():
    player = added(hourly(if_running="allow"))
    to_next(player)
    player.jump(-2 * 3600)
    player.advance(2 * 3600)
    assert list(player.state.runs) == [1]
    player.advance(3600)
    assert list(player.state.runs) == [1, 2]


def test_a_clock_that_jumps_forth_has_missed_what_it_jumped_over():
    player = added(hourly(catch_up="last", if_running="allow"))
    player.jump(30 * DAY / 1e9)
    assert list(player.state.runs) == [1]


def test_a_new_version_counts_from_now_and_keeps_what_goes_on():
    player = added(hourly(catch_up="all"))
    to_next(player)
    player.add(hourly(catch_up="all", description="newer", schedules=(Schedule(interval_ns=2 * HOUR),)))
    assert player.state.workflows["w"].active == [1]
    player.advance(3600)
    assert skipped(player) == ["an earlier run goes on and if_running is skip"]
    player.ok("a", run=1)
    player.advance(2 * 3600)
    assert player.run(2).header.version == player.plans["w"].version


def test_adding_the_same_version_again_changes_nothing():
    player = added(hourly())
    due = player.machine.next_due()
    player.advance(1)
    assert player.add()["changed"] is False
    assert player.machine.next_due() == due


def test_a_removed_workflow_makes_no_more_runs_and_lets_those_that_go_on_end():
    player = added(hourly(if_running="queue_all", catch_up="all"))
    to_next(player)
    to_next(player)
    with pytest.raises(Refused, match="w has 1 queued runs"):
        player.remove("w")
    player.cancel(run=2)
    player.remove("w")
    player.advance(7200)
    assert player.machine.next_due() == (0, 0)
    player.ok("a", run=1)
    assert player.status(1) is RunStatus.SUCCEEDED
    with pytest.raises(Refused, match="there is no workflow 'w'"):
        player.remove("w")


# --- if an earlier run goes on --------------------------------------------------------------------------------------


def thrice(policy: str) -> Player:
    player = added(hourly(if_running=policy))
    for _ in range(3):
        to_next(player)
    return player


def statuses(player: Player) -> list[str]:
    return [run.header.status.text for run in player.state.runs.values()]


def test_skip_makes_no_run_while_one_goes_on():
    player = thrice("skip")
    assert statuses(player) == ["running"]
    assert skipped(player) == ["an earlier run goes on and if_running is skip"] * 2


def test_queue_one_keeps_one_run_for_later():
    player = thrice("queue_one")
    assert statuses(player) == ["running", "queued"]
    assert skipped(player) == ["a run is queued already and if_running is queue_one"]
    assert player.explain("a", run=2)[2][0].holders == ("r1",)


def test_queue_all_runs_them_one_after_the_other():
    player = thrice("queue_all")
    assert statuses(player) == ["running", "queued", "queued"]
    player.restart()
    player.ok("a", run=1)
    assert statuses(player) == ["succeeded", "running", "queued"]
    player.ok("a", run=2)
    player.ok("a", run=3)
    assert player.status(3) is RunStatus.SUCCEEDED


@pytest.mark.parametrize(("policy", "kill"), [("cancel", False), ("kill", True)])
def test_cancel_and_kill_end_the_earlier_run_first(policy: str, kill: bool):
    player = thrice(policy)
    assert statuses(player) == ["cancelling", "cancelled", "queued"]
    assert player.stops[0] == ("a", kill)
    player.stopped("a", run=1)
    assert statuses(player) == ["cancelled", "cancelled", "running"]


def test_allow_runs_them_side_by_side():
    assert statuses(thrice("allow")) == ["running", "running", "running"]


def test_a_run_that_a_person_asks_for_is_made_whatever_goes_on():
    player = thrice("skip")
    player.submit()
    assert statuses(player) == ["running", "running"]


def test_a_schedule_whose_parameters_cannot_be_bound_is_skipped_with_the_reason():
    player = added(hourly(params=(Param("n", "integer"),)))
    to_next(player)
    assert player.state.runs == {}
    assert "the parameter n is required" in skipped(player)[0]
