"""The rows of a campaign: every cell of its matrix so many times, in an order that a drift of the host cannot favour.

interleaved: all cells once, then all again, so that a slow change hits all alike (the order of rounds in a block
design). random: the same rows shuffled by the seed, alike on every host and Python. sequential: all trials of a cell,
then the next cell. Warm-ups come before the trials that they are for: in rounds of their own, or cell by cell.
"""

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any, cast

from engine.expressions.values import kind_of
from engine.model.campaign import TRIAL, Campaign
from engine.model.errors import ValueFault
from engine.model.workflow import ROWS_MAX
from engine.scheduling.retry import draw

Axes = Sequence[tuple[str, Sequence[Any]]]


def rows_of(campaign: Campaign, axes: Axes) -> list[dict[str, Any]]:
    """The items of the rows: the parameters and the number of the trial. Raises ValueFault where there are too many."""
    rounds = range(1 - campaign.warmups, campaign.trials + 1)
    count = prod(len(values) for _, values in axes) * len(rounds)
    if count > ROWS_MAX:
        raise ValueFault(f"the matrix and its trials make {count} rows, more than {ROWS_MAX}")
    names = [name for name, _ in axes]
    cells = [dict(zip(names, values, strict=True)) for values in product(*(values for _, values in axes))]
    if campaign.order == "sequential":
        return [{**cell, TRIAL: trial} for cell in cells for trial in rounds]
    rows = [{**cell, TRIAL: trial} for trial in rounds for cell in cells]
    if campaign.order == "random":
        first = campaign.warmups * len(cells)
        ranks = [draw(campaign.seed, number) for number in range(len(rows) - first)]
        shuffled = sorted(range(len(ranks)), key=ranks.__getitem__)
        rows[first:] = [rows[first + number] for number in shuffled]
    return rows


def values_fault(values: object) -> str:
    """Why these cannot be the values of a parameter; empty where they can."""
    if not isinstance(values, list | tuple | range):
        return f"a list of values is expected, not {kind_of(values)}"
    seen: set[tuple[type, Any]] = set()
    for value in cast("Sequence[Any]", values):
        if value is not None and not isinstance(value, str | int | float | bool):
            return "a value is a text, a number, true, false or null"
        if (type(value), value) in seen:
            return f"the value {str(value)[:60]!r} is there twice"
        seen.add((type(value), value))
    return ""
