"""compare: what the trials of runs measured, with intervals, speed-ups, regressions, and the noise on the host."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from engine.model.ids import is_name, run_text
from orchctl.commands.kit import RUN_FAILED, SUCCEEDED, Command, Parser, Place, UsageError, Words, run_number
from orchctl.text import Cell, cells, count_text, cut, inert, pad, size_text

if TYPE_CHECKING:
    from orchctl.campaign.comparing import Line, Measurements, Wishes
    from orchctl.client.session import Session
    from orchctl.commands.output import Output

_PLOT_COLUMNS = 40
_LABEL_COLUMNS = 40
_RUNS_MAX = 20
_SHARE_MAX = 10.0
_FEW = 4
_REASONS_SHOWN = 3
_CELLS_SHOWN = 8
_COLUMNS = (
    "task", "cell", "run", "metric", "unit", "better", "n", "noisy", "all_noisy", "median", "low", "high",
    "baseline_run", "baseline_cell", "speed_up", "speed_up_low", "speed_up_high", "p", "verdict", "regression",
)  # fmt: skip
_STYLES = {"better": "ok", "worse": "warning", "same": "dim", "unclear": "dim"}


def _share(text: str) -> float:
    import argparse

    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= _SHARE_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share such as 2%")
    return share


def _arguments(parser: Parser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", help="r12, 12, or latest; the first is the baseline")
    parser.add_argument("--task", metavar="TASK", default="", help="this task only, also one that declares no metrics")
    parser.add_argument("--metric", metavar="METRIC", action="append", default=[], help="this metric; may be repeated")
    parser.add_argument("--baseline", metavar="CELL|RUN", default="", help="a run, or parameters: level=1,tool=gzip")
    parser.add_argument("--tolerance", metavar="SHARE", type=_share, default=0.02, help="what is still the same (2%%)")
    parser.add_argument("--with-noisy", action="store_true", help="count trials that the host disturbed, too")
    parser.add_argument("--fail-on-regression", action="store_true", help="exit with 1 where something became worse")
    parser.add_argument("--csv", action="store_true", help="print a table for other programs")


def compare(words: Words, place: Place) -> int:
    out = place.out
    if words.csv and out.json:
        raise UsageError("--csv and --json are two forms of one answer", "write one of them")
    with place.session(read_only=True) as session:
        measured, wishes = _ask(session, words)
    from orchctl.campaign.comparing import compare_all

    lines = compare_all(measured, wishes)
    if not lines:
        raise UsageError(
            _nothing(measured, words), "tasks with `metrics:` or `trials:` measure; --task names any other"
        )
    _require_baseline(lines, wishes)
    if out.json:
        out.rows(_row(line) for line in lines)
    elif words.csv:
        _print_csv(lines, out)
    else:
        _print(lines, measured, out)
    regressions = sum(line.regression for line in lines)
    if regressions:
        out.remark(f"{count_text(regressions, 'regression')}")
    return RUN_FAILED if regressions and words.fail_on_regression else SUCCEEDED


def _ask(session: "Session", words: Words) -> "tuple[list[Measurements], Wishes]":
    from orchctl.campaign.comparing import Wishes

    if len(words.runs) > _RUNS_MAX:
        raise UsageError(f"at most {_RUNS_MAX} runs can be compared at once")
    numbers = list(dict.fromkeys(run_number(session, text) for text in words.runs))
    cell = _cell_of(words.baseline) if "=" in words.baseline else ()
    run = run_number(session, words.baseline) if words.baseline and not cell else 0
    if run and run not in numbers:
        numbers.insert(0, run)
    measured = [_measured(session, number, words.task) for number in numbers]
    return measured, Wishes(tuple(words.metric), run, cell, words.with_noisy, words.tolerance)


def _cell_of(text: str) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    for part in text.split(","):
        name, sign, value = part.strip().partition("=")
        if not sign or not is_name(name):
            raise UsageError(f"{part!r} is no parameter of a cell", "write it like level=1,tool=gzip")
        pairs.append((name, value))
    return tuple(pairs)


def _measured(session: "Session", run: int, task: str) -> "Measurements":
    from engine.protocol.messages import ListMetrics, ListTrials
    from engine.protocol.rows import MetricRow, TrialRow
    from orchctl.campaign.comparing import Measurements
    from orchctl.client.session import typed

    metrics = typed(session.rows(ListMetrics(run=run, task=task)).rows, MetricRow)
    trials = typed(list(session.pages(ListTrials(run=run, task=task))), TrialRow)
    return Measurements(run, metrics, trials)


def _require_baseline(lines: "Sequence[Line]", wishes: "Wishes") -> None:
    """Raises UsageError where no cell has the parameters that the baseline is to have."""
    from orchctl.campaign.comparing import cell_text, value_text

    wanted = set(wishes.baseline_cell)
    cells = dict.fromkeys(line.cell for line in lines)
    if not any(wanted <= {(name, value_text(value)) for name, value in cell} for cell in cells):
        shown = "; ".join(map(cell_text, list(cells)[:_CELLS_SHOWN]))
        raise UsageError(
            f"no cell has {' '.join('='.join(pair) for pair in wishes.baseline_cell)}", f"there are {shown}"
        )


def _nothing(measured: "Sequence[Measurements]", words: Words) -> str:
    runs = ", ".join(run_text(one.run) for one in measured)
    if words.metric and any(one.trials for one in measured):
        return f"no trial of {runs} has measured {', '.join(words.metric)}"
    return f"no trial of {runs} has ended well yet, or nothing is measured there"


# --- for programs -------------------------------------------------------------------------------------------


def _row(line: "Line") -> dict[str, Any]:
    from orchctl.campaign.comparing import cell_text

    summary, compared = line.summary, line.comparison
    against = line.against
    return dict(
        zip(
            _COLUMNS,
            (
                line.task, dict(line.cell), run_text(line.run), line.metric, line.unit, line.better, summary.used,
                summary.noisy, summary.all_noisy, summary.median, summary.low, summary.high,
                run_text(against[0]) if against else None, cell_text(against[1]) if against else None,
                *((compared.speed_up, compared.low, compared.high, compared.p) if compared else (None,) * 4),
                line.verdict, line.regression,
            ),
            strict=True,
        )
    )  # fmt: skip


def _print_csv(lines: "Iterable[Line]", out: "Output") -> None:
    import csv

    from orchctl.campaign.comparing import cell_text

    writer = csv.writer(out.stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for line in lines:
        row = {**_row(line), "cell": cell_text(line.cell)}
        writer.writerow([inert(value) if isinstance(value, str) else value for value in row.values()])


# --- for people ---------------------------------------------------------------------------------------------


def _print(lines: "Sequence[Line]", measured: "Sequence[Measurements]", out: "Output") -> None:
    several = len(measured) > 1
    for number, (_, some) in enumerate(groupby(lines, key=lambda line: (line.task, line.metric))):
        if number:
            out.line()
        _print_metric(list(some), several, out)
    faults = [f"{run_text(one.run)}: {fault}" for one in measured for fault in _faults(one)]
    if faults:
        out.lines(["", *faults])
    if any(line.against and min(line.summary.used, _FEW) < _FEW for line in lines):
        out.remark(f"with fewer than {_FEW} trials on each side no difference can be significant")


def _print_metric(lines: "Sequence[Line]", several: bool, out: "Output") -> None:
    from orchctl.campaign.comparing import cell_text
    from orchctl.campaign.plot import ASCII, UNICODE, axis_of, drawn

    first = lines[0]
    better = f", {first.better} is better" if first.better else ""
    unit = f" in {inert(first.unit)}" if first.unit and first.unit not in ("s", "B") else ""
    against = {line.against for line in lines if line.against}
    base = ""
    if len(against) == 1:
        run, cell = next(iter(against))
        base = f", against {run_text(run) if several else inert(cell_text(cell))}"
    elif several and against:
        base = f", against {run_text(next(iter(against))[0])}"
    out.line(out.paint(f"{inert(first.task)}: {inert(first.metric)}{unit}{better}{base}", "bold"))
    names = [inert(cell_text(line.cell)) for line in lines]
    intervals = [(line.summary.low, line.summary.median, line.summary.high) for line in lines]
    signs = UNICODE if out.unicode else ASCII
    out.table(
        ("CELL", *(("RUN",) if several else ()), "N", "NOISY", "MEDIAN", "INTERVAL", "SPEED-UP", "VERDICT"),
        (_cells(name, line, several) for name, line in zip(names, lines, strict=True)),
        right="N NOISY MEDIAN",
    )
    labels = [f"{name} {run_text(line.run)}" if several else name for name, line in zip(names, lines, strict=True)]
    axis = axis_of(intervals)
    left = min(max(map(cells, labels)), _LABEL_COLUMNS)
    width = max(10, min(_PLOT_COLUMNS, out.size()[0] - left - 4))
    for label, interval in zip(labels, intervals, strict=True):
        out.line(f"  {pad(cut(label, left), left)}  {drawn(interval, axis, width, signs)}".rstrip())
    ends = (value_of(axis[0], first.unit), value_of(axis[1], first.unit))
    out.line(" " * (left + 4) + ends[0] + " " * max(1, width - sum(map(len, ends))) + ends[1])


def _cells(name: str, line: "Line", several: bool) -> Sequence[Cell]:
    summary, compared = line.summary, line.comparison
    noisy = f"{summary.noisy}{'!' if summary.all_noisy else ''}" if summary.noisy else ""
    speed_up = f"{compared.speed_up:.3g}x ({compared.low:.3g} to {compared.high:.3g})" if compared else ""
    verdict: Cell = ("REGRESSION", "problem") if line.regression else (line.verdict, _STYLES.get(line.verdict, ""))
    return (
        name, *((run_text(line.run),) if several else ()), str(summary.used), noisy,
        value_of(summary.median, line.unit),
        f"{value_of(summary.low, line.unit)} to {value_of(summary.high, line.unit)}", speed_up, verdict,
    )  # fmt: skip


def value_of(value: float, unit: str) -> str:
    """A value for people: `303ms`, `1.2 MiB`, else four digits."""
    value = value or 0.0  # not -0
    if unit == "s" and value >= 0:
        return f"{value:.4g}s" if value >= 1 else f"{value * 1e3:.4g}ms"
    return size_text(value) if unit == "B" else f"{value:.4g}"


def _faults(one: "Measurements") -> "Iterator[str]":
    """How many trials the host disturbed and why, and what they reported that cannot be used."""
    from orchctl.campaign.comparing import counted

    trials = [row for row in one.trials if counted(row)]
    disturbed = [row for row in trials if row.marks]
    if disturbed:
        reasons = Counter(_kind(mark) for row in disturbed for mark in row.marks)
        shown = ", ".join(f"{count} times {inert(why)}" for why, count in reasons.most_common(_REASONS_SHOWN))
        worst = max((row.noise.get("during", {}).get("foreign_cpus", 0.0) for row in disturbed), default=0.0)
        yield (
            f"the host disturbed {len(disturbed)} of {count_text(len(trials), 'trial')}: {shown};"
            f" at most {worst:.2f} CPUs were used by others"
        )
    notes = Counter(note for row in trials for note in row.notes)
    for note, count in notes.most_common(_REASONS_SHOWN):
        yield f"{count_text(count, 'trial')}: {inert(note)}"
    again = sum(row.attempts > 1 for row in trials)
    if again:
        yield f"{count_text(again, 'trial')} went again"


def _kind(mark: str) -> str:
    """A mark without its numbers but for the limit, so that those of one kind can be counted."""
    found, sign, limit = mark.partition(" (limit ")
    kind = " ".join("N" if any(letter.isdigit() for letter in word) else word for word in found.split())
    return kind + sign + limit


COMMANDS = {
    "compare": Command(
        compare,
        _arguments,
        (
            "orchctl compare latest",
            "orchctl compare r12 r15 --metric duration --fail-on-regression",
            "orchctl compare r12 --baseline tool=gzip",
            "orchctl compare r12 r15 --csv",
        ),
        "Medians with 95 % bootstrap intervals. A speed-up above 1 is better than the baseline: the first run, or "
        "within one run its first cell. A verdict needs a Mann-Whitney test below 5 % and more than the tolerance. "
        "Trials that the host disturbed are left out, unless too few are left (`!`). --json: one object a group.",
    )
}
