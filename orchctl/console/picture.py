"""A screen of the console as a file, without a terminal: as text, as text with colours (ANSI), or as SVG, for reports
and documentation. The console runs as always, on a screen that nobody sees, until it shows what it was asked for.
"""

import asyncio
import io
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import msgspec
from rich.console import Console as RichConsole
from rich.segment import Segments
from textual.pilot import Pilot
from textual.strip import Strip

from engine.model.errors import Unavailable, ValueFault
from engine.model.ids import parse_row
from engine.protocol.messages import ListTasks, Rows
from engine.protocol.rows import TaskRow
from orchctl.console.keymap import OF_ROWS, OF_RUNS
from orchctl.console.memory import Memory
from orchctl.console.program import Console
from orchctl.console.screens.definition import DefinitionScreen
from orchctl.console.screens.explain import ExplainScreen
from orchctl.console.screens.registry import SCREENS
from orchctl.console.screens.resources import ResourcesScreen
from orchctl.console.screens.run import RunScreen
from orchctl.console.screens.task import TaskScreen
from orchctl.console.settings import Settings, load_settings
from orchctl.moments import moment_named
from orchctl.paths import Home

Form = Literal["text", "ansi", "svg"]
WITHIN_S = 10.0
_SETTLE_S = 0.6
_STEP_S = 0.02
_HOST_TABLES = ("holders", "queue", "owners")


class Wanted(NamedTuple):
    """What is to be pictured: a screen, of that run where it belongs to one, of that row where it belongs to one (as
    it is written; empty: the one that needs a look first), at that moment (empty: now)."""

    screen: str
    run: int = 0
    row: str = ""
    at: str = ""


def screen_names() -> tuple[str, ...]:
    """What can be pictured: screens, the panes of a run and of a row, and the tables of the host."""
    return ("overview", *SCREENS, *_HOST_TABLES, *OF_RUNS, "help")


async def picture(
    home: Path, wanted: Wanted, size: tuple[int, int], form: Form, settings: Settings, *, ascii_only: bool = False
) -> str:
    """The screen once it has settled. Raises ValueFault, and Unavailable where the engine does not answer."""
    name = wanted.screen
    if name not in screen_names():
        raise ValueFault(f"there is no screen {name!r}", f"the screens are {', '.join(screen_names())}")
    shape = name if name in ("graph", "outline") else ""
    run = wanted.run if name in OF_RUNS else 0
    console = Console(
        Home(home), run=run, read_only=True, ascii_only=ascii_only, settings=settings, memory=Memory(shape=shape)
    )
    async with console.run_test(size=size) as pilot:
        await _until(lambda: console.feed.live, f"the engine does not answer: {console.feed.trouble}")
        await _show(console, pilot, wanted)
        await _settled(pilot.pause, lambda: _text(console))
        return _formed(console, size, form)


async def _show(console: Console, pilot: Pilot[int], wanted: Wanted) -> None:
    name = wanted.screen
    if name in OF_RUNS:
        screen = console.screen
        assert isinstance(screen, RunScreen)
        try:
            await _until(lambda: screen.run_row() is not None, f"run r{wanted.run} is not known")
        except Unavailable as fault:
            raise Unavailable(fault.sentence, "`orchctl runs` lists those that are kept") from fault
        if name == "definition":
            row = screen.run_row()
            assert row is not None
            console.push_screen(DefinitionScreen(row.workflow, row.version))
        elif name in OF_ROWS:
            await _show_row(console, wanted)
        else:
            await _show_pane(screen, wanted)
    elif name == "help":
        await pilot.press("question_mark")
    elif name in SCREENS:
        console.go(name)
    elif name in _HOST_TABLES:
        console.go("resources")
        await _until(lambda: any(table.size for table in console.screen.query("#holders")), "the screen did not come")
        cast("ResourcesScreen", console.screen).action_table(cast("Any", name))


async def _show_pane(screen: RunScreen, wanted: Wanted) -> None:
    """A pane of the run, now or then."""
    name = wanted.screen
    if name == "results":
        if not await screen.find_results():
            raise ValueFault("this run measures nothing", "tasks with `trials:` or `metrics:` do")
        screen.action_pane(name)
        await _until(lambda: screen.results.known, "the results were not worked out in time")
    elif name != "outline":
        screen.action_pane(cast("Any", name))
    if wanted.at:
        screen.look_at(moment_named(wanted.run, wanted.at, time.time_ns()))
        await _until(lambda: screen.past.moment is not None and not screen.past.busy, "that moment was not reached")


async def _show_row(console: Console, wanted: Wanted) -> None:
    """A screen of one row of the run."""
    task, index = await _row_of(console, wanted) if wanted.row or wanted.screen != "explain" else ("", None)
    if wanted.screen == "explain":
        console.push_screen(ExplainScreen(wanted.run, task, index))
        return
    screen = TaskScreen(wanted.run, task, index)
    await console.push_screen(screen)
    await _until(lambda: screen.row() is not None, "there is no such row")
    if wanted.screen == "use":
        screen.action_use()
    elif wanted.screen == "log":
        screen.action_log()


async def _row_of(console: Console, wanted: Wanted) -> tuple[str, int | None]:
    """The task and the index of the row that is meant. Raises EngineError."""
    if wanted.row:
        task, index = parse_row(wanted.row)
        request = ListTasks(run=wanted.run, task=task, index=index, limit=1)
    else:
        request = ListTasks(run=wanted.run, sort="attention", limit=1)
    rows = msgspec.convert((await console.feed.ask(request, Rows)).rows, list[TaskRow])
    if not rows:
        raise ValueFault(f"run r{wanted.run} has no row {wanted.row}".rstrip(), "`orchctl tasks RUN` lists them")
    return rows[0].task, rows[0].index


async def _until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = asyncio.get_running_loop().time() + WITHIN_S
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable(otherwise)
        await asyncio.sleep(_STEP_S)


async def _settled(pause: Callable[[float], Awaitable[None]], text: Callable[[], str]) -> None:
    """Wait until the screen has stayed the same for a while, its clock aside; not for ever, where it lives."""
    loop = asyncio.get_running_loop()
    deadline, since, before = loop.time() + WITHIN_S / 2, loop.time(), ""
    while loop.time() < deadline and loop.time() - since < _SETTLE_S:
        await pause(_STEP_S)
        shown = text().partition("\n")[2]
        if shown != before:
            before, since = shown, loop.time()


def show(home: Path, wanted: Wanted, size: tuple[int, int], form: Form, *, ascii_only: bool | None) -> str:
    """As `picture`, with the settings of the home."""
    settings = load_settings(Home(home).config)
    plain = bool(settings.ascii if ascii_only is None else ascii_only)
    return asyncio.run(picture(home, wanted, size, form, settings, ascii_only=plain))


def _strips(console: Console) -> list[Strip]:
    """The lines of the screen; textual has no public word for them."""
    return console.screen._compositor.render_strips()  # pyright: ignore[reportPrivateUsage]


def _text(console: Console) -> str:
    return "\n".join(strip.text.rstrip() for strip in _strips(console))


def _formed(console: Console, size: tuple[int, int], form: Form) -> str:
    if form == "text":
        return _text(console) + "\n"
    if form == "svg":
        return console.export_screenshot(title="orchctl")
    output = io.StringIO()
    page = RichConsole(file=output, width=size[0], force_terminal=True, color_system="standard", legacy_windows=False)
    for strip in _strips(console):
        page.print(Segments(strip), end="\n")
    return output.getvalue()
