"""One row of a run as lines: how it stands, its attempts, the end of its log, what it is to do, with what, and its
neighbours. Pure functions of rows and a width.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from engine.protocol.rows import AttemptRow, SpecRow, TaskRow
from orchctl.console.drawing import Line, column, duration, fitted, seconds_between, time_of, word
from orchctl.console.hostlines import also_text
from orchctl.console.runlines import folded, why_text
from orchctl.console.theme import Signs, status_style
from orchctl.text import inert, levels_text, size_text

_NAME = 11
_NEIGHBOURS = 20
_SECONDS = frozenset({"wall", "cpu_time", "silence"})
_SIZES = frozenset({"memory", "log", "disk"})


class Neighbour(NamedTuple):
    """What can be opened of a neighbour: its only row, the row of it that is paired with this one, or (`row` None and
    `mapped`) the list of its rows."""

    task: str
    row: int | None
    mapped: bool


class TaskPage(NamedTuple):
    """Lines, and what those that can be opened lead to."""

    lines: list[Line]
    neighbours: dict[int, Neighbour]


def task_page(
    row: TaskRow, spec: SpecRow | None, attempts: Sequence[AttemptRow], tail: Sequence[str], width: int, signs: Signs,
    now_s: float,
) -> TaskPage:  # fmt: skip
    """Everything about a row, what matters most first."""
    lines = _standing(row, width, signs, now_s)
    neighbours: dict[int, Neighbour] = {}
    lines += _attempts(attempts, width, signs, now_s)
    if tail:
        lines += [[], [(" END OF ITS LOG", "heading"), ("   L shows all of it", "dim")]]
        lines += [fitted([(f"  {line}", "plain")], width) for line in tail]
    if spec is not None:
        lines += [*_does(spec, width), *_limits(spec, row, width)]
        for line, neighbour in _neighbours(spec, row, width, signs):
            if neighbour is not None:
                neighbours[len(lines)] = neighbour
            lines.append(line)
    return TaskPage(lines, neighbours)


def _standing(row: TaskRow, width: int, signs: Signs, now_s: float) -> list[Line]:
    spent = seconds_between(row.started_at, row.finished_at, now_s) if row.started_at else None
    facts = [
        f"took {duration(spent)}"
        if spent is not None and row.finished_at
        else f"for {duration(spent)}"
        if spent
        else "",
        f"started {time_of(row.started_at)}" if row.started_at else "",
        f"cpu {duration(row.cpu_seconds)}" if row.cpu_seconds is not None else "",
        f"memory {size_text(row.max_rss)}" if row.max_rss else "",
        f"pid {row.pid}" if row.pid and row.status == "running" else "",
    ]
    said = why_text(row).removeprefix(f"{row.status}: ")
    style = "red" if row.status == "failed" else "plain"
    lines: list[Line] = [fitted([(" ", "plain"), word(row.status, signs), (f"   {said}", style)], width)]
    lines.append(fitted([(" " + "   ".join(fact for fact in facts if fact), "dim")], width))
    return lines + ([] if row.item is None else _named("item", inert(row.item), width, lead=" "))


def _attempts(attempts: Sequence[AttemptRow], width: int, signs: Signs, now_s: float) -> list[Line]:
    """The newest first."""
    if not attempts:
        return [[], [(" no attempt yet: x says why", "dim")]]
    heading = (
        f" {column('TRY', 6)}{column('STARTED', 10)}{column('TOOK', 9)}{column('CPU', 9)}{column('MEMORY', 10)}OUTCOME"
    )
    lines: list[Line] = [[], [(heading, "heading")]]
    for row in sorted(attempts, key=lambda row: -row.number):
        status = row.outcome.split(".")[0] if row.outcome else row.status
        status = "failed" if row.outcome and status not in ("succeeded", "cancelled", "lost") else status
        spent = seconds_between(row.started_at, row.finished_at, now_s)
        lines.append(
            fitted(
                [
                    (f" {row.number:>2} ", "dim"), (f"{signs.status(status)}  ", status_style(status)),
                    (column(time_of(row.started_at), 10), "plain"), (column(duration(spent), 9), "plain"),
                    (column("" if row.cpu_seconds is None else duration(row.cpu_seconds), 9), "dim"),
                    (column(size_text(row.max_rss) if row.max_rss else "", 10), "dim"),
                    (row.sentence or row.outcome or row.status, status_style(status)),
                ],
                width,
            )
        )  # fmt: skip
    return lines


def _does(spec: SpecRow, width: int) -> list[Line]:
    lines: list[Line] = [[], [(" WHAT IT DOES", "heading"), (f"   {spec.description}", "dim")]]
    for text in spec.lines[:200]:
        indent = " " * min(len(text) - len(text.lstrip()), width // 2)
        lines += [[(f"  {indent}{piece}", "plain")] for piece in folded(text.strip(), max(10, width - 4 - len(indent)))]
    lines += _named(spec.kind, f"in {spec.dir}", width)
    for name, value in spec.args.items():
        lines += _named("argument", f"{name} = {inert(value)}", width)
    for name, value in spec.env.items():
        lines += _named("environment", f"{name}={value}", width)
    if spec.pass_env:
        lines += _named("passed on", " ".join(spec.pass_env), width)
    if spec.outputs:
        lines += _named("outputs", " ".join(spec.outputs), width)
    return lines


def _limits(spec: SpecRow, row: TaskRow, width: int) -> list[Line]:
    claim = spec.claim
    asks = f"cpu {claim.get('cpu', 0):g}"
    asks += f"  memory {size_text(claim['memory'])}" if claim.get("memory") else ""
    lines: list[Line] = [[], [(" LIMITS", "heading")], *_named("claim", f"{asks}  {also_text(claim)}", width)]
    if spec.quota:
        lines += _named(
            "quota", "  ".join(f"{name} {_amount(name, value)}" for name, value in spec.quota.items()), width
        )
        lines += _named("enforced", levels_text(row.enforced), width)
    if spec.retry:
        on = spec.retry.get("on") or ()
        text = f"{spec.retry.get('limit')} more, after {duration(float(spec.retry.get('delay') or 0))}"
        lines += _named("retry", text + (f", on {' '.join(map(inert, on))}" if on else ""), width)
    if spec.priority:
        lines += _named("priority", str(spec.priority), width)
    if spec.max_parallel:
        lines += _named("parallel", f"at most {spec.max_parallel} rows at a time", width)
    changed = "  ".join(f"{name} {value}" for name, value in row.settings.items())
    lines += _named("changed", f"{changed}, for this run" if changed else "", width)
    return lines + _named("owner", spec.owner, width)


def _amount(name: str, value: float) -> str:
    if name in _SECONDS:
        return duration(value)
    return size_text(value) if name in _SIZES else f"{value:g}"


def _neighbours(spec: SpecRow, row: TaskRow, width: int, signs: Signs) -> list[tuple[Line, Neighbour | None]]:
    """A line a neighbour, with what it opens."""
    starts = f"   starts on {spec.trigger_rule.replace('_', ' ')}"
    hint = "; tab and enter open one" if spec.upstream or spec.downstream else ""
    lines: list[Line] = [[], [(" NEIGHBOURS", "heading"), (starts + hint, "dim")]]
    if spec.when:
        lines += _named("when", spec.when, width)
    return [
        *((line, None) for line in lines),
        *_side("needs", spec.upstream, spec.upstream_total, row, width, signs),
        *_side("needed by", spec.downstream, spec.downstream_total, row, width, signs),
    ]


def _side(
    name: str, tasks: Sequence[dict[str, Any]], total: int, row: TaskRow, width: int, signs: Signs
) -> list[tuple[Line, Neighbour | None]]:
    if not tasks:
        return [(fitted([(f"  {column(name, _NAME)} ", "dim"), ("nothing", "dim")], width), None)]
    found: list[tuple[Line, Neighbour | None]] = []
    for at, task in enumerate(tasks[:_NEIGHBOURS]):
        status, mapped = inert(task.get("status")), bool(task.get("mapped"))
        index = row.index if task.get("paired") else None
        opens = "its rows" if mapped and index is None else f"row [{index}] of it" if mapped else ""
        line: Line = [(f"  {column('' if at else name, _NAME)} ", "dim")]
        line += [(f"{signs.status(status)} ", status_style(status)), (inert(task.get("task")), "plain")]
        found.append((fitted([*line, (f"  {opens}", "dim")], width), Neighbour(inert(task.get("task")), index, mapped)))
    if total > _NEIGHBOURS:
        more = f"  {column('', _NAME)} {signs.more} {total - _NEIGHBOURS:,} more"
        found.append((fitted([(more, "dim")], width), None))
    return found


def _named(name: str, value: str, width: int, lead: str = "  ") -> list[Line]:
    """A named value, over as many lines as it needs (at most 8)."""
    if not value.strip():
        return []
    pieces = folded(value.strip(), max(10, width - _NAME - 4))[:8]
    return [
        [(f"{lead}{column(name if at == 0 else '', _NAME)} ", "dim"), (piece, "plain")]
        for at, piece in enumerate(pieces)
    ]
