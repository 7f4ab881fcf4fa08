"""Where an operator types: one line, at the foot of a screen or in a question.

Keys that come between the one that opens a prompt and the prompt itself, from a quick hand or a slow link, belong to
the prompt: the console holds them, for as commands they could do anything.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.widgets import Input

if TYPE_CHECKING:
    from orchctl.console.program import Console


class Prompt(Input):
    """One line of typing. Esc gives up; up and down go through what was typed before, the newest last."""

    DEFAULT_CSS = """
    Prompt, Prompt:focus { border: none; height: 1; padding: 0; background: $surface; }
    """
    BINDINGS = [
        Binding("escape", "give_up", "give up", show=False),
        Binding("up", "recall(-1)", "before", show=False),
        Binding("down", "recall(1)", "after", show=False),
    ]

    class GivenUp(Message):
        """The operator wants no prompt any more."""

    def __init__(self, *, history: Sequence[str] = (), **named: Any) -> None:
        super().__init__(**named)
        self._history = [*history]
        self._at = len(self._history)
        self._typed = self.value

    def on_focus(self) -> None:
        for key in cast("Console", self.app).early_keys():
            if key.is_printable and key.character:
                self.insert_text_at_cursor(key.character)
            else:
                self.post_message(events.Key(key.key, key.character))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self._history) if action == "recall" else True

    def action_give_up(self) -> None:
        self.post_message(Prompt.GivenUp())

    def action_recall(self, direction: int) -> None:
        if self._at == len(self._history):
            self._typed = self.value
        self._at = max(0, min(self._at + direction, len(self._history)))
        self.value = self._history[self._at] if self._at < len(self._history) else self._typed
        self.cursor_position = len(self.value)
