"""Retention beside a running engine, on a real state."""

import threading
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from engine.core.changes import Changes
from engine.core.events import Ask, RunPauseRequested
from engine.core.state import RunState
from engine.daemon.clock import EngineClock
from engine.daemon.config import Config, RetentionConfig
from engine.daemon.history import StoredHistory
from engine.daemon.loop import Loop
from engine.daemon.tending import Tending
from engine.store.records import encode_batch
from engine.store.tables import Table
from engine.store.transaction import Edit
from engine.store.writer import Writer
from tests.adapters.store.world import player_on, two_tasks


@pytest.mark.trio
async def test_logs_that_cannot_be_removed_wait_and_end_nothing(tmp_path: Path) -> None:
    player, disk = player_on(tmp_path / "state", two_tasks())
    player.submit()
    player.ok("a", "b")
    environment = disk.environment
    (tmp_path / "logs").write_text("in the place of the folder")
    try:
        async with Writer(environment, disk.committer.revision) as writer:
            config = Config(retention=RetentionConfig(runs=0))
            tending = Tending(tmp_path, environment, writer, config, (), trio.Lock(), lambda: player.now_ns)
            assert (await tending.collect(dry_run=False))["runs"] == 1
            with environment.read() as view:
                assert view.count(Table.DROPPING) == 1
            (tmp_path / "logs").unlink()
            await tending.collect(dry_run=False)
            with environment.read() as view:
                assert view.count(Table.DROPPING) == 0
    finally:
        disk.close()


class _Slow:
    """What is in memory, for a step of retention that takes its time between the look and what it does about it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.looked = threading.Event()
        self.go_on = threading.Event()

    def __contains__(self, run: object) -> bool:
        found = run in self._loop
        self.looked.set()
        assert self.go_on.wait(10)
        return found


@pytest.mark.trio
async def test_a_run_that_is_asked_for_while_retention_takes_it_away_does_not_come_back(tmp_path: Path) -> None:
    player, disk = player_on(tmp_path / "state", two_tasks())
    player.submit()
    player.ok("a", "b")
    machine = player.machine
    machine.forget_run(1)
    history = StoredHistory(disk.environment)

    async def load_run(run: int) -> RunState | None:
        return history.load_run(run)

    try:
        async with Writer(disk.environment, disk.committer.revision) as writer, trio.open_nursery() as nursery:

            async def commit(changes: Changes) -> None:
                await writer.commit(encode_batch(machine.state, changes))

            loop = Loop(machine, EngineClock(player.now_ns), commit, load_run)
            slow = _Slow(loop)
            config = Config(retention=RetentionConfig(runs=0))
            tending = Tending(
                tmp_path, disk.environment, writer, config, slow, loop.forgetting, lambda: player.now_ns
            )  # fmt: skip
            nursery.start_soon(partial(tending.collect, dry_run=False))
            await trio.to_thread.run_sync(slow.looked.wait, 10)
            loop.post([RunPauseRequested(Ask(), 1)])
            nursery.start_soon(loop.turn)
            await trio.testing.wait_all_tasks_blocked()
            slow.go_on.set()
        assert machine.state.runs == {}
        assert history.load_run(1) is None
    finally:
        disk.close()


@pytest.mark.trio
async def test_the_chain_of_the_audit_is_followed_and_a_fault_says_where(tmp_path: Path) -> None:
    player, disk = player_on(tmp_path / "state", two_tasks())
    for _ in range(3):
        player.submit()
    try:
        async with Writer(disk.environment, disk.committer.revision) as writer:
            tending = Tending(tmp_path, disk.environment, writer, Config(), (), trio.Lock(), lambda: player.now_ns)
            assert await tending.verify() == {"intact": True, "entries": 3, "fault": ""}
            await writer.run(_without_the_second)
            found = await tending.verify()
            assert (found["intact"], found["entries"]) == (False, None)
            assert "the chain of the audit is broken before it" in found["fault"]
    finally:
        disk.close()


def _without_the_second(edit: Edit) -> None:
    edit.delete(Table.AUDIT, [key for key, _ in edit.scan(Table.AUDIT)][1])
