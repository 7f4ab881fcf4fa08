"""The question before an act. It says what will be touched; the answer is No unless the operator says otherwise with a
key that is neither Enter nor the key of the act, or by typing what is asked for where much is touched or killed.
"""

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from orchctl.console.actions import Intent
from orchctl.console.drawing import Line, fitted
from orchctl.console.runlines import folded
from orchctl.console.theme import Signs
from orchctl.console.widgets.lines import Bar
from orchctl.console.widgets.prompt import Prompt

_NAMES = 6


class ConfirmScreen(ModalScreen[bool]):
    """Ends with True only where the operator agreed."""

    CSS = """
    ConfirmScreen { align: center middle; background: $background 60%; }
    #question { width: 72; max-width: 100%; height: auto; padding: 1 2; background: $panel; }
    """
    BINDINGS = [
        Binding("n,escape,q,h,left,backspace", "answer(False)", "no", show=False),
        Binding("y", "answer(True)", "yes", show=False),
    ]

    def __init__(self, intent: Intent, signs: Signs) -> None:
        super().__init__()
        self._intent = intent
        self._signs = signs

    def compose(self) -> ComposeResult:
        with Vertical(id="question"):
            height = len(self._lines(68))
            yield Bar(self._lines, height)
            if self._intent.typed:
                yield Prompt(placeholder=f"type {self._intent.typed}", id="typed")

    def on_mount(self) -> None:
        if self._intent.typed:
            self.query_one("#typed", Prompt).focus()

    def _lines(self, width: int) -> list[Line]:
        intent = self._intent
        lines: list[Line] = [[(piece, "strong")] for piece in folded(intent.title, width)]
        lines.append([])
        for name in intent.names[:_NAMES]:
            lines.append(fitted([(f"  {name}", "plain")], width))
        hidden = len(intent.names) - _NAMES
        if hidden > 0:
            lines.append([(f"  {self._signs.more} and {hidden:,} more", "dim")])
        if intent.also:
            lines.append(fitted([(f"  {intent.also}", "yellow")], width))
        if intent.count > 1:
            lines.append([(f"  {intent.count:,} {intent.noun}s in all", "strong")])
        lines.append([])
        if intent.typed:
            lines.append([("Type ", "plain"), (intent.typed, "key"), (" and Enter to go on; ", "plain"), ("esc", "key"),
                          (" leaves it", "plain")])  # fmt: skip
        else:
            lines.append([("y", "key"), (" yes   ", "plain"), ("n", "key"), (" no (also esc)", "plain")])
        return lines

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not (self._intent.typed and action == "answer" and parameters == (True,))

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)

    def on_prompt_given_up(self, event: Prompt.GivenUp) -> None:
        event.stop()
        self.dismiss(False)  # noqa: FBT003

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value.strip() == self._intent.typed)
