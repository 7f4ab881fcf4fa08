"""Priority, max_parallel and tolerate of a run that goes on."""

from typing import Any

import pytest

from engine.core.events import SettingsChangeRequested
from engine.model.instants import SECOND
from engine.model.status import RunStatus, TaskStatus
from tests.support.builders import flow, task
from tests.support.stories import Player, Refused


def change(player: Player, task: str = "", run: int = 0, **settings: int | None) -> dict[str, Any]:
    return player.ask(SettingsChangeRequested, run=run or player.newest, task=task, settings=settings)


def test_a_run_with_a_higher_priority_goes_before_older_ones():
    player = Player(flow(task("a"), task("b")), cpus=1)
    first, second = player.submit(), player.submit()
    assert change(player, run=second, priority=5) == {"changed": 1, "was": {"priority": None}, "meant": {}}
    player.ok("a", run=first)
    assert [start.run for start in player.live.values()] == [second]
    player.restart()
    player.ok("a", run=second)
    assert [start.run for start in player.live.values()] == [second]


def test_to_set_it_to_what_it_was_undoes_it():
    player = Player(flow(task("a"), task("b")), cpus=1)
    first, second = player.submit(), player.submit()
    was = change(player, run=second, priority=5)["was"]
    change(player, run=second, **was)
    assert player.run(second).header.settings == {}
    player.ok("a", run=first)
    assert [start.run for start in player.live.values()] == [first]


def test_a_task_by_itself_outranks_what_is_set_for_the_run():
    player = Player(flow(task("a"), task("b"), task("c", priority=-1)), cpus=1)
    player.submit()
    change(player, priority=3)
    assert change(player, "c", priority=7)["meant"] == {"priority": 3}
    player.ok("a")
    assert player.running == ["c"]


def test_what_waits_elsewhere_than_in_the_queue_gets_its_new_priority_too():
    """Rows of a paused run, and rows that wait for a place among max_parallel, are not in the queue."""
    player = Player(flow(task("a", for_each=[1, 2, 3], max_parallel=1), task("b")), cpus=1)
    first = player.submit()
    player.pause(first)
    player.ok("a[0]", run=first)
    second = player.submit()
    change(player, run=first, priority=9)
    player.resume(first)
    player.ok("a[0]", run=second)
    assert [start.run for start in player.live.values()] == [first]


def test_more_may_run_at_once_and_fewer_again():
    player = Player(flow(task("a", for_each=list(range(6)), max_parallel=1)))
    player.submit()
    assert player.running == ["a[0]"]
    assert change(player, "a", max_parallel=3)["meant"] == {"max_parallel": 1}
    assert player.running == ["a[0]", "a[1]", "a[2]"]
    player.restart()
    assert change(player, "a", max_parallel=2)["was"] == {"max_parallel": 3}
    player.ok("a[0]")
    assert player.running == ["a[1]", "a[2]"]
    player.ok("a[1]")
    assert player.running == ["a[2]", "a[3]"]
    change(player, "a", max_parallel=0)
    assert len(player.running) == 4


def test_more_rows_may_fail():
    player = Player(flow(task("a", for_each=[1, 2, 3], tolerate_percent=34), task("b", "a")))
    player.submit()
    assert change(player, "a", tolerate=2)["meant"] == {"tolerate": 1}
    player.fail("a[0]", "a[1]")
    player.restart()
    player.ok("a[2]")
    assert player.running == ["b"]


def test_fewer_rows_may_fail():
    player = Player(flow(task("a", for_each=[1, 2, 3], tolerate=2), task("b", "a")))
    player.submit()
    change(player, "a", tolerate=0)
    player.fail("a[0]")
    player.ok("a[1]", "a[2]")
    assert player.rows()["b"] == "upstream_failed"
    assert player.status() is RunStatus.FAILED


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("", {}, "nothing is to be set"),
        ("", {"size": 1}, "'size' cannot be set"),
        ("", {"max_parallel": 2}, "max_parallel belongs to a task"),
        ("b", {"tolerate": 2}, "b has one row: tolerate is for those with for_each"),
        ("z", {"priority": 2}, "r1 has no task 'z'"),
        ("", {"priority": 1001}, "priority is -1000 to 1000, not 1001"),
        ("a", {"max_parallel": -1}, "max_parallel is 0 to 1000000, not -1"),
        ("a", {"max_parallel": 1, "priority": None}, None),
        ("a", {"priority": None}, "r1 a has these settings already"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, settings: dict[str, int | None], sentence: str | None):
    player = Player(flow(task("a", for_each=[1, 2]), task("b")))
    player.submit()
    if sentence is None:
        assert change(player, name, **settings)["changed"] == 1
        return
    with pytest.raises(Refused, match=sentence):
        change(player, name, **settings)
    assert player.run().header.settings == {}


def test_what_has_ended_or_moved_on_is_refused():
    player = Player(flow(task("a"), task("b", "a")))
    player.submit()
    player.ok("a")
    with pytest.raises(Refused, match="a has ended"):
        change(player, "a", priority=1)
    with pytest.raises(Refused, match="r1 is running now, it was paused when you looked"):
        player.ask(SettingsChangeRequested, run=1, settings={"priority": 1}, seen=RunStatus.PAUSED)
    player.ok("b")
    with pytest.raises(Refused, match="r1 is succeeded: nothing of it is to come"):
        change(player, priority=1)


def test_a_row_that_backs_off_comes_back_with_the_new_priority():
    player = Player(flow(task("a", retry=_soon()), task("b"), task("c")), cpus=1)
    player.submit()
    player.fail("a")
    assert player.rows()["a"] == TaskStatus.BACKING_OFF.text
    change(player, "a", priority=1)
    player.advance(2)
    player.ok("b")
    assert player.running == ["a"]


def _soon() -> Any:
    from engine.model.workflow import Retry

    return Retry(limit=1, delay_ns=SECOND)
