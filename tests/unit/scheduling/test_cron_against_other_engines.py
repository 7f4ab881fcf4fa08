"""Our answers beside those of croniter 7.0.0 and cronsim 2.8, for every expression of both projects' test
suites.

Where the two agree, so do we. Where they differ, a row of `RULES` says, in a sentence, whose reading is
ours and why; the first row that applies is the one that counts, and every row has to apply to something.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from engine.model.instants import SECOND, from_datetime
from engine.model.workflow import Schedule
from engine.scheduling.cron import next_after, validate

CASES = Path(__file__).parents[4] / "shared" / "inputs" / "cron" / "cron_cases.jsonl"
REFUSED = "refused"

pytestmark = pytest.mark.skipif(not CASES.is_file(), reason="the shared inputs are not on this machine")


Applies = Callable[[list[str], dict[str, Any]], bool]


class Rule(NamedTuple):
    sentence: str
    applies: Applies
    ours: str


def fields_match(pattern: str, *indexes: int) -> Applies:
    """Whether a list entry of one of the fields (all, where none is named) matches the pattern."""

    def applies(fields: list[str], row: dict[str, Any]) -> bool:
        chosen = [fields[index] for index in indexes or range(len(fields)) if index < len(fields)]
        return any(re.fullmatch(pattern, token, re.I) for field in chosen for token in field.split(","))

    return applies


def any_of(*tests: Applies) -> Applies:
    return lambda fields, row: any(test(fields, row) for test in tests)


def both_days(fields: list[str], row: dict[str, Any]) -> bool:
    return len(fields) == 5 and fields[2] not in "*?" and fields[4] not in "*?"


def in_a_fold(fields: list[str], row: dict[str, Any]) -> bool:
    times = [text[:16] for text in row["croniter"]]
    return len(set(times)) < len(times)


def mixed_weekdays(fields: list[str], row: dict[str, Any]) -> bool:
    special = (
        ["#" in token or token.lower().startswith("l") for token in fields[4].split(",")] if len(fields) > 4 else []
    )
    return any(special) and not all(special)


# The wrapping ranges of the corpus.
WRAPS = "apr-feb|nov-mar|fri-sun|sat-sun|mon-sun|tue-sun|wed-sun|thu-sun|6-0|5-1"

RULES = [
    Rule(
        "A year field is not supported: a schedule that shall end is paused or removed.",
        lambda fields, row: len(fields) == 7,
        REFUSED,
    ),
    Rule(
        "A time drawn by chance would be another one after each restart.",
        fields_match(r"r(/.*|\(.*)?"),
        REFUSED,
    ),
    Rule(
        "Fields are separated by ASCII blanks only.",
        lambda fields, row: not row["expr"].isascii(),
        REFUSED,
    ),
    Rule(
        "Plain weekdays and those with # or L do not mix: the engines read them in two ways.",
        mixed_weekdays,
        REFUSED,
    ),
    Rule(
        "Seconds, where there are six fields, come last, as in croniter.",
        lambda fields, row: len(fields) == 6,
        "croniter",
    ),
    Rule(
        "The last weekday of its kind in a month is written L5, and there is no LW or L/2.",
        fields_match(r"\dL|LW(/\d)?|L/\d", 2, 4),
        REFUSED,
    ),
    Rule("A step from 7 is refused: Sunday is both ends of the week.", fields_match(r"7/\d", 4), REFUSED),
    Rule(
        "A range that wraps takes no step, for no two engines count on alike.",
        fields_match(r"(thu-tue|apr-mar)/\d"),
        REFUSED,
    ),
    Rule("A range may wrap through the end of its field.", fields_match(WRAPS), "croniter"),
    Rule("A range of one value means that value.", fields_match(r"(\w+)-\1(/\d+)?"), "cronsim"),
    Rule("A day that never comes is a fault.", lambda fields, row: row["cronsim"] == [], REFUSED),
    Rule(
        "Day of month and #-weekday, as any weekday: both if a field begins with *, else either (Debian).",
        lambda fields, row: both_days(fields, row) and row["cronsim"] == REFUSED and "#" in fields[4],
        "own",
    ),
    Rule(
        "W, ?, L as end of a range, and L before a weekday are croniter's forms, and ours.",
        any_of(fields_match(r"\d+W|W\d+|.*-L(/\d+)?", 2), fields_match(r"L\d|\?", 2, 4)),
        "croniter",
    ),
    Rule(
        "Day of month and weekday: both if one field begins with *, else either (Debian).",
        both_days,
        "cronsim",
    ),
    Rule(
        "The names @daily and so on are croniter's, and ours.",
        lambda fields, row: fields[0].startswith("@"),
        "croniter",
    ),
    Rule(
        "A named time of day is due once in a fold, by default in the first pass (Debian).",
        in_a_fold,
        "cronsim",
    ),
]


def read_rows() -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        for engine, key in (("croniter", "croniter_7.0.0"), ("cronsim", "cronsim_2.8")):
            row[engine] = REFUSED if isinstance(row[key], str) else [text for text in row[key] if text]
    return rows


def next_five(row: dict[str, Any]) -> list[str] | str:
    zone = ZoneInfo(row["tz"])
    schedule = Schedule(cron=row["expr"], timezone=row["tz"])
    if validate(schedule):
        return REFUSED
    instant: int | None = from_datetime(datetime.fromisoformat(row["start"]).replace(tzinfo=zone))
    found: list[str] = []
    while len(found) < 5 and instant is not None:
        instant = next_after(schedule, instant)
        if instant is not None:
            found.append(datetime.fromtimestamp(instant // SECOND, zone).isoformat())
    return found


def test_where_both_engines_agree_so_do_we() -> None:
    agreed = [row for row in read_rows() if row["croniter"] == row["cronsim"]]
    assert len(agreed) > 800
    exceptions = [row["expr"] for row in agreed if next_five(row) != row["croniter"]]
    # Both refuse these two for how they join the days; ours follow the written rule for day and weekday.
    assert set(exceptions) == {"0 0 31w 2 0", "30 23 8-9 JAN MON-FRI#1"}


def test_each_difference_between_the_engines_falls_under_a_written_rule() -> None:
    used = dict.fromkeys(range(len(RULES)), 0)
    for row in read_rows():
        if row["croniter"] == row["cronsim"]:
            continue
        fields = row["expr"].split()
        place = next((place for place, rule in enumerate(RULES) if rule.applies(fields, row)), None)
        assert place is not None, f"no rule for {row}"
        used[place] += 1
        rule, ours = RULES[place], next_five(row)
        if rule.ours == "own":
            assert ours not in (REFUSED, row["croniter"], row["cronsim"]), (rule.sentence, row)
        else:
            assert ours == (REFUSED if rule.ours == REFUSED else row[rule.ours]), (rule.sentence, row, ours)
    assert [RULES[place].sentence for place, count in used.items() if not count] == []
