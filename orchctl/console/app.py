"""The console's way in. Textual reads its settings when it is imported, so it is imported here, late."""

import os
from pathlib import Path

from orchctl.console.terminal import inherited, prepare, speaks_utf8
from orchctl.paths import Home


def main(home: Path, *, run: int = 0, read_only: bool = False, ascii_only: bool | None = None) -> int:
    """Show the console until the operator leaves; the exit code. The engine of `home` goes on, whatever happens.

    `run` opens that run at once, `read_only` takes away every key that changes something, `ascii_only` None means
    whatever the locale can show.
    """
    prepare(os.environ)
    import uvloop

    from orchctl.console.program import Console

    plain = not speaks_utf8(inherited()) if ascii_only is None else ascii_only
    console = Console(Home(home), run=run, read_only=read_only, ascii_only=plain)
    loop = uvloop.new_event_loop()
    try:
        status = console.run(loop=loop)
    finally:
        loop.close()
    return (status or 0) if console.return_code in (None, 0) else console.return_code
