"""Orders on success: a task that waits for nothing but a short attempt is ordered to follow it, if that succeeds."""

from typing import Any

import pytest

from engine.admission.lanes import HORIZON_NS
from engine.core.events import AttemptOrdered, EngineStarted, RowWithdrawn
from engine.model.resources import Capacity, Claim
from engine.model.status import SUCCESS, Outcome, OutcomeKind, RunStatus
from engine.model.workflow import Command, Retry
from tests.support.builders import flow, task
from tests.support.stories import Player

SHORT_NS = HORIZON_NS // 6
FAILURE = Outcome(OutcomeKind.FAILED, exit_code=1)


def _chain(length: int = 10, **fields: object) -> Player:
    """Tasks `t0`, `t1`, ... each of which needs the one before; `t0` has ended and was short, and the run is one in
    which enough has gone well before."""
    tasks = [task("t0"), *(task(f"t{n}", f"t{n - 1}", **fields) for n in range(1, length))]
    player = Player(flow(*tasks), cpus=1)
    player.submit()
    player.run().trust = length
    player.end("t0", SUCCESS, took_ns=SHORT_NS)
    return player


def _ordered(player: Player) -> dict[str, str]:
    """What was ordered on success and has not begun: by task, the one that it follows."""
    names = {number: start.task for number, start in player.live.items()}
    return {
        start.task: names[start.claim_from]
        for start in player.live.values()
        if start.on_success and start.claim_from in names
    }


def test_a_chain_of_short_tasks_is_ordered_up_to_the_horizon():
    player = _chain()
    assert player.running == ["t1", "t2", "t3", "t4", "t5", "t6"]
    assert _ordered(player) == {"t2": "t1", "t3": "t2", "t4": "t3", "t5": "t4", "t6": "t5"}
    assert [event.on_success for event in player.journal if isinstance(event, AttemptOrdered)][-1]


def test_the_chain_goes_on_as_its_tasks_succeed():
    player = _chain()
    player.end("t1", SUCCESS, took_ns=SHORT_NS)
    assert player.running == ["t2", "t3", "t4", "t5", "t6", "t7"]
    player.play()
    assert player.status() is RunStatus.SUCCEEDED


def test_the_line_becomes_longer_with_each_success_and_begins_anew_when_something_comes_back():
    """So that orders that come to nothing never outnumber those that did not."""
    tasks = [task("t0"), *(task(f"t{n}", f"t{n - 1}") for n in range(1, 30))]
    player = Player(flow(*tasks), cpus=1)
    player.submit()
    lined_up: list[int] = []
    for number in range(5):
        player.end(f"t{number}", SUCCESS, took_ns=SHORT_NS)
        lined_up.append(len(_ordered(player)))
    assert lined_up == [2, 3, 4, 5, 5], "and never more than the horizon allows"
    player.end("t5", SUCCESS, took_ns=SHORT_NS, result=b"1")
    for behind in ("t6", "t7", "t8", "t9", "t10", "t11"):
        player.never(behind)
    assert not _ordered(player)
    player.end("t6", SUCCESS, took_ns=SHORT_NS)
    assert _ordered(player) == {"t8": "t7"}


def test_only_one_claim_is_held_by_the_chain():
    assert _chain().machine.cx.ledger.cpu_milli == 1000


def test_what_follows_a_failure_never_runs():
    player = _chain(4)
    player.end("t1", FAILURE, took_ns=SHORT_NS)
    player.never("t2")
    player.never("t3")
    assert player.rows() == {"t0": "succeeded", "t1": "failed", "t2": "upstream_failed", "t3": "upstream_failed"}
    assert player.status() is RunStatus.FAILED


def test_what_was_given_back_waits_again_until_a_retry_has_succeeded():
    player = _chain(3, retry=Retry(limit=1, delay_ns=1))
    player.end("t1", FAILURE, took_ns=SHORT_NS)
    player.never("t2")
    assert player.rows()["t2"] == "waiting"
    assert [event.task for event in player.journal if isinstance(event, RowWithdrawn)] == [2]
    player.play()
    assert player.status() is RunStatus.SUCCEEDED


def test_an_order_that_comes_back_after_the_success_is_ready_at_once():
    """Its launcher gives it back where the task before it left a result, which only the engine can judge."""
    player = _chain(3)
    player.end("t1", SUCCESS, took_ns=SHORT_NS, result=b"1")
    player.never("t2")
    assert player.running == ["t2"]
    assert not _ordered(player)


def test_a_lost_attempt_gives_back_what_followed_it():
    player = _chain(3)
    player.lose("t1")
    player.never("t2")
    assert player.running[0] == "t1"
    player.play()
    assert player.status() is RunStatus.SUCCEEDED


def test_a_restart_keeps_what_was_ordered_on_success():
    player = _chain(4)
    player.restart()
    player.never("t3")
    assert player.rows()["t3"] == "waiting", "it still waits for t2"
    player.play()
    assert player.status() is RunStatus.SUCCEEDED


def test_what_is_behind_a_slow_task_is_recalled_and_waits_again():
    player = _chain(4)
    player.begin("t1")
    player.advance(0.2)
    assert player.recalls == ["t2", "t3"]
    player.never("t2")
    player.never("t3")
    assert player.running == ["t1"]
    assert player.rows()["t2"] == "waiting"


def test_a_pause_recalls_what_has_not_begun():
    player = _chain(4)
    player.pause()
    assert player.recalls == ["t2", "t3"]


def test_a_cancelled_follower_takes_nothing_else_with_it_that_could_still_run():
    player = _chain(4)
    player.cancel("t3")
    player.stopped("t3")
    player.play()
    assert player.rows() == {"t0": "succeeded", "t1": "succeeded", "t2": "succeeded", "t3": "cancelled"}


def test_a_task_with_two_open_needs_is_not_ordered_and_with_one_it_is():
    tasks = [task("t0"), task("a", "t0"), task("b", "t0"), task("c", "a", "b")]
    player = Player(flow(*tasks), cpus=2)
    player.submit()
    player.end("t0", SUCCESS, took_ns=SHORT_NS)
    assert player.running == ["a", "b"]
    player.end("a", SUCCESS, took_ns=SHORT_NS)
    assert _ordered(player) == {"c": "b"}


@pytest.mark.parametrize(
    "fields",
    [
        {"trigger_rule": "all_done"},
        {"when": "run.number > 0"},
        {"action": Command(("echo", "{{ needs.t0.result }}"))},
        {"for_each": [1, 2]},
        {"claim": Claim(500)},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_has_more_to_ask_than_a_success_waits_for_the_end(fields: dict[str, Any]):
    player = Player(flow(task("first"), task("t0", "first"), task("t1", "t0", **fields)), cpus=1)
    player.submit()
    player.end("first", SUCCESS, took_ns=SHORT_NS)
    assert player.running == ["t0"]


def test_nothing_is_ordered_on_success_while_something_else_is_ready():
    tasks = [task("t0"), task("t1", "t0"), task("t2", "t1"), task("wide", claim=Claim(2000))]
    player = Player(flow(*tasks), cpus=2)
    player.submit()
    assert player.running == ["t0"]
    player.end("t0", SUCCESS, took_ns=SHORT_NS)
    assert not _ordered(player), "the host empties for the task that is wide"


def test_no_claim_is_passed_on_that_the_host_has_no_more():
    player = _chain(10)
    player.step(EngineStarted(1, Capacity(500, 10**12), ""))
    lined_up = len(player.live)
    player.end("t1", SUCCESS, took_ns=SHORT_NS)
    assert len(player.live) == lined_up - 1
