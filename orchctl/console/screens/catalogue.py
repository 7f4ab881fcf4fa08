"""The workflows that the engine keeps, with the last runs of the one under the cursor."""

from typing import ClassVar

from engine.protocol.messages import ListWorkflows
from engine.protocol.rows import WorkflowRow
from orchctl.console import actions
from orchctl.console.drawing import Line, column, day_and_time, fitted
from orchctl.console.keymap import Place
from orchctl.console.screens.last_runs import LastRuns
from orchctl.console.screens.standing import StandingScreen
from orchctl.console.store import Change, Picture
from orchctl.console.theme import status_style


class WorkflowsScreen(StandingScreen[WorkflowRow]):
    """The catalogue, and the last runs of the workflow under the cursor."""

    place: ClassVar[Place] = "workflows"
    title_text = "Workflows"
    noun = "workflow"
    nothing = "no workflow was added: `orchctl add FILE` keeps one"
    about_lines = 5

    def __init__(self) -> None:
        super().__init__()
        self._picture: Picture[WorkflowRow] = Picture(WorkflowRow, self._changed, lambda why: self.say(why, "red"))
        self._last = LastRuns(self, lambda: self.update_bar("about"))

    def on_mount(self) -> None:
        self._subscription = self.feed.subscribe(ListWorkflows(), self._picture, 1.0)

    def on_unmount(self) -> None:
        self._subscription.cancel()
        self._last.stop()

    def _changed(self, change: Change) -> None:
        self.rearrange()

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
        due = "paused" if row.paused else day_and_time(row.next_at) if row.next_at else ""
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
        self._last.show(row.workflow if row is not None else "")
        super().cursor_moved()

    def about(self, row: WorkflowRow, width: int) -> list[Line]:
        params = ", ".join(f"{param.get('name')}: {param.get('type')}" for param in row.params)
        facts = [f"version {row.version}", row.file, ", ".join(row.schedules)]
        return [
            [(f" {row.workflow}  ", "strong"), (row.description, "plain")],
            [(" " + "  ".join(fact for fact in facts if fact), "dim")],
            [(f" parameters  {params}" if params else " no parameters", "dim")],
            [(" last runs, old to new", "dim")],
            [(" ", "plain"), *self._last.line(width - 2)],
        ]

    def action_open(self) -> None:
        from orchctl.console.screens.definition import DefinitionScreen

        row = self.here()
        if row is not None:
            self.console_app.push_screen(DefinitionScreen(row.workflow))

    def workflow_here(self) -> str:
        row = self.here()
        return "" if row is None else row.workflow

    def action_act(self, verb: actions.Verb) -> None:
        row = self.here()
        if row is not None:
            self.confirm(actions.on_workflow(row))
