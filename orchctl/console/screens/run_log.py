"""The keys of a run's log pane: following, searching, copying and saving."""

from pathlib import Path

from orchctl.console.messages import LogMoved
from orchctl.console.screens.base import BaseScreen
from orchctl.console.widgets.logview import LogView
from orchctl.console.widgets.prompt import Prompt


class LogKeys(BaseScreen):
    """A screen that has a log view."""

    log_view: LogView
    run_number: int

    def __init__(self) -> None:
        super().__init__()
        self._search = ""
        self._search_way = 1
        self._saving = False

    def on_log_moved(self, event: LogMoved) -> None:
        event.stop()
        self.update_bar("head")

    def action_follow(self) -> None:
        self.log_view.follow()

    def action_wrap(self) -> None:
        self.log_view.wrap()
        self.memory.wrap = self.log_view.wrapping

    def action_colours(self) -> None:
        self.memory.colours = self.log_view.show_colours()

    def action_search(self, direction: int) -> None:
        self._search_way = direction
        back = " back" if direction < 0 else ""
        self.ask(f"search{back}: a regular expression", self._search, self.memory.searches)

    def action_again(self, direction: int) -> None:
        self.log_view.again(direction)

    def action_error(self) -> None:
        self.log_view.first_error()

    def action_attempt(self, direction: int) -> None:
        self.log_view.other_attempt(direction)

    def action_copy(self) -> None:
        text = self.log_view.shown_text()
        if text:
            self.say(self.console_app.copy(text))

    def action_save(self) -> None:
        if self.log_view.target is not None:
            self._saving = True
            row = self.log_view.row.replace("[", "-").replace("]", "")
            self.ask("save the log as", f"r{self.run_number}-{row}.log")

    def on_prompt_given_up(self, event: Prompt.GivenUp) -> None:
        self._saving = False
        super().on_prompt_given_up(event)

    def answered_log(self, text: str) -> None:
        """What was typed while the log was in sight: where to save it, or what to search."""
        if self._saving:
            self._saving = False
            if text:
                self.log_view.save(Path(text).expanduser(), self.say)
            return
        self._search = text
        if text:
            self.memory.remember_search(text)
            self.log_view.search(text, self._search_way)
