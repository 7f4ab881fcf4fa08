"""Intervals as text of an exact width."""

import pytest

from orchctl.campaign.plot import ASCII, axis_of, drawn


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((0, 5, 10), "[----o----]"),
        ((2, 3, 4), "  [o]      "),
        ((5, 5, 5), "     o     "),
        ((0, 0, 0), "o          "),
        ((10, 10, 10), "          o"),
        ((-9, 5, 99), "[----o----]"),
    ],
)
def test_an_interval_stands_where_the_axis_says(interval: tuple[float, float, float], expected: str) -> None:
    assert drawn(interval, (0, 10), 11, ASCII) == expected


def test_the_axis_holds_all_and_begins_at_zero_where_that_leaves_room() -> None:
    assert axis_of([(90, 95, 100), (99, 100, 110)]) == (90, 110)
    assert axis_of([(10, 50, 100)]) == (0, 100)
    assert axis_of([]) == (0, 0)
    assert len(drawn((1, 1, 1), (1, 1), 7, ASCII)) == 7
