"""The results of a campaign as lines: a table with medians, intervals, speed-ups and verdicts, the intervals as a plot,
and what was wrong with the trials. Pure functions of what was compared and a width.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from engine.model.ids import run_text
from orchctl.campaign.comparing import Cell, Measurements, cell_text
from orchctl.campaign.comparing import Line as Compared
from orchctl.campaign.plot import ASCII, UNICODE, Interval, axis_of, drawn
from orchctl.campaign.words import faults_of, interval_text, speed_up_text, title_of, too_few, value_of
from orchctl.console.drawing import Line, column, fitted
from orchctl.console.runlines import folded
from orchctl.console.theme import Signs
from orchctl.text import cells, inert

_COLUMNS = (("N ~NOISY", 9), ("MEDIAN", 10), ("INTERVAL", 21), ("SPEED-UP", 25), ("VERDICT", 10))
_WIDE = 100
"""Narrower ones leave the intervals to the plot."""
_RUN = 6
_LABEL_MAX = 48
_VERDICTS = {"better": "green", "worse": "red", "same": "dim", "unclear": "yellow"}
_SIGNS = {"better": "succeeded", "worse": "failed"}


class Row(NamedTuple):
    """A line of the results, and the cell that it is about, if it is about one."""

    line: Line
    cell: Cell | None = None


def results_heading(several: bool, width: int) -> Line:
    """Over the tables."""
    name = _name_width(several, width)
    text = f"  {column('CELL', name)} " + (column("RUN", _RUN) if several else "")
    return fitted([(text + "".join(column(title, wide) for title, wide in _columns(width)), "heading")], width)


def result_rows(
    lines: Sequence[Compared], measured: Sequence[Measurements], several: bool, width: int, signs: Signs
) -> list[Row]:
    """Each task: its title, its table and its plot; then what was wrong."""
    rows: list[Row] = []
    for _, some in groupby(lines, key=lambda line: (line.task, line.metric)):
        group = list(some)
        rows += [Row(fitted([(title_of(group, several), "strong")], width))]
        rows += [Row(_table_line(line, several, width, signs), line.cell) for line in group]
        rows += [Row([]), *_plot(group, several, width, signs), Row([])]
    for one in measured:
        for fault in faults_of(one):
            text = f"{run_text(one.run)}: {fault}" if several else fault
            rows += [Row([(piece, "yellow")]) for piece in folded(text, max(20, width - 2))]
    few = too_few(lines)
    if few:
        rows.append(Row(fitted([(few, "dim")], width)))
    return rows


def _columns(width: int) -> list[tuple[str, int]]:
    return [(title, wide) for title, wide in _COLUMNS if width >= _WIDE or title != "INTERVAL"]


def _name_width(several: bool, width: int) -> int:
    fixed = 3 + sum(wide for _, wide in _columns(width)) + (_RUN if several else 0)
    return max(8, min(_LABEL_MAX, width - fixed))


def _table_line(line: Compared, several: bool, width: int, signs: Signs) -> Line:
    summary = line.summary
    noisy = f" ~{summary.noisy}{'!' if summary.all_noisy else ''}" if summary.noisy else ""
    verdict = "REGRESSION" if line.regression else line.verdict
    style = _VERDICTS.get(line.verdict, "plain")
    glyph = signs.status(_SIGNS[line.verdict]) if line.verdict in _SIGNS else " "
    name = column(inert(cell_text(line.cell)), _name_width(several, width))
    run = column(run_text(line.run), _RUN) if several else ""
    texts = {
        "N ~NOISY": (f"{summary.used}{noisy}", "yellow" if noisy else "dim"),
        "MEDIAN": (value_of(summary.median, line.unit), "plain"), "INTERVAL": (interval_text(line), "dim"),
        "SPEED-UP": (speed_up_text(line), "plain"), "VERDICT": (verdict, style),
    }  # fmt: skip
    shown: Line = [(f"{glyph} ", style), (f"{name} ", "strong"), (run, "plain")]
    for title, wide in _columns(width):
        shown.append((column(texts[title][0], wide), texts[title][1]))
    return fitted(shown, width)


def _plot(group: Sequence[Compared], several: bool, width: int, signs: Signs) -> list[Row]:
    """The intervals on one axis."""
    labels = [
        inert(cell_text(line.cell)) + (f" {run_text(line.run)}" if several else "") for line in group
    ]  # fmt: skip
    intervals: list[Interval] = [(line.summary.low, line.summary.median, line.summary.high) for line in group]
    axis = axis_of(intervals)
    left = min(max(map(cells, labels)), _LABEL_MAX, max(8, width // 3))
    room = max(10, width - left - 5)
    rows: list[Row] = []
    for label, interval, line in zip(labels, intervals, group, strict=True):
        text = drawn(interval, axis, room, ASCII if signs.ascii_only else UNICODE)
        style = _VERDICTS.get(line.verdict, "cyan")
        rows.append(Row([(f"  {column(label, left)}  ", "plain"), (text, style)], line.cell))
    ends = (value_of(axis[0], group[0].unit), value_of(axis[1], group[0].unit))
    gap = " " * max(1, room - sum(map(cells, ends)))
    rows.append(Row([(f"{' ' * (left + 4)}{ends[0]}{gap}{ends[1]}", "dim")]))
    return rows
