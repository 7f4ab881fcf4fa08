"""for_each: where the items come from, how many rows may run or fail, and what `when` and parameters see."""

from typing import Any

import pytest

from engine.core import scope
from engine.model.status import RunStatus
from engine.model.workflow import Command, Param, Python, Shell
from tests.support.builders import flow, task
from tests.support.stories import Player, Refused


def started(*tasks: Any, **params: Any) -> Player:
    declared = tuple(Param(name, "list" if isinstance(value, list) else "integer") for name, value in params.items())
    player = Player(flow(*tasks, params=declared))
    player.submit(**params)
    return player


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (["x", "y"], ["0 x", "1 y"]),
        ("{{ range(2) }}", ["0 0", "1 1"]),
        ("{{ params.names }}", ["0 p", "1 q"]),
        ({"k": 1}, ['0 {"key":"k","value":1}']),
    ],
)
def test_each_item_becomes_a_row_that_knows_it(items: Any, words: list[str]):
    each = task("each", for_each=items, action=Command(("echo", "{{ index }} {{ item }}")))
    player = started(each, names=["p", "q"])
    assert [start.action.argv[1] for start in player.live.values() if isinstance(start.action, Command)] == words


def test_the_items_may_be_the_result_of_a_parent():
    player = started(task("a"), task("b", "a", for_each="{{ needs.a.result }}", action=Command(("x", "{{ item.n }}"))))
    assert player.rows() == {"a": "running", "b": "waiting"}
    player.ok("a", result=b'[{"n": 5}, {"n": 6}]')
    assert [start.action for start in player.live.values()] == [Command(("x", "5")), Command(("x", "6"))]


def test_an_empty_list_skips_the_task_and_says_so():
    player = started(task("a", for_each=[]), task("b", "a"), task("c", "a", trigger_rule="all_done"))
    assert player.rows() == {"a": "skipped", "b": "skipped", "c": "running"}
    assert player.why("a") == "for_each gave no items"


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (b"5", "for_each: for_each gave a number, not a list"),
        (b"true", "for_each: for_each gave true or false, not a list"),
        (b'"a, b"', "for_each: for_each gave a text, not a list"),
        (None, "for_each: for_each gave null, not a list"),
    ],
)
def test_what_is_no_list_fails_the_task_and_says_so(result: bytes | None, why: str):
    player = started(task("a"), task("b", "a", for_each="{{ needs.a.result }}"), task("c", "b"))
    player.ok("a", result=result)
    assert player.rows() == {"a": "succeeded", "b": "failed", "c": "upstream_failed"}
    assert player.why("b").startswith(why)


def test_more_items_than_allowed_fail_the_task(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scope, "ROWS_MAX", 3)
    player = started(task("a", for_each="{{ range(4) }}"), task("b", for_each="{{ range(3) }}"))
    assert player.why("a") == "for_each: for_each gave 4 items, more than 3"
    assert len(player.running) == 3


def test_what_waits_for_a_list_waits_for_all_of_its_rows():
    player = started(task("a", for_each=[1, 2]), task("b", "a", action=Command(("x", "{{ needs.a.results }}"))))
    player.ok("a[1]", result=b'"second"')
    assert player.rows()["b"] == "waiting"
    player.ok("a[0]", result=b'"first"')
    assert player.attempt("b").action == Command(("x", '["first","second"]'))


@pytest.mark.parametrize(
    ("limits", "failing", "expected"),
    [
        ({}, 1, "failed"),
        ({"tolerate": 1}, 1, "succeeded"),
        ({"tolerate": 1}, 2, "failed"),
        ({"tolerate_percent": 50.0}, 2, "succeeded"),
        ({"tolerate_percent": 50.0}, 3, "failed"),
        ({"tolerate_percent": 100.0}, 4, "succeeded"),
        ({"tolerate": 3, "tolerate_percent": 10.0}, 3, "succeeded"),
    ],
)
def test_as_many_rows_may_fail_as_the_task_tolerates(limits: dict[str, Any], failing: int, expected: str):
    player = started(task("a", for_each="{{ range(4) }}", **limits), task("b", "a"))
    player.fail(*(f"a[{index}]" for index in range(failing)))
    player.ok(*(f"a[{index}]" for index in range(failing, 4)))
    assert player.run().task_status(0).text == expected
    player.play()
    assert player.status() is (RunStatus.SUCCEEDED if expected == "succeeded" else RunStatus.FAILED)


# --- when -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["needs.a.result > 3", "{{ needs.a.result > 3 }}"])
@pytest.mark.parametrize(("result", "status"), [(b"5", "running"), (b"2", "skipped")])
def test_a_condition_over_a_result_decides(text: str, result: bytes, status: str):
    player = started(task("a"), task("b", "a", when=text))
    player.ok("a", result=result)
    assert player.rows()["b"] == status


def test_a_false_condition_skips_with_a_sentence_and_a_faulty_one_fails():
    player = started(task("a", when="1 > 2"), task("b", when="1 / 0 > 1"))
    assert player.rows() == {"a": "skipped", "b": "failed"}
    assert player.why("a") == "when is false"
    assert player.why("b").startswith("when: division by zero")
    assert player.status() is RunStatus.FAILED


def test_a_condition_may_look_at_the_status_of_a_parent():
    player = started(task("a"), task("b", "a", trigger_rule="all_done", when="needs.a.status == 'failed'"))
    player.fail("a")
    assert player.running == ["b"]


def test_a_condition_over_the_item_is_asked_for_each_row():
    player = started(task("a", for_each=[1, 5, 2, 7], when="item > 3"), task("b", "a"))
    assert player.rows() == {"a[0]": "skipped", "a[1]": "running", "a[2]": "skipped", "a[3]": "running", "b": "waiting"}
    player.ok("a[1]", "a[3]")
    assert player.running == ["b"]


def test_a_condition_over_no_item_is_asked_once_before_the_list_is_made():
    player = started(task("a", for_each="{{ 1 / 0 }}", when="1 > 2"))
    assert player.rows() == {"a": "skipped"}


# --- texts and parameters -------------------------------------------------------------------------------------------


def test_parameters_arrive_in_texts_and_in_the_environment():
    workflow = flow(
        task(
            "a", action=Shell("echo {{ params.name }}"), dir="out/{{ params.day }}", env=(("N", "{{ params.n * 2 }}"),)
        ),
        task("b", action=Python("m:f", {"n": "{{ params.n }}", "deep": ["{{ params.list }}"]})),
        params=(
            Param("name", "string", "x y"),
            Param("day", "date", "{{ partition }}"),
            Param("n", "integer", 4),
            Param("list", "list", [1]),
        ),
    )
    player = Player(workflow)
    player.submit(n="21")
    start = player.attempt("a")
    assert start.action == Shell("echo 'x y'")
    assert start.dir == "/out/2023-11-14"
    assert dict(start.env) == {
        "PARAM_name": "x y", "PARAM_day": "2023-11-14", "PARAM_n": "21", "PARAM_list": "[1]", "N": "42",
    }  # fmt: skip
    assert player.attempt("b").action == Python("m:f", {"n": 21, "deep": [[1]]})


def test_faulty_parameters_are_refused_all_at_once_and_make_no_run():
    player = Player(flow(task("a"), params=(Param("n", "integer"), Param("day", "date", "2020-01-01"))))
    with pytest.raises(Refused) as refusal:
        player.submit(day="soon", colour="red")
    assert refusal.value.code == "invalid_definition"
    for part in ("the parameter n is required", "day", "no parameter 'colour'"):
        assert part in refusal.value.sentence
    assert player.state.runs == {}
    assert player.state.meta.next_run == 1


def test_a_version_that_is_not_known_is_refused():
    player = Player(flow(task("a")))
    player.machine.state.plans.clear()
    with pytest.raises(Refused, match="has no version"):
        player.submit()


def test_a_workflow_without_tasks_succeeds_at_once():
    player = Player(flow())
    player.submit()
    assert player.status() is RunStatus.SUCCEEDED


def test_a_long_chain_is_given_up_without_recursion():
    tasks = [task("t0"), *(task(f"t{i}", f"t{i - 1}") for i in range(1, 5_000))]
    player = Player(flow(*tasks))
    player.submit()
    player.fail("t0")
    assert player.status() is RunStatus.FAILED
    assert player.rows()["t4999"] == "upstream_failed"
