"""Driving the console in tests: a console on a served world, its screen as text, and waiting for what it shows."""

import asyncio
import contextlib
import unicodedata
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import textual.screen
from textual.events import Key
from textual.keys import REPLACED_KEYS, _character_to_key, _get_unicode_name_from_key
from textual.pilot import Pilot

from orchctl.console.memory import Memory
from orchctl.console.program import Console
from orchctl.console.settings import Settings
from orchctl.paths import Home
from tests.support.console_engine import ConsoleEngine, World
from tests.support.console_world import NOW_S

WITHIN_S = 10.0
FRAME_S = 0.002
"""What has changed is drawn after one or two of these: soon, as nobody looks in between."""
textual.screen.UPDATE_PERIOD = FRAME_S


async def until(condition: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    """Wait until the condition holds; an AssertionError after `within_s`."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "what was waited for did not come"
        await asyncio.sleep(0.005)


async def settled() -> None:
    """Wait until this loop, in which console and engine live, has nothing to do and nothing due that could be a frame.

    So what a key leads to has happened and is drawn, on a machine of any speed. A pilot's own wait for that goes by the
    CPU time of the process: it takes 40 ms a key, and longer beside others.
    """
    loop: Any = asyncio.get_running_loop()
    deadline = loop.time() + WITHIN_S
    quiet = 0
    while quiet < 3:  # what was sent in one turn is read in the next one
        assert loop.time() < deadline, "the console never comes to rest"
        due = min((timer.when() for timer in loop._scheduled if not timer.cancelled()), default=deadline)
        soon = due <= loop.time() + 3 * FRAME_S
        quiet = 0 if loop._ready or soon else quiet + 1
        if quiet < 3:
            await asyncio.sleep(max(0.0, due - loop.time()) if soon and not loop._ready else 0)


class Driver:
    """A console under test."""

    def __init__(self, console: Console, pilot: Pilot[int], engine: ConsoleEngine) -> None:
        self.console = console
        self.pilot = pilot
        self.engine = engine

    def text(self) -> str:
        """What the screen shows, without blanks at the ends of lines."""
        strips = self.console.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)

    def line(self, part: str) -> str:
        """The first line of the screen that holds a text."""
        return next(line for line in self.text().splitlines() if part in line)

    async def shows(self, *parts: str) -> str:
        """Wait until all texts are on the screen; what it shows then."""
        shown = ""

        def there() -> bool:
            nonlocal shown
            shown = self.text()
            return all(part in shown for part in parts)

        try:
            await until(there)
        except AssertionError:
            raise AssertionError(f"{parts} did not appear on\n{shown}") from None
        return shown

    async def lacks(self, part: str) -> str:
        """Wait until a text is not on the screen any more."""
        try:
            await until(lambda: part not in self.text())
        except AssertionError:
            raise AssertionError(f"{part!r} stayed on\n{self.text()}") from None
        return self.text()

    async def press(self, *keys: str) -> None:
        """Press keys, each when all is done that the one before it led to."""
        for key in keys:
            self.console.post_message(_event(key))
            await settled()


def _event(key: str) -> Key:
    """What a terminal makes of a key, given by its name or its character."""
    name = _character_to_key(key) if len(key) == 1 else key
    try:
        character = unicodedata.lookup(_get_unicode_name_from_key(REPLACED_KEYS.get(name, name)))
    except KeyError:
        character = key if len(key) == 1 else None
    return Key(name, character)


@contextlib.asynccontextmanager
async def console_on(
    folder: Path,
    world: World,
    *,
    size: tuple[int, int] = (80, 24),
    run: int = 0,
    read_only: bool = False,
    ascii_only: bool = False,
    shape: str = "outline",
    settings: Settings | None = None,
    memory: Memory | None = None,
) -> AsyncIterator[Driver]:
    """A console that shows a world, tasks as an outline unless it is told otherwise. Waits until it is live."""
    engine = ConsoleEngine(folder, world)
    await engine.start()
    console = Console(
        Home(folder), run=run, read_only=read_only, ascii_only=ascii_only, settings=settings,
        memory=memory or Memory(shape=shape), now_s=lambda: NOW_S,
    )  # fmt: skip
    try:
        async with console.run_test(size=size) as pilot:
            driver = Driver(console, pilot, engine)
            await driver.shows("live")
            yield driver
    finally:
        await engine.stop()
