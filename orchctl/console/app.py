"""The console's way in. Textual reads its settings when it is imported, so it is imported here, late."""

import os
from pathlib import Path
from typing import Any, cast

from orchctl.console.terminal import inherited, prepare, speaks_utf8
from orchctl.paths import Home

MEMORY = "console.json"


def main(home: Path, *, run: int = 0, read_only: bool = False, ascii_only: bool | None = None) -> int:
    """Show the console until the operator leaves; the exit code. The engine of `home` goes on, whatever happens.

    `run` opens that run at once, `read_only` takes away every key that changes something, `ascii_only` None means
    whatever the settings say, or the locale can show. Raises ValueFault for settings that make no sense.
    """
    from orchctl.console.settings import load_settings

    place = Home(home)
    settings = load_settings(place.config)
    prepare(os.environ, settings.frames)
    import uvloop

    from orchctl.console.memory import keep, recall
    from orchctl.console.program import Console

    ascii_only = settings.ascii if ascii_only is None else ascii_only
    plain = not speaks_utf8(inherited()) if ascii_only is None else ascii_only
    memory = recall(place.root / MEMORY)
    console = Console(place, run=run, read_only=read_only, ascii_only=plain, settings=settings, memory=memory)
    loop = uvloop.new_event_loop()
    console.mind_signals(loop)
    try:
        status = console.run(loop=loop, mouse=settings.mouse)
    finally:
        loop.close()
        keep(place.root / MEMORY, memory)
    return (status or 0) if console.return_code in (None, 0) else console.return_code


def snapshot(
    home: Path, screen: tuple[str, int, str, str], size: tuple[int, int], form: str, *, ascii_only: bool | None
) -> str:
    """A screen (its name, run, row and moment) as text, ANSI or SVG, without a terminal. Raises EngineError."""
    prepare(os.environ)
    from orchctl.console.picture import Wanted, show

    return show(home, Wanted(*screen), size, cast("Any", form), ascii_only=ascii_only)
