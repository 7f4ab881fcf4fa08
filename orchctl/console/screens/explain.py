"""Why things wait: each row that does not run, with all its reasons, asked again every two seconds; of one row that
runs or has ended, since when and why.
"""

from typing import ClassVar

import msgspec
from textual.app import ComposeResult

from engine.model.errors import EngineError
from engine.protocol.messages import ExplainRun, ListTasks, Rows
from engine.protocol.rows import ReasonRow, TaskRow
from orchctl.console.drawing import Line, ends
from orchctl.console.keymap import Place
from orchctl.console.runlines import reason_lines, row_name, settled_lines
from orchctl.console.screens.base import BaseScreen, Mover
from orchctl.console.widgets.lines import TextView
from orchctl.text import count_text

EVERY_S = 2.0


class ExplainScreen(BaseScreen):
    """The reasons of a run's rows, of one task's, or of one row's."""

    place: ClassVar[Place] = "explain"

    def __init__(self, run: int, task: str = "", index: int | None = None) -> None:
        super().__init__()
        self._request = ExplainRun(run=run, task=task, index=index)
        self._total = 0
        self._state = "waits"
        self._asking = False

    def compose(self) -> ComposeResult:
        yield self.bar("head", self._draw_head)
        self._text = TextView(self.signs, widget_id="text")
        yield self._text
        yield from self.foot()

    def on_mount(self) -> None:
        self.set_interval(EVERY_S, self._refresh_reasons)
        self._refresh_reasons()

    def mover(self) -> Mover:
        return self._text

    def _draw_head(self, width: int) -> list[Line]:
        request = self._request
        what = row_name(request.task, request.index) if request.task else f"r{request.run}"
        left: Line = [(f" Why {what} {self._state}", "strong")]
        if self._total:
            left.append((f"  {count_text(self._total, 'row')} in all", "dim"))
        return [ends(left, self.clock_spans(), width)]

    def _refresh_reasons(self) -> None:
        if self.feed.live and not self._asking:
            self._asking = True
            self.run_worker(self._ask(), exclusive=False)

    async def _ask(self) -> None:
        try:
            answer = await self.feed.ask(self._request, Rows)
            rows = msgspec.convert(answer.rows, list[ReasonRow])
            settled = [] if rows else await self._settled()
        except (EngineError, msgspec.ValidationError) as error:
            self.say(str(error), "red")
            return
        finally:
            self._asking = False
        self._total = max(answer.total, len(rows))
        self._state = "waits" if not settled else f"is {settled[0].status.replace('_', ' ')}"
        view = self._text
        width = max(20, view.size.width - 2)
        lines = [line for row in rows for line in reason_lines(row, width, self.signs)]
        lines += [line for row in settled for line in settled_lines(row, width, self.signs, self.now_s())]
        view.set_lines(lines or [[("  nothing waits: all of it runs or has ended", "dim")]])
        self.update_bar("head")

    async def _settled(self) -> list[TaskRow]:
        """The one row that was asked for, where it does not wait."""
        request = self._request
        if not request.task:
            return []
        index = -1 if request.index is None else request.index
        view = ListTasks(run=request.run, task=request.task, index=index, limit=1)
        return msgspec.convert((await self.feed.ask(view, Rows)).rows, list[TaskRow])
