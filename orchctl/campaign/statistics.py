"""What repeated measurements say: medians with intervals, whether two differ, by how much, and whether it is worse.

Run times are skewed and have outliers, so nothing here assumes a normal distribution. A summary is a median with a
percentile bootstrap interval (Efron 1979), drawn with a seed, so the same trials always give the same interval.
Whether two samples differ is a Mann-Whitney test (1947): the exact distribution of rank sums with midranks for ties
up to `EXACT_MAX` trials, the normal approximation with tie and continuity correction above. A *speed-up* is the
baseline's median over the candidate's for what is better when lower, so above 1 is better, and its interval is drawn
from both.

A verdict needs both: a test that finds a difference, and a speed-up whose interval lies beyond the tolerance. Too few
or too scattered trials give `unclear`, which is not `same`.
"""

from collections.abc import Callable, Sequence
from math import comb, erfc, isfinite, sqrt
from random import Random
from statistics import median
from typing import Literal, NamedTuple

EXACT_MAX = 60
ROUNDS = 2000
LEVEL = 0.95
TRIALS_MIN = 3
"""With fewer, an interval means nothing: it is the range of the values."""

Better = Literal["lower", "higher"]
Judgement = Literal["faster", "slower", "same", "unclear"]


class Trial(NamedTuple):
    """A measured value, and why it counts as noisy (nothing: it does not)."""

    value: float
    marks: tuple[str, ...] = ()


class Summary(NamedTuple):
    """The median of the trials that count, between `low` and `high`. `noisy` were left out, unless `all_noisy`: then
    too few were quiet and all count.
    """

    used: int
    noisy: int
    all_noisy: bool
    median: float
    low: float
    high: float


class Comparison(NamedTuple):
    """A candidate against a baseline. `speed_up` above 1 is better, between `low` and `high`; `p` is the probability of
    such a difference of ranks if there were none."""

    speed_up: float
    low: float
    high: float
    p: float
    judgement: Judgement


def quiet(trials: Sequence[Trial]) -> tuple[list[float], bool]:
    """The values that count, and whether noisy ones had to be among them."""
    calm = [trial.value for trial in trials if not trial.marks]
    if len(calm) >= min(TRIALS_MIN, len(trials)):
        return calm, False
    return [trial.value for trial in trials], True


def summarize(trials: Sequence[Trial], seed: int = 0) -> Summary:
    """Raises ValueError without trials, or for a value that is no number."""
    values, all_noisy = quiet(_checked(trials))
    low, high = bootstrap(values, seed=seed)
    noisy = sum(bool(trial.marks) for trial in trials)
    return Summary(len(values), noisy, all_noisy, median(values), low, high)


def bootstrap(
    values: Sequence[float], *, seed: int, of: Callable[[Sequence[float]], float] = median, rounds: int = ROUNDS,
    level: float = LEVEL,
) -> tuple[float, float]:  # fmt: skip
    """The interval in which a figure `of` the values lies with this probability."""
    if len(values) < TRIALS_MIN:
        return min(values), max(values)
    draw = Random(seed)  # noqa: S311 - resampling
    return _middle([of(draw.choices(values, k=len(values))) for _ in range(rounds)], level)


def compare(
    baseline: Sequence[Trial], candidate: Sequence[Trial], *, better: Better = "lower", tolerance: float = 0.02,
    alpha: float = 0.05, seed: int = 0,
) -> Comparison:  # fmt: skip
    """Is the candidate better or worse by more than the tolerance (a share)? Raises ValueError as `summarize` does, and
    where a median is not above zero, of which there is no ratio."""
    before, after = quiet(_checked(baseline))[0], quiet(_checked(candidate))[0]
    if min(median(before), median(after)) <= 0:
        raise ValueError("a speed-up needs medians above zero")
    over, under = (before, after) if better == "lower" else (after, before)
    low, high = _ratio_interval(over, under, seed)
    p = mann_whitney(before, after)
    few = min(len(before), len(after)) < TRIALS_MIN
    judgement = "unclear" if few else _judge(low, high, p, tolerance, alpha)
    return Comparison(median(over) / median(under), low, high, p, judgement)


def _judge(low: float, high: float, p: float, tolerance: float, alpha: float) -> Judgement:
    if p < alpha and low > 1 + tolerance:
        return "faster"
    if p < alpha and high < 1 / (1 + tolerance):
        return "slower"
    return "same" if 1 / (1 + tolerance) <= low and high <= 1 + tolerance else "unclear"


def _ratio_interval(over: Sequence[float], under: Sequence[float], seed: int) -> tuple[float, float]:
    if min(len(over), len(under)) < TRIALS_MIN:
        return min(over) / max(under), max(over) / min(under) if min(under) > 0 else float("inf")
    draw = Random(seed)  # noqa: S311 - resampling
    ratios: list[float] = []
    for _ in range(ROUNDS):
        bottom = median(draw.choices(under, k=len(under)))
        ratios.append(median(draw.choices(over, k=len(over))) / bottom if bottom > 0 else float("inf"))
    return _middle(ratios, LEVEL)


def _middle(found: list[float], level: float) -> tuple[float, float]:
    found.sort()
    outside = int(len(found) * (1 - level) / 2)
    return found[outside], found[-1 - outside]


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided probability of ranks as different as these if both came from one distribution."""
    ranks, ties = _doubled_ranks([*first, *second])
    if len(ranks) <= EXACT_MAX:
        return _exact(ranks, len(first))
    n, m, total = len(first), len(second), len(ranks)
    mean = n * (total + 1) / 2
    variance = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    away = max(abs(sum(ranks[:n]) / 2 - mean) - 0.5, 0.0)
    return erfc(away / sqrt(2 * variance))


def _doubled_ranks(values: Sequence[float]) -> tuple[list[int], int]:
    """Twice the rank of each value (equal ones share the middle), and the sum of t**3 - t over groups of t equal
    ones.
    """
    order = sorted(range(len(values)), key=lambda place: values[place])
    ranks, ties, begin = [0] * len(values), 0, 0
    while begin < len(order):
        end = begin
        while end < len(order) and values[order[end]] == values[order[begin]]:
            end += 1
        for place in order[begin:end]:
            ranks[place] = begin + end + 1
        ties += (end - begin) ** 3 - (end - begin)
        begin = end
    return ranks, ties


def _exact(ranks: Sequence[int], n: int) -> float:
    """Of all ways to choose n of the ranks, the share whose sum is at least as far from the mean as that of the first
    n.
    """
    ways: list[dict[int, int]] = [{0: 1}, *({} for _ in range(n))]
    for seen, rank in enumerate(ranks):
        for chosen in range(min(seen, n - 1), -1, -1):
            above = ways[chosen + 1]
            for total, count in ways[chosen].items():
                above[total + rank] = above.get(total + rank, 0) + count
    doubled_mean = n * sum(ranks)
    away = abs(sum(ranks[:n]) * len(ranks) - doubled_mean)
    far = sum(count for total, count in ways[n].items() if abs(total * len(ranks) - doubled_mean) >= away)
    return far / comb(len(ranks), n)


def _checked(trials: Sequence[Trial]) -> Sequence[Trial]:
    if not trials:
        raise ValueError("there are no trials")
    if not all(isfinite(trial.value) for trial in trials):
        raise ValueError("a trial has a value that is no number")
    return trials
