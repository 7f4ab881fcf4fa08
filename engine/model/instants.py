"""Instants and durations as integers of nanoseconds, and the text people write for them.

An *instant* counts nanoseconds since 1970-01-01 UTC; a *duration* counts nanoseconds. Nothing here reads a clock:
the daemon does, and hands the instant down as an argument.
"""

import re
from datetime import UTC, datetime, timedelta

from engine.model.errors import ValueFault

MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
ANY_NS = 2**62
"""A duration that is longer than any."""

_UNITS = {"us": MICROSECOND, "ms": MILLISECOND, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_NUMBER = r"\d{1,18}(?:\.\d{1,18})?"  # longer ones are no duration that anybody means, or no number at all
_PART = re.compile(rf"({_NUMBER})(us|ms|s|m|h|d|w)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION_MAX = 100 * 365 * DAY


def to_text(instant_ns: int) -> str:
    """RFC 3339 in UTC with microseconds, the one form in which instants leave the program."""
    seconds, rest = divmod(instant_ns, SECOND)
    moment = _EPOCH + timedelta(seconds=seconds, microseconds=rest // 1_000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def optional_text(instant_ns: int) -> str | None:
    """As `to_text`, with None for 0: the instant that has not happened yet."""
    return to_text(instant_ns) if instant_ns else None


def from_text(text: str) -> int:
    """The instant that an RFC 3339 text names. Raises ValueFault when it names none, or has no offset."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueFault(f"{text!r} is not an RFC 3339 instant such as 2026-11-23T02:15:00Z") from error
    if moment.tzinfo is None:
        raise ValueFault(f"{text!r} has no offset: end it with Z or +01:00")
    return from_datetime(moment)


def from_datetime(moment: datetime) -> int:
    """Nanoseconds since the epoch of an aware datetime; exact to the microsecond."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds * 1_000


def parse_duration(text: str | int | float) -> int:
    """A duration in ns from `30s`, `1h30m`, `250ms`, or a bare number of seconds. Raises ValueFault."""
    if isinstance(text, bool):
        raise ValueFault("a duration is written like 30s, 5m or 1h30m")
    if isinstance(text, int | float):
        value = round(text * SECOND) if text == text and abs(text) < 1e10 else -1
    else:
        value = _sum_parts(text.strip().lower())
    if not 0 <= value <= _DURATION_MAX:
        raise ValueFault(f"{text!r} is not a duration between 0 and 100 years; write it like 30s, 5m or 1h30m")
    return value


def _sum_parts(text: str) -> int:
    if re.fullmatch(_NUMBER, text):
        return round(float(text) * SECOND)
    if not re.fullmatch(rf"(?:{_PART.pattern})+", text):
        return -1
    return sum(round(float(number) * _UNITS[unit]) for number, unit in _PART.findall(text))


def duration_text(duration_ns: int) -> str:
    """A duration for people, with the two largest units: `2h14m`, `3.2s`, `41ms`."""
    if duration_ns < 0:
        return "-" + duration_text(-duration_ns)
    if duration_ns < SECOND:
        return f"{duration_ns // MILLISECOND}ms"
    if duration_ns < MINUTE:
        return f"{duration_ns / SECOND:.1f}s"
    total = duration_ns // SECOND
    for big, small, big_name, small_name in (
        (86_400, 3_600, "d", "h"),
        (3_600, 60, "h", "m"),
        (60, 1, "m", "s"),
    ):
        if total >= big:
            return f"{total // big}{big_name}{total % big // small:02d}{small_name}"
    return f"{total}s"
