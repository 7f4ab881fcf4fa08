"""A run at any past moment: the journal folded up to there gives what the run was then.

That the newest moment is right is asked after every step of every story (`tests.support.stories`); here it is the way
back and forth.
"""

from engine.core.replay import COPIES_MAX, COPY_EVERY, Batch, Replays
from engine.model.status import RunStatus, TaskStatus
from tests.support.builders import flow, task
from tests.support.looking_back import differences
from tests.support.stories import Player


def lived() -> Player:
    """A run with retries, a mapped task, a mark and a rerun behind it."""
    player = Player(flow(task("a"), task("b", "a", for_each=[1, 2, 3], max_parallel=2), task("c", "b"), task("d", "c")))
    player.submit()
    player.ok("a")
    player.ok("b[0]")
    player.fail("b[1]")
    player.ok("b[2]")
    player.mark(TaskStatus.SUCCEEDED, "b[1]")
    player.pause()
    player.resume()
    player.ok("c", "d")
    player.rerun("b[2]")
    player.play()
    assert player.status() is RunStatus.SUCCEEDED
    return player


def at(past: Replays, batches: list[Batch], revision: int) -> list[int]:
    """The counts after the batch, as somebody who jumps there sees them."""
    past.rewind(revision, 2**63)
    for batch in batches:
        if past.now.revision < batch.revision <= revision:
            past.take(batch)
    return past.now.run.header.counts


def test_every_moment_can_be_gone_to_from_every_other():
    player = lived()
    run, batches, truth = player.run(), player.past.batches[1], player.past.truth[1]
    past = Replays(run.header, run.plan)
    moments = [batch.revision for batch in batches]
    assert len(moments) > 12
    for first in moments:
        for second in moments:
            at(past, batches, first)
            assert at(past, batches, second) == truth[second]
    assert differences(past.now.run, run) == []


def test_before_its_first_event_a_run_has_not_begun():
    player = lived()
    run = player.run()
    past = Replays(run.header, run.plan)
    at(past, player.past.batches[1], 10**9)
    at(past, player.past.batches[1], 0)
    assert past.now.run.header.status is RunStatus.QUEUED
    assert past.now.run.header.counts[TaskStatus.WAITING] == 3
    assert past.now.run.first_row[1] == -1


def test_a_copy_goes_on_by_itself():
    player = lived()
    past = Replays(player.run().header, player.run().plan)
    batches, truth = player.past.batches[1], player.past.truth[1]
    middle = batches[len(batches) // 2].revision
    at(past, batches, middle)
    kept = past.now.copy()
    at(past, batches, batches[-1].revision)
    assert kept.run.header.counts == truth[middle]


def test_the_way_back_in_a_long_past_begins_near_the_moment_and_the_copies_are_bounded():
    rows = COPY_EVERY * 2
    player = Player(flow(task("a", for_each=f"{{{{ range({rows}) }}}}")), cpus=1)
    player.submit()
    batches = list(player.past.batches[1])
    last = batches[-1]
    ordered = last.events[-1]
    many = [Batch(last.revision + n, last.at_ns + n, [ordered] * 100) for n in range(1, 40 * COPY_EVERY // 100)]
    past = Replays(player.run().header, player.run().plan)
    taken = 0
    for batch in (*batches, *many):
        past.take(batch)
    assert past.rows <= len(past.now.run.status) * (2 + COPIES_MAX)
    goal = many[-1].revision - 1
    past.rewind(goal, 2**63)
    taken = sum(past.now.revision < batch.revision <= goal for batch in many)
    assert taken * 100 <= 8 * COPY_EVERY


def test_a_past_with_a_gap_is_shown_as_far_as_it_is_known():
    player = lived()
    past = Replays(player.run().header, player.run().plan)
    for batch in player.past.batches[1][::2]:
        past.take(batch)
    assert sum(past.now.run.header.counts) >= 3
