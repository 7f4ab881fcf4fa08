"""All keys of the console in one table: what each does, where, and under which words. The keys that a screen obeys,
the line at its foot and the help are all made from it, so none can name a key that does nothing.

`id` is the name under which an operator's configuration may give an action other keys.
"""

from typing import Literal

import msgspec

Place = Literal["overview", "run", "explain", "help", "confirm"]
LISTS: tuple[Place, ...] = ("overview", "run", "explain", "help")


class Action(msgspec.Struct, frozen=True):
    """One thing that a key does. `acts`: it changes something, so a read-only console has no such key.

    `brief` is the word at the foot of the screen, empty for what is shown by the help only. `panes` limits it to
    some panes of the run screen; `name` is the method, `action_<name>`, and what follows a dot is its argument.
    """

    id: str
    keys: tuple[str, ...]
    places: tuple[Place, ...]
    name: str
    help: str
    brief: str = ""
    acts: bool = False
    panes: tuple[str, ...] = ()


ACTIONS: tuple[Action, ...] = (
    Action("open", ("enter", "l", "right"), ("overview", "run"), "open", "open what the cursor is on", "open",
           panes=("outline", "tasks")),
    Action(
        "back", ("h", "backspace", "left", "escape"), ("run", "explain", "help"), "back", "go back; close", "back"
    ),
    Action("down", ("j", "down"), LISTS, "down", "down"),
    Action("up", ("k", "up"), LISTS, "up", "up"),
    Action("page_down", ("pagedown", "ctrl+f"), LISTS, "page_down", "a page down"),
    Action("page_up", ("pageup", "ctrl+b"), LISTS, "page_up", "a page up"),
    Action("top", ("g", "home"), LISTS, "top", "to the beginning"),
    Action("bottom", ("G", "end"), LISTS, "bottom", "to the end"),
    Action("pane.outline", ("1",), ("run",), "pane('outline')", "the tasks as an outline, in their order"),
    Action("pane.tasks", ("2",), ("run",), "pane('tasks')", "all rows of the run or of one task"),
    Action("pane.log", ("5",), ("run",), "pane('log')", "the log of a row"),
    Action("pane.events", ("6",), ("run",), "pane('events')", "the journal of the run"),
    Action("log", ("L",), ("run",), "log", "the log of the row under the cursor", "log", panes=("outline", "tasks")),
    Action("follow", ("f",), ("run",), "follow", "follow the log as it grows", "follow", panes=("log",)),
    Action("wrap", ("w",), ("run",), "wrap", "wrap long lines, or not", "wrap", panes=("log",)),
    Action("scroll_right", ("greater_than_sign", "shift+right"), ("run",), "sideways(16)", "to the right",
           panes=("log",)),
    Action("scroll_left", ("less_than_sign", "shift+left"), ("run",), "sideways(-16)", "to the left",
           panes=("log",)),
    Action("next", ("n",), ("run",), "again(1)", "the next match", "next", panes=("log",)),
    Action("previous", ("N",), ("run",), "again(-1)", "the match before", "", panes=("log",)),
    Action("search", ("slash",), ("run",), "search", "search in the log: a regular expression", "search",
           panes=("log",)),
    Action("pause", ("p",), ("overview", "run"), "act('pause')", "pause or resume the run", "pause", acts=True),
    Action("cancel", ("c",), ("overview", "run"), "act('cancel')", "cancel, politely", "cancel", acts=True),
    Action("retry", ("r",), ("overview", "run"), "act('retry')", "run again what failed", "retry", acts=True),
    Action("kill", ("K",), ("overview", "run"), "act('kill')", "kill, at once", "", acts=True),
    Action("explain", ("x",), ("overview", "run"), "explain", "why it waits", "why"),
    Action(
        "mark", ("space",), ("run",), "mark", "mark or unmark, to act on many", "mark", acts=True,
        panes=("outline", "tasks"),
    ),
    Action(
        "unmark", ("ctrl+backslash",), ("run",), "unmark", "take all marks away", acts=True,
        panes=("outline", "tasks"),
    ),
    Action("sort", ("s",), ("overview", "run"), "sort", "sort by attention, or in the natural order",
           panes=("tasks",)),
    Action("faults", ("F",), ("run",), "faults", "failures only, or all", "", panes=("tasks",)),
    Action("filter", ("slash",), ("overview", "run"), "filter", "filter the list by a part of the name", "filter",
           panes=("outline", "tasks")),
    Action("details", ("i",), ("run",), "details", "show or hide the details", "details", panes=("outline", "tasks")),
    Action("help", ("question_mark",), ("overview", "run", "explain"), "help", "this help", "help"),
    Action("suspend", ("ctrl+z",), LISTS, "suspend", "stop the console for a while; `fg` comes back"),
    Action("leave", ("q",), LISTS, "leave", "leave; the engine and its runs go on", "leave"),
)  # fmt: skip

_NAMES = {
    "slash": "/", "question_mark": "?", "greater_than_sign": ">", "less_than_sign": "<", "space": "space",
    "enter": "enter", "escape": "esc", "pagedown": "pgdn", "pageup": "pgup", "ctrl+backslash": "ctrl+\\",
}  # fmt: skip


def key_text(key: str) -> str:
    """How a key is written for people."""
    return _NAMES.get(key, key)


def actions_of(place: Place, *, may_act: bool, pane: str = "") -> list[Action]:
    """What can be done on a screen now."""
    return [
        action
        for action in ACTIONS
        if place in action.places
        and (may_act or not action.acts)
        and (place != "run" or not action.panes or pane in action.panes)
    ]


def action_named(name: str) -> Action | None:
    """The action that a method's name with its argument belongs to."""
    return next((action for action in ACTIONS if action.name == name), None)
