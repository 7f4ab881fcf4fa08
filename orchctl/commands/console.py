"""console: the terminal console, also what `orchctl` alone opens."""

from orchctl.commands.kit import Command, Parser, Place, UsageError, Words, run_number


def _arguments(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="?", help="open this run: r12, 12, or latest")
    parser.add_argument("--read-only", action="store_true", help="look, but do not act")


def console(words: Words, place: Place) -> int:
    """Start an engine where none runs, then hand the terminal to the console."""
    import sys

    if place.out.json:
        raise UsageError("the console has no --json", "`orchctl runs --json` lists runs")
    if not (sys.stdin.isatty() and place.out.terminal):
        raise UsageError("the console needs a terminal", "`orchctl runs` and `orchctl show` work without")
    number = 0
    with place.session(start=True, read_only=True) as session:
        session.welcome()
        if words.run:
            number = run_number(session, words.run)
    from orchctl.console.app import main

    return main(place.home.root, run=number, read_only=words.read_only)


COMMANDS = {
    "console": Command(
        console, _arguments, ("orchctl console", "orchctl console latest", "orchctl console --read-only")
    )
}
