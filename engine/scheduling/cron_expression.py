"""A cron expression as sets of values, and the questions of the naive local calendar: which local time is next?

The parser is croniter's; what its releases have changed, or read otherwise than Debian's cron, is decided
here, before it sees the text:

- Five fields, or six with the seconds **last**. A year field, `R` (drawn anew at every start) and `H` are
  refused.
- An equal range (`5-5`) means its one value, as for Debian's cron; croniter takes it for the whole field.
  Refusing it would reject valid crontabs, so it is accepted and warned about.
- `start/step` (and `5-5/15` likewise) counts from the start to the field's end, which for weekdays is
  Saturday; `7/step` is refused, for Sunday is both ends of a week.
- A range may wrap (`Fri-Sun`, `22-2`), but not with a step: engines disagree on where the count goes on.
- Day of month and weekday: a day must satisfy **both** when one of the fields begins with `*` (or is `?`),
  else **either**; Debian's rule, also for `*/2` and for the forms with `#`, `L` and `W`.
- `#` or `L` weekdays do not mix with plain ones in one field: one engine drops the plain ones, another
  unites them.

A month's matching days depend on nothing but its length and the weekday of its first day: 28 patterns,
computed once an expression. Local times are integers: seconds since 1970-01-01T00:00 of the wall clock,
without any zone.
"""

import re
from bisect import bisect_left, bisect_right
from calendar import monthrange
from datetime import date
from functools import lru_cache
from typing import Any, cast

from engine.model.errors import ValueFault
from engine.scheduling.local_time import YEAR_LAST

DAY_SECONDS = 86_400
LENGTH_MAX = 512
_BLANKS = str.maketrans("\t\r\n", "   ")
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = ("minute", "hour", "day of month", "month", "weekday", "second")
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7), (0, 59))
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY, _SECOND = range(6)

_TOKEN = re.compile(r"[0-9a-z*?#/()-]+")
_RANDOM = re.compile(r"[hr](\(|/|$)")
_RANGE = re.compile(r"([0-9a-z]+)-([0-9a-z]+)(?:/(\d{1,4}))?")
_START_STEP = re.compile(r"([0-9a-z]+)/(\d{1,4})")
_STAR_STEP = re.compile(r"\*/(\d{1,4})")

_Month = tuple[int, int]


class Calendar:
    """One compiled expression. `wildcard`: it follows elapsed time rather than naming times of the day.

    That is so when the minute or the hour field begins with `*` (Debian's rule) or covers its whole range.
    """

    def __init__(self, expression: str) -> None:
        self.text = expression
        self.warnings: list[str] = []
        fields = _split(expression)
        cleaned = [self._clean(index, field) for index, field in enumerate(fields)]
        parsed = _parse(expression, cleaned)
        values = [_integers(index, field) for index, field in enumerate(cast(list[list[Any]], parsed.expanded))]
        self.minutes_of_day = tuple(hour * 60 + minute for hour in values[_HOUR] for minute in values[_MINUTE])
        self.seconds = tuple(values[_SECOND]) if len(values) > _SECOND else (0,)
        self.months = frozenset(values[_MONTH])
        self._days = frozenset(values[_DAY])
        self._last_day = "l" in parsed.expanded[_DAY]
        self._near_weekday = frozenset(cast(set[int], parsed.nearest_weekday))
        self._nth = {day: frozenset(nth) for day, nth in cast(dict[int, set[Any]], parsed.nth_weekday_of_month).items()}
        self._weekdays = frozenset(values[_WEEKDAY])
        self._both_days = fields[_DAY][0] in "*?" or fields[_WEEKDAY][0] in "*?"
        whole = len(values[_MINUTE]) == 60 or len(values[_HOUR]) == 24
        self.wildcard = fields[_MINUTE][0] == "*" or fields[_HOUR][0] == "*" or whole
        self._patterns: dict[_Month, tuple[int, ...]] = {}
        self._warn_of_days(fields)

    def never(self) -> bool:
        """Whether no day of any year matches. Exact: within 400 years every length meets every weekday."""
        lengths = {
            month: (28, 29) if month == 2 else (30,) if month in {4, 6, 9, 11} else (31,) for month in self.months
        }
        shapes = {(first, length) for choices in lengths.values() for length in choices for first in range(7)}
        return not any(self._pattern(shape) for shape in shapes)

    def at_or_after(self, local_s: int, below_s: int) -> int | None:
        """The first matching local time in [local_s, below_s), or None."""
        ordinal, second = divmod(local_s, DAY_SECONDS)
        day = self.day_at_or_after(ordinal)
        if day == ordinal:
            time = self._time_at_or_after(second)
            if time is not None:
                found = ordinal * DAY_SECONDS + time
                return found if found < below_s else None
            day = self.day_at_or_after(ordinal + 1)
        if day is None:
            return None
        found = day * DAY_SECONDS + self.minutes_of_day[0] * 60 + self.seconds[0]
        return found if found < below_s else None

    def at_or_before(self, local_s: int, from_s: int) -> int | None:
        """The last matching local time in [from_s, local_s], or None."""
        ordinal, second = divmod(local_s, DAY_SECONDS)
        day = self.day_at_or_before(ordinal)
        if day == ordinal:
            time = self._time_at_or_before(second)
            if time is not None:
                found = ordinal * DAY_SECONDS + time
                return found if found >= from_s else None
            day = self.day_at_or_before(ordinal - 1)
        if day is None:
            return None
        found = day * DAY_SECONDS + self.minutes_of_day[-1] * 60 + self.seconds[-1]
        return found if found >= from_s else None

    def day_at_or_after(self, ordinal: int) -> int | None:
        """The first matching local date (days since 1970-01-01) from `ordinal` on; None: there is none."""
        if not _in_range(ordinal):
            return None
        start = date.fromordinal(ordinal + _EPOCH_ORDINAL)
        year, month, from_day = start.year, start.month, start.day
        while year <= YEAR_LAST:
            if month in self.months:
                days = self._pattern(monthrange(year, month))
                place = bisect_left(days, from_day)
                if place < len(days):
                    return date(year, month, days[place]).toordinal() - _EPOCH_ORDINAL
            from_day = 1
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
            if year > start.year + 400:
                return None
        return None

    def day_at_or_before(self, ordinal: int) -> int | None:
        """The last matching local date up to `ordinal`; None where there is none."""
        if not _in_range(ordinal):
            return None
        start = date.fromordinal(ordinal + _EPOCH_ORDINAL)
        year, month, to_day = start.year, start.month, start.day
        while year >= max(1, start.year - 400):
            if month in self.months:
                days = self._pattern(monthrange(year, month))
                place = bisect_right(days, to_day)
                if place:
                    return date(year, month, days[place - 1]).toordinal() - _EPOCH_ORDINAL
            to_day = 31
            year, month = (year, month - 1) if month > 1 else (year - 1, 12)
        return None

    def _time_at_or_after(self, second_of_day: int) -> int | None:
        minute, second = divmod(second_of_day, 60)
        place = bisect_left(self.minutes_of_day, minute)
        if place < len(self.minutes_of_day) and self.minutes_of_day[place] == minute:
            inner = bisect_left(self.seconds, second)
            if inner < len(self.seconds):
                return minute * 60 + self.seconds[inner]
            place += 1
        return self.minutes_of_day[place] * 60 + self.seconds[0] if place < len(self.minutes_of_day) else None

    def _time_at_or_before(self, second_of_day: int) -> int | None:
        minute, second = divmod(second_of_day, 60)
        place = bisect_right(self.minutes_of_day, minute) - 1
        if place >= 0 and self.minutes_of_day[place] == minute:
            inner = bisect_right(self.seconds, second)
            if inner:
                return minute * 60 + self.seconds[inner - 1]
            place -= 1
        return self.minutes_of_day[place] * 60 + self.seconds[-1] if place >= 0 else None

    def _pattern(self, shape: _Month) -> tuple[int, ...]:
        """The matching days of a month; `shape`: the weekday of its first day (Monday is 0), its length."""
        found = self._patterns.get(shape)
        if found is None:
            found = tuple(day for day in range(1, shape[1] + 1) if self._day_matches(day, shape))
            self._patterns[shape] = found
        return found

    def _day_matches(self, day: int, shape: _Month) -> bool:
        in_month = self._month_day_matches(day, shape)
        in_week = self._weekday_matches(day, shape)
        return (in_month and in_week) if self._both_days else (in_month or in_week)

    def _month_day_matches(self, day: int, shape: _Month) -> bool:
        if self._near_weekday:
            return any(day == _nearest_working_day(wanted, shape) for wanted in self._near_weekday)
        return day in self._days or (self._last_day and day == shape[1])

    def _weekday_matches(self, day: int, shape: _Month) -> bool:
        first, length = shape
        weekday = (first + day) % 7  # Sunday is 0, and the first day of a month is day 1
        if not self._nth:
            return weekday in self._weekdays
        nth = self._nth.get(weekday, frozenset())
        return (day + 6) // 7 in nth or ("l" in nth and day + 7 > length)

    def _clean(self, index: int, field: str) -> str:
        tokens = field.split(",")
        for token in tokens:
            if _TOKEN.fullmatch(token) is None:
                raise _fault(self.text, f"the {_FIELDS[index]} {token!r} is not understood")
            if _RANDOM.match(token):
                raise _fault(self.text, f"`{token}` draws a time by chance; write the time")
        if index == _WEEKDAY:
            self._refuse_mixed_weekdays(tokens)
        return ",".join(self._clean_token(index, token) for token in tokens)

    def _clean_token(self, index: int, token: str) -> str:
        if match := _RANGE.fullmatch(token):
            return self._clean_range(index, token, match)
        if match := _START_STEP.fullmatch(token):
            self._check_start(index, token, _number(index, match[1]), int(match[2]))
        elif match := _STAR_STEP.fullmatch(token):
            self._warn_of_step(index, token, int(match[1]))
        return token

    def _check_start(self, index: int, token: str, start: int | None, step: int) -> None:
        if index == _WEEKDAY and start == 7:
            raise _fault(self.text, f"`{token}`: Sunday is both ends of a week; write 0/{step}, or a list of weekdays")
        if start is None or not step:
            return
        end = 6 if index == _WEEKDAY else _BOUNDS[index][1]
        listed = _listed(list(range(start, end + 1, step)))
        self.warnings.append(f"`{token}` as {_FIELDS[index]} counts from {start} to the end of the field: {listed}")

    def _clean_range(self, index: int, token: str, match: re.Match[str]) -> str:
        """The token for croniter: an equal range becomes its value, a week that ends on Sunday a list."""
        name = _FIELDS[index]
        low, high = _number(index, match[1]), _number(index, match[2])
        step = int(match[3] or 1)
        if low is None or high is None or not step:
            return token
        if low == high:
            if match[3] is not None:
                self._check_start(index, token, low, step)
                return f"{match[1]}/{step}"
            self.warnings.append(f"`{token}` as {name} is a range of one value: it means {match[1]} alone")
            return match[1]
        if index == _WEEKDAY and high in {0, 7} and low < 7:
            return ",".join(str(value % 7) for value in range(low, 8, step))
        if low > high:
            if match[3] is not None or (index == _WEEKDAY and high == 0):
                raise _fault(self.text, f"`{token}` as {name} can be read in two ways; write the values as a list")
            self.warnings.append(f"`{token}` as {name} goes on through the end of the field to {match[2]}")
        return token

    def _refuse_mixed_weekdays(self, tokens: list[str]) -> None:
        special = [token for token in tokens if "#" in token or re.fullmatch(r"l\d", token)]
        if special and len(special) < len(tokens):
            raise _fault(self.text, f"`{special[0]}` does not mix with plain weekdays; write two schedules")
        for token in special:
            match = _RANGE.match(token)
            if match and _number(_WEEKDAY, match[1]) == _number(_WEEKDAY, match[2]):
                raise _fault(self.text, f"`{token}` is a range of one weekday; write {match[2]}#{token[-1]}")
        for token in tokens:
            if re.fullmatch(r"\w+l", token):
                raise _fault(self.text, f"`{token}`: write L{token[:-1]} for the last such weekday of a month")

    def _warn_of_step(self, index: int, token: str, step: int) -> None:
        low, high = _BOUNDS[index]
        size = 7 if index == _WEEKDAY else high - low + 1
        if step and size % step and index not in {_DAY, _WEEKDAY}:
            self.warnings.append(f"`{token}` as {_FIELDS[index]} begins anew at {low}: the last interval is shorter")
        elif step > 1 and index in {_DAY, _WEEKDAY}:
            period = "month" if index == _DAY else "week"
            self.warnings.append(f"`{token}` as {_FIELDS[index]} begins anew with each {period}")

    def _warn_of_days(self, fields: list[str]) -> None:
        day, weekday = fields[_DAY], fields[_WEEKDAY]
        if day not in {"*", "?"} and weekday not in {"*", "?"}:
            word = "both" if self._both_days else "either one"
            self.warnings.append(
                f"day of month `{day}` and weekday `{weekday}` are both set: a day has to satisfy {word}"
            )
        if weekday in {"*", "?"} and not self._last_day and not self._near_weekday and min(self._days, default=1) > 28:
            self.warnings.append(
                f"months that have no day {min(self._days)} are left out; L is the last day of a month"
            )
        if len(fields) > _SECOND:
            self.warnings.append(f"six fields: the last one, `{fields[_SECOND]}`, is the seconds")


@lru_cache(maxsize=4096)
def compile_expression(expression: str) -> Calendar:
    """The calendar of an expression; the same object for the same text. Raises ValueFault."""
    return Calendar(expression)


def _split(expression: str) -> list[str]:
    plain = expression.translate(_BLANKS)
    if len(plain) > LENGTH_MAX or not plain.isascii() or not plain.isprintable():
        raise ValueFault(f"a cron expression has at most {LENGTH_MAX} printable ASCII characters")
    text = expression.strip().lower()
    if text.startswith("@") and text not in _ALIASES:
        raise _fault(expression, "it is none of " + ", ".join(sorted(_ALIASES)))
    fields = _ALIASES.get(text, text).split()
    if len(fields) == 7:
        raise _fault(expression, "a year field is not supported; use five fields, or six with the seconds last")
    if len(fields) not in {5, 6}:
        raise _fault(expression, f"it has {len(fields)} fields, not five: minute hour day-of-month month weekday")
    return fields


def _parse(expression: str, cleaned: list[str]) -> Any:
    try:
        return _croniter(" ".join(cleaned))
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise _fault(expression, _reason(cleaned)) from error


def _croniter(expression: str) -> Any:
    from croniter import croniter  # slow to load, and needed by nobody who has no schedule

    return croniter(expression, 0.0)


def _reason(cleaned: list[str]) -> str:
    """Which field croniter refuses, found by trying each one alone among stars."""
    for index, field in enumerate(cleaned):
        alone = ["*"] * len(cleaned)
        alone[index] = field
        try:
            _croniter(" ".join(alone))
        except (ValueError, TypeError, KeyError, OverflowError):
            low, high = _BOUNDS[index]
            return f"the {_FIELDS[index]} {field!r} is not understood; its values are {low} to {high}"
    return "its fields do not go together"


def _integers(index: int, expanded: list[Any]) -> list[int]:
    low, high = _BOUNDS[index]
    if "*" in expanded:
        return list(range(low, (6 if index == _WEEKDAY else high) + 1))
    return sorted(value for value in expanded if isinstance(value, int))


def _number(index: int, text: str) -> int | None:
    if text.isdigit():
        return int(text) if len(text) < 5 else None
    if index == _MONTH and text in _MONTHS:
        return _MONTHS.index(text) + 1
    if index == _WEEKDAY and text in _WEEKDAYS:
        return _WEEKDAYS.index(text)
    return None


def _nearest_working_day(wanted: int, shape: _Month) -> int:
    """The working day nearest to a day of the month, without leaving the month."""
    first, length = shape
    day = min(wanted, length)
    weekday = (first + day - 1) % 7  # Monday is 0
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < length else day - 2
    return day


def _listed(values: list[int]) -> str:
    shown = ", ".join(str(value) for value in values[:6])
    return shown + (", ..." if len(values) > 6 else "")


def _in_range(ordinal: int) -> bool:
    return 0 < ordinal + _EPOCH_ORDINAL < date(YEAR_LAST, 1, 1).toordinal()


def _fault(expression: str, message: str) -> ValueFault:
    return ValueFault(f"cron {' '.join(expression.split())!r}: {message}")
