"""What is on disk is enough: a machine that is loaded goes on as the one that was thrown away would have."""

import msgspec

from engine.core.machine import Machine
from engine.model.instants import SECOND
from engine.model.status import RunStatus
from engine.model.workflow import Retry
from tests.support.builders import flow, task
from tests.support.memory_disk import picture
from tests.support.stories import Player

LONG = flow(
    task("a", for_each="{{ range(3) }}", max_parallel=2),
    task("b", "a[i]", for_each="{{ range(3) }}", retry=Retry(limit=2, delay_ns=5 * SECOND, jitter="full")),
    task("c", "b", for_each="{{ range(300) }}"),
    task("d", "c", when="needs.c.count == 300"),
)


def _live_through(*, restarts: bool) -> Player:
    player = Player(LONG, cpus=20)
    player.submit()
    for number in range(2_000):
        if restarts and number % 7 == 0:
            player.restart()
        if player.live:
            row = player.running[0]
            if row.startswith("b") and player.tries(row) == 1:
                player.fail(row)
            else:
                player.ok(row)
        elif due := player.machine.next_due()[0]:
            player.advance((due - player.now_ns) / SECOND)
        else:
            break
    return player


def test_a_run_with_many_restarts_is_the_same_run():
    once, often = _live_through(restarts=False), _live_through(restarts=True)
    assert once.status() is often.status() is RunStatus.SUCCEEDED
    assert msgspec.msgpack.encode(once.journal) == msgspec.msgpack.encode(often.journal)
    assert picture(once.run()) == picture(often.run())


def test_a_loaded_machine_orders_nothing_that_is_ordered_already():
    player = Player(flow(task("a"), task("b", "a")))
    player.submit()
    player.restart()
    assert player.step().effects == []
    player.ok("a")
    assert player.running == ["b"]


def test_a_list_without_items_hides_no_row_of_a_later_list_after_a_restart():
    player = Player(
        flow(task("x"), task("none", "x", for_each=[]), task("some", "none", for_each=[1], trigger_rule="all_done"))
    )
    player.submit()
    player.ok("x")
    player.restart()
    assert player.run().place(player.run().row(2, 0)) == (2, 0)
    assert player.explain("some[0]") == (None, None, [])
    player.ok("some[0]")
    assert player.status() is RunStatus.SUCCEEDED


def test_a_finished_run_that_has_left_the_memory_can_be_brought_back_and_rerun():
    player = Player(flow(task("a"), task("b", "a", env=(("SEEN", "{{ needs.a.result }}"),))))
    player.submit()
    player.ok("a", result=b"5")
    player.ok("b")
    player.machine.forget_run(1)
    assert player.state.runs == {}
    player.restart()
    player.machine.install_run(player.disk.load_run(1))
    player.rerun("b")
    assert dict(player.attempt("b").env)["SEEN"] == "5"
    player.play()
    assert player.status() is RunStatus.SUCCEEDED


def test_a_run_that_goes_on_is_not_forgotten():
    player = Player(flow(task("a")))
    player.submit()
    player.machine.forget_run(1)
    assert list(player.state.runs) == [1]


def test_ages_are_kept_apart_by_run_after_a_restart():
    player = Player(flow(task("a", for_each=[1, 2])), cpus=1)
    player.submit()
    player.submit()
    player.machine = Machine(player.disk.load())
    player.play()
    runs = [event.run for event in player.journal if type(event).__name__ == "AttemptOrdered"]
    assert runs == [1, 1, 2, 2]
