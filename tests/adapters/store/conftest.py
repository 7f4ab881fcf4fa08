"""A story on a disk that is closed when the test ends, however it ends."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.model.workflow import Workflow
from tests.adapters.store.world import LmdbDisk, player_on
from tests.support.stories import Player

Play = Callable[..., tuple[Player, LmdbDisk]]


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    disks: list[LmdbDisk] = []

    def begin(*workflows: Workflow, **fields: Any) -> tuple[Player, LmdbDisk]:
        player, disk = player_on(tmp_path / "state", *workflows, **fields)
        disks.append(disk)
        return player, disk

    yield begin
    for disk in disks:
        disk.close()
