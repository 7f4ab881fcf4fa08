"""What operators do: pause, resume, cancel, kill, retry, rerun, mark."""

import pytest

from engine.core.events import (
    Ask,
    AttemptExited,
    AttemptStarted,
    CancelRequested,
    MarkRequested,
    RerunRequested,
    RetryRequested,
    RowRef,
    RunPauseRequested,
    RunResumeRequested,
    WorkflowPauseRequested,
)
from engine.model.status import Outcome, OutcomeKind, RunStatus, TaskStatus
from engine.model.workflow import Retry
from tests.support.builders import flow, task
from tests.support.stories import Player, Refused

SECOND = 10**9
DIAMOND = (task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"))


def started(*tasks: object, **fields: object) -> Player:
    player = Player(flow(*tasks), **fields)  # pyright: ignore[reportArgumentType]
    player.submit()
    return player


# --- pause and resume -----------------------------------------------------------------------------------------------


def test_a_paused_run_orders_nothing_new_and_goes_on_where_it_was():
    player = started(*DIAMOND)
    player.pause()
    player.ok("a")
    assert player.running == []
    assert player.status() is RunStatus.PAUSED
    assert [reason.kind for reason in player.explain("b")[2]] == ["run_paused"]
    player.resume()
    assert player.running == ["b", "c"]
    player.play()
    assert player.status() is RunStatus.SUCCEEDED


def test_a_paused_run_whose_last_attempt_ends_is_over():
    player = started(task("a"))
    player.pause()
    player.ok("a")
    assert player.status() is RunStatus.SUCCEEDED


def test_only_a_run_that_goes_on_can_be_paused_and_only_a_paused_one_resumed():
    player = started(task("a"))
    with pytest.raises(Refused, match="not paused"):
        player.resume()
    player.pause()
    with pytest.raises(Refused, match="only a queued or running run can be paused"):
        player.pause()
    player.resume()
    player.play()
    with pytest.raises(Refused, match="is succeeded"):
        player.pause()


def test_a_paused_run_stays_paused_over_a_restart():
    player = started(*DIAMOND)
    player.pause()
    player.ok("a")
    player.restart()
    assert player.step().effects == []
    player.resume()
    player.play()
    assert player.status() is RunStatus.SUCCEEDED


# --- cancel and kill ------------------------------------------------------------------------------------------------


def test_cancelling_stops_what_runs_and_ends_what_has_not_begun():
    player = started(*DIAMOND)
    player.ok("a")
    player.cancel()
    assert player.stops == [("b", False), ("c", False)]
    assert player.rows() == {"a": "succeeded", "b": "running", "c": "running", "d": "cancelled"}
    assert player.status() is RunStatus.CANCELLING
    player.stopped("b")
    player.fail("c", code=143)
    assert player.rows()["c"] == "cancelled"
    assert player.status() is RunStatus.CANCELLED


def test_an_attempt_that_succeeds_while_it_is_stopped_has_succeeded():
    player = started(task("a"), task("b", "a"))
    player.cancel()
    player.ok("a")
    assert player.rows() == {"a": "succeeded", "b": "cancelled"}


def test_a_cancel_can_be_followed_by_a_kill():
    player = started(task("a"))
    player.cancel()
    player.cancel(kill=True)
    assert player.stops == [("a", False), ("a", True)]


@pytest.mark.parametrize("kill", [False, True])
def test_an_order_to_stop_that_was_lost_with_the_engine_is_given_again(kill: bool):
    player = started(task("a"))
    player.cancel(kill=kill)
    player.restart()
    player.stops.clear()
    player.step(AttemptStarted(player.attempt("a").attempt, player.now_ns, pid=7))
    assert player.stops == [("a", kill)]


def test_cancelling_a_finished_run_is_refused():
    player = started(task("a"))
    player.play()
    with pytest.raises(Refused, match="r1 is succeeded already"):
        player.cancel()


def test_one_row_can_be_cancelled_while_the_others_go_on():
    player = started(task("a", for_each=[1, 2, 3]), task("b", "a"))
    player.cancel("a[1]")
    player.stopped("a[1]")
    player.ok("a[0]", "a[2]")
    assert player.rows() == {"a[0]": "succeeded", "a[1]": "cancelled", "a[2]": "succeeded", "b": "upstream_failed"}
    assert player.status() is RunStatus.FAILED


def test_rows_that_wait_for_a_delay_are_cancelled_with_the_run():
    player = started(task("a", retry=Retry(limit=1, delay_ns=10 * SECOND)))
    player.fail("a")
    player.cancel()
    assert player.status() is RunStatus.CANCELLED
    player.advance(20)
    assert player.running == []


def test_a_lost_attempt_that_was_told_to_stop_is_cancelled():
    player = started(task("a"))
    for _ in range(2):
        player.lose("a")
    player.cancel()
    player.lose("a")
    assert player.rows() == {"a": "cancelled"}


# --- teardown -------------------------------------------------------------------------------------------------------

GUARDED = (
    task("up", setup=True),
    task("work", "up"),
    task("down", "work", teardown_for=("up",), trigger_rule="all_done_setup_success"),
)


def test_a_teardown_runs_when_the_run_is_cancelled():
    player = started(*GUARDED)
    player.ok("up")
    player.cancel()
    player.stopped("work")
    assert player.running == ["down"]
    player.ok("down")
    assert player.status() is RunStatus.CANCELLED


def test_a_teardown_does_not_run_when_the_run_is_killed():
    player = started(*GUARDED)
    player.ok("up")
    player.cancel(kill=True)
    player.stopped("work")
    assert player.running == []
    assert player.rows()["down"] == "cancelled"
    assert player.status() is RunStatus.CANCELLED


def test_a_teardown_of_a_cancelled_run_keeps_its_retries():
    player = started(
        task("up", setup=True),
        task("work", "up"),
        task("down", "work", teardown_for=("up",), trigger_rule="all_done_setup_success", retry=Retry(limit=1)),
    )
    player.ok("up")
    player.cancel()
    player.stopped("work")
    player.fail("down")
    assert player.running == ["down"]
    player.ok("down")
    assert player.status() is RunStatus.CANCELLED


def test_a_killed_run_that_is_retried_and_cancelled_runs_its_teardown():
    player = started(*GUARDED)
    player.ok("up")
    player.cancel(kill=True)
    player.stopped("work")
    player.retry()
    player.cancel()
    player.stopped("work")
    assert player.running == ["down"]


def test_a_failed_teardown_does_not_fail_the_run():
    player = started(*GUARDED)
    player.ok("up", "work")
    player.fail("down")
    assert player.status() is RunStatus.SUCCEEDED


def test_a_retry_behind_a_teardown_sets_up_and_tears_down_again():
    player = started(*GUARDED)
    player.ok("up")
    player.fail("work")
    player.ok("down")
    assert player.status() is RunStatus.FAILED
    player.order.clear()
    player.retry("work")
    player.play()
    assert player.order == ["up", "work", "down"]
    assert player.status() is RunStatus.SUCCEEDED


def test_a_setup_that_still_runs_is_not_disturbed_by_a_retry_behind_an_early_teardown():
    player = started(
        task("up", setup=True),
        task("other"),
        task("down", "other", teardown_for=("up",), trigger_rule="one_failed"),
    )
    player.fail("other")
    player.ok("down")
    assert player.running == ["up"]
    player.retry("other")
    assert player.running == ["up", "other"]
    player.play()
    assert player.status() is RunStatus.SUCCEEDED


def test_what_was_ready_behind_a_setup_that_goes_again_waits_for_it():
    player = started(
        task("up", setup=True),
        task("other", "up"),
        task("down", "other", teardown_for=("up",), trigger_rule="one_failed"),
        task("ready", "up", priority=-1),
        cpus=1,
    )
    player.ok("up")
    player.fail("other")
    player.pause()
    player.ok("down")
    assert player.rows()["ready"] == "ready"
    player.retry("other")
    assert player.rows()["ready"] == "waiting"
    player.resume()
    assert player.running == ["up"]
    player.play()
    assert player.status() is RunStatus.SUCCEEDED


# --- retry ----------------------------------------------------------------------------------------------------------


def test_a_retry_goes_on_from_the_failure_and_leaves_what_succeeded():
    player = started(*DIAMOND)
    player.ok("a", "b")
    player.fail("c")
    assert player.rows()["d"] == "upstream_failed"
    assert player.status() is RunStatus.FAILED
    assert player.retry() == {"changed": 2, "refused": []}
    assert player.running == ["c"]
    assert player.status() is RunStatus.RUNNING
    player.play()
    assert player.status() is RunStatus.SUCCEEDED
    assert (player.tries("b"), player.tries("c"), player.tries("d")) == (1, 2, 1)


def test_what_was_ready_behind_a_task_that_is_retried_waits_for_it_again():
    player = started(task("a"), task("b", "a", trigger_rule="all_done"), task("x"), task("y"), cpus=2)
    player.know(flow(task("hog"), name="hogs"))
    player.fail("a")
    assert player.rows()["b"] == "ready"
    player.retry("a")
    assert player.rows()["b"] == "waiting"
    player.ok("x", "y")
    assert "b" not in player.running
    player.ok("a")
    assert player.running == ["b"]


def test_a_retry_of_a_run_in_which_nothing_failed_is_refused():
    player = started(task("a"))
    with pytest.raises(Refused, match="r1 has nothing to retry"):
        player.retry()
    player.ok("a")
    with pytest.raises(Refused, match="r1 has nothing to retry: a is succeeded"):
        player.retry("a")


def test_rows_that_have_moved_on_are_refused_one_by_one():
    player = started(task("a", for_each=[1, 2, 3]))
    player.fail("a[0]", "a[1]")
    refs = (
        RowRef("a", 0, TaskStatus.FAILED, 1),
        RowRef("a", 1, TaskStatus.RUNNING),
        RowRef("a", 2, TaskStatus.FAILED),
    )
    answer = player.retry(*refs, RowRef("a", 1, TaskStatus.FAILED, 7))
    assert answer["changed"] == 1
    assert answer["refused"] == [
        {"row": "a[1]", "why": "is failed now, it was running when you looked"},
        {"row": "a[2]", "why": "is running now, it was failed when you looked"},
        {"row": "a[1]", "why": "is at attempt 1 now, it was at 7 when you looked"},
    ]
    assert player.running == ["a[2]", "a[0]"]


def test_rows_and_tasks_that_do_not_exist_are_named():
    player = started(task("a", for_each=[1]), task("b"))
    for row, sentence in (("zz", "no task 'zz'"), ("a[5]", "a has no item 5: it has 1"), ("b[0]", "b has no items")):
        with pytest.raises(Refused, match=sentence) as refusal:
            player.cancel(row)
        assert refusal.value.code == "not_found"
    with pytest.raises(Refused, match="there is no run r9"):
        player.cancel(run=9)


def test_a_list_that_could_not_be_made_is_made_again_by_a_retry():
    player = started(task("a"), task("b", "a", for_each="{{ needs.a.result }}"))
    player.ok("a", result=b"5")
    assert player.rows() == {"a": "succeeded", "b": "failed"}
    assert player.retry()["changed"] == 1
    assert player.status() is RunStatus.FAILED
    player.rerun("a")
    player.ok("a", result=b"[1, 2]")
    assert player.running == ["b[0]", "b[1]"]


# --- rerun ----------------------------------------------------------------------------------------------------------


def test_a_rerun_runs_everything_downstream_again():
    player = started(*DIAMOND)
    player.play()
    player.order.clear()
    player.rerun("b")
    player.play()
    assert player.order == ["b", "d"]
    assert player.status() is RunStatus.SUCCEEDED


def test_a_rerun_is_refused_while_anything_of_it_runs():
    player = started(*DIAMOND)
    player.ok("a")
    with pytest.raises(Refused, match="b is running"):
        player.rerun("a")


def test_a_rerun_expands_anew_and_never_uses_the_number_of_an_attempt_twice():
    player = started(task("a"), task("b", "a", for_each="{{ needs.a.result }}"), task("c", "b"))
    player.ok("a", result=b"[1, 2, 3]")
    player.ok("b[0]")
    player.fail("b[1]")
    player.ok("b[2]")
    player.retry("b[1]")
    player.ok("b[1]", "c")
    numbers = {("b", index): {1} for index in range(3)} | {("b", 1): {1, 2}}
    player.rerun("a")
    assert player.rows() == {"a": "running", "b": "waiting", "c": "waiting"}
    player.ok("a", result=b"[7, 8]")
    for start in player.live.values():
        assert start.number not in numbers[start.task, start.index]
    player.restart()
    player.play()
    assert player.rows() == {"a": "succeeded", "b[0]": "succeeded", "b[1]": "succeeded", "c": "succeeded"}


def test_the_delay_of_a_row_that_a_rerun_has_dropped_makes_nothing_ready():
    player = started(
        task("a"), task("b", "a", for_each="{{ needs.a.result }}", retry=Retry(limit=1, delay_ns=10 * SECOND))
    )
    player.ok("a", result=b"[1]")
    player.fail("b[0]")
    player.rerun("a")
    player.advance(20)
    assert player.running == ["a"]
    player.ok("a", result=b"[1]")
    player.play()
    assert player.status() is RunStatus.SUCCEEDED


def test_a_ready_row_that_a_rerun_has_dropped_is_not_ordered():
    player = started(
        task("a"), task("b", "a", for_each="{{ needs.a.result }}"), task("z", trigger_rule="always"), cpus=1
    )
    assert player.running == ["a"]
    player.ok("a", result=b"[1, 2, 3]")
    player.ok(player.running[0])
    player.pause()
    player.play()
    assert player.rows()["b[2]"] == "ready"
    player.rerun("a")
    player.resume()
    player.ok("a", result=b"[1]")
    player.play()
    assert player.status() is RunStatus.SUCCEEDED
    assert player.order == ["a", "z", "b[0]", "a", "b[0]"]


def test_an_old_result_is_not_seen_after_a_rerun_without_one():
    player = started(task("a"), task("b", "a", trigger_rule="all_done", env=(("SEEN", "{{ needs.a.result }}"),)))
    player.ok("a", result=b"5")
    assert dict(player.attempt("b").env)["SEEN"] == "5"
    player.ok("b")
    player.rerun("a")
    player.fail("a")
    assert dict(player.attempt("b").env)["SEEN"] == "null"
    player.ok("b")
    player.rerun("a")
    player.ok("a")
    assert dict(player.attempt("b").env)["SEEN"] == "null"
    player.restart()
    assert player.run().results.get((0, -1)) is None


def test_a_task_whose_list_could_not_be_made_can_be_rerun():
    player = started(task("a"), task("b", "a", for_each="{{ needs.a.result }}"), task("c", "b"))
    player.ok("a", result=b"5")
    assert player.rerun("b")["changed"] == 1
    assert player.why("b") == "for_each: for_each gave a number, not a list"
    assert player.rows() == {"a": "succeeded", "b": "failed", "c": "upstream_failed"}


def test_a_skipped_list_that_is_rerun_brings_back_what_was_skipped_with_it():
    player = started(task("a"), task("b", "a", for_each=[1], trigger_rule="all_failed"), task("c", "b"))
    player.ok("a")
    assert player.rows() == {"a": "succeeded", "b": "skipped", "c": "skipped"}
    player.rerun("b")
    assert player.rows() == {"a": "succeeded", "b": "skipped", "c": "skipped"}
    assert player.status() is RunStatus.SUCCEEDED


def test_the_outcome_that_a_condition_sees_is_that_of_this_life_of_the_task():
    seen = "needs.b.outcome == 'failed' and needs.b.exit_code == 4"
    player = started(task("a"), task("b", "a"), task("c", "b", trigger_rule="all_done", when=seen))
    player.ok("a")
    player.fail("b", code=4)
    player.ok("c")
    player.rerun("a")
    player.fail("a")
    assert player.rows() == {"a": "failed", "b": "upstream_failed", "c": "skipped"}
    player.mark(TaskStatus.FAILED, "b")
    assert player.rows()["c"] == "skipped"


def test_a_condition_sees_that_a_task_was_lost():
    player = started(task("a"), task("b", "a", trigger_rule="all_done", when="needs.a.outcome == 'lost'"))
    for _ in range(3):
        player.lose("a")
    assert player.rows() == {"a": "failed", "b": "running"}


# --- mark -----------------------------------------------------------------------------------------------------------


def test_marking_a_failure_as_succeeded_brings_back_what_it_held_up():
    player = started(*DIAMOND)
    player.ok("a", "b")
    player.fail("c")
    player.mark(TaskStatus.SUCCEEDED, "c")
    assert player.running == ["d"]
    assert player.why("c") == "marked succeeded by engine"
    player.ok("d")
    assert player.status() is RunStatus.SUCCEEDED


def test_marking_as_failed_gives_up_what_waits_for_it():
    player = started(task("a"), task("b", "a"), task("c"), task("d", "b", "c"))
    player.ok("a")
    with pytest.raises(Refused, match="b is running"):
        player.mark(TaskStatus.FAILED, "b")
    player.mark(TaskStatus.FAILED, "d")
    player.ok("b", "c")
    assert player.rows()["d"] == "failed"
    assert player.status() is RunStatus.FAILED


def test_a_row_can_only_be_marked_succeeded_or_failed():
    player = started(task("a"), task("b", "a"))
    with pytest.raises(Refused, match="cannot be marked skipped"):
        player.mark(TaskStatus.SKIPPED, "b")


def test_rows_of_a_for_each_can_be_marked_one_by_one():
    player = started(task("a", for_each=[1, 2]), task("b", "a"))
    player.fail("a[0]", "a[1]")
    player.mark(TaskStatus.SUCCEEDED, "a[0]")
    assert player.rows()["b"] == "upstream_failed"
    player.mark(TaskStatus.SUCCEEDED, "a[1]")
    player.ok("b")
    assert player.status() is RunStatus.SUCCEEDED


def test_a_run_that_is_being_cancelled_takes_no_retry_rerun_or_mark():
    player = started(task("a"), task("b", "a"))
    player.cancel()
    for act in (lambda: player.retry("b"), lambda: player.rerun("b"), lambda: player.mark(TaskStatus.FAILED, "b")):
        with pytest.raises(Refused, match="r1 is being cancelled"):
            act()


def test_a_run_that_ends_and_is_reopened_in_one_batch_is_not_called_finished():
    player = started(task("a"), task("b", "a"))
    number = player.attempt("a").attempt
    player.live.clear()
    changes = player.step(
        AttemptExited(number, player.now_ns, Outcome(OutcomeKind.FAILED, exit_code=1)), RetryRequested(Ask(1), run=1)
    )
    assert changes.finished_runs == set()
    assert player.status() is RunStatus.RUNNING


def test_rows_behind_a_task_that_is_marked_failed_together_with_one_of_them_do_not_start():
    player = started(task("a"), task("b", "a", for_each=[1, 2, 3], max_parallel=1))
    player.ok("a")
    player.mark(TaskStatus.FAILED, "a", "b[1]")
    player.ok("b[0]")
    assert player.rows() == {"a": "failed", "b[0]": "succeeded", "b[1]": "failed", "b[2]": "upstream_failed"}


def test_a_task_that_never_had_rows_can_be_marked():
    player = started(task("a"), task("b", "a", for_each="{{ needs.a.result }}"), task("c", "b"))
    player.ok("a", result=b"5")
    assert player.rows()["c"] == "upstream_failed"
    assert player.mark(TaskStatus.SUCCEEDED, "b")["changed"] == 1
    assert player.why("b") == "marked succeeded by engine"
    assert player.running == ["c"]
    player.restart()
    player.ok("c")
    assert player.status() is RunStatus.SUCCEEDED


# --- requests -------------------------------------------------------------------------------------------------------


def test_a_repeated_request_does_nothing_twice_and_gets_the_same_answer():
    player = Player(flow(task("a")))
    first = player.submit(request_id="x1")
    assert player.submit(request_id="x1") == first
    assert player.submit(request_id="x2") == first + 1
    player.restart()
    assert player.submit(request_id="x1") == first
    assert list(player.state.runs) == [1, 2]


def test_a_refused_request_is_in_the_audit_and_changes_nothing_else():
    player = started(task("a"))
    with pytest.raises(Refused):
        player.resume()
    changes = player.step(RunResumeRequested(Ask(9), run=1))
    assert [(entry.verb, entry.target, entry.result) for entry in changes.audit] == [("resume", "r1", "conflict")]
    assert (changes.journal, changes.runs, changes.chunks) == ([], set(), set())


def test_the_note_of_an_act_is_in_the_audit_whether_it_was_accepted_or_refused():
    player = started(task("a"))
    row = (RowRef("a"),)
    acts = [
        *(RunPauseRequested(Ask(), run=1, note=note) for note in ("n1", "n2")),
        *(RunResumeRequested(Ask(), run=1, note=note) for note in ("n3", "n4")),
        RetryRequested(Ask(5), run=1, note="n5"),
        RerunRequested(Ask(6), run=1, rows=row, note="n6"),
        MarkRequested(Ask(7), run=1, rows=row, status=TaskStatus.FAILED, note="n7"),
    ]
    audit = player.step(*acts).audit
    player.fail("a")
    audit += player.step(RetryRequested(Ask(8), run=1, note="n8")).audit
    player.ok("a")
    audit += player.step(RerunRequested(Ask(9), run=1, rows=row, note="n9")).audit
    player.ok("a")
    for note in ("", "n10"):
        audit += player.step(MarkRequested(Ask(10), run=1, rows=row, status=TaskStatus.FAILED, note=note)).audit
    assert [(entry.verb, entry.result, entry.note) for entry in audit] == [
        ("pause", "accepted", "n1"), ("pause", "conflict", "n2"), ("resume", "accepted", "n3"),
        ("resume", "conflict", "n4"), ("retry", "conflict", "n5"), ("rerun", "conflict", "n6"),
        ("mark", "conflict", "n7"), ("retry", "accepted", "n8"), ("rerun", "accepted", "n9"),
        ("mark", "accepted", "failed"), ("mark", "accepted", "failed: n10"),
    ]  # fmt: skip


def test_the_audit_names_a_refused_kill_and_resume_as_the_operator_said_them():
    player = started(task("a"))
    kill = CancelRequested(Ask(9), run=1, kill=True, seen=RunStatus.PAUSED)
    resume = WorkflowPauseRequested(Ask(9), "nothing", paused=False)
    assert [entry.verb for entry in player.step(kill, resume).audit] == ["kill", "resume"]
