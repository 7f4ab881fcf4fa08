"""One run: its tasks as a graph or an outline, its rows, when they ran, how they went before, a log and its journal,
with the details of what the cursor is on.

All panes share one filter and one selection. Acts go to what is marked, else to what the cursor is on; the first line
of graph and outline is the run itself, so that the run, a task and a row are paused, cancelled and retried by the same
keys.
"""

from functools import partial
from typing import ClassVar, Literal, cast

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.geometry import Size
from textual.widgets import ContentSwitcher

from engine.model.errors import EngineError
from engine.protocol.messages import GetMoment, GetRun
from engine.protocol.rows import GroupRow, RunRow, TaskRow
from orchctl.console import actions
from orchctl.console.feed import Held
from orchctl.console.keymap import LISTED, Action, Place, verb_of
from orchctl.console.runlines import row_name
from orchctl.console.screens.base import Mover
from orchctl.console.screens.run_acts import act, failed_row
from orchctl.console.screens.run_head import WIDE, RunHead
from orchctl.console.screens.run_marks import Pane
from orchctl.console.screens.run_past import HEAD_HEIGHT
from orchctl.console.screens.setting import setting_form
from orchctl.console.screens.sources import EventRows, GridRows, Journal, LaneRows, TaskRows
from orchctl.console.selection import Marked
from orchctl.console.store import Change, Picture
from orchctl.console.timelines import grid_runs_that_fit
from orchctl.console.widgets.details import Details
from orchctl.console.widgets.graph import GraphView
from orchctl.console.widgets.lines import LineView
from orchctl.console.widgets.logview import LogView
from orchctl.console.widgets.outline import Outline
from orchctl.console.widgets.results import ResultsView
from orchctl.console.widgets.vtable import Source, VirtualTable

_DETAILS_LEAST = 7
"""Below a graph they are shown if there are so many lines for them."""


class RunScreen(RunHead):
    """The screen of one run."""

    place: ClassVar[Place] = "run"

    def __init__(self, run: int, *, rows_of: str = "") -> None:
        """`rows_of`: the task whose rows are to be seen first."""
        super().__init__()
        self.run_number = run
        self._rows_of = rows_of
        self._pane: Pane = "graph" if self.memory.shape != "outline" else "outline"
        self._shape = self.memory.shape
        self._details = self.memory.details
        self._back_to: Pane = "graph"
        self._filter_before = ""
        self._focus = ""
        """The task that the operator looks at, from pane to pane."""
        self._moved = False
        """Whether the operator has moved the cursor of the pane since it came into sight."""
        self._picture: Picture[RunRow] = Picture(RunRow, self._run_changed, self._ended)
        self._subscription: Held | None = None

    def compose(self) -> ComposeResult:
        self.begin_past()
        self.begin_results()
        signs, feed, run, chosen = self.signs, self.feed, self.run_number, self.selection
        lens = self.lens
        parts = (lens, run, signs, self.now_s)
        self._rows = TaskRows(*parts, self._rows_changed, self._ended)
        self._lanes = LaneRows(*parts, self._lanes_changed, self._ended)
        self._cells = GridRows(*parts, self._grid_changed, self._ended)
        self._events = EventRows(feed, run, self._events_changed, lambda why: self.say(why, "red"))
        self.graph = GraphView(
            signs, lens, run, chosen, self.run_row, self.now_s, self._room, on_cursor=self._show_details,
            on_change=self._graph_changed, on_end=self._ended, widget_id="graph",
        )  # fmt: skip
        self.outline = Outline(
            signs, lens, run, chosen, self.run_row, self.now_s,
            on_cursor=self._show_details, on_end=self._ended, widget_id="outline",
        )  # fmt: skip
        self.table = self._table(self._rows, "tasks")
        self.gantt = self._table(self._lanes, "gantt")
        self.grid = self._table(self._cells, "grid")
        self.log_view = LogView(signs, feed, run, widget_id="log")
        self.journal = Journal(signs, self._events, widget_id="events")
        self.results_view = ResultsView(signs, self.results, self._standing, widget_id="results")
        self.details = Details(signs, feed, run, self.now_s, lambda: lens.moment, widget_id="details")
        yield self.bar("head", self.draw_head, HEAD_HEIGHT)
        with Horizontal(id="body") as self._body:
            with ContentSwitcher(initial=self._pane, id="panes") as self._panes:
                yield self.graph
                yield self.outline
                yield self.table
                yield self.gantt
                yield self.grid
                yield self.log_view
                yield self.journal
                yield self.results_view
            yield self.details
        yield from self.foot()

    def _standing(self) -> object:
        """How the run stands: where this is the same, its results are."""
        row = self.run_row()
        return None if row is None else (row.status, row.tasks)

    def _room(self) -> Size:
        """What a pane has to itself where no details lie below it."""
        return Size(self._panes.size.width, self._body.size.height)

    def _table(self, source: Source, name: str) -> VirtualTable:
        marked = self.selection.marked
        return VirtualTable(self.signs, source, on_cursor=self._show_details, marked=marked, widget_id=name)

    def on_mount(self) -> None:
        self._subscription = self.lens.subscribe(GetRun(run=self.run_number), self._picture, 4.0)
        self.log_view.wrapping = self.memory.wrap
        self.log_view.colours = self.memory.colours
        if self._pane == "graph":
            self.graph.start()
        self._place_details(self.console_app.size.width)
        if self._rows_of:
            self.list_rows(self._rows_of)

    def on_unmount(self) -> None:
        if self._subscription is not None:
            self._subscription.cancel()
        for source in (self._rows, self._lanes, self._cells, self._events):
            source.stop()
        self.lens.stop()

    # --- parts ----------------------------------------------------------------------------------------------------

    def pane(self) -> str:
        return self._pane

    def _view(self) -> LineView | LogView:
        """The widget of the pane that is in sight."""
        views: dict[Pane, LineView | LogView] = {
            "graph": self.graph, "outline": self.outline, "tasks": self.table, "gantt": self.gantt, "grid": self.grid,
            "log": self.log_view, "events": self.journal, "results": self.results_view,
        }  # fmt: skip
        return views[self._pane]

    def mover(self) -> Mover:
        self._moved = True
        return self._view()

    def run_row(self) -> RunRow | None:
        return self._picture.at(0)

    def task_listed(self) -> str:
        """The one task whose rows the pane lists; empty for all."""
        return self._rows.task if self._pane == "tasks" else self._lanes.task if self._pane == "gantt" else ""

    # --- panes ----------------------------------------------------------------------------------------------------

    def action_pane(self, pane: Pane) -> None:
        if pane == self._pane and self.task_listed():
            self._rows.task = self._lanes.task = ""
            self._again()
        if pane == "graph":
            pane = self._graph_pane()
        if pane == "results" and not self.results.measures:
            self.run_worker(self._open_results(), exit_on_error=True)
            return
        self._go(pane)

    async def _open_results(self) -> None:
        if await self.find_results():
            self._go("results")
        else:
            self.say("this run measures nothing: tasks with `trials:` or `metrics:` do", "yellow")

    def _graph_pane(self) -> Pane:
        """Graph or outline: as the operator chose, else whichever fits."""
        if self.graph.steps:
            return "graph"
        if self._shape == "outline":
            return "outline"
        return "outline" if self.graph.known and not self.graph.fits else "graph"

    def _go(self, pane: Pane) -> None:
        if pane == "log" and self.log_view.target is None:
            self._choose_log()
        if self._moved or self._pane in ("graph", "outline"):
            self._focus = self._task_here()
        before, self._pane = self._pane, pane
        self._moved = False
        if pane in LISTED:
            self._back_to = pane
        self._panes.current = pane
        sources = {"graph": self.graph, "tasks": self._rows, "gantt": self._lanes, "grid": self._cells,
                   "events": self._events, "results": self.results_view}  # fmt: skip
        for name, source in sources.items():
            if name == pane:
                source.start()
            elif name in ("gantt", "grid", "events", "results"):
                source.stop()
        if pane == "log":
            self.log_view.resume()
        else:
            self.log_view.stop()
        if self._focus and pane != before:
            self._point(self._focus)
        self._place_details(self.console_app.size.width)
        self._show_details()
        self.tick()

    def _point(self, task: str) -> None:
        """The cursor of the pane goes to the task that it was on in the pane before."""
        view = self._view()
        if isinstance(view, GraphView | Outline):
            view.point(task)
        elif (view is self.gantt and not self._lanes.task) or view is self.grid:
            cast("VirtualTable", view).point(task)

    def _task_here(self) -> str:
        found = self.subject() if self._pane in LISTED else None
        return "" if found is None or isinstance(found, RunRow) else found.task

    def on_resize(self, event: events.Resize) -> None:
        self._cells.show(min(14, grid_runs_that_fit(event.size.width - (39 if self._details_beside else 0))))
        self._place_details(event.size.width)

    def _place_details(self, width: int) -> None:
        self.details.lie_below(self._lines_below(width))
        wanted = self._details if self._details is not None else self._details_fit(width)
        shown = wanted and self._pane in LISTED
        if self.details.display != shown:
            self.details.display = shown
        self.call_after_refresh(self.graph.resized)
        self._show_details()

    @property
    def _details_beside(self) -> bool:
        return self.details.display and not self.details.below

    def _lines_below(self, width: int) -> int:
        """What a graph leaves free on a narrow screen, if that is enough for the details."""
        if width >= WIDE or self._pane != "graph" or not self.graph.known:
            return 0
        free = self._body.size.height - self.graph.count
        return free if free >= _DETAILS_LEAST else 0

    def _details_fit(self, width: int) -> bool:
        """Whether there is room for them that the pane does not need."""
        return self._pane not in ("gantt", "grid") and (width >= WIDE or self.details.below > 0)

    def action_details(self) -> None:
        wanted = not self.details.display
        fit = self._details_fit(self.console_app.size.width)
        self._details = self.memory.details = None if wanted == fit else wanted
        self._place_details(self.console_app.size.width)

    def action_back(self) -> None:
        if self.log_view.give_up():
            return
        if self._pane in ("tasks", "gantt") and self.task_listed():
            was = self.task_listed()
            self._rows.task = self._lanes.task = ""
            self._again()
            if self._pane == "tasks":
                self._go(self._graph_pane())
            self._point(was)
        elif self._pane in ("graph", "outline") and self.graph.steps:
            self.graph.around("", 0)
        elif self._pane in ("graph", "outline") and self.past.moment is not None:
            self.action_now()
        elif self._pane in ("graph", "outline"):
            self.console_app.pop_screen()
        else:
            self._go(self._back_to if self._pane == "log" else self._graph_pane())

    def action_open(self) -> None:
        if self._pane == "outline":
            spot = self.outline.here()
            if spot.kind == "run":
                self.run_worker(self._open_failed(), exit_on_error=True)
            elif spot.kind == "more":
                self.list_rows(spot.task, spot.group)
            elif spot.kind == "row" or (spot.group is not None and not spot.group.mapped):
                self._open_row(spot.row or spot.group)
            elif spot.kind == "task":
                self.outline.toggle(spot)
            return
        if self._pane == "events":
            self._look_at_event()
            return
        subject = self.subject()
        if isinstance(subject, RunRow) and self._pane == "graph":
            self.run_worker(self._open_failed(), exit_on_error=True)
        elif self._pane == "gantt" and isinstance(subject, GroupRow) and subject.mapped:
            self._lanes.task = subject.task
            self._again()
        elif self._pane in ("graph", "grid") and isinstance(subject, GroupRow) and subject.mapped:
            self.list_rows(subject.task)
        elif self._pane in LISTED and isinstance(subject, GroupRow | TaskRow):
            self._open_row(subject)

    async def _open_failed(self) -> None:
        """From the run to its newest trouble: the first row that failed."""
        try:
            row = await failed_row(self.feed, self.run_number)
        except (EngineError, msgspec.ValidationError) as error:
            self.say(str(error), "red")
            return
        if row is None:
            self.say("nothing has failed: j goes down to the tasks")
        else:
            self._open_row(row)

    def _look_at_event(self) -> None:
        """The run as it was right after the entry of the journal that the cursor is on."""
        revision = self._events.revision(self.journal.cursor)
        if revision:
            self.look_at(GetMoment(run=self.run_number, revision=revision))

    def _open_row(self, row: Marked | None) -> None:
        """The screen of one row, or of a task that has no others."""
        if row is not None:
            index = row.index if isinstance(row, TaskRow) else None
            past = self.past.moment is not None
            self.console_app.open_task(self.run_number, row_name(row.task, index), from_past=past)

    def action_aside(self, columns: int) -> None:
        if self._pane == "graph" and (self.graph.aside(columns) or columns > 0):
            return
        super().action_aside(columns)

    def list_rows(self, task: str, group: GroupRow | None = None) -> None:
        """All rows of a task; tasks that are shown as one are what the filter then lets through."""
        if group is not None and group.fold:
            self.set_filter(group.fold)
            task = ""
        self._rows.task = task
        self._rows.sort = "attention"
        self._again()
        self._go("tasks")

    def _again(self) -> None:
        """Another filter, order or task: all lists begin anew."""
        for source in (self._rows, self._lanes, self._cells):
            source.filter = self.filter
            source.again()
        for table in (self.table, self.gantt, self.grid):
            table.forget()
        self.tick()

    # --- the thing under the cursor -------------------------------------------------------------------------------

    def subject(self) -> RunRow | Marked | None:
        """What the cursor is on."""
        if self._pane == "tasks":
            return self._rows.at(self.table.cursor)
        if self._pane == "gantt":
            lane = self._lanes.at(self.gantt.cursor)
            if lane is None:
                return None
            if self._lanes.task:
                return TaskRow(task=lane.task, index=lane.index, status=lane.status, attempts=len(lane.spans))
            return GroupRow(task=lane.task, status=lane.status, mapped=lane.mapped, rows=lane.rows, tasks=lane.tasks)
        if self._pane == "grid":
            cell = self._cells.at(self.grid.cursor)
            status = cell.cells.get(f"r{self.run_number}", "unknown") if cell is not None else "unknown"
            known = self.outline.group(self.grid.cursor_key)
            if known is not None or cell is None:
                return known
            return GroupRow(task=cell.task, status=status, mapped=False, rows=1, tasks={status: 1})
        if self._pane == "graph":
            return self.graph.here() or self.run_row()
        if self._pane == "outline":
            spot = self.outline.here()
            return self.run_row() if spot.kind == "run" else spot.row or spot.group
        return self.run_row()

    def pointless(self, action: Action) -> bool:
        if action.id == "explain":
            return self.past.moment is not None
        run, subject, verb = self.run_row(), self.subject(), verb_of(action)
        if not verb or run is None or subject is None or self.selection:
            return False
        if verb == "pause" or isinstance(subject, RunRow):
            return bool(actions.why_not_run(verb, run))
        return bool(actions.why_not_rows(verb, [subject]))

    def _show_details(self) -> None:
        self.update_bar("keys")
        if self.is_mounted and self.details.display:
            self.details.show(self.subject())

    def tick(self) -> None:
        super().tick()
        self.lens.look_again()
        self.look_for_results()
        self.results_view.see()
        self.log_view.grey(not self.feed.live)
        if self.details.display:
            self.details.redraw()

    def _choose_log(self) -> None:
        subject = self.subject()
        if isinstance(subject, TaskRow):
            self.log_view.show(subject.task, -1 if subject.index is None else subject.index)
        elif isinstance(subject, GroupRow):
            self._show_group_log(subject)

    def _show_group_log(self, group: GroupRow) -> None:
        """The log of a task; of a mapped one, of the row that its failed or running ones name first."""
        if not group.mapped:
            self.log_view.show(group.task, -1)
            return
        named = [*group.failed, *group.running]
        if group.fold:
            if named:
                self.log_view.show(named[0], -1)
            return
        self.log_view.show(group.task, _index_of(named[0]) if named else 0)

    def action_log(self) -> None:
        self._choose_log()
        self._go("log")

    def open_task(self, task: str) -> None:
        """Show one task: the cursor goes to it where it is in sight, else the filter does."""
        if self._pane not in ("graph", "outline"):
            self._go(self._graph_pane())
        view = self.graph if self._pane == "graph" else self.outline
        if not view.point(task):
            self.set_filter(task)

    # --- news -----------------------------------------------------------------------------------------------------

    def _run_changed(self, change: Change) -> None:
        self.update_bar("head")
        for view in (self.graph, self.outline, self.gantt):
            view.touch()
        self._show_details()

    def _graph_changed(self) -> None:
        """The graph is there, or does not fit any more: the outline then takes its place."""
        if self._pane in ("graph", "outline"):
            wanted = self._graph_pane()
            if wanted != self._pane:
                self._go(wanted)
            elif self._pane == "graph":
                width = self.console_app.size.width
                if self._lines_below(width) != self.details.below:
                    self._place_details(width)
                self._show_details()
                self.update_bar("head")

    def _rows_changed(self, change: Change) -> None:
        self.table.changed()
        self.update_bar("head")

    def _lanes_changed(self, change: Change) -> None:
        self.time_in_sight()
        self.gantt.changed()
        self.update_bar("head")

    def _grid_changed(self, change: Change) -> None:
        self._cells.settle()
        self.grid.changed()
        self.update_bar("head")

    def _events_changed(self) -> None:
        self.journal.changed()

    def _ended(self, why: str) -> None:
        self.say(why, "red")

    # --- moving ---------------------------------------------------------------------------------------------------

    def action_sideways(self, direction: int) -> None:
        if self._pane == "log":
            self.log_view.sideways(16 * direction)
        else:
            self._lanes.middle = min(1.0, max(0.0, self._lanes.middle + direction / (2 * self._lanes.zoom)))
            self._lanes_changed(Change(set()))

    def action_zoom(self, factor: int) -> None:
        zoom = self._lanes.zoom
        self._lanes.zoom = min(1024, zoom * 2) if factor else max(1, zoom // 2)
        self._lanes_changed(Change(set()))

    # --- graph ----------------------------------------------------------------------------------------------------

    def action_shape(self) -> None:
        self._shape = self.memory.shape = "outline" if self._pane == "graph" else "graph"
        self.graph.start()
        if self._pane == "outline" and self.graph.known and not self.graph.fits:
            self.say("the graph does not fit here: n shows what is around a task", "yellow")
            self._shape = self.memory.shape = ""
            return
        self._go(self._graph_pane())

    def action_reach(self, way: Literal["up", "down"]) -> None:
        """The filter becomes all that the task needs, or all that needs it; once more, what it was before."""
        task = self._task_here()
        if not task:
            self.say("put the cursor on a task first", "yellow")
            return
        written = f"+{task}" if way == "up" else f"{task}+"
        if self.filter.written == written:
            self.set_filter(self._filter_before)
        else:
            if "+" not in self.filter.written:
                self._filter_before = self.filter.written
            self.set_filter(written)
            self._point(task)

    def action_around(self) -> None:
        task = self._task_here()
        if self.graph.steps == 2 or not task:
            self.graph.around("", 0)
        else:
            self.graph.around(task, self.graph.steps + 1)
        self._go(self._graph_pane())

    # --- acts -----------------------------------------------------------------------------------------------------

    def action_explain(self) -> None:
        if self.past.moment is not None:
            self.say(
                f"why something waits is known of now alone; {self.key_of('past.now')} comes back to now", "yellow"
            )
            return
        subject = self.subject() if self._pane in LISTED else None
        task = "" if subject is None or isinstance(subject, RunRow) else subject.task
        index = subject.index if isinstance(subject, TaskRow) else None
        self.explain_run(self.run_number, task, index)

    def action_set(self) -> None:
        subject, run = self.subject(), self.run_row()
        if run is not None and subject is not None:
            task = "" if isinstance(subject, RunRow) else subject.task
            self.fill(partial(setting_form, self, run, task))

    def action_act(self, verb: actions.Verb) -> None:
        self.run_worker(act(self, verb), exit_on_error=True)


def _index_of(row: str) -> int:
    """The index in `clean[3]`; 0 where there is none."""
    inner = row.rpartition("[")[2].rstrip("]")
    return int(inner) if inner.isascii() and inner.isdigit() else 0
