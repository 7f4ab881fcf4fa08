"""Dates and durations as the functions of expressions see them: texts in, texts or numbers out, no clock, no zone."""

from datetime import date, datetime, timedelta
from typing import Any

from engine.expressions.faults import ExpressionFault
from engine.expressions.values import kind_of
from engine.model.errors import ValueFault
from engine.model.instants import SECOND, parse_duration

_FORMAT_CHARS_MAX = 200
_TEXT_CHARS_MAX = 40
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def parse_moment(value: Any) -> date | datetime:
    """A date from `2026-01-31`, a datetime from `2026-01-31T02:00` with or without an offset."""
    if not isinstance(value, str):
        raise ExpressionFault(f"a date is a text such as '2026-01-31', not {kind_of(value)}")
    if len(value) <= _TEXT_CHARS_MAX:
        try:
            return date.fromisoformat(value) if len(value) == len("2026-01-31") else datetime.fromisoformat(value)
        except ValueError:
            pass
    raise ExpressionFault(f"{value[:_TEXT_CHARS_MAX]!r} is no date such as 2026-01-31")


def moment_text(moment: date | datetime) -> str:
    """The text that `parse_moment` reads; UTC is written Z."""
    text = moment.isoformat()
    return text[:-6] + "Z" if text.endswith("+00:00") else text


def date_add(day: Any, days: Any) -> str:
    """The date or datetime so many days later; a negative number goes back."""
    if not isinstance(days, int) or isinstance(days, bool):
        raise ExpressionFault(f"a number of days is a whole number, not {kind_of(days)}")
    return moment_text(_shift(parse_moment(day), days=days))


def datetime_add(moment: Any, duration: Any) -> str:
    """The datetime later by a duration such as '1h30m', or by a number of seconds (which may be negative)."""
    start = parse_moment(moment)
    if not isinstance(start, datetime):
        start = datetime(start.year, start.month, start.day)  # noqa: DTZ001 - dates here carry no zone
    return moment_text(_shift(start, seconds=duration_seconds(duration)))


def _shift(moment: date | datetime, days: float = 0, seconds: float = 0) -> date | datetime:
    try:
        return moment + timedelta(days=days, seconds=seconds)
    except OverflowError:
        raise ExpressionFault("a date is between the years 1 and 9999") from None


def date_diff(later: Any, earlier: Any) -> int:
    """Whole days from `earlier` to `later`; the times of day are not looked at."""
    return _day(parse_moment(later)).toordinal() - _day(parse_moment(earlier)).toordinal()


def weekday(day: Any) -> int:
    """1 for Monday to 7 for Sunday."""
    return parse_moment(day).isoweekday()


def _day(moment: date | datetime) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


def duration_seconds(value: Any) -> int | float:
    """Seconds of '1h30m'; a number is seconds already."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise ExpressionFault(f"a duration is a text such as '30s', not {kind_of(value)}")
    try:
        length_ns = parse_duration(value[:_TEXT_CHARS_MAX])
    except ValueFault as fault:
        raise ExpressionFault(fault.sentence) from None
    whole, rest = divmod(length_ns, SECOND)
    return length_ns / SECOND if rest else whole


def date_format(day: Any, pattern: Any) -> str:
    """The date written by a pattern of %Y %y %m %d %j %H %M %S %u %V %G %a %A %b %B %F %T %%, always in English."""
    moment = parse_moment(day)
    if not isinstance(pattern, str) or len(pattern) > _FORMAT_CHARS_MAX:
        raise ExpressionFault(f"a date's pattern is a text of at most {_FORMAT_CHARS_MAX} characters such as '%Y%m%d'")
    parts = pattern.split("%")
    written, index = [parts[0]], 1
    while index < len(parts):
        if parts[index] == "" and index + 1 < len(parts):
            written.append("%" + parts[index + 1])
            index += 2
            continue
        written.append(_directive(moment, parts[index][:1]) + parts[index][1:])
        index += 1
    return "".join(written)


def _directive(moment: date | datetime, letter: str) -> str:
    at = moment if isinstance(moment, datetime) else datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001
    year, week, day = at.isocalendar()
    table = {
        "Y": f"{at.year:04}", "y": f"{at.year % 100:02}", "m": f"{at.month:02}", "d": f"{at.day:02}",
        "H": f"{at.hour:02}", "M": f"{at.minute:02}", "S": f"{at.second:02}",
        "j": f"{at.timetuple().tm_yday:03}",
        "u": str(day), "V": f"{week:02}", "G": f"{year:04}",
        "A": _WEEKDAYS[day - 1], "a": _WEEKDAYS[day - 1][:3],
        "B": _MONTHS[at.month - 1], "b": _MONTHS[at.month - 1][:3],
        "F": f"{at.year:04}-{at.month:02}-{at.day:02}", "T": f"{at.hour:02}:{at.minute:02}:{at.second:02}",
    }  # fmt: skip
    if letter not in table:
        raise ExpressionFault(f"a date's pattern has no %{letter}", hint="known: " + " ".join(f"%{k}" for k in table))
    return table[letter]
