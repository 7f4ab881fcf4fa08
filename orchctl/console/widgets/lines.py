"""Widgets that draw line by line. Only visible rows are ever drawn, and only rows that look different are sent again,
so the cost of a list is that of a screenful however long it is.

Every segment carries a style of its own: textual's filters for NO_COLOR fail on one that has none. Text becomes
segments as it is; nothing here reads markup.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from orchctl.console.drawing import Line, fitted
from orchctl.console.theme import Signs

_STYLES = {
    "plain": Style(),
    "strong": Style(bold=True),
    "heading": Style(bold=True, dim=True),
    "dim": Style(dim=True),
    "faint": Style(dim=True),
    "key": Style(bold=True, color="cyan"),
    "match": Style(reverse=True),
    "chosen": Style(bold=True, reverse=True),
    "red": Style(color="bright_red"),
    "green": Style(color="green"),
    "yellow": Style(color="yellow"),
    "blue": Style(color="bright_blue"),
    "magenta": Style(color="magenta"),
    "cyan": Style(color="cyan"),
}


@lru_cache(maxsize=1024)
def style_named(name: str) -> Style:
    """The style of a name, or of what a log wrote (`sgr bold red on white`); an unknown name is plain."""
    if name.startswith("sgr "):
        return Style.parse(name.removeprefix("sgr "))
    return _STYLES.get(name, _STYLES["plain"])


def strip_of(line: Line, width: int, base: Style, *, greyed: bool = False) -> Strip:
    """The line in exactly `width` columns over the base style, dimmed where it is out of date."""
    segments = [Segment(text, base + style_named("dim" if greyed else style)) for text, style in line if text]
    return Strip(segments).adjust_cell_length(width, base)


class Bar(Widget, can_focus=False):
    """A few fixed lines made by a function of the width. `update` sends those that changed."""

    DEFAULT_CSS = """
    Bar { height: 1; }
    """

    def __init__(
        self,
        draw: Callable[[int], list[Line]],
        height: int = 1,
        *,
        widget_id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=widget_id, classes=classes)
        self._draw = draw
        self._lines: list[Line] = []
        self._width = -1
        self.styles.height = height
        self.greyed = False

    def update_lines(self) -> None:
        """Make the lines anew and draw what is different."""
        if self.size.width and (self._draw(self.size.width) != self._lines or self._width != self.size.width):
            self.refresh()

    def grey(self, greyed: bool) -> None:
        if greyed != self.greyed:
            self.greyed = greyed
            self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0 or self._width != width:
            self._lines = self._draw(width)
            self._width = width
        line = self._lines[y] if y < len(self._lines) else []
        return strip_of(line, width, self.rich_style, greyed=self.greyed)


class LineView(ScrollView, can_focus=False):
    """A list of `count` rows, drawn by `draw_row`, with a cursor that stays in sight."""

    COMPONENT_CLASSES = {"line-view--cursor"}
    DEFAULT_CSS = """
    LineView { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }
    LineView > .line-view--cursor { background: $primary 35%; }
    """

    def __init__(self, signs: Signs, *, widget_id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=widget_id, classes=classes)
        self.signs = signs
        self.cursor = 0
        self.cursor_shown = True
        self.greyed = False
        self._count = 0
        self._drawn: dict[int, Line] = {}
        self._said = ""

    # --- what the children say ------------------------------------------------------------------------------------

    def draw_row(self, row: int, width: int) -> Line:
        """The row in at most `width` columns."""
        raise NotImplementedError

    def sign_of(self, row: int) -> tuple[str, str]:
        """What stands before a row that the cursor is not on: one column."""
        return (" ", "plain")

    def empty_text(self) -> str:
        """What is said where there is no row."""
        return ""

    def looked_at(self, first: int, count: int) -> None:
        """These rows are visible now."""

    def cursor_moved(self) -> None:
        """The cursor stands on another row."""

    # --- rows -----------------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        return self._count

    def set_count(self, count: int) -> None:
        """There are so many rows now; the cursor stays within them."""
        if count != self._count:
            self._count = count
            self.virtual_size = Size(self.size.width, count)
            self.refresh()
        self.cursor = max(0, min(self.cursor, count - 1))

    def visible_rows(self) -> range:
        first = self.scroll_offset.y
        return range(first, min(first + self.size.height, self._count))

    def touch(self) -> None:
        """Something may have changed: send the visible rows that look different."""
        width = self.scrollable_size.width
        if not self._count and self._said != self.empty_text():
            self.refresh()
        for row in self.visible_rows():
            if self._drawn.get(row) != self._whole_row(row, width):
                self.refresh_line(row)

    def grey(self, greyed: bool) -> None:
        if greyed != self.greyed:
            self.greyed = greyed
            self.refresh()

    def _whole_row(self, row: int, width: int) -> Line:
        pointed = self.cursor_shown and row == self.cursor
        return [(self.signs.cursor, "cyan") if pointed else self.sign_of(row), *self.draw_row(row, width - 1)]

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_size.width
        row = self.scroll_offset.y + y
        base = self.rich_style
        if y == 0:
            self._drawn = {row: line for row, line in self._drawn.items() if row in self.visible_rows()}
        if row >= self._count:
            if row > 0:
                return strip_of([], width, base)
            self._said = self.empty_text()
            return strip_of([(f"  {self._said}", "dim")], width, base)
        line = self._drawn[row] = self._whole_row(row, width)
        if self.cursor_shown and row == self.cursor and not self.greyed:
            base = self.get_component_rich_style("line-view--cursor")
        return strip_of(line, width, base, greyed=self.greyed)

    # --- moving ---------------------------------------------------------------------------------------------------

    def move_to(self, row: int) -> None:
        """Put the cursor on a row and show it."""
        row = max(0, min(row, self._count - 1))
        if row != self.cursor:
            before, self.cursor = self.cursor, row
            self.refresh_line(before)
            self.refresh_line(row)
            self.show_cursor()
            self.cursor_moved()
        else:
            self.show_cursor()

    def show_cursor(self) -> None:
        """Scroll as little as needed for the cursor to be in sight."""
        height = self.size.height
        first = self.scroll_offset.y
        if height <= 0:
            return
        if self.cursor < first:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor >= first + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, force=True)

    def move(self, rows: int) -> None:
        self.move_to(self.cursor + rows)

    def move_pages(self, pages: int) -> None:
        self.move(pages * max(1, self.size.height - 1))

    def top(self) -> None:
        self.move_to(0)

    def bottom(self) -> None:
        self.move_to(self._count - 1)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.looked_at(round(new_value), self.size.height)

    def on_resize(self, event: events.Resize) -> None:
        self.virtual_size = Size(event.size.width, self._count)
        self.show_cursor()
        self.looked_at(self.scroll_offset.y, event.size.height)

    def on_click(self, event: events.Click) -> None:
        row = self.scroll_offset.y + event.y
        if row < self._count:
            self.move_to(row)


class TextView(LineView):
    """Lines that are made elsewhere, to be read: no cursor, scrolling only."""

    def __init__(self, signs: Signs, *, widget_id: str | None = None, classes: str | None = None) -> None:
        super().__init__(signs, widget_id=widget_id, classes=classes)
        self.cursor_shown = False
        self._lines: list[Line] = []

    def set_lines(self, lines: list[Line]) -> None:
        self._lines = lines
        self.set_count(len(lines))
        self.touch()

    def draw_row(self, row: int, width: int) -> Line:
        return fitted(self._lines[row], width) if row < len(self._lines) else []

    def move(self, rows: int) -> None:
        self.scroll_to(y=self.scroll_offset.y + rows, animate=False, force=True)

    def top(self) -> None:
        self.scroll_to(y=0, animate=False, force=True)

    def bottom(self) -> None:
        self.scroll_to(y=self.count, animate=False, force=True)


class LinkedView(TextView):
    """Lines to be read, some of which can be opened: the cursor is on one of these, or nowhere. Moving goes from one to
    the next while it is on them, and scrolls again beyond them."""

    def __init__(self, signs: Signs, *, widget_id: str) -> None:
        super().__init__(signs, widget_id=widget_id)
        self._links: Sequence[int] = ()
        self._picked = -1

    def set_linked(self, lines: list[Line], links: Sequence[int]) -> None:
        """The lines, and the numbers of those that can be opened, ascending. Where they move, so does the sight."""
        moved, self._links = links != self._links, links
        self.set_lines(lines)
        self._pick(min(self._picked, len(links) - 1), show=moved)

    @property
    def picked(self) -> int | None:
        """The line that the cursor is on."""
        return self._links[self._picked] if self._picked >= 0 else None

    def pick(self, direction: int) -> None:
        """To the next line that can be opened, or the one before; from the last to the first."""
        if self._links:
            first = 0 if direction > 0 else len(self._links) - 1
            self._pick(first if self._picked < 0 else (self._picked + direction) % len(self._links))

    def _pick(self, link: int, *, show: bool = True) -> None:
        self._picked, self.cursor_shown = link, link >= 0
        if link >= 0:
            self.cursor = self._links[link]
            if show:
                self.show_cursor()
        self.touch()

    def move(self, rows: int) -> None:
        to = self._picked + rows
        if self._picked >= 0 and 0 <= to < len(self._links):
            self._pick(to)
            return
        self._pick(-1)
        super().move(rows)

    def top(self) -> None:
        self._pick(-1)
        super().top()

    def bottom(self) -> None:
        self._pick(-1)
        super().bottom()

    def on_click(self, event: events.Click) -> None:
        row = self.scroll_offset.y + event.y
        if row in self._links:
            self._pick(self._links.index(row))
