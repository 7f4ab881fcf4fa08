"""What the console knows of a view: rows as structs, in the engine's order, at a revision.

A `Picture` is the whole answer of a view. A `Window` is the same for a list that may be far longer than what is shown:
it keeps a subscription on the piece around what is visible, and moves it when the operator moves. Neither knows how
rows are drawn.
"""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import msgspec

from engine.model.errors import ValueFault
from engine.protocol.messages import Delta, Snapshot, View, key_of
from engine.protocol.rows import Row
from orchctl.console.feed import Held, Sink, Views
from orchctl.views import ViewState

RowT = TypeVar("RowT", bound=Row)
WINDOW_ROWS = 200


class Change(msgspec.Struct):
    """What happened to a picture since it was last drawn. `moved`: rows came, went or changed places."""

    keys: set[str]
    moved: bool = False


class Picture(Generic[RowT]):
    """The rows of one view. `on_change` is called after each batch of news, `on_end` when nothing follows."""

    def __init__(
        self,
        kind: type[RowT],
        on_change: Callable[[Change], None],
        on_end: Callable[[str], None] = lambda why: None,
    ) -> None:
        self._kind = kind
        self._on_change = on_change
        self._on_end = on_end
        self._view = ViewState()
        self._change = Change(set())
        self.keys: list[str] = []
        self._rows: dict[str, RowT] = {}

    @property
    def known(self) -> bool:
        """Whether a snapshot has come."""
        return self._view.known

    @property
    def total(self) -> int:
        """How many rows match, shown or not."""
        return max(self._view.total, len(self.keys))

    @property
    def revision(self) -> int:
        return self._view.revision

    @property
    def rows(self) -> list[RowT]:
        return [self._rows[key] for key in self.keys]

    def get(self, key: str) -> RowT | None:
        return self._rows.get(key)

    def at(self, position: int) -> RowT | None:
        return self._rows[self.keys[position]] if 0 <= position < len(self.keys) else None

    def apply(self, reply: Snapshot | Delta) -> None:
        """Take a reply in. Raises OutOfStepError where it does not follow and ValueFault where it is not made of
        such rows; then nothing was changed.
        """
        try:
            fresh = {key_of(row): msgspec.convert(row, self._kind) for row in reply.rows}
        except msgspec.ValidationError as error:
            raise ValueFault(f"the engine sent a row that is no {self._kind.__name__}: {error}") from error
        self._change.keys.update(self._view.apply(reply))
        if isinstance(reply, Snapshot):
            self._rows = fresh
            self.keys = list(fresh)
            self._change.moved = True
            return
        grown = not fresh.keys() <= self._rows.keys()
        self._rows.update(fresh)
        if reply.order is not None or grown:
            self.keys = [key_of(row) for row in self._view.rows]
            self._rows = {key: self._rows[key] for key in self.keys}
            self._change.moved = True

    def settled(self) -> None:
        change, self._change = self._change, Change(set())
        self._on_change(change)

    def ended(self, why: str) -> None:
        self._on_end(why)


class PagedView(Protocol):
    """Makes the view of a piece of a list."""

    def __call__(self, offset: int, limit: int) -> View: ...


class Window(Generic[RowT]):
    """A piece of a long list, subscribed around what is visible. Rows outside of it are None until they come."""

    def __init__(
        self,
        feed: Views,
        kind: type[RowT],
        view: PagedView,
        on_change: Callable[[Change], None],
        on_end: Callable[[str], None] = lambda why: None,
        rate: float = 5.0,
    ) -> None:
        self._feed = feed
        self._kind = kind
        self._view = view
        self._on_change = on_change
        self._on_end = on_end
        self._rate = rate
        self._wanted_offset = 0
        self.offset = 0
        self._shown: Picture[RowT] = Picture(kind, on_change)
        self._subscription: Held | None = None
        self._subscribe(0)

    @property
    def known(self) -> bool:
        return self._shown.known

    @property
    def total(self) -> int:
        return self._shown.total if self._shown.known else 0

    @property
    def revision(self) -> int:
        return self._shown.revision

    def at(self, position: int) -> RowT | None:
        """The row at a place of the whole list, if it is here."""
        return self._shown.at(position - self.offset)

    def key_at(self, position: int) -> str:
        place = position - self.offset
        return self._shown.keys[place] if 0 <= place < len(self._shown.keys) else ""

    def position(self, key: str) -> int | None:
        """The place of a row that is here."""
        try:
            return self._shown.keys.index(key) + self.offset
        except ValueError:
            return None

    def look(self, first: int, count: int) -> None:
        """These rows are visible. Moves the window when they are not, or soon not, inside of it."""
        margin = WINDOW_ROWS // 5
        start, end = self._wanted_offset, self._wanted_offset + WINDOW_ROWS
        near_start = start > 0 and first < start + margin
        near_end = end < self.total and first + count > end - margin
        if near_start or near_end:
            self._subscribe(max(0, first + count // 2 - WINDOW_ROWS // 2))

    def change_view(self, view: PagedView) -> None:
        """Another filter or order: from the beginning."""
        self._view = view
        self._subscribe(0)

    def close(self) -> None:
        if self._subscription is not None:
            self._subscription.cancel()
            self._subscription = None

    def _subscribe(self, offset: int) -> None:
        """Ask for another piece. The old one stays in sight until the new one has come."""
        self.close()
        self._wanted_offset = offset
        sink: Sink
        picture: Picture[RowT]

        def changed(change: Change) -> None:
            if self._shown is not picture:
                self._shown = picture
                self.offset = offset
            self._on_change(change)

        picture = Picture(self._kind, changed, self._on_end)
        sink = picture
        self._subscription = self._feed.subscribe(self._view(offset, WINDOW_ROWS), sink, self._rate)
