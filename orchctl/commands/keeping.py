"""backup, restore, gc: keeping the state."""

import os

from engine.model.errors import Unavailable
from engine.protocol.messages import Backup, CollectGarbage, Done
from orchctl.commands.kit import REFUSED, SUCCEEDED, Command, Parser, Place, Words, yes_option
from orchctl.text import count_text, inert, size_text

_LONG_S = 3600.0


def _backup_arguments(parser: Parser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="a folder that does not exist yet")


def backup(words: Words, place: Place) -> int:
    folder = os.path.abspath(words.folder)
    with place.session() as session:
        body = session.ask(Backup(folder=folder), Done, _LONG_S).body
    if place.out.json:
        place.out.row(body)
    else:
        size = size_text(body.get("bytes"))
        place.out.line(f"{inert(body.get('folder', folder))}: {size}, revision {inert(body.get('revision'))}")
    return SUCCEEDED


def _restore_arguments(parser: Parser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="a folder that `orchctl backup` made")
    yes_option(parser)


def restore(words: Words, place: Place) -> int:
    """Make a backup the state. The engine's own program does it, under the lock that keeps engines apart."""
    from orchctl.client.starting import answers, engine_program

    home, out = place.home, place.out
    folder = os.path.abspath(words.folder)
    if answers(home) is not None:
        raise Unavailable(f"an engine runs in {home}", "stop it first: `orchctl engine stop --kill`")
    question = f"replace the state in {home} by {folder}?"
    if home.state.exists() and not out.confirm(question, yes=words.yes):
        return REFUSED
    engine_program(home, "restore", folder)
    if out.json:
        out.row({"folder": folder, "home": home.folder})
    else:
        out.line(f"restored {inert(folder)} into {inert(home)}; `orchctl engine start` serves it")
    return SUCCEEDED


def _gc_arguments(parser: Parser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only count what would be deleted")
    yes_option(parser)


def gc(words: Words, place: Place) -> int:
    out = place.out
    with place.session() as session:
        if not words.dry_run and not words.yes and out.asks:
            body = session.ask(CollectGarbage(dry_run=True), Done, _LONG_S).body
            if not out.confirm(f"delete {_what(body)} with their logs?", yes=False):
                return REFUSED
        body = session.ask(CollectGarbage(dry_run=words.dry_run), Done, _LONG_S).body
    if out.json:
        out.row(body)
    else:
        out.line(f"{'would delete' if words.dry_run else 'deleted'} {_what(body)}")
    return SUCCEEDED


def _what(body: dict[str, int]) -> str:
    runs, records = count_text(body.get("runs", 0), "run"), body.get("records", 0)
    return f"{runs}, {count_text(records, 'record')}" if records else runs


COMMANDS = {
    "backup": Command(
        backup,
        _backup_arguments,
        ("orchctl backup /backups/orchctl-2026-11-23",),
        "The copy is consistent at one revision; the engine goes on meanwhile.",
    ),
    "restore": Command(
        restore,
        _restore_arguments,
        ("orchctl restore /backups/orchctl-2026-11-23", "orchctl restore /backups/orchctl-2026-11-23 --yes"),
        "Refused while an engine runs in the home.",
    ),
    "gc": Command(
        gc,
        _gc_arguments,
        ("orchctl gc --dry-run", "orchctl gc --yes"),
        "The engine does this by itself as config.toml's retention says; this does it now.",
    ),
}
