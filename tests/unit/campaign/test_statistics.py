"""Medians, intervals and tests against known values, and verdicts that do not say more than the trials do."""

import random
from itertools import combinations

import pytest

from orchctl.campaign import statistics
from orchctl.campaign.statistics import Trial, bootstrap, compare, mann_whitney, summarize


def trials(*values: float) -> list[Trial]:
    return [Trial(value) for value in values]


def scattered(mean: float, count: int, seed: int, spread: float = 0.02) -> list[Trial]:
    draw = random.Random(seed)
    return [Trial(mean * draw.lognormvariate(0, spread)) for _ in range(count)]


def test_the_exact_test_gives_the_known_values():
    """Of the 20 ways to choose three of six, two are as extreme; the second example is that of SciPy's manual."""
    assert mann_whitney([1, 2, 3], [4, 5, 6]) == pytest.approx(0.1)
    assert mann_whitney([19, 22, 16, 29, 24], [20, 11, 17, 12]) == pytest.approx(0.1111111111)


def test_the_approximation_gives_the_known_value(monkeypatch: pytest.MonkeyPatch):
    """SciPy's manual again, with continuity correction."""
    monkeypatch.setattr(statistics, "EXACT_MAX", 0)
    assert mann_whitney([19, 22, 16, 29, 24], [20, 11, 17, 12]) == pytest.approx(0.11134688653314041)


def test_with_ties_the_exact_test_is_the_count_of_all_permutations():
    values, n = [1, 2, 2, 3, 3, 3, 5, 8], 3
    ranks = [1, 2.5, 2.5, 5, 5, 5, 7, 8]
    mean = n * sum(ranks) / len(ranks)
    sums = [sum(chosen) for chosen in combinations(ranks, n)]
    far = sum(abs(total - mean) >= abs(sum(ranks[:n]) - mean) - 1e-9 for total in sums)
    assert mann_whitney(values[:n], values[n:]) == pytest.approx(far / len(sums))


def test_exact_and_approximate_agree_where_they_meet(monkeypatch: pytest.MonkeyPatch):
    first = [trial.value for trial in scattered(1.0, 30, 1, 0.1)]
    second = [trial.value for trial in scattered(1.05, 30, 2, 0.1)]
    exact = mann_whitney(first, second)
    monkeypatch.setattr(statistics, "EXACT_MAX", 0)
    assert mann_whitney(first, second) == pytest.approx(exact, abs=0.003)


def test_equal_values_are_no_difference():
    assert mann_whitney([5] * 4, [5] * 6) == 1.0
    assert mann_whitney([5.0] * 50, [5.0] * 50) == 1.0


def test_the_test_does_not_care_which_is_first():
    first, second = [1.0, 4.0, 6.0, 6.0], [2.0, 3.0, 6.0, 9.0, 10.0]
    assert mann_whitney(first, second) == pytest.approx(mann_whitney(second, first))


def test_under_no_difference_few_are_called_significant():
    draw = random.Random(5)
    found = sum(
        mann_whitney([draw.random() for _ in range(8)], [draw.random() for _ in range(8)]) < 0.05 for _ in range(1000)
    )
    assert found <= 65


def test_an_interval_is_the_same_for_the_same_seed_and_holds_the_median():
    values = [trial.value for trial in scattered(10, 20, 3)]
    low, high = bootstrap(values, seed=1)
    assert (low, high) == bootstrap(values, seed=1)
    assert min(values) <= low <= summarize(trials(*values)).median <= high <= max(values)


def test_intervals_cover_the_true_median_about_as_often_as_they_say():
    covered = 0
    for seed in range(200):
        low, high = bootstrap([trial.value for trial in scattered(10, 15, seed, 0.1)], seed=0, rounds=300)
        covered += low <= 10 <= high
    assert 180 <= covered <= 200


def test_noisy_trials_are_left_out_while_enough_are_quiet():
    noisy = Trial(99.0, ("others used 1.00 CPUs",))
    found = summarize([*trials(1, 2, 3), noisy])
    assert (found.used, found.noisy, found.all_noisy, found.median) == (3, 1, False, 2)
    found = summarize([Trial(1.0), noisy, noisy])
    assert (found.used, found.noisy, found.all_noisy, found.median) == (3, 2, True, 99.0)


def test_few_trials_give_their_range():
    assert summarize(trials(4, 2))[3:] == (3, 2, 4)
    assert summarize(trials(4))[3:] == (4, 4, 4)


def test_twice_as_fast_is_faster_and_the_other_way_round_slower():
    before, after = scattered(10, 10, 1), scattered(5, 10, 2)
    found = compare(before, after)
    assert found.judgement == "faster"
    assert found.low < 2 < found.high
    assert found.speed_up == pytest.approx(2, rel=0.05)
    assert compare(after, before).judgement == "slower"
    assert compare(after, before, better="higher").judgement == "faster"


def test_the_same_again_is_no_regression():
    assert compare(scattered(10, 30, 1, 0.002), scattered(10, 30, 2, 0.002)).judgement == "same"


def test_too_scattered_or_too_few_is_unclear_and_not_the_same():
    assert compare(scattered(10, 5, 1, 0.2), scattered(10.3, 5, 2, 0.2)).judgement == "unclear"
    assert compare(trials(10, 10), trials(5, 5)).judgement == "unclear"


def test_a_difference_within_the_tolerance_is_not_worse():
    before, after = scattered(10, 40, 1, 0.002), scattered(10.1, 40, 2, 0.002)
    assert compare(before, after).p < 0.01
    assert compare(before, after, tolerance=0.05).judgement == "same"
    assert compare(before, after, tolerance=0.001).judgement == "slower"


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")]])
def test_what_cannot_be_summed_up_is_refused(values: list[float]):
    with pytest.raises(ValueError, match=r"no trials|no number"):
        summarize(trials(*values))


def test_there_is_no_speed_up_of_nothing():
    with pytest.raises(ValueError, match="above zero"):
        compare(trials(0, 0, 0), trials(1, 1, 1))
