"""The frozen shape of a workflow: edges both ways, an order, weights, and which results are needed."""

from random import Random

import pytest

from engine.model.errors import DefinitionError
from engine.model.workflow import Command, Python, Workflow
from engine.planning.plan import make_plan
from tests.support.builders import flow, task


def test_edges_lead_both_ways():
    plan = make_plan(flow(task("a"), task("b", "a"), task("c", "a", "b[i]", for_each=[1])))
    assert [list(plan.ups(number)) for number in range(3)] == [[], [0], [0, 1]]
    assert [list(plan.downs(number)) for number in range(3)] == [[1, 2], [2], []]
    assert plan.paired(2) == [1]
    assert plan.below([0]) == {1, 2}
    assert plan.below([0, 1]) == {1, 2}


def test_a_teardown_needs_its_setups_once():
    plan = make_plan(flow(task("up"), task("x"), task("down", "x", "up", teardown_for=("up",))))
    assert list(plan.ups(2)) == [1, 0]
    plan = make_plan(flow(task("up"), task("x"), task("down", "x", teardown_for=("up",))))
    assert list(plan.ups(2)) == [1, 0]
    assert plan.setups(2) == [0]


def test_the_weight_is_the_longest_way_to_an_end():
    plan = make_plan(flow(task("a"), task("b", "a"), task("c", "b"), task("d", "a"), task("e")))
    assert list(plan.weight) == [3, 2, 1, 1, 1]


def test_an_order_puts_every_task_behind_its_needs():
    rng = Random(5)
    names = [f"t{number}" for number in range(200)]
    shuffled = rng.sample(names, k=len(names))
    pieces = {name: task(name, *rng.sample(shuffled[:place], k=min(place, 3))) for place, name in enumerate(shuffled)}
    plan = make_plan(flow(*(pieces[name] for name in names)))
    place = {number: at for at, number in enumerate(plan.order)}
    assert sorted(plan.order) == list(range(200))
    assert all(place[up] < place[number] for number in range(200) for up in plan.ups(number))


def test_a_cycle_is_refused_by_name():
    with pytest.raises(DefinitionError, match="cycle, among them a, b"):
        make_plan(flow(task("a", "b"), task("b", "a"), task("free")))


@pytest.mark.parametrize(
    "fields",
    [
        {"when": "needs.a.result > 1"},
        {"for_each": "{{ needs.a.result }}"},
        {"action": Command(("echo", "{{ needs.a.result }}"))},
        {"action": Python("m:f", {"deep": [{"x": "{{ needs.a.result }}"}]})},
        {"env": (("X", "{{ needs.a.result }}"),)},
        {"dir": "{{ needs.a.result }}"},
    ],
)
def test_a_result_is_kept_where_a_text_looks_at_it(fields: dict[str, object]):
    plan = make_plan(flow(task("a"), task("b", "a", **fields), task("c", "a")))
    assert list(plan.needs_result) == [1, 0, 0]
    assert list(plan.reads_needs) == [0, 1, 0]


def test_a_teardown_may_look_at_the_result_of_its_setup():
    plan = make_plan(flow(task("up"), task("down", teardown_for=("up",), when="needs.up.result")))
    assert list(plan.needs_result) == [1, 0]


def test_equal_workflows_have_one_version_and_a_change_makes_another():
    def version(workflow: Workflow) -> str:
        return make_plan(workflow).version

    assert version(flow(task("a"))) == version(flow(task("a")))
    assert version(flow(task("a"))) != version(flow(task("a", priority=1)))
    assert version(flow(task("a"))) != version(flow(task("a"), name="v"))


def test_a_chain_of_many_tasks_needs_no_stack():
    plan = make_plan(flow(task("t0"), *(task(f"t{i}", f"t{i - 1}") for i in range(1, 20_000))))
    assert plan.weight[0] == 20_000
    assert len(plan.below([0])) == 19_999
