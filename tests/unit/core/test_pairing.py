"""same_index: row i of one task waits for row i of another, and for nothing else of it."""

from engine.model.status import RunStatus, TaskStatus
from tests.support.builders import flow, task
from tests.support.stories import Player

THREE = [10, 20, 30]


def chain(**fields: object) -> Player:
    player = Player(flow(task("a", for_each=THREE, **fields), task("b", "a[i]", for_each=THREE), task("c", "b")))
    player.submit()
    return player


def test_a_row_goes_as_soon_as_the_row_it_is_paired_with_has_succeeded():
    player = chain()
    player.ok("a[1]")
    assert player.running == ["a[0]", "a[2]", "b[1]"]
    player.ok("b[1]", "a[0]")
    assert player.running == ["a[2]", "b[0]"]
    player.ok("b[0]", "a[2]", "b[2]")
    assert player.running == ["c"]
    player.ok("c")
    assert player.status() is RunStatus.SUCCEEDED


def test_pairs_of_pairs_go_through_without_waiting_for_each_other():
    player = Player(
        flow(task("a", for_each=THREE), task("b", "a[i]", for_each=THREE), task("c", "b[i]", for_each=THREE))
    )
    player.submit()
    player.ok("a[2]", "b[2]", "c[2]")
    assert player.running == ["a[0]", "a[1]"]


def test_one_failing_row_takes_only_its_own_pair_with_it():
    player = chain()
    player.fail("a[0]")
    player.ok("a[1]", "a[2]", "b[1]", "b[2]")
    assert player.rows() == {
        "a[0]": "failed", "a[1]": "succeeded", "a[2]": "succeeded",
        "b[0]": "upstream_failed", "b[1]": "succeeded", "b[2]": "succeeded",
        "c": "upstream_failed",
    }  # fmt: skip
    assert player.status() is RunStatus.FAILED


def test_a_retry_of_one_row_brings_back_its_pair_and_nothing_else():
    player = chain()
    player.fail("a[0]")
    player.ok("a[1]", "a[2]", "b[1]", "b[2]")
    player.retry("a[0]")
    assert player.running == ["a[0]"]
    player.ok("a[0]", "b[0]", "c")
    assert player.status() is RunStatus.SUCCEEDED
    assert player.tries("b[1]") == 1


def test_a_rerun_of_one_row_runs_its_pair_again_and_what_gathers_them():
    player = chain()
    player.play()
    player.order.clear()
    player.rerun("a[1]")
    player.play()
    assert player.order == ["a[1]", "b[1]", "c"]
    assert player.tries("a[1]") == 2
    assert player.tries("b[0]") == 1


def test_lists_of_different_lengths_cannot_be_paired_and_the_task_says_so():
    player = Player(flow(task("a", for_each=THREE), task("b", "a[i]", for_each=[1, 2])))
    player.submit()
    player.play()
    assert player.rows()["b"] == "failed"
    assert player.why("b") == "for_each: it has 2 items but a, its same_index need, has 3"
    assert player.status() is RunStatus.FAILED


def test_a_pair_waits_for_its_other_needs_as_well():
    player = Player(flow(task("a", for_each=THREE), task("x"), task("b", "a[i]", "x", for_each=THREE)))
    player.submit()
    player.ok("a[0]")
    assert player.rows()["b"] == "waiting"
    player.ok("x")
    assert player.running == ["a[1]", "a[2]", "b[0]"]


def test_a_task_paired_with_one_that_has_no_rows_is_skipped():
    player = Player(flow(task("a", for_each=[]), task("b", "a[i]", for_each=[])))
    player.submit()
    assert player.rows() == {"a": "skipped", "b": "skipped"}
    assert player.status() is RunStatus.SUCCEEDED


def test_a_mapped_teardown_of_a_paired_setup_that_failed_does_not_run_for_that_row():
    player = Player(
        flow(
            task("up", for_each=[1, 2], setup=True),
            task("down", "up[i]", for_each=[1, 2], teardown_for=("up",), trigger_rule="all_done_setup_success"),
        )
    )
    player.submit()
    player.fail("up[0]")
    player.ok("up[1]")
    assert player.running == ["down[1]"]
    player.ok("down[1]")
    assert player.rows()["down[0]"] == TaskStatus.UPSTREAM_FAILED.text


def test_a_rerun_of_a_task_and_one_of_its_pairs_reopens_all_pairs():
    player = Player(flow(task("up", for_each=[1, 2]), task("down", "up[i]", for_each=[1, 2])))
    player.submit()
    player.play()
    player.rerun("down[1]", "up")
    assert player.running == ["up[0]", "up[1]"]
    assert [player.rows()["down[0]"], player.rows()["down[1]"]] == ["waiting", "waiting"]
