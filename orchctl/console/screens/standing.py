"""What stands beside the runs: the workflows that the engine keeps, their schedules, and the audit. Each is a table
that is small enough to be here whole (the audit page by page), with a filter of the same words as everywhere.
"""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Generic, TypeVar, cast

import msgspec
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Input

from engine.model.errors import EngineError, ValueFault
from engine.protocol.messages import ListAudit, ListRuns, ListSchedules, ListWorkflows, Rows
from engine.protocol.rows import AuditRow, Row, RunRow, ScheduleRow, WorkflowRow
from orchctl.console import actions
from orchctl.console.drawing import Line, column, duration, ends, fitted, instant_s, run_number, time_of
from orchctl.console.keymap import Place
from orchctl.console.screens.base import BaseScreen, Mover
from orchctl.console.screens.resources import ResourcesScreen
from orchctl.console.screens.sources import Few
from orchctl.console.store import Change, Picture
from orchctl.console.theme import status_style
from orchctl.console.timelines import strip_line
from orchctl.console.widgets.vtable import VirtualTable
from orchctl.text import inert, instant_text

RowT = TypeVar("RowT", bound=Row)
_AUDIT_PAGE = 200
_AUDIT_MAX = 10_000
_STRIP_RUNS = 60


class StandingScreen(BaseScreen, Generic[RowT]):
    """A head, a table and the keys. The children say what a row is."""

    title_text: ClassVar[str]
    nothing: ClassVar[str]

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
        yield from self.foot()

    def mover(self) -> Mover:
        return self.table

    def here(self) -> RowT | None:
        place = self._few.position(self.table.cursor_key)
        return None if place is None else self._few.rows[place]

    def cursor_moved(self) -> None:
        """The cursor stands on another row."""

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
        crumbs: Line = [(" orchctl ", "dim"), (f"{self.signs.crumb} ", "faint"), (self.title_text, "strong")]
        shown, every = len(self._few.rows), len(self.all_rows())
        count = f" {every:,}" if shown == every else f" {shown:,} of {every:,}"
        right: Line = [(f"/{self.filter} ", "yellow")] if self.filter else []
        inner = self.table.size.width or width
        return [ends(crumbs, self.clock_spans(), width), ends([(count, "dim")], right, width), self.heading(inner)]

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


class WorkflowsScreen(StandingScreen[WorkflowRow]):
    """The catalogue, and the last runs of the workflow under the cursor."""

    place: ClassVar[Place] = "workflows"
    title_text = "Workflows"
    nothing = "no workflow was added: `orchctl add FILE` keeps one"

    def __init__(self) -> None:
        super().__init__()
        self._picture: Picture[WorkflowRow] = Picture(WorkflowRow, self._changed, lambda why: self.say(why, "red"))
        self._runs: list[RunRow] = []
        self._asked = ""

    def compose(self) -> ComposeResult:
        yield self.bar("head", self._draw_head, 3)
        self.table = VirtualTable(self.signs, self._few, on_cursor=self.cursor_moved, widget_id="rows")
        yield self.table
        yield self.bar("about", self._draw_about, 5)
        yield from self.foot()

    def on_mount(self) -> None:
        self._subscription = self.feed.subscribe(ListWorkflows(), self._picture, 1.0)

    def on_unmount(self) -> None:
        self._subscription.cancel()

    def _changed(self, change: Change) -> None:
        self.rearrange()
        self._asked = ""
        self.cursor_moved()

    def all_rows(self) -> list[WorkflowRow]:
        return self._picture.rows

    def key(self, row: WorkflowRow) -> str:
        return row.workflow

    def words(self, row: WorkflowRow) -> str:
        return " ".join((row.workflow, row.owner, *row.tags, row.description, row.last_status or ""))

    def heading(self, width: int) -> Line:
        name = max(16, width - 62)
        text = f"  {column('WORKFLOW', name)}{column('OWNER', 16)}{column('TASKS', 7)}{column('LAST RUN', 18)}NEXT"
        return fitted([(text, "heading")], width)

    def draw(self, row: WorkflowRow, width: int) -> Line:
        name = max(16, width - 61)
        last = row.last_status or ""
        sign = self.signs.status(last) if last else " "
        due = "paused" if row.paused else instant_text(row.next_at)
        fault: Line = [(f"  ! {row.fault}", "red")] if row.fault else []
        return fitted(
            [
                (" ", "plain"), (column(row.workflow, name - 1) + " ", "strong"),
                (column(row.owner, 15) + " ", "plain"), (column(f"{row.tasks:,}", 7), "plain"),
                (f"{sign} ", status_style(last)),
                (column(f"{row.last_run or ''} {last}", 16), status_style(last)),
                (due, "yellow" if row.paused else "plain"), *fault,
            ],
            width,
        )  # fmt: skip

    def cursor_moved(self) -> None:
        row = self.here()
        if row is not None and row.workflow != self._asked and self.feed.live:
            self._asked = row.workflow
            self._runs = []
            self.run_worker(partial(self._ask_runs, row.workflow), exclusive=True)
        self.update_bar("about")

    async def _ask_runs(self, workflow: str) -> None:
        try:
            answer = await self.feed.ask(ListRuns(workflow=workflow, limit=_STRIP_RUNS), Rows)
            self._runs = msgspec.convert(answer.rows, list[RunRow])[::-1]
        except (EngineError, msgspec.ValidationError):
            self._asked = ""
        self.update_bar("about")

    def _draw_about(self, width: int) -> list[Line]:
        row = self.here()
        if row is None:
            return []
        params = ", ".join(f"{param.get('name')}: {param.get('type')}" for param in row.params)
        facts = [f"version {row.version}", row.file, ", ".join(row.schedules)]
        lines: list[Line] = [
            [(f" {row.workflow}  ", "strong"), (row.description, "plain")],
            [(" " + "  ".join(fact for fact in facts if fact), "dim")],
            [(f" parameters  {params}" if params else " no parameters", "dim")],
            [(" last runs, old to new", "dim")],
        ]
        strip: Line = [(" ", "plain"), *strip_line(self._runs, width - 2, self.signs)]
        return [fitted(line, width) for line in (*lines, strip)]

    def action_open(self) -> None:
        from orchctl.console.screens.definition import DefinitionScreen

        row = self.here()
        if row is not None:
            self.console_app.push_screen(DefinitionScreen(row.workflow))

    def action_trigger(self) -> None:
        row = self.here()
        if row is not None:
            self.trigger(row.workflow)

    def action_act(self, verb: actions.Verb) -> None:
        row = self.here()
        if row is not None:
            self.confirm(actions.on_workflow(row))


class SchedulesScreen(StandingScreen[ScheduleRow]):
    """All schedules, what is due next first."""

    place: ClassVar[Place] = "schedules"
    title_text = "Schedules"
    nothing = "no workflow has a schedule"

    def __init__(self) -> None:
        super().__init__()
        self._picture: Picture[ScheduleRow] = Picture(
            ScheduleRow, lambda change: self.rearrange(), lambda why: self.say(why, "red")
        )

    def on_mount(self) -> None:
        self._subscription = self.feed.subscribe(ListSchedules(), self._picture, 1.0)

    def on_unmount(self) -> None:
        self._subscription.cancel()

    def all_rows(self) -> list[ScheduleRow]:
        return sorted(self._picture.rows, key=lambda row: (row.next_at is None, row.next_at or "", row.workflow))

    def key(self, row: ScheduleRow) -> str:
        return f"{row.workflow}/{row.schedule}"

    def words(self, row: ScheduleRow) -> str:
        return f"{row.workflow} {row.schedule} {row.timezone} {'paused' if row.paused else 'active'}"

    def heading(self, width: int) -> Line:
        name = max(14, width - 66)
        text = f"  {column('WORKFLOW', name)}{column('SCHEDULE', 22)}{column('NEXT', 20)}{column('IN', 8)}LAST"
        return fitted([(text, "heading")], width)

    def draw(self, row: ScheduleRow, width: int) -> Line:
        name = max(14, width - 65)
        next_s = instant_s(row.next_at)
        left = "" if next_s is None else duration(max(0.0, float(int(next_s - self.now_s()))))
        due = "paused" if row.paused else instant_text(row.next_at)[:19]
        return fitted(
            [
                (" ", "plain"), (column(row.workflow, name - 1) + " ", "strong"),
                (column(f"{row.schedule} {row.timezone}", 21) + " ", "plain"),
                (column(due, 20), "yellow" if row.paused else "plain"), (column(left, 8), "dim"),
                (f"{row.last_run or ''} {instant_text(row.last_at)[:10]}", "dim"),
            ],
            width,
        )  # fmt: skip

    def action_open(self) -> None:
        row = self.here()
        if row is not None and row.last_run:
            self.console_app.open_run(run_number(row.last_run))

    def action_trigger(self) -> None:
        row = self.here()
        if row is not None:
            self.trigger(row.workflow)

    def action_act(self, verb: actions.Verb) -> None:
        row = self.here()
        if row is not None:
            known = WorkflowRow(workflow=row.workflow, version="", paused=row.paused, tasks=0)
            self.confirm(actions.on_workflow(known))


class AuditScreen(StandingScreen[AuditRow]):
    """Who did what, from where, and what became of it; the newest first, older pages as they come into sight."""

    place: ClassVar[Place] = "audit"
    title_text = "Audit"
    nothing = "nobody has done anything yet"

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[AuditRow] = []
        self._more = True
        self._asking = False

    def on_mount(self) -> None:
        self._ask(0)

    def tick(self) -> None:
        super().tick()
        if self.feed.live and not self._asking and self.table.cursor == 0:
            self._ask(0)

    def cursor_moved(self) -> None:
        if self._more and not self._asking and self.table.cursor > len(self._few.rows) - 50 and self._lines:
            self._ask(self._lines[-1].revision)

    def _ask(self, before: int) -> None:
        if not self._asking and self.feed.live:
            self._asking = True
            self.run_worker(self._fetch(before), exit_on_error=True)

    async def _fetch(self, before: int) -> None:
        try:
            answer = await self.feed.ask(ListAudit(before=before, limit=_AUDIT_PAGE), Rows)
            rows = msgspec.convert(answer.rows, list[AuditRow])
        except (EngineError, msgspec.ValidationError) as error:
            self.say(str(error), "red")
            return
        finally:
            self._asking = False
        if before:
            self._lines = [*self._lines, *rows][:_AUDIT_MAX]
            self._more = bool(rows) and len(self._lines) < _AUDIT_MAX
        else:
            newest = self._lines[0].revision if self._lines else -1
            self._lines = [*(row for row in rows if row.revision > newest), *self._lines][:_AUDIT_MAX]
        self.rearrange()

    def all_rows(self) -> list[AuditRow]:
        return self._lines

    def key(self, row: AuditRow) -> str:
        return f"{row.revision} {row.verb} {row.target}"

    def words(self, row: AuditRow) -> str:
        return f"{row.actor} {row.via} {row.verb} {row.target} {row.result} {row.note}"

    def heading(self, width: int) -> Line:
        text = f"  {column('WHEN', 20)}{column('WHO', 14)}{column('FROM', 9)}{column('DID', 9)}WHAT"
        return fitted([(text, "heading")], width)

    def draw(self, row: AuditRow, width: int) -> Line:
        accepted = row.result == "accepted"
        result: Line = [] if accepted else [(f"  refused: {row.result}", "red")]
        note: Line = [(f"  {row.note}", "dim")] if row.note else []
        return fitted(
            [
                (" ", "plain"), (column(f"{row.at[:10]} {time_of(row.at)}", 20), "dim"),
                (column(row.actor or str(row.uid), 13) + " ", "strong"), (column(row.via, 9), "plain"),
                (column(row.verb, 8) + " ", "plain"), (row.target, "plain"), *result, *note,
            ],
            width,
        )  # fmt: skip

    def action_open(self) -> None:
        row = self.here()
        number = run_number(row.target.partition(" ")[0]) if row is not None else 0
        if number:
            self.console_app.open_run(number)


SCREENS: dict[str, Callable[[], Screen[None]]] = {
    "workflows": cast("Callable[[], Screen[None]]", WorkflowsScreen),
    "schedules": cast("Callable[[], Screen[None]]", SchedulesScreen),
    "audit": cast("Callable[[], Screen[None]]", AuditScreen),
    "resources": ResourcesScreen,
}
"""By the name under which the keymap and the palette know them."""
