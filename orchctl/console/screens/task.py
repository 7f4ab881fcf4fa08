"""One row of a run, or a task that has no others: how it stands and why, each attempt, the end of its log, what it
does, with what it may, and its neighbours; and its whole log. The same keys act on it as in the run.
"""

from typing import ClassVar, Literal

import msgspec
from textual.app import ComposeResult
from textual.widgets import ContentSwitcher

from engine.model.errors import EngineError
from engine.protocol.messages import GetRun, GetTask, ListAttempts, ListTasks, LogChunk, ReadLog, Rows
from engine.protocol.rows import AttemptRow, RunRow, SpecRow, TaskRow
from orchctl.console import actions
from orchctl.console.drawing import FINISHED, Line, ends, fitted, width_of, word
from orchctl.console.keymap import Place
from orchctl.console.logbuffer import readable
from orchctl.console.runlines import row_name
from orchctl.console.screens.base import Mover
from orchctl.console.screens.run_acts import tasks_below
from orchctl.console.screens.run_log import LogKeys
from orchctl.console.screens.setting import SettingScreen, setting_form
from orchctl.console.store import Change, Picture
from orchctl.console.tasklines import task_lines
from orchctl.console.widgets.lines import TextView
from orchctl.console.widgets.logview import LogView

Pane = Literal["about", "log"]
TAIL_LINES = 6
_TAIL_BYTES = 4096
_EVERY_S = 2.0


class TaskScreen(LogKeys):
    """The screen of one row."""

    place: ClassVar[Place] = "task"

    def __init__(self, run: int, task: str, index: int | None) -> None:
        super().__init__()
        self.run_number = run
        self._task_name = task
        self._index = index
        self._pane: Pane = "about"
        self._spec: SpecRow | None = None
        self._tail: list[str] = []
        self._asking = False
        self._row: Picture[TaskRow] = Picture(TaskRow, self._changed, self._ended)
        self._attempts: Picture[AttemptRow] = Picture(AttemptRow, self._changed, self._ended)

    @property
    def name_of_row(self) -> str:
        return row_name(self._task_name, self._index)

    def compose(self) -> ComposeResult:
        self._about = TextView(self.signs, widget_id="about")
        self.log_view = LogView(self.signs, self.feed, self.run_number, widget_id="log")
        yield self.bar("head", self._draw_head, 3)
        with ContentSwitcher(initial="about", id="panes") as self._panes:
            yield self._about
            yield self.log_view
        yield from self.foot()

    def on_mount(self) -> None:
        self.log_view.wrapping = self.memory.wrap
        self.log_view.colours = self.memory.colours
        index = -1 if self._index is None else self._index
        run, task = self.run_number, self._task_name
        rows = ListTasks(run=run, task=task, index=index, limit=1)
        attempts = ListAttempts(run=run, task=task, index=index)
        self._subscriptions = [
            self.feed.subscribe(rows, self._row, 4.0), self.feed.subscribe(attempts, self._attempts, 2.0),
        ]  # fmt: skip
        self.set_interval(_EVERY_S, self._ask_again)
        self._ask()

    def on_unmount(self) -> None:
        for subscription in self._subscriptions:
            subscription.cancel()

    def pane(self) -> str:
        return self._pane

    def mover(self) -> Mover:
        return self.log_view if self._pane == "log" else self._about

    def row(self) -> TaskRow | None:
        return self._row.at(0)

    # --- asking ---------------------------------------------------------------------------------------------------

    def _ask_again(self) -> None:
        row = self.row()
        if self._pane == "about" and (row is None or row.status not in FINISHED):
            self._ask()

    def _ask(self) -> None:
        if self.feed.live and not self._asking:
            self._asking = True
            self.run_worker(self._fetch(), exit_on_error=True)

    async def _fetch(self) -> None:
        """What the task does, how its neighbours stand, and the end of its log."""
        run, task = self.run_number, self._task_name
        try:
            found = (await self.feed.ask(GetTask(run=run, task=task), Rows)).rows
            self._spec = msgspec.convert(found[0], SpecRow) if found else None
            if self._attempts.keys:
                index = -1 if self._index is None else self._index
                request = ReadLog(run=run, task=task, index=index, offset=-_TAIL_BYTES, limit=_TAIL_BYTES)
                data = (await self.feed.ask(request, LogChunk)).data
                self._tail = [readable(line) for line in data.rstrip().splitlines()[-TAIL_LINES:]]
        except (EngineError, msgspec.ValidationError) as error:
            if self.feed.live:
                self.say(str(error), "red")
            return
        finally:
            self._asking = False
        self._redraw()

    def _changed(self, change: Change) -> None:
        if change.moved or change.keys:
            self._ask()
        self._redraw()

    def _ended(self, why: str) -> None:
        self.say(why, "red")

    # --- drawing --------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        super().tick()
        self.log_view.grey(not self.feed.live)
        self._redraw()

    def on_resize(self) -> None:
        self.call_after_refresh(self._redraw)

    def _redraw(self) -> None:
        row = self.row()
        width = max(20, self._about.size.width - 2)
        if row is not None:
            lines = task_lines(row, self._spec, self._attempts.rows, self._tail, width, self.signs, self.now_s())
            self._about.set_lines(lines)
        self.update_bar("head")

    def _draw_head(self, width: int) -> list[Line]:
        signs, row = self.signs, self.row()
        crumbs: Line = [(" orchctl ", "dim"), (f"{signs.crumb} ", "faint"), (f"r{self.run_number}", "plain")]
        crumbs += [(f" {signs.crumb} ", "faint"), (f"{self.name_of_row}  ", "strong")]
        crumbs += [word(row.status, signs)] if row is not None else []
        tabs: Line = [(" ", "plain")]
        for key, name, title in (("1", "about", "Task"), ("2", "log", "Log")):
            tabs += [
                (key, "key"),
                (f" {title}{'* ' if name == self._pane else '  '}", "strong" if name == self._pane else "dim"),
            ]
        tabs += [("read-only", "yellow")] if self.feed.viewer else []
        status = f" {self.log_view.status()}" if self._pane == "log" else ""
        rule: Line = [(status, "heading"), (signs.rule * max(0, width - width_of([(status, "")])), "faint")]
        return [ends(crumbs, self.clock_spans(), width), fitted(tabs, width), rule]

    # --- keys -----------------------------------------------------------------------------------------------------

    def action_about(self) -> None:
        self._go("about")

    def action_log(self) -> None:
        if self.log_view.target is None:
            self.log_view.show(self._task_name, -1 if self._index is None else self._index)
        self._go("log")

    def _go(self, pane: Pane) -> None:
        self._pane = pane
        self._panes.current = pane
        if pane == "log":
            self.log_view.resume()
        else:
            self.log_view.stop()
            self._ask()
        self.tick()

    def action_back(self) -> None:
        if self.log_view.give_up():
            return
        if self._pane == "log":
            self._go("about")
        else:
            self.console_app.pop_screen()

    def action_aside(self, columns: int) -> None:
        if columns < 0:
            self.action_back()

    def action_sideways(self, direction: int) -> None:
        self.log_view.sideways(16 * direction)

    def answered(self, text: str) -> None:
        self.answered_log(text)

    def action_explain(self) -> None:
        self.explain_run(self.run_number, self._task_name, self._index)

    def action_act(self, verb: actions.Verb) -> None:
        self.run_worker(self._act(verb), exit_on_error=True)

    def action_set(self) -> None:
        self.fill(self._setting_form)

    async def _setting_form(self) -> SettingScreen | None:
        rows = (await self.feed.ask(GetRun(run=self.run_number), Rows)).rows
        return await setting_form(self, msgspec.convert(rows[0], RunRow), self._task_name)

    async def _act(self, verb: actions.Verb) -> None:
        row = self.row()
        if row is None:
            return
        if verb == "pause rows" and row.suspended:
            verb = "resume rows"
        why = actions.why_not_rows(verb, [row])
        if why:
            self.say(why, "yellow")
            return
        try:
            below = await tasks_below(self.feed, self.run_number, verb, [row])
        except EngineError as error:
            self.say(f"what would be touched could not be asked: {error}", "red")
            return
        self.confirm(actions.on_rows(verb, self.run_number, [row], below))
