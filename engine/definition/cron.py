"""Whether a cron expression can be kept: five fields that can be met at some time, nothing random."""

import re
from datetime import datetime

_ALIASES = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_CHARS_MAX = 200
_ALLOWED = re.compile(r"[0-9A-Za-z*,/#? \t-]+")
_RANDOM = re.compile(r"(?:^|[\s,])[RH](?:[\s,(/]|$)", re.IGNORECASE)
_SHAPE = "five fields: minute hour day-of-month month day-of-week"


def cron_fault(text: str) -> tuple[str, str]:
    """What is wrong with the expression, and a hint; two empty texts when nothing is."""
    if text in _ALIASES:
        return "", ""
    if text.startswith("@"):
        return f"{text[:40]!r} is not a cron alias", f"known: {', '.join(_ALIASES)}"
    if len(text) > _CHARS_MAX or _ALLOWED.fullmatch(text) is None:
        return "this is not a cron expression", _SHAPE
    fields = text.split()
    if len(fields) != 5:
        return f"a cron expression has five fields, this has {len(fields)}", _SHAPE
    if _RANDOM.search(text):
        return "R and H fields are not supported: a schedule is the same wherever it is read", "write the number"
    # Its import costs some 40 ms, which only definitions with a cron schedule should pay.
    from croniter import CroniterError, croniter

    try:
        # Eight years hold every date, also 29 February and any weekday.
        croniter(text, datetime(2024, 1, 1)).get_next()  # noqa: DTZ001 - schedules are expanded in naive local time
    except (CroniterError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        never = "failed to find next date" in str(error)
        return (
            ("this time never comes", "") if never else (f"this is not a cron expression: {str(error)[:120]}", _SHAPE)
        )
    return "", ""
