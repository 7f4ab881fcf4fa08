"""Trials of runs, sorted into groups (a task, a cell of its matrix, a metric, a run), each summed up and compared.

The baseline of a group is the same cell in another run, where runs are compared; within one run it is another cell of
the same task. A regression is a group that is worse than a baseline that somebody chose: the first of several runs, or
what `--baseline` names. A sum of trials that the host disturbed proves nothing, so it is `unclear`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

from engine.protocol.rows import MetricRow, TrialRow
from orchctl.campaign.statistics import Comparison, Summary, Trial, compare, summarize

Verdict = Literal["", "better", "worse", "same", "unclear"]
_OF_ANYTHING = ("cpu", "max_rss")
"""Measured of every task, and shown where they are asked for."""
_VERDICTS: Mapping[str, Verdict] = {"faster": "better", "slower": "worse", "same": "same", "unclear": "unclear"}


class Cell(tuple[tuple[str, Any], ...]):
    """One combination of parameters: pairs of name and value. Unlike those of a tuple, 1, 1.0 and true are three."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) is True and _kinds(self) == _kinds(cast("Cell", other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return super().__hash__()


def _kinds(cell: Iterable[tuple[str, Any]]) -> list[type]:
    return [type(value) for _, value in cell]


class Measurements(NamedTuple):
    """What one run measured."""

    run: int
    metrics: Sequence[MetricRow]
    trials: Sequence[TrialRow]


class Wishes(NamedTuple):
    """What to compare and how. `baseline_run` 0: the first; `baseline_cell`: these parameters otherwise, as texts."""

    metrics: tuple[str, ...] = ()
    baseline_run: int = 0
    baseline_cell: tuple[tuple[str, str], ...] = ()
    with_noisy: bool = False
    tolerance: float = 0.02


class Line(NamedTuple):
    """One group. `against` is the run and cell of its baseline, None where it has none or is the baseline itself."""

    task: str
    metric: str
    unit: str
    better: str
    cell: Cell
    run: int
    summary: Summary
    against: tuple[int, Cell] | None = None
    comparison: Comparison | None = None
    verdict: Verdict = ""
    regression: bool = False


class _Group(NamedTuple):
    line: Line
    trials: list[Trial]


_Key = tuple[int, Cell]


def compare_all(measured: Sequence[Measurements], wishes: Wishes) -> list[Line]:
    """The lines, ordered by task, metric, cell and run."""
    known = _known_metrics(measured)
    cells = _cells(measured)
    found: list[Line] = []
    for task in cells:
        for metric in _wanted(task, known, measured, wishes):
            declared = known.get((task, metric), MetricRow(task=task, metric=metric))
            groups = _groups(declared, measured, cells[task], wishes)
            found += [_judged(group, groups, cells[task], measured, wishes) for group in groups.values()]
    return found


def _known_metrics(measured: Iterable[Measurements]) -> dict[tuple[str, str], MetricRow]:
    known: dict[tuple[str, str], MetricRow] = {}
    for one in measured:
        known |= {(row.task, row.metric): row for row in one.metrics if (row.task, row.metric) not in known}
    return known


def _wanted(
    task: str, known: Mapping[tuple[str, str], MetricRow], measured: Iterable[Measurements], wishes: Wishes
) -> list[str]:
    """The metrics of a task: those that are asked for, else what was declared or reported, and the duration."""
    declared = [name for of, name in known if of == task]
    reported = (name for one in measured for row in one.trials if row.task == task for name in row.values)
    names = list(dict.fromkeys([*declared, *reported]))
    if wishes.metrics:
        return [name for name in wishes.metrics if name in names]
    return [name for name in names if name not in _OF_ANYTHING]


def metric_names(measured: Sequence[Measurements]) -> list[str]:
    """All that was measured: what the tasks declare and report first, then what is measured of anything."""
    declared = [row.metric for one in measured for row in one.metrics]
    reported = [name for one in measured for row in one.trials for name in row.values]
    names = list(dict.fromkeys([*declared, *reported]))
    return sorted(names, key=lambda name: name in _OF_ANYTHING)


def counted(row: TrialRow) -> bool:
    """Whether it is a trial that ended well, and no warm-up."""
    return row.trial > 0 and row.status == "succeeded"


def _cells(measured: Iterable[Measurements]) -> dict[str, list[Cell]]:
    """Of each task its cells, in the order in which every round tried them; sorted where rounds were shuffled."""
    rounds: dict[str, dict[tuple[int, int], list[Cell]]] = {}
    for one in measured:
        for row in sorted(one.trials, key=lambda row: row.index or 0):
            rounds.setdefault(row.task, {}).setdefault((one.run, row.trial), []).append(cell_of(row))
    found: dict[str, list[Cell]] = {}
    for task, tried in rounds.items():
        orders = list(tried.values())
        cells = list(dict.fromkeys(cell for order in orders for cell in order))
        steady = all(order == [cell for cell in cells if cell in set(order)] for order in orders)
        found[task] = cells if steady else sorted(cells, key=_natural)
    return found


def cell_of(row: TrialRow) -> Cell:
    return Cell(row.cell.items())


def _natural(cell: Cell) -> list[tuple[str, bool, float, str]]:
    """Numbers by their size before texts by their letters."""
    return [
        (name, False, float(value), value_text(value))
        if isinstance(value, int | float)
        else (name, True, 0.0, str(value))
        for name, value in cell
    ]


def _groups(
    metric: MetricRow, measured: Iterable[Measurements], cells: Iterable[Cell], wishes: Wishes
) -> dict[_Key, _Group]:
    gathered: dict[_Key, list[Trial]] = {}
    for one in measured:
        for row in one.trials:
            if row.task == metric.task and counted(row) and metric.metric in row.values:
                marks = () if wishes.with_noisy else row.marks
                gathered.setdefault((one.run, cell_of(row)), []).append(Trial(row.values[metric.metric], marks))
    keys = [(one.run, cell) for cell in cells for one in measured if (one.run, cell) in gathered]
    return {
        (run, cell): _Group(
            Line(
                metric.task, metric.metric, metric.unit, metric.better, cell, run, summarize(gathered[run, cell])
            ),
            gathered[run, cell],
        )
        for run, cell in keys
    }  # fmt: skip


def _judged(
    group: _Group, groups: Mapping[_Key, _Group], cells: Sequence[Cell], measured: Sequence[Measurements],
    wishes: Wishes,
) -> Line:  # fmt: skip
    line = group.line
    key = _baseline_of(line, cells, measured, wishes)
    before = groups.get(key)
    if before is None or key == (line.run, line.cell):
        return line
    if line.better not in ("lower", "higher"):
        return line._replace(against=key)
    try:
        better: Literal["lower", "higher"] = "lower" if line.better == "lower" else "higher"
        comparison = compare(before.trials, group.trials, better=better, tolerance=wishes.tolerance)
    except ValueError:  # of medians that are not above zero there is no ratio
        return line._replace(against=key, verdict="same" if before.trials == group.trials else "unclear")
    proved = not (line.summary.all_noisy or before.line.summary.all_noisy)
    verdict = _VERDICTS[comparison.judgement] if proved else "unclear"
    chosen = len(measured) > 1 or bool(wishes.baseline_cell)
    return line._replace(against=key, comparison=comparison, verdict=verdict, regression=chosen and verdict == "worse")


def _baseline_of(line: Line, cells: Sequence[Cell], measured: Sequence[Measurements], wishes: Wishes) -> _Key:
    """The run and cell that a group is measured against."""
    if wishes.baseline_cell:
        texts = dict(wishes.baseline_cell)
        wanted = {name: texts.get(name, value_text(value)) for name, value in line.cell}
        alike = (cell for cell in cells if {name: value_text(value) for name, value in cell} == wanted)
        same = (cell for cell in alike if _beside(cell, texts) == _beside(line.cell, texts))
        return line.run, next(same, line.cell)
    if len(measured) > 1:
        return wishes.baseline_run or measured[0].run, line.cell
    return line.run, cells[0]


def _beside(cell: Cell, texts: Mapping[str, str]) -> Cell:
    """The parameters that the texts leave as they are: they must be the same, not only look alike."""
    return Cell((name, value) for name, value in cell if name not in texts)


def value_text(value: Any) -> str:
    """A parameter's value as it is written on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def cell_text(cell: Cell) -> str:
    """`level=1 tool=gzip`; a task without parameters has one cell, shown as `all`."""
    return " ".join(f"{name}={value_text(value)}" for name, value in cell) or "all"
