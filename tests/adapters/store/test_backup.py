"""A copy that can be trusted, and the way back."""

import json
from pathlib import Path

import pytest

from engine.model.errors import ValueFault
from engine.model.resources import Capacity
from engine.store.backup import MANIFEST_NAME, backup, read_manifest, restore
from engine.store.environment import open_environment
from engine.store.errors import StoreDamage, StoreLocked, StoreRefused
from engine.store.files import DATA_NAME
from engine.store.load import load_state
from engine.store.tables import Table
from tests.adapters.store.conftest import Play
from tests.adapters.store.world import SMALL, LmdbDisk, two_tasks
from tests.support.memory_disk import differences
from tests.support.stories import Player

HOST = Capacity(100_000, 10**12)


def one_live_run(play: Play) -> tuple[Player, LmdbDisk]:
    player, disk = play(two_tasks())
    player.submit()
    return player, disk


def test_a_restored_state_is_the_one_that_was_saved_but_of_another_instance(play: Play, tmp_path: Path) -> None:
    player, disk = one_live_run(play)
    manifest = backup(disk.environment, tmp_path / "saved")
    saved = disk.load()
    player.ok("a", "b")
    disk.close()
    restored = restore(tmp_path / "saved", disk.folder)
    assert restored.revision == manifest.revision == saved.meta.revision
    environment = open_environment(disk.folder, SMALL)
    loaded = load_state(environment, HOST).state
    environment.close()
    assert loaded.meta.instance == restored.instance != saved.meta.instance
    loaded.meta.instance = saved.meta.instance
    assert differences(saved, loaded) == []


def test_what_was_replaced_is_kept(play: Play, tmp_path: Path) -> None:
    _, disk = one_live_run(play)
    backup(disk.environment, tmp_path / "saved")
    disk.close()
    before = (disk.folder / DATA_NAME).read_bytes()
    restored = restore(tmp_path / "saved", disk.folder)
    assert Path(restored.kept).read_bytes() == before


def test_a_backup_can_be_restored_where_nothing_was(play: Play, tmp_path: Path) -> None:
    _, disk = one_live_run(play)
    backup(disk.environment, tmp_path / "saved")
    assert restore(tmp_path / "saved", tmp_path / "elsewhere").kept == ""
    environment = open_environment(tmp_path / "elsewhere", SMALL)
    assert list(load_state(environment, HOST).state.runs) == [1]
    environment.close()


def test_the_manifest_says_what_is_in_it_and_that_logs_are_not(play: Play, tmp_path: Path) -> None:
    player, disk = one_live_run(play)
    backup(disk.environment, tmp_path / "saved")
    text = json.loads((tmp_path / "saved" / MANIFEST_NAME).read_text())
    assert text["revision"] == player.state.meta.revision
    assert text["bytes"] == (tmp_path / "saved" / DATA_NAME).stat().st_size
    assert "logs" in text["note"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved", "state"], "nothing else is left behind"


def test_a_state_in_use_is_not_replaced(play: Play, tmp_path: Path) -> None:
    _, disk = one_live_run(play)
    backup(disk.environment, tmp_path / "saved")
    with pytest.raises(StoreLocked):
        restore(tmp_path / "saved", disk.folder)
    assert len(disk.load().runs) == 1


def test_a_backup_never_replaces_a_folder(play: Play, tmp_path: Path) -> None:
    _, disk = one_live_run(play)
    (tmp_path / "saved").mkdir()
    with pytest.raises(ValueFault, match="exists already"):
        backup(disk.environment, tmp_path / "saved")


def test_a_damaged_backup_is_refused_and_the_state_stays(play: Play, tmp_path: Path) -> None:
    _, disk = one_live_run(play)
    backup(disk.environment, tmp_path / "saved")
    disk.close()
    before = (disk.folder / DATA_NAME).read_bytes()
    data = bytearray((tmp_path / "saved" / DATA_NAME).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "saved" / DATA_NAME).write_bytes(data)
    with pytest.raises(StoreDamage, match="checksum"):
        restore(tmp_path / "saved", disk.folder)
    assert (disk.folder / DATA_NAME).read_bytes() == before
    open_environment(disk.folder, SMALL).close()


def test_a_damaged_state_gives_no_backup(play: Play, tmp_path: Path) -> None:
    _, disk = one_live_run(play)
    with disk.environment.edit() as edit:
        key, value = next(edit.scan(Table.RUNS))
        edit.put_raw(Table.RUNS, key, value[:-1] + bytes((value[-1] ^ 1,)))
    with pytest.raises(StoreDamage, match="record r1 of table runs"):
        backup(disk.environment, tmp_path / "saved")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state"]


def test_a_backup_of_a_newer_engine_is_refused(play: Play, tmp_path: Path) -> None:
    _, disk = one_live_run(play)
    backup(disk.environment, tmp_path / "saved")
    disk.close()
    path = tmp_path / "saved" / MANIFEST_NAME
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(StoreRefused, match="format 2"):
        restore(tmp_path / "saved", disk.folder)


@pytest.mark.parametrize("content", [None, "", "{}", "[1]", "\xff"])
def test_a_folder_that_is_no_backup_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / MANIFEST_NAME).write_text(content, "latin-1")
    with pytest.raises(ValueFault, match="no backup"):
        read_manifest(tmp_path)
    with pytest.raises(ValueFault):
        restore(tmp_path, tmp_path / "state")
