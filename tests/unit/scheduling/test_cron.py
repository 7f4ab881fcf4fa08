"""Schedules: what is due, what is refused, and that the cost does not grow with the span."""

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.errors import ValueFault
from engine.model.instants import DAY, HOUR, MINUTE, SECOND, from_datetime, to_text
from engine.model.workflow import Schedule
from engine.scheduling.cron import due_between, last_at_or_before, next_after, validate, warnings
from engine.scheduling.cron_expression import compile_expression

YEAR = 365 * DAY


def at(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text))


def days_of(cron: str, count: int, start: str = "2026-01-01T00:00Z") -> list[str]:
    schedule, instant, found = Schedule(cron=cron), at(start) - 1, list[str]()
    for _ in range(count):
        instant = next_after(schedule, instant)
        assert instant is not None
        found.append(to_text(instant)[:10])
    return found


def test_next_is_strictly_after_also_within_a_second() -> None:
    schedule = Schedule(cron="0 * * * *")
    noon = at("2026-01-01T12:00Z")
    assert next_after(schedule, noon - 1) == noon
    assert next_after(schedule, noon) == noon + HOUR
    assert next_after(schedule, noon + 1) == noon + HOUR
    assert last_at_or_before(schedule, noon) == noon
    assert last_at_or_before(schedule, noon - 1) == noon - HOUR


def test_due_between_takes_the_end_and_not_the_beginning() -> None:
    schedule = Schedule(cron="0 * * * *")
    noon = at("2026-01-01T12:00Z")
    assert due_between(schedule, noon, noon + 2 * HOUR, 10) == ([noon + HOUR, noon + 2 * HOUR], False)
    assert due_between(schedule, noon, noon, 10) == ([], False)
    assert due_between(schedule, noon, noon + HOUR - 1, 10) == ([], False)


def test_due_between_keeps_the_most_recent_and_says_that_it_cut() -> None:
    schedule = Schedule(cron="*/10 * * * *")
    noon = at("2026-01-01T12:00Z")
    assert due_between(schedule, noon, noon + HOUR, 2) == ([noon + 50 * MINUTE, noon + HOUR], True)
    assert due_between(schedule, noon, noon + HOUR, 6)[1] is False
    assert due_between(schedule, noon, noon + HOUR, 0) == ([], True)
    assert due_between(schedule, noon, noon + MINUTE, 0) == ([], False)


@pytest.mark.parametrize("schedule", [Schedule(cron="* * * * * *"), Schedule(interval_ns=SECOND)])
def test_every_second_for_ten_years_costs_what_its_limit_costs(schedule: Schedule) -> None:
    """A walk over the 315 million instants would not end within this test's time."""
    end = at("2026-06-01T00:00Z")
    found, cut = due_between(schedule, end - 10 * YEAR, end, 1_000)
    assert cut
    assert found == [end - step * SECOND for step in range(999, -1, -1)]


def test_an_interval_counts_from_its_anchor_whenever_the_engine_started() -> None:
    schedule = Schedule(interval_ns=7 * MINUTE, anchor_ns=at("2026-01-01T00:03Z"))
    assert next_after(schedule, at("2026-01-01T00:09Z")) == at("2026-01-01T00:10Z")
    assert next_after(schedule, at("2026-01-01T00:10Z")) == at("2026-01-01T00:17Z")
    assert due_between(schedule, at("2026-01-01T00:09Z"), at("2026-01-01T00:17Z"), 5)[0] == [
        at("2026-01-01T00:10Z"),
        at("2026-01-01T00:17Z"),
    ]


def test_an_interval_is_not_due_before_its_anchor() -> None:
    anchor = at("2030-01-01T00:00Z")
    schedule = Schedule(interval_ns=HOUR, anchor_ns=anchor)
    assert next_after(schedule, anchor - YEAR) == anchor
    assert last_at_or_before(schedule, anchor - 1) is None
    assert due_between(schedule, anchor - YEAR, anchor, 5) == ([anchor], False)


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 0 29 2 1", ["2027-02-01", "2027-02-08"]),  # either: Mondays in February, or the 29th
        ("0 0 */1 2 1", ["2026-02-02", "2026-02-09"]),
        ("0 0 L * *", ["2026-01-31", "2026-02-28"]),
        ("0 0 L 2 *", ["2026-02-28", "2027-02-28", "2028-02-29"]),
        ("0 0 15W * *", ["2026-01-15", "2026-02-16"]),  # the 15th is a Sunday in February
        ("0 0 1W 8 *", ["2026-08-03"]),  # the 1st is a Saturday, and the month is not left
        ("0 0 * * L5", ["2026-01-30", "2026-02-27"]),
        ("0 0 * * 1#5", ["2026-03-30", "2026-06-29"]),
        ("0 0 * * Fri-Sun", ["2026-01-02", "2026-01-03", "2026-01-04", "2026-01-09"]),
        ("0 0 * * Mon-Sun/3", ["2026-01-01", "2026-01-04", "2026-01-05"]),
        ("0 0 * * 0-7", ["2026-01-01", "2026-01-02"]),
        ("0 0 * Nov-Feb 0", ["2026-01-04", "2026-01-11"]),
        ("0 0 * * 7-2", ["2026-01-04", "2026-01-05", "2026-01-06", "2026-01-11"]),
        ("@monthly", ["2026-01-01", "2026-02-01"]),
    ],
)
def test_days_are_found_as_the_calendar_has_them(cron: str, expected: list[str]) -> None:
    start = "2027-01-01T00:00Z" if cron == "0 0 29 2 1" else "2026-01-01T00:00Z"
    assert days_of(cron, len(expected), start) == expected


def test_the_rarest_date_is_found_forty_years_on() -> None:
    """29 February falls on a Sunday in 1880 and then in 1920, 1900 being no leap year."""
    schedule = Schedule(cron="0 0 29 2 */7", timezone="Europe/Berlin")
    assert next_after(schedule, at("1880-03-10T00:00Z")) == at("1920-02-29T00:00+01:00")
    assert last_at_or_before(schedule, at("1920-02-20T00:00Z")) == at("1880-02-28T23:06:32Z")


def test_the_end_of_the_calendar_is_none_and_not_an_error() -> None:
    assert next_after(Schedule(cron="0 0 * * *"), at("8999-12-30T00:00Z")) is not None
    assert next_after(Schedule(cron="0 0 * * *"), at("9999-12-30T00:00Z")) is None
    assert next_after(Schedule(cron="0 0 * * *"), 2**80) is None
    assert last_at_or_before(Schedule(cron="0 0 * * *"), -(2**80)) is None


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("", "either a cron expression or an interval"),
        ("* * * *", "4 fields"),
        ("0 0 1 1 * 0 2030", "year"),
        ("R * * * *", "by chance"),
        ("0 R(1-5) * * *", "by chance"),
        ("0 0 * * R", "by chance"),
        ("0 0 1,R * *", "by chance"),
        ("H 1 * * *", "by chance"),
        ("@reboot", "@daily"),
        ("61 * * * *", "minute '61'"),
        ("0 24 * * *", "hour '24'"),
        ("0 0 0 * *", "day of month '0'"),
        ("0 0 * foo *", "month 'foo'"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 4,6,9,11 *", "never comes"),
        ("0 0 * * 5L", "L5"),
        ("0 0 * * 1,2#3", "does not mix"),
        ("0 0 * * mon-mon#2", "mon#2"),
        ("0 0 * * Thu-Tue/2", "two ways"),
        ("0 0 * * 7/2", "both ends"),
        ("*/0 * * * *", "minute '*/0'"),
        ("* * * * * *\x00", "printable"),
        ("* * * * *\x1b[6n", "printable"),
        ("٥ * * * *", "printable"),
        ("9" * 400 + " * * * *", "minute"),
        ("1," * 400 + "1 * * * *", "at most 512"),
    ],
)
def test_what_cannot_be_used_is_said_in_words(cron: str, words: str) -> None:
    faults = validate(Schedule(cron=cron))
    assert len(faults) == 1
    assert words in faults[0]


def test_a_misspelt_zone_gets_a_suggestion() -> None:
    assert "Europe/Berlin" in validate(Schedule(cron="0 0 * * *", timezone="Europe/Berlinn"))[0]
    for name in ("../../etc/passwd", "", "America", "/etc/localtime", "Nowhere/\x00"):
        assert len(validate(Schedule(cron="0 0 * * *", timezone=name))) == 1


def test_both_faults_of_a_schedule_are_said() -> None:
    assert len(validate(Schedule(cron="x * * * *", timezone="Mars/Base"))) == 2
    assert validate(Schedule(cron="0 0 * * *", interval_ns=HOUR)) != []
    assert validate(Schedule(interval_ns=1)) == ["an interval is at least one second"]
    assert validate(Schedule(interval_ns=HOUR)) == []


def test_asking_for_the_next_of_a_faulty_schedule_raises_its_fault() -> None:
    with pytest.raises(ValueFault, match="minute"):
        next_after(Schedule(cron="61 * * * *"), 0)
    with pytest.raises(ValueFault, match="time zone"):
        next_after(Schedule(cron="0 0 * * *", timezone="Mars/Base"), 0)


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("5-5 * * * *", "5 alone"),
        ("0 0 * * 6/1", "counts from 6"),
        ("59/15 * * * *", "counts from 59"),
        ("0 22-2 * * *", "goes on through the end"),
        ("0 0 1 * 1", "satisfy either"),
        ("0 0 */2 * 1", "satisfy both"),
        ("0 0 * * * 30", "`30`, is the seconds"),
        ("*/45 * * * *", "last interval is shorter"),
        ("0 0 */2 * *", "anew with each month"),
        ("0 0 31 * *", "left out"),
    ],
)
def test_a_surprising_expression_is_warned_about(cron: str, words: str) -> None:
    assert any(words in warning for warning in warnings(Schedule(cron=cron))), warnings(Schedule(cron=cron))


@pytest.mark.parametrize("cron", ["15 2 * * *", "*/15 * * * *", "0 9-17 * * mon-fri", "@daily", "0 0 1,15 * *"])
def test_a_plain_expression_gets_no_warning(cron: str) -> None:
    assert warnings(Schedule(cron=cron)) == []


def test_an_expression_is_expanded_once() -> None:
    assert compile_expression("3 4 * * *") is compile_expression("3 4 * * *")


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"])
CRONS = st.sampled_from(
    [
        "*/7 * * * *",
        "30 2 * * *",
        "0,30 1-3 * * *",
        "0 0 29 2 *",
        "15 0 * * 0",
        "30 2 * * * */20",
        "0 */3 L * *",
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    cron=CRONS,
    zone=ZONES,
    gap=st.sampled_from(["skip", "run_after"]),
    fold=st.sampled_from(["first", "last", "both"]),
    instant=st.integers(at("1960-01-01T00:00Z"), at("2080-01-01T00:00Z")),
)
def test_looking_back_from_the_next_finds_it_and_nothing_in_between(cron, zone, gap, fold, instant) -> None:
    schedule = Schedule(cron=cron, timezone=zone, gap=gap, fold=fold)
    following = next_after(schedule, instant)
    assert following is not None
    assert following > instant
    assert last_at_or_before(schedule, following) == following
    before = last_at_or_before(schedule, following - 1)
    assert before is None or before <= instant
    assert before is None or next_after(schedule, before) == following
