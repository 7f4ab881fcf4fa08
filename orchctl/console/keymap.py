"""All keys of the console in one table: what each does, where, and under which words. The keys that a screen obeys,
the line at its foot, the help and the palette are all made from it, so none can name a key that does nothing.

`id` is the name under which an operator's configuration may give an action other keys.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, cast

import msgspec

from orchctl.console.actions import Verb

Place = Literal[
    "overview", "run", "task", "workflows", "schedules", "backfills", "backfill", "audit", "resources", "definition",
    "explain", "help",
]  # fmt: skip
STANDING: tuple[Place, ...] = ("schedules", "backfills")
"""Two tables of one screen."""
FILTERED: tuple[Place, ...] = ("overview", "run", "workflows", *STANDING, "backfill", "audit")
TABLES: tuple[Place, ...] = (*FILTERED, "resources")
TEXTS: tuple[Place, ...] = ("task", "definition", "explain", "help")
LISTS: tuple[Place, ...] = (*TABLES, *TEXTS)
INNER: tuple[Place, ...] = tuple(place for place in LISTS if place != "overview")
GOING: tuple[Place, ...] = (*TABLES, "task")
"""From where other screens are a key away."""
PANED: tuple[Place, ...] = ("run", "task")
"""Screens with panes that have keys of their own."""
GROUPS = ("graph", "outline", "gantt", "grid")
"""Panes of a run that show its tasks."""
LISTED = (*GROUPS, "tasks")
"""Those that show tasks or rows."""
PANES = (*LISTED, "log", "events", "results")
OF_ROWS = ("task", "use", "log", "explain")
"""What can be pictured of one row."""
OF_RUNS = (*PANES, "task", "use", "explain", "definition")
"""What can be pictured of a run."""
TIMED = (*LISTED, "events")
"""Those that show a moment of the past."""
ALL_PANES = (*PANES, "about", "use")
"""Those of a run, and that of a task."""
ACTED = (*LISTED, "about")
"""Panes in which something that can be acted on is in sight."""


class Action(msgspec.Struct, frozen=True):
    """One thing that a key does. `acts`: it changes something, so a read-only console has no such key.

    `brief` is the word at the foot of the screen, empty for what is shown by the help only. `panes` limits it to
    some panes of the screens of a run and of a task; `name` is the method, `action_<name>`, with its argument.
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
    Action("open", ("enter", "l"), TABLES, "open", "open it", "open", panes=LISTED),
    Action("event.then", ("enter", "l"), ("run",), "open", "the run as it was right after it", "then",
           panes=("events",)),
    Action("back", ("h", "backspace", "escape"), INNER, "back", "go back; close", "back"),
    Action("left", ("left",), tuple(place for place in INNER if place != "run"), "aside(-1)", "also back"),
    Action("right", ("right",), tuple(place for place in GOING if place != "run"), "aside(1)", "also open"),
    Action("run.left", ("left",), ("run",), "aside(-1)", "go back; in a graph to the left"),
    Action("run.right", ("right",), ("run",), "aside(1)", "open it; in a graph to the right"),
    Action("down", ("j", "down"), LISTS, "down", "down"),
    Action("up", ("k", "up"), LISTS, "up", "up"),
    Action("page_down", ("pagedown", "ctrl+f"), LISTS, "page_down", "a page down"),
    Action("page_up", ("pageup", "ctrl+b"), LISTS, "page_up", "a page up"),
    Action("top", ("g", "home"), LISTS, "top", "to the beginning"),
    Action("bottom", ("G", "end"), LISTS, "bottom", "to the end"),
    Action("attention", ("tab",), ("overview",), "attention", "to what needs attention; back to the runs"),
    Action("pane.graph", ("1",), ("run",), "pane('graph')", "the tasks as a graph, or an outline where it is large"),
    Action("pane.tasks", ("2",), ("run",), "pane('tasks')", "all rows of the run or of one task"),
    Action("pane.gantt", ("3",), ("run",), "pane('gantt')", "when things ran, a segment an attempt"),
    Action("pane.grid", ("4",), ("run",), "pane('grid')", "the tasks in the last runs"),
    Action("pane.log", ("5",), ("run",), "pane('log')", "the log of a row"),
    Action("pane.events", ("6",), ("run",), "pane('events')", "the journal of the run"),
    Action("pane.results", ("7",), ("run",), "pane('results')", "what its trials have measured"),
    Action("about", ("1",), ("task",), "about", "what it is, its attempts and its neighbours"),
    Action("use", ("3",), ("task",), "use", "what an attempt used over time", "use", panes=("about", "log")),
    Action("neighbour", ("tab",), ("task",), "neighbour(1)", "to its neighbours, one after the other", "neighbours",
           panes=("about",)),
    Action("neighbour_before", ("shift+tab",), ("task",), "neighbour(-1)", "to the neighbour before", panes=("about",)),
    Action("open_neighbour", ("enter", "l"), ("task",), "open", "open the neighbour under the cursor",
           panes=("about",)),
    Action("its_log", ("2",), ("task",), "log", "its log"),
    Action("holders", ("1",), ("resources",), "table('holders')", "who holds the host"),
    Action("queue", ("2",), ("resources",), "table('queue')", "what waits for room, and why"),
    Action("owners", ("3",), ("resources",), "table('owners')", "whose shares the host is"),
    Action("log", ("L",), PANED, "log", "the log of the row under the cursor", "log", panes=ACTED),
    Action("follow", ("f",), PANED, "follow", "follow the log as it grows", "follow", panes=("log",)),
    Action("search", ("slash",), PANED, "search(1)", "search on: a regular expression", "search", panes=("log",)),
    Action("search_back", ("ctrl+r",), PANED, "search(-1)", "search back", panes=("log",)),
    Action("next", ("n",), PANED, "again(1)", "the next match", "next", panes=("log",)),
    Action("previous", ("N",), PANED, "again(-1)", "the match before", "", panes=("log",)),
    Action("error", ("e",), PANED, "error", "to the first line that looks like an error", "error", panes=("log",)),
    Action("wrap", ("w",), PANED, "wrap", "wrap long lines, or not", "wrap", panes=("log",)),
    Action("colours", ("C",), PANED, "colours", "show the colours that were written, or not", panes=("log",)),
    Action("copy", ("y",), (*PANED, "definition"), "copy", "copy to the clipboard (OSC 52)", "copy", panes=("log",)),
    Action("save", ("Y",), (*PANED, "definition"), "save", "save to a file", "save", panes=("log",)),
    Action("attempt_before", ("left_square_bracket",), PANED, "attempt(-1)", "the attempt before",
           "attempt", panes=("log", "use")),
    Action("attempt_after", ("right_square_bracket",), PANED, "attempt(1)", "the attempt after",
           panes=("log", "use")),
    Action("scroll_right", ("greater_than_sign", "shift+right"), PANED, "sideways(1)", "scroll to the right",
           panes=("log", "gantt")),
    Action("scroll_left", ("less_than_sign", "shift+left"), PANED, "sideways(-1)", "scroll to the left",
           panes=("log", "gantt")),
    Action("zoom_in", ("plus",), ("run",), "zoom(2)", "look closer at the time around the middle", "zoom",
           panes=("gantt",)),
    Action("zoom_out", ("minus",), ("run",), "zoom(0)", "look at more time", panes=("gantt",)),
    Action("metric", ("m",), ("run",), "metric(1)", "the next metric", "metric", panes=("results",)),
    Action("metric_before", ("M",), ("run",), "metric(-1)", "the metric before", panes=("results",)),
    Action("baseline", ("b",), ("run",), "baseline", "measure against the cell under the cursor", "baseline",
           panes=("results",)),
    Action("beside", ("e",), ("run",), "beside(1)", "beside an earlier run, and the one before", "earlier run",
           panes=("results",)),
    Action("beside_back", ("E",), ("run",), "beside(-1)", "beside a later one again", panes=("results",)),
    Action("noisy", ("N",), ("run",), "noisy", "count trials that the host disturbed, or not", "noisy",
           panes=("results",)),
    Action("pause", ("p",), ("overview", "run", "workflows", *STANDING, "backfill"), "act('pause')",
           "pause or resume the run; of a workflow its schedules", "pause", acts=True),
    Action("undo", ("z",), ("overview", *PANED, "workflows", *STANDING, "backfill"), "undo",
           "undo a pause, a resume or a setting", acts=True),
    Action("cancel", ("c",), ("overview", *PANED, "backfills", "backfill"), "act('cancel')", "cancel, politely",
           "cancel", acts=True),
    Action("retry", ("r",), ("overview", *PANED, "backfill"), "act('retry')", "run again what failed", "retry",
           acts=True),
    Action("trigger", ("t",), ("overview", "workflows", "schedules"), "trigger", "make a run of the workflow",
           "trigger", acts=True),
    Action("backfill", ("b",), ("overview", "workflows", *STANDING), "backfill", "make runs for a stretch of the past",
           "backfill", acts=True),
    Action("set", ("e",), ("overview", *PANED), "set", "change its priority or limits while it goes on",
           acts=True, panes=ACTED),
    Action("pause_rows", ("P",), PANED, "act('pause rows')", "have what runs of it stand still, or go on", acts=True,
           panes=ACTED),
    Action("rerun", ("R",), PANED, "act('rerun')", "run again, with everything downstream", acts=True,
           panes=ACTED),
    Action("mark_succeeded", ("m",), PANED, "act('mark succeeded')", "take it as succeeded", acts=True,
           panes=ACTED),
    Action("mark_failed", ("M",), PANED, "act('mark failed')", "take it as failed", acts=True, panes=ACTED),
    Action("kill", ("K",), ("overview", *PANED, "backfills", "backfill"), "act('kill')", "kill, at once", "",
           acts=True),
    Action("explain", ("x",), ("overview", *PANED, "backfill", "resources"), "explain", "why it waits", "why"),
    Action("filter", ("slash",), FILTERED, "filter", "filter; its signs stand below", "filter", panes=LISTED),
    Action("mark", ("space",), ("run",), "mark", "mark or unmark, to act on many", "mark", acts=True, panes=LISTED),
    Action("mark_range", ("V",), ("run",), "mark_range", "mark from here; once more, to here", acts=True,
           panes=("outline", "tasks")),
    Action("mark_all", ("asterisk",), ("run",), "mark_all", "mark all that the filter lets through", acts=True,
           panes=LISTED),
    Action("unmark", ("ctrl+backslash",), ("run",), "unmark", "take all marks away", acts=True, panes=LISTED),
    Action("upstream", ("u",), ("run",), "reach('up')", "what it needs: lit in a graph, else listed", "upstream",
           panes=GROUPS),
    Action("downstream", ("d",), ("run",), "reach('down')", "what needs it", "downstream", panes=GROUPS),
    Action("around", ("n",), ("run",), "around", "the graph around it: one step, two, all", "around", panes=GROUPS),
    Action("shape", ("o",), ("run",), "shape", "graph or outline", "shape", panes=("graph", "outline")),
    Action("sort", ("s",), ("overview", "run"), "sort", "sort by attention, or in the natural order",
           panes=("tasks",)),
    Action("faults", ("F",), ("run",), "faults", "failures only, or all", "", panes=LISTED),
    Action("past.back", ("left_square_bracket",), ("run",), "past('step', -1)", "look back: before the last change",
           "past", panes=TIMED),
    Action("past.on", ("right_square_bracket",), ("run",), "past('step', 1)", "in the past: after the next change",
           panes=TIMED),
    Action("past.leap_back", ("left_curly_bracket",), ("run",), "past('leap', -1)",
           "back to a failure, retry or request", panes=TIMED),
    Action("past.leap_on", ("right_curly_bracket",), ("run",), "past('leap', 1)",
           "on to the next of these", panes=TIMED),
    Action("past.sweep_back", ("left_parenthesis",), ("run",), "past('sweep', -1)",
           "back by a twentieth of the run's time", panes=TIMED),
    Action("past.sweep_on", ("right_parenthesis",), ("run",), "past('sweep', 1)", "on by as much",
           panes=TIMED),
    Action("past.at", ("at",), ("run",), "moment", "look at a time: 14:05, 10m, a revision", panes=TIMED),
    Action("past.now", ("0",), ("run",), "now", "from the past back to now"),
    Action("details", ("i",), ("run",), "details", "show or hide the details", "details", panes=LISTED),
    Action("workflows", ("W",), GOING, "go('workflows')", "the workflows that the engine keeps"),
    Action("schedules", ("S",), GOING, "go('schedules')", "the schedules"),
    Action("backfills", ("B",), GOING, "go('backfills')", "the backfills: how far they are"),
    Action("tab.schedules", ("1",), STANDING, "go('schedules')", "when runs are made by themselves"),
    Action("tab.backfills", ("2",), STANDING, "go('backfills')", "what makes up for the past"),
    Action("resources", ("H",), GOING, "go('resources')", "the host: who holds it, what waits for it"),
    Action("audit", ("A",), GOING, "go('audit')", "who did what, from where"),
    Action("palette", ("colon",), LISTS, "palette", "say what to do: screens, runs, tasks, actions"),
    Action("help", ("question_mark", "f1"), (*TABLES, "task", "definition", "explain"), "help", "this help", "help"),
    Action("redraw", ("ctrl+l",), LISTS, "redraw", "draw the whole screen again"),
    Action("suspend", ("ctrl+z",), LISTS, "suspend", "stop the console for a while; `fg` comes back"),
    Action("leave", ("q",), LISTS, "leave", "leave; the engine and its runs go on", "leave"),
)  # fmt: skip

_NAMES = {
    "slash": "/", "question_mark": "?", "greater_than_sign": ">", "less_than_sign": "<", "space": "space",
    "enter": "enter", "escape": "esc", "pagedown": "pgdn", "pageup": "pgup", "ctrl+backslash": "ctrl+\\",
    "left_square_bracket": "[", "right_square_bracket": "]", "left_curly_bracket": "{", "right_curly_bracket": "}",
    "left_parenthesis": "(", "right_parenthesis": ")", "at": "@", "plus": "+", "minus": "-", "asterisk": "*",
    "colon": ":",
}  # fmt: skip


def key_text(key: str) -> str:
    """How a key is written for people."""
    return _NAMES.get(key, key)


def verb_of(action: Action) -> Verb | None:
    """What an act does to runs and rows; None for all else."""
    before, _, verb = action.name.partition("act('")
    return cast("Verb", verb.removesuffix("')")) if verb and not before else None


def actions_of(place: Place, *, may_act: bool, pane: str = "", actions: Sequence[Action] = ACTIONS) -> list[Action]:
    """What can be done on a screen now."""
    return [
        action
        for action in actions
        if place in action.places
        and (may_act or not action.acts)
        and (place not in PANED or not action.panes or pane in action.panes)
    ]


def action_named(name: str) -> Action | None:
    """The action that a method's name with its argument belongs to."""
    return next((action for action in ACTIONS if action.name == name), None)


def clash(actions: Iterable[Action]) -> tuple[str, str, str] | None:
    """Two actions of one place and pane that have the same key, and the key."""
    taken: dict[tuple[str, str, str], str] = {}
    for action in actions:
        for place in action.places:
            for pane in (action.panes or ALL_PANES) if place in PANED else ("",):
                for key in action.keys:
                    other = taken.setdefault((place, pane, key), action.id)
                    if other != action.id:
                        return other, action.id, key
    return None
