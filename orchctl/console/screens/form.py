"""A form: a line for each thing that can be given, with what it is or what is wrong with it beside it, and whatever a
child has to say below. What is typed is checked as it is typed; the engine checks it again.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input

from orchctl.console.drawing import Line, fitted
from orchctl.console.theme import Signs
from orchctl.console.widgets.lines import Bar
from orchctl.console.widgets.prompt import Prompt
from orchctl.text import cells, cut, inert

_NAMES_MIN, _NAMES_MAX = 6, 20
FIELDS_SHOWN = 10

ResultT = TypeVar("ResultT")


class Field(msgspec.Struct, frozen=True):
    """One line. `fault` says why a text will not do, or nothing; `kind` is what is wanted, in a word or two."""

    name: str
    value: str = ""
    kind: str = ""
    about: str = ""
    placeholder: str = ""
    fault: Callable[[str], str] = lambda text: ""


def one_of(*choices: str) -> Callable[[str], str]:
    """The fault of what is none of these."""
    return lambda text: "" if text in choices else f"one of {', '.join(choices)}"


def whole(low: int, high: int, *others: str) -> Callable[[str], str]:
    """The fault of what is no whole number from `low` to `high`, nor one of the other words."""

    def fault(text: str) -> str:
        digits = text.removeprefix("-")
        number = digits.isascii() and digits.isdecimal() and len(digits) < 10 and low <= int(text) <= high
        return "" if number or text in others else " or ".join((f"{low} to {high}", *others))

    return fault


class FormScreen(ModalScreen[ResultT | None], Generic[ResultT]):
    """Ends with what a child makes of the values, or None."""

    CSS = """
    FormScreen { align: center middle; background: $background 60%; }
    #form { width: 78; max-width: 100%; height: auto; max-height: 100%; padding: 1 2; background: $panel; }
    #fields { height: auto; }
    .field { height: 1; }
    .field Prompt { width: 26; }
    .field Bar { width: 1fr; }
    """
    BINDINGS = [
        Binding("tab,down", "next(1)", "next", show=False, priority=True),
        Binding("shift+tab,up", "next(-1)", "before", show=False, priority=True),
        Binding("ctrl+s", "submit", "go on", show=False, priority=True),
    ]

    def __init__(self, title: str, about: str, fields: list[Field], signs: Signs) -> None:
        super().__init__()
        self.signs = signs
        self.fields = fields
        self.awaits_prompt = True
        """Whether what is typed now is for the first field, which is on its way."""
        self._title_text = title
        self._about = about
        self._prompts: list[Prompt] = []
        self._bars: list[Bar] = []
        self._refusal = ""
        self._names = min(_NAMES_MAX, max([_NAMES_MIN, *(cells(field.name) for field in fields)]))

    def compose(self) -> ComposeResult:
        with Vertical(id="form"):
            yield Bar(self._draw_title, 2)
            with VerticalScroll(id="fields", can_focus=False) as scroll:
                scroll.styles.max_height = FIELDS_SHOWN
                for number, field in enumerate(self.fields):
                    with Horizontal(classes="field"):
                        name = Bar(lambda width, field=field: [[(cut(field.name, width), "key")]])
                        name.styles.width = self._names + 2
                        prompt = Prompt(placeholder=field.placeholder, id=f"field{number}")
                        prompt.value = field.value
                        said = Bar(lambda width, number=number: [self._draw_said(number, width)])
                        self._prompts.append(prompt)
                        self._bars.append(said)
                        yield name
                        yield prompt
                        yield said
            yield from self.below()
            self._foot = Bar(self._draw_foot, 2)
            yield self._foot

    def below(self) -> ComposeResult:
        """What stands under the fields."""
        return
        yield

    def changed(self) -> None:
        """Something was typed."""

    def result(self, values: list[str]) -> ResultT | None:
        """What the form comes to; None where it does not do yet."""
        raise NotImplementedError

    def on_mount(self) -> None:
        self.set_focus(self._prompts[0])

    def values(self) -> list[str]:
        """What is typed, field by field."""
        return [prompt.value for prompt in self._prompts]

    def faults(self) -> list[str]:
        """Field by field what is wrong, empty where nothing is."""
        return [field.fault(value) for field, value in zip(self.fields, self.values(), strict=True)]

    # --- looks ----------------------------------------------------------------------------------------------------

    def _draw_title(self, width: int) -> list[Line]:
        return [fitted([(f"{self._title_text}  ", "strong"), (self._about, "dim")], width), []]

    def _draw_said(self, number: int, width: int) -> Line:
        field = self.fields[number]
        fault = field.fault(self._prompts[number].value)
        if fault:
            return fitted([(f" {self.signs.status('failed')} {inert(fault)}", "red")], width)
        kind: Line = [(f" {inert(field.kind)} ", "plain")] if field.kind else []
        return fitted([*kind, (f" {inert(field.about)}", "dim")], width)

    def _draw_foot(self, width: int) -> list[Line]:
        keys: Line = [("enter", "key"), (" next, then go on   ", "plain"), ("ctrl+s", "key"), (" go on   ", "plain"),
                      ("esc", "key"), (" leaves it", "plain")]  # fmt: skip
        return [[(self._refusal, "yellow")], fitted(keys, width)]

    def refuse(self, why: str) -> None:
        """Say why the form does not do yet, until something is typed."""
        self._refusal = why
        self._foot.update_lines()

    # --- keys -----------------------------------------------------------------------------------------------------

    def on_input_changed(self, event: Input.Changed) -> None:
        self.refuse("")
        for bar in self._bars:
            bar.update_lines()
        self.changed()

    def action_next(self, direction: int) -> None:
        at = self._at() + direction
        self.set_focus(self._prompts[at % len(self._prompts)])  # at once: keys may be behind this one

    def _at(self) -> int:
        return next((number for number, prompt in enumerate(self._prompts) if prompt is self.focused), 0)

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
        """Go on, once what was typed before the key has arrived in its field."""
        self._prompts[self._at()].call_later(self._submit)

    def _submit(self) -> None:
        """Go on where all values make sense; else to the first that does not."""
        for prompt, fault in zip(self._prompts, self.faults(), strict=True):
            if fault:
                self.set_focus(prompt)
                return
        found = self.result(self.values())
        if found is not None:
            self.dismiss(found)
