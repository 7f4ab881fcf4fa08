"""Retention beside a running engine, on a real state."""

from pathlib import Path

import pytest

from engine.daemon.config import Config, RetentionConfig
from engine.daemon.tending import Tending
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
            tending = Tending(tmp_path, environment, writer, config, (), lambda: player.now_ns)
            assert (await tending.collect(dry_run=False))["runs"] == 1
            with environment.read() as view:
                assert view.count(Table.DROPPING) == 1
            (tmp_path / "logs").unlink()
            await tending.collect(dry_run=False)
            with environment.read() as view:
                assert view.count(Table.DROPPING) == 0
    finally:
        disk.close()


@pytest.mark.trio
async def test_the_chain_of_the_audit_is_followed_and_a_fault_says_where(tmp_path: Path) -> None:
    player, disk = player_on(tmp_path / "state", two_tasks())
    for _ in range(3):
        player.submit()
    try:
        async with Writer(disk.environment, disk.committer.revision) as writer:
            tending = Tending(tmp_path, disk.environment, writer, Config(), (), lambda: player.now_ns)
            assert await tending.verify() == {"intact": True, "entries": 3, "fault": ""}
            await writer.run(_without_the_second)
            found = await tending.verify()
            assert (found["intact"], found["entries"]) == (False, None)
            assert "the chain of the audit is broken before it" in found["fault"]
    finally:
        disk.close()


def _without_the_second(edit: Edit) -> None:
    edit.delete(Table.AUDIT, [key for key, _ in edit.scan(Table.AUDIT)][1])
