"""One run: its tasks as an outline, its rows, a log and its journal, with the details of what the cursor is on.

The outline's first line is the run itself; acts go to what is marked, else to what the cursor is on, so the run, a
task and a row are paused, cancelled and retried by the same keys.
"""

from typing import ClassVar, Literal, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import ContentSwitcher

from engine.protocol.messages import GetRun
from engine.protocol.rows import GroupRow, RunRow, TaskRow
from orchctl.console import actions
from orchctl.console.drawing import Line, done_share, duration, ends, percent, rule, seconds_between, word
from orchctl.console.feed import Subscription
from orchctl.console.keymap import Place
from orchctl.console.messages import LogMoved
from orchctl.console.runlines import tasks_heading
from orchctl.console.screens.base import BaseScreen, Mover, bindings_for
from orchctl.console.screens.sources import EventRows, TaskRows
from orchctl.console.store import Change, Picture
from orchctl.console.widgets.details import Details
from orchctl.console.widgets.logview import LogView
from orchctl.console.widgets.outline import Outline
from orchctl.console.widgets.vtable import VirtualTable
from orchctl.text import count_text

Pane = Literal["outline", "tasks", "log", "events"]
_PANES: tuple[tuple[str, Pane, str], ...] = (
    ("1", "outline", "Outline"),
    ("2", "tasks", "Tasks"),
    ("5", "log", "Log"),
    ("6", "events", "Events"),
)
WIDE = 100


class RunScreen(BaseScreen):
    """The screen of one run."""

    place: ClassVar[Place] = "run"
    BINDINGS = bindings_for("run")

    def __init__(self, run: int) -> None:
        super().__init__()
        self._run_number = run
        self._pane: Pane = "outline"
        self._details: bool | None = None
        self._search = ""
        self._outline_filter = ""
        self._picture: Picture[RunRow] = Picture(RunRow, self._run_changed, self._ended)
        self._subscription: Subscription | None = None
        self._mark_rows: dict[str, TaskRow] = {}

    def compose(self) -> ComposeResult:
        signs, feed, run = self.signs, self.feed, self._run_number
        self._tasks = TaskRows(feed, run, signs, self.now_s, self._tasks_changed, self._ended)
        self._events = EventRows(feed, run, self._events_changed, lambda why: self.say(why, "red"))
        self.outline = Outline(
            signs, feed, run, lambda: self._picture.at(0), self.now_s,
            on_cursor=self._show_details, on_end=self._ended, widget_id="outline",
        )  # fmt: skip
        self.table = VirtualTable(signs, self._tasks, on_cursor=self._show_details, widget_id="tasks")
        self.log_view = LogView(signs, feed, run, widget_id="log")
        self.journal = VirtualTable(signs, self._events, widget_id="events")
        self.details = Details(signs, feed, run, self.now_s, widget_id="details")
        yield self.bar("head", self._draw_head, 3)
        with Horizontal(id="body"):
            with ContentSwitcher(initial="outline", id="panes"):
                yield self.outline
                yield self.table
                yield self.log_view
                yield self.journal
            yield self.details
        yield from self.foot()

    def on_mount(self) -> None:
        self._subscription = self.feed.subscribe(GetRun(run=self._run_number), self._picture, 4.0)
        self._place_details(self.console_app.size.width)

    def on_unmount(self) -> None:
        if self._subscription is not None:
            self._subscription.cancel()
        self._tasks.close()
        self._events.stop()

    # --- parts ----------------------------------------------------------------------------------------------------

    def pane(self) -> str:
        return self._pane

    def mover(self) -> Mover:
        movers: dict[Pane, Mover] = {
            "outline": self.outline, "tasks": self.table, "log": self.log_view, "events": self.journal
        }  # fmt: skip
        return movers[self._pane]

    # --- head -----------------------------------------------------------------------------------------------------

    def _draw_head(self, width: int) -> list[Line]:
        signs = self.signs
        row = self._picture.at(0)
        crumbs: Line = [(" orchctl ", "dim"), (f"{signs.crumb} ", "faint")]
        if row is None:
            top = ends([*crumbs, (f"r{self._run_number}", "strong")], self.clock_spans(), width)
        else:
            failed = row.tasks.get("failed", 0)
            spent = duration(seconds_between(row.started_at, row.finished_at, self.now_s()))
            crumbs += [(row.workflow, "strong"), (f" {signs.crumb} ", "faint"), (f"{row.run}  ", "strong")]
            crumbs += [word(row.status, signs), (f"  {percent(done_share(row.tasks)).strip()}  {spent}  ", "plain")]
            if failed:
                crumbs.append((f"{signs.status('failed')} {failed:,} failed", "red"))
            top = ends(crumbs, self.clock_spans(), width)
        return [top, self._draw_tabs(width), self._draw_heading(width)]

    def _draw_tabs(self, width: int) -> Line:
        line: Line = [(" ", "plain")]
        for key, name, title in _PANES:
            chosen = name == self._pane
            line += [(key, "key"), (f" {title}" + ("* " if chosen else "  "), "strong" if chosen else "dim")]
        right = self._filter_text()
        if self.feed.viewer:
            right = f"read-only  {right}".strip()
        return ends(line, [(f"{right} ", "yellow")] if right else [], width)

    def _filter_text(self) -> str:
        if self._pane == "tasks":
            number = count_text(self._tasks.count(), "row")
            order = "by attention" if self._tasks.sort == "attention" else ""
            return ", ".join(part for part in (number, self._tasks.filter_text(), order) if part)
        marks = len(self.outline.marks) if self._pane == "outline" else 0
        shown = f"{marks} marked" if marks else ""
        if self._pane == "outline" and self._outline_filter:
            shown = f"/{self._outline_filter}  {shown}".strip()
        return shown

    def _draw_heading(self, width: int) -> Line:
        if self._pane == "log":
            return [(" " + self.log_view.status(), "heading")]
        if self._pane == "tasks":
            return tasks_heading(self.table.size.width or width)
        return rule(self.signs, width)

    # --- panes ----------------------------------------------------------------------------------------------------

    def action_pane(self, pane: Pane) -> None:
        if pane == "tasks" and self._pane == "tasks" and self._tasks.task:
            self._tasks.task = ""
            self._again()
        self._go(pane)

    def _go(self, pane: Pane) -> None:
        if pane == "log" and self.log_view.target is None:
            self._choose_log()
        self._pane = pane
        self.query_one("#panes", ContentSwitcher).current = pane
        if pane == "log":
            self.log_view.resume()
        else:
            self.log_view.stop()
        if pane == "tasks":
            self._tasks.start()
        if pane == "events":
            self._events.start()
        else:
            self._events.stop()
        self._place_details(self.console_app.size.width)
        self._show_details()
        self.tick()

    def on_resize(self, event: events.Resize) -> None:
        self._place_details(event.size.width)

    def _place_details(self, width: int) -> None:
        useful = self._pane in ("outline", "tasks")
        shown = useful and (self._details if self._details is not None else width >= WIDE)
        self.details.display = shown
        self._show_details()

    def action_details(self) -> None:
        self._details = not self.details.display
        self._place_details(self.console_app.size.width)

    def action_back(self) -> None:
        if self.log_view.give_up():
            return
        if self._pane == "outline":
            self.console_app.pop_screen()
        elif self._pane == "tasks" and self._tasks.task:
            self._tasks.task = ""
            self._again()
            self._go("outline")
        else:
            self._go("outline")

    def action_open(self) -> None:
        if self._pane == "outline":
            spot = self.outline.here()
            if spot.kind == "more":
                self._list_rows(spot.task)
            elif spot.kind == "row" or (spot.group is not None and not spot.group.mapped):
                self.action_log()
            elif spot.kind == "task":
                self.outline.toggle(spot)
        elif self._pane == "tasks":
            self.action_log()

    def _list_rows(self, task: str) -> None:
        self._tasks.task = task
        self._tasks.sort = "attention"
        self._again()
        self._go("tasks")

    def _again(self) -> None:
        self.table.forget()
        self._tasks.again()
        self.tick()

    # --- the thing under the cursor -------------------------------------------------------------------------------

    def here(self) -> RunRow | GroupRow | TaskRow | None:
        """What the cursor is on."""
        if self._pane == "tasks":
            return self._tasks.at(self.table.cursor)
        spot = self.outline.here()
        if spot.kind == "run":
            return self._picture.at(0)
        return spot.row or spot.group

    def _marked(self) -> list[GroupRow | TaskRow]:
        if self._pane == "outline":
            found = [spot.row or spot.group for spot in self.outline.marks.values()]
            return [row for row in found if row is not None]
        if self._pane == "tasks":
            return [self._mark_rows[key] for key in self.table.marks if key in self._mark_rows]
        return []

    def _show_details(self) -> None:
        if self.is_mounted and self.details.display:
            self.details.show(self.here())

    def tick(self) -> None:
        super().tick()
        self.log_view.grey(not self.feed.live)
        if self.details.display:
            self.details.redraw()

    def _choose_log(self) -> None:
        subject = self.here()
        if isinstance(subject, TaskRow):
            self.log_view.show(subject.task, -1 if subject.index is None else subject.index)
        elif isinstance(subject, GroupRow):
            self._show_group_log(subject)

    def _show_group_log(self, group: GroupRow) -> None:
        """The log of a task; of a mapped one, of the row that its failed or running ones name first."""
        if not group.mapped:
            self.log_view.show(group.task, -1)
            return
        named = [*group.failed, *group.running]
        index = _index_of(named[0]) if named else 0
        self.log_view.show(group.task, index)

    def action_log(self) -> None:
        self._choose_log()
        self._go("log")

    # --- news -----------------------------------------------------------------------------------------------------

    def _run_changed(self, change: Change) -> None:
        self.update_bar("head")
        self.outline.touch()
        if self.outline.cursor == 0:
            self._show_details()

    def _tasks_changed(self, change: Change) -> None:
        self.table.changed()
        self.update_bar("head")

    def _events_changed(self) -> None:
        self.journal.changed()
        if self._events.to_end:
            self.journal.bottom()

    def _ended(self, why: str) -> None:
        self.say(why, "red")

    def on_log_moved(self, event: LogMoved) -> None:
        event.stop()
        self.update_bar("head")

    # --- keys -----------------------------------------------------------------------------------------------------

    def action_bottom(self) -> None:
        if self._pane == "events":
            self._events.go_to_end()
        super().action_bottom()

    def action_up(self) -> None:
        self._events.to_end = False
        super().action_up()

    def action_page_up(self) -> None:
        self._events.to_end = False
        super().action_page_up()

    def action_top(self) -> None:
        self._events.to_end = False
        super().action_top()

    def action_mark(self) -> None:
        if self._pane == "outline":
            self.outline.toggle_mark()
        else:
            row = self._tasks.at(self.table.cursor)
            if row is not None:
                self._mark_rows[self.table.cursor_key] = row
                self.table.toggle_mark()
        self.update_bar("head")

    def action_unmark(self) -> None:
        self.outline.unmark()
        self.table.unmark()
        self.update_bar("head")

    def action_sort(self) -> None:
        self._tasks.sort = "topological" if self._tasks.sort == "attention" else "attention"
        self._again()

    def action_faults(self) -> None:
        self._tasks.faults = not self._tasks.faults
        self._again()

    def action_follow(self) -> None:
        self.log_view.follow()

    def action_wrap(self) -> None:
        self.log_view.wrap()

    def action_sideways(self, columns: int) -> None:
        self.log_view.sideways(columns)

    def action_again(self, direction: int) -> None:
        self.log_view.again(direction)

    def action_search(self) -> None:
        self.ask("search: a regular expression", self._search)

    def action_filter(self) -> None:
        if self._pane == "tasks":
            self.ask("filter rows by a part of the name", self._tasks.text)
        else:
            self.ask("filter tasks by a part of the name", self._outline_filter)

    def answered(self, text: str) -> None:
        if self._pane == "log":
            self._search = text
            if text:
                self.log_view.search(text)
        elif self._pane == "tasks":
            self._tasks.text = text
            self._again()
        else:
            self._outline_filter = text
            self.outline.set_filter(text)
        self.tick()

    def action_explain(self) -> None:
        from orchctl.console.screens.explain import ExplainScreen

        subject = self.here() if self._pane in ("outline", "tasks") else None
        task = "" if subject is None or isinstance(subject, RunRow) else subject.task
        index = subject.index if isinstance(subject, TaskRow) else None
        self.console_app.push_screen(ExplainScreen(self._run_number, task, index))

    def action_act(self, verb: actions.Verb) -> None:
        marked = self._marked()
        subject = self.here() if self._pane in ("outline", "tasks") else self._picture.at(0)
        run = self._picture.at(0)
        if run is None or subject is None:
            return
        if verb == "pause" or (not marked and isinstance(subject, RunRow)):
            why = actions.why_not_run(verb, run)
            intent = actions.on_run(verb, run)
        else:
            targets = marked or [cast("GroupRow | TaskRow", subject)]
            why = actions.why_not_rows(verb, targets)
            intent = actions.on_rows(verb, self._run_number, targets)
        if why:
            self.say(why, "yellow")
        else:
            self.confirm(intent, self.action_unmark)


def _index_of(row: str) -> int:
    """The index in `clean[3]`; 0 where there is none."""
    inner = row.rpartition("[")[2].rstrip("]")
    return int(inner) if inner.isascii() and inner.isdigit() else 0
