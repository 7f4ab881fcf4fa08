"""The first screen: the host, the runs by how much they need attention, and the rows that failed lately."""

import os
from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.widgets import Input

from engine.model.errors import EngineError
from engine.protocol.messages import GetEngine, GetResources, ListRuns, ListTasks, Rows
from engine.protocol.rows import EngineRow, ResourcesRow, RunRow, TaskRow
from orchctl.console import actions
from orchctl.console.drawing import (
    BAD,
    Line,
    attention_key,
    duration,
    ends,
    fitted,
    gauge,
    instant_s,
    newest_key,
    rule,
    run_line,
    run_number,
    runs_heading,
    time_of,
    width_of,
)
from orchctl.console.keymap import Place
from orchctl.console.runlines import row_name, why_text
from orchctl.console.screens.base import BaseScreen, Mover
from orchctl.console.store import Change, Picture
from orchctl.console.theme import status_style
from orchctl.console.timelines import strip_line
from orchctl.console.widgets.vtable import VirtualTable
from orchctl.text import count_text, inert, size_text

RUNS = 200
ATTENTION_RUNS = 5
ATTENTION_LINES = 5


class _Runs:
    """The table's source: the runs that match the filter, in the chosen order."""

    def __init__(self, screen: "OverviewScreen") -> None:
        self._screen = screen
        self.rows: list[RunRow] = []
        self._places: dict[str, int] = {}

    def arrange(self, rows: list[RunRow], text: str, by_attention: bool) -> None:
        wanted = text.lower()
        kept = [row for row in rows if wanted in f"{row.workflow} {row.run} {row.status}".lower()]
        kept.sort(key=attention_key if by_attention else newest_key)
        self.rows = kept
        self._places = {row.run: place for place, row in enumerate(kept)}

    def count(self) -> int:
        return len(self.rows)

    def key_at(self, row: int) -> str:
        return self.rows[row].run if 0 <= row < len(self.rows) else ""

    def position(self, key: str) -> int | None:
        return self._places.get(key)

    def line(self, row: int, width: int) -> Line:
        if row >= len(self.rows):
            return []
        return run_line(self.rows[row], width, self._screen.signs, self._screen.now_s())

    def look(self, first: int, count: int) -> None:
        """All rows of the table are here."""

    def empty_text(self) -> str:
        return self._screen.nothing_text()


class OverviewScreen(BaseScreen):
    """Host, runs and attention."""

    place: ClassVar[Place] = "overview"

    def __init__(self) -> None:
        super().__init__()
        self._source = _Runs(self)
        self._filter = ""
        self._by_attention = not self.memory.overview_newest
        self._runs: Picture[RunRow] = Picture(RunRow, self._runs_changed, self._ended)
        self._resources: Picture[ResourcesRow] = Picture(ResourcesRow, self._host_changed, self._ended)
        self._engine: Picture[EngineRow] = Picture(EngineRow, self._host_changed, self._ended)
        self._failed: dict[str, tuple[int, list[TaskRow]]] = {}
        self._asking = False

    def compose(self) -> ComposeResult:
        yield self.bar("head", self._draw_head, 4)
        yield self.bar("title", self._draw_title, 2)
        self.table = VirtualTable(
            self.signs, self._source, on_cursor=lambda: self.update_bar("strip"), widget_id="runs"
        )
        yield self.table
        yield self.bar("strip", self._draw_strip)
        yield self.bar("attention", self._draw_attention, ATTENTION_LINES + 1)
        yield from self.foot()

    def on_mount(self) -> None:
        self.feed.subscribe(ListRuns(limit=RUNS), self._runs, 4.0)
        self.feed.subscribe(GetResources(), self._resources, 1.0)
        self.feed.subscribe(GetEngine(), self._engine, 0.5)

    def mover(self) -> Mover:
        return self.table

    def here(self) -> RunRow | None:
        """The run under the cursor."""
        place = self._source.position(self.table.cursor_key)
        return None if place is None else self._source.rows[place]

    def nothing_text(self) -> str:
        """What is said in an empty table."""
        if not self._runs.known:
            return "waiting for the engine"
        if self._filter:
            return f"no run matches {self._filter}"
        return "no runs yet: `orchctl run FILE` starts one, `orchctl demo` shows one"

    # --- head -----------------------------------------------------------------------------------------------------

    def _draw_head(self, width: int) -> list[Line]:
        engine = self._engine.at(0) or (self.feed.welcome.engine if self.feed.welcome else None)
        home = inert(os.fspath(self.console_app.home.root))
        user = os.path.expanduser("~")
        if home.startswith(user + "/"):
            home = "~" + home[len(user) :]
        left: Line = [(" orchctl ", "strong"), (f"{self.signs.upright} ", "faint"), (home, "plain")]
        right: Line = []
        if engine is not None:
            started = instant_s(engine.started_at)
            age = f" {duration(max(0.0, self.now_s() - started))}" if started is not None else ""
            style = "plain" if engine.state == "serving" else "yellow"
            right = [(f"engine {engine.state.replace('_', '-')}{age}  ", style)]
        top = ends(left, [*right, *self.clock_spans()], width)
        return [top, self._draw_host(width), self._draw_totals(width), rule(self.signs, width)]

    def _draw_host(self, width: int) -> Line:
        row = self._resources.at(0)
        if row is None:
            return []
        cells = 16 if width >= 78 else 8
        used = row.memory_claimed if row.memory_used is None else row.memory_used
        what = "claimed" if row.memory_used is None else "used"
        line: Line = [(" cpu ", "dim"), *gauge(row.cpus_claimed, row.cpus, cells, self.signs)]
        line.append((f" {row.cpus_claimed:g}/{row.cpus:g} claimed", "plain"))
        line += [("  mem ", "dim"), *gauge(used, row.memory, cells, self.signs)]
        line.append((f" {used / 2**30:.1f}/{size_text(row.memory)} {what}", "plain"))
        return fitted(line, width)

    def _draw_totals(self, width: int) -> Line:
        row = self._resources.at(0)
        engine = self._engine.at(0)
        line: Line = [(" ", "plain")]
        if row is not None:
            line.append((f"{self.signs.status('running')} {row.running:,} running  ", status_style("running")))
            line.append((f"{self.signs.status('ready')} {row.ready:,} ready  ", status_style("ready")))
        if engine is not None:
            for status, count in engine.runs.items():
                if count:
                    line.append((f"{count_text(count, 'run')} {status}  ", status_style(status)))
        if row is not None:
            if row.load is not None:
                line.append((f"load {row.load:.1f}  ", "plain"))
            for name, pool in row.pools.items():
                line.append((f"{name} {pool.get('claimed', 0)}/{pool.get('slots', 0)}  ", "dim"))
        return fitted(line, width)

    def _draw_title(self, width: int) -> list[Line]:
        shown = len(self._source.rows)
        total = self._runs.total if self._runs.known else 0
        number = f"{total:,}" if shown == total else f"{shown:,} of {total:,}"
        order = "attention" if self._by_attention else "newest"
        left: Line = [(" Runs ", "strong"), (f" {number}   sort: {order}", "dim")]
        right: Line = [(f"/{self._filter} ", "key")] if self._filter else []
        if self.feed.viewer:
            right = [("read-only  ", "yellow"), *right]
        return [ends(left, right, width), runs_heading(self.table.size.width or width)]

    def _draw_strip(self, width: int) -> list[Line]:
        """The last runs of the workflow under the cursor, old to new, of those that are here."""
        row = self.here()
        if row is None:
            return [[]]
        name: Line = [(f" Last runs of {row.workflow}  ", "dim")]
        rows = [other for other in sorted(self._runs.rows, key=newest_key) if other.workflow == row.workflow]
        return [[*name, *strip_line(rows[::-1], width - width_of(name), self.signs)]]

    # --- attention ------------------------------------------------------------------------------------------------

    def _draw_attention(self, width: int) -> list[Line]:
        signs = self.signs
        lines: list[Line] = [[(" Attention", "strong")]]
        engine = self._engine.at(0)
        for problem in engine.problems if engine is not None else []:
            lines.append(fitted([(f" ! {problem}", "yellow")], width))
        found = [(row, run) for run, (_, rows) in self._failed.items() for row in rows if self._runs.get(run)]
        found.sort(key=lambda pair: pair[0].finished_at or "", reverse=True)
        for row, run in found:
            known = self._runs.get(run)
            workflow = known.workflow if known else ""
            said = why_text(row)
            tries = f"try {row.attempts}" if row.attempts else ""
            line: Line = [
                (f" {signs.status(row.status)} ", status_style(row.status)),
                (f"{time_of(row.finished_at)} ", "dim"),
                (f"{workflow} {run}  ", "plain"),
                (f"{row_name(row.task, row.index)}  ", "strong"),
                (f"{said}  ", "red"),
                (tries, "dim"),
            ]
            lines.append(fitted(line, width))
        if len(lines) == 1:
            lines.append([(" nothing failed lately", "dim")])
        hidden = len(lines) - 1 - ATTENTION_LINES
        if hidden > 0:
            lines[0].append((f"  {hidden:,} more", "dim"))
        return lines[: ATTENTION_LINES + 1]

    def _ask_failed(self) -> None:
        """Fetch the failed rows of the newest runs that have any, where their number has changed."""
        newest = sorted(self._runs.rows, key=newest_key)
        failing = [row for row in newest if any(row.tasks.get(status) for status in BAD)][:ATTENTION_RUNS]
        self._failed = {row.run: self._failed[row.run] for row in failing if row.run in self._failed}
        stale = [row for row in failing if self._failed.get(row.run, (-1, []))[0] != row.tasks.get("failed", 0)]
        if stale and not self._asking and self.feed.live:
            self._asking = True
            self.run_worker(self._fetch_failed(stale), exit_on_error=True)

    async def _fetch_failed(self, runs: list[RunRow]) -> None:
        try:
            for run in runs:
                request = ListTasks(
                    run=run_number(run.run), statuses=("failed",), sort="attention", limit=ATTENTION_LINES
                )
                answer = await self.feed.ask(request, Rows)
                rows = msgspec.convert(answer.rows, list[TaskRow])
                self._failed[run.run] = (run.tasks.get("failed", 0), rows)
        except (EngineError, msgspec.ValidationError):
            pass  # the next change of the runs asks again
        finally:
            self._asking = False
        self.update_bar("attention")

    # --- news -----------------------------------------------------------------------------------------------------

    def _runs_changed(self, change: Change) -> None:
        self._arrange()
        self.update_bar("strip")
        self._ask_failed()
        self.update_bar("attention")

    def _arrange(self) -> None:
        self._source.arrange(self._runs.rows, self._filter, self._by_attention)
        self.table.changed()
        self.update_bar("title")

    def _host_changed(self, change: Change) -> None:
        row = self._resources.at(0)
        if row is not None:
            self.console_app.use.take(row, self.console_app.now_s())
        self.update_bar("head")
        self.update_bar("attention")

    def _ended(self, why: str) -> None:
        self.say(why, "red")

    def tick(self) -> None:
        super().tick()
        if self._runs.known:
            self._ask_failed()

    # --- keys -----------------------------------------------------------------------------------------------------

    def action_open(self) -> None:
        row = self.here()
        if row is not None:
            self.console_app.open_run(run_number(row.run))

    def action_sort(self) -> None:
        self._by_attention = not self._by_attention
        self.memory.overview_newest = not self._by_attention
        self._arrange()

    def action_filter(self) -> None:
        self.ask("filter by workflow, run or state", self._filter, self.memory.filters)

    def answered(self, text: str) -> None:
        self.memory.remember_filter(text)
        self._show(text)

    def gave_up(self, before: str) -> None:
        self._show(before)

    def on_input_changed(self, event: Input.Changed) -> None:
        self._show(inert(event.value))

    def _show(self, text: str) -> None:
        self._filter = text
        self._arrange()

    def action_trigger(self) -> None:
        row = self.here()
        if row is not None:
            self.trigger(row.workflow)

    def action_explain(self) -> None:
        from orchctl.console.screens.explain import ExplainScreen

        row = self.here()
        if row is not None:
            self.console_app.push_screen(ExplainScreen(run_number(row.run)))

    def action_act(self, verb: actions.Verb) -> None:
        row = self.here()
        if row is None:
            return
        why = actions.why_not_run(verb, row)
        if why:
            self.say(why, "yellow")
        else:
            self.confirm(actions.on_run(verb, row))
