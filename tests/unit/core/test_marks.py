"""What becomes of a task when several of its rows are marked at once."""

from engine.model.status import RunStatus, TaskStatus
from tests.support.builders import flow, task
from tests.support.stories import Player


def test_a_task_whose_rows_are_all_marked_succeeded_has_succeeded_whatever_they_were():
    player = Player(flow(task("a", for_each=[1, 2, 3]), task("b", "a")))
    player.submit()
    player.ok("a[0]")
    player.fail("a[1]", "a[2]")
    assert player.status() is RunStatus.FAILED
    player.mark(TaskStatus.SUCCEEDED, "a")
    assert player.running == ["b"]
    player.ok("b")
    assert player.status() is RunStatus.SUCCEEDED


def test_a_row_keeps_its_mark_though_a_row_that_it_needs_is_marked_with_it():
    player = Player(flow(task("a", for_each=[1, 2]), task("b", "a[i]", for_each=[1, 2])))
    player.submit()
    player.fail("a[0]", "a[1]")
    player.mark(TaskStatus.FAILED, "a", "b[1]")
    assert player.rows() == {"a[0]": "failed", "a[1]": "failed", "b[0]": "upstream_failed", "b[1]": "failed"}
    assert player.run().task_status(1) is TaskStatus.FAILED
