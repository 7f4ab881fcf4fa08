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
from orchctl.console.drawing import FINISHED, Line, ends, width_of, word
from orchctl.console.keymap import Action, Place, verb_of
from orchctl.console.logbuffer import readable
from orchctl.console.runlines import row_name
from orchctl.console.screens.base import Mover
from orchctl.console.screens.run_acts import tasks_below
from orchctl.console.screens.run_log import LogKeys
from orchctl.console.screens.setting import SettingScreen, setting_form
from orchctl.console.store import Change, Picture
from orchctl.console.tasklines import Neighbour, task_page
from orchctl.console.widgets.lines import LinkedView
from orchctl.console.widgets.logview import LogView
from orchctl.console.widgets.use import UseView

Pane = Literal["about", "log", "use"]
_TABS: tuple[tuple[str, Pane, str], ...] = (("1", "about", "Task"), ("2", "log", "Log"), ("3", "use", "Use"))
TAIL_LINES = 6
_TAIL_BYTES = 4096
_EVERY_S = 2.0


class TaskScreen(LogKeys):
    """The screen of one row."""

    place: ClassVar[Place] = "task"

    def __init__(self, run: int, task: str, index: int | None, *, from_past: bool = False) -> None:
        """`from_past`: whoever opens it looks at the past of the run, and this is the row as it is now."""
        super().__init__()
        self._from_past = from_past
        self._neighbours: dict[int, Neighbour] = {}
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
        self._about = LinkedView(self.signs, widget_id="about")
        self.log_view = LogView(self.signs, self.feed, self.run_number, widget_id="log")
        index = -1 if self._index is None else self._index
        self.use_view = UseView(
            self.signs, self.feed, (self.run_number, self._task_name, index), lambda: self._attempts.rows,
            lambda: self._spec, self.now_s, widget_id="use",
        )  # fmt: skip
        yield self.bar("head", self._draw_head, 3)
        with ContentSwitcher(initial="about", id="panes") as self._panes:
            yield self._about
            yield self.log_view
            yield self.use_view
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
        views: dict[Pane, Mover] = {"about": self._about, "log": self.log_view, "use": self.use_view}
        return views[self._pane]

    def row(self) -> TaskRow | None:
        return self._row.at(0)

    # --- asking ---------------------------------------------------------------------------------------------------

    def _ask_again(self) -> None:
        row = self.row()
        if self.is_current and self._pane == "about" and (row is None or row.status not in FINISHED):
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
            self.use_view.see()
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
            now_s = self.now_s()
            page = task_page(row, self._spec, self._attempts.rows, self._tail, width, self.signs, now_s)
            self._neighbours = page.neighbours
            self._about.set_linked(page.lines, tuple(page.neighbours))
        for bar in ("head", "keys"):
            self.update_bar(bar)

    def _draw_head(self, width: int) -> list[Line]:
        signs, row = self.signs, self.row()
        crumbs: Line = [(" orchctl ", "dim"), (f"{signs.crumb} ", "faint"), (f"r{self.run_number}", "plain")]
        crumbs += [(f" {signs.crumb} ", "faint"), (f"{self.name_of_row}  ", "strong")]
        crumbs += [word(row.status, signs)] if row is not None else []
        tabs: Line = [(" ", "plain")]
        for key, name, title in _TABS:
            tabs += [
                (key, "key"),
                (f" {title}{'* ' if name == self._pane else '  '}", "strong" if name == self._pane else "dim"),
            ]
        said = ["as it is now, not as it was then"] if self._from_past else []
        said += ["read-only"] if self.feed.viewer else []
        status = f" {self.log_view.status()}" if self._pane == "log" else ""
        rule: Line = [(f"{status} " if status else "", "heading")]
        rule += [(signs.rule * max(0, width - width_of(rule)), "faint")]
        tabs = ends(tabs, [(f"{', '.join(said)} ", "yellow")] if said else [], width)
        return [ends(crumbs, self.clock_spans(), width), tabs, rule]

    # --- keys -----------------------------------------------------------------------------------------------------

    def action_about(self) -> None:
        self._go("about")

    def action_log(self) -> None:
        target = self.log_view.target
        if target is None or not target[2]:  # the newest attempt, which may be another by now, unless one was chosen
            self.log_view.show(self._task_name, -1 if self._index is None else self._index)
        self._go("log")

    def action_use(self) -> None:
        self._go("use")

    def action_attempt(self, direction: int) -> None:
        if self._pane != "use":
            super().action_attempt(direction)
        elif told := self.use_view.other_attempt(direction):
            self.say(told, "yellow")

    def _go(self, pane: Pane) -> None:
        self._pane = pane
        self._panes.current = pane
        if pane == "use":
            self.use_view.start()
        else:
            self.use_view.stop()
        if pane == "log":
            self.log_view.resume()
        else:
            self.log_view.stop()
            self._ask()
        self.tick()

    def action_back(self) -> None:
        if self.log_view.give_up():
            return
        if self._pane != "about":
            self._go("about")
        else:
            self.console_app.pop_screen()

    def action_aside(self, columns: int) -> None:
        if columns < 0:
            self.action_back()
        elif self._pane == "about":
            self.action_open()

    def action_neighbour(self, direction: int) -> None:
        if self._neighbours:
            self._about.pick(direction)
        else:
            self.say("it needs nothing, and nothing needs it" if self._spec is not None else "not known yet", "yellow")

    def action_open(self) -> None:
        """Open the neighbour that the cursor is on; without one, the cursor goes to the first."""
        neighbour = self._neighbours.get(-1 if self._about.picked is None else self._about.picked)
        if neighbour is None:
            self.action_neighbour(1)
        elif neighbour.mapped and neighbour.row is None:
            self.console_app.open_rows(self.run_number, neighbour.task)
        else:
            name = row_name(neighbour.task, neighbour.row)
            self.console_app.open_task(self.run_number, name, from_past=self._from_past)

    def is_of(self, run: int, row: str) -> bool:
        """Whether it is the screen of that row."""
        return run == self.run_number and row == self.name_of_row

    def pointless(self, action: Action) -> bool:
        if action.id == "neighbour":
            return not self._neighbours
        row, verb = self.row(), verb_of(action)
        return row is not None and bool(verb) and bool(actions.why_not_rows(verb, [row]))

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
