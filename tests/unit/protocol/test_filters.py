"""What the words of a filter mean, and what is refused because it could take long."""

import time

import pytest

from engine.model.errors import ValueFault
from engine.protocol.filters import parse_filter, select

NAMES = ("fetch", "load_a", "load_b", "Check", "report")
UPS = {1: [0], 2: [0], 3: [1, 2], 4: [3]}
DOWNS = {0: [1, 2], 1: [3], 2: [3], 3: [4]}


def found(text: str, names: tuple[str, ...] = NAMES) -> list[str]:
    chosen = select(
        parse_filter(text), names, range(len(names)), lambda task: UPS.get(task, []), lambda task: DOWNS.get(task, []),
        lambda: None,
    )  # fmt: skip
    return [names[task] for task in chosen]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", list(NAMES)),
        ("LOAD", ["load_a", "load_b"]),
        ("load !_a", ["load_b"]),
        ("!load", ["fetch", "Check", "report"]),
        ("!!load", ["load_a", "load_b"]),
        ("~^l.*b$", ["load_b"]),
        ("~^check$", ["Check"]),
        ("~^CHECK$", []),
        ("!~[a-e]$", ["fetch", "Check", "report"]),
        ("~(fetch|report)", ["fetch", "report"]),
        ("~^(fetch|report|load_?b).*$", ["fetch", "load_b", "report"]),
        ("?rpt", ["report"]),
        ("?tpr", []),
        ("+load_a", ["fetch", "load_a"]),
        ("load_a+", ["load_a", "Check", "report"]),
        ("1+Check+1", ["load_a", "load_b", "Check", "report"]),
        ("+load_a+", ["fetch", "load_a", "Check", "report"]),
        ("+load", ["fetch", "load_a", "load_b"]),
        ("!+Check", ["report"]),
        ("fetch+ load", ["load_a", "load_b"]),
        ("+nothing", []),
    ],
)
def test_a_filter_keeps_the_tasks_for_which_all_its_words_hold(text: str, names: list[str]) -> None:
    assert found(text) == names


@pytest.mark.parametrize(
    "text",
    ["~(a+)+$", "~(a|aa)*", "~a*a*a*b", "~(?=a)", r"~(a)\1", "~[", "~a{2,9}b{2,9}c{2,9}", "a+b+c", "+",
     "~" + "a?" * 24 + "a" * 24, "~" + "(a|a)" * 22 + "b"],
)  # fmt: skip
def test_what_could_take_long_or_makes_no_sense_is_refused_with_words(text: str) -> None:
    with pytest.raises(ValueFault, match=r"filter|expression"):
        parse_filter(text)


@pytest.mark.parametrize("text", ["~a*a*[!-~]b", "~a*a*a?a?b", "~" + "a?" * 8 + "b", "~" + "(a|a)" * 5 + "a*b"])
def test_the_slowest_expressions_that_are_allowed_take_milliseconds_for_the_longest_name(text: str) -> None:
    began = time.process_time()
    assert not found(text, ("a" * 128,))
    assert time.process_time() - began < 0.25


def test_looking_can_be_ended_between_two_names() -> None:
    left = [3]

    def spend() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        select(parse_filter("x"), NAMES, range(5), lambda task: [], lambda task: [], spend)
