"""Forgetting in small steps, and what must not be forgotten."""

import pytest

from engine.model.instants import DAY
from engine.store.errors import CommitFailed
from engine.store.journal import events_page
from engine.store.load import load_run
from engine.store.queries import attempts_of, audit_page, runs_page, verify_audit, version
from engine.store.retention import Retention, RetentionSettings, Step, logs_removed
from engine.store.tables import RUN_TABLES, Table, number_key
from tests.adapters.store.conftest import Play
from tests.adapters.store.test_pages import told
from tests.adapters.store.world import LmdbDisk, two_tasks
from tests.support.builders import flow, task
from tests.support.stories import Player


def settings(**fields: int) -> Retention:
    return Retention(RetentionSettings(**fields))


def forget(
    disk: LmdbDisk, retention: Retention, now_ns: int, keep: tuple[int, ...] = (), limit: int = 100
) -> list[Step]:
    """Steps until nothing is left to do; log folders are said to be deleted at once."""
    steps: list[Step] = []
    for _ in range(1_000):
        step = disk.committer.run(lambda edit: retention.step(edit, now_ns, keep, limit))
        steps.append(step)
        if step.logs:
            disk.committer.run(lambda edit, runs=step.logs: logs_removed(edit, runs))
        if not step.more and not step.logs:
            return steps
    raise AssertionError("it never ends")


def finish(player: Player, count: int) -> None:
    for _ in range(count):
        player.submit()
        player.ok("a", "b")


def kept(disk: LmdbDisk) -> list[int]:
    return [header.run for header in runs_page(disk.environment, limit=1_000).headers]


def records_of(disk: LmdbDisk, run: int) -> int:
    with disk.environment.read() as view:
        return sum(1 for table in RUN_TABLES for _ in view.scan(table, number_key(run)))


def test_nothing_goes_while_everything_is_within_its_bounds(play: Play) -> None:
    player, disk = play(two_tasks())
    finish(player, 3)
    step = disk.committer.run(lambda edit: Retention().step(edit, player.now_ns))
    assert step == Step(0, 0, [], more=False)


def test_the_oldest_finished_runs_go_when_there_are_too_many(play: Play) -> None:
    player, disk = play(two_tasks())
    finish(player, 6)
    player.submit()
    steps = forget(disk, settings(runs_count=2), player.now_ns)
    assert kept(disk) == [7, 6, 5]
    assert sorted(run for step in steps for run in step.logs) == [1, 2, 3, 4]
    assert [records_of(disk, run) for run in (1, 2, 3, 4)] == [0, 0, 0, 0]
    assert records_of(disk, 5) > 0
    assert load_run(disk.environment, 1) is None
    assert len(disk.load().runs) == 1


def test_finished_runs_go_by_age_and_unfinished_ones_never(play: Play) -> None:
    player, disk = play(two_tasks())
    player.submit()
    long_run = player.newest
    finish(player, 2)
    player.advance(100 * 86_400)
    finish(player, 1)
    forget(disk, settings(runs_age_ns=DAY), player.now_ns)
    assert kept(disk) == [4, long_run]


def test_a_run_that_was_reopened_in_memory_stays(play: Play) -> None:
    player, disk = play(two_tasks())
    finish(player, 3)
    forget(disk, settings(runs_count=0), player.now_ns, keep=(2,))
    assert kept(disk) == [2]
    assert load_run(disk.environment, 2) is not None


def test_a_run_that_is_reopened_while_it_is_being_forgotten_is_not_brought_back_by_half(play: Play) -> None:
    player, disk = play(two_tasks())
    player.submit()
    player.fail("a")
    disk.committer.run(lambda edit: settings(runs_count=0).step(edit, player.now_ns, (), 1))
    with pytest.raises(CommitFailed, match="being forgotten"):
        player.retry()
    disk.reopen()
    assert disk.load().runs == {}


def test_what_is_due_is_what_a_step_would_take(play: Play) -> None:
    player, disk = play(two_tasks())
    finish(player, 4)
    with disk.environment.read() as view:
        assert settings(runs_count=1).due(view, player.now_ns, (2,), 100) == [1, 3, 4]
        assert settings(runs_count=1).due(view, player.now_ns, (), 2) == [1, 2]
        assert Retention().due(view, player.now_ns, (), 100) == []


def test_a_long_run_goes_in_many_small_steps_and_is_never_seen_by_half(play: Play) -> None:
    rows = 300
    player, disk = play(flow(task("many", for_each=list(range(rows)))), cpus=1000)
    player.submit()
    for index in range(rows):
        player.ok(f"many[{index}]")
    retention = settings(runs_count=0)
    step = disk.committer.run(lambda edit: retention.step(edit, player.now_ns, (), 50))
    assert step.deleted <= 50
    assert step.more
    assert step.logs == []
    assert kept(disk) == []
    assert load_run(disk.environment, 1) is None
    steps = forget(disk, retention, player.now_ns, limit=50)
    assert all(step.deleted <= 50 for step in steps)
    assert len(steps) >= rows // 50
    assert records_of(disk, 1) == 0


def test_logs_that_were_not_deleted_yet_are_named_again_after_a_restart(play: Play) -> None:
    player, disk = play(two_tasks())
    finish(player, 1)
    first = disk.committer.run(lambda edit: settings(runs_count=0).step(edit, player.now_ns))
    assert first.logs == [1]
    disk.reopen()
    again = disk.committer.run(lambda edit: settings(runs_count=0).step(edit, player.now_ns))
    assert again.logs == [1]
    disk.committer.run(lambda edit: logs_removed(edit, [1]))
    assert disk.committer.run(lambda edit: settings(runs_count=0).step(edit, player.now_ns)).logs == []


@pytest.mark.parametrize("bound", [{"journal_batches": 2}, {"journal_age_ns": 0}, {"journal_bytes": 1}])
def test_runs_keep_their_own_events_when_the_journal_is_pruned(play: Play, bound: dict[str, int]) -> None:
    player, disk = play(two_tasks())
    finish(player, 3)
    before = {run: told(events_page(disk.environment, run, limit=1_000).entries) for run in (1, 2, 3)}
    everything = len(events_page(disk.environment, 0, limit=1_000).entries)
    forget(disk, settings(**bound), player.now_ns + 1, limit=4)
    assert len(events_page(disk.environment, 0, limit=1_000).entries) < everything
    after = {run: told(events_page(disk.environment, run, limit=1_000).entries) for run in (1, 2, 3)}
    assert after == before
    for limit in (1, 2, 5):
        cursor, found = "", []
        while True:
            page = events_page(disk.environment, 2, cursor, limit)
            found += page.entries
            cursor = page.cursor
            if not page.more:
                break
        assert told(found) == before[2]


def test_a_run_that_goes_on_keeps_its_pruned_events_too(play: Play) -> None:
    player, disk = play(two_tasks())
    player.submit()
    player.ok("a")
    forget(disk, settings(journal_batches=0), player.now_ns)
    player.ok("b")
    names = [name for name, *_ in told(events_page(disk.environment, 1).entries)]
    assert names[0] == "RunRequested" or names[0] == "RunQueued"
    assert names[-1] == "RunFinished"


def test_attempts_of_kept_runs_stay(play: Play) -> None:
    player, disk = play(two_tasks())
    finish(player, 2)
    forget(disk, settings(runs_count=1, journal_batches=0), player.now_ns)
    assert attempts_of(disk.environment, 1, 0, -1) == []
    assert len(attempts_of(disk.environment, 2, 0, -1)) == 1


def test_the_audit_goes_from_the_front_and_its_chain_stays_whole(play: Play) -> None:
    player, disk = play(two_tasks())
    finish(player, 5)
    forget(disk, settings(audit_count=2), player.now_ns)
    assert len(audit_page(disk.environment).entries) == 2
    assert verify_audit(disk.environment) == 2
    player.submit()
    assert verify_audit(disk.environment) == 3
    forget(disk, settings(audit_age_ns=-1), player.now_ns)
    assert verify_audit(disk.environment) == 0


def test_answers_to_old_requests_are_forgotten(play: Play) -> None:
    player, disk = play(two_tasks())
    player.submit(request_id="old")
    player.advance(2 * 86_400)
    player.submit(request_id="new")
    forget(disk, Retention(), player.now_ns)
    assert list(disk.load().requests) == ["new"]


def test_versions_go_when_neither_a_run_nor_a_workflow_needs_them(play: Play) -> None:
    player, disk = play()
    old, new = two_tasks(), flow(task("a"), task("b", "a"), task("c"))
    player.add(old)
    player.submit()
    player.ok("a", "b")
    old_version, new_version = player.plans["w"].version, None
    player.add(new)
    new_version = player.plans["w"].version
    forget(disk, Retention(), player.now_ns)
    assert version(disk.environment, old_version) == old, "the finished run still needs it"
    forget(disk, settings(runs_count=0), player.now_ns)
    assert version(disk.environment, old_version) is None
    assert version(disk.environment, new_version) == new


def test_a_version_that_was_forgotten_is_written_again_when_a_run_needs_it(play: Play) -> None:
    player, disk = play(two_tasks())
    finish(player, 1)
    forget(disk, settings(runs_count=0), player.now_ns)
    assert version(disk.environment, player.plans["w"].version) is None
    player.submit()
    assert version(disk.environment, player.plans["w"].version) == two_tasks()


def test_a_step_forgets_in_pieces_what_is_longer_than_its_limit(play: Play) -> None:
    player, disk = play(two_tasks())
    finish(player, 10)
    steps = forget(disk, settings(journal_batches=0), player.now_ns, limit=5)
    assert len(steps) > 4
    with disk.environment.read() as view:
        assert view.count(Table.JOURNAL) == 0
        assert view.count(Table.JOURNAL_BY_RUN) == 0
