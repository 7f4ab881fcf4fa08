"""The writer thread beside a trio program, and what follows when a commit does not succeed."""

from pathlib import Path

import lmdb
import pytest
import trio

from engine.core.changes import Changes
from engine.core.events import ClockAdvanced
from engine.core.state import EngineState, Meta
from engine.model.resources import Capacity
from engine.store.environment import Environment, Options, open_environment
from engine.store.errors import CommitFailed, StoreFull
from engine.store.journal import events_page
from engine.store.load import load_state
from engine.store.records import Batch, encode_batch
from engine.store.tables import Table
from engine.store.transaction import Edit
from engine.store.writer import Committer, SpaceLimits, Writer, space
from tests.adapters.store.world import SMALL

HOST = Capacity(1000, 0)


def batch_at(revision: int, *, padding: int = 0) -> Batch:
    """A batch with one event; `padding` bytes are added to it."""
    state = EngineState(Meta(instance=1, seed=1, revision=revision), HOST)
    changes = Changes(revision, revision)
    changes.journal.append(ClockAdvanced())
    batch = encode_batch(state, changes)
    if padding:
        batch.puts[Table.QUARANTINE] = [(b"padding%d" % revision, bytes(padding))]
    return batch


def too_long_a_key(revision: int) -> Batch:
    batch = batch_at(revision)
    batch.puts[Table.QUARANTINE] = [(b"k" * 600, b"")]
    return batch


@pytest.mark.trio
async def test_commits_are_durable_in_the_order_in_which_they_were_asked_for(tmp_path: Path) -> None:
    environment = open_environment(tmp_path, SMALL)
    done: list[int] = []

    async def commit(writer: Writer, revision: int) -> None:
        done.append(await writer.commit(batch_at(revision)))

    async with Writer(environment, 0) as writer:
        for revision in (1, 2, 3):
            assert await writer.commit(batch_at(revision)) == revision
            assert load_state(environment, HOST).state.meta.revision == revision
        async with trio.open_nursery() as nursery:
            nursery.start_soon(commit, writer, 4)
        assert await writer.run(lambda edit: edit.count(Table.JOURNAL)) == 4
    assert done == [4]
    assert writer.revision == 4
    environment.close()


@pytest.mark.trio
async def test_a_commit_cannot_be_cancelled_half_way(tmp_path: Path) -> None:
    environment = open_environment(tmp_path, SMALL)
    async with Writer(environment, 0) as writer:
        with trio.CancelScope() as scope:
            scope.cancel()
            assert await writer.commit(batch_at(1)) == 1
    environment.close()


@pytest.mark.trio
async def test_other_tasks_go_on_while_a_commit_is_written(tmp_path: Path) -> None:
    environment = open_environment(tmp_path, SMALL)
    ticks: list[int] = []

    async def tick() -> None:
        while True:
            ticks.append(1)
            await trio.lowlevel.checkpoint()

    async with Writer(environment, 0) as writer, trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        before = len(ticks)
        await writer.commit(batch_at(1, padding=30_000_000))
        nursery.cancel_scope.cancel()
    assert len(ticks) > before
    environment.close()


def test_after_a_failed_commit_nothing_is_accepted_any_more(tmp_path: Path) -> None:
    environment = open_environment(tmp_path, SMALL)
    committer = Committer(environment, 0)
    committer.commit(batch_at(1))
    with pytest.raises(CommitFailed, match="BAD_VALSIZE"):
        committer.commit(too_long_a_key(2))
    for again in (batch_at(2), batch_at(3)):
        with pytest.raises(CommitFailed, match="an earlier commit failed"):
            committer.commit(again)
    assert committer.revision == 1
    assert len(events_page(environment).entries) == 1
    environment.close()


def test_a_revision_is_never_written_twice(tmp_path: Path) -> None:
    environment = open_environment(tmp_path, SMALL)
    committer = Committer(environment, 5)
    with pytest.raises(CommitFailed, match="revision 5 comes after 5"):
        committer.commit(batch_at(5))
    environment.close()


@pytest.mark.trio
async def test_a_failure_reaches_the_task_that_waits(tmp_path: Path) -> None:
    environment = open_environment(tmp_path, SMALL)
    async with Writer(environment, 0) as writer:
        with pytest.raises(CommitFailed):
            await writer.commit(too_long_a_key(1))
        with pytest.raises(CommitFailed):
            await writer.run(lambda edit: edit.count(Table.RUNS))
    environment.close()


def test_a_full_map_refuses_the_batch_and_takes_it_when_there_is_room(tmp_path: Path) -> None:
    environment = open_environment(tmp_path, Options(map_bytes=2**21, ballast_bytes=2**16))
    committer = Committer(environment, 0)
    committer.commit(batch_at(1, padding=800_000))
    with pytest.raises(StoreFull, match="map"):
        committer.commit(batch_at(2, padding=1_500_000))
    assert load_state(environment, HOST).state.meta.revision == 1
    assert committer.run(lambda edit: edit.delete_prefix(Table.QUARANTINE, b"padding")) == 1
    committer.commit(batch_at(2, padding=800_000))
    assert load_state(environment, HOST).state.meta.revision == 2
    environment.close()


def fill(environment: Environment, size: int) -> None:
    with environment.edit() as edit:
        edit.put_raw(Table.QUARANTINE, b"fill", bytes(size))


def test_the_space_watch_sees_a_map_that_fills_and_one_that_was_emptied(tmp_path: Path) -> None:
    environment = open_environment(tmp_path, Options(map_bytes=2**22, ballast_bytes=2**16))
    limits = SpaceLimits(disk_free_min_bytes=0, map_used_max=0.5)
    assert not space(environment, limits).low
    fill(environment, 2**21)
    found = space(environment, limits)
    assert found.low
    assert "of its map of 4.00M" in found.why

    def empty(edit: Edit) -> None:
        edit.delete(Table.QUARANTINE, b"fill")

    Committer(environment, 0).run(empty)
    assert environment.file_bytes > 2**21
    assert not space(environment, limits).low
    environment.close()


def test_the_space_watch_sees_a_disk_that_fills(tmp_path: Path) -> None:
    environment = open_environment(tmp_path, SMALL)
    found = space(environment, SpaceLimits(disk_free_min_bytes=2**62))
    assert found.low
    assert "left" in found.why
    environment.close()


def test_lmdb_is_as_we_know_it() -> None:
    """Errors of this name are what the writer tells apart."""
    assert issubclass(lmdb.MapFullError, lmdb.Error)
    assert issubclass(lmdb.ReadersFullError, lmdb.Error)
