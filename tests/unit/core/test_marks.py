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
