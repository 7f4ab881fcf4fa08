"""demo: the first thing to try. A pipeline over the sources of Python's standard library, which every machine has."""

import sys
import time
from pathlib import Path

import orchctl
from engine.protocol.messages import ReadLog
from orchctl.commands.following import follow
from orchctl.commands.kit import SUCCEEDED, Command, Parser, Place, Words
from orchctl.commands.logs import TextPrinter, pieces
from orchctl.commands.submitting import definition_of, submit_run


def _arguments(parser: Parser) -> None:
    parser.add_argument("--headless", action="store_true", help="print progress and a summary, open no console")


def demo(words: Words, place: Place) -> int:
    """Submit the demo; on a terminal open the console on it, else follow it and print its report."""
    out = place.out
    what = str(Path(orchctl.__file__).parent / "examples" / "demo" / "demo.yaml")
    definition = definition_of(what)
    folder = place.home.root / "demo" / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headless: bool = words.headless or out.json or not (out.live and sys.stdin.isatty())
    with place.session(start=True) as session:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        run = submit_run(session, what, definition, {"out": str(folder)}, "orchctl demo")
        if headless:
            code = follow(session, run, out)
            if code == SUCCEEDED and not out.json:
                out.line()
                printer = TextPrinter(out)
                for piece in pieces(session, ReadLog(run=run, task="report")):
                    printer.feed(piece)
                printer.end()
                out.remark(f"its files are in {folder}")
            return code
    from orchctl.console.app import main

    return main(place.home.root, run=run)


COMMANDS = {
    "demo": Command(
        demo,
        _arguments,
        ("orchctl demo", "orchctl demo --headless"),
        "Starts an engine if none runs. Opens the console on the run; --headless, and any output that is not a "
        "terminal, gets progress and a summary, and the run's exit code. It takes about half a minute, needs no "
        "network, and writes below the home's demo folder.",
    )
}
