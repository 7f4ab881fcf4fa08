"""A form for a run of a workflow: a line for each declared parameter, made from its type, default and choices. What is
left as it is keeps its default.
"""

import json
from functools import partial
from typing import Any, cast

from engine.expressions.params import param_value
from engine.model.errors import ValueFault
from engine.model.workflow import ParamType
from engine.protocol.rows import WorkflowRow
from orchctl.console.actions import Intent, on_trigger
from orchctl.console.screens.form import Field, FormScreen
from orchctl.console.theme import Signs
from orchctl.text import inert

NOTE = Field("note", about="why, for others to read")
"""A last line of forms that make something."""


def param_fault(param: dict[str, Any], text: str) -> str:
    """Why the text is no value for a declared parameter, or nothing."""
    if not text:
        return "" if "default" in param else "must be given"
    if text == default_text(param):
        return ""
    choices = param.get("choices")
    if isinstance(choices, list) and choices and text not in map(_shown, cast("list[Any]", choices)):
        return f"one of {', '.join(map(_shown, cast('list[Any]', choices)))}"
    try:
        param_value(cast("ParamType", param.get("type")), text)
    except (ValueFault, KeyError) as fault:
        return str(fault)
    return ""


def default_text(param: dict[str, Any]) -> str:
    """The default as one types it; empty where there is none."""
    return inert(_shown(param["default"])) if "default" in param else ""


def _shown(value: Any) -> str:
    """A value as one types it."""
    return value if isinstance(value, str) else json.dumps(value)


def param_field(param: dict[str, Any]) -> Field:
    """The line of a declared parameter."""
    choices = param.get("choices")
    kind = str(param.get("type", ""))
    if isinstance(choices, list) and choices:
        kind = " | ".join(map(_shown, cast("list[Any]", choices)))
    return Field(
        inert(param.get("name")), default_text(param), kind, str(param.get("description") or ""),
        "default" if "default" in param else "", partial(param_fault, param),
    )  # fmt: skip


def given_params(params: list[dict[str, Any]], values: list[str]) -> dict[str, Any]:
    """Those that differ from their defaults, by name."""
    pairs = zip(params, values, strict=True)
    return {str(param["name"]): value for param, value in pairs if value != default_text(param)}


class TriggerScreen(FormScreen[Intent]):
    """Ends with what is to be confirmed, or None."""

    def __init__(self, row: WorkflowRow, signs: Signs) -> None:
        fields = [*map(param_field, row.params), NOTE]
        super().__init__(f"Make a run of {row.workflow}", row.description, fields, signs)
        self._row = row

    def result(self, values: list[str]) -> Intent:
        return on_trigger(self._row, given_params(self._row.params, values[:-1]), values[-1])
