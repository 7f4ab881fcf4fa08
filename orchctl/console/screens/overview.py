"""The first screen: the host, the runs by how much they need attention, the last runs of the workflow under the cursor,
and a list of all else that needs an operator. Tab goes from the runs to that list and back.
"""

import os
from functools import partial
from typing import Any, ClassVar

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.widgets import Input

from engine.model.errors import EngineError
from engine.protocol.messages import GetEngine, GetResources, ListRuns
from engine.protocol.rows import EngineRow, ResourcesRow, RunRow
from orchctl.console import actions
from orchctl.console.attention import Item, Watch, item_line, items
from orchctl.console.drawing import (
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
    width_of,
)
from orchctl.console.keymap import Action, Place, verb_of
from orchctl.console.screens.base import BaseScreen, Mover
from orchctl.console.screens.last_runs import LastRuns
from orchctl.console.screens.setting import setting_form
from orchctl.console.screens.sources import Few
from orchctl.console.store import Change, Picture
from orchctl.console.theme import Signs, status_style
from orchctl.console.widgets.prompt import Prompt
from orchctl.console.widgets.vtable import VirtualTable
from orchctl.text import count_text, inert, size_text

RUNS = 200
ATTENTION_LINES = 5
_LOOK_S = 5.0


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
        self._last = LastRuns(self, lambda: self.update_bar("strip"))
        self._watch = Watch()
        self._asking = False
        self._items: Few[Item] = Few(lambda item: item.key, lambda item: item.said, self._draw_item, self._calm_text)
        self._in_attention = False
        """Whether the keys are for the list of attention, and not for the runs."""

    def compose(self) -> ComposeResult:
        yield self.bar("head", self._draw_head, 4)
        yield self.bar("title", self._draw_title, 2)
        self.table = VirtualTable(self.signs, self._source, on_cursor=self._cursor_moved, widget_id="runs")
        yield self.table
        yield self.bar("strip", self._draw_strip)
        yield self.bar("attention", self._draw_attention)
        self.attention = VirtualTable(self.signs, self._items, on_cursor=self._cursor_moved, widget_id="attention-rows")
        self.attention.styles.height = ATTENTION_LINES
        self.attention.cursor_shown = False
        yield self.attention
        yield from self.foot()

    def on_mount(self) -> None:
        self.feed.subscribe(ListRuns(limit=RUNS), self._runs, 4.0)
        self.feed.subscribe(GetResources(), self._resources, 1.0)
        self.feed.subscribe(GetEngine(), self._engine, 0.5)
        self.set_interval(_LOOK_S, self._look)

    def on_screen_resume(self) -> None:
        self._look()

    def on_resize(self, event: events.Resize) -> None:
        self.attention.styles.height = max(ATTENTION_LINES, event.size.height // 4)

    def mover(self) -> Mover:
        return self.attention if self._in_attention else self.table

    def here(self) -> RunRow | None:
        """The run under the cursor, or that of the line under it."""
        if self._in_attention:
            item = self._item()
            return self._runs.get(f"r{item.run}") if item is not None and item.run else None
        place = self._source.position(self.table.cursor_key)
        return None if place is None else self._source.rows[place]

    def _item(self) -> Item | None:
        place = self._items.position(self.attention.cursor_key)
        return None if place is None else self._items.rows[place]

    def _cursor_moved(self) -> None:
        row = self.here()
        self._last.show(row.workflow if row is not None else "")
        for bar in ("strip", "keys"):
            self.update_bar(bar)

    def pointless(self, action: Action) -> bool:
        row, verb = self.here(), verb_of(action)
        return row is not None and bool(verb) and bool(actions.why_not_run(verb, row))

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
        cells = 16 if width >= 100 else 10 if width >= 78 else 6
        used = row.memory_claimed if row.memory_used is None else row.memory_used
        what = "claimed" if row.memory_used is None else "used"
        line: Line = [(" cpu ", "dim"), *gauge(row.cpus_claimed, row.cpus, cells, self.signs)]
        really = "" if row.cpus_used is None else f", {row.cpus_used:.1f} used"
        line.append((f" {row.cpus_claimed:g}/{row.cpus:g} claimed{really}", "plain"))
        line += [("  mem ", "dim"), *gauge(used, row.memory, cells, self.signs)]
        line.append((f" {used / 2**30:.1f}/{size_text(row.memory)} {what}", "plain"))
        if row.gpus:
            line.append((f"  gpu {sum(row.gpus.values()):g}/{len(row.gpus)}", "plain"))
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
            line += _pools_line(row.pools, width - width_of(line), self.signs)
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
        return [[*name, *self._last.line(width - width_of(name))]]

    # --- attention ------------------------------------------------------------------------------------------------

    def _draw_attention(self, width: int) -> list[Line]:
        count = len(self._items.rows)
        left: Line = [(" Attention ", "strong"), (f" {count:,}" if count else "", "dim")]
        way = "tab goes back to the runs " if self._in_attention else "tab goes there "
        return [ends(left, [(way, "dim")] if count else [], width)]

    def _draw_item(self, item: Item, width: int) -> Line:
        return item_line(item, width, self.signs)

    def _calm_text(self) -> str:
        return "nothing failed lately, nothing is stuck" if self._runs.known else ""

    def _gather(self) -> None:
        """The list anew, from what is known."""
        known = {row.run: row for row in self._runs.rows}
        self._watch.see(known.values(), self.now_s())
        found = items(self._engine.at(0), self._resources.at(0), known, self._watch, self.now_s())
        self._items.arrange(list({item.key: item for item in found}.values()), "")
        self.attention.changed()
        self.update_bar("attention")
        if self._in_attention and not found:
            self.action_attention()

    def _look(self, *, only_failures: bool = False) -> None:
        """Ask for what the list tells of and is not known yet, while it is in sight."""
        if not self._asking and self.feed.live and self._runs.known and self.is_current:
            self._asking = True
            self.run_worker(self._ask(only_failures), exit_on_error=True)

    async def _ask(self, only_failures: bool) -> None:
        try:
            if only_failures:
                await self._watch.look_at_failures(self.feed, self._runs.rows)
            else:
                await self._watch.look(self.feed, self._runs.rows, self._resources.at(0), self.now_s())
        except (EngineError, msgspec.ValidationError):
            pass  # it is asked again soon
        finally:
            self._asking = False
        self._gather()

    def action_attention(self) -> None:
        """From the runs to the list of attention, and back."""
        if self.query(Prompt):
            return
        self._in_attention = not self._in_attention and bool(self._items.rows)
        self.table.cursor_shown, self.attention.cursor_shown = not self._in_attention, self._in_attention
        if self._in_attention:
            self.attention.top()
        for table in (self.table, self.attention):
            table.refresh()
        self._cursor_moved()
        self.tick()

    # --- news -----------------------------------------------------------------------------------------------------

    def _runs_changed(self, change: Change) -> None:
        self._arrange()
        self._look(only_failures=True)
        self._gather()

    def _arrange(self) -> None:
        self._source.arrange(self._runs.rows, self._filter, self._by_attention)
        self.table.changed()
        self.update_bar("title")

    def _host_changed(self, change: Change) -> None:
        row = self._resources.at(0)
        if row is not None:
            self.console_app.use.take(row, self.console_app.now_s())
        self.update_bar("head")
        self._gather()

    def _ended(self, why: str) -> None:
        self.say(why, "red")

    # --- keys -----------------------------------------------------------------------------------------------------

    def action_open(self) -> None:
        item = self._item() if self._in_attention else None
        row = self.here()
        if item is not None and item.row:
            self.console_app.open_task(item.run, item.row)
        elif item is not None and not item.run:
            self.action_go("resources")
        elif row is not None:
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

    def workflow_here(self) -> str:
        row = self.here()
        return "" if row is None else row.workflow

    def made_run(self, run: str) -> None:
        if not self._in_attention:
            self.table.point(run)

    def action_set(self) -> None:
        row = self.here()
        if row is not None:
            self.fill(partial(setting_form, self, row))

    def action_explain(self) -> None:
        row = self.here()
        if row is not None:
            self.explain_run(run_number(row.run))

    def action_act(self, verb: actions.Verb) -> None:
        row = self.here()
        if row is not None:
            self.act_on_run(verb, row)


def _pools_line(pools: dict[str, dict[str, Any]], width: int, signs: Signs) -> Line:
    """How full the pools are, those that are held first; what does not fit whole is counted."""
    ordered = sorted(pools.items(), key=lambda named: not named[1].get("claimed"))
    texts = [f"{inert(name)} {pool.get('claimed', 0)}/{pool.get('slots', 0)}  " for name, pool in ordered]
    for shown in range(len(texts), 0, -1):
        left = len(texts) - shown
        rest = [f"{signs.more} {left} more"] if left else []
        line: Line = [(text, "dim") for text in (*texts[:shown], *rest)]
        if width_of(line) <= width:
            return line
    return [(count_text(len(texts), "pool"), "dim")] if texts else []
