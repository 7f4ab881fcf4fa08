"""What may be opened, by whom, and what is refused without being touched."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import lmdb
import pytest

from engine.model.resources import Capacity
from engine.store.codec import seal
from engine.store.environment import FORMAT, LMDB_FORMAT, about, open_environment
from engine.store.errors import StoreDamage, StoreLocked, StoreRefused
from engine.store.files import BALLAST_NAME, DATA_NAME
from engine.store.load import load_state
from engine.store.tables import FORMAT_KEY, Table, number_key
from engine.store.transaction import Edit
from tests.adapters.store.conftest import Play
from tests.adapters.store.world import SMALL, LmdbDisk, two_tasks

HOST = Capacity(1000, 0)


def write_format(folder: Path, number: int) -> None:
    with lmdb.open(str(folder), max_dbs=1, lib_version=LMDB_FORMAT, map_size=2**30) as env:
        db = env.open_db(Table.META.db_name)
        with env.begin(write=True) as txn:
            txn.put(FORMAT_KEY, seal(Table.META, FORMAT_KEY, number_key(number)), db=db)


def closed_disk(play: Play) -> LmdbDisk:
    """A state with one unfinished run, and nobody who has it open."""
    player, disk = play(two_tasks())
    player.submit()
    disk.close()
    return disk


def test_a_new_state_says_who_made_it_and_has_an_instance_of_its_own(tmp_path: Path) -> None:
    one, two = open_environment(tmp_path / "one", SMALL), open_environment(tmp_path / "two", SMALL)
    try:
        assert about(one).lmdb_version.startswith("0.9.")
        assert load_state(one, HOST).state.meta.instance != load_state(two, HOST).state.meta.instance
    finally:
        one.close()
        two.close()


def test_the_state_is_for_its_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    open_environment(folder, SMALL).close()
    assert [oct(path.stat().st_mode & 0o77) for path in (folder, *folder.iterdir())].count("0o0") == 5


def test_a_second_engine_is_refused_and_told_who_has_the_state(play: Play) -> None:
    _, disk = play(two_tasks())
    script = f"""
        from pathlib import Path
        from engine.store.environment import open_environment
        from engine.store.errors import StoreLocked
        try:
            open_environment(Path({str(disk.folder)!r}))
        except StoreLocked as error:
            print(error.pid, error.sentence)
    """
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.startswith(f"{os.getpid()} ")
    assert f"in use by process {os.getpid()}" in found.stdout


def test_the_lock_ends_with_the_engine(tmp_path: Path) -> None:
    open_environment(tmp_path, SMALL).close()
    open_environment(tmp_path, SMALL).close()


def test_a_failed_opening_gives_the_lock_back(play: Play) -> None:
    disk = closed_disk(play)
    write_format(disk.folder, FORMAT + 1)
    for _ in range(2):
        with pytest.raises(StoreRefused) as refusal:
            open_environment(disk.folder, SMALL)
        assert not isinstance(refusal.value, StoreLocked)


def test_a_newer_format_is_refused_and_not_a_byte_is_changed(play: Play) -> None:
    disk = closed_disk(play)
    write_format(disk.folder, FORMAT + 1)
    before = (disk.folder / DATA_NAME).read_bytes()
    with pytest.raises(StoreRefused, match=f"format {FORMAT + 1}"):
        open_environment(disk.folder, SMALL)
    assert (disk.folder / DATA_NAME).read_bytes() == before


def old_disk(play: Play) -> LmdbDisk:
    disk = closed_disk(play)
    write_format(disk.folder, 0)
    return disk


def test_an_older_format_is_upgraded_on_a_copy_and_the_old_file_is_kept(play: Play) -> None:
    disk = old_disk(play)
    before = (disk.folder / DATA_NAME).read_bytes()
    seen: list[int] = []

    def count_runs(edit: Edit) -> None:
        seen.append(edit.count(Table.RUNS))
        edit.put(Table.META, b"upgraded", b"yes")

    environment = open_environment(disk.folder, SMALL, {0: count_runs})
    with environment.read() as view:
        assert view.get(Table.META, b"upgraded") == b"yes"
    assert list(load_state(environment, HOST).state.runs) == [1]
    environment.close()
    assert seen == [1]
    assert (disk.folder / f"{DATA_NAME}.format-0").read_bytes() == before
    open_environment(disk.folder, SMALL, {}).close()


def break_a_record(edit: Edit) -> None:
    edit.put_raw(Table.META, b"upgraded", b"no checksum")


def give_up(_: Edit) -> None:
    raise RuntimeError("the upgrade has a fault")


@pytest.mark.parametrize(("upgrade", "error"), [(break_a_record, StoreDamage), (give_up, RuntimeError)])
def test_an_upgrade_that_fails_leaves_the_old_state(play: Play, upgrade: object, error: type[Exception]) -> None:
    disk = old_disk(play)
    before = (disk.folder / DATA_NAME).read_bytes()
    with pytest.raises(error):
        open_environment(disk.folder, SMALL, {0: upgrade})  # pyright: ignore[reportArgumentType]
    assert (disk.folder / DATA_NAME).read_bytes() == before
    open_environment(disk.folder, SMALL, {0: lambda _: None}).close()


def test_an_older_format_that_nothing_upgrades_is_refused(play: Play) -> None:
    disk = old_disk(play)
    with pytest.raises(StoreRefused, match="cannot upgrade a state of format 0"):
        open_environment(disk.folder, SMALL)


@pytest.mark.parametrize("content", [b"", b"x" * 3, b"garbage! " * 10_000, bytes(65536)])
def test_garbage_is_refused_with_the_way_back_unless_it_is_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / DATA_NAME).write_bytes(content)
    if not content:
        open_environment(tmp_path, SMALL).close()
        return
    with pytest.raises(StoreDamage) as damage:
        open_environment(tmp_path, SMALL)
    assert "orchctl restore" in damage.value.hint
    assert (tmp_path / DATA_NAME).read_bytes() == content


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_that_was_cut_off_is_refused_instead_of_ending_in_a_bus_error(play: Play, share: float) -> None:
    disk = closed_disk(play)
    data = disk.folder / DATA_NAME
    size = int(data.stat().st_size * share) // 4096 * 4096
    os.truncate(data, size)
    with pytest.raises(StoreDamage, match="cut off"):
        open_environment(disk.folder, SMALL)
    assert data.stat().st_size == size


def test_another_lmdb_database_is_not_taken_for_a_state(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), lib_version=LMDB_FORMAT) as env, env.begin(write=True) as txn:
        txn.put(b"a", b"b")
    with pytest.raises(StoreDamage, match="no state"):
        open_environment(tmp_path, SMALL)


def test_a_variable_of_the_process_does_not_choose_the_file_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMDB_DEFAULT_LIB_VERSION", "1")
    environment = open_environment(tmp_path, SMALL)
    environment.close()
    assert "LMDB_DEFAULT_LIB_VERSION" not in os.environ
    with lmdb.open(str(tmp_path), readonly=True, lock=False, lib_version=LMDB_FORMAT) as env:
        assert env.lib_version()[:2] == (0, 9)


def test_the_slot_of_a_dead_reader_is_freed(play: Play) -> None:
    _, disk = play(two_tasks())
    script = f"""
        import lmdb, os, signal
        env = lmdb.open({str(disk.folder)!r}, readonly=True, max_dbs=40, map_size=2**30, lib_version=0)
        txn = env.begin()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=60)
    assert disk.environment.reap_readers() == 1
    assert disk.environment.reap_readers() == 0


def test_the_ballast_is_held_while_there_is_room(tmp_path: Path) -> None:
    environment = open_environment(tmp_path, SMALL)
    try:
        assert (tmp_path / BALLAST_NAME).stat().st_size == SMALL.ballast_bytes
        assert environment.ballast.release()
        assert not environment.ballast.held
        assert environment.ballast.settle()
    finally:
        environment.close()
