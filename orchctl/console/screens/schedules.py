"""When things happen by themselves: the schedules of all workflows, and the backfills that make up for the past. Two
tables a digit away from each other; from a backfill to its runs is one step more.
"""

from typing import ClassVar

import msgspec

from engine.model.errors import EngineError
from engine.protocol.messages import ListBackfills, ListRuns, ListSchedules, Rows
from engine.protocol.rows import BackfillRow, RunRow, ScheduleRow, WorkflowRow
from orchctl.console import actions
from orchctl.console.backfilllines import backfill_about, backfill_heading, backfill_line
from orchctl.console.drawing import (
    Line,
    column,
    day_and_time,
    duration,
    fitted,
    instant_s,
    newest_key,
    run_line,
    run_number,
    runs_heading,
)  # fmt: skip
from orchctl.console.keymap import Place
from orchctl.console.screens.last_runs import LastRuns
from orchctl.console.screens.standing import RowT, StandingScreen
from orchctl.console.store import Change, Picture
from orchctl.text import instant_text

_TABS = (("1", "schedules", "Schedules"), ("2", "backfills", "Backfills"))
_RUNS_PAGE = 200
_CATCH_UP = {
    "none": "left out", "last": "of several the last is made up for", "all": "all are made up for",
}  # fmt: skip
_IF_RUNNING = {
    "skip": "the next is skipped", "queue_one": "one waits", "queue_all": "all wait", "cancel": "the old is cancelled",
    "kill": "the old is killed", "allow": "both run",
}  # fmt: skip


class _Tabbed(StandingScreen[RowT]):
    """One of the two tables."""

    title_text = "Schedules and backfills"

    def tabs(self) -> Line:
        line: Line = [(" ", "plain")]
        for key, name, title in _TABS:
            here = name == self.place
            shown = f" {title}* " if here else f" {title}  "
            line += [(key, "key"), (shown, "strong" if here else "dim")]
        return line

    def counted(self) -> Line:
        return [(f"{self.count_text()} ", "dim")]


class SchedulesScreen(_Tabbed[ScheduleRow]):
    """All schedules, what is due next first."""

    place: ClassVar[Place] = "schedules"
    noun = "schedule"
    nothing = "no workflow has a schedule"
    about_lines = 5

    def __init__(self) -> None:
        super().__init__()
        self._picture: Picture[ScheduleRow] = Picture(
            ScheduleRow, lambda change: self.rearrange(), lambda why: self.say(why, "red")
        )
        self._last = LastRuns(self, lambda: self.update_bar("about"))

    def on_mount(self) -> None:
        self._subscription = self.feed.subscribe(ListSchedules(), self._picture, 1.0)

    def on_unmount(self) -> None:
        self._subscription.cancel()
        self._last.stop()

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
        due = "paused" if row.paused else day_and_time(row.next_at) if row.next_at else ""
        return fitted(
            [
                (" ", "plain"), (column(row.workflow, name - 1) + " ", "strong"),
                (column(row.schedule, 21) + " ", "plain"),
                (column(due, 20), "yellow" if row.paused else "plain"), (column(left, 8), "dim"),
                (f"{row.last_run or ''} {instant_text(row.last_at)[:10]}", "dim"),
            ],
            width,
        )  # fmt: skip

    def about(self, row: ScheduleRow, width: int) -> list[Line]:
        state = ("paused: it makes no runs until p", "yellow") if row.paused else ("active", "green")
        missed = _CATCH_UP.get(row.catch_up, row.catch_up)
        busy = _IF_RUNNING.get(row.if_running, row.if_running)
        return [
            [(f" {row.workflow}  ", "strong"), (f"{row.schedule} in {row.timezone}  ", "plain"), state],
            [(" due while the engine was away: ", "dim"), (missed, "plain")],
            [(" due while one runs:            ", "dim"), (busy, "plain")],
            [(" last runs, old to new", "dim")],
            [(" ", "plain"), *self._last.line(width - 2)],
        ]

    def cursor_moved(self) -> None:
        row = self.here()
        self._last.show(row.workflow if row is not None else "")
        super().cursor_moved()

    def action_open(self) -> None:
        row = self.here()
        if row is not None and row.last_run:
            self.console_app.open_run(run_number(row.last_run))
        elif row is not None:
            self.say("it has not made a run yet", "yellow")

    def workflow_here(self) -> str:
        row = self.here()
        return "" if row is None else row.workflow

    def action_act(self, verb: actions.Verb) -> None:
        row = self.here()
        if row is not None:
            known = WorkflowRow(workflow=row.workflow, version="", paused=row.paused, tasks=0)
            self.confirm(actions.on_workflow(known))


class BackfillsScreen(_Tabbed[BackfillRow]):
    """All backfills that go on, and the newest of those that have ended."""

    place: ClassVar[Place] = "backfills"
    noun = "backfill"
    nothing = "no backfills: b on a workflow or a schedule makes one"
    about_lines = 5

    def __init__(self) -> None:
        super().__init__()
        self._picture: Picture[BackfillRow] = Picture(
            BackfillRow, lambda change: self.rearrange(), lambda why: self.say(why, "red")
        )

    def on_mount(self) -> None:
        self._subscription = self.feed.subscribe(ListBackfills(), self._picture, 4.0)

    def on_unmount(self) -> None:
        self._subscription.cancel()

    def all_rows(self) -> list[BackfillRow]:
        return sorted(self._picture.rows, key=lambda row: row.status not in ("running", "paused"))

    def key(self, row: BackfillRow) -> str:
        return row.backfill

    def words(self, row: BackfillRow) -> str:
        return f"{row.backfill} {row.workflow} {row.status} {row.actor} {row.note}"

    def heading(self, width: int) -> Line:
        return backfill_heading(width)

    def draw(self, row: BackfillRow, width: int) -> Line:
        return backfill_line(row, width, self.signs)

    def about(self, row: BackfillRow, width: int) -> list[Line]:
        return backfill_about(row, self.signs, self.now_s())

    def action_open(self) -> None:
        row = self.here()
        if row is not None:
            self.console_app.push_screen(BackfillRunsScreen(row))

    def workflow_here(self) -> str:
        row = self.here()
        return "" if row is None else row.workflow

    def action_act(self, verb: actions.Verb) -> None:
        row = self.here()
        if row is None:
            return
        why = actions.why_not_backfill(verb, row)
        if why:
            self.say(why, "yellow")
        else:
            self.confirm(actions.on_backfill(verb, row))


class BackfillRunsScreen(StandingScreen[RunRow]):
    """The runs of one backfill, the newest first: live ones from a view, and older pages until all of them are here."""

    place: ClassVar[Place] = "backfill"
    noun = "run"
    nothing = "it has made no run yet"

    def __init__(self, backfill: BackfillRow) -> None:
        super().__init__()
        self._backfill = backfill
        self._older: dict[str, RunRow] = {}
        self._reading = False
        self._read_to = 0
        """Runs below this number have not been looked at yet; 0: nothing has."""
        self._picture: Picture[RunRow] = Picture(RunRow, self._changed, lambda why: self.say(why, "red"))

    def on_mount(self) -> None:
        view = ListRuns(workflow=self._backfill.workflow, limit=_RUNS_PAGE)
        self._subscription = self.feed.subscribe(view, self._picture, 2.0)

    def on_unmount(self) -> None:
        self._subscription.cancel()

    def about_text(self) -> str:
        return f"Backfill {self._backfill.backfill} of {self._backfill.workflow}"

    def _changed(self, change: Change) -> None:
        for row in self._picture.rows:  # what falls out of the view later stays as it was last seen
            if row.backfill == self._backfill.backfill:
                self._older[row.run] = row
        if not self._read_to and self._picture.rows:
            self._read_to = run_number(self._picture.rows[-1].run)
        if not self._reading and self._picture.total >= _RUNS_PAGE:
            self._reading = True
            self.run_worker(self._read_older(), exit_on_error=True)
        self.rearrange()

    async def _read_older(self) -> None:
        """Pages of older runs, down to those that were made before the backfill was."""
        made_at = self._backfill.made_at or ""
        while self._read_to > 1:
            request = ListRuns(workflow=self._backfill.workflow, before=self._read_to, limit=_RUNS_PAGE)
            try:
                page = msgspec.convert((await self.feed.ask(request, Rows)).rows, list[RunRow])
            except (EngineError, msgspec.ValidationError) as error:
                self.say(f"its older runs could not be asked: {error}", "red")
                self._reading = False
                return
            self._older |= {row.run: row for row in page if row.backfill == self._backfill.backfill}
            ended = not page or (page[-1].queued_at or "") < made_at
            self._read_to = 0 if ended else run_number(page[-1].run)
            self.rearrange()

    def all_rows(self) -> list[RunRow]:
        return sorted(self._older.values(), key=newest_key)

    def key(self, row: RunRow) -> str:
        return row.run

    def words(self, row: RunRow) -> str:
        return f"{row.partition} {row.run} {row.status}"

    def heading(self, width: int) -> Line:
        return runs_heading(width, "PARTITION")

    def draw(self, row: RunRow, width: int) -> Line:
        return run_line(row, width, self.signs, self.now_s(), row.partition)

    def action_open(self) -> None:
        row = self.here()
        if row is not None:
            self.console_app.open_run(run_number(row.run))

    def action_explain(self) -> None:
        row = self.here()
        if row is not None:
            self.explain_run(run_number(row.run))

    def action_act(self, verb: actions.Verb) -> None:
        row = self.here()
        if row is not None:
            self.act_on_run(verb, row)
