"""What stands beside the runs: workflows, schedules, backfills, the audit. Each is a table that is small enough to be
here whole (the audit page by page), with a filter of the same words as everywhere.
"""

from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.widgets import Input

from engine.model.errors import ValueFault
from engine.protocol.rows import Row
from orchctl.console.drawing import Line, ends, fitted
from orchctl.console.screens.base import BaseScreen, Mover
from orchctl.console.screens.sources import Few
from orchctl.console.widgets.vtable import VirtualTable
from orchctl.text import count_text, inert

RowT = TypeVar("RowT", bound=Row)


class StandingScreen(BaseScreen, Generic[RowT]):
    """A head, a table and the keys. The children say what a row is."""

    title_text: ClassVar[str]
    nothing: ClassVar[str]
    noun: ClassVar[str]
    about_lines: ClassVar[int] = 0
    """How many lines below the table tell more of the row under the cursor."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = ""
        self._few: Few[RowT] = Few(self.key, self.words, self.draw, self._empty_text)
        self._known = False

    def key(self, row: RowT) -> str:
        raise NotImplementedError

    def words(self, row: RowT) -> str:
        """What a filter looks at."""
        raise NotImplementedError

    def draw(self, row: RowT, width: int) -> Line:
        raise NotImplementedError

    def heading(self, width: int) -> Line:
        raise NotImplementedError

    def all_rows(self) -> list[RowT]:
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        yield self.bar("head", self._draw_head, 3)
        self.table = VirtualTable(self.signs, self._few, on_cursor=self.cursor_moved, widget_id="rows")
        yield self.table
        if self.about_lines:
            yield self.bar("about", self._draw_about, self.about_lines)
        yield from self.foot()

    def _draw_about(self, width: int) -> list[Line]:
        row = self.here()
        return [] if row is None else [fitted(line, width) for line in self.about(row, width)]

    def about(self, row: RowT, width: int) -> list[Line]:
        """More of the row under the cursor, in `about_lines` lines."""
        raise NotImplementedError

    def mover(self) -> Mover:
        return self.table

    def here(self) -> RowT | None:
        place = self._few.position(self.table.cursor_key)
        return None if place is None else self._few.rows[place]

    def cursor_moved(self) -> None:
        """The cursor stands on another row."""
        self.update_bar("about")

    def rearrange(self) -> None:
        """Other rows, or another filter."""
        self._known = True
        try:
            self._few.arrange(self.all_rows(), self.filter)
        except ValueFault as fault:
            self.say(fault.sentence, "yellow")
            return
        self.table.changed()
        self.update_bar("head")

    def _empty_text(self) -> str:
        return self.nothing if self._known and not self.filter else "nothing matches" if self._known else "asking"

    def _draw_head(self, width: int) -> list[Line]:
        crumbs: Line = [(" orchctl ", "dim"), (f"{self.signs.crumb} ", "faint"), (self.about_text(), "strong")]
        right: Line = [(f"/{self.filter}  ", "yellow")] if self.filter else []
        right += self.counted()
        inner = self.table.size.width or width
        return [ends(crumbs, self.clock_spans(), width), ends(self.tabs(), right, width), self.heading(inner)]

    def about_text(self) -> str:
        """What the screen is about."""
        return self.title_text

    def tabs(self) -> Line:
        """The line below the title: how many rows there are."""
        return [(f" {self.count_text()}", "dim")]

    def counted(self) -> Line:
        """What stands at the right end of that line, where the rows are not counted at its left."""
        return []

    def count_text(self) -> str:
        """`12 acts`, or `3 of 12 acts` where a filter holds some back."""
        shown, every = len(self._few.rows), len(self.all_rows())
        counted = count_text(every, self.noun)
        return counted if shown == every else f"{shown:,} of {counted}"

    def action_filter(self) -> None:
        self.ask("filter: part !not ~expression ?fuzzy", self.filter, self.memory.filters)

    def answered(self, text: str) -> None:
        self.memory.remember_filter(text)
        self.filter = text
        self.rearrange()

    def gave_up(self, before: str) -> None:
        self.filter = before
        self.rearrange()

    def on_input_changed(self, event: Input.Changed) -> None:
        self.filter = inert(event.value)
        self.rearrange()
