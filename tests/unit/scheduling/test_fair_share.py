"""Usage grows with what is held, decays with its half life, and the least used for its weight goes first."""

import pytest

from engine.model.instants import HOUR, SECOND
from engine.scheduling.fair_share import Shares, Usage


def test_usage_decays_by_half_in_a_half_life():
    shares = Shares(half_life_ns=HOUR)
    shares.restore([Usage("a", 1000.0, 0)])
    assert shares.usage(HOUR) == [Usage("a", pytest.approx(500.0), HOUR)]


def test_a_brief_use_is_its_share_times_its_time():
    shares = Shares(half_life_ns=1000 * HOUR)
    shares.started(1, "a", 250_000, 0)
    shares.ended(1, 100 * SECOND)
    assert shares.usage(100 * SECOND)[0].seconds == pytest.approx(25.0, rel=1e-4)


@pytest.mark.parametrize("looks", [1, 7, 500])
def test_it_does_not_matter_how_often_it_is_looked_at(looks: int):
    shares = Shares(half_life_ns=HOUR)
    shares.started(1, "a", 500_000, 0)
    for look in range(1, looks + 1):
        shares.usage(5 * HOUR * look // looks)
    level = 0.5 * 3600 / 0.6931471805599453
    assert shares.usage(5 * HOUR)[0].seconds == pytest.approx(level * (1 - 2**-5))


def test_the_least_used_for_its_weight_goes_first():
    shares = Shares({"b": 4.0})
    shares.restore([Usage("a", 100.0, 0), Usage("b", 300.0, 0)])
    assert shares.key("new") < shares.key("b") < shares.key("a")


def test_what_is_held_now_counts_at_once():
    shares = Shares()
    shares.started(1, "a", 100_000, 0)
    assert shares.key("a") > shares.key("b") == 0.0
    shares.ended(1, 0)
    assert shares.key("a") == 0.0


def test_an_attempt_gives_back_the_share_that_it_began_with():
    shares = Shares()
    for attempt in range(1000):
        shares.started(attempt, "a", 333_333 + attempt, attempt)
    for attempt in range(1000):
        shares.ended(attempt, 1000)
    shares.refresh(400 * HOUR)
    assert shares.usage(400 * HOUR) == []


def test_an_owner_whose_attempts_claim_nothing_is_not_lost():
    shares = Shares()
    shares.started(1, "a", 0, 0)
    shares.refresh(100 * HOUR)
    shares.ended(1, 101 * HOUR)
    assert shares.key("a") == 0.0
