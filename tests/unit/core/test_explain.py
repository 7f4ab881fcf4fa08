"""Why does it not run: every reason that there can be, with what is asked, what there is, and who has it."""

from engine.core.events import HostSampled
from engine.core.explain import Explainer
from engine.model.ids import NO_INDEX
from engine.model.instants import SECOND
from engine.model.resources import Claim
from engine.model.workflow import Retry
from tests.support.builders import flow, task
from tests.support.stories import Player


def started(*tasks: object, cpus: float = 100) -> Player:
    player = Player(flow(*tasks), cpus=cpus)  # pyright: ignore[reportArgumentType]
    player.submit()
    return player


def test_a_waiting_task_names_the_needs_that_have_not_ended():
    player = started(task("a"), task("b"), task("c", "a", "b"))
    player.ok("a")
    (reason,) = player.explain("c")[2]
    assert (reason.kind, reason.asked, reason.available, reason.holders) == ("upstream", 2, 1, ("b",))


def test_a_waiting_pair_names_its_own_row():
    player = started(task("a", for_each=[1, 2]), task("b", "a[i]", for_each=[1, 2]))
    player.ok("a[0]")
    (reason,) = player.explain("b[1]")[2]
    assert reason.holders == ("a[1]",)


def test_many_open_needs_are_counted_and_ten_are_named():
    player = started(*(task(f"t{number}") for number in range(15)), task("z", *(f"t{number}" for number in range(15))))
    (reason,) = player.explain("z")[2]
    assert (reason.asked, reason.available, len(reason.holders)) == (15, 0, 10)


def test_what_a_row_itself_lacks_comes_before_the_pressure_on_the_host():
    player = started(task("a"), task("b"), task("c", "b"), cpus=1)
    player.step(HostSampled(10 * 2**20, 1000 * 2**20))
    assert [reason.kind for reason in player.explain("a")[2]] == ["capacity", "pressure"]
    assert [reason.kind for reason in player.explain("c")[2]] == ["upstream"]


def test_a_task_that_would_fit_says_who_is_ahead():
    player = started(task("a"), task("c"), task("b", claim=Claim(2000)), task("d"), cpus=2)
    player.machine.drain()
    player.ok("a")
    rank, _, reasons = player.explain("b")
    assert (rank, [reason.kind for reason in reasons]) == (1, ["stopping", "capacity"])
    player.ok("c")
    rank, _, reasons = player.explain("d")
    assert (rank, [reason.kind for reason in reasons]) == (2, ["stopping", "behind"])


def test_a_task_that_would_delay_a_wide_one_names_it():
    player = started(task("a"), task("wide", claim=Claim(2000)), task("small"), cpus=2)
    (reason,) = player.explain("small")[2]
    assert (reason.kind, reason.holders) == ("reservation", ("r1 wide",))


def test_a_row_that_backs_off_says_when_it_goes_again():
    player = started(task("a", retry=Retry(limit=1, delay_ns=30 * SECOND)))
    player.fail("a")
    _, predicted_ns, (reason,) = player.explain("a")
    assert predicted_ns == player.now_ns + 30 * SECOND
    assert (reason.kind, reason.asked) == ("backing_off", 30.0)


def test_each_ready_row_that_one_explainer_is_asked_for_names_all_holders():
    player = started(task("a"), task("b"), task("c"), cpus=1)
    explainer, run = Explainer(player.machine.cx), player.run()
    for name in ("b", "c", "b"):
        (reason,) = explainer.reasons(run, run.plan.index[name], NO_INDEX)[2]
        assert (reason.kind, reason.holders) == ("capacity", ("r1 a",))


def test_ranks_count_rows_and_not_entries():
    player = started(task("a", for_each="{{ range(10) }}"), task("b"), cpus=2)
    assert [player.explain(f"a[{index}]")[0] for index in (1, 2, 9)] == [None, 1, 8]
    assert player.explain("b")[0] == 9


def test_what_runs_or_has_ended_has_no_reasons():
    player = started(task("a"), task("b", "a"))
    assert player.explain("a") == (None, None, [])
    player.fail("a")
    assert player.explain("b") == (None, None, [])


def test_a_task_whose_rows_are_not_known_is_explained_as_a_whole():
    player = started(task("a"), task("b", "a", for_each="{{ needs.a.result }}"))
    (reason,) = player.explain("b")[2]
    assert (reason.kind, reason.holders) == ("upstream", ("a",))
