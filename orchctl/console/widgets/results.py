"""The pane of a campaign's results: while it is in sight it asks again as trials end."""

from collections.abc import Callable

from textual import events

from orchctl.campaign.comparing import Cell
from orchctl.campaign.comparing import Line as Compared
from orchctl.console.drawing import Line, fitted
from orchctl.console.resultlines import Row, result_rows, results_heading
from orchctl.console.results import Results
from orchctl.console.theme import Signs
from orchctl.console.widgets.lines import LineView


class ResultsView(LineView):
    """Tables and plots; the cursor stands on lines, some of which are about a cell. `counts` tells how the run stands:
    where it does not change, there is nothing new."""

    def __init__(self, signs: Signs, results: Results, counts: Callable[[], object], *, widget_id: str) -> None:
        super().__init__(signs, widget_id=widget_id)
        self._results = results
        self._counts = counts
        self._rows: list[Row] = []
        self._made_of: list[Compared] = []
        self._made_for = 0
        self._asked_at: object = None
        self._active = False

    def start(self) -> None:
        """The pane comes into sight."""
        self._active = True
        self._asked_at = None
        self.see()

    def stop(self) -> None:
        self._active = False

    def see(self) -> None:
        """Ask where there may be other results than were asked for last."""
        now = (self._counts(), self._results.wish)
        if self._active and now != self._asked_at:
            self._asked_at = now
            self.run_worker(self._results.refresh(), exit_on_error=True)

    def cell(self) -> Cell | None:
        """What the cursor is on."""
        return self._rows[self.cursor].cell if self.cursor < len(self._rows) else None

    def changed(self) -> None:
        """There are other results, or there is another width."""
        width = self._room()
        results = self._results
        if width > 0 and (results.lines is not self._made_of or width != self._made_for):
            self._made_of, self._made_for = results.lines, width
            before = self.cell()
            self._rows = result_rows(results.lines, results.measured, results.several, width, self.signs)
            self.set_count(len(self._rows))
            if before is not None and self.cell() != before:
                self.move_to(next((at for at, row in enumerate(self._rows) if row.cell == before), self.cursor))
        self.touch()

    def heading(self) -> Line:
        return [(" ", "plain"), *results_heading(self._results.several, self._room())]

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.changed()

    def _room(self) -> int:
        """Columns for a line: without the cursor's, and whether or not there is a scrollbar."""
        return self.size.width - 2

    def draw_row(self, row: int, width: int) -> Line:
        return fitted(self._rows[row].line, width) if row < len(self._rows) else []

    def empty_text(self) -> str:
        if not self._results.known:
            return "waiting for the engine"
        return "no trial has ended well yet" if self._results.measures else "this run measures nothing"
