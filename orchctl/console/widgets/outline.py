"""The tasks of a run as an outline, in topological order: one line a task, whatever its number of rows. A task with
many rows opens to its first few by attention (failed, running, the others); the rest is a line that leads to the list
of rows. The run itself is the first line, so that acts on the run and on its tasks are the same gesture.

The list of tasks is windowed; opened tasks are few, so finding what a line shows costs their number only.
"""

from collections.abc import Callable

import msgspec

from engine.protocol.messages import ListGroups, ListTasks, View
from engine.protocol.rows import GroupRow, RunRow, TaskRow
from orchctl.console.drawing import Line
from orchctl.console.feed import Held, Views
from orchctl.console.filtering import RunFilter
from orchctl.console.runlines import child_line, group_line, more_line, root_line
from orchctl.console.selection import Selection
from orchctl.console.store import Change, Picture, Window
from orchctl.console.theme import Signs
from orchctl.console.widgets.lines import LineView

CHILDREN = 10


class Spot(msgspec.Struct, frozen=True):
    """What one line of the outline stands for: the run, a task, a row of a task, or the rows that are not shown."""

    kind: str
    task: str = ""
    key: str = ""
    group: GroupRow | None = None
    row: TaskRow | None = None
    more: int = 0


class _Opened:
    """A task whose first rows are shown."""

    def __init__(self, picture: Picture[TaskRow], subscription: Held, place: int) -> None:
        self.picture = picture
        self.subscription = subscription
        self.place = place

    @property
    def lines(self) -> int:
        return len(self.picture.keys) + (1 if self.picture.total > len(self.picture.keys) else 0)


class Outline(LineView):
    """The outline of one run. `run_row` gives the first line; `now` the wall clock in seconds."""

    def __init__(
        self,
        signs: Signs,
        feed: Views,
        run: int,
        selection: Selection,
        run_row: Callable[[], RunRow | None],
        now: Callable[[], float],
        *,
        on_cursor: Callable[[], None],
        on_end: Callable[[str], None],
        widget_id: str | None = None,
    ) -> None:
        super().__init__(signs, widget_id=widget_id)
        self._feed = feed
        self._run = run
        self._selection = selection
        self._run_row = run_row
        self._now = now
        self._on_cursor = on_cursor
        self._on_end = on_end
        self._filter = RunFilter()
        self._opened: dict[str, _Opened] = {}
        self._groups: Window[GroupRow] | None = None
        self._spot_key = "run"

    def on_mount(self) -> None:
        self._groups = Window(self._feed, GroupRow, self._view, self._changed, self._on_end)
        self.set_count(1)

    def on_unmount(self) -> None:
        self.close_all()
        if self._groups is not None:
            self._groups.close()

    def _view(self, offset: int, limit: int) -> View:
        chosen = self._filter
        return ListGroups(
            run=self._run, text=chosen.text, statuses=chosen.statuses, fold=True, offset=offset, limit=limit
        )

    @property
    def total(self) -> int:
        """How many tasks the filter lets through."""
        return self._groups.total if self._groups is not None else 0

    def set_filter(self, chosen: RunFilter) -> None:
        """Show the tasks that the filter lets through."""
        if chosen != self._filter and self._groups is not None:
            self._filter = chosen
            self.close_all()
            self._groups.change_view(self._view)
            self.move_to(0)

    # --- what stands where ----------------------------------------------------------------------------------------

    def spot(self, row: int) -> Spot:
        """What the line stands for."""
        if row == 0 or self._groups is None:
            return Spot("run", key="run")
        place = row - 1
        for opened in self._in_order():
            if place <= opened.place:
                break
            if place <= opened.place + opened.lines:
                return self._child(opened, place - opened.place - 1)
            place -= opened.lines
        group = self._groups.at(place)
        return Spot("task", group.task if group else "", group.task if group else "", group)

    def _child(self, opened: _Opened, place: int) -> Spot:
        group = self._groups.at(opened.place) if self._groups is not None else None
        task = group.task if group else ""
        row = opened.picture.at(place)
        if row is None:
            missing = opened.picture.total - len(opened.picture.keys)
            return Spot("more", task, f"{task}/more", group, more=missing)
        return Spot("row", task, opened.picture.keys[place], group, row)

    def _in_order(self) -> list[_Opened]:
        return sorted(self._opened.values(), key=lambda opened: opened.place)

    def here(self) -> Spot:
        """What the cursor is on."""
        return self.spot(self.cursor)

    def _row_of(self, key: str) -> int | None:
        """The line of something that is near what is visible; None where it is not."""
        if key == "run":
            return 0
        near = self.visible_rows()
        for row in (self.cursor, *range(max(0, near.start - 50), min(self.count, near.stop + 50))):
            if row < self.count and self.spot(row).key == key:
                return row
        return None

    def group(self, task: str) -> GroupRow | None:
        """A task that is near what is in sight."""
        place = self._groups.position(task) if self._groups is not None else None
        return self._groups.at(place) if self._groups is not None and place is not None else None

    # --- drawing --------------------------------------------------------------------------------------------------

    def draw_row(self, row: int, width: int) -> Line:
        spot = self.spot(row)
        if spot.kind == "run":
            return root_line(self._run_row(), self._run, width, self.signs, self._now())
        if spot.kind == "more":
            return more_line(spot.more, width, self.signs)
        if spot.row is not None:
            return child_line(spot.row, width, self.signs, self._now())
        if spot.group is None:
            return [(f"  {self.signs.more}", "dim")]
        return group_line(spot.group, spot.task in self._opened, width, self.signs, self._now())

    def sign_of(self, row: int) -> tuple[str, str]:
        spot = self.spot(row) if self._selection else None
        if spot is not None and spot.kind in ("task", "row") and self._selection.marked(spot.key):
            return (self.signs.mark, "yellow")
        return (" ", "plain")

    def looked_at(self, first: int, count: int) -> None:
        if self._groups is not None:
            before = sum(opened.lines for opened in self._opened.values() if opened.place < first)
            self._groups.look(max(0, first - 1 - before), count)

    def cursor_moved(self) -> None:
        self._spot_key = self.here().key
        self._on_cursor()

    def _changed(self, change: Change) -> None:
        if self._groups is None:
            return
        key = self._spot_key
        for task, opened in self._opened.items():
            place = self._groups.position(task)
            if place is not None:
                opened.place = place
        self.set_count(1 + self._groups.total + sum(opened.lines for opened in self._opened.values()))
        if change.moved:
            row = self._row_of(key)
            if row is not None and row != self.cursor:
                self.cursor = row
                self.show_cursor()
            self._spot_key = self.here().key
        self.touch()
        self._on_cursor()

    # --- opening --------------------------------------------------------------------------------------------------

    def toggle(self, spot: Spot) -> None:
        """Open or close the task of a line. The cursor goes to the task's line when it closes."""
        if spot.group is None or not spot.group.mapped or self._groups is None:
            return
        task = spot.task
        opened = self._opened.pop(task, None)
        if opened is not None:
            opened.subscription.cancel()
            self._spot_key = task
            self._changed(Change(set(), moved=True))
            return
        place = self._groups.position(task)
        if place is None:
            return
        picture: Picture[TaskRow] = Picture(TaskRow, self._child_changed)
        statuses, fold = self._filter.statuses, spot.group.fold
        view = ListTasks(
            run=self._run, task="" if fold else task, text=fold, statuses=statuses, sort="attention", limit=CHILDREN
        )
        self._opened[task] = _Opened(picture, self._feed.subscribe(view, picture, 4.0), place)
        self._changed(Change(set(), moved=True))

    def _child_changed(self, change: Change) -> None:
        self._changed(change)

    def close_all(self) -> None:
        for opened in self._opened.values():
            opened.subscription.cancel()
        self._opened.clear()

    def point(self, task: str) -> bool:
        """Put the cursor on a task, if it is near."""
        row = self._row_of(task)
        if row is None and self._groups is not None:
            place = self._groups.position(task)
            if place is not None:
                row = 1 + place + sum(opened.lines for opened in self._opened.values() if opened.place < place)
        if row is not None:
            self.move_to(row)
        return row is not None
