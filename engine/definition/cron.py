"""Whether a cron expression can be kept, told early and with a hint.

The meaning of an expression belongs to the scheduler, which this room does not know; here stand the same refusals: a
shape of five fields (or six, the seconds last), nothing random, nothing that engines read in two ways, some day on
which it comes. A test holds the two against each other.
"""

import re

_ALIASES = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_CHARS_MAX = 512
_ALLOWED = re.compile(r"[0-9a-z*,/#?() \t\r\n-]+")
_RANDOM = re.compile(r"[hr](?:\(|/|$)")
_RANGE_WITH_STEP = re.compile(r"([0-9a-z]+)-([0-9a-z]+)/\d+")
_SUNDAY_STEP = re.compile(r"(?:7|7-7)/\d+")
_NAMES = {
    name: value
    for names, first in (("jan feb mar apr may jun jul aug sep oct nov dec", 1), ("sun mon tue wed thu fri sat", 0))
    for value, name in enumerate(names.split(), first)
}
_SHAPE = "five fields: minute hour day-of-month month day-of-week"
_DAY, _WEEKDAY = 2, 4


def cron_fault(text: str) -> tuple[str, str]:
    """What is wrong with the expression, and a hint; two empty texts when nothing is."""
    plain = text.strip().lower()
    if plain in _ALIASES:
        return "", ""
    if plain.startswith("@"):
        return f"{plain[:40]!r} is not a cron alias", f"known: {', '.join(_ALIASES)}"
    if len(plain) > _CHARS_MAX or _ALLOWED.fullmatch(plain) is None:
        return "this is not a cron expression", _SHAPE
    fields = plain.split()
    if len(fields) not in (5, 6):
        return f"a cron expression has five fields, this has {len(fields)}", _SHAPE
    for index, field in enumerate(fields):
        for token in field.split(","):
            fault = _token_fault(index, token, field)
            if fault:
                return fault, "write the values as a list, or two schedules"
    return _croniter_fault(fields)


def _token_fault(index: int, token: str, field: str) -> str:
    if _RANDOM.match(token):
        return f"`{token}` is drawn by chance: a schedule is the same wherever it is read"
    if index == _WEEKDAY:
        if _SUNDAY_STEP.fullmatch(token):
            return f"`{token}`: Sunday is both ends of a week"
        special = "#" in token or re.fullmatch(r"l\d", token) is not None
        if special and not all("#" in other or re.fullmatch(r"l\d", other) for other in field.split(",")):
            return f"`{token}` does not mix with plain weekdays"
    match = _RANGE_WITH_STEP.fullmatch(token)
    if match:
        low, high = _number(match[1]), _number(match[2])
        sunday = index == _WEEKDAY and high in (0, 7)
        if low is not None and high is not None and low > high and not sunday:
            return f"`{token}` runs over the end of its field with a step: that is read in two ways"
    return ""


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 5 else _NAMES.get(text)


def _croniter_fault(fields: list[str]) -> tuple[str, str]:
    # Its import costs some 40 ms, which only definitions with a cron schedule should pay.
    from croniter import croniter

    try:
        dates = croniter(" ".join(fields), 0.0)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        return f"this is not a cron expression: {str(error)[:120]}", _SHAPE
    if fields[_WEEKDAY] in ("*", "?"):
        # With weekdays in play there is always some day, unless croniter's own "or" says otherwise than ours.
        try:
            dates.get_next()
        except (ValueError, OverflowError):
            return "this time never comes: no month has such a day", ""
    return "", ""
