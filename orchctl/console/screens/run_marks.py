"""The filter of a run's panes and the marks in them: both hold for all panes at once."""

from typing import Literal, cast

import msgspec
from textual.widgets import Input

from engine.model.errors import EngineError, ValueFault
from engine.protocol.rows import RunRow
from orchctl.console import actions
from orchctl.console.filtering import RunFilter, read_filter
from orchctl.console.screens.run_acts import rows_of
from orchctl.console.screens.run_log import LogKeys
from orchctl.console.screens.sources import LaneRows, TaskRows
from orchctl.console.selection import Marked, Selection
from orchctl.console.widgets.graph import GraphView
from orchctl.console.widgets.lines import LineView
from orchctl.console.widgets.logview import LogView
from orchctl.console.widgets.outline import Outline
from orchctl.console.widgets.vtable import VirtualTable
from orchctl.text import inert

Pane = Literal["graph", "outline", "tasks", "gantt", "grid", "log", "events", "results"]


class MarkKeys(LogKeys):
    """A screen of several panes over the tasks of one run."""

    graph: GraphView
    outline: Outline
    table: VirtualTable
    gantt: VirtualTable
    grid: VirtualTable
    _pane: Pane
    _rows: TaskRows
    _lanes: LaneRows

    def __init__(self) -> None:
        super().__init__()
        self.filter = RunFilter()
        self.selection = Selection()
        self._range: tuple[Pane, int] | None = None
        """Where a range of marks begins: the pane and the line."""

    def subject(self) -> RunRow | Marked | None:
        """What the cursor is on."""
        raise NotImplementedError

    def _view(self) -> LineView | LogView:
        """The widget of the pane that is in sight."""
        raise NotImplementedError

    def _again(self) -> None:
        """Ask for all that the filter or the order changes."""
        raise NotImplementedError

    def action_filter(self) -> None:
        label = "filter: load !test ~^a.*7$ ?ldt +task task+ is:failed"
        self.ask(label, self.filter.written, self.memory.filters)

    def set_filter(self, written: str) -> None:
        """Filter all panes. Says what is wrong with one that makes no sense, and then changes nothing."""
        try:
            chosen = read_filter(written)
        except ValueFault as fault:
            self.say(f"{fault.sentence}{f': {fault.hint}' if fault.hint else ''}", "yellow")
            return
        if chosen != self.filter:
            self.filter = chosen
            self.memory.remember_filter(chosen.written)
            if self.selection.all:
                self.selection.clear()
            self.graph.set_filter(chosen)
            self.outline.set_filter(chosen)
            self._again()

    def action_faults(self) -> None:
        words = [word for word in self.filter.written.split() if word != "is:faults"]
        added = [] if "is:faults" in self.filter.written.split() else ["is:faults"]
        self.set_filter(" ".join([*words, *added]))

    def action_mark(self) -> None:
        if self.refused():
            return
        subject = self.subject()
        if subject is not None and not isinstance(subject, RunRow):
            self.selection.toggle(subject)
            self.mover().move(1)
        self._marks_changed()

    def action_mark_range(self) -> None:
        """The first time the range begins at the cursor, the second time it ends there."""
        if self.refused():
            return
        view = cast("LineView", self._view())
        if self._range is None or self._range[0] != self._pane:
            self._range = (self._pane, view.cursor)
        else:
            first, last = sorted((self._range[1], view.cursor))
            self._range = None
            self.run_worker(self._mark_rows(first, last), exit_on_error=True)
        self._marks_changed()

    async def _mark_rows(self, first: int, last: int) -> None:
        rows: list[Marked] = []
        if self._pane == "outline":
            spots = (self.outline.spot(at) for at in range(first, last + 1))
            rows = [found for spot in spots if (found := spot.row or spot.group) is not None and spot.kind != "more"]
        elif last - first < actions.TARGETS_MAX:
            try:
                rows += await rows_of(self.feed, self._rows, first, last)
            except (EngineError, msgspec.ValidationError) as error:
                self.say(f"the range could not be asked: {error}", "red")
        else:
            self.say(f"{last - first + 1:,} are too many at once: filter, and * marks all", "yellow")
        self.selection.add(rows)
        self._marks_changed()

    def action_mark_all(self) -> None:
        if self.refused():
            return
        rows = self._pane == "tasks" or (self._pane == "gantt" and bool(self._lanes.task))
        total = self._rows.count() if self._pane == "tasks" else self._lanes.count() if rows else self.outline.total
        if total:
            self.selection.mark_all("rows" if rows else "tasks", total)
        self._marks_changed()

    def action_unmark(self) -> None:
        self.selection.clear()
        self._range = None
        self._marks_changed()

    def _marks_changed(self) -> None:
        for view in (self.graph, self.outline, self.table, self.gantt, self.grid):
            view.touch()
        self.update_bar("head")

    def action_sort(self) -> None:
        self._rows.sort = "topological" if self._rows.sort == "attention" else "attention"
        self._again()

    def answered(self, text: str) -> None:
        if self._pane == "log":
            self.answered_log(text)
        else:
            self.set_filter(text)
        self.tick()

    def on_input_changed(self, event: Input.Changed) -> None:
        """The graph lights up while the filter is typed; lists wait for Enter, because the engine makes them."""
        if self._pane == "graph":
            try:
                self.graph.set_filter(read_filter(inert(event.value)))
            except ValueFault:
                return
