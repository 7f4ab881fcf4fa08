"""Live pressure: it closes at once, opens slowly, and says why."""

import pytest

from engine.admission.ledger import Ledger
from engine.admission.pressure import CALM_NS, SLOW_PAUSE_NS, Bounds, Level, Pressure, Sample, bounds_faults
from engine.model.instants import MINUTE, SECOND
from engine.model.resources import Capacity, Claim

GIB = 2**30


def memory(share: float) -> Sample:
    return Sample(memory_available_bytes=int(share * 100 * GIB), memory_total_bytes=100 * GIB)


def others(cpus: float, of: int = 8) -> Sample:
    return Sample(cpu_foreign_milli=int(cpus * 1000), cpu_total_milli=of * 1000)


def book(cpus: float, *held: Claim) -> Ledger:
    ledger = Ledger(Capacity(int(cpus * 1000), 100 * GIB))
    for claim in held:
        ledger.take(claim)
    return ledger


@pytest.mark.parametrize(
    ("sample", "level", "resource"),
    [
        (Sample(), Level.OPEN, ""),
        (memory(0.5), Level.OPEN, ""),
        (memory(0.09), Level.SLOW, "memory"),
        (memory(0.04), Level.CLOSED, "memory"),
        (Sample(memory_stalled=11), Level.SLOW, "memory stalls"),
        (Sample(memory_stalled=41), Level.CLOSED, "memory stalls"),
        (Sample(memory_stalled=9), Level.OPEN, ""),
        (others(4.0), Level.OPEN, ""),
        (others(4.1), Level.SLOW, "cpu"),
        (others(7.3), Level.CLOSED, "cpu"),
        (Sample(cpu_foreign_milli=7900), Level.OPEN, ""),
    ],
)
def test_a_level_follows_from_what_is_short(sample: Sample, level: Level, resource: str):
    pressure = Pressure()
    assert pressure.observe(sample, 0) is (level is not Level.OPEN)
    assert pressure.level is level
    assert [reason.resource for reason in pressure.reasons] == ([resource] if resource else [])


def test_the_worst_counts_and_comes_first():
    pressure = Pressure()
    pressure.observe(memory(0.09)._replace(memory_stalled=50), 0)
    assert pressure.level is Level.CLOSED
    assert [reason.resource for reason in pressure.reasons] == ["memory stalls", "memory"]


def test_it_gets_better_one_step_at_a_time_and_only_after_a_calm_while():
    pressure = Pressure()
    pressure.observe(memory(0.01), 0)
    levels = []
    for second in range(30):
        pressure.observe(memory(0.5), second * SECOND)
        levels.append(pressure.level)
    calm = CALM_NS // SECOND
    assert levels == [Level.CLOSED] * calm + [Level.SLOW] * calm + [Level.OPEN] * (30 - 2 * calm)
    assert pressure.reasons == ()


def test_a_value_that_wavers_about_its_bound_does_not_flap():
    pressure = Pressure()
    changes = sum(pressure.observe(memory(0.099 if second % 2 else 0.105), second * SECOND) for second in range(100))
    assert changes == 1
    assert pressure.level is Level.SLOW


def test_a_calm_that_is_broken_begins_anew():
    pressure = Pressure()
    for second in (0, *range(1, 9)):
        pressure.observe(memory(0.01 if second == 0 else 0.5), second * SECOND)
    pressure.observe(memory(0.01), 9 * SECOND)
    pressure.observe(memory(0.5), 10 * SECOND)
    pressure.observe(memory(0.5), 19 * SECOND)
    assert pressure.level is Level.CLOSED


def test_slow_is_one_start_a_second_and_closed_is_none():
    pressure = Pressure()
    assert pressure.may_start(Claim(), book(8), 0)
    pressure.observe(memory(0.09), 0)
    assert pressure.may_start(Claim(), book(8), 0)
    pressure.started(0)
    assert not pressure.may_start(Claim(), book(8), SLOW_PAUSE_NS - 1)
    assert pressure.may_start(Claim(), book(8), pressure.next_start_ns())
    pressure.observe(memory(0.01), 1)
    assert not pressure.may_start(Claim(), book(8), 10 * SLOW_PAUSE_NS)


# --- CPU that others use ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capacity", "held", "asked", "starts"),
    [
        (8, 1000, 2000, True),
        (8, 1000, 2100, False),
        (8, 3500, 0, True),  # what asks for no CPU takes none from anybody
        (2, 1000, 1000, True),  # we may have two, and others leave three
        (16, 4000, 2000, True),  # we were told of twice as many as there are: three eighths of them
        (16, 4000, 2500, False),
    ],
)
def test_what_others_use_counts_as_claimed(capacity: float, held: int, asked: int, starts: bool):
    pressure = Pressure()
    pressure.observe(others(5), 0)
    pressure.started(0)
    assert pressure.may_start(Claim(cpu_milli=asked), book(capacity, Claim(cpu_milli=held)), SECOND) is starts


def test_what_would_be_alone_on_the_host_starts_however_much_others_use():
    pressure = Pressure()
    pressure.observe(others(8), 0)
    pressure.started(0)
    assert pressure.level is Level.CLOSED
    assert pressure.may_start(Claim(cpu_milli=8000), book(8), 1)
    assert not pressure.may_start(Claim(cpu_milli=100), book(8, Claim(cpu_milli=100)), 1)


def test_one_more_starts_when_nothing_has_for_a_minute_so_nothing_waits_for_ever():
    pressure = Pressure()
    pressure.observe(others(8), 0)
    pressure.started(0)
    busy = book(8, Claim())
    assert not pressure.may_start(Claim(), busy, MINUTE - 1)
    assert pressure.may_start(Claim(), busy, MINUTE)


def test_a_peak_of_others_counts_until_it_is_over_for_a_while():
    pressure = Pressure()
    pressure.observe(others(6.5), 0)
    pressure.started(0)
    starts: list[bool] = []
    for second in range(1, 15):
        pressure.observe(others(4.5), second * SECOND)
        starts.append(pressure.may_start(Claim(cpu_milli=2000), book(8, Claim()), second * SECOND))
    calm = CALM_NS // SECOND
    assert starts == [False] * (calm - 1) + [True] * (15 - calm)


def test_memory_and_others_have_levels_of_their_own_and_the_worse_is_told_first():
    pressure = Pressure()
    pressure.observe(others(5)._replace(memory_available_bytes=4 * GIB, memory_total_bytes=100 * GIB), 0)
    assert pressure.level is Level.CLOSED
    assert [reason.resource for reason in pressure.reasons] == ["memory", "cpu"]
    assert pressure.sentences == [
        "memory: 4.00G available, the bound is 5.00G: nothing starts",
        "cpu: others leave 3 free, the bound is 4: what others use counts as claimed",
    ]
    for second in range(1, 22):
        pressure.observe(others(5), second * SECOND)
    assert [reason.resource for reason in pressure.reasons] == ["cpu"]
    assert pressure.level is Level.SLOW


def test_a_bound_of_one_means_never():
    pressure = Pressure(Bounds(foreign_slow=1, foreign_closed=1))
    assert not pressure.concerned(others(8))
    assert pressure.foreign_worth > 1 > Pressure().foreign_worth


def test_bounds_in_the_wrong_order_are_named():
    faults = bounds_faults(Bounds(memory_slow=0.05, memory_closed=0.1, foreign_slow=0.95))
    assert faults == [
        "memory_closed (0.1) is above memory_slow (0.05)",
        "foreign_slow (0.95) is above foreign_closed (0.9)",
    ]
