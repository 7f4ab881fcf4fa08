"""Blocks: short Python rows that are ordered, reported and recorded together, and still are rows of their own."""

from collections.abc import Sequence
from typing import Any

import pytest

from engine.core.context import EARLY_MAX
from engine.core.effects import AcknowledgeExit, StartAttempt, StopAttempt
from engine.core.events import AttemptLost, BlockOrdered, EngineStarted, RowsReturned, RowsSucceeded
from engine.core.unfold import unfold, unfolded_count
from engine.model.errors import IllegalTransition
from engine.model.instants import MILLISECOND
from engine.model.status import SUCCESS, Outcome, OutcomeKind, RunStatus, TaskStatus
from engine.model.workflow import Python, Quota, Retry
from tests.support.builders import Piece, flow, task
from tests.support.stories import Player, Refused, succeeded

FAILED = Outcome(OutcomeKind.FAILED, exit_code=1)
CALL = Python("m:f", {"x": "{{ item }}", "y": "fixed"})


def _rows(count: int = 100, **fields: Any) -> Piece:
    return task("t", for_each=f"{{{{ range({count}) }}}}", action=fields.pop("action", CALL), **fields)


def _known(*pieces: Piece, took_ns: int = MILLISECOND, cpus: float = 1) -> Player:
    """A run of which the first row has ended, so that it is known how long one takes."""
    player = Player(flow(*pieces), cpus=cpus)
    player.submit()
    player.end("t[0]", SUCCESS, took_ns=took_ns)
    return player


def _blocks(player: Player) -> list[StartAttempt]:
    return [start for start in player.live.values() if start.count > 1]


def _span(block: StartAttempt) -> range:
    return range(block.index, block.index + block.count)


def _status(player: Player, rows: Sequence[int]) -> set[str]:
    shown = player.rows()
    return {shown[f"t[{row}]"] for row in rows}


# --- ordering -------------------------------------------------------------------------------------------------------


def test_the_first_row_goes_alone_because_nobody_knows_how_long_it_takes():
    player = Player(flow(_rows()), cpus=1)
    player.submit()
    assert [start.count for start in player.live.values()] == [1]


def test_rows_that_are_known_to_be_short_are_ordered_as_blocks_that_follow_each_other():
    first, second, *_ = _blocks(_known(_rows()))
    assert (_span(first), _span(second)) == (range(1, 11), range(11, 21))
    assert second.attempt == first.attempt + first.count
    assert second.claim_from == first.attempt


def test_arguments_that_differ_are_columns_and_the_others_are_sent_once():
    block = _blocks(_known(_rows()))[0]
    assert isinstance(block.action, Python)
    assert block.action.args == {"y": "fixed"}
    assert block.columns == (("x", list(range(1, 11))),)


def test_any_expression_over_item_and_index_becomes_a_column():
    call = Python("m:f", {"twice": "{{ item * 2 }}", "deep": [{"at": "{{ index }}"}], "text": "row {{ item }}"})
    block = _blocks(_known(_rows(action=call)))[0]
    columns = {name: list(values) for name, values in block.columns}
    assert columns["twice"][:3] == [2, 4, 6]
    assert columns["deep"][:2] == [[{"at": 1}], [{"at": 2}]]
    assert columns["text"][0] == "row 1"


def test_slow_rows_are_ordered_one_by_one():
    player = _known(_rows(), took_ns=11 * MILLISECOND)
    assert not _blocks(player)


def test_towards_the_end_blocks_become_small_so_that_all_slots_end_together():
    player = _known(_rows(9), cpus=2)
    assert [start.count for start in player.live.values() if start.index > 1] == [1] * (len(player.live) - 1)


@pytest.mark.parametrize(
    "piece",
    [
        _rows(action=Python("m:f", isolate=True)),
        _rows(action=Python("script.py")),
        _rows(action=CALL, quota=Quota(memory_bytes=2**30)),
        _rows(action=CALL, env=(("ROW", "{{ item }}"),)),
        _rows(action=CALL, dir="{{ index }}"),
    ],
)
def test_rows_that_need_more_than_a_warm_worker_are_ordered_one_by_one(piece: Piece):
    assert not _blocks(_known(piece))


def test_a_row_whose_argument_cannot_be_rendered_fails_alone():
    call = Python("m:f", {"x": "{{ 10 // (item - 5) }}"})
    player = Player(flow(_rows(20, action=call)), cpus=1)
    player.submit()
    player.end("t[0]", SUCCESS, took_ns=MILLISECOND)
    _play(player)
    bad = [row for row, status in player.rows().items() if status != "succeeded"]
    assert bad == ["t[5]"]


def test_a_block_counts_once_among_max_parallel():
    player = _known(_rows(max_parallel=2), cpus=8)
    assert len(player.live) == 2
    assert sum(start.count for start in player.live.values()) > 2


# --- ends -----------------------------------------------------------------------------------------------------------


def _play(player: Player) -> None:
    """Everything that is ordered ends well."""
    while player.live:
        start = next(iter(player.live.values()))
        del player.live[start.attempt]
        if start.count > 1:
            player.span(start, 0, start.count)
        else:
            player.live[start.attempt] = start
            player.ok(f"{start.task}[{start.index}]" if start.index >= 0 else start.task)


def test_a_run_of_blocks_succeeds_and_gives_its_claim_back():
    player = _known(_rows(300), cpus=2)
    _play(player)
    assert player.status() is RunStatus.SUCCEEDED
    assert player.machine.cx.ledger.cpu_milli == 0
    assert set(player.rows().values()) == {"succeeded"}


def test_a_span_says_when_each_row_began_and_ended():
    player = _known(_rows())
    block = _blocks(player)[0]
    now_us = player.now_ns // 1000
    player.step(succeeded(block, 0, 3, now_us, took_us=200))
    run = player.run()
    rows = [run.row(0, block.index + at) for at in range(3)]
    assert [run.started[row] for row in rows] == [1000 * (now_us + 200 * at) for at in range(3)]
    assert [run.finished[row] for row in rows] == [1000 * (now_us + 200 * at) for at in range(1, 4)]
    assert _status(player, range(1, 4)) == {"succeeded"}
    assert _status(player, range(4, 11)) == {"running"}


def test_the_end_of_a_block_is_acknowledged_when_its_last_row_has_ended():
    player = _known(_rows())
    block = _blocks(player)[0]
    assert AcknowledgeExit(block.attempt) not in player.span(block, 0, block.count - 1).effects
    assert AcknowledgeExit(block.attempt) in player.span(block, block.count - 1, 1).effects
    assert AcknowledgeExit(block.attempt) in player.span(block, 0, block.count).effects, "and again if it is told again"


def test_what_is_told_again_changes_nothing_and_what_is_new_in_it_counts():
    player = _known(_rows())
    block = _blocks(player)[0]
    player.span(block, 0, 4)
    before = list(player.run().finished)
    changes = player.span(block, 0, 4)
    assert list(player.run().finished) == before
    assert not [event for event in changes.journal if isinstance(event, RowsSucceeded)]
    changes = player.span(block, 0, 6)
    told = [event for event in changes.journal if isinstance(event, RowsSucceeded)]
    assert [(event.offset, event.count) for event in told] == [(4, 2)]
    assert _status(player, range(1, 7)) == {"succeeded"}


def test_rows_cannot_end_before_those_in_front_of_them():
    player = _known(_rows())
    with pytest.raises(IllegalTransition):
        player.span(_blocks(player)[0], 2, 1)


def test_results_are_kept_for_those_who_look_at_them():
    total = task("sum", "t", action=Python("m:g", {"all": "{{ needs.t.results }}"}))
    player = _known(_rows(5), total)
    first = _blocks(player)
    assert first
    for block in first:
        results = tuple(str(10 * index).encode() for index in _span(block))
        player.live.pop(block.attempt)
        player.span(block, 0, block.count, results=results)
    while "sum" not in player.running:
        row = next(row for row in player.running)
        player.ok(row, result=str(10 * int(row[2:-1])).encode())
    action = player.attempt("sum").action
    assert isinstance(action, Python)
    assert action.args["all"] == [None, 10, 20, 30, 40]


def test_one_row_that_fails_is_retried_alone_and_the_rest_goes_on():
    player = _known(_rows(retry=Retry(limit=1)))
    block = _blocks(player)[0]
    player.span(block, 0, 2)
    player.end_row(block, 2, FAILED)
    player.span(block, 3, 2)
    shown = player.rows()
    assert [shown[f"t[{row}]"] for row in (2, 3, 4, 5)] == ["succeeded", "ready", "succeeded", "succeeded"]
    assert shown["t[6]"] == "running"
    assert player.tries("t[3]") == 1


def test_rows_of_different_numbers_of_tries_are_not_mixed():
    player = _known(_rows(retry=Retry(limit=1)))
    for block in _blocks(player):
        for offset in range(block.count):
            player.end_row(block, offset, FAILED)
        player.live.pop(block.attempt)
    blocks = _blocks(player)
    assert blocks
    for block in blocks:
        tries = {player.tries(f"t[{index}]") for index in _span(block)}
        assert tries == {block.number}


def test_rows_that_never_began_are_ready_again_and_the_claim_is_free_when_the_block_is_over():
    player = _known(_rows())
    for block in _blocks(player):
        player.begin_block(block)
    first, *behind = _blocks(player)
    player.pause()
    for block in reversed(behind):
        player.return_rows(block, 0)
    player.return_rows(first, 1)
    assert _status(player, range(2, 100)) == {"ready"}
    assert _status(player, [1]) == {"running"}
    assert player.machine.cx.ledger.cpu_milli == 1000
    player.span(first, 0, 1)
    assert player.machine.cx.ledger.cpu_milli == 0
    player.live.clear()
    player.resume()
    _play(player)
    assert player.status() is RunStatus.SUCCEEDED


def test_a_row_that_turns_out_slow_lets_those_behind_it_go():
    player = _known(_rows())
    first, *behind = _blocks(player)
    player.begin_block(first)
    player.span(first, 0, 2)
    player.advance(0.2)
    assert player.recalls == [*(f"t[{block.index}]" for block in behind), "t[1]"]
    for block in reversed(behind):
        player.return_rows(block, 0)
    player.return_rows(first, 3)
    assert _status(player, range(4, 100)) == {"ready"}
    assert len(player.state.attempts) == 1, "the lane takes no more until the slow row has ended"


def test_a_block_that_makes_progress_is_left_alone():
    player = _known(_rows())
    block = _blocks(player)[0]
    player.begin_block(block)
    for offset in range(4):
        player.span(block, offset, 1)
        player.advance(0.09)
    assert player.recalls == []


# --- stops ----------------------------------------------------------------------------------------------------------


def test_one_row_of_a_block_can_be_cancelled():
    player = _known(_rows())
    block = _blocks(player)[0]
    player.cancel("t[3]")
    player.span(block, 0, 2)
    player.end_row(block, 2, Outcome(OutcomeKind.CANCELLED))
    player.span(block, 3, 1)
    shown = player.rows()
    assert [shown[f"t[{row}]"] for row in (2, 3, 4, 5)] == ["succeeded", "cancelled", "succeeded", "running"]


def test_the_order_to_stop_a_row_names_it_and_is_repeated_after_a_restart():
    player = _known(_rows())
    block = _blocks(player)[0]
    player.cancel("t[3]", kill=True)
    player.restart()
    stops = [effect for effect in player.begin_block(block).effects if isinstance(effect, StopAttempt)]
    assert stops == [StopAttempt(block.attempt, kill=True, row=2)]


def test_a_row_that_is_told_to_stop_and_never_began_is_cancelled():
    player = _known(_rows())
    block = _blocks(player)[0]
    player.cancel("t[4]")
    player.return_rows(block, 1)
    assert player.rows()["t[4]"] == "cancelled"
    assert player.rows()["t[5]"] in ("ready", "running")


def test_cancelling_the_run_ends_all_rows_of_its_blocks():
    player = _known(_rows())
    player.cancel()
    for block in _blocks(player):
        player.return_rows(block, 0)
    assert player.status() is RunStatus.CANCELLED
    assert player.state.attempts == {}


def test_a_row_of_a_block_that_runs_cannot_be_marked():
    player = _known(_rows())
    with pytest.raises(Refused, match="is running"):
        player.mark(TaskStatus.SUCCEEDED, "t[2]")


# --- losses and restarts --------------------------------------------------------------------------------------------


def test_a_lost_row_runs_again_without_costing_a_retry():
    player = _known(_rows())
    block = _blocks(player)[0]
    player.span(block, 0, 1)
    player.step(AttemptLost(block.attempt + 1, player.now_ns, "its launcher died", block.attempt))
    player.return_rows(block, 2)
    shown = player.rows()
    assert shown["t[1]"] == "succeeded"
    assert shown["t[2]"] in ("ready", "running")
    assert player.run().losses[player.run().row(0, 2)] == 1


def test_a_restart_knows_how_far_a_block_has_come():
    player = _known(_rows())
    block = _blocks(player)[0]
    player.begin_block(block)
    player.span(block, 0, 4)
    player.restart()
    kept = player.state.attempts[block.attempt]
    assert (kept.done, kept.limit, kept.count) == (4, 10, 10)
    assert (kept.log.offset, kept.log.length) == (100, 20)
    player.span(block, 4, 6)
    assert block.attempt not in player.state.attempts


def test_after_a_restart_of_the_host_every_row_that_had_not_ended_is_lost():
    player = _known(_rows())
    player.step(EngineStarted(1, player.state.capacity, "first boot"))
    block = _blocks(player)[0]
    player.span(block, 0, 4)
    player.step(EngineStarted(2, player.state.capacity, "second boot"))
    losses = [player.run().losses[player.run().row(0, index)] for index in range(1, 11)]
    assert losses == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]


def test_rows_paired_with_those_of_a_block_follow_them():
    player = _known(_rows(30), task("u", "t[i]", for_each="{{ range(30) }}"))
    player.span(_blocks(player)[0], 0, 2)
    assert {player.rows()[f"u[{row}]"] for row in (0, 1, 2)} <= {"ready", "running"}
    assert player.rows()["u[3]"] == "waiting"


# --- ahead of the disk ----------------------------------------------------------------------------------------------


def test_only_a_relaxed_workflow_is_ordered_ahead_of_the_disk():
    for durability, early in (("strict", 0), ("relaxed", 1)):
        player = Player(flow(task("a"), task("b", "a"), durability=durability))
        player.submit()
        changes = player.end("a", SUCCESS)
        starts = [effect for effect in changes.effects if isinstance(effect, StartAttempt)]
        assert (len(changes.early), len(starts)) == (early, 1 - early)


def test_a_new_life_uses_no_number_that_may_have_been_given_ahead_of_the_disk():
    player = Player(flow(task("a"), task("b", "a"), durability="relaxed"))
    player.submit()
    before = player.state.meta.next_attempt
    player.step(EngineStarted(2, player.state.capacity, "boot"))
    player.ok("a")
    assert player.attempt("b").attempt >= before + EARLY_MAX


# --- what the journal says ------------------------------------------------------------------------------------------


def test_the_journal_unfolds_to_what_each_row_went_through():
    player = _known(_rows())
    block = _blocks(player)[0]
    player.span(block, 0, 3)
    ordered = next(event for event in player.journal if isinstance(event, BlockOrdered))
    rows = [one for one, _ in unfold(ordered, (1, 0, 1, 1))]
    assert unfolded_count(ordered) == len(rows) == 10
    assert [(row.attempt, row.index, row.claim_from) for row in rows][:2] == [
        (block.attempt, 1, ordered.claim_from), (block.attempt + 1, 2, block.attempt),
    ]  # fmt: skip
    told = next(event for event in player.journal if isinstance(event, RowsSucceeded))
    found = list(unfold(told, (1, 0, 1, 1)))
    assert unfolded_count(told) == len(found) == 9
    names = [type(one).__name__ for one, _ in found[:3]]
    assert names == ["AttemptStarted", "AttemptExited", "TaskFinished"]
    exits = [one for one, _ in found if type(one).__name__ == "AttemptExited"]
    assert [(one.log.offset, one.log.length) for one in exits] == [(100, 5), (105, 5), (110, 5)]
    assert [place for _, place in found[::3]] == [(1, 0, index, 1) for index in (1, 2, 3)]


def test_the_return_of_rows_is_written_down_once():
    player = _known(_rows())
    block = _blocks(player)[0]
    player.return_rows(block, 5)
    player.return_rows(block, 5)
    assert sum(isinstance(event, RowsReturned) for event in player.journal) == 1
