"""A story's disk that is the real one: LMDB in a temporary folder, behind the interface of the disk in memory."""

from pathlib import Path
from typing import Any

from engine.core.changes import Changes
from engine.core.state import EngineState, RunState
from engine.model.resources import Capacity
from engine.model.workflow import Workflow
from engine.store.environment import Environment, Options, open_environment
from engine.store.load import load_run, load_state
from engine.store.records import encode_batch
from engine.store.writer import Committer
from tests.support.builders import flow, task
from tests.support.memory_disk import MemoryDisk
from tests.support.stories import Player

SMALL = Options(map_bytes=2**30, ballast_bytes=2**16)


class LmdbDisk(MemoryDisk):
    """Commits to the state in `folder` and loads from it."""

    def __init__(self, folder: Path, options: Options = SMALL) -> None:
        super().__init__()
        self.folder = folder
        self.options = options
        self.environment: Environment = open_environment(folder, options)
        self.committer = Committer(self.environment, 0)
        self.host = Capacity(1000, 0)

    def commit(self, changes: Changes, state: EngineState) -> None:
        self.host = state.capacity
        self.committer.commit(encode_batch(state, changes))

    def load(self) -> EngineState:
        loaded = load_state(self.environment, self.host)
        assert loaded.damage == []
        assert not loaded.rebuilt_indexes
        return loaded.state

    def load_run(self, number: int) -> RunState:
        run = load_run(self.environment, number)
        assert run is not None
        return run

    def reopen(self) -> None:
        """Close the file and open it again, as a restart of the engine does."""
        self.environment.close()
        self.environment = open_environment(self.folder, self.options)
        self.committer = Committer(self.environment, self.committer.revision)

    def close(self) -> None:
        self.environment.close()


def player_on(folder: Path, *workflows: Workflow, **fields: Any) -> tuple[Player, LmdbDisk]:
    """A story on a real disk. Close the disk at its end."""
    disk = LmdbDisk(folder)
    player = Player(*workflows, **fields)
    player.disk = disk
    return player, disk


def two_tasks(name: str = "w") -> Workflow:
    return flow(task("a"), task("b", "a"), name=name)
