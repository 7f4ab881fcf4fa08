"""Keys: their order is the order of the numbers, and they can be read back."""

from hypothesis import given
from hypothesis import strategies as st

from engine.model.ids import NO_INDEX
from engine.store import tables
from engine.store.tables import Table

U64 = st.integers(0, 2**64 - 1)
U31 = st.integers(0, 2**31)
ROWS = st.tuples(U64, U31, st.integers(NO_INDEX, 2**31), st.integers(0, 65535))


@given(st.lists(ROWS, min_size=2, max_size=10))
def test_attempts_are_ordered_by_run_task_index_and_number(places: list[tuple[int, int, int, int]]) -> None:
    keys = [tables.attempt_key(*place) for place in places]
    assert [tables.attempt_of(key) for key in sorted(keys)] == sorted(places)


@given(ROWS)
def test_a_row_is_the_prefix_of_its_attempts_and_a_run_of_both(place: tuple[int, int, int, int]) -> None:
    run, task, index, number = place
    key = tables.attempt_key(run, task, index, number)
    assert key.startswith(tables.row_key(run, task, index))
    assert key.startswith(tables.part_key(run, task))
    assert key.startswith(tables.number_key(run))
    assert tables.row_of(tables.row_key(run, task, index)) == (run, task, index)
    assert tables.number_of(key) == run


@given(st.lists(st.tuples(U64, U64), min_size=2, max_size=10))
def test_pairs_are_ordered_by_their_numbers(pairs: list[tuple[int, int]]) -> None:
    keys = sorted(tables.pair_key(*pair) for pair in pairs)
    assert [(tables.number_of(key), tables.last_number_of(key)) for key in keys] == sorted(pairs)


@given(st.lists(st.tuples(st.integers(0, 6), U64), min_size=2, max_size=10))
def test_runs_of_one_status_lie_side_by_side_in_order(entries: list[tuple[int, int]]) -> None:
    keys = sorted(tables.status_key(*entry) for entry in entries)
    assert [(key[0], tables.last_number_of(key)) for key in keys] == sorted(entries)


def test_a_workflow_is_no_prefix_of_another() -> None:
    assert not tables.workflow_prefix("orders", 1).startswith(tables.workflow_prefix("order", 1)[:-1])
    assert not tables.version_prefix("ab").startswith(tables.version_prefix("a"))


def test_numbers_and_names_of_tables_never_change() -> None:
    """They seed the checksums: another number would make every record of the table damaged."""
    assert {table.title: int(table) for table in Table} == {
        "meta": 1, "journal": 2, "journal_by_run": 3, "runs": 4, "rows": 5, "attempts": 6, "live": 7, "items": 8,
        "results": 9, "versions": 10, "workflows": 11, "audit": 12, "requests": 13, "history": 14, "run_status": 15,
        "by_status": 16, "by_workflow": 17, "finished": 18, "by_version": 19, "dropping": 20, "quarantine": 21,
        "blocks": 22, "spans": 23, "backfills": 24, "by_partition": 25,
    }  # fmt: skip


@given(st.sampled_from(Table), st.binary(max_size=40))
def test_any_key_has_a_text_without_control_characters(table: Table, key: bytes) -> None:
    assert all(character.isprintable() for character in tables.key_text(table, key))


def test_keys_are_shown_as_people_know_them() -> None:
    assert tables.key_text(Table.ROWS, tables.part_key(12, 3)) == "r12 chunk 3"
    assert tables.key_text(Table.ATTEMPTS, tables.attempt_key(1, 2, 3, 4)) == "r1 task 2 index 3 attempt 4"
    assert tables.key_text(Table.VERSIONS, b"0123") == "'0123'"
