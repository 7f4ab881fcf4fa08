"""Who did what, from which console, and what became of it."""

from typing import ClassVar

import msgspec

from engine.model.errors import EngineError
from engine.protocol.messages import ListAudit, ListBackfills, Rows
from engine.protocol.rows import AuditRow, BackfillRow
from orchctl.console.drawing import Line, backfill_number, column, day_and_time, fitted, run_number
from orchctl.console.keymap import Place
from orchctl.console.notices import from_text
from orchctl.console.screens.definition import DefinitionScreen
from orchctl.console.screens.schedules import BackfillRunsScreen
from orchctl.console.screens.standing import StandingScreen

_AUDIT_PAGE = 200
_AUDIT_MAX = 10_000


class AuditScreen(StandingScreen[AuditRow]):
    """Who did what, from where, and what became of it; the newest first, older pages as they come into sight."""

    place: ClassVar[Place] = "audit"
    title_text = "Audit"
    noun = "act"
    nothing = "nobody has done anything yet"
    about_lines = 3

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
        super().cursor_moved()
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
        return f"{row.actor} {from_text(row)} {row.verb} {row.target} {row.result} {row.note}"

    def heading(self, width: int) -> Line:
        who, when = _columns(width - 1)
        text = f"  {column('WHEN', when)}{column('WHO', who)}{column('FROM', 15)}{column('DID', 9)}WHAT"
        return fitted([(text, "heading")], width)

    def draw(self, row: AuditRow, width: int) -> Line:
        who, when = _columns(width)
        at = day_and_time(row.at)
        note: Line = [(f"  {row.note}", "dim")] if row.note else []
        return fitted(
            [
                (" ", "plain"), (column(at[-(when - 1) :], when), "dim"),
                (column(row.actor or str(row.uid), who - 1) + " ", "strong"),
                (column(from_text(row), 14) + " ", "plain"),
                (column(row.verb, 8) + " ", "plain"), (row.target, "plain"), *_refused(row), *note,
            ],
            width,
        )  # fmt: skip

    def about(self, row: AuditRow, width: int) -> list[Line]:
        who = f"{row.actor} (uid {row.uid}) by {from_text(row)} at {day_and_time(row.at)}, revision {row.revision:,}"
        what: Line = [(f" {row.verb} {row.target}", "strong"), *_refused(row)]
        return [what, [(f" {who}", "dim")], [(f" {row.note}", "plain")]]

    def action_open(self) -> None:
        """The run, the backfill or the workflow that the act was about."""
        row = self.here()
        if row is None:
            return
        target = row.target.partition(" ")[0]
        if run_number(target):
            self.console_app.open_run(run_number(target))
        elif backfill_number(target):
            self.run_worker(self._open_backfill(target), exit_on_error=True)
        elif row.verb == "add":
            self.console_app.push_screen(DefinitionScreen(target))
        else:
            self.say("that act was about nothing that could be opened", "yellow")

    async def _open_backfill(self, name: str) -> None:
        try:
            rows = msgspec.convert((await self.feed.ask(ListBackfills(), Rows)).rows, list[BackfillRow])
        except (EngineError, msgspec.ValidationError) as error:
            self.say(str(error), "red")
            return
        found = next((row for row in rows if row.backfill == name), None)
        if found is None:
            self.say(f"{name} is not known any more", "yellow")
        else:
            self.console_app.push_screen(BackfillRunsScreen(found))


def _columns(width: int) -> tuple[int, int]:
    """The columns of who and when; there is room for the year on wide screens only."""
    return (16, 20) if width >= 99 else (10, 15)


def _refused(row: AuditRow) -> Line:
    return [] if row.result == "accepted" else [(f"  refused: {row.result}", "red")]
