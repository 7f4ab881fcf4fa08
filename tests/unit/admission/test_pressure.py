"""Live pressure: it closes at once, opens slowly, and says why."""

import pytest

from engine.admission.pressure import CALM_NS, SLOW_PAUSE_NS, Level, Pressure, Sample
from engine.model.instants import SECOND

GIB = 2**30


def memory(share: float) -> Sample:
    return Sample(memory_available_bytes=int(share * 100 * GIB), memory_total_bytes=100 * GIB)


@pytest.mark.parametrize(
    ("sample", "level", "resource"),
    [
        (Sample(), Level.OPEN, ""),
        (memory(0.5), Level.OPEN, ""),
        (memory(0.09), Level.SLOW, "memory"),
        (memory(0.04), Level.CLOSED, "memory"),
        (Sample(memory_stalled=11), Level.SLOW, "memory stalls"),
        (Sample(memory_stalled=41), Level.CLOSED, "memory stalls"),
        (Sample(cpu_foreign_milli=1999), Level.OPEN, ""),
        (Sample(cpu_foreign_milli=7900), Level.SLOW, "cpu of others"),
    ],
)
def test_a_level_follows_from_what_is_short(sample: Sample, level: Level, resource: str):
    pressure = Pressure(8000)
    assert pressure.observe(sample, 0) is (level is not Level.OPEN)
    assert pressure.level is level
    assert [reason.resource for reason in pressure.reasons] == ([resource] if resource else [])


def test_the_worst_counts_and_comes_first():
    pressure = Pressure(8000)
    pressure.observe(memory(0.09)._replace(memory_stalled=50), 0)
    assert pressure.level is Level.CLOSED
    assert [reason.resource for reason in pressure.reasons] == ["memory stalls", "memory"]


def test_it_gets_better_one_step_at_a_time_and_only_after_a_calm_while():
    pressure = Pressure(8000)
    pressure.observe(memory(0.01), 0)
    levels = []
    for second in range(30):
        pressure.observe(memory(0.5), second * SECOND)
        levels.append(pressure.level)
    calm = CALM_NS // SECOND
    assert levels == [Level.CLOSED] * calm + [Level.SLOW] * calm + [Level.OPEN] * (30 - 2 * calm)
    assert pressure.reasons == ()


def test_a_value_that_wavers_about_its_bound_does_not_flap():
    pressure = Pressure(8000)
    changes = sum(pressure.observe(memory(0.099 if second % 2 else 0.105), second * SECOND) for second in range(100))
    assert changes == 1
    assert pressure.level is Level.SLOW


def test_a_calm_that_is_broken_begins_anew():
    pressure = Pressure(8000)
    for second in (0, *range(1, 9)):
        pressure.observe(memory(0.01 if second == 0 else 0.5), second * SECOND)
    pressure.observe(memory(0.01), 9 * SECOND)
    pressure.observe(memory(0.5), 10 * SECOND)
    pressure.observe(memory(0.5), 19 * SECOND)
    assert pressure.level is Level.CLOSED


def test_slow_is_one_start_a_second_and_closed_is_none():
    pressure = Pressure(8000)
    assert pressure.may_start(0)
    pressure.observe(memory(0.09), 0)
    assert pressure.may_start(0)
    pressure.started(0)
    assert not pressure.may_start(SLOW_PAUSE_NS - 1)
    assert pressure.may_start(pressure.next_start_ns())
    pressure.observe(memory(0.01), 1)
    assert not pressure.may_start(10 * SLOW_PAUSE_NS)
