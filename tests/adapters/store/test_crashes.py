"""A writer that is killed at any moment: what it acknowledged is there, and nothing is there by half."""

import os
import random
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from engine.model.resources import Capacity
from engine.store.environment import open_environment, verify_file
from engine.store.files import DATA_NAME
from engine.store.journal import events_page
from engine.store.load import load_state
from tests.adapters.store.world import SMALL

WRITER = """
    import sys
    from pathlib import Path
    from engine.core.machine import Machine
    from engine.model.resources import Capacity
    from engine.store.environment import open_environment
    from engine.store.load import load_state
    from engine.store.writer import Committer
    from tests.adapters.store.world import LmdbDisk, SMALL, two_tasks
    from tests.support.stories import Player

    environment = open_environment(Path(sys.argv[1]), SMALL)
    state = load_state(environment, Capacity(10**9, 0)).state
    committer = Committer(environment, state.meta.revision)
    player = Player()
    player.machine = Machine(state)

    class Disk:
        def commit(self, changes, state):
            from engine.store.records import encode_batch
            print(committer.commit(encode_batch(state, changes)), state.meta.next_run - 1, flush=True)
        def load(self):
            return player.state

    player.disk = Disk()
    player.now_ns = max(player.now_ns, state.meta.now_ns)
    player.know(two_tasks())
    while True:
        player.submit()
        if len(player.live) > 3:
            player.ok("a")
"""


def write_until_killed(folder: Path, delay_s: float) -> list[tuple[int, int]]:
    """Let a process commit, kill it after a delay from its first acknowledgement. What it acknowledged, in order."""
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(folder)], stdout=subprocess.PIPE, cwd=Path.cwd()
    )
    assert child.stdout is not None
    ready, _, _ = select.select([child.stdout], [], [], 60)
    assert ready, "the writer never acknowledged anything"
    end = time.monotonic() + delay_s
    data = b""
    while (left := end - time.monotonic()) > 0:
        if select.select([child.stdout], [], [], left)[0]:
            piece = os.read(child.stdout.fileno(), 65536)
            if not piece:
                raise AssertionError(f"the writer ended by itself with {child.wait()}")
            data += piece
    os.kill(child.pid, signal.SIGKILL)
    data += child.stdout.read()
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    lines = data.decode().split("\n")[:-1]
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


def check_after_kill(folder: Path, acknowledged: tuple[int, int]) -> int:
    revision, run = acknowledged
    verify_file(folder / DATA_NAME)
    environment = open_environment(folder, SMALL)
    try:
        loaded = load_state(environment, Capacity(10**9, 0))
        assert loaded.damage == []
        assert not loaded.rebuilt_indexes
        meta = loaded.state.meta
        assert meta.revision in (revision, revision + 1), "at most the commit in hand was not acknowledged"
        assert meta.next_run - 1 >= run
        revisions: list[int] = []
        cursor = ""
        while True:
            page = events_page(environment, 0, cursor, limit=1_000)
            revisions += [entry.revision for entry in page.entries]
            cursor = page.cursor
            if not page.more:
                break
        assert sorted(set(revisions)) == list(range(1, meta.revision + 1)), "the journal has a gap"
        return meta.revision
    finally:
        environment.close()


@pytest.mark.crash
def test_everything_acknowledged_is_there_after_each_of_many_kills(tmp_path: Path) -> None:
    randomness = random.Random(7)
    folder = tmp_path / "state"
    before = 0
    for _ in range(8):
        acknowledged = write_until_killed(folder, randomness.uniform(0.0, 0.25))
        assert acknowledged
        assert acknowledged[0][0] == before + 1, "the next life goes on where the last one ended"
        before = check_after_kill(folder, acknowledged[-1])
