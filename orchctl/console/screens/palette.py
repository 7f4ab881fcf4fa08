"""`:` and what to do: screens, runs, tasks, and every action that the keys of the screen below do. Candidates come
while one types; Tab completes, Enter does it.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from engine.model.errors import EngineError
from engine.protocol.messages import ListGroups, ListRuns, ListWorkflows, Rows
from engine.protocol.rows import GroupRow, RunRow, WorkflowRow
from orchctl.console.drawing import Line, column, fitted, run_number
from orchctl.console.keymap import key_text
from orchctl.console.screens.registry import SCREENS
from orchctl.console.screens.run import RunScreen
from orchctl.console.widgets.lines import Bar
from orchctl.console.widgets.prompt import Prompt
from orchctl.text import cells, inert

if TYPE_CHECKING:
    from orchctl.console.screens.base import BaseScreen

SHOWN = 10
_RUNS = 50
_TASKS = 20
_MOVES = frozenset(("down", "up", "page_down", "page_up", "top", "bottom", "left", "right", "palette"))


class Candidate(NamedTuple):
    """Something that can be said, what it does, and how it is done."""

    text: str
    help: str
    do: Callable[[], object]


class PaletteScreen(ModalScreen[Callable[[], object] | None]):
    """Ends with what to do, or None."""

    CSS = """
    PaletteScreen { align: left bottom; background: $background 40%; }
    #palette { width: 100%; height: auto; background: $panel; }
    """
    BINDINGS = [
        Binding("tab", "complete", "complete", show=False, priority=True),
        Binding("down,ctrl+n", "pick(1)", "next", show=False, priority=True),
        Binding("up,ctrl+p", "pick(-1)", "before", show=False, priority=True),
    ]

    def __init__(self, below: "BaseScreen") -> None:
        super().__init__()
        self._below = below
        self.awaits_prompt = True
        self._fixed = self._known()
        self._asked: list[Candidate] = []
        self._found: list[Candidate] = []
        self._picked = 0

    def compose(self) -> ComposeResult:
        with Vertical(id="palette"):
            self._bar = Bar(self._draw, SHOWN + 1)
            yield self._bar
            yield Prompt(placeholder="a screen, a run, a task, an action", id="said")

    def on_mount(self) -> None:
        self.query_one(Prompt).focus()
        self._match("")
        self.run_worker(partial(self._ask, ""), exclusive=True)

    # --- candidates -----------------------------------------------------------------------------------------------

    def _known(self) -> list[Candidate]:
        """What needs no engine: screens, and the actions of the screen below."""
        below, app = self._below, self._below.console_app
        found = [Candidate(name, f"the screen of {name}", lambda name=name: app.go(name)) for name in SCREENS]
        found.append(Candidate("overview", "the first screen", lambda: app.go("overview")))
        for action in below.offered():
            if action.id not in _MOVES and action.name.partition("(")[0] != "go":
                keys = " ".join(map(key_text, action.keys))
                do = lambda name=action.name: below.call_later(below.run_action, name)  # noqa: E731
                found.append(Candidate(action.id, f"{action.help}  ({keys})", do))
        for name in sorted(app.available_themes):
            found.append(Candidate(f"theme {name}", "other colours", lambda name=name: _wear(below, name)))
        return found

    async def _ask(self, said: str) -> None:
        """Runs, tasks and workflows that the engine knows by what was typed."""
        below, app = self._below, self._below.console_app
        word = said.rpartition(" ")[2]
        found: list[Candidate] = []
        try:
            answer = await below.feed.ask(ListRuns(limit=_RUNS), Rows)
            for run in msgspec.convert(answer.rows, list[RunRow]):
                number = run_number(run.run)
                found.append(
                    Candidate(f"run {run.run} {run.workflow}", run.status, lambda number=number: app.open_run(number))
                )
            number = run_number(word)
            if number and not any(candidate.text.startswith(f"run r{number} ") for candidate in found):
                found.append(Candidate(f"run r{number}", "open it", lambda: app.open_run(number)))
            if isinstance(below, RunScreen):
                tasks = ListGroups(run=below.run_number, text=_plain(word), limit=_TASKS)
                for task in msgspec.convert((await below.feed.ask(tasks, Rows)).rows, list[GroupRow]):
                    do = lambda name=task.task: below.open_task(name)  # noqa: E731
                    found.append(Candidate(f"task {task.task}", task.status, do))
            if not below.feed.viewer:
                answer = await below.feed.ask(ListWorkflows(), Rows)
                for row in msgspec.convert(answer.rows, list[WorkflowRow]):
                    name = row.workflow
                    found.append(Candidate(f"trigger {name}", "make a run", partial(below.trigger, name)))
                    if row.schedules:
                        said_of = "make runs for a stretch of the past"
                        found.append(Candidate(f"backfill {name}", said_of, partial(below.backfill, name)))
        except (EngineError, msgspec.ValidationError):
            return  # what is known without the engine is still there
        self._asked = found
        self._match(self.query_one(Prompt).value)

    def _match(self, said: str) -> None:
        words = inert(said).casefold().split()
        every = [*self._fixed, *self._asked]
        held = [candidate for candidate in every if all(word in candidate.text.casefold() for word in words)]
        begins = " ".join(words)
        held.sort(key=lambda candidate: not candidate.text.casefold().startswith(begins))
        self._found = held
        self._picked = 0
        self._bar.update_lines()

    # --- looks and keys -------------------------------------------------------------------------------------------

    def _draw(self, width: int) -> list[Line]:
        first = max(0, self._picked - SHOWN + 1)
        lines: list[Line] = []
        shown = self._found[first : first + SHOWN]
        names = max((cells(candidate.text) for candidate in shown), default=0)
        for at, candidate in enumerate(shown, first):
            sign = self._below.signs.cursor if at == self._picked else " "
            text = column(candidate.text, max(16, min(40, width // 2, names + 1)))
            line: Line = [(sign, "cyan"), (f" {text} ", "strong" if at == self._picked else "plain")]
            lines.append(fitted([*line, (candidate.help, "dim")], width))
        if not self._found:
            lines.append([("  nothing of that name", "dim")])
        hidden = len(self._found) - first - SHOWN
        more = f"{hidden} more, " if hidden > 0 else ""
        blank: list[Line] = [[] for _ in range(SHOWN - len(lines))]
        return [*blank, *lines, [(f"  {more}tab completes, enter does it, esc leaves", "dim")]]

    def on_input_changed(self, event: Input.Changed) -> None:
        self._match(event.value)
        self.run_worker(partial(self._ask, event.value), exclusive=True)

    def action_pick(self, direction: int) -> None:
        self._picked = max(0, min(self._picked + direction, len(self._found) - 1))
        self._bar.update_lines()

    def action_complete(self) -> None:
        if self._found:
            prompt = self.query_one(Prompt)
            prompt.value = self._found[self._picked].text
            prompt.cursor_position = len(prompt.value)

    def on_prompt_given_up(self, event: Prompt.GivenUp) -> None:
        event.stop()
        self.dismiss(None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(self._found[self._picked].do if self._found else None)


def _wear(below: "BaseScreen", name: str) -> None:
    app = below.console_app
    if app.use_theme(name):
        below.memory.theme = name


def _plain(word: str) -> str:
    """A word as a part of a name, whatever signs of a filter it begins with."""
    return "".join(letter for letter in word if letter.isalnum() or letter in "._-")
