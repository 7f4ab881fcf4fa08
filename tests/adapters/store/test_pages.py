"""What the server reads: pages of runs, events, audit, attempts."""

import pytest

from engine.core.events import AttemptExited, AttemptOrdered, AttemptStarted, RunFinished, TaskFinished
from engine.model.errors import ValueFault
from engine.model.ids import NO_INDEX
from engine.model.status import AttemptStatus, OutcomeKind, RunStatus
from engine.store.journal import JournalEntry, events_page
from engine.store.queries import (
    attempts_of,
    audit_page,
    last_attempts,
    runs_page,
    version,
)
from tests.adapters.store.conftest import Play
from tests.adapters.store.world import LmdbDisk, two_tasks
from tests.support.builders import flow, task


def many_runs(play: Play) -> LmdbDisk:
    """Runs 1..9 of workflows `one` and `two` in turn: every third failed, the newest still runs, others succeeded."""
    player, disk = play(two_tasks("one"), two_tasks("two"))
    for number in range(1, 10):
        player.submit("one" if number % 2 else "two")
        if number == 9:
            break
        if number % 3 == 0:
            player.fail("a")
        else:
            player.ok("a", "b")
    return disk


def pages(disk: LmdbDisk, limit: int, workflow: str = "", statuses: tuple[RunStatus, ...] = ()) -> list[int]:
    numbers: list[int] = []
    before = 0
    while True:
        page = runs_page(disk.environment, before, limit, workflow, statuses)
        assert len(page.headers) <= limit
        numbers += [header.run for header in page.headers]
        before = page.before
        if not before:
            return numbers


@pytest.mark.parametrize("limit", [1, 2, 4, 100])
def test_runs_come_newest_first_in_pages_of_any_size(play: Play, limit: int) -> None:
    disk = many_runs(play)
    assert pages(disk, limit) == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert pages(disk, limit, "two") == [8, 6, 4, 2]
    assert pages(disk, limit, "", (RunStatus.FAILED, RunStatus.RUNNING)) == [9, 6, 3]
    assert pages(disk, limit, "one", (RunStatus.FAILED,)) == [3]
    assert pages(disk, limit, "three") == []


def test_a_run_leaves_one_list_when_it_enters_another(play: Play) -> None:
    player, disk = play(two_tasks())
    player.submit()
    assert pages(disk, 9, "", (RunStatus.RUNNING,)) == [1]
    player.fail("a")
    assert pages(disk, 9, "", (RunStatus.RUNNING,)) == []
    assert pages(disk, 9, "w", (RunStatus.FAILED,)) == [1]
    player.retry()
    assert pages(disk, 9, "w", (RunStatus.FAILED,)) == []
    assert pages(disk, 9, "w", (RunStatus.RUNNING,)) == [1]


def test_a_workflow_is_not_found_by_the_beginning_of_its_name(play: Play) -> None:
    player, disk = play(two_tasks("order"), two_tasks("orders"))
    player.submit("orders")
    assert pages(disk, 9, "order") == []


def told(entries: list[JournalEntry]) -> list[tuple[str, int, int, int, int]]:
    return [(type(e.event).__name__, e.run, e.task, e.attempt, e.number) for e in entries]


def test_events_say_what_they_are_about_even_where_they_only_name_an_attempt(play: Play) -> None:
    player, disk = play(two_tasks())
    player.submit()
    player.submit()
    player.ok("a", run=1)
    entries = events_page(disk.environment, 1).entries
    kinds = [type(entry.event) for entry in entries]
    assert kinds.index(AttemptOrdered) < kinds.index(AttemptStarted) < kinds.index(AttemptExited)
    assert kinds.index(AttemptExited) < kinds.index(TaskFinished)
    exited = next(entry for entry in entries if isinstance(entry.event, AttemptExited))
    assert (exited.run, exited.task, exited.index, exited.attempt, exited.number) == (1, 0, NO_INDEX, 1, 1)
    assert {entry.run for entry in entries} == {1}


@pytest.mark.parametrize("limit", [1, 3, 1000])
@pytest.mark.parametrize("run", [0, 2])
def test_pages_of_events_of_any_size_give_the_same_events(play: Play, run: int, limit: int) -> None:
    disk = many_runs(play)
    whole = told(events_page(disk.environment, run, limit=10_000).entries)
    assert whole
    found: list[JournalEntry] = []
    cursor = ""
    while True:
        page = events_page(disk.environment, run, cursor, limit)
        found += page.entries
        cursor = page.cursor
        if not page.more:
            break
    assert told(found) == whole
    assert events_page(disk.environment, run, cursor).entries == []


def test_a_cursor_continues_with_what_came_later(play: Play) -> None:
    player, disk = play(two_tasks())
    player.submit()
    first = events_page(disk.environment, 1)
    player.ok("a", "b")
    later = events_page(disk.environment, 1, first.cursor)
    assert isinstance(later.entries[-1].event, RunFinished)
    assert told(first.entries + later.entries) == told(events_page(disk.environment, 1).entries)


@pytest.mark.parametrize("cursor", ["x", "1", "1.", ".1", "-1.0", "1.1.1", "9" * 30 + ".0", "١.٠"])
def test_a_made_up_cursor_is_refused(play: Play, cursor: str) -> None:
    _, disk = play()
    with pytest.raises(ValueFault):
        events_page(disk.environment, 0, cursor)


def test_attempts_of_a_row_come_in_order_and_only_its_own(play: Play) -> None:
    player, disk = play(flow(task("many", for_each="{{ range(12) }}")))
    player.submit()
    player.fail("many[1]")
    for index in (0, *range(2, 12)):
        player.ok(f"many[{index}]")
    player.retry()
    found = attempts_of(disk.environment, 1, 0, 1)
    assert [(attempt.number, attempt.index) for attempt in found] == [(1, 1), (2, 1)]
    assert found[0].outcome is not None
    assert found[0].outcome.kind is OutcomeKind.FAILED
    assert found[1].status is AttemptStatus.ORDERED
    last = last_attempts(disk.environment, 1, [(0, 1, 2), (0, 3, 1), (0, 4, 7), (0, 5, 0)])
    assert [attempt and (attempt.index, attempt.number) for attempt in last] == [(1, 2), (3, 1), None, None]


def test_versions_are_found_by_their_names(play: Play) -> None:
    player, disk = play(two_tasks())
    player.submit()
    found = version(disk.environment, player.run(1).plan.version)
    assert found == two_tasks()
    assert version(disk.environment, "0123456789abcdef") is None


def test_the_audit_comes_newest_first_and_in_pages(play: Play) -> None:
    player, disk = play()
    for name in ("one", "two", "three"):
        player.add(two_tasks(name))
    first = audit_page(disk.environment, 0, 2)
    assert [entry.verb for _, _, entry in first.entries] == ["add", "add"]
    rest = audit_page(disk.environment, first.before, 2)
    assert len(rest.entries) == 1
    assert rest.before == 0
    revisions = [revision for revision, _, _ in first.entries + rest.entries]
    assert revisions == sorted(revisions, reverse=True)
