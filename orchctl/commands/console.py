"""console: the terminal console, also what `orchctl` alone opens, and its screens as pictures."""

import re

from orchctl.commands.kit import SUCCEEDED, Command, Parser, Place, UsageError, Words, one_of, run_number

_FORMS = ("text", "ansi", "svg")
_SIDE_MIN, _SIDE_MAX = 20, 500


def _arguments(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="?", help="open this run: r12, 12, or latest")
    parser.add_argument("--read-only", action="store_true", help="look, but do not act")
    parser.add_argument("--ascii", action="store_true", default=None, help="draw with ASCII characters only")
    parser.add_argument("--snapshot", metavar="SCREEN", help="print this screen and leave: overview, graph, gantt, ...")
    parser.add_argument("--row", metavar="TASK[INDEX]", default="", help="of a snapshot of task, use, log or explain")
    parser.add_argument("--at", metavar="TIME", default="", help="of a snapshot of a run's pane: as it was then")
    parser.add_argument(
        "--format",
        metavar="FORMAT",
        type=one_of(*_FORMS),
        default="text",
        help="of a snapshot: text, ansi or svg (text)",
    )
    parser.add_argument("--size", metavar="WxH", default="80x24", help="of a snapshot, in characters (80x24)")


def console(words: Words, place: Place) -> int:
    """Start an engine where none runs, then hand the terminal to the console."""
    import sys

    if place.out.json:
        raise UsageError("the console has no --json", "`orchctl runs --json` lists runs")
    if words.snapshot:
        return _snapshot(words, place)
    if words.row or words.at:
        raise UsageError(
            "--row and --at belong to --snapshot", "in the console, `enter` opens a row and `[` looks back"
        )
    if not (sys.stdin.isatty() and place.out.terminal):
        raise UsageError("the console needs a terminal", "`orchctl runs` and `orchctl show` work without")
    number = 0
    with place.session(start=True, read_only=True) as session:
        session.welcome()
        if words.run:
            number = run_number(session, words.run)
    from orchctl.console.app import main

    return main(place.home.root, run=number, read_only=words.read_only, ascii_only=words.ascii)


def _snapshot(words: Words, place: Place) -> int:
    """Print a screen. One that belongs to a run shows the newest where none is named."""
    size, name = _size(words.size), words.snapshot
    from orchctl.console.keymap import OF_ROWS, OF_RUNS, TIMED

    if words.row and name not in OF_ROWS:
        raise UsageError(f"the screen {name} is not about a row", f"--row is for {', '.join(OF_ROWS)}")
    if words.at and name not in TIMED:
        raise UsageError(f"the screen {name} does not show the past", f"--at is for {', '.join(TIMED)}")
    number = 0
    with place.session(read_only=True) as session:
        session.welcome()
        if name in OF_RUNS:
            number = run_number(session, words.run or "latest")
        elif words.run:
            raise UsageError(f"the screen {name} does not belong to a run", "leave the run out")
    from orchctl.console.app import snapshot

    shown = snapshot(
        place.home.root, (name, number, words.row, words.at), size, words.format, ascii_only=words.ascii
    )  # fmt: skip
    for line in shown.rstrip("\n").split("\n"):
        place.out.line(line)
    return SUCCEEDED


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    width, height = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (_SIDE_MIN <= width <= _SIDE_MAX and _SIDE_MIN <= height <= _SIDE_MAX):
        raise UsageError(f"a size is written 80x24, with {_SIDE_MIN} to {_SIDE_MAX} characters a side, not {text!r}")
    return width, height


COMMANDS = {
    "console": Command(
        console,
        _arguments,
        (
            "orchctl console",
            "orchctl console latest",
            "orchctl console --read-only",
            "orchctl console --snapshot gantt --size 120x40 --format svg",
            "orchctl console r12 --snapshot use --row 'clean[3]'",
            "orchctl console r12 --snapshot graph --at 10m",
        ),
        "Without a verb, `orchctl` opens it too. A snapshot needs no terminal. Its screens: overview, workflows, "
        "schedules, audit, resources (holders, queue, owners), help; of RUN, or the newest: graph, outline, tasks, "
        "gantt, grid, events, results, explain, definition; of a row, or the one that needs a look first: task, log, "
        "use. --at takes an instant, a time (14:05), how long ago (10m) or a revision. [console] in config.toml sets "
        "theme, ascii, mouse, read_only, frames and, under [console.keys], the keys.",
    )
}
