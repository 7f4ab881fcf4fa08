"""Clock changes, beside a walker that visits every minute of real time and reads the wall clock there.

The walker shares nothing with the code under test but the zone data: it sees a fold as a wall clock that
repeats, and a gap as one that jumps.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from random import Random
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from engine.model.instants import MINUTE, SECOND, from_datetime
from engine.model.workflow import Schedule
from engine.scheduling.cron import due_between, next_after

Gap = Literal["skip", "run_after"]
Fold = Literal["first", "last", "both"]
ONE_MINUTE = timedelta(minutes=1)

CHANGES = [
    ("Europe/Berlin", "2026-03-28", "gap at 02:00"),
    ("Europe/Berlin", "2026-10-24", "fold at 03:00"),
    ("America/New_York", "2026-03-07", "gap at 02:00"),
    ("America/New_York", "2026-10-31", "fold at 02:00"),
    ("Australia/Lord_Howe", "2026-10-03", "gap of 30 minutes"),
    ("Australia/Lord_Howe", "2026-04-04", "fold of 30 minutes"),
    ("Africa/Casablanca", "2026-02-14", "fold as Ramadan begins"),
    ("Africa/Casablanca", "2026-03-21", "gap as Ramadan ends"),
    ("Europe/Dublin", "2026-10-24", "winter time is the exception"),
    ("Antarctica/Troll", "2026-03-28", "gap of two hours"),
    ("America/Santiago", "2026-09-05", "gap at midnight"),
    ("Pacific/Apia", "2011-12-29", "a whole day left out"),
    ("America/Caracas", "2007-12-08", "fold of 30 minutes without summer time"),
    ("Asia/Kathmandu", "2026-03-28", "no change at all"),
]


class Minute(NamedTuple):
    instant_ns: int
    wall: datetime
    second_pass: bool
    repeated: bool
    missing: list[datetime]


def walk(zone_name: str, first_day: str) -> list[Minute]:
    """Three days of real time, minute by minute."""
    zone = ZoneInfo(zone_name)
    start = datetime.fromisoformat(first_day).replace(tzinfo=UTC)
    moments = [(start + step * ONE_MINUTE).astimezone(zone) for step in range(-1, 3 * 1440)]
    walls = [moment.replace(tzinfo=None, fold=0) for moment in moments]
    times_seen = Counter(walls)
    minutes: list[Minute] = []
    for (before, after), moment in zip(pairwise(walls), moments[1:], strict=True):
        missing = [before + step * ONE_MINUTE for step in range(1, (after - before) // ONE_MINUTE)]
        minutes.append(Minute(from_datetime(moment), after, bool(moment.fold), times_seen[after] > 1, missing))
    return minutes


def due_by_walking(minutes: list[Minute], times: set[tuple[int, int]], gap: Gap, fold: Fold) -> Iterator[int]:
    """The due instants of named times of day (hour, minute)."""
    for minute in minutes:
        owed = gap == "run_after" and any((wall.hour, wall.minute) in times for wall in minute.missing)
        counts = not minute.repeated or fold == "both" or minute.second_pass == (fold == "last")
        if owed or (counts and (minute.wall.hour, minute.wall.minute) in times):
            yield minute.instant_ns


def due_by_us(schedule: Schedule, minutes: list[Minute]) -> list[int]:
    found: list[int] = []
    instant = next_after(schedule, minutes[0].instant_ns - 1)
    while instant is not None and instant <= minutes[-1].instant_ns:
        found.append(instant)
        instant = next_after(schedule, instant)
    return found


@pytest.mark.parametrize(("zone_name", "first_day", "what"), CHANGES)
def test_named_times_obey_gap_and_fold_as_a_minute_walker_sees_them(zone_name: str, first_day: str, what: str) -> None:
    minutes = walk(zone_name, first_day)
    draw = Random(first_day)
    for _ in range(6):
        chosen_minutes = sorted([*draw.sample(range(60), draw.randint(1, 4)), draw.choice([0, 30])])
        chosen_hours = sorted({*draw.sample(range(24), draw.randint(1, 6)), draw.randint(0, 3)})
        times = set(product(chosen_hours, chosen_minutes))
        cron = f"{','.join(map(str, chosen_minutes))} {','.join(map(str, chosen_hours))} * * *"
        for gap, fold in product(("skip", "run_after"), ("first", "last", "both")):
            schedule = Schedule(cron=cron, timezone=zone_name, gap=gap, fold=fold)
            expected = list(due_by_walking(minutes, times, gap, fold))
            assert due_by_us(schedule, minutes) == expected, (cron, gap, fold)
            backward, cut = due_between(schedule, minutes[0].instant_ns - 1, minutes[-1].instant_ns, len(expected))
            assert (backward, cut) == (expected, False), (cron, gap, fold)


@pytest.mark.parametrize(("zone_name", "first_day", "what"), CHANGES)
@pytest.mark.parametrize("cron", ["*/5 * * * *", "0 */2 * * *", "*/7 2 * * *", "17 0-23 * * *", "0-59 1,2 * * *"])
def test_wildcards_follow_real_time_as_a_minute_walker_sees_it(
    zone_name: str, first_day: str, what: str, cron: str
) -> None:
    minutes = walk(zone_name, first_day)
    matches = {
        "*/5 * * * *": lambda wall: wall.minute % 5 == 0,
        "0 */2 * * *": lambda wall: wall.minute == 0 and wall.hour % 2 == 0,
        "*/7 2 * * *": lambda wall: wall.hour == 2 and wall.minute % 7 == 0,
        "17 0-23 * * *": lambda wall: wall.minute == 17,
        "0-59 1,2 * * *": lambda wall: wall.hour in {1, 2},
    }[cron]
    expected = [minute.instant_ns for minute in minutes if matches(minute.wall)]
    for gap, fold in product(("skip", "run_after"), ("first", "last", "both")):
        schedule = Schedule(cron=cron, timezone=zone_name, gap=gap, fold=fold)
        assert due_by_us(schedule, minutes) == expected, (gap, fold)


@pytest.mark.parametrize(("zone_name", "first_day", "what"), CHANGES[:4])
def test_every_five_minutes_stays_every_five_minutes(zone_name: str, first_day: str, what: str) -> None:
    minutes = walk(zone_name, first_day)
    found = due_by_us(Schedule(cron="*/5 * * * *", timezone=zone_name), minutes)
    assert {after - before for before, after in pairwise(found)} == {5 * MINUTE}


def at(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text))


def test_half_past_two_in_berlin_runs_once_on_both_days_of_change() -> None:
    schedule = Schedule(cron="30 2 * * *", timezone="Europe/Berlin")
    spring, _ = due_between(schedule, at("2026-03-28T12:00+01:00"), at("2026-03-29T12:00+02:00"), 9)
    assert spring == [at("2026-03-29T03:00+02:00")]
    autumn, _ = due_between(schedule, at("2026-10-24T12:00+02:00"), at("2026-10-25T12:00+01:00"), 9)
    assert autumn == [at("2026-10-25T02:30+02:00")]


def test_several_times_within_one_gap_and_one_at_its_end_are_due_once() -> None:
    schedule = Schedule(cron="0,15,30 2,3 * * *", timezone="Europe/Berlin", gap="run_after")
    found, _ = due_between(schedule, at("2026-03-29T00:00+01:00"), at("2026-03-29T12:00+02:00"), 9)
    assert found == [at(f"2026-03-29T{time}+02:00") for time in ("03:00", "03:15", "03:30")]


def test_seconds_that_a_gap_leaves_out_are_due_once_too() -> None:
    schedule = Schedule(cron="30 2 * * * */10", timezone="Europe/Berlin")
    found, _ = due_between(schedule, at("2026-03-29T00:00+01:00"), at("2026-03-29T12:00+02:00"), 9)
    assert found == [at("2026-03-29T03:00+02:00")]
    found, _ = due_between(schedule, at("2026-10-25T00:00+02:00"), at("2026-10-25T12:00+01:00"), 99)
    assert found == [at("2026-10-25T02:30+02:00") + 10 * step * SECOND for step in range(6)]


def test_offsets_of_odd_seconds_are_kept() -> None:
    """Monrovia was 44 minutes 30 seconds behind until 1972-01-07, then went to UTC: a gap."""
    schedule = Schedule(cron="20 0 * * *", timezone="Africa/Monrovia")
    found, _ = due_between(schedule, at("1972-01-05T12:00Z"), at("1972-01-08T12:00Z"), 9)
    assert found == [
        at("1972-01-06T01:04:30+00:00"),
        at("1972-01-07T00:44:30+00:00"),
        at("1972-01-08T00:20+00:00"),
    ]


def test_a_fold_over_the_turn_of_the_year_counts_once() -> None:
    """Palmer's clock went from UTC to three hours behind as 1965 began: the evening of 1964-12-31 came twice."""
    for fold, expected in (("first", "1964-12-31T22:00Z"), ("last", "1965-01-01T01:00Z")):
        schedule = Schedule(cron="0 22 * * *", timezone="Antarctica/Palmer", fold=fold)
        found, _ = due_between(schedule, at("1964-12-31T12:00Z"), at("1965-01-01T12:00Z"), 9)
        assert found == [at(expected)]
