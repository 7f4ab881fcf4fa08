"""Where an operator types: one line, at the foot of a screen or in a question."""

from textual.binding import Binding
from textual.message import Message
from textual.widgets import Input


class Prompt(Input):
    """One line of typing. Esc gives up."""

    DEFAULT_CSS = """
    Prompt, Prompt:focus { border: none; height: 1; padding: 0; background: $surface; }
    """
    BINDINGS = [Binding("escape", "give_up", "give up", show=False)]

    class GivenUp(Message):
        """The operator wants no prompt any more."""

    def action_give_up(self) -> None:
        self.post_message(Prompt.GivenUp())
