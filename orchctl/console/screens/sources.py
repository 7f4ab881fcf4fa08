"""The lists of a run's screen: its rows, windowed by the engine, and its journal, read page by page."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import msgspec

from engine.model.errors import EngineError
from engine.protocol.messages import ListEvents, ListTasks, Rows, View
from engine.protocol.rows import EventRow, TaskRow
from orchctl.console.drawing import Line
from orchctl.console.feed import Feed
from orchctl.console.runlines import event_line, task_line
from orchctl.console.store import Change, Window
from orchctl.console.theme import Signs

EVENTS_PAGE = 500
EVENTS_MAX = 50_000
POLL_S = 1.0


class TaskRows:
    """Rows of a run that match; the engine sorts and filters, and only a window of them is here."""

    def __init__(
        self,
        feed: Feed,
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
        self._window: Window[TaskRow] | None = None
        self.task = ""
        self.text = ""
        self.faults = False
        self.sort: Literal["topological", "attention"] = "topological"

    def start(self) -> None:
        """Subscribe, when the list is looked at for the first time."""
        if self._window is None:
            self._window = Window(self._feed, TaskRow, self._view, self._on_change, self._on_end, 4.0)

    def close(self) -> None:
        if self._window is not None:
            self._window.close()

    def _view(self, offset: int, limit: int) -> View:
        statuses = ("failed", "upstream_failed") if self.faults else ()
        return ListTasks(
            run=self._run, task=self.task, text=self.text, statuses=statuses, sort=self.sort, offset=offset, limit=limit
        )

    def again(self) -> None:
        """The filter or the order is another."""
        if self._window is not None:
            self._window.change_view(self._view)

    def at(self, row: int) -> TaskRow | None:
        """The row at a place, if it is here."""
        return None if self._window is None else self._window.at(row)

    def filter_text(self) -> str:
        """What limits the list, for people."""
        parts = [f"task {self.task}" if self.task else "", f"/{self.text}" if self.text else ""]
        return ", ".join(part for part in (*parts, "failures only" if self.faults else "") if part)

    def count(self) -> int:
        return 0 if self._window is None else self._window.total

    def key_at(self, row: int) -> str:
        return "" if self._window is None else self._window.key_at(row)

    def position(self, key: str) -> int | None:
        return None if self._window is None else self._window.position(key)

    def line(self, row: int, width: int) -> Line:
        found = self.at(row)
        return (
            [(f"  {self._signs.more}", "dim")] if found is None else task_line(found, width, self._signs, self._now())
        )

    def look(self, first: int, count: int) -> None:
        if self._window is not None:
            self._window.look(first, count)

    def empty_text(self) -> str:
        if self._window is None or not self._window.known:
            return "waiting for the engine"
        return "no row matches" if self.filter_text() else "no rows yet"


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

    def line(self, row: int, width: int) -> Line:
        return event_line(self._rows[row], width) if row < len(self._rows) else []

    def look(self, first: int, count: int) -> None:
        self._looked_at = first + count
        self._wake.set()

    def empty_text(self) -> str:
        return "nothing has happened yet"
