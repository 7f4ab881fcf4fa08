"""Moments of a run as people write them: an instant, a time of the day, how long ago, or a revision."""

import re
from datetime import datetime, timedelta

from engine.model.errors import ValueFault
from engine.model.instants import SECOND, from_text, parse_duration, to_text
from engine.protocol.messages import GetMoment

_REVISION_DIGITS = 15
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
FORMS = "an instant (2026-11-23T02:15:00Z), a time (14:05), how long ago (10m), or a revision (see `orchctl events`)"


def moment_named(run: int, text: str, now_ns: int) -> GetMoment:
    """The question for the moment that a text names. Raises ValueFault."""
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) <= _REVISION_DIGITS and int(text):
        return GetMoment(run=run, revision=int(text))
    try:
        return GetMoment(run=run, at=to_text(_instant(text, now_ns)))
    except ValueFault as fault:
        raise ValueFault(fault.sentence, f"write {FORMS}") from None


def _instant(text: str, now_ns: int) -> int:
    clock = _CLOCK.fullmatch(text)
    if clock:
        return _last_time(int(clock[1]), int(clock[2]), int(clock[3] or 0), now_ns, text)
    if text[:1].isdecimal() and text[-1:].isalpha() and text[-1:] != "Z":
        return now_ns - parse_duration(text)
    return from_text(text)


def _last_time(hour: int, minute: int, second: int, now_ns: int, text: str) -> int:
    """The last instant at which the clock here showed that time of the day."""
    now = datetime.fromtimestamp(now_ns / SECOND).astimezone()
    try:
        then = now.replace(hour=hour, minute=minute, second=second, microsecond=0)
    except ValueError:
        raise ValueFault(f"{text!r} is no time of the day") from None
    if then > now:
        then -= timedelta(days=1)
    return int(then.timestamp()) * SECOND
