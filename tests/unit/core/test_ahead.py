"""Orders ahead of time: what may take over a claim that is in use, and what becomes of it."""

from engine.admission.lanes import HORIZON_NS
from engine.core.events import EngineStarted
from engine.model.resources import Capacity, Claim
from engine.model.status import SUCCESS, RunStatus
from engine.model.workflow import Python
from tests.support.builders import flow, task
from tests.support.stories import Player

SHORT_NS = HORIZON_NS // 6
TWO = Claim(2000)


def _followers(player: Player) -> dict[str, str]:
    """By row: the row whose claim it takes over."""
    names = {number: f"{start.task}[{start.index}]" for number, start in player.live.items()}
    return {
        names[number]: names[start.claim_from] for number, start in player.live.items() if start.claim_from in names
    }


def _one_short_row_has_ended(rows: int = 40, cpus: float = 1, **fields: object) -> Player:
    player = Player(flow(task("t", for_each=list(range(rows)), **fields)), cpus=cpus)
    player.submit()
    player.end("t[0]", SUCCESS, took_ns=SHORT_NS)
    return player


def test_nothing_goes_ahead_while_nobody_knows_how_long_it_takes():
    player = Player(flow(task("t", for_each=[1, 2, 3])), cpus=1)
    player.submit()
    assert player.running == ["t[0]"]


def test_short_rows_are_lined_up_behind_the_one_that_runs_up_to_the_horizon():
    player = _one_short_row_has_ended()
    assert player.running == [f"t[{index}]" for index in range(1, 1 + HORIZON_NS // SHORT_NS)]
    assert _followers(player)["t[2]"] == "t[1]"
    assert _followers(player)["t[3]"] == "t[2]"


def test_behind_a_row_that_takes_nearly_the_horizon_only_one_is_lined_up():
    player = Player(flow(task("t", for_each=[1, 2, 3, 4])), cpus=1)
    player.submit()
    player.end("t[0]", SUCCESS, took_ns=HORIZON_NS * 9 // 10)
    assert player.running == ["t[1]", "t[2]"]


def test_slow_rows_do_not_go_ahead():
    player = Player(flow(task("t", for_each=[1, 2, 3])), cpus=1)
    player.submit()
    player.end("t[0]", SUCCESS, took_ns=HORIZON_NS)
    assert player.running == ["t[1]"]


def test_those_with_max_parallel_do_not_go_ahead():
    assert _one_short_row_has_ended(max_parallel=1).running == ["t[1]"]


def test_single_python_tasks_go_ahead_too():
    names = [f"t{n}" for n in range(4)]
    player = Player(flow(*(task(name, action=Python("m:f")) for name in names)), cpus=1)
    player.submit()
    player.end("t0", SUCCESS, took_ns=SHORT_NS)
    assert player.running == ["t1", "t2", "t3"]


def test_work_is_spread_over_the_claims_that_are_in_use():
    player = _one_short_row_has_ended(cpus=2)
    leaders = list(_followers(player).values())
    assert len(leaders) == len(set(leaders)), "nobody is followed by two"
    assert sum(1 for start in player.live.values() if not start.claim_from) == 2


def test_only_the_holder_of_a_claim_counts_and_the_next_takes_it_over():
    player = _one_short_row_has_ended()
    assert [player.machine.cx.ledger.cpu_milli, len(player.live)] == [1000, 6]
    for row in ("t[1]", "t[2]"):
        player.end(row, SUCCESS, took_ns=SHORT_NS)
        assert player.machine.cx.ledger.cpu_milli == 1000
    player.play()
    assert player.status() is RunStatus.SUCCEEDED
    assert player.machine.cx.ledger.cpu_milli == 0


def test_what_waits_behind_a_slow_holder_is_recalled_and_its_lane_takes_nobody():
    player = _one_short_row_has_ended()
    lined_up = list(_followers(player))
    player.begin("t[1]")
    player.advance(0.2)
    assert player.recalls == lined_up
    for row in lined_up:
        player.never(row)
    assert player.running == ["t[1]"]
    player.end("t[1]", SUCCESS)
    assert player.running
    player.play()
    assert player.status() is RunStatus.SUCCEEDED


def test_a_follower_that_is_cancelled_leaves_no_gap():
    player = _one_short_row_has_ended()
    player.cancel("t[2]")
    player.stopped("t[2]")
    follower = player.attempt("t[3]").attempt
    assert player.state.attempts[follower].claim_from == player.attempt("t[1]").attempt
    assert player.machine.cx.ledger.cpu_milli == 1000


def test_nothing_goes_ahead_of_what_ranks_before_it_and_could_use_the_claim():
    small = task("small", for_each=list(range(20)), claim=Claim(1000))
    big = task("big", "gate", priority=5, claim=Claim(1000, 1))
    player = Player(flow(small, task("gate", claim=Claim(0)), big), cpus=1)
    player.submit()
    player.end("small[0]", SUCCESS, took_ns=SHORT_NS)
    player.ok("gate")
    lined_up = len(player.live)
    player.end("small[1]", SUCCESS, took_ns=SHORT_NS)
    assert "big" not in player.running
    assert len(player.live) == lined_up - 1, "the line empties, so that big gets its turn"


def test_no_claim_is_passed_on_that_the_host_has_no_more():
    player = _one_short_row_has_ended(cpus=2)
    lined_up = len(player.live)
    player.step(EngineStarted(1, Capacity(1000, 10**12), ""))
    holder = next(iter(_followers(player).values()))
    player.end(holder, SUCCESS, took_ns=SHORT_NS)
    assert len(player.live) == lined_up - 1


def test_a_pause_recalls_what_has_not_begun():
    player = _one_short_row_has_ended()
    player.pause()
    assert player.recalls == ["t[2]", "t[3]", "t[4]", "t[5]", "t[6]"]


def test_lines_are_the_same_after_a_restart():
    player = _one_short_row_has_ended()
    player.restart()
    assert [player.machine.cx.ledger.cpu_milli, len(player.state.attempts)] == [1000, 6]
    player.end("t[1]", SUCCESS, took_ns=SHORT_NS)
    assert player.machine.cx.ledger.cpu_milli == 1000
    player.play()
    assert player.status() is RunStatus.SUCCEEDED
