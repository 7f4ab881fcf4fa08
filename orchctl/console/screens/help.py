"""The keys of the screen that the operator comes from, made from the keymap, and what the glyphs mean."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult

from orchctl.console.drawing import Line, column, ends
from orchctl.console.keymap import (
    ACTED,
    ACTIONS,
    ALL_PANES,
    GROUPS,
    LISTED,
    PANED,
    TIMED,
    Action,
    Place,
    actions_of,
    key_text,
)
from orchctl.console.screens.base import BaseScreen, Mover
from orchctl.console.theme import GLYPHS, Signs, status_style
from orchctl.console.widgets.lines import TextView

_FILTER = (
    ("load", "a part of the name"),
    ("~^load.*7$", "a regular expression"),
    ("?ldt", "fuzzy: these letters in this order"),
    ("+load  load+", "in a run: and all that it needs; and all that needs it"),
    ("2+load+1", "in a run: and two steps up, one down"),
    ("is:failed is:open", "in a run: by state; is:faults, is:done"),
    ("!load !is:done", "not: the inverse of any of these"),
)


def help_lines(place: Place, signs: Signs, *, may_act: bool, keymap: Sequence[Action] = ACTIONS) -> list[Line]:
    """A line an action: its keys, what it does, and in which panes; then the glyphs."""
    lines: list[Line] = []
    actions: dict[str, Action] = {}
    for pane in ("", *ALL_PANES) if place in PANED else ("",):
        for action in actions_of(place, may_act=may_act, pane=pane, actions=keymap):
            actions.setdefault(action.id, action)
    for action in sorted(
        actions.values(), key=lambda action: (bool(action.panes) and place in PANED, list(actions).index(action.id))
    ):
        where = f"  ({_where(action.panes)})" if action.panes and place in PANED else ""
        keys = " ".join(key_text(key) for key in action.keys)
        lines.append([(f"  {column(keys, 21)}", "key"), (action.help, "plain"), (where, "dim")])
    if "filter" in actions:
        lines += [[], [("  Filter: words that must all hold, for all panes of a run", "heading")]]
        lines += [[(f"  {column(word, 21)}", "key"), (meaning, "plain")] for word, meaning in _FILTER]
    lines += [[], [("  Signs", "heading")]]
    for status in GLYPHS:
        if status != "exited":
            sign = f"  {column(signs.status(status), 4)}"
            lines.append([(sign, status_style(status)), (status.replace("_", " "), "plain")])
    return lines


def _where(panes: tuple[str, ...]) -> str:
    """The panes in few words."""
    if panes in (LISTED, ACTED):
        return "lists"
    return "lists, events" if panes == TIMED else "of tasks" if panes == GROUPS else ", ".join(panes)


class HelpScreen(BaseScreen):
    """Help for one place."""

    place: ClassVar[Place] = "help"

    def __init__(self, about: Place) -> None:
        super().__init__()
        self._about: Place = about

    def compose(self) -> ComposeResult:
        yield self.bar("head", self._draw_head)
        self._text = TextView(self.signs, widget_id="text")
        yield self._text
        yield from self.foot()

    def on_mount(self) -> None:
        lines = help_lines(self._about, self.signs, may_act=not self.feed.viewer, keymap=self.console_app.actions)
        self._text.set_lines(lines)

    def _draw_head(self, width: int) -> list[Line]:
        return [ends([(f" Help: keys of the {self._about} screen", "strong")], self.clock_spans(), width)]

    def mover(self) -> Mover:
        return self._text
