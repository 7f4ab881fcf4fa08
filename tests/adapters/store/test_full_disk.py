"""A small disk that fills up under commits: no false acknowledgement, and all that was acknowledged is there."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.model.resources import Capacity
from engine.store.environment import Options, open_environment
from engine.store.errors import CommitFailed, StoreFull
from engine.store.files import free_bytes
from engine.store.journal import events_page
from engine.store.load import load_state
from engine.store.writer import Committer, SpaceLimits, space
from tests.adapters.store.test_writer import batch_at

HOST = Capacity(1000, 0)
TINY = Options(map_bytes=2**30, ballast_bytes=2**20)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def commit_until_refused(committer: Committer) -> int:
    """The last revision that was acknowledged."""
    while True:
        try:
            committer.commit(batch_at(committer.revision + 1, padding=20_000))
        except (StoreFull, CommitFailed):
            return committer.revision


def fill(disk: Path, leave_bytes: int) -> Path:
    """Somebody else's file takes the room, all but about `leave_bytes`."""
    path = disk / "others"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.posix_fallocate(fd, 0, max(1, free_bytes(disk) - leave_bytes))
    os.close(fd)
    return path


@pytest.mark.crash
def test_a_disk_that_fills_up_costs_nothing_that_was_acknowledged(small_disk: Path) -> None:
    environment = open_environment(small_disk / "state", TINY)
    last = commit_until_refused(Committer(environment, 0))
    assert last > 20
    assert len(events_page(environment).entries) == last
    environment.close()

    environment = open_environment(small_disk / "state", TINY)
    assert load_state(environment, HOST).state.meta.revision == last
    environment.close()


@pytest.mark.crash
def test_enough_room_is_asked_for_before_writing_so_that_the_writer_lives(small_disk: Path) -> None:
    environment = open_environment(small_disk / "state", TINY)
    committer = Committer(environment, 0)
    committer.commit(batch_at(1))
    others = fill(small_disk, 500_000)
    with pytest.raises(StoreFull, match=r"the disk of .* is full"):
        committer.commit(batch_at(2))
    others.unlink()
    assert committer.commit(batch_at(2)) == 2
    environment.close()


@pytest.mark.crash
def test_no_room_in_the_middle_of_a_commit_ends_the_writer_and_a_restart_reads_the_truth(small_disk: Path) -> None:
    environment = open_environment(small_disk / "state", TINY)
    committer = Committer(environment, 0)
    committer.commit(batch_at(1))
    fill(small_disk, 1_500_000)
    batch = batch_at(2)
    batch.once.append(next(iter(big_record())))
    with pytest.raises(CommitFailed):
        committer.commit(batch)
    with pytest.raises(CommitFailed):
        committer.commit(batch_at(2))
    environment.close()

    environment = open_environment(small_disk / "state", TINY)
    assert load_state(environment, HOST).state.meta.revision == 1
    environment.close()


def big_record() -> Iterator[object]:
    """A record whose size the writer cannot know before it is encoded, so that it runs into the end of the disk."""
    from engine.store.tables import Table

    yield Table.VERSIONS, b"big", lambda: os.urandom(6_000_000)


@pytest.mark.crash
def test_the_ballast_lets_a_restart_on_a_full_disk_commit(small_disk: Path) -> None:
    environment = open_environment(small_disk / "state", TINY)
    committer = Committer(environment, 0)
    committer.commit(batch_at(1))
    assert environment.ballast.held
    environment.close()
    others = fill(small_disk, 0)
    assert free_bytes(small_disk) < 100_000

    environment = open_environment(small_disk / "state", Options(map_bytes=2**30, ballast_bytes=2**21))
    assert not environment.ballast.held
    assert space(environment, SpaceLimits()).low
    with pytest.raises(StoreFull):  # this ballast of 1 MiB is just what one commit asks for, with nothing to spare
        Committer(environment, 1).commit(batch_at(2, padding=600_000))
    environment.close()

    others.unlink()
    environment = open_environment(small_disk / "state", Options(map_bytes=2**30, ballast_bytes=2**21))
    assert environment.ballast.held
    environment.close()
    fill(small_disk, 0)
    environment = open_environment(small_disk / "state", Options(map_bytes=2**30, ballast_bytes=2**21))
    assert Committer(environment, 1).commit(batch_at(2)) == 2
    environment.close()
