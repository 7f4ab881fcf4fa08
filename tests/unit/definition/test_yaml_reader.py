"""YAML by the 1.2 core schema, and everything that is refused before anyone asks what it means."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.definition.check import check
from engine.definition.load import parse_yaml
from engine.definition.yaml_reader import read_yaml
from engine.model.errors import DefinitionError, Fault


def value_of(text: str) -> Any:
    value, faults = read_yaml(text, "f.yaml")
    assert faults == []
    return value


def faults_of(text: str) -> list[Fault]:
    return read_yaml(text, "f.yaml")[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("12:30", "12:30"), ("12:30:45", "12:30:45"),
        ("2026-01-01", "2026-01-01"), ("1_000", "1_000"), ("true", True), ("False", False), ("TRUE", True),
        ("null", None), ("~", None), ("", None), ("010", 10), ("0o17", 15), ("0x1f", 31), ("-7", -7), ("+7", 7),
        ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("1.", 1.0), ("0b1", "0b1"), ("'5'", "5"), ('"5"', "5"),
        ("9223372036854775807", 2**63 - 1), ("=", "="), ("-", [None]), ("nUll", "nUll"), ("-x", "-x"), ("1e", "1e"),
    ],
)  # fmt: skip
def test_a_plain_scalar_has_the_value_of_the_core_schema(text: str, expected: Any) -> None:
    value = value_of(f"{text}" if text == "-" else f"k: {text}")
    value = value if text == "-" else value["k"]
    assert value == expected
    assert isinstance(value, type(expected))


def test_maps_and_lists_nest_and_small_aliases_stand_for_their_values() -> None:
    assert value_of("a: &x [1, {b: c}]\nd: *x\ne: |\n  l1\n  l2\n") == {
        "a": [1, {"b": "c"}],
        "d": [1, {"b": "c"}],
        "e": "l1\nl2\n",
    }


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3", 3, "there twice"),
        ("a: {b: 1,\n b: 2}", 2, "there twice"),
        ("a: !!python/object/apply:os.system ['x']", 1, "tag"),
        ("a: !mine x", 1, "tag"),
        ("a: !!str 5", 1, "tag"),
        ("b: &x {c: 1}\na:\n  <<: *x", 3, "merge keys"),
        ("a: 1\n---\nb: 2", 2, "several documents"),
        ("a: *nowhere", 1, "stands for nothing"),
        ("a: &x [*x]", 1, "nothing that is complete"),
        ("? [1, 2]\n: x", 1, "a key is a text"),
        ("a: .inf", 1, "no place"),
        ("a: -.NaN\nb: .nan", 2, "no place"),
        ("a: 99999999999999999999", 1, "63 bits"),
        ("a: 1e999", 1, "too large"),
        ("a: [1, 2", 2, "not YAML"),
        ("a: b: c", 1, "not YAML"),
        ("a:\n\t- b", 2, "not YAML"),
        ("a: x\n\x00b: y", 2, "control character"),
        ("a: x\nb: \x1b[31m", 2, "control character"),
        ("a: \x9b", 1, "control character"),
        ("a: \ud800", 1, "control character"),
    ],
)
def test_what_is_refused_names_its_line(text: str, line: int, words: str) -> None:
    faults = faults_of(text)
    assert [fault for fault in faults if fault.line == line and words in fault.message], faults


def test_bare_braces_get_the_hint_to_quote_them() -> None:
    assert faults_of("a:\n  b: [x/{{ y }}]")[0].hint == "put a text with {{ }} in quotes"


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(
            [f"a0: &a0 [{', '.join(['x'] * 10)}]"]
            + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
        ),
        "a: &x 1\nb: [" + ", ".join(["*x"] * 200) + "]",
        "a: " + "[" * 5_000 + "]" * 5_000,
        "a: " + "{a: " * 5_000,
        "\n".join(" " * i + "a:" for i in range(5_000)),
        "- " * 20_000,
        "[" * 1_000_000,
    ],
    ids=["billion laughs", "many aliases", "deep lists", "deep maps", "deep blocks", "deep dashes", "brackets"],
)
def test_a_bomb_is_refused_at_once(text: str) -> None:
    began = time.monotonic()
    assert faults_of(text)
    with pytest.raises(DefinitionError):
        parse_yaml(text, "f.yaml", "/")
    assert time.monotonic() - began < 3


def test_every_fault_of_form_is_told_with_those_of_meaning() -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_yaml("tasks:\n  a: {run: x, run: y}\n  b: {run: x, needs: [c]}\n", "f.yaml", "/")
    assert [(fault.line, fault.field) for fault in caught.value.faults] == [(2, ""), (3, "tasks.b.needs[0]")]


def test_a_number_knows_how_it_was_written_where_a_text_is_wanted() -> None:
    workflow = parse_yaml("tasks: {a: {run: [x, 010, 1.10, 5, true], env: {A: 1.10, B: 010}}}", "f.yaml", "/")
    assert workflow.tasks[0].action.argv == ("x", "010", "1.10", "5", "true")  # type: ignore[union-attr]
    assert workflow.policies[1].env == (("A", "1.10"), ("B", "010"))


def test_values_that_were_written_differently_do_not_share_a_policy() -> None:
    workflow = parse_yaml("tasks: {a: {run: x, env: {A: 010}}, b: {run: x, env: {A: 10}}}", "f.yaml", "/")
    assert [dict(workflow.policies[task.policy].env)["A"] for task in workflow.tasks] == ["010", "10"]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!#|>'\"%@`,?\n 01.~<\x00\x85\ufeff", max_size=60))
def test_any_text_is_a_workflow_or_a_definition_error(text: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_yaml(text, "f.yaml", "/")
    assert caught.value.faults
    assert all(fault.message for fault in caught.value.faults)


KEYS = [
    "tasks",
    "name",
    "run",
    "needs",
    "retry",
    "for_each",
    "claim",
    "schedule",
    "params",
    "a",
    "env",
    "python",
    "args",
]
SCALARS = st.one_of(
    st.sampled_from(["x", "{{ item }}", "{{ 1 +", "5%", "30s", "1GiB", "* * * * *", "m:f", "{{ range(3) }}"]),
    st.integers(-5, 2**65), st.booleans(), st.none(), st.floats(),
)  # fmt: skip
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_any_document_is_a_workflow_or_a_definition_error(head: Any, first: Any, second: Any) -> None:
    text = f"schedule: {flow(head)}\nparams: {flow(second)}\ntasks:\n  a: {flow(first)}\n  b: {flow(second)}\n"
    try:
        workflow = parse_yaml(text, "f.yaml", "/")
    except DefinitionError:
        return
    assert check(workflow) == []


def flow(value: Any) -> str:
    """The value in YAML's flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return (
        f'"{value}"' if isinstance(value, str) else {None: "null", True: "true", False: "false"}.get(value, str(value))
    )
