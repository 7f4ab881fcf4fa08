"""Backfills on disk, the runs of a due instant, and a run's past from journal and history."""

import hashlib
from pathlib import Path

import lmdb
import msgspec

from engine.core.replay import Replays
from engine.model.instants import DAY, HOUR
from engine.model.status import BackfillStatus, RunStatus
from engine.store.backup import MANIFEST_NAME, backup, restore
from engine.store.environment import LMDB_FORMAT, open_environment
from engine.store.files import DATA_NAME
from engine.store.journal import moments, notable_moments, past_page
from engine.store.load import load_state
from engine.store.queries import newest_of_partitions, version
from engine.store.tables import INDEXES_KEY, Table
from tests.adapters.store.conftest import Play
from tests.adapters.store.test_retention import forget, settings
from tests.adapters.store.world import SMALL, LmdbDisk, two_tasks
from tests.support.builders import flow, task
from tests.support.stories import Player
from tests.unit.core.test_backfills import FIRST_NS, backfill, daily

DUE_NS = FIRST_NS + 6 * HOUR
END = 2**63
NOTABLE = {"RunStarted", "RunStatusChanged", "RunFinished", "RetryRequested"}


def reopen(player: Player, disk: LmdbDisk) -> None:
    disk.reopen()
    player.restart()


def test_a_backfill_goes_on_after_the_file_was_closed_and_opened(play: Play) -> None:
    player, disk = play(daily())
    backfill(player, days=3)
    reopen(player, disk)
    player.ok("a", run=1)
    reopen(player, disk)
    player.ok("a", run=2)
    player.ok("a", run=3)
    reopen(player, disk)
    assert player.state.backfills[1].status is BackfillStatus.DONE
    assert player.state.backfills[1].ended == {"succeeded": 3}


def test_the_newest_run_of_a_due_instant_is_found(play: Play) -> None:
    player, disk = play(daily(), daily(name="other"))
    backfill(player, days=2)
    player.fail("a", run=1)
    player.ok("a", run=2)
    backfill(player, days=1, reprocess="failed")
    dues = [DUE_NS, DUE_NS + DAY, DUE_NS + 2 * DAY]
    assert newest_of_partitions(disk.environment, "other", dues) == {
        DUE_NS: (3, RunStatus.RUNNING), DUE_NS + DAY: (2, RunStatus.SUCCEEDED),
    }  # fmt: skip
    assert newest_of_partitions(disk.environment, "w", dues) == {}
    player.ok("a", run=3)
    forget(disk, settings(runs_count=1), player.now_ns)
    assert newest_of_partitions(disk.environment, "other", dues) == {DUE_NS: (3, RunStatus.SUCCEEDED)}


def test_indexes_of_an_older_generation_are_made_anew(play: Play) -> None:
    player, disk = play(daily())
    backfill(player, days=1)
    player.ok("a", run=1)
    disk.committer.run(lambda edit: edit.delete_prefix(Table.BY_PARTITION, b""))
    disk.committer.run(lambda edit: edit.delete(Table.META, INDEXES_KEY))
    assert newest_of_partitions(disk.environment, "w", [DUE_NS]) == {}
    loaded = load_state(disk.environment, disk.host)
    assert loaded.rebuilt_indexes
    assert newest_of_partitions(disk.environment, "w", [DUE_NS]) == {DUE_NS: (1, RunStatus.SUCCEEDED)}
    assert not load_state(disk.environment, disk.host).rebuilt_indexes


def test_the_version_of_a_backfill_that_goes_on_is_kept(play: Play) -> None:
    player, disk = play(daily())
    name = player.plans["w"].version
    backfill(player, days=3)
    player.ok("a", run=1)
    forget(disk, settings(runs_count=0), player.now_ns, keep=(2,))
    assert version(disk.environment, name) is not None


def test_a_damaged_backfill_costs_no_more_than_itself(play: Play) -> None:
    player, disk = play(daily())
    backfill(player, days=3)
    disk.committer.run(lambda edit: edit.put_raw(Table.BACKFILLS, (1).to_bytes(8, "big"), b"nothing"))
    loaded = load_state(disk.environment, disk.host)
    assert len(loaded.damage) == 1
    assert "b1" in loaded.damage[0]
    assert (loaded.state.backfills, list(loaded.state.runs)) == ({}, [1])
    assert load_state(disk.environment, disk.host).damage == []


def test_a_backup_of_an_engine_that_knew_fewer_tables_can_be_restored(play: Play, tmp_path: Path) -> None:
    player, disk = play(two_tasks())
    player.submit()
    manifest = backup(disk.environment, tmp_path / "saved")
    data = tmp_path / "saved" / DATA_NAME
    with lmdb.open(str(tmp_path / "saved"), max_dbs=99, lib_version=LMDB_FORMAT) as env:
        for table in (Table.BACKFILLS, Table.BY_PARTITION):
            db = env.open_db(table.db_name)
            with env.begin(write=True) as txn:
                txn.drop(db)
    known = data.read_bytes()
    fields = {"bytes": len(known), "sha256": hashlib.sha256(known).hexdigest()}
    (tmp_path / "saved" / MANIFEST_NAME).write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, **fields)))
    restore(tmp_path / "saved", tmp_path / "again")
    disk.close()
    disk.environment = open_environment(tmp_path / "again", SMALL)
    assert list(disk.load().runs) == [1]


def walked(disk: LmdbDisk, player: Player, most: int) -> dict[int, list[int]]:
    """The counts after each batch of run 1, read in pages of about `most` events."""
    run = player.run(1)
    past = Replays(run.header, run.plan)
    found: dict[int, list[int]] = {}
    while True:
        page = past_page(disk.environment, 1, past.now.revision, END, END, most)
        for batch in page.batches:
            past.take(batch)
            found[batch.revision] = list(past.now.run.header.counts)
        if not page.more:
            return found


def test_the_past_of_a_run_is_the_same_before_and_after_its_journal_was_pruned(play: Play) -> None:
    player, disk = play(flow(task("a"), task("b", "a", for_each=[1, 2, 3]), task("c", "b")), two_tasks("z"))
    for name in ("w", "z", "w"):
        player.submit(name)
    player.fail("a", run=1)
    player.retry(run=1)
    player.ok("a", "b[0]", "b[1]", "b[2]", "c", run=1)
    player.ok("a", run=2)
    truth = {batch.revision: player.past.truth[1][batch.revision] for batch in player.past.batches[1]}
    listed = moments(disk.environment, 1, 0, 0, 100)
    for batches in (10_000, 4, 0):
        forget(disk, settings(journal_batches=batches), player.now_ns, keep=(1, 2, 3))
        for most in (1, 7, 10_000):
            assert walked(disk, player, most) == truth
        assert moments(disk.environment, 1, 0, 0, 100) == listed
        assert [revision for revision, _ in listed] == list(truth)
        assert moments(disk.environment, 1, END - 1, 0, 100) == listed[::-1]
        middle = listed[len(listed) // 2][0]
        assert moments(disk.environment, 1, middle, 0, 1) == [listed[len(listed) // 2 - 1]]
        assert moments(disk.environment, 1, 0, middle, 1) == [listed[len(listed) // 2 + 1]]
    every = notable_moments(disk.environment, 1, 0, 0, 100)
    assert all(notable for *_, notable in every)
    told = [revision for revision, *_ in every]
    kinds = {batch.revision: {type(event).__name__ for event, _ in batch.events} for batch in player.past.batches[1]}
    assert told == [revision for revision, names in kinds.items() if names & NOTABLE]
    assert [revision for revision, *_ in notable_moments(disk.environment, 1, END - 1, 0, 100)] == told[::-1]
    assert notable_moments(disk.environment, 1, told[-1], 0, 1) == [every[-2]]
    looked = notable_moments(disk.environment, 1, 0, every[1][0], 100, most=1)
    assert [revision for revision, *_ in looked] == [listed[listed.index(every[1][:2]) + 1][0]]
    early = past_page(disk.environment, 1, 0, listed[2][0], END, 1_000)
    assert [batch.revision for batch in early.batches] == [revision for revision, _ in listed[:3]]
    until = past_page(disk.environment, 1, 0, END, listed[3][1], 1_000)
    assert until.batches[-1].revision == listed[3][0]
