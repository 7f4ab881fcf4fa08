"""Runs for partitions of the past: which, in what order, how many at a time, and what operators do with them."""

from typing import Any

import pytest

from engine.core.events import (
    BackfillCancelRequested,
    BackfillPauseRequested,
    BackfillRequested,
    BackfillScope,
    BackfillStatusChanged,
    RunSkipped,
    SpaceChanged,
)
from engine.core.invariants import violations
from engine.model.instants import DAY, HOUR
from engine.model.status import BackfillStatus, RunStatus
from engine.model.workflow import Param, Schedule, Workflow
from tests.support.builders import flow, task
from tests.support.stories import BEGINNING_NS, Player, Refused

FIRST_NS = BEGINNING_NS // DAY * DAY - 10 * DAY
"""Ten days before the day on which stories begin."""


def daily(**fields: Any) -> Workflow:
    fields.setdefault("schedules", (Schedule(cron="0 6 * * *"),))
    return flow(task("a"), **fields)


def backfill(player: Player, days: int = 3, version: str = "", **fields: Any) -> dict[str, Any]:
    """Ask for the first days of the stretch; fields of the scope go there."""
    plan = next(reversed(player.plans.values()))
    own = {name: fields.pop(name) for name in BackfillScope.__struct_fields__ if name in fields}
    scope = BackfillScope(**({"first_ns": FIRST_NS, "last_ns": FIRST_NS + days * DAY - 1} | own))
    return player.ask(
        BackfillRequested, workflow=plan.workflow.name, version=version or plan.version, scope=scope, **fields
    )


def partitions(player: Player) -> list[str]:
    """Of the runs that are in memory, in the order in which they were made."""
    return [run.header.partition for run in player.state.runs.values()]


def finish(player: Player, run: int) -> None:
    player.ok("a", run=run)


def test_each_partition_gets_a_run_with_its_instant_one_after_the_other():
    player = Player(daily(params=(Param("day", "date", default="{{ partition }}"),)))
    assert backfill(player) == {
        "backfill": "b1", "workflow": "w", "version": player.plans["w"].version, "partitions": 3, "left_out": 0,
    }  # fmt: skip
    assert partitions(player) == ["2023-11-04"]
    header = player.run(1).header
    assert (header.trigger, header.backfill, header.due_ns) == ("backfill", 1, FIRST_NS + 6 * HOUR)
    assert header.params == {"day": "2023-11-04"}
    finish(player, 1)
    assert partitions(player) == ["2023-11-04", "2023-11-05"]
    finish(player, 2)
    finish(player, 3)
    ended = player.state.backfills[1]
    assert (ended.status, ended.ended, ended.pending) == (BackfillStatus.DONE, {"succeeded": 3}, [])
    assert ended.finished_ns == player.now_ns
    assert BackfillStatusChanged(1, BackfillStatus.DONE) in player.journal


def test_the_newest_go_first_if_asked_so_and_as_many_at_a_time_as_asked():
    player = Player(daily())
    backfill(player, days=4, order="newest", max_active=3)
    assert partitions(player) == ["2023-11-07", "2023-11-06", "2023-11-05"]
    player.fail("a", run=2)
    assert partitions(player)[-1] == "2023-11-04"
    assert player.state.backfills[1].active == [1, 3, 4]
    assert player.state.backfills[1].ended == {"failed": 1}


def test_a_restart_goes_on_where_it_was():
    player = Player(daily())
    backfill(player)
    player.restart()
    finish(player, 1)
    player.restart()
    assert player.state.backfills[1].active == [2]
    player.play()
    assert player.state.backfills[1].status is BackfillStatus.DONE


def test_runs_of_a_backfill_yield_to_fresh_ones_and_do_not_hold_them_back():
    player = Player(daily(if_running="skip"), cpus=1)
    player.add()
    backfill(player, days=3, max_active=3)
    player.advance((player.machine.next_due()[1] - player.wall_ns) / 1e9)
    assert player.run(4).header.trigger == "schedule"
    finish(player, 1)
    assert [start.run for start in player.live.values()] == [4]
    assert player.state.workflows["w"].active == [4]


def test_what_has_had_a_run_is_left_out_unless_it_is_to_be_processed_again():
    failed, succeeded, cancelled = (11, RunStatus.FAILED), (12, RunStatus.SUCCEEDED), (13, RunStatus.CANCELLED)
    due = FIRST_NS + 6 * HOUR
    known = {due: failed, due + DAY: succeeded, due + 2 * DAY: cancelled}
    made: dict[str, list[str]] = {}
    for reprocess in ("none", "failed", "all"):
        player = Player(daily())
        body = backfill(player, days=4, reprocess=reprocess, known=known, max_active=9)
        made[reprocess] = [partition[-2:] for partition in partitions(player)]
        assert body["partitions"] + body["left_out"] == 4
    assert made == {"none": ["07"], "failed": ["04", "06", "07"], "all": ["04", "05", "06", "07"]}


def test_a_partition_is_never_made_twice_at_once():
    player = Player(daily())
    backfill(player, days=3)
    with pytest.raises(Refused, match="nothing is left to run of 3 partitions: 2023-11-04, r1 is running"):
        backfill(player, days=3, reprocess="all")
    with pytest.raises(Refused, match="2023-11-06, b1 is about to run it"):
        backfill(player, first_ns=FIRST_NS + 2 * DAY, days=3)
    body = backfill(player, days=5)
    assert (body["backfill"], body["partitions"], body["left_out"]) == ("b2", 2, 3)


def test_a_partition_whose_run_was_reopened_meanwhile_is_left_out_when_its_turn_comes():
    player = Player(daily())
    backfill(player, days=1)
    player.fail("a", run=1)
    backfill(player, first_ns=FIRST_NS, days=2, reprocess="failed", order="newest")
    assert partitions(player) == ["2023-11-04", "2023-11-05"]
    player.retry(run=1)
    finish(player, 2)
    assert [event.why for event in player.journal if isinstance(event, RunSkipped)] == [
        "b2 leaves it out: r1 is running"
    ]
    again = player.state.backfills[2]
    assert (again.status, again.partitions, again.left_out) == (BackfillStatus.DONE, 1, 1)


def test_a_backfill_is_about_what_was_due_and_not_about_what_is_to_come():
    player = Player(daily())
    first_ns = BEGINNING_NS // DAY * DAY
    body = backfill(player, first_ns=first_ns, last_ns=first_ns + 3 * DAY, max_active=9)
    assert (body["partitions"], body["left_out"]) == (1, 2)
    assert partitions(player) == ["2023-11-14"]


def test_schedules_are_taken_together_or_one_of_them():
    two = (Schedule(cron="0 6 * * *"), Schedule(interval_ns=12 * HOUR))
    player = Player(daily(schedules=two))
    assert backfill(player, days=2)["partitions"] == 6
    player = Player(daily(schedules=two))
    assert backfill(player, days=2, schedule=2)["partitions"] == 4


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"most": 2}, "these are more than 2 partitions"),
        ({"most": 0}, "a backfill is about 1 to 5000 partitions, not 0"),
        ({"schedule": 2}, "w has no schedule 2: it has 1"),
        ({"max_active": 0}, "max_active is 1 to 100, not 0"),
        ({"first_ns": FIRST_NS + 30 * DAY}, "is after"),
        ({"last_ns": FIRST_NS + 5 * HOUR}, "w is not due from"),
        ({"params": {"nothing": 1}}, "nothing"),
        ({"version": "unknown"}, "has no version"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(fields: dict[str, Any], sentence: str):
    player = Player(daily())
    with pytest.raises(Refused, match=sentence):
        backfill(player, **fields)
    assert (player.state.backfills, player.state.runs, player.state.meta.next_backfill) == ({}, {}, 1)


def test_a_workflow_without_a_schedule_has_no_partitions():
    player = Player(daily(schedules=()))
    with pytest.raises(Refused, match="has no schedule, so it has no partitions"):
        backfill(player)


def test_a_paused_backfill_makes_nothing_until_it_is_resumed():
    player = Player(daily())
    backfill(player)
    player.ask(BackfillPauseRequested, backfill=1, paused=True)
    finish(player, 1)
    player.restart()
    player.step()
    assert partitions(player) == []
    with pytest.raises(Refused, match="b1 is paused, not running"):
        player.ask(BackfillPauseRequested, backfill=1, paused=True)
    player.ask(BackfillPauseRequested, backfill=1, paused=False)
    assert partitions(player) == ["2023-11-05"]


def test_a_paused_backfill_with_nothing_left_is_done_with_its_last_run():
    player = Player(daily())
    backfill(player, days=1)
    player.ask(BackfillPauseRequested, backfill=1, paused=True)
    finish(player, 1)
    assert player.state.backfills[1].status is BackfillStatus.DONE


@pytest.mark.parametrize("kill", [False, True])
def test_to_cancel_a_backfill_cancels_its_runs_too(kill: bool):
    player = Player(daily())
    backfill(player, days=5, max_active=2)
    body = player.ask(BackfillCancelRequested, backfill=1, kill=kill)
    assert body == {"changed": 5, "dropped": 3, "runs": 2}
    assert player.stops == [("a", kill), ("a", kill)]
    player.stopped("a", run=1)
    player.stopped("a", run=2)
    assert player.status(1) is RunStatus.CANCELLED
    assert player.state.backfills[1].status is BackfillStatus.CANCELLED
    assert player.state.backfills[1].ended == {"cancelled": 2}
    assert len(player.state.runs) == 2
    with pytest.raises(Refused, match="b1 is cancelled already"):
        player.ask(BackfillCancelRequested, backfill=1)


def test_an_act_on_a_backfill_that_has_moved_on_is_refused():
    player = Player(daily())
    backfill(player)
    with pytest.raises(Refused, match="b1 is running now, it was paused when you looked"):
        player.ask(BackfillCancelRequested, backfill=1, seen=BackfillStatus.PAUSED)
    with pytest.raises(Refused, match="there is no backfill b7"):
        player.ask(BackfillPauseRequested, backfill=7, paused=True)


def test_a_run_that_is_retried_makes_its_backfill_go_on():
    player = Player(daily())
    backfill(player, days=1)
    player.fail("a", run=1)
    assert player.state.backfills[1].status is BackfillStatus.DONE
    player.retry(run=1)
    again = player.state.backfills[1]
    assert (again.status, again.active, again.finished_ns) == (BackfillStatus.RUNNING, [1], 0)
    finish(player, 1)
    assert again.status is BackfillStatus.DONE
    assert {name: count for name, count in again.ended.items() if count} == {"succeeded": 1}
    assert violations(player.machine) == []


def test_runs_that_end_at_once_make_room_within_the_batch():
    player = Player(flow(task("a", when="false"), schedules=(Schedule(cron="0 6 * * *"),)))
    backfill(player, days=5)
    assert len(partitions(player)) == 5
    assert player.state.backfills[1].status is BackfillStatus.DONE


def test_nothing_is_made_while_the_engine_drains():
    player = Player(daily())
    backfill(player)
    player.machine.drain()
    finish(player, 1)
    assert len(player.state.runs) == 1
    player.machine.drain(on=False)
    player.step()
    assert len(player.state.runs) == 2


def test_nothing_is_made_while_there_is_no_room_on_disk_and_then_it_goes_on():
    player = Player(daily())
    backfill(player)
    player.step(SpaceChanged(read_only=True))
    finish(player, 1)
    player.restart()
    player.step()
    assert list(player.state.runs) == []
    with pytest.raises(Refused, match="read-only"):
        backfill(player, days=9)
    player.step(SpaceChanged(read_only=False))
    assert list(player.state.runs) == [2]


def test_old_backfills_are_forgotten_and_those_that_go_on_are_not():
    player = Player(flow(task("a", when="false"), schedules=(Schedule(cron="0 6 * * *"),)))
    for _ in range(103):
        backfill(player, days=1, reprocess="all")
    assert list(player.state.backfills)[:1] == [3]
    assert len(player.state.backfills) == 101
