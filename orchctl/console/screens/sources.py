"""The lists of a run's screen: rows, lanes and the grid, windowed by the engine, and its journal, read by pages."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, Literal, TypeVar

import msgspec

from engine.model.errors import EngineError
from engine.protocol.filters import matches, parse_filter
from engine.protocol.messages import ListEvents, ListGrid, ListLanes, ListTasks, Rows, View
from engine.protocol.rows import EventRow, GridRow, LaneRow, Row, TaskRow
from orchctl.console.drawing import Line, run_number
from orchctl.console.feed import Feed, Views
from orchctl.console.filtering import RunFilter
from orchctl.console.runlines import event_line, task_line
from orchctl.console.store import WINDOW_ROWS, Change, Window
from orchctl.console.theme import Signs
from orchctl.console.timelines import Axis, grid_line, lane_line
from orchctl.console.widgets.vtable import VirtualTable

EVENTS_PAGE = 500
EVENTS_MAX = 50_000
POLL_S = 1.0

ItemT = TypeVar("ItemT")
RowT = TypeVar("RowT", bound=Row)


class Few(Generic[ItemT]):
    """The source of a table whose rows are all here."""

    def __init__(self, key: Callable[[ItemT], str], words: Callable[[ItemT], str], draw: Callable[[ItemT, int], Line],
                 empty: Callable[[], str]) -> None:  # fmt: skip
        self._key = key
        self._words = words
        self._draw = draw
        self._empty = empty
        self.rows: list[ItemT] = []
        self._places: dict[str, int] = {}

    def arrange(self, rows: list[ItemT], text: str) -> None:
        """Show those that the filter lets through. Raises ValueFault for one that makes no sense."""
        words = parse_filter(text)
        self.rows = [row for row in rows if matches(words, self._words(row))]
        self._places = {self._key(row): place for place, row in enumerate(self.rows)}

    def count(self) -> int:
        return len(self.rows)

    def key_at(self, row: int) -> str:
        return self._key(self.rows[row]) if 0 <= row < len(self.rows) else ""

    def position(self, key: str) -> int | None:
        return self._places.get(key)

    def line(self, row: int, width: int) -> Line:
        return self._draw(self.rows[row], width) if row < len(self.rows) else []

    def look(self, first: int, count: int) -> None:
        """All rows are here."""

    def empty_text(self) -> str:
        return self._empty()


class Windowed(Generic[RowT]):
    """Rows of a run that the filter lets through; the engine sorts and filters, and only a window of them is here.

    It is a source of a table: `view` says what is asked for, `draw` what a row looks like.
    """

    kind: type[RowT]
    rate = 4.0

    def __init__(
        self,
        feed: Views,
        run: int,
        signs: Signs,
        now: Callable[[], float],
        on_change: Callable[[Change], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._feed = feed
        self._run = run
        self._signs = signs
        self._now = now
        self._on_change = on_change
        self._on_end = on_end
        self._window: Window[RowT] | None = None
        self.filter = RunFilter()
        self.task = ""

    def start(self) -> None:
        """Subscribe, when the list is looked at."""
        if self._window is None:
            self._window = Window(self._feed, self.kind, self.view, self._on_change, self._on_end, self.rate)

    def stop(self) -> None:
        if self._window is not None:
            self._window.close()
            self._window = None

    def view(self, offset: int, limit: int) -> View:
        raise NotImplementedError

    def draw(self, row: RowT, width: int) -> Line:
        raise NotImplementedError

    def again(self) -> None:
        """The filter or the order is another."""
        if self._window is not None:
            self._window.change_view(self.view)

    def at(self, row: int) -> RowT | None:
        """The row at a place, if it is here."""
        return None if self._window is None else self._window.at(row)

    def count(self) -> int:
        return 0 if self._window is None else self._window.total

    def key_at(self, row: int) -> str:
        return "" if self._window is None else self._window.key_at(row)

    def position(self, key: str) -> int | None:
        return None if self._window is None else self._window.position(key)

    def line(self, row: int, width: int) -> Line:
        found = self.at(row)
        return [(f"  {self._signs.more}", "dim")] if found is None else self.draw(found, width)

    def look(self, first: int, count: int) -> None:
        if self._window is not None:
            self._window.look(first, count)

    @property
    def known(self) -> bool:
        """Whether the engine has answered."""
        return self._window is not None and self._window.known

    def empty_text(self) -> str:
        if not self.known:
            return "waiting for the engine"
        return "nothing matches the filter" if self.filter or self.task else "no rows yet"


class TaskRows(Windowed[TaskRow]):
    """All rows, or those of one task."""

    kind = TaskRow
    sort: Literal["topological", "attention"] = "topological"

    def view(self, offset: int, limit: int) -> View:
        chosen = self.filter
        return ListTasks(
            run=self._run, task=self.task, text=chosen.text, statuses=chosen.statuses, sort=self.sort, offset=offset,
            limit=limit,
        )  # fmt: skip

    def draw(self, row: TaskRow, width: int) -> Line:
        return task_line(row, width, self._signs, self._now())


class LaneRows(Windowed[LaneRow]):
    """When the tasks ran, or the rows of one. `zoom` 1 shows the whole run; `middle` is the share of it in sight."""

    kind = LaneRow
    rate = 1.0
    zoom = 1
    middle = 0.5

    def span(self, began_s: float, until_s: float) -> Axis:
        """The time in sight of a run that lasted so long."""
        whole = max(0.001, until_s - began_s)
        half = whole / self.zoom / 2
        middle = min(max(began_s + whole * self.middle, began_s + half), until_s - half)
        self.axis = Axis(middle - half, middle + half)
        return self.axis

    axis = Axis(0.0, 1.0)

    def view(self, offset: int, limit: int) -> View:
        chosen = self.filter
        return ListLanes(
            run=self._run, task=self.task, text="" if self.task else chosen.text, statuses=chosen.statuses,
            offset=offset, limit=limit,
        )  # fmt: skip

    def draw(self, row: LaneRow, width: int) -> Line:
        return lane_line(row, self.axis, width, self._signs, self._now())


class GridRows(Windowed[GridRow]):
    """How the tasks went in the last runs of the workflow; `runs` are those that have been seen, oldest first."""

    kind = GridRow
    rate = 1.0
    wanted = 10
    runs: list[str] = []

    def view(self, offset: int, limit: int) -> View:
        return ListGrid(run=self._run, runs=self.wanted, text=self.filter.text, offset=offset, limit=limit)

    def show(self, runs: int) -> None:
        """So many runs fit beside the names."""
        if runs != self.wanted:
            self.wanted = runs
            self.again()

    def settle(self) -> None:
        """News have come: find the runs that they speak of."""
        shown = (self.at(at) for at in range(min(self.count(), WINDOW_ROWS)))
        found = {run for row in shown if row is not None for run in row.cells}
        self.runs = sorted(found | {f"r{self._run}"}, key=run_number)[-self.wanted :]

    def draw(self, row: GridRow, width: int) -> Line:
        return grid_line(row, self.runs, width, self._signs)


class EventRows:
    """The journal of a run in order. Pages are fetched as they come into sight; the oldest rows go beyond
    `EVENTS_MAX`. With `to_end` the list reads on to its end and stays there.
    """

    def __init__(self, feed: Feed, run: int, on_change: Callable[[], None], on_trouble: Callable[[str], None]) -> None:
        self._feed = feed
        self._run = run
        self._on_change = on_change
        self._on_trouble = on_trouble
        self._rows: list[EventRow] = []
        self._cursor = ""
        self._taken = 0
        self._looked_at = 0
        self._dropped = 0
        self._wake = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self.to_end = False

    def start(self) -> None:
        """Read while the list is in sight."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_on())

    def stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def go_to_end(self) -> None:
        """Read on until the end, whatever is visible."""
        self.to_end = True
        self._wake.set()

    async def _read_on(self) -> None:
        while True:
            self._wake.clear()
            try:
                while (self.to_end or len(self._rows) < self._looked_at + EVENTS_PAGE) and await self._page():
                    pass
            except (EngineError, msgspec.ValidationError) as error:
                if self._feed.live:
                    self._on_trouble(str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()

    async def _page(self) -> bool:
        """Fetch a page. Whether there may be more. The journal's last page has no cursor, so it is asked for again
        and what was taken of it already is left out.
        """
        answer = await self._feed.ask(ListEvents(run=self._run, cursor=self._cursor, limit=EVENTS_PAGE), Rows)
        fresh = msgspec.convert(answer.rows[self._taken :], list[EventRow])
        self._rows += fresh
        self._taken = len(answer.rows)
        if answer.cursor and answer.rows:
            self._cursor = answer.cursor
            self._taken = 0
        extra = len(self._rows) - EVENTS_MAX
        if extra > 0:
            del self._rows[:extra]
            self._dropped += extra
        if fresh:
            self._on_change()
        return bool(answer.cursor) and len(answer.rows) >= EVENTS_PAGE

    def count(self) -> int:
        return len(self._rows)

    def key_at(self, row: int) -> str:
        return str(row + self._dropped) if 0 <= row < len(self._rows) else ""

    def position(self, key: str) -> int | None:
        place = int(key) - self._dropped
        return place if 0 <= place < len(self._rows) else None

    def revision(self, row: int) -> int:
        """The revision of the entry at a place; 0 where there is none."""
        return self._rows[row].revision if 0 <= row < len(self._rows) else 0

    def line(self, row: int, width: int) -> Line:
        return event_line(self._rows[row], width) if row < len(self._rows) else []

    def look(self, first: int, count: int) -> None:
        self._looked_at = first + count
        self._wake.set()

    def empty_text(self) -> str:
        return "nothing has happened yet"


class Journal(VirtualTable):
    """The table of the journal. Its end is where reading has come to; going up ends reading on."""

    def __init__(self, signs: Signs, rows: EventRows, *, widget_id: str) -> None:
        super().__init__(signs, rows, widget_id=widget_id)
        self._rows = rows

    def changed(self) -> None:
        super().changed()
        if self._rows.to_end:
            super().bottom()

    def bottom(self) -> None:
        self._rows.go_to_end()
        super().bottom()

    def move_to(self, row: int) -> None:
        if row < self.cursor:
            self._rows.to_end = False
        super().move_to(row)
