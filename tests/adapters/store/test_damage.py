"""A flipped bit is found, named, and costs what it belongs to, nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.model.resources import Capacity
from engine.model.status import RunStatus
from engine.store.environment import open_environment
from engine.store.errors import StoreDamage
from engine.store.files import DATA_NAME
from engine.store.journal import events_page
from engine.store.load import load_run, load_state
from engine.store.queries import attempts_of, audit_page, runs_page, verify_audit
from engine.store.tables import STATE_KEY, Table
from tests.adapters.store.conftest import Play
from tests.adapters.store.world import LmdbDisk, two_tasks
from tests.support.builders import flow, task

HOST = Capacity(10_000, 0)


def flip(disk: LmdbDisk, table: Table, which: int = 0, bit: int = 9) -> bytes:
    """Flip one bit of a record's body, behind the back of its checksum. Returns its key."""
    with disk.environment.edit() as edit:
        key, value = list(edit.scan(table))[which]
        place = min(4 + bit // 8, len(value) - 1)
        changed = bytearray(value)
        changed[place] ^= 1 << bit % 8
        edit.put_raw(table, key, bytes(changed))
    return key


def two_runs(play: Play) -> LmdbDisk:
    """Two unfinished runs, of different workflows, each with a live attempt and items."""
    player, disk = play()
    for name in ("one", "two"):
        player.add(flow(task("many", for_each=["x", "y"]), task("b", "many"), name=name))
        player.submit(name, request_id=name)
    return disk


@pytest.mark.parametrize("table", [Table.RUNS, Table.ROWS, Table.ITEMS, Table.ATTEMPTS])
def test_a_damaged_record_of_a_run_closes_that_run_and_no_other(play: Play, table: Table) -> None:
    disk = two_runs(play)
    flip(disk, table)
    loaded = load_state(disk.environment, HOST)
    assert list(loaded.state.runs) == [2]
    assert {attempt.run for attempt in loaded.state.attempts.values()} == {2}
    assert len(loaded.damage) == 1
    assert f"of table {table.title}: its checksum is wrong" in loaded.damage[0]
    assert loaded.state.workflows["one"].active == []
    again = load_state(disk.environment, HOST)
    assert again.damage == []
    assert list(again.state.runs) == [2]


def test_a_closed_run_says_in_its_note_which_record_was_damaged(play: Play) -> None:
    disk = two_runs(play)
    flip(disk, Table.ROWS)
    load_state(disk.environment, HOST)
    header = runs_page(disk.environment, before=2).headers[0]
    assert header.status is RunStatus.FAILED
    assert "record r1 chunk 0 of table rows" in header.note
    with pytest.raises(StoreDamage, match="r1 chunk 0"):
        load_run(disk.environment, 1)


def test_a_damaged_version_costs_its_runs_and_its_workflow(play: Play) -> None:
    disk = two_runs(play)
    flip(disk, Table.VERSIONS)
    loaded = load_state(disk.environment, HOST)
    assert len(loaded.state.runs) == 1
    assert len(loaded.state.workflows) == 1
    assert "of table versions" in loaded.damage[0]


@pytest.mark.parametrize("table", [Table.WORKFLOWS, Table.REQUESTS])
def test_other_damaged_records_are_set_aside_and_named(play: Play, table: Table) -> None:
    disk = two_runs(play)
    flip(disk, table)
    loaded = load_state(disk.environment, HOST)
    assert sorted(loaded.state.runs) == [1, 2]
    assert len(loaded.damage) == 1
    with disk.environment.read() as view:
        assert view.count(Table.QUARANTINE) == 1
    assert load_state(disk.environment, HOST).damage == []


def test_a_lost_entry_of_a_live_attempt_does_not_let_its_row_wait_for_ever(play: Play) -> None:
    disk = two_runs(play)
    flip(disk, Table.LIVE)
    loaded = load_state(disk.environment, HOST)
    assert list(loaded.state.runs) == [2]
    assert any("no attempt of it lives" in sentence for sentence in loaded.damage)


def test_damage_of_the_meta_record_refuses_the_state(play: Play) -> None:
    disk = two_runs(play)
    with disk.environment.edit() as edit:
        edit.put_raw(Table.META, STATE_KEY, b"0123456789")
    with pytest.raises(StoreDamage, match="'state' of table meta") as damage:
        load_state(disk.environment, HOST)
    assert "orchctl restore" in damage.value.hint


@pytest.mark.parametrize("table", [Table.BY_STATUS, Table.RUN_STATUS])
def test_damaged_indexes_are_built_anew_from_the_headers(play: Play, table: Table) -> None:
    disk = two_runs(play)
    if table is Table.BY_STATUS:
        with disk.environment.edit() as edit:
            key, value = next(edit.scan(table))
            edit.delete(table, key)
            edit.put_raw(table, bytes((key[0] ^ 4,)) + key[1:], value)
    else:
        flip(disk, table)
    loaded = load_state(disk.environment, HOST)
    assert loaded.rebuilt_indexes
    assert sorted(loaded.state.runs) == [1, 2]
    assert not load_state(disk.environment, HOST).rebuilt_indexes


def test_a_record_under_the_key_of_another_is_damage(play: Play) -> None:
    disk = two_runs(play)
    with disk.environment.edit() as edit:
        (one, value), (two, _) = list(edit.scan(Table.RUNS))
        edit.put_raw(Table.RUNS, two, value)
        assert one != two
    with pytest.raises(StoreDamage, match="record r2 of table runs"):
        load_run(disk.environment, 2)


def test_pages_leave_out_what_is_damaged_and_name_it(play: Play) -> None:
    disk = two_runs(play)
    before = len(events_page(disk.environment).entries)
    for table in (Table.RUNS, Table.JOURNAL, Table.AUDIT):
        flip(disk, table)
    runs = runs_page(disk.environment)
    assert [header.run for header in runs.headers] == [2]
    events = events_page(disk.environment)
    assert 0 < len(events.entries) < before
    audit = audit_page(disk.environment)
    assert len(audit.entries) == 3
    assert [len(page.damage) for page in (runs, events, audit)] == [1, 1, 1]


def test_a_damaged_attempt_raises_when_it_is_asked_for(play: Play) -> None:
    disk = two_runs(play)
    flip(disk, Table.ATTEMPTS)
    with pytest.raises(StoreDamage, match="r1 task 0 index 0 attempt 1"):
        attempts_of(disk.environment, 1, 0, 0)


@pytest.mark.parametrize("tamper", ["changed", "removed", "newest"])
def test_the_chain_of_the_audit_shows_what_was_tampered_with(play: Play, tamper: str) -> None:
    disk = two_runs(play)
    assert verify_audit(disk.environment) == 4
    with disk.environment.edit() as edit:
        keys = [key for key, _ in edit.scan(Table.AUDIT)]
        if tamper == "changed":
            body = edit.get(Table.AUDIT, keys[1])
            assert body is not None
            edit.put(Table.AUDIT, keys[1], body.replace(b"accepted", b"refusedd"))
        else:
            edit.delete(Table.AUDIT, keys[1 if tamper == "removed" else -1])
    with pytest.raises(StoreDamage, match="audit"):
        verify_audit(disk.environment)


def _zeros(data: bytearray, page: int) -> None:
    data[page * 4096 : (page + 1) * 4096] = bytes(4096)


def _misplaced(data: bytearray, page: int) -> None:
    data[page * 4096 : (page + 1) * 4096] = data[4096 * (page - 1) : 4096 * page]


@pytest.mark.crash
@pytest.mark.parametrize("wound", [_zeros, _misplaced])
def test_a_wounded_page_is_never_read_as_something_else(
    play: Play, tmp_path: Path, wound: Callable[[bytearray, int], None]
) -> None:
    player, disk = play(two_tasks())
    for _ in range(5):
        player.submit()
    disk.close()
    whole = (disk.folder / DATA_NAME).read_bytes()
    disk.reopen()
    truth = {number: run.header for number, run in disk.load().runs.items()}
    disk.close()
    for page in range(2, len(whole) // 4096):
        data = bytearray(whole)
        wound(data, page)
        folder = tmp_path / f"copy{page}"
        folder.mkdir()
        (folder / DATA_NAME).write_bytes(data)
        try:
            environment = open_environment(folder, disk.options)
        except StoreDamage:
            continue
        try:
            loaded = load_state(environment, HOST)
            damaged = bool(loaded.damage) or loaded.rebuilt_indexes
            assert damaged or {n: run.header for n, run in loaded.state.runs.items()} == truth
        except StoreDamage:
            pass
        finally:
            environment.close()
