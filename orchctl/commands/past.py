"""`show --at`: a run as it was at a past moment."""

import time

from engine.model.errors import ValueFault
from engine.model.instants import from_text, parse_duration, to_text
from engine.protocol.messages import GetMoment, ListMoments, ListPast
from engine.protocol.rows import ChangeRow, GroupRow, MomentRow
from orchctl.client.session import Session, typed
from orchctl.commands.kit import SUCCEEDED, UsageError
from orchctl.commands.listing import list_rows
from orchctl.commands.output import Output
from orchctl.commands.runs import GROUPS
from orchctl.text import count_text, counts_text, inert, instant_text

_REVISION_DIGITS = 15


def show_past(session: Session, run: int, text: str, out: Output) -> int:
    """Print what the run was at the moment that the text names."""
    question = _question(run, text)
    moment, as_sent = session.one(question, MomentRow)
    if not moment.reached:
        out.wait("reading the journal ...")
    while not moment.reached:
        moment, as_sent = session.one(question, MomentRow)
    if out.json:
        out.row(as_sent)
        return SUCCEEDED
    out.lines(_lines(moment, _neighbours(session, run, moment.revision), out))
    if moment.at is None:
        return SUCCEEDED
    reply = session.rows(ListPast(run=run, revision=moment.revision))
    out.line()
    list_rows(out, reply.rows, GroupRow, GROUPS)
    if reply.total > len(reply.rows):
        out.line(f"and {count_text(reply.total - len(reply.rows), 'task')} more")
    return SUCCEEDED


def _question(run: int, text: str) -> GetMoment:
    """A revision, an instant, or a duration: so long ago. Raises UsageError."""
    if text.isascii() and text.isdecimal() and len(text) <= _REVISION_DIGITS and int(text):
        return GetMoment(run=run, revision=int(text))
    try:
        if text[:1].isdecimal() and text[-1:].isalpha() and text[-1:] != "Z":
            return GetMoment(run=run, at=to_text(time.time_ns() - parse_duration(text)))
        return GetMoment(run=run, at=to_text(from_text(text)))
    except ValueFault as fault:
        hint = "write an instant (2026-11-23T02:15:00Z), how long ago (10m), or a revision as `orchctl events` shows it"
        raise UsageError(fault.sentence, hint) from None


def _neighbours(session: Session, run: int, revision: int) -> tuple[ChangeRow | None, ChangeRow | None]:
    """The changes before and after a revision."""
    before = typed(session.rows(ListMoments(run=run, before=revision, limit=1)).rows, ChangeRow) if revision else []
    after = typed(session.rows(ListMoments(run=run, after=revision, limit=1)).rows, ChangeRow)
    return (before[0] if before else None), (after[0] if after else None)


def _lines(moment: MomentRow, neighbours: tuple[ChangeRow | None, ChangeRow | None], out: Output) -> list[str]:
    name = out.paint(f"{inert(moment.run)} {inert(moment.workflow)}", "bold")
    if moment.at is None:
        lines = [f"{name} was not there yet"]
    else:
        lines = [
            f"{name} {out.paint(inert(moment.status), moment.status)}",
            f"  {'since':<10} {instant_text(moment.at)} (--at {moment.revision})",
            f"  {'tasks':<10} {counts_text(moment.tasks)}",
        ]
    for title, change in zip(("before", "after"), neighbours, strict=True):
        if change is not None:
            lines.append(f"  {title:<10} {instant_text(change.at)} (--at {change.revision})")
    return lines
