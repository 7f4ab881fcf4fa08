"""What was compared, in words: values with their units, titles, speed-ups, and what was wrong with the trials."""

from collections import Counter
from collections.abc import Iterator, Sequence

from engine.model.ids import run_text
from orchctl.campaign.comparing import Line, Measurements, cell_text, counted
from orchctl.text import count_text, inert, size_text

FEW = 4
"""With fewer trials on each side no difference can be significant."""
_REASONS_SHOWN = 3


def title_of(lines: Sequence[Line], several: bool) -> str:
    """What the lines of one task and metric are about: `pack: duration, lower is better, against level=1`."""
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
    return f"{inert(first.task)}: {inert(first.metric)}{unit}{better}{base}"


def interval_text(line: Line) -> str:
    return f"{value_of(line.summary.low, line.unit)} to {value_of(line.summary.high, line.unit)}"


def speed_up_text(line: Line) -> str:
    """`1.23x (1.1 to 1.4)`; empty where there is nothing to compare with."""
    compared = line.comparison
    return f"{compared.speed_up:.3g}x ({compared.low:.3g} to {compared.high:.3g})" if compared else ""


def too_few(lines: Sequence[Line]) -> str:
    """What to say where there are too few trials to tell a difference; else empty."""
    if any(line.against and line.summary.used < FEW for line in lines):
        return f"with fewer than {FEW} trials on each side no difference can be significant"
    return ""


def value_of(value: float, unit: str) -> str:
    """A value for people: `303ms`, `1.2 MiB`, else four digits."""
    value = value or 0.0  # not -0
    if unit == "s" and value >= 0:
        return f"{value:.4g}s" if value >= 1 else f"{value * 1e3:.4g}ms"
    return size_text(value) if unit == "B" else _digits(value)


def _digits(value: float) -> str:
    """Four significant digits, with an exponent only where nobody would read all the zeros."""
    rounded = float(f"{value:.4g}")
    return f"{rounded:,.0f}" if 1e4 <= abs(rounded) < 1e12 else f"{value:.4g}"


def faults_of(one: Measurements) -> Iterator[str]:
    """How many trials the host disturbed and why, and what they reported that cannot be used."""
    trials = [row for row in one.trials if counted(row)]
    disturbed = [row for row in trials if row.marks]
    if disturbed:
        reasons = Counter(_kind(mark) for row in disturbed for mark in row.marks)
        shown = ", ".join(f"{_times(count)} {inert(why)}" for why, count in reasons.most_common(_REASONS_SHOWN))
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


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
