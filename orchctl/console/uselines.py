"""What an attempt has used over time as charts: memory, CPU and disk, each with its limit and its peak. Pure functions
of samples and a size.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from engine.protocol.rows import AttemptRow, SampleRow, SpecRow
from orchctl.console.drawing import Line, column, duration, fitted, instant_s
from orchctl.console.layout.chart import Reading, chart, top_of
from orchctl.console.theme import Signs
from orchctl.text import count_text, size_text

_LABEL = 10
_HEIGHT_MIN, _HEIGHT_MAX = 3, 12
_NEAR = 0.9


class _Plot(NamedTuple):
    title: str
    said: str
    readings: list[Reading]
    limit: float
    limit_text: str
    text: Callable[[float], str]
    grows: bool = False
    """Whether it never falls, so that what it is is its peak."""


def use_lines(
    attempt: AttemptRow | None, samples: Sequence[SampleRow], spec: SpecRow | None, size: tuple[int, int], signs: Signs,
    now_s: float,
) -> list[Line]:  # fmt: skip
    """Three charts that fill the height."""
    if attempt is None:
        return [[], [("  no attempt yet", "dim")]]
    began, ended = instant_s(attempt.started_at), instant_s(attempt.finished_at)
    width, height = size
    head = _heading(attempt, samples, width, now_s)
    if not samples or began is None:
        end = "is not sampled: what ends within a few seconds never is" if ended is not None else "has no sample yet"
        return [head, [], [(f"  attempt {attempt.number} {end}", "dim")]]
    span = (began, max(began + 1e-3, now_s if ended is None else ended))
    plots = _plots(attempt, samples, spec)
    each = max(_HEIGHT_MIN, min(_HEIGHT_MAX, (height - 2) // len(plots) - 1))
    lines = [head]
    for plot in plots:
        lines += _plot_lines(plot, span, (max(10, width - _LABEL - 2), each), width, signs)
    return [*lines, _axis(span, width)]


def _heading(attempt: AttemptRow, samples: Sequence[SampleRow], width: int, now_s: float) -> Line:
    began, ended = instant_s(attempt.started_at), instant_s(attempt.finished_at)
    how = attempt.sentence or attempt.outcome or attempt.status
    spent = "" if began is None else f", {duration((now_s if ended is None else ended) - began)}"
    line: Line = [(f" attempt {attempt.number}", "strong"), (f"  {how}{spent}", "plain")]
    if samples:
        most = max(row.processes for row in samples)
        threads = max(row.threads for row in samples)
        text = f"{most} processes" if most != 1 else "1 process"
        line.append((f"   at most {text}, {count_text(threads, 'thread')}   {len(samples)} samples", "dim"))
    return fitted(line, width)


def _plots(attempt: AttemptRow, samples: Sequence[SampleRow], spec: SpecRow | None) -> list[_Plot]:
    quota = spec.quota if spec is not None else {}
    times = [instant_s(row.at) or 0.0 for row in samples]
    last = samples[-1]

    def readings(values: list[float]) -> list[Reading]:
        return [Reading(at, value) for at, value in zip(times, values, strict=True)]

    def limit(name: str, text: Callable[[float], str]) -> tuple[float, str]:
        value = quota.get(name, 0.0)
        how = attempt.enforced.get(name, "")
        return value, f"limit {text(value)}{f', by {_BY[how]}' if how in _BY else ''}" if value else ""

    cpus = f"{last.cpus:.2f} CPUs now, {duration(last.cpu_seconds)} in all"
    if attempt.finished_at is not None:
        cpus = f"{duration(last.cpu_seconds)} in all"
    disk = f"{size_text(last.written)} written, {size_text(last.read)} read"
    return [
        _Plot("MEMORY", size_text(last.memory) if attempt.finished_at is None else "",
              readings([float(row.memory) for row in samples]), *limit("memory", size_text), size_text),
        _Plot("CPU", cpus, readings([row.cpus for row in samples]), *limit("cpu", _cpus), _cpus),
        _Plot("DISK", disk, readings([float(row.written) for row in samples]), *limit("disk", size_text), size_text,
              grows=True),
    ]  # fmt: skip


_BY = {"kernel": "the kernel", "sampled": "sampling", "none": "nobody here"}


def _cpus(value: float) -> str:
    return f"{value:.2f} CPUs"


def _plot_lines(plot: _Plot, span: tuple[float, float], size: tuple[int, int], width: int, signs: Signs) -> list[Line]:
    peak = max((reading.value for reading in plot.readings), default=0.0)
    top = top_of(peak, plot.limit)
    near = plot.limit > 0 and peak >= plot.limit * _NEAR
    shown = "" if plot.grows else f"peak {plot.text(peak)}"
    said = ", ".join(part for part in (plot.said, shown) if part)
    title: Line = [(f" {plot.title}  ", "heading"), (said, "red" if near else "plain")]
    if plot.limit_text:
        above = " (above)" if plot.limit > top else ""
        title.append((f"   {plot.limit_text}{above}", "yellow"))
    lines = [fitted(title, width)]
    drawn = chart(plot.readings, span, top, plot.limit, size, ascii_only=signs.ascii_only)
    for at, row in enumerate(drawn.rows):
        at_limit = at == drawn.limit_row
        label = plot.text(plot.limit) if at_limit else plot.text(peak) if at == 0 and drawn.limit_row != 0 else ""
        style = "yellow" if at_limit else "red" if near else "cyan"
        text = column(label, _LABEL - 1, right=True)
        lines.append([(f"{text} ", "dim"), (signs.upright, "faint"), (row, style)])
    return lines


def _axis(span: tuple[float, float], width: int) -> Line:
    """Times since the attempt began, under all charts."""
    room = max(10, width - _LABEL - 2)
    middle, end = duration((span[1] - span[0]) / 2), duration(span[1] - span[0])
    text = "0s".ljust(room // 2 - len(middle) // 2) + middle
    return fitted([(" " * (_LABEL + 1) + text.ljust(room - len(end)) + end, "dim")], width)
