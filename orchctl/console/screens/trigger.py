"""A form for a run of a workflow: a line for each declared parameter, made from its type, default and choices. What is
left as it is keeps its default. Values are checked as they are typed; the engine checks them again.
"""

import json
from typing import Any, cast

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input

from engine.expressions.params import param_value
from engine.model.errors import ValueFault
from engine.model.workflow import ParamType
from engine.protocol.rows import WorkflowRow
from orchctl.console.actions import Intent, on_trigger
from orchctl.console.drawing import Line, fitted
from orchctl.console.theme import Signs
from orchctl.console.widgets.lines import Bar
from orchctl.console.widgets.prompt import Prompt
from orchctl.text import inert

_NOTE = {"name": "note", "type": "string", "default": "", "description": "why, for others to read"}
"""A last line of every form."""


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


class TriggerScreen(ModalScreen[Intent | None]):
    """Ends with what is to be confirmed, or None."""

    CSS = """
    TriggerScreen { align: center middle; background: $background 60%; }
    #form { width: 76; max-width: 100%; height: auto; max-height: 100%; padding: 1 2; background: $panel; }
    #fields { height: auto; max-height: 16; }
    """
    BINDINGS = [
        Binding("tab,down", "next(1)", "next", show=False, priority=True),
        Binding("shift+tab,up", "next(-1)", "before", show=False, priority=True),
        Binding("ctrl+s", "submit", "go on", show=False, priority=True),
    ]

    def __init__(self, row: WorkflowRow, signs: Signs) -> None:
        super().__init__()
        self._row = row
        self._signs = signs
        self._params: list[dict[str, Any]] = [*row.params, _NOTE]
        self._prompts: list[Prompt] = []
        self._labels: list[Bar] = []

    def compose(self) -> ComposeResult:
        with Vertical(id="form"):
            yield Bar(self._draw_title, 2)
            with VerticalScroll(id="fields", can_focus=False):
                for number, param in enumerate(self._params):
                    label = Bar(lambda width, number=number: [self._draw_label(number, width)])
                    prompt = Prompt(placeholder="default" if "default" in param else "", id=f"field{number}")
                    prompt.value = default_text(param)
                    self._labels.append(label)
                    self._prompts.append(prompt)
                    yield label
                    yield prompt
            yield Bar(self._draw_foot, 2)

    def on_mount(self) -> None:
        self._prompts[0].focus()

    def _draw_title(self, width: int) -> list[Line]:
        return [
            fitted([(f"Make a run of {self._row.workflow}  ", "strong"), (self._row.description, "dim")], width),
            [],
        ]

    def _draw_label(self, number: int, width: int) -> Line:
        param = self._params[number]
        choices = param.get("choices")
        kind = str(param.get("type", ""))
        if isinstance(choices, list) and choices:
            kind = " | ".join(map(_shown, cast("list[Any]", choices)))
        fault = param_fault(param, self._prompts[number].value) if number < len(self._prompts) else ""
        line: Line = [
            (f"{param.get('name')}  ", "key"),
            (f"{kind}  ", "dim"),
            (str(param.get("description", "")), "dim"),
        ]
        if fault:
            line.insert(1, (f"{self._signs.status('failed')} {fault}  ", "red"))
        return fitted([(inert(text), style) for text, style in line], width)

    def _draw_foot(self, width: int) -> list[Line]:
        keys: Line = [("enter", "key"), (" next, then go on   ", "plain"), ("ctrl+s", "key"), (" go on   ", "plain"),
                      ("esc", "key"), (" leaves it", "plain")]  # fmt: skip
        return [[], fitted(keys, width)]

    def on_input_changed(self, event: Input.Changed) -> None:
        for label in self._labels:
            label.update_lines()

    def action_next(self, direction: int) -> None:
        at = self._at() + direction
        self._prompts[at % len(self._prompts)].focus()

    def _at(self) -> int:
        return next((number for number, prompt in enumerate(self._prompts) if prompt.has_focus), 0)

    def on_prompt_given_up(self, event: Prompt.GivenUp) -> None:
        event.stop()
        self.dismiss(None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._at() + 1 < len(self._prompts):
            self.action_next(1)
        else:
            self.action_submit()

    def action_submit(self) -> None:
        """Go on where all values make sense; else to the first that does not."""
        given: dict[str, Any] = {}
        for param, prompt in zip(self._params, self._prompts, strict=True):
            if param_fault(param, prompt.value):
                prompt.focus()
                return
            if param is not _NOTE and prompt.value != default_text(param):
                given[str(param["name"])] = prompt.value
        self.dismiss(on_trigger(self._row, given, self._prompts[-1].value))
