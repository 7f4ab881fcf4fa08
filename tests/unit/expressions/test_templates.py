"""Texts with expressions in them: typed when alone, written in otherwise."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.expressions import ExpressionFault, compile_template

SCOPE: dict[str, Any] = {"params": {"n": 3, "f": 0.1, "l": [1, "a", None], "t": True, "z": None, "m": {"k": 1}}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ params.n }}", 3),
        (" {{ params.l }}\n", [1, "a", None]),
        ("{{ range(4) }}", range(4)),
        ("n={{ params.n }}", "n=3"),
        ("{{ params.n }}{{ params.n }}", "33"),
        ("{{ params.t }}/{{ params.z }}/{{ params.f }}/{{ 1e22 }}/{{ 2.0 }}", "true/null/0.1/1e+22/2.0"),
        ("x{{ params.l }}{{ params.m }}", 'x[1,"a",null]{"k":1}'),
        ("{{ '}}' + \"{{\" }}", "}}{{"),
        ("{{ {'a': {'b': 1}}['a'] }}", {"b": 1}),
        ("plain } text }}", "plain } text }}"),
    ],
)
def test_a_lone_expression_keeps_its_type_and_others_become_text(text: str, expected: Any) -> None:
    assert compile_template(text).render(SCOPE) == expected


def test_render_text_is_always_text_and_keeps_what_stands_around() -> None:
    assert compile_template(" {{ params.n }} ").render_text(SCOPE) == " 3 "
    assert compile_template("{{ range(3) }}").render_text({}) == "[0,1,2]"


def test_a_template_knows_whether_it_is_constant_and_what_it_reads() -> None:
    assert compile_template("plain").constant
    template = compile_template("{{ params.n }} {{ needs.a.result }}")
    assert not template.constant
    assert template.references == {("params", "n"), ("needs", "a", "result")}


@pytest.mark.parametrize(("text", "position"), [("a {{ 1", 2), ("ab {{ 1 + }}", 10), ("{{}}", 2), ("{{ '}} ", 3)])
def test_a_broken_template_is_a_fault_with_its_position_in_the_whole_text(text: str, position: int) -> None:
    with pytest.raises(ExpressionFault) as caught:
        compile_template(text)
    assert caught.value.position == position


def test_a_text_over_a_mebibyte_is_refused() -> None:
    with pytest.raises(ExpressionFault, match="longer"):
        compile_template("{{ a }}{{ a }}").render_text({"a": "x" * 600_000})


@given(st.text(alphabet="ab{} '\"", max_size=30))
def test_any_text_renders_or_is_a_fault(text: str) -> None:
    try:
        rendered = compile_template(text).render_text({"a": 1, "b": 2})
    except ExpressionFault:
        assert "{{" in text
    else:
        assert "{{" in text or rendered == text


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(), st.lists, max_leaves=10))
def test_a_value_comes_out_of_a_lone_expression_as_it_went_in(value: Any) -> None:
    assert compile_template("{{ item }}").render({"item": value}) == value
