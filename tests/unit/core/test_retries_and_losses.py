"""What follows a failed, lost or never started attempt."""

import pytest

from engine.core.events import AttemptNeverStarted, AttemptStarted
from engine.model.resources import Claim
from engine.model.status import Outcome, OutcomeKind, RunStatus, TaskStatus
from engine.model.workflow import Quota, Retry
from tests.support.builders import flow, task
from tests.support.stories import Player

SECOND = 10**9
GIB = 2**30
OVER_MEMORY = Outcome(OutcomeKind.OVER_QUOTA, which="memory", used=3, limit=2)
OVER_PROCESSES = Outcome(OutcomeKind.OVER_QUOTA, which="processes", used=65, limit=64)


def one(cpus: float = 100, memory: int = 10**12, **fields: object) -> Player:
    player = Player(flow(task("a", **fields)), cpus=cpus, memory=memory)
    player.submit()
    return player


def test_a_failed_task_goes_again_until_its_limit():
    player = one(retry=Retry(limit=2))
    player.fail("a")
    player.fail("a")
    assert player.running == ["a"]
    player.fail("a")
    assert player.rows() == {"a": "failed"}
    assert player.tries("a") == 3
    assert player.status() is RunStatus.FAILED


def test_a_retry_waits_for_its_delay_and_a_restart_does_not_forget_it():
    player = one(retry=Retry(limit=1, delay_ns=10 * SECOND))
    player.fail("a")
    assert player.rows() == {"a": "backing_off"}
    player.restart()
    player.advance(9)
    assert player.running == []
    assert [reason.kind for reason in player.explain("a")[2]] == ["backing_off"]
    player.advance(1)
    assert player.running == ["a"]


def test_delays_grow_by_the_backoff_up_to_the_longest():
    player = one(retry=Retry(limit=4, delay_ns=SECOND, backoff=3, max_delay_ns=5 * SECOND))
    waited: list[int] = []
    for _ in range(4):
        player.fail("a")
        waited.append(player.machine.next_due()[0] - player.now_ns)
        player.advance(5)
    assert waited == [SECOND, 3 * SECOND, 5 * SECOND, 5 * SECOND]


@pytest.mark.parametrize(
    ("policy", "outcome", "again"),
    [
        (Retry(limit=1, on=("timed_out",)), Outcome(OutcomeKind.TIMED_OUT), True),
        (Retry(limit=1, on=("timed_out",)), Outcome(OutcomeKind.FAILED, exit_code=1), False),
        (Retry(limit=1, on=("over_quota.memory",)), OVER_MEMORY, True),
        (Retry(limit=1, on=("over_quota.memory",)), OVER_PROCESSES, False),
        (Retry(limit=1, exit_codes=(3,)), Outcome(OutcomeKind.FAILED, exit_code=3), True),
        (Retry(limit=1, exit_codes=(3,)), Outcome(OutcomeKind.FAILED, exit_code=4), False),
        (Retry(limit=1, exceptions=("Busy",)), Outcome(OutcomeKind.FAILED, exception="pkg.Busy"), True),
        (Retry(limit=1, exceptions=("Busy",)), Outcome(OutcomeKind.FAILED, exception="pkg.NotBusy"), False),
        (Retry(limit=1), Outcome(OutcomeKind.CANCELLED), False),
    ],
)
def test_a_retry_speaks_of_some_outcomes_only(policy: Retry, outcome: Outcome, again: bool):
    player = one(retry=policy)
    player.end("a", outcome)
    assert player.running == (["a"] if again else [])


def test_going_over_the_memory_quota_makes_claim_and_quota_grow():
    policy = Retry(limit=5, grow=(("memory", 2.0),))
    player = one(retry=policy, claim=Claim(1000, GIB), quota=Quota(memory_bytes=2 * GIB), memory=3 * GIB)
    player.end("a", OVER_MEMORY)
    assert (player.attempt("a").claim.memory_bytes, player.attempt("a").quota.memory_bytes) == (2 * GIB, 3 * GIB)
    player.restart()
    player.end("a", OVER_MEMORY)
    assert player.attempt("a").claim.memory_bytes == 3 * GIB  # never more than the host has
    player.ok("a")
    assert player.status() is RunStatus.SUCCEEDED


def test_only_the_quota_that_was_exceeded_grows():
    player = one(retry=Retry(limit=5, grow=(("memory", 2.0),)), claim=Claim(1000, GIB))
    player.end("a", OVER_PROCESSES)
    assert player.attempt("a").claim.memory_bytes == GIB


def test_any_quota_grows_that_is_named_and_a_restart_remembers_how_often():
    policy = Retry(limit=5, grow=(("disk", 2.0), ("processes", 3.0)))
    player = one(retry=policy, quota=Quota(processes=2, disk_bytes=100))
    player.end("a", OVER_PROCESSES)
    player.end("a", Outcome(OutcomeKind.OVER_QUOTA, which="disk", used=200, limit=100))
    player.restart()
    player.end("a", Outcome(OutcomeKind.OVER_QUOTA, which="disk", used=300, limit=200))
    quota = player.attempt("a").quota
    assert (quota.processes, quota.disk_bytes) == (6, 400)
    player.ok("a")
    assert player.run().header.grown == {}


def test_a_grown_row_waits_until_its_larger_claim_fits_whatever_else_is_queued_for_it():
    """A row that was marked and retried while it was ready is queued twice; neither entry may start it too early."""
    grow = Retry(limit=3, grow=(("memory", 2.0),))
    player = Player(
        flow(
            task("hog", claim=Claim(1000, GIB), priority=1),
            task("a", for_each=[1, 2], retry=grow, claim=Claim(1000, GIB)),
        ),
        memory=2 * GIB,
    )
    player.submit()
    assert player.running == ["hog", "a[0]"]
    player.mark(TaskStatus.FAILED, "a[1]")
    player.retry("a[1]")
    player.ok("hog")
    player.end("a[1]", OVER_MEMORY)
    assert player.running == ["a[0]"]
    player.ok("a[0]")
    assert player.attempt("a[1]").claim.memory_bytes == 2 * GIB
    player.ok("a[1]")
    assert player.status() is RunStatus.SUCCEEDED


def test_the_numbers_of_a_row_s_attempts_are_bounded():
    player = one()
    player.run().tries[0] = 65_535
    player.live.clear()
    number = next(iter(player.state.attempts))
    player.machine.cx.changes.chunks.add((1, 0))
    player.disk.commit(player.machine.cx.changes, player.state)
    player.step(AttemptNeverStarted(number, "a launcher that never can"))
    assert player.rows() == {"a": "failed"}
    assert player.why("a") == "it was ordered 65535 times: run it anew in another run"


def test_more_failures_than_can_be_counted_are_enough():
    player = one(retry=Retry(limit=1000))
    player.run().failures[0] = 254  # as after 254 failures
    player.fail("a")
    assert player.rows() == {"a": "failed"}


# --- losses ---------------------------------------------------------------------------------------------------------


def test_a_lost_attempt_goes_again_and_costs_no_retry():
    player = one()
    player.lose("a")
    assert player.running == ["a"]
    assert player.attempt("a").number == 2
    player.ok("a")
    assert player.status() is RunStatus.SUCCEEDED


def test_the_third_loss_in_a_row_fails_the_task():
    player = one(retry=Retry(limit=9))
    player.lose("a")
    player.lose("a")
    player.fail("a")
    player.lose("a")
    player.lose("a")
    assert player.running == ["a"]
    player.lose("a")
    assert player.rows() == {"a": "failed"}
    assert player.why("a") == "lost 3 times in a row; the last time: the launcher died"


def test_a_task_that_holds_is_not_run_again_after_a_loss():
    player = one(on_lost="hold")
    player.lose("a")
    assert player.rows() == {"a": "failed"}
    assert "on_lost is hold" in player.why("a")
    player.retry("a")
    player.ok("a")
    assert player.status() is RunStatus.SUCCEEDED


def test_an_attempt_that_never_started_costs_nothing():
    player = one()
    for _ in range(10):
        player.never("a")
    assert player.running == ["a"]
    assert (player.run().failures[0], player.run().losses[0]) == (0, 0)
    player.ok("a")
    assert player.status() is RunStatus.SUCCEEDED


def test_an_attempt_that_was_seen_to_run_and_is_said_never_to_have_started_is_lost():
    player = one()
    number = player.attempt("a").attempt
    player.step(AttemptStarted(number, player.now_ns, pid=5))
    player.never("a")
    assert player.run().losses[0] == 1
    assert player.running == ["a"]


def test_a_recalled_attempt_of_a_cancelled_row_ends_as_cancelled():
    player = one()
    player.cancel()
    player.never("a")
    assert player.rows() == {"a": "cancelled"}
    assert player.status() is RunStatus.CANCELLED


def test_late_and_repeated_reports_change_nothing():
    player = one()
    start = player.attempt("a")
    player.ok("a")
    player.live[start.attempt] = start
    player.fail("a")
    player.live[start.attempt] = start
    player.lose("a")
    player.step(AttemptStarted(start.attempt, player.now_ns, pid=7))
    assert player.rows() == {"a": "succeeded"}
    assert player.status() is RunStatus.SUCCEEDED


def test_a_result_that_is_not_json_is_a_failure_that_says_so():
    player = one()
    player.ok("a", result=b"{oops")
    assert player.rows() == {"a": "failed"}
