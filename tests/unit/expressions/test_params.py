"""Parameters: types, defaults, choices, and all faults at once."""

from typing import Any

import pytest

from engine.expressions.params import bind_params
from engine.model.errors import DefinitionError
from engine.model.workflow import Command, Param, Task, Workflow


def workflow(*params: Param) -> Workflow:
    return Workflow("w", (Task("t", Command(("true",))),), params=params)


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("string", "x", "x"),
        ("integer", "-12", -12),
        ("integer", 5, 5),
        ("number", "1.5", 1.5),
        ("number", "3", 3),
        ("boolean", "true", True),
        ("boolean", False, False),
        ("date", "2026-01-31", "2026-01-31"),
        ("datetime", "2026-01-31T02:00:00+00:00", "2026-01-31T02:00:00Z"),
        ("duration", "1h30m", "1h30m"),
        ("list", '[1, "a"]', [1, "a"]),
        ("list", [1], [1]),
        ("map", '{"a": {"b": 1}}', {"a": {"b": 1}}),
    ],
)
def test_a_given_value_gets_the_declared_type(kind: Any, given: Any, expected: Any) -> None:
    assert bind_params(workflow(Param("p", kind)), {"p": given}) == {"p": expected}


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("string", 5), ("string", "a\0b"), ("string", "\ud800"), ("integer", "1.5"), ("integer", True),
        ("integer", "9" * 30), ("integer", 2**63), ("number", "nan"), ("number", float("inf")), ("boolean", "yes"),
        ("date", "2026-02-30"), ("date", "today"), ("date", "2026-01-31T00:00:00Z"), ("datetime", "2026-01-31"),
        ("duration", "soon"), ("list", "[1"), ("list", '{"a": 1}'), ("map", "[1]"), ("map", "[" * 100_000),
        ("string", "x" * (2**20 + 1)),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(kind: Any, given: Any) -> None:
    with pytest.raises(DefinitionError) as caught:
        bind_params(workflow(Param("p", kind)), {"p": given})
    assert [fault.field for fault in caught.value.faults] == ["params.p"]


def test_defaults_may_look_at_the_partition() -> None:
    params = workflow(Param("day", "date", "{{ date_add(partition, -1) }}"), Param("n", "integer", 4))
    assert bind_params(params, {}, "2026-03-01") == {"day": "2026-02-28", "n": 4}
    assert bind_params(params, {"day": "2020-01-01"}, "2026-03-01") == {"day": "2020-01-01", "n": 4}


def test_all_faults_are_told_at_once() -> None:
    params = workflow(
        Param("day", "date"),
        Param("mode", choices=("full", "delta")),
        Param("n", "integer"),
        Param("e", default="{{ x }}"),
    )
    with pytest.raises(DefinitionError) as caught:
        bind_params(params, {"dya": "x", "mode": "fulll", "n": "x"})
    found = {fault.field: (fault.message, fault.hint) for fault in caught.value.faults}
    assert found["params"][1] == "did you mean day?"
    assert "required" in found["params.day"][0]
    assert found["params.mode"] == ("mode is one of: full, delta", "did you mean full?")
    assert "whole number" in found["params.n"][0]
    assert "x is not known" in found["params.e"][0]
