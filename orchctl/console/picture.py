"""A screen of the console as a file, without a terminal: as text, as text with colours (ANSI), or as SVG, for reports
and documentation. The console runs as always, on a screen that nobody sees, until it shows what it was asked for.
"""

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

from rich.console import Console as RichConsole
from rich.segment import Segments
from textual.pilot import Pilot
from textual.strip import Strip

from engine.model.errors import Unavailable, ValueFault
from orchctl.console.keymap import PANES
from orchctl.console.memory import Memory
from orchctl.console.program import Console
from orchctl.console.screens.registry import SCREENS
from orchctl.console.screens.run import RunScreen
from orchctl.console.settings import Settings, load_settings
from orchctl.paths import Home

Form = Literal["text", "ansi", "svg"]
WITHIN_S = 10.0
_SETTLE_S = 0.6
_STEP_S = 0.02


def screen_names() -> tuple[str, ...]:
    """What can be pictured: screens, and the panes of a run."""
    return ("overview", *SCREENS, *PANES, "help")


async def picture(
    home: Path, name: str, run: int, size: tuple[int, int], form: Form, settings: Settings, *, ascii_only: bool = False
) -> str:
    """The screen of that name once it has settled, of that run where it belongs to one. Raises ValueFault, and
    Unavailable where the engine does not answer.
    """
    if name not in screen_names():
        raise ValueFault(f"there is no screen {name!r}", f"the screens are {', '.join(screen_names())}")
    shape = name if name in ("graph", "outline") else ""
    run = run if name in PANES else 0
    console = Console(
        Home(home), run=run, read_only=True, ascii_only=ascii_only, settings=settings, memory=Memory(shape=shape)
    )
    async with console.run_test(size=size) as pilot:
        await _until(lambda: console.feed.live, f"the engine does not answer: {console.feed.trouble}")
        await _show(console, pilot, name)
        await _settled(pilot.pause, lambda: _text(console))
        return _formed(console, size, form)


async def _show(console: Console, pilot: Pilot[int], name: str) -> None:
    if name in PANES:
        screen = console.screen
        assert isinstance(screen, RunScreen)
        await _until(lambda: screen.run_row() is not None, "there is no such run")
        if name == "log":
            await _settled(pilot.pause, lambda: _text(console))
            screen.action_log()
        elif name != "outline":
            screen.action_pane(name)
    elif name == "help":
        await pilot.press("question_mark")
    elif name in SCREENS:
        console.go(name)


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


def show(home: Path, name: str, run: int, size: tuple[int, int], form: Form, *, ascii_only: bool | None) -> str:
    """As `picture`, with the settings of the home."""
    settings = load_settings(Home(home).config)
    plain = bool(settings.ascii if ascii_only is None else ascii_only)
    return asyncio.run(picture(home, name, run, size, form, settings, ascii_only=plain))


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
