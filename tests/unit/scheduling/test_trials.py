"""The rows of a campaign: which there are, and in which order."""

import pytest

from engine.model.campaign import Campaign, TrialOrder
from engine.model.errors import ValueFault
from engine.scheduling.trials import rows_of, values_fault

AXES = (("level", (1, 9)), ("tool", ("gzip", "xz")))
CELLS = [(1, "gzip"), (1, "xz"), (9, "gzip"), (9, "xz")]


def rows(trials: int = 2, warmups: int = 0, order: TrialOrder = "interleaved", seed: int = 0) -> list[tuple[int, str]]:
    campaign = Campaign(trials=trials, warmups=warmups, order=order, seed=seed)
    return [(row["level"], row["tool"], row["trial"]) for row in rows_of(campaign, AXES)]  # pyright: ignore[reportReturnType]


def test_interleaved_rows_try_every_cell_once_before_any_twice() -> None:
    assert rows() == [(*cell, trial) for trial in (1, 2) for cell in CELLS]


def test_sequential_rows_try_one_cell_after_the_other_each_after_its_warm_ups() -> None:
    assert rows(order="sequential", warmups=2) == [(*cell, trial) for cell in CELLS for trial in (-1, 0, 1, 2)]


def test_random_rows_are_all_rows_in_an_order_that_only_the_seed_decides() -> None:
    first = rows(trials=5, order="random", seed=7)
    assert first == rows(trials=5, order="random", seed=7)
    assert first != rows(trials=5, order="random", seed=8)
    assert sorted(first) == sorted(rows(trials=5))
    assert first != rows(trials=5)


def test_the_random_order_of_a_seed_is_the_same_on_every_host() -> None:
    assert rows(order="random", seed=7) == [
        (1, "xz", 1), (1, "xz", 2), (9, "xz", 2), (1, "gzip", 1), (1, "gzip", 2), (9, "gzip", 2), (9, "xz", 1),
        (9, "gzip", 1),
    ]  # fmt: skip


def test_warm_ups_come_before_all_trials_of_a_random_order() -> None:
    found = rows(warmups=1, order="random", seed=3)
    assert found[:4] == [(*cell, 0) for cell in CELLS]
    assert all(row[2] > 0 for row in found[4:])


def test_trials_without_a_matrix_are_rows_of_one_cell() -> None:
    assert rows_of(Campaign(trials=3), ()) == [{"trial": 1}, {"trial": 2}, {"trial": 3}]


def test_a_parameter_without_values_makes_no_rows() -> None:
    assert rows_of(Campaign(trials=3), (("a", ()), ("b", (1, 2)))) == []


def test_more_rows_than_a_task_may_have_are_refused_before_they_are_made() -> None:
    with pytest.raises(ValueFault, match="make 10000000000 rows, more than 1000000"):
        rows_of(Campaign(trials=100_000), (("a", range(100_000)),))


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ([1, "x", 2.5, True, None], ""),
        (range(3), ""),
        ([1, True], ""),
        ([1, 1], "the value '1' is there twice"),
        ([[1]], "a value is a text, a number"),
        ({"a": 1}, "a list of values is expected, not a map"),
        (5, "a list of values is expected, not a number"),
    ],
)
def test_only_distinct_scalars_are_values_of_a_parameter(values: object, fault: str) -> None:
    assert values_fault(values).startswith(fault)
    assert bool(values_fault(values)) == bool(fault)
