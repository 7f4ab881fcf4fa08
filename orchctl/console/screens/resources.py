"""The host and who shares it: what there is, claimed and really used, over the time that the console has been open; and
three tables of who holds it, what waits for it in the order of the queue with all reasons, and whose shares it is.
"""

from typing import Any, ClassVar, Literal

from textual.app import ComposeResult
from textual.widgets import ContentSwitcher

from engine.protocol.messages import GetResources, ListQueue, View
from engine.protocol.rows import QueueRow, ResourcesRow
from orchctl.console.drawing import Line, ends, run_number
from orchctl.console.hostlines import (
    holder_line,
    holders_heading,
    host_lines,
    owner_line,
    owners_about,
    owners_heading,
    queue_about,
    queue_heading,
    queue_line,
)
from orchctl.console.keymap import Action, Place
from orchctl.console.runlines import row_name
from orchctl.console.screens.base import BaseScreen, Mover
from orchctl.console.screens.sources import Few, Windowed
from orchctl.console.store import Change, Picture
from orchctl.console.widgets.vtable import VirtualTable
from orchctl.text import inert

Table = Literal["holders", "queue", "owners"]
_TABS: tuple[tuple[str, Table, str], ...] = (
    ("1", "holders", "Holders"),
    ("2", "queue", "Queue"),
    ("3", "owners", "Owners"),
)
_HOST_LINES_MAX = 10
_ABOUT_LINES = 3


class QueueRows(Windowed[QueueRow]):
    """What waits for room, of all runs; a window of it."""

    kind = QueueRow
    rate = 0.5

    def view(self, offset: int, limit: int) -> View:
        return ListQueue(offset=offset, limit=limit)

    def draw(self, row: QueueRow, width: int) -> Line:
        return queue_line(row, width, self._signs)

    def empty_text(self) -> str:
        return "nothing waits for room" if self.known else "asking"


class ResourcesScreen(BaseScreen):
    """The screen of the host."""

    place: ClassVar[Place] = "resources"

    def __init__(self) -> None:
        super().__init__()
        self._table: Table = "holders"
        self._host: Picture[ResourcesRow] = Picture(ResourcesRow, self._changed, lambda why: self.say(why, "red"))

    def compose(self) -> ComposeResult:
        self._holders: Few[dict[str, Any]] = Few(
            _holder_key, str, self._draw_holder, lambda: self._none("holds anything")
        )
        self._owners: Few[dict[str, Any]] = Few(
            _owner_key, str, self._draw_owner, lambda: self._none("has used anything")
        )
        self._queue = QueueRows(self.feed, 0, self.signs, self.now_s, lambda _: self._queue_changed(), self._ended)
        self._tables = {
            "holders": VirtualTable(self.signs, self._holders, widget_id="holders"),
            "queue": VirtualTable(
                self.signs, self._queue, on_cursor=lambda: self.update_bar("about"), widget_id="queue"
            ),
            "owners": VirtualTable(self.signs, self._owners, widget_id="owners"),
        }
        yield self.bar("head", self._draw_head)
        yield self.bar("host", self._draw_host, 3)
        yield self.bar("tabs", self._draw_tabs, 2)
        with ContentSwitcher(initial=self._table, id="panes") as self._panes:
            yield from self._tables.values()
        about = self.bar("about", self._draw_about, _ABOUT_LINES)
        about.display = False
        yield about
        yield from self.foot()

    def on_mount(self) -> None:
        self._subscription = self.feed.subscribe(GetResources(), self._host, 1.0)
        self._queue.start()

    def on_unmount(self) -> None:
        self._subscription.cancel()
        self._queue.stop()

    def mover(self) -> Mover:
        return self._tables[self._table]

    # --- news -----------------------------------------------------------------------------------------------------

    def _changed(self, change: Change) -> None:
        row = self._host.at(0)
        if row is not None:
            self._holders.arrange(row.holders, "")
            self._owners.arrange(row.owners, "")
            for name in ("holders", "owners"):
                self._tables[name].changed()
            self._bars["host"].styles.height = len(self._host_lines(self._bars["host"].size.width or 80))
        for name in ("host", "tabs"):
            self.update_bar(name)

    def _queue_changed(self) -> None:
        self._tables["queue"].changed()
        for name in ("tabs", "about"):
            self.update_bar(name)

    def _ended(self, why: str) -> None:
        self.say(why, "red")

    # --- drawing --------------------------------------------------------------------------------------------------

    def _none(self, what: str) -> str:
        return f"nobody {what}" if self._host.known else "asking"

    def _draw_head(self, width: int) -> list[Line]:
        crumbs: Line = [(" orchctl ", "dim"), (f"{self.signs.crumb} ", "faint"), ("Resources", "strong")]
        return [ends(crumbs, self.clock_spans(), width)]

    def _host_lines(self, width: int) -> list[Line]:
        row = self._host.at(0)
        if row is None:
            return [[]]
        return host_lines(row, self.console_app.use, width, self.signs, self.now_s())[:_HOST_LINES_MAX]

    def _draw_host(self, width: int) -> list[Line]:
        return self._host_lines(width)

    def _draw_tabs(self, width: int) -> list[Line]:
        row = self._host.at(0)
        counts = {
            "holders": row.running if row else 0,
            "queue": row.ready if row else 0,
            "owners": len(self._owners.rows),
        }
        line: Line = [(" ", "plain")]
        for key, name, title in _TABS:
            chosen = name == self._table
            text = f" {title} {counts[name]:,}" + ("* " if chosen else "  ")
            line += [(key, "key"), (text, "strong" if chosen else "dim")]
        load: Line = [] if row is None or row.load is None else [(f"load {row.load:.1f} ", "dim")]
        headings = {"holders": holders_heading, "queue": queue_heading, "owners": owners_heading}
        inner = self._tables[self._table].size.width or width
        return [ends(line, load, width), headings[self._table](inner)]

    def _draw_about(self, width: int) -> list[Line]:
        """What the table in sight has no room for."""
        row = self._queue.at(self._tables["queue"].cursor) if self._table == "queue" else None
        lines = queue_about(row, width) if row is not None else owners_about(width) if self._table == "owners" else []
        return lines[:_ABOUT_LINES]

    def _draw_holder(self, holder: dict[str, Any], width: int) -> Line:
        return holder_line(holder, width, self.now_s())

    def _draw_owner(self, owner: dict[str, Any], width: int) -> Line:
        return owner_line(owner, width, self.signs)

    # --- keys -----------------------------------------------------------------------------------------------------

    def action_table(self, name: Table) -> None:
        self._table = name
        self._panes.current = name
        self._bars["about"].display = name != "holders"
        for bar in ("tabs", "about", "keys"):
            self.update_bar(bar)

    def _here(self) -> tuple[int, str]:
        """The run and the row under the cursor."""
        if self._table == "queue":
            row = self._queue.at(self._tables["queue"].cursor)
            return (run_number(row.run), row_name(row.task, row.index)) if row is not None else (0, "")
        if self._table == "holders" and self._holders.rows:
            place = self._holders.position(self._tables["holders"].cursor_key) or 0
            held = self._holders.rows[place]
            return run_number(inert(held.get("run"))), inert(held.get("row"))
        return 0, ""

    def pointless(self, action: Action) -> bool:
        return action.id in ("open", "explain") and not self._here()[0]

    def action_open(self) -> None:
        run, row = self._here()
        if run:
            self.console_app.open_task(run, row)

    def action_explain(self) -> None:
        run, row = self._here()
        if run:
            task, _, index = row.partition("[")
            self.explain_run(run, task, int(index.rstrip("]")) if index else None)


def _holder_key(holder: dict[str, Any]) -> str:
    return f"{inert(holder.get('run'))} {inert(holder.get('row'))}"


def _owner_key(owner: dict[str, Any]) -> str:
    return inert(owner.get("owner"))
