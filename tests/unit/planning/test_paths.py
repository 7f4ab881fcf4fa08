"""The longest way to the end of a run, in time."""

from engine.planning.paths import UNKNOWN_NS, remaining_paths_ns
from engine.planning.plan import make_plan
from tests.support.builders import flow, task


def test_without_history_the_way_of_most_tasks_is_the_longest():
    plan = make_plan(flow(task("a"), task("b", "a"), task("c", "b"), task("d")))
    assert list(remaining_paths_ns(plan)) == [3 * UNKNOWN_NS, 2 * UNKNOWN_NS, UNKNOWN_NS, UNKNOWN_NS]
    assert [weight * UNKNOWN_NS for weight in plan.weight] == list(remaining_paths_ns(plan))


def test_with_history_the_way_is_as_long_as_what_is_on_it():
    plan = make_plan(flow(task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c")))
    assert list(remaining_paths_ns(plan, [10, 500, 30, 7])) == [517, 507, 37, 7]


def test_what_is_not_known_counts_as_a_second():
    plan = make_plan(flow(task("a"), task("b", "a")))
    assert list(remaining_paths_ns(plan, [0, 25])) == [UNKNOWN_NS + 25, 25]
