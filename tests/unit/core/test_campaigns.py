"""Trials in the machine: rows in the declared order, what they measure, and repeats that cost no retry."""

from typing import Any

from engine.core.events import AttemptExited, AttemptStarted, Measured, Noise, TrialRepeated
from engine.model.campaign import Campaign
from engine.model.status import SUCCESS, Outcome, OutcomeKind, RunStatus
from engine.model.workflow import Command, Python, Retry
from tests.support.builders import Piece, flow, task
from tests.support.stories import Player

LOUD = Measured({"x": 1.0}, (), Noise(0.25, 0.0, 0.0), Noise(1.0, 0.9, 0.0, {"io": 0.1}), ("others used 0.90 CPUs",))
QUIET = Measured({"x": 2.0})


def trying(*needs: str, levels: Any = (1, 9), **fields: Any) -> Piece:
    campaign = Campaign(matrix=(("level", levels),), **{"trials": 2, **fields})
    action = Command(("try", "{{ item.level }}", "{{ item.trial }}"))
    return task("try", *needs, action=action, campaign=campaign, max_parallel=1, retry=Retry(limit=0))


def end(player: Player, row: str, measured: Measured | None, outcome: Outcome = SUCCESS) -> None:
    number = player.attempt(row).attempt
    del player.live[number]
    started = AttemptStarted(number, player.now_ns, pid=1)
    player.step(started, AttemptExited(number, player.now_ns + 5, outcome, measured=measured))


def started(*pieces: Piece) -> Player:
    player = Player(flow(*pieces))
    player.submit()
    return player


def test_trials_are_rows_one_at_a_time_in_their_order() -> None:
    player = started(trying())
    seen: list[tuple[str, ...]] = []
    while player.live:
        (start,) = player.live.values()
        assert isinstance(start.action, Command)
        seen.append(start.action.argv[1:])
        end(player, f"try[{start.index}]", QUIET)
    assert seen == [("1", "1"), ("9", "1"), ("1", "2"), ("9", "2")]
    assert player.run().header.status is RunStatus.SUCCEEDED


def test_the_values_of_a_matrix_may_be_the_result_of_a_parent() -> None:
    player = started(task("list"), trying("list", levels="{{ needs.list.result }}"))
    player.ok("list", result=b"[4, 5, 6]")
    assert player.rows()["try[5]"] == "ready"
    assert player.run().items[1][0] == {"level": 4, "trial": 1}


def test_a_matrix_of_what_is_no_list_of_scalars_fails_the_task_and_says_so() -> None:
    player = started(task("list"), trying("list", levels="{{ needs.list.result }}"))
    player.ok("list", result=b"[[1]]")
    assert player.rows()["try"] == "failed"
    assert player.why("try") == "matrix: level: a value is a text, a number, true, false or null"


def test_a_disturbed_trial_goes_again_without_costing_a_retry_but_not_for_ever() -> None:
    player = started(trying(levels=(1,), trials=1, repeat_noisy=2))
    for expected in (1, 2):
        end(player, "try[0]", LOUD)
        assert player.rows() == {"try[0]": "running"}
        assert player.attempt("try[0]").number == expected + 1
        assert player.run().failures[player.run().row(0, 0)] == 0
    end(player, "try[0]", LOUD)
    assert player.rows() == {"try[0]": "succeeded"}
    assert [type(event) for event in player.journal].count(TrialRepeated) == 2


def test_a_quiet_trial_a_failed_one_and_a_warm_up_do_not_go_again() -> None:
    player = started(trying(levels=(1,), trials=2, warmups=1, repeat_noisy=5))
    end(player, "try[0]", LOUD)
    end(player, "try[1]", QUIET)
    end(player, "try[2]", LOUD, Outcome(OutcomeKind.FAILED, exit_code=1))
    assert player.rows() == {"try[0]": "succeeded", "try[1]": "succeeded", "try[2]": "failed"}
    assert not [event for event in player.journal if isinstance(event, TrialRepeated)]


def test_repeats_are_remembered_across_a_restart_and_forgotten_by_a_rerun() -> None:
    player = started(trying(levels=(1,), trials=1, repeat_noisy=1))
    end(player, "try[0]", LOUD)
    player.restart()
    end(player, "try[0]", LOUD)
    assert player.rows() == {"try[0]": "succeeded"}
    player.rerun("try[0]")
    end(player, "try[0]", LOUD)
    assert player.rows() == {"try[0]": "running"}


def test_a_cancelled_run_repeats_nothing() -> None:
    player = started(trying(levels=(1,), trials=1, repeat_noisy=1))
    player.cancel()
    end(player, "try[0]", LOUD)
    assert player.rows() == {"try[0]": "succeeded"}
    assert not player.live


def test_rows_that_measure_are_ordered_one_by_one_and_never_ahead() -> None:
    each = task(
        "each", action=Python("m:f", args={"n": "{{ item }}"}), for_each=list(range(50)), campaign=Campaign()
    )  # fmt: skip
    player = Player(flow(each), cpus=1)
    player.submit()
    player.end("each[0]", SUCCESS, took_ns=1000)
    assert all(start.count == 1 for start in player.live.values())
    eager = task("try", action=Command(("x",)), campaign=Campaign(trials=9))
    player = Player(flow(eager), cpus=1)
    player.submit()
    player.end("try[0]", SUCCESS, took_ns=1000)
    assert [start.claim_from for start in player.live.values()] == [0]
