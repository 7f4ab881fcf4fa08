"""events and audit: what happened, and who asked for it."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from engine.protocol.messages import Done, ListAudit, ListEvents, Rows, VerifyAudit
from engine.protocol.rows import AuditRow, EventRow
from orchctl.client.connection import EngineGone, NoEngine
from orchctl.client.session import AWAY_MAX_S, Session, typed
from orchctl.commands.kit import RUN_FAILED, SUCCEEDED, Command, Parser, Place, Words, run_number, whole
from orchctl.commands.listing import list_rows
from orchctl.commands.output import Output
from orchctl.commands.runs import row_name
from orchctl.text import count_text, inert, instant_text

_POLL_S = 0.5
_PAGE = 500
_VERIFY_S = 3600.0


def _events_arguments(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="?", help="r12, 12, or latest; everything without")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what happens from now on")


def events(words: Words, place: Place) -> int:
    """Print the journal in order. It is read in pages, so it may be of any length."""
    with place.session(read_only=True) as session:
        run = run_number(session, words.run) if words.run else 0
        for row in journal(session, run, follow=words.follow):
            place.out.row(row) if place.out.json else place.out.line(_event_line(row, place.out))
            if words.follow:
                place.out.flush()
    return SUCCEEDED


def journal(session: Session, run: int, *, follow: bool = False) -> Iterator[dict[str, Any]]:
    """The journal's rows, of a run or (0) of everything; with `follow`, also what comes, without an end.

    The last page has no cursor. It is asked for again then, and what a batch added has a higher revision than
    what is known, because a batch comes whole.
    """
    cursor, known = "", -1
    while True:
        reply = _page(session, ListEvents(run=run, cursor=cursor, limit=_PAGE), follow=follow)
        news = [row for row in reply.rows if row["revision"] > known]
        yield from news
        if reply.cursor:
            cursor, known = reply.cursor, -1
            continue
        if not follow:
            return
        known = max([known, *(row["revision"] for row in news)])
        time.sleep(_POLL_S)


def _page(session: Session, request: ListEvents, *, follow: bool) -> Rows:
    while True:
        try:
            return session.rows(request)
        except (EngineGone, NoEngine):
            if not follow:
                raise
            session.reconnect(AWAY_MAX_S)


def _event_line(as_sent: dict[str, Any], out: Output) -> str:
    row = typed([as_sent], EventRow)[0]
    subject = " ".join(
        part
        for part in (
            inert(row.run),
            row_name(row.task, row.index) if row.task else "",
            f"attempt {row.attempt}" if row.attempt is not None else "",
        )
        if part
    )
    details = " ".join(f"{inert(name)}={inert(text)}" for name, value in row.details.items() if (text := _plain(value)))
    time_text = inert(row.at.replace("T", " "))
    text = f"{row.revision:>8}  {time_text}  {out.paint(inert(row.event), 'bold')}  {subject}"
    return f"{text}  {out.paint(details, 'dim')}".rstrip() if details else text.rstrip()


def _plain(value: Any) -> str:
    """A detail in a few words: what is empty says nothing, a map only what it holds."""
    if isinstance(value, dict):
        known = cast("dict[str, Any]", value)
        held = [f"{name}:{inner}" for name, inner in known.items() if inner not in (None, "", 0, [], {})]
        return ",".join(held)
    return "" if value in (None, "", [], {}) else str(value)


def _audit_arguments(parser: Parser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--limit", metavar="N", type=whole(1), default=50, help="at most N entries (default 50)")
    what.add_argument("--verify", action="store_true", help="follow its chain: was a line changed, taken out or added?")


def audit(words: Words, place: Place) -> int:
    if words.verify:
        return _verify_audit(place)
    with place.session(read_only=True) as session:
        maps = session.newest(ListAudit(), words.limit)
    return list_rows(place.out, maps, AuditRow, _AUDIT, right="REVISION")


def _verify_audit(place: Place) -> int:
    with place.session() as session:
        body = session.ask(VerifyAudit(), Done, _VERIFY_S).body
    if place.out.json:
        place.out.row(body)
    elif body.get("intact"):
        place.out.line(f"the audit is intact: {count_text(body.get('entries', 0), 'line')}")
    else:
        place.out.line(f"the audit is broken: {inert(body.get('fault'))}")
    return SUCCEEDED if body.get("intact") else RUN_FAILED


_AUDIT: Mapping[str, Callable[[AuditRow], object]] = {
    "REVISION": lambda row: row.revision,
    "AT": lambda row: instant_text(row.at),
    "WHO": lambda row: f"{row.actor} ({row.uid})",
    "VIA": lambda row: f"{row.via} {row.place}".strip(),
    "VERB": lambda row: row.verb,
    "TARGET": lambda row: row.target,
    "RESULT": lambda row: (row.result, "ok" if row.result == "accepted" else "problem"),
    "NOTE": lambda row: row.note,
}

COMMANDS = {
    "events": Command(
        events,
        _events_arguments,
        ("orchctl events r12", "orchctl events latest --json", "orchctl events -f"),
        'Oldest first. --json: {"revision", "at", "event", "run", "task", "index", "attempt", "details"}.',
    ),
    "audit": Command(
        audit,
        _audit_arguments,
        ("orchctl audit", "orchctl audit --limit 500 --json", "orchctl audit --verify"),
        "Newest first. Each line holds a hash of the one before, so --verify finds one that was changed, taken out or "
        "added behind the oldest that retention left, and ends with 1. It needs the role admin. "
        '--verify --json: {"intact", "entries", "fault"}.',
    ),
}
