"""Log folders of forgotten runs go in small steps, and nothing beside them."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from engine.store.folders import remove_folder

NOBODY = 65_534


def steps_to_remove(parent: Path, name: str, limit: int) -> int:
    for step in range(1, 1_000):
        if remove_folder(parent, name, limit):
            return step
    raise AssertionError("it never ends")


def test_a_folder_goes_in_steps_that_are_not_longer_than_their_limit(tmp_path: Path) -> None:
    folder = tmp_path / "r1"
    for n in range(30):
        (folder / f"workers/{n % 3}").mkdir(parents=True, exist_ok=True)
        (folder / f"workers/{n % 3}/{n}.log").write_text("x")
    assert not remove_folder(tmp_path, "r1", 10)
    assert sum(1 for path in folder.rglob("*.log")) >= 20
    assert steps_to_remove(tmp_path, "r1", 10) >= 2
    assert not folder.exists()


def test_links_are_removed_and_never_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    folder = tmp_path / "logs" / "r1"
    folder.mkdir(parents=True)
    (folder / "to_folder").symlink_to(precious)
    (folder / "to_file").symlink_to(precious / "file")
    (folder / "nowhere").symlink_to("/does/not/exist")
    assert remove_folder(tmp_path / "logs", "r1")
    assert (precious / "file").read_text() == "kept"


def test_a_link_in_the_place_of_the_folder_is_removed_itself(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    (tmp_path / "r1").symlink_to(precious)
    assert remove_folder(tmp_path, "r1")
    assert not (tmp_path / "r1").is_symlink()
    assert (precious / "file").exists()


def test_what_is_gone_already_is_no_error(tmp_path: Path) -> None:
    assert remove_folder(tmp_path, "r1")
    assert remove_folder(tmp_path / "nowhere", "r1")


def test_a_tree_deeper_than_any_path_goes_too(tmp_path: Path) -> None:
    folder = tmp_path / "r1"
    folder.mkdir()
    fd = os.open(folder, os.O_RDONLY)
    for _ in range(1_500):
        os.mkdir("d" * 50, dir_fd=fd)
        inner = os.open("d" * 50, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    steps_to_remove(tmp_path, "r1", 500)
    assert not folder.exists()


def test_names_of_any_bytes_and_pipes_go(tmp_path: Path) -> None:
    folder = tmp_path / "r1"
    folder.mkdir()
    (folder / os.fsdecode(b"\xff\n\x1b[2J")).write_text("")
    os.mkfifo(folder / "pipe")
    assert remove_folder(tmp_path, "r1")


def test_folders_that_their_task_has_closed_go_too() -> None:
    with TemporaryDirectory() as logs:  # pytest's own folder is closed to others
        inner = Path(logs, "r1", "closed", "inner")
        inner.mkdir(parents=True)
        (inner / "file").write_text("")
        for folder in (inner, *inner.parents[:3]):
            os.chown(folder, NOBODY if os.geteuid() == 0 else -1, -1)
        inner.chmod(0o500)
        inner.parent.chmod(0)
        with as_nobody():
            assert remove_folder(Path(logs), "r1")


@contextmanager
def as_nobody() -> Generator[None]:
    """Root may enter whatever is closed, so it does not test that."""
    me = os.geteuid()
    os.seteuid(NOBODY if me == 0 else me)
    try:
        yield
    finally:
        os.seteuid(me)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc"])
def test_a_path_is_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        remove_folder(tmp_path, name)
