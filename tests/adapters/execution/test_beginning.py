"""A keeper that is started before the engine is ready to speak with it."""

import os
from pathlib import Path
from typing import Any

import pytest

from engine.execution import proc
from engine.execution.beginning import begin_keeper, begun
from engine.execution.places import Places
from engine.execution.sweep import stop_all

pytestmark = [pytest.mark.trio, pytest.mark.crash]


def places_of(world: Any) -> Places:
    return Places(world.home, world.run_dir, world.logs)


def keepers(world: Any) -> list[int]:
    """The living keepers of the world, by their command lines."""
    found: list[int] = []
    for pid in proc.pids():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"engine.execution.keeper" in words and str(world.home).encode() in words:
            found.append(pid)
    return found


def was_reaped(pid: int) -> bool:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


async def test_an_engine_takes_over_the_keeper_that_was_begun_for_it(world: Any) -> None:
    await world.leave()
    stop_all(world.home, world.run_dir, kill=True)
    begin_keeper(places_of(world), world.instance, world.launchers)
    (early,) = await world.until(lambda: keepers(world), "the keeper")
    await world.enter(world.nursery)
    await world.end(world.start(["true"]))
    assert keepers(world) == [world.executor.processes()["keeper"]] == [early]
    assert await world.executor.shutdown(kill=False)
    assert was_reaped(early)


async def test_none_is_begun_where_one_listens(world: Any) -> None:
    begin_keeper(places_of(world), world.instance, world.launchers)
    assert begun(places_of(world)) == 0
    assert keepers(world) == [world.executor.processes()["keeper"]]


async def test_that_none_can_be_begun_is_left_to_whoever_needs_one(world: Any, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    begin_keeper(Places(blocked, world.run_dir, world.logs), world.instance, 1)
    assert begun(Places(blocked, world.run_dir, world.logs)) == 0
