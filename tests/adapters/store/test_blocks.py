"""Blocks on a real disk: what is kept of their rows, and how it is found again."""

import pytest

from engine.core.effects import StartAttempt
from engine.model.instants import MILLISECOND
from engine.model.status import SUCCESS, AttemptStatus, Outcome, OutcomeKind, RunStatus
from engine.model.workflow import Python, Retry
from engine.store.journal import events_page
from engine.store.load import load_state
from engine.store.queries import attempts_of, last_attempts
from engine.store.retention import Retention, RetentionSettings
from engine.store.tables import Table
from tests.adapters.store.conftest import Play
from tests.adapters.store.world import LmdbDisk
from tests.support.builders import flow, task
from tests.support.stories import Player

FAILED = Outcome(OutcomeKind.FAILED, exit_code=3)


def _known(play: Play, rows: int = 100, retry: Retry | None = None) -> tuple[Player, LmdbDisk, StartAttempt]:
    """A run whose rows are known to be short, and its first block."""
    call = Python("m:f", {"x": "{{ item }}"})
    rows_of = task("t", for_each=f"{{{{ range({rows}) }}}}", action=call, retry=retry or Retry())
    player, disk = play(flow(rows_of), cpus=1)
    player.submit()
    player.end("t[0]", SUCCESS, took_ns=MILLISECOND)
    return player, disk, next(start for start in player.live.values() if start.count > 1)


def _tables(disk: LmdbDisk) -> dict[str, int]:
    with disk.environment.read() as view:
        return {table.title: view.count(table) for table in (Table.BLOCKS, Table.SPANS, Table.ATTEMPTS, Table.LIVE)}


def test_a_block_is_one_record_while_it_lives_and_none_afterwards(play: Play) -> None:
    player, disk, block = _known(play)
    blocks = _tables(disk)["blocks"]
    assert _tables(disk)["live"] == 0
    player.span(block, 0, 3)
    assert _tables(disk)["blocks"] == blocks
    player.span(block, 3, block.count - 3)
    with disk.environment.read() as view:
        kept = [int.from_bytes(key[8:], "big") for key, _ in view.scan(Table.BLOCKS)]
    assert block.attempt not in kept


def test_the_attempt_of_a_row_is_found_in_its_span(play: Play) -> None:
    player, disk, block = _known(play)
    player.begin_block(block)
    player.span(block, 0, 3, took_us=500)
    player.span(block, 3, 2, took_us=700)
    (found,) = attempts_of(disk.environment, 1, 0, block.index + 4)
    assert (found.attempt, found.index, found.number) == (block.attempt + 4, block.index + 4, 1)
    assert (found.status, found.outcome, found.pid) == (AttemptStatus.EXITED, SUCCESS, 77)
    assert found.finished_ns - found.started_ns == 700_000
    assert (found.log.offset, found.log.length) == (120, 5)
    places = [(0, block.index + offset, 1) for offset in (0, 4, 5)]
    newest = last_attempts(disk.environment, 1, places)
    assert [one.attempt if one else None for one in newest] == [block.attempt, block.attempt + 4, None]


def test_a_row_that_failed_in_a_block_and_succeeded_in_another_has_both_attempts(play: Play) -> None:
    player, disk, block = _known(play, retry=Retry(limit=1))
    player.end_row(block, 0, FAILED)
    player.span(block, 1, block.count - 1)
    del player.live[block.attempt]
    while "t[1]" not in player.running:
        start = next(iter(player.live.values()))
        del player.live[start.attempt]
        player.span(start, 0, start.count)
    player.ok("t[1]")
    first, second = attempts_of(disk.environment, 1, 0, 1)
    assert (first.number, first.outcome) == (1, FAILED)
    assert (second.number, second.outcome) == (2, SUCCESS)


def test_a_restart_finds_the_block_where_it_was(play: Play) -> None:
    player, disk, block = _known(play)
    player.begin_block(block)
    player.span(block, 0, 4)
    player.cancel(f"t[{block.index + 6}]")
    disk.reopen()
    found = disk.load().attempts[block.attempt]
    assert found == player.state.attempts[block.attempt]
    assert (found.done, found.limit, found.stops) == (4, block.count, {6: "cancelled"})


@pytest.mark.parametrize("limit", [1, 7, 500])
def test_pages_of_events_show_each_row_and_may_end_within_a_block(play: Play, limit: int) -> None:
    player, disk, block = _known(play)
    player.span(block, 0, block.count)
    entries, cursor = [], ""
    while True:
        page = events_page(disk.environment, 1, cursor, limit)
        assert len(page.entries) <= limit
        entries += page.entries
        cursor = page.cursor
        if not page.more:
            break
    places = [(entry.revision, entry.position) for entry in entries]
    assert places == sorted(set(places))
    exits = [entry for entry in entries if type(entry.event).__name__ == "AttemptExited"]
    assert [entry.index for entry in exits] == list(range(block.index + block.count))
    ordered = {entry.attempt: entry.index for entry in entries if type(entry.event).__name__ == "AttemptOrdered"}
    assert all(ordered[entry.attempt] == entry.index for entry in exits)


def test_a_run_keeps_the_events_of_its_rows_when_the_journal_is_pruned(play: Play) -> None:
    player, disk, block = _known(play)
    player.span(block, 0, block.count)
    before = events_page(disk.environment, 1, "", 10_000).entries
    retention = Retention(RetentionSettings(journal_batches=0))
    while disk.committer.run(lambda edit: retention.step(edit, player.now_ns)).more:
        pass
    assert events_page(disk.environment, 1, "", 10_000).entries == before


def test_spans_go_with_their_run(play: Play) -> None:
    player, disk, _ = _known(play, rows=8)
    while player.live:
        start = next(iter(player.live.values()))
        del player.live[start.attempt]
        if start.count > 1:
            player.span(start, 0, start.count)
        else:
            player.live[start.attempt] = start
            player.ok(f"t[{start.index}]")
    assert player.status() is RunStatus.SUCCEEDED
    assert _tables(disk)["spans"]
    retention = Retention(RetentionSettings(runs_count=0))
    for _ in range(5):
        disk.committer.run(lambda edit: retention.step(edit, player.now_ns))
    assert _tables(disk)["spans"] == 0


def test_a_damaged_block_closes_its_run_and_not_the_engine(play: Play) -> None:
    player, disk, block = _known(play)
    player.begin_block(block)
    with disk.environment.edit() as edit:
        for key, value in list(edit.scan(Table.BLOCKS)):
            edit.put_raw(Table.BLOCKS, key, value[:-1] + bytes([value[-1] ^ 1]))
    loaded = load_state(disk.environment, disk.host)
    assert "checksum" in loaded.damage[0]
    assert loaded.state.runs == {}
    assert load_state(disk.environment, disk.host).damage == []
