"""The head of a run's screen: which run it is and how it stands, its panes, what limits them, and the heading of the
one in sight.
"""

from orchctl.console.drawing import (
    Line,
    done_share,
    duration,
    ends,
    instant_s,
    percent,
    rule,
    seconds_between,
    width_of,
    word,
)
from orchctl.console.keymap import LISTED, TIMED
from orchctl.console.runlines import tasks_heading
from orchctl.console.screens.run_marks import Pane
from orchctl.console.screens.run_results import ResultKeys
from orchctl.console.screens.sources import GridRows
from orchctl.console.timelines import Axis, axis_line, grid_heading
from orchctl.text import cells, count_text, cut

_TABS: tuple[tuple[str, Pane, str], ...] = (
    ("1", "graph", "Graph"),
    ("2", "tasks", "Tasks"),
    ("3", "gantt", "Gantt"),
    ("4", "grid", "Grid"),
    ("5", "log", "Log"),
    ("6", "events", "Events"),
    ("7", "results", "Results"),
)


WIDE = 100


class RunHead(ResultKeys):
    """A screen of a run with a head."""

    _cells: GridRows

    def draw_head(self, width: int) -> list[Line]:
        signs = self.signs
        row = self.run_row()
        crumbs: Line = [(" orchctl ", "dim"), (f"{signs.crumb} ", "faint")]
        if row is None:
            top = ends([*crumbs, (f"r{self.run_number}", "strong")], self.clock_spans(), width)
        else:
            failed = row.tasks.get("failed", 0)
            spent = duration(seconds_between(row.started_at, row.finished_at, self.now_s()))
            crumbs += [(row.workflow, "strong"), (f" {signs.crumb} ", "faint"), (f"{row.run}  ", "strong")]
            crumbs += [word(row.status, signs), (f"  {percent(done_share(row.tasks)).strip()}  {spent}  ", "plain")]
            if failed:
                said = " failed" if width >= WIDE else ""
                crumbs.append((f"{signs.status('failed')} {failed:,}{said}", "red"))
            top = ends(crumbs, self.clock_spans(), width)
        return [top, self._draw_tabs(width), *self.past_lines(width), self._draw_heading(width)]

    def _draw_tabs(self, width: int) -> Line:
        begun = "V ends the range" if self._range is not None and self._range[0] == self._pane else ""
        said = [self._not_then(), begun, self.selection.text(), self.filter_text()]
        said.append("read-only" if self.feed.viewer else "")
        right = ", ".join(part for part in said if part)
        tabs = self._tabs(short=False)
        if width_of(tabs) + cells(right) + 2 > width:
            tabs = self._tabs(short=True)
        right = cut(right, width - width_of(tabs) - 2)
        return ends(tabs, [(f"{right} ", "yellow")] if right else [], width)

    def _tabs(self, *, short: bool) -> Line:
        """The panes and their keys; short, of all but the one in sight the keys alone."""
        line: Line = [(" ", "plain")]
        for key, name, title in _TABS:
            if name == "results" and not self.results.measures:
                continue
            chosen = name == ("graph" if self._pane == "outline" else self._pane)
            shown = "Outline" if self._pane == "outline" and name == "graph" else title
            text = f" {shown}* " if chosen else " " if short else f" {shown}  "
            line += [(key, "key"), (text, "strong" if chosen else "dim")]
        return line

    def _not_then(self) -> str:
        """Of a pane that cannot show the moment of the past that is looked at, what it shows."""
        if self.past.moment is None or self._pane in TIMED:
            return ""
        return "the log as it is now" if self._pane == "log" else "results as they are now"

    def filter_text(self) -> str:
        """What is in sight and what limits it, for people."""
        written = f"/{self.filter.written}" if self.filter else ""
        if self._pane == "tasks":
            rows = count_text(self._rows.count(), "row") + (f" of {self._rows.task}" if self._rows.task else "")
            parts = [rows, written]
        elif self._pane == "gantt":
            parts = [f"rows of {self._lanes.task}" if self._lanes.task else "", written]
        elif self._pane == "results":
            parts = [self.results_text()]
        elif self._pane == "graph":
            parts = [self.graph.around_text(), written]
        else:
            parts = [written if self._pane in LISTED else ""]
        return ", ".join(part for part in parts if part)

    def _draw_heading(self, width: int) -> Line:
        inner = self._view().size.width or width
        if self._pane == "log":
            return [(" " + self.log_view.status(), "heading")]
        if self._pane == "tasks":
            return tasks_heading(inner, self._rows.sort)
        if self._pane == "gantt":
            axis, zero = self.time_in_sight()
            return axis_line(axis, zero, inner)
        if self._pane == "results":
            return self.results_view.heading()
        if self._pane == "grid":
            return grid_heading(self._cells.runs, inner)
        return rule(self.signs, width)

    def time_in_sight(self) -> tuple[Axis, float]:
        """The time that the lanes show, and when the run began."""
        row = self.run_row()
        now = self.now_s()
        began = instant_s(row.started_at) if row is not None else None
        until = instant_s(row.finished_at) if row is not None else None
        began = now - 1 if began is None else began
        return self._lanes.span(began, max(began + 1e-3, now if until is None else until)), began
