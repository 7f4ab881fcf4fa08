"""The tasks of a run as a graph: columns of names with lines between them, one row a task, states kept live. It is for
graphs that fit; `fits` says whether this one does, and `around` limits it to the neighbourhood of a task, which may be
wider than the screen and then moves with the cursor.

Only the states of the tasks come with news; the places of the names change when the tasks or the width do.
"""

from collections.abc import Callable

from textual import events
from textual.geometry import Size

from engine.protocol.filters import parse_filter, select
from engine.protocol.messages import ListGroups
from engine.protocol.rows import GroupRow, RunRow
from orchctl.console.drawing import Line, Span, joined, short_count, stacked_bar
from orchctl.console.feed import Held, Views
from orchctl.console.filtering import RunFilter
from orchctl.console.layout.columns import Box, Drawing, Node, lay_out
from orchctl.console.runlines import root_line
from orchctl.console.selection import Selection
from orchctl.console.store import Change, Picture
from orchctl.console.theme import Signs, status_style
from orchctl.console.widgets.lines import LineView
from orchctl.text import cut

GRAPH_MAX = 30
_AROUND_MAX = 60
_NAME_WIDTHS = (40, 28, 20, 18, 16, 14, 12, 11, 10, 9, 8)
_ROOT = "run"
_ABOVE = 2
"""Lines above the graph: the run itself, and a blank one."""
_BAR = 12


class GraphView(LineView):
    """The graph of one run. `run_row` gives the first line, `now` the wall clock in seconds; `room` is how large
    the view would be if it is not in sight.
    """

    def __init__(
        self,
        signs: Signs,
        feed: Views,
        run: int,
        selection: Selection,
        run_row: Callable[[], RunRow | None],
        now: Callable[[], float],
        room: Callable[[], Size],
        *,
        on_cursor: Callable[[], None],
        on_change: Callable[[], None],
        on_end: Callable[[str], None],
        widget_id: str | None = None,
    ) -> None:
        super().__init__(signs, widget_id=widget_id)
        self.cursor_shown = False
        self._feed = feed
        self._run = run
        self._selection = selection
        self._run_row = run_row
        self._now = now
        self._room = room
        self._on_cursor = on_cursor
        self._on_change = on_change
        self._on_end = on_end
        self._filter = RunFilter()
        self._around = ""
        self._steps = 0
        self._subscription: Held | None = None
        self._picture: Picture[GroupRow] = Picture(GroupRow, self._changed, on_end)
        self._shape: object = None
        self._drawing = Drawing(0, 0, {}, [])
        self._name_width = _NAME_WIDTHS[0]
        self._order: list[str] = []
        self._lit: set[str] | None = None
        self._left = 0
        self.spot = _ROOT

    # --- what is shown --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Subscribe, if that is not done."""
        if self._subscription is None:
            text = f"{self._steps}+{self._around}+{self._steps}" if self._around else ""
            limit = (_AROUND_MAX if self._around else GRAPH_MAX) + 1
            self._picture = Picture(GroupRow, self._changed, self._on_end)
            view = ListGroups(run=self._run, text=text, limit=limit)
            self._subscription = self._feed.subscribe(view, self._picture, 4.0)

    def stop(self) -> None:
        if self._subscription is not None:
            self._subscription.cancel()
            self._subscription = None

    def on_unmount(self) -> None:
        self.stop()

    @property
    def known(self) -> bool:
        return self._picture.known

    @property
    def fits(self) -> bool:
        """Whether all of it is here and as wide as the screen at most; the neighbourhood of a task always is."""
        if self._around:
            return True
        few = 0 < self._picture.total <= GRAPH_MAX
        return few and self._drawing.width <= self._room().width - 1

    def around(self, task: str, steps: int) -> None:
        """Show the neighbourhood of a task; no task: all of the run."""
        if (task, steps) != (self._around, self._steps):
            self._around, self._steps = task, steps
            self.spot = task or self.spot
            self.stop()
            self.start()

    def around_text(self) -> str:
        """What the graph is limited to, for people."""
        if not self._around:
            return ""
        more = f", {self._picture.total - _AROUND_MAX:,} more" if self._picture.total > _AROUND_MAX else ""
        return f"around {self._around}: {self._steps} step{'s' if self._steps > 1 else ''}{more}"

    @property
    def steps(self) -> int:
        return self._steps if self._around else 0

    def set_filter(self, chosen: RunFilter) -> None:
        """Light what the filter lets through; the rest stays in its place, dimmed."""
        self._filter = chosen
        self._light()
        self.touch()

    def _changed(self, change: Change) -> None:
        self._lay_out()
        self._light()
        self.touch()
        self._on_change()

    def on_resize(self, event: events.Resize) -> None:
        self.resized()
        super().on_resize(event)

    def resized(self) -> None:
        """There may be more or less room, also where the view is not in sight."""
        if self.is_attached:
            self._lay_out()
            self._on_change()

    def _lay_out(self) -> None:
        """Place the names anew, where they or the width are others."""
        rows = self._picture.rows[: _AROUND_MAX if self._around else GRAPH_MAX]
        room = self._room()
        shape = (room, [(row.task, row.needs, row.mapped and self._times(row)) for row in rows])
        if shape == self._shape or not room.width or (self._picture.total > GRAPH_MAX and not self._around):
            return
        self._shape = shape
        for width in _NAME_WIDTHS:
            self._name_width = width
            nodes = [Node(row.task, self._label_width(row), row.needs) for row in rows]
            self._drawing = lay_out(nodes, room.width - 1, room.height - _ABOVE - 1)
            if self._drawing.width <= room.width - 1:
                break
        boxes = self._drawing.boxes
        self._order = [_ROOT, *sorted(boxes, key=lambda name: (boxes[name].column, boxes[name].y))]
        if self.spot not in self._order:
            self.spot = self._around if self._around in self._order else _ROOT
        self.set_count(_ABOVE + self._drawing.height + 1)
        self.refresh()
        self._show_spot()

    def _label_width(self, row: GroupRow) -> int:
        times = 1 + len(self._times(row)) if row.mapped else 0
        return 2 + min(len(row.task), self._name_width) + times

    def _times(self, row: GroupRow) -> str:
        """How many rows a mapped task has, once that is known."""
        return self.signs.times + (short_count(row.rows) if row.rows else "?")

    def _light(self) -> None:
        if not self._filter:
            self._lit = None
            return
        rows = self._picture.rows
        names = [row.task for row in rows]
        place = {name: at for at, name in enumerate(names)}
        ups = [[place[need] for need in row.needs if need in place] for row in rows]
        downs: list[list[int]] = [[] for _ in rows]
        for at, above in enumerate(ups):
            for up in above:
                downs[up].append(at)
        words = parse_filter(self._filter.text)
        found = select(words, names, range(len(names)), ups.__getitem__, downs.__getitem__, lambda: None)
        statuses = self._filter.statuses
        self._lit = {
            names[at] for at in found if not statuses or any(rows[at].tasks.get(status) for status in statuses)
        }

    # --- the cursor -----------------------------------------------------------------------------------------------

    def here(self) -> GroupRow | None:
        """The task under the cursor; None on the line of the run."""
        return self._picture.get(self.spot)

    def point(self, task: str) -> bool:
        """Put the cursor on a task, if it is here."""
        if task not in self._order:
            return False
        self._go(task)
        return True

    def move(self, rows: int) -> None:
        if self._order:
            at = self._order.index(self.spot) + rows
            self._go(self._order[max(0, min(at, len(self._order) - 1))])

    def top(self) -> None:
        self.move(-len(self._order))

    def bottom(self) -> None:
        self.move(len(self._order))

    def aside(self, columns: int) -> bool:
        """To the nearest name of the next column. False where there is none."""
        boxes = self._drawing.boxes
        box = boxes.get(self.spot, Box(0, 0, 0, -1))
        beside = [name for name in boxes if boxes[name].column == box.column + columns]
        if beside:
            self._go(min(beside, key=lambda name: abs(boxes[name].y - box.y)))
        return bool(beside)

    def _go(self, name: str) -> None:
        self.spot = name
        self._show_spot()
        self.touch()
        self._on_cursor()

    def _show_spot(self) -> None:
        box = self._drawing.boxes.get(self.spot)
        self.cursor = 0 if box is None else box.y + _ABOVE
        self.show_cursor()
        width = self._room().width - 1
        left = 0 if box is None or self._drawing.width <= width else max(0, box.x + box.width - width * 2 // 3)
        if left != self._left:
            self._left = left
            self.refresh()

    def on_click(self, event: events.Click) -> None:
        x, y = event.x - 1 + self._left, event.y + self.scroll_offset.y - _ABOVE
        for name, box in self._drawing.boxes.items():
            if box.y == y and box.x <= x < box.x + box.width:
                self._go(name)

    # --- drawing --------------------------------------------------------------------------------------------------

    def draw_row(self, row: int, width: int) -> Line:
        if row == 0:
            return root_line(self._run_row(), self._run, width, self.signs, self._now())
        y = row - _ABOVE
        if not 0 <= y <= self._drawing.height:
            return []
        line: list[Span] = [(" ", "plain")] * (max(width + self._left, self._drawing.width) + 1)
        if y < self._drawing.height:
            self._put_lines(line, y)
        for name, box in self._drawing.boxes.items():
            group = self._picture.get(name)
            if group is None:
                continue
            if box.y == y:
                self._put_label(line, box, group)
            elif box.y == y - 1 and group.mapped:
                self._put_bar(line, box, group, y)
        return joined(line[self._left : self._left + width + 1])

    def sign_of(self, row: int) -> tuple[str, str]:
        return (self.signs.cursor, "cyan") if row == 0 and self.spot == _ROOT else (" ", "plain")

    def _whole_row(self, row: int, width: int) -> Line:
        """A column before the names of the first column is theirs, for the cursor and the marks."""
        return super()._whole_row(row, width) if row < _ABOVE else self.draw_row(row, width - 1)

    def _put_lines(self, line: list[Span], y: int) -> None:
        for x, cell in self._drawing.lines[y].items():
            lit = self._lit is None or any(up in self._lit and down in self._lit for up, down in cell.edges)
            style = "faint" if not lit else "plain" if self._lit is None else "strong"
            line[x + 1] = (cell.glyph(ascii_only=self.signs.ascii_only), style)

    def _put_label(self, line: list[Span], box: Box, group: GroupRow) -> None:
        dimmed = self._lit is not None and group.task not in self._lit
        if group.task == self.spot:
            line[box.x] = (self.signs.cursor, "cyan")
        elif self._selection.marked(group.task):
            line[box.x] = (self.signs.mark, "yellow")
        failed = group.tasks.get("failed") and group.status != "failed"
        shown = "failed" if failed else group.status
        text: list[Span] = [(self.signs.status(shown), "faint" if dimmed else status_style(shown)), (" ", "plain")]
        name_style = "chosen" if group.task == self.spot else "faint" if dimmed else "strong"
        text += [(letter, name_style) for letter in cut(group.task, self._name_width)]
        if group.mapped:
            text += [(letter, "dim") for letter in f" {self._times(group)}"]
        line[box.x + 1 : box.x + 1 + len(text)] = text
        lead = self._drawing.lines[box.y].get(box.x + box.width + 1)
        if lead is not None:  # the line begins where this name ends, not where the widest one does
            style = line[box.x + box.width + 2][1]
            flat = "-" if self.signs.ascii_only else "─"
            for x in range(box.x + len(text) + 2, box.x + box.width + 2):
                line[x] = (flat, style)

    def _put_bar(self, line: list[Span], box: Box, group: GroupRow, y: int) -> None:
        """How far the rows of a mapped task are, where there is room under its name."""
        cells = range(box.x, box.x + 3 + _BAR)
        taken = y < self._drawing.height and any(x in self._drawing.lines[y] for x in cells)
        below = any(other.y == y and other.x in cells for other in self._drawing.boxes.values())
        if taken or below:
            return
        bar = [
            (letter, style) for text, style in stacked_bar(group.tasks, _BAR, self.signs) for letter in text
        ]  # fmt: skip
        line[box.x + 3 : box.x + 3 + _BAR] = bar
