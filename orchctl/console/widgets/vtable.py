"""A table of any length. Its source says how many rows there are and how each looks; what the operator points at is
remembered by key, so the cursor and the marks stay with their rows when rows come, go or change places.
"""

from collections.abc import Callable
from typing import Protocol

from orchctl.console.drawing import Line
from orchctl.console.theme import Signs
from orchctl.console.widgets.lines import LineView


class Source(Protocol):
    """Rows by their place. `look` is told what is visible, so that a source can fetch it."""

    def count(self) -> int: ...

    def key_at(self, row: int) -> str: ...

    def position(self, key: str) -> int | None: ...

    def line(self, row: int, width: int) -> Line: ...

    def look(self, first: int, count: int) -> None: ...

    def empty_text(self) -> str: ...


class VirtualTable(LineView):
    """A table over a source. `marked` says by its key whether the operator has marked a row."""

    def __init__(
        self,
        signs: Signs,
        source: Source,
        *,
        on_cursor: Callable[[], None] = lambda: None,
        marked: Callable[[str], bool] = lambda key: False,
        widget_id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(signs, widget_id=widget_id, classes=classes)
        self._source = source
        self._on_cursor = on_cursor
        self._marked = marked
        self.cursor_key = ""

    def draw_row(self, row: int, width: int) -> Line:
        return self._source.line(row, width)

    def sign_of(self, row: int) -> tuple[str, str]:
        if self._marked(self._source.key_at(row)):
            return (self.signs.mark, "yellow")
        return (" ", "plain")

    def empty_text(self) -> str:
        return self._source.empty_text()

    def looked_at(self, first: int, count: int) -> None:
        self._source.look(first, count)

    def cursor_moved(self) -> None:
        self.cursor_key = self._source.key_at(self.cursor)
        self._on_cursor()

    def changed(self) -> None:
        """The source has other rows: keep the cursor on the row it was on."""
        self.set_count(self._source.count())
        place = self._source.position(self.cursor_key) if self.cursor_key else None
        if place is not None and place != self.cursor:
            self.cursor = place
            self.show_cursor()
        key = self._source.key_at(self.cursor) if self.count else ""
        if key and key != self.cursor_key:
            self.cursor_key = key
        self.touch()
        self._on_cursor()

    def forget(self) -> None:
        """The rows are about to be quite others: begin at the top."""
        self.cursor = 0
        self.cursor_key = ""
        self.scroll_to(y=0, animate=False, force=True)
        self.refresh()

    def point(self, key: str) -> None:
        """Put the cursor on a row, now or when it comes."""
        place = self._source.position(key)
        if place is not None:
            self.move_to(place)
        self.cursor_key = key
