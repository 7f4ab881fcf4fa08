"""A quantity over time as rows of block characters, with its limit as a line across. Pure text, of exactly the width
and height that are asked for.

Each column shows the largest value of its stretch of time, so a short peak is never lost; where no reading falls into a
stretch, the one before it still holds.
"""

from collections.abc import Sequence
from typing import NamedTuple

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_HALVES = " .:#"


class Reading(NamedTuple):
    """A value at an instant, in seconds."""

    at_s: float
    value: float


class Chart(NamedTuple):
    """Rows from the top, and the row in which the limit lies (-1: none, or above)."""

    rows: list[str]
    limit_row: int


def chart(
    readings: Sequence[Reading], span: tuple[float, float], top: float, limit: float, size: tuple[int, int],
    *, ascii_only: bool,
) -> Chart:  # fmt: skip
    """The readings between two instants, from zero to `top`. A limit of 0 is none."""
    width, height = size
    steps = _HALVES if ascii_only else _EIGHTHS
    parts = len(steps) - 1
    filled = [
        0 if value <= 0 or top <= 0 else max(1, min(round(value / top * height * parts), height * parts))
        for value in _columns(readings, span, width)
    ]
    line = "-" if ascii_only else "─"
    limit_row = height - 1 - min(height - 1, int(limit / top * height)) if 0 < limit <= top else -1
    rows: list[str] = []
    for row in range(height):
        below = (height - 1 - row) * parts
        cells = (steps[max(0, min(level - below, parts))] for level in filled)
        rows.append("".join(line if cell == " " and row == limit_row else cell for cell in cells))
    return Chart(rows, limit_row)


def _columns(readings: Sequence[Reading], span: tuple[float, float], width: int) -> list[float]:
    """The largest value of each column; nothing before the first reading and after the end."""
    start, end = span
    share = width / max(1e-6, end - start)
    found: list[float] = [0.0] * width
    for at, reading in enumerate(readings):
        until = readings[at + 1].at_s if at + 1 < len(readings) else reading.at_s
        first = max(0, min(int((reading.at_s - start) * share), width - 1))
        last = max(first, min(int((until - start) * share) - 1, width - 1))
        for column in range(first, last + 1):
            found[column] = max(found[column], reading.value)
    return found


def top_of(peak: float, limit: float) -> float:
    """The upper end of the axis: the limit where that is near, else a little above the peak."""
    if 0 < limit <= peak * 3 or (limit > 0 and peak <= 0):
        return max(limit, peak) * 1.05
    return peak * 1.05
