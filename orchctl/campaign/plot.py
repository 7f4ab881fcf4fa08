"""Intervals as text: one line each on a common axis, `├──●──┤`. A line is exactly as wide as it is told to be."""

from collections.abc import Sequence
from typing import NamedTuple


class Signs(NamedTuple):
    low: str
    high: str
    between: str
    middle: str


UNICODE = Signs("├", "┤", "─", "●")
ASCII = Signs("[", "]", "-", "o")
Interval = tuple[float, float, float]
"""Low, median, high."""


def axis_of(intervals: Sequence[Interval]) -> tuple[float, float]:
    """The ends of an axis that shows all of them; from zero where that does not squeeze them into a corner."""
    low = min((interval[0] for interval in intervals), default=0.0)
    high = max((interval[2] for interval in intervals), default=0.0)
    if 0 < low < high / 2:
        low = 0.0
    return low, high


def drawn(interval: Interval, axis: tuple[float, float], width: int, signs: Signs = UNICODE) -> str:
    """The interval on the axis, in so many columns."""
    low, middle, high = (_column(value, axis, width) for value in interval)
    cells = [" "] * width
    cells[low : high + 1] = [signs.between] * (high + 1 - low)
    cells[low], cells[high] = signs.low, signs.high
    cells[middle] = signs.middle
    return "".join(cells)


def _column(value: float, axis: tuple[float, float], width: int) -> int:
    span = axis[1] - axis[0]
    share = (value - axis[0]) / span if span > 0 else 0.5
    return min(max(round(share * (width - 1)), 0), width - 1)
