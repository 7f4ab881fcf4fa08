"""Time as columns of a screen: lanes with a segment for each attempt, how busy many rows were, and the grid of tasks by
runs. Pure functions of rows, a span of time and a width.
"""

from collections.abc import Sequence

import msgspec

from engine.protocol.rows import GridRow, LaneRow, RunRow
from orchctl.console.drawing import Line, Span, column, duration, fitted, instant_s, joined
from orchctl.console.runlines import row_name
from orchctl.console.theme import Signs, status_style

_LEVELS = " ▁▂▃▄▅▆▇█"
_LEVELS_ASCII = " .:-=+*#@"
_TICK = 12
GRID_CELL = 6


def levels_of(signs: Signs) -> str:
    """Characters of growing height, from none."""
    return _LEVELS_ASCII if signs.ascii_only else _LEVELS


class Axis(msgspec.Struct, frozen=True):
    """The time that is shown, in seconds since the epoch."""

    start_s: float
    end_s: float

    def column(self, at_s: float, width: int) -> int:
        """The column of an instant; it may lie outside."""
        return int((at_s - self.start_s) / max(1e-6, self.end_s - self.start_s) * width)


def lane_name_width(width: int) -> int:
    return max(16, min(32, width // 4))


def axis_line(axis: Axis, zero_s: float, width: int) -> Line:
    """Marks over the lanes: the time since the run's start."""
    names = lane_name_width(width) + 3
    room = max(1, width - names)
    text = ""
    for at in range(0, room - _TICK // 2, _TICK):
        since = axis.start_s - zero_s + (axis.end_s - axis.start_s) * at / room
        text = text.ljust(at) + f"|{duration(max(0.0, since))}"
    return fitted([(f"   {column('TASK', names - 3)}{text}", "heading")], width)


def lane_line(row: LaneRow, axis: Axis, width: int, signs: Signs, now_s: float) -> Line:
    """A name and what happened when."""
    names = lane_name_width(width)
    name = row_name(row.task, row.index)
    if row.mapped:
        count = f" {signs.times}{row.rows:,}"
        name = column(name, max(4, names - 1 - len(count))).rstrip() + count
    head: Line = [(f"{signs.status(row.status)} ", status_style(row.status)), (column(name, names - 1) + " ", "strong")]
    room = max(1, width - names - 2)
    cells: list[Span] = [(" ", "plain")] * room
    if row.mapped:
        _put_busy(cells, row, axis, signs)
    else:
        _put_spans(cells, row, axis, signs, now_s)
    return [*head, *joined(cells)]


def _put_spans(cells: list[Span], row: LaneRow, axis: Axis, signs: Signs, now_s: float) -> None:
    width = len(cells)
    for number, (began, ended, how) in enumerate(row.spans, 1):
        start, end = instant_s(began), instant_s(ended)
        if start is None:
            continue
        first = axis.column(start, width)
        last = max(first, axis.column(now_s if end is None else end, width) - 1)
        block = signs.block("running" if how == "running" else "failed" if how != "succeeded" else how)
        for at in range(max(0, first), min(last + 1, width)):
            cells[at] = (block, status_style(how))
        if len(row.spans) > 1 and last > first and 0 <= first < width:
            cells[first] = (str(number % 10), status_style(how))


def _put_busy(cells: list[Span], row: LaneRow, axis: Axis, signs: Signs) -> None:
    start, end = instant_s(row.started_at), instant_s(row.until)
    most = max(row.busy, default=0)
    if start is None or end is None or not most:
        return
    levels = levels_of(signs)
    width, parts = len(cells), len(row.busy)
    style = status_style("failed" if row.tasks.get("failed") else row.status)
    for at in range(max(0, axis.column(start, width)), min(axis.column(end, width) + 1, width)):
        here = axis.start_s + (axis.end_s - axis.start_s) * (at + 0.5) / width
        part = min(parts - 1, max(0, int((here - start) / max(1e-6, end - start) * parts)))
        level = 0 if not row.busy[part] else max(1, round(row.busy[part] * (len(levels) - 1) / most))
        cells[at] = (levels[level], style)


def grid_heading(runs: Sequence[str], width: int) -> Line:
    """The numbers of the runs, the newest at the right."""
    names = lane_name_width(width)
    text = "".join(column(run, GRID_CELL - 1, right=True) + " " for run in runs)
    return fitted([(f"   {column('TASK', names)}{text}", "heading")], width)


def grid_line(row: GridRow, runs: Sequence[str], width: int, signs: Signs) -> Line:
    """How one task went in each of the runs; a blank where it was not in one."""
    names = lane_name_width(width)
    newest = row.cells.get(runs[-1], "") if runs else ""
    line: Line = [(f"{signs.status(newest)} ", status_style(newest)), (column(row.task, names), "strong")]
    for run in runs:
        status = row.cells.get(run, "")
        sign = signs.status(status) if status else " "
        line.append((" " * (GRID_CELL - 2) + sign + " ", status_style(status)))
    return fitted(line, width)


def grid_runs_that_fit(width: int) -> int:
    return max(1, (width - lane_name_width(width) - 4) // GRID_CELL)


def strip_line(rows: Sequence[RunRow], width: int, signs: Signs) -> Line:
    """Runs of a workflow from old to new: how each ended, and how long it took in proportion to the longest."""
    shown = rows[-(max(4, (width - 30) // 2)) :]
    levels = levels_of(signs)[1:]
    spent = [(instant_s(row.started_at), instant_s(row.finished_at)) for row in shown]
    seconds = [end - start if start is not None and end is not None else None for start, end in spent]
    most = max((value for value in seconds if value is not None), default=0.0)
    line: Line = [(signs.status(row.status), status_style(row.status)) for row in shown]
    line.append(("  ", "plain"))
    for value in seconds:
        level = 0 if value is None or most <= 0 else round(value * (len(levels) - 1) / most)
        line.append((signs.dotted if value is None else levels[level], "dim" if value is None else "plain"))
    known = sorted(value for value in seconds if value is not None)
    if known:
        line.append((f"  median {duration(known[len(known) // 2])}", "dim"))
    return fitted(line, width)
