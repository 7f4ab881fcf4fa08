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
    size = _size(words.size)
    from orchctl.console.keymap import PANES

    number = 0
    with place.session(read_only=True) as session:
        session.welcome()
        if words.run or words.snapshot in PANES:
            number = run_number(session, words.run or "latest")
    from orchctl.console.app import snapshot

    shown = snapshot(place.home.root, words.snapshot, number, size, words.format, ascii_only=words.ascii)
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
        ),
        "Without a verb, `orchctl` opens it too. A snapshot needs no terminal; its screens are overview, workflows, "
        "schedules, audit, resources, graph, outline, tasks, gantt, grid, log, events and help. [console] in "
        "config.toml sets theme, ascii, mouse, read_only, frames and, under [console.keys], the keys.",
    )
}
