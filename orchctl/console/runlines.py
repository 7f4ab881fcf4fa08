"""The lines of a run's screen: its tasks, rows, attempts, events and reasons, as pure functions of the width."""

from typing import Any, cast

from engine.model.resources import pressure_text
from engine.protocol.rows import AttemptRow, EventRow, GroupRow, ReasonRow, RunRow, StatsRow, TaskRow
from orchctl.console.drawing import (
    Line,
    Span,
    column,
    counts,
    done_share,
    duration,
    ends,
    fitted,
    percent,
    seconds_between,
    stacked_bar,
    time_of,
    word,
)
from orchctl.console.theme import Signs, status_style
from orchctl.text import ORDER, cells, count_text, inert, size_text, standstill_text

NAME_MIN, NAME_MAX = 16, 40


def row_name(task: str, index: int | None) -> str:
    """`clean[3]`, or `clean` for a task without `for_each`."""
    return task if index is None else f"{task}[{index}]"


def root_line(row: RunRow | None, run: int, width: int, signs: Signs, now_s: float) -> Line:
    """The run itself, as the outline's first line."""
    if row is None:
        return [(f"r{run}", "strong")]
    spent = duration(seconds_between(row.started_at, row.finished_at, now_s))
    left: Line = [
        word(row.status, signs),
        (f"  {row.workflow} {row.run}  ", "strong"),
        *stacked_bar(row.tasks, 12, signs),
        (f" {percent(done_share(row.tasks)).strip()}  ", "plain"),
    ]
    return ends([*left, *counts(row.tasks, signs)], [(spent, "plain")], width)


def _name_width(width: int) -> int:
    return max(NAME_MIN, min(NAME_MAX, width - 56))


def group_line(row: GroupRow, opened: bool, width: int, signs: Signs, now_s: float) -> Line:
    """A task: fold sign, glyph, name and number of rows, then its state; for a mapped one a bar and counts."""
    fold = (signs.opened if opened else signs.closed) if row.mapped else " "
    name_width = _name_width(width)
    name = column(row.task, name_width)
    head: Line = [
        (f"{fold} ", "dim"),
        (f"{signs.status(row.status)} ", status_style(row.status)),
        (f"{name} ", "strong"),
    ]
    spent = (duration(seconds_between(row.started_at, row.finished_at, now_s)), "dim")
    state = word(row.status, signs, with_glyph=False)
    if not row.mapped:
        shown: Line = [*head, state]
        if row.attempts > 1:
            shown.append((f"  try {row.attempts}", "dim"))
        if row.why:
            shown.append((f"  {row.why.removeprefix(f'{row.status}: ')}", "red" if row.status == "failed" else "dim"))
        return ends(shown, [spent] if row.started_at else [], width)
    head.append((column(f"{signs.times}{row.rows:,}", 8), "plain"))
    if width >= 60:
        head += [*stacked_bar(row.tasks, 12, signs), (" ", "plain")]
    numbers = counts(row.tasks, signs)
    head += [*numbers, (" ", "plain"), state] if numbers else [state]
    return ends(head, [spent] if row.started_at and width >= 90 else [], width)


def outcome_text(row: TaskRow | AttemptRow) -> str:
    """`exit 3`, `signal 9`, or the outcome's own word."""
    if row.exit_code:
        return f"exit {row.exit_code}"
    if row.signal:
        return f"signal {row.signal}"
    return row.outcome or ""


def why_text(row: TaskRow) -> str:
    """How a row ended or why it waits; the outcome is left out where the sentence says it already."""
    outcome = outcome_text(row)
    if outcome == "succeeded" or outcome in row.why:
        outcome = ""
    return ", ".join(part for part in (outcome, row.why) if part)


def child_line(row: TaskRow, width: int, signs: Signs, now_s: float) -> Line:
    """One row of an opened task, indented."""
    return [("    ", "plain"), *task_line(row, width - 4, signs, now_s)]


def more_line(count: int, width: int, signs: Signs) -> Line:
    return fitted([(f"    {signs.more} {count:,} more; open lists them all", "dim")], width)


def tasks_heading(width: int, sort: str) -> Line:
    """Over a table that is `width` columns wide, the column for its cursor included; an order that is not that of the
    workflow is named."""
    width -= 1
    name = _name_width(width)
    text = f"   {column('TASK', name)} {column('STATE', 16)}{column('TRY', 5)}{column('TIME', 8)} OUTCOME"
    order: Line = [] if sort == "topological" else [(f"by {sort}", "dim")]
    return ends([(text, "heading")], order, width)


def task_line(row: TaskRow, width: int, signs: Signs, now_s: float) -> Line:
    """A row of a run: name, state, attempts, time, and how it ended or why it waits."""
    spent = _spent(row, now_s)
    said = why_text(row)
    return fitted(
        [
            (f"{signs.status(row.status)} ", status_style(row.status)),
            (column(row_name(row.task, row.index), _name_width(width)) + " ", "plain"),
            _state(row),
            (column(str(row.attempts) if row.attempts else "", 5), "dim"),
            (column(spent, 8) + " ", "plain"),
            (said, "red" if row.status == "failed" else "dim"),
        ],
        width,
    )


def _state(row: TaskRow) -> Span:
    if row.suspended:
        return (column("stands still", 16), status_style("suspended"))
    return (column(row.status.replace("_", " "), 16), status_style(row.status))


def event_line(row: EventRow, width: int) -> Line:
    """An entry of the journal: when, what, on which row, and its fields."""
    where = row_name(row.task, row.index) if row.task else ""
    attempt = f"#{row.attempt}" if row.attempt is not None else ""
    fields = " ".join(_fields(row.details))
    return fitted(
        [
            (time_of(row.at) + " ", "dim"),
            (column(row.event, 20) + " ", "strong"),
            (f"{where} " if where else "", "plain"),
            (f"{attempt} " if attempt else "", "dim"),
            (fields, "dim"),
        ],
        width,
    )


def _fields(details: dict[str, Any]) -> list[str]:
    """The fields of an event that say something; its instant stands at the line's beginning already."""
    shown: list[str] = []
    for name, value in details.items():
        if name == "at_ns" or value in (None, "", 0, [], {}):
            continue
        if isinstance(value, dict):
            shown += _fields(cast("dict[str, Any]", value))
        else:
            text = inert(value)
            shown.append(f"{name}={text if len(text) <= 60 else text[:57] + '...'}")
    return shown


# --- details --------------------------------------------------------------------------------------------------------


def field(name: str, value: str, width: int) -> list[Line]:
    """A named value, over as many lines as it needs (at most 6)."""
    if not value:
        return []
    room = max(8, width - 10)
    pieces = folded(value, room)[:6]
    return [[(column(name if at == 0 else "", 9) + " ", "dim"), (piece, "plain")] for at, piece in enumerate(pieces)]


def folded(text: str, width: int) -> list[str]:
    """The text in pieces of at most `width` columns, broken at spaces where there are any."""
    lines: list[str] = []
    line = ""
    for part in text.split(" "):
        candidate = f"{line} {part}" if line else part
        if cells(candidate) <= width:
            line = candidate
            continue
        if line:
            lines.append(line)
        while cells(part) > width:
            kept = _head(part, width)
            lines.append(kept)
            part = part[len(kept) :]
        line = part
    return [*lines, line] if line or not lines else lines


def _head(text: str, width: int) -> str:
    room = width
    for at, character in enumerate(text):
        room -= cells(character)
        if room < 0:
            return text[: max(1, at)]
    return text


def _spent(row: RunRow | GroupRow | TaskRow, now_s: float) -> str:
    return duration(seconds_between(row.started_at, row.finished_at, now_s)) if row.started_at else ""


def _count_lines(tasks: dict[str, int], signs: Signs) -> list[Line]:
    return [[(f"{tasks[status]:>9,} ", "plain"), word(status, signs)] for status in ORDER if tasks.get(status)]


def run_details(row: RunRow, width: int, signs: Signs, now_s: float) -> list[Line]:
    lines: list[Line] = [fitted([(f"{row.workflow} {row.run}", "strong")], width), [word(row.status, signs)], []]
    lines += _count_lines(row.tasks, signs)
    lines.append([])
    lines += field("queued", time_of(row.queued_at), width)
    lines += field("started", time_of(row.started_at), width)
    lines += field("time", _spent(row, now_s), width)
    lines += field("trigger", row.trigger, width)
    lines += field("backfill", row.backfill or "", width)
    lines += _changed(row.settings.get("", {}), width)
    lines += field("due", row.due_at or "", width)
    lines += field("by", row.actor, width)
    lines += field("note", row.note, width)
    lines += field("version", row.version, width)
    lines += field("folder", row.folder, width)
    for name, value in row.params.items():
        lines += field(name, inert(value), width)
    return lines


def _changed(settings: dict[str, int], width: int) -> list[Line]:
    """What was set for this run only."""
    return field("set here", " ".join(f"{name}={value}" for name, value in settings.items()), width)


def group_details(row: GroupRow, width: int, signs: Signs, now_s: float) -> list[Line]:
    lines: list[Line] = [fitted([(row.task, "strong")], width), [word(row.status, signs)]]
    if row.mapped:
        lines += [[(f"{signs.times}{row.rows:,} rows" if row.rows else "rows not known yet", "plain")], []]
        lines += _count_lines(row.tasks, signs)
    lines.append([])
    lines += field("time", _spent(row, now_s), width)
    lines += field("does", row.action, width)
    lines += field("about", row.description, width)
    lines += field("needs", ", ".join(row.needs), width)
    lines += field("attempts", str(row.attempts or ""), width)
    lines += field("parallel", str(row.max_parallel or ""), width)
    lines += field("priority", str(row.priority or ""), width)
    lines += _changed(row.settings, width)
    lines += field("why", row.why, width)
    lines += field("failed", ", ".join(row.failed), width)
    lines += field("running", ", ".join(row.running), width)
    return lines


def task_details(row: TaskRow, width: int, signs: Signs, now_s: float) -> list[Line]:
    lines: list[Line] = [fitted([(row_name(row.task, row.index), "strong")], width), [word(row.status, signs)], []]
    lines += field("outcome", outcome_text(row), width)
    lines += field("why", row.why, width)
    lines += field("attempts", str(row.attempts or ""), width)
    lines += field("time", _spent(row, now_s), width)
    lines += field("started", time_of(row.started_at) if row.started_at else "", width)
    lines += field("pid", str(row.pid or ""), width)
    lines += field("cpu", "" if row.cpu_seconds is None else duration(row.cpu_seconds), width)
    lines += field("memory", size_text(row.max_rss), width)
    lines += field("item", "" if row.item is None else inert(row.item), width)
    if row.log:
        lines += field("log", inert(row.log.get("path")), width)
    return lines


def stats_details(row: StatsRow | None, width: int, signs: Signs) -> list[Line]:
    """Percentiles, and failures by cause."""
    if row is None:
        return []
    lines: list[Line] = []
    if row.rows > 1:
        lines += _figures("took", {name: duration(value) for name, value in row.seconds.items()}, width)
    lines += _figures("memory", {name: size_text(value) for name, value in row.max_rss.items()}, width)
    if row.failures:
        failed = row.tasks.get("failed", 0)
        lines += [[], [(f"FAILED ({failed:,}) by cause", "heading")]]
    for cause in row.failures:
        head: Line = [(f"{signs.status('failed')} {signs.times}{cause.get('count', 0)} ", "red")]
        pieces = folded(inert(cause.get("why") or "no cause known"), max(8, width - 8))[:3]
        lines.append(fitted([*head, (pieces[0], "plain")], width))
        lines += [fitted([("     " + piece, "plain")], width) for piece in pieces[1:]]
        named = cast("list[Any]", cause.get("rows") or [])
        lines.append(fitted([("     " + ", ".join(map(inert, named)), "dim")], width))
    return lines


def _figures(name: str, values: dict[str, str], width: int) -> list[Line]:
    """Percentiles, two on a line."""
    told = [f"{percentile} {value}" for percentile, value in values.items()]
    pairs = [told[at : at + 2] for at in range(0, len(told), 2)]
    room = max(8, (width - 10) // 2)
    texts = ["".join(column(text, room) for text in pair).rstrip() for pair in pairs]
    lead = [name, *[""] * len(texts)]
    return [[(column(lead[at], 9) + " ", "dim"), (text, "plain")] for at, text in enumerate(texts)]


def attempts_details(rows: list[AttemptRow], width: int, signs: Signs, now_s: float) -> list[Line]:
    """The attempts of a row, the newest first."""
    lines: list[Line] = [[], [("ATTEMPTS", "heading")]] if rows else []
    for row in sorted(rows, key=lambda row: -row.number)[:20]:
        status = row.outcome.split(".")[0] if row.outcome else row.status
        spent = duration(seconds_between(row.started_at, row.finished_at, now_s))
        said = row.sentence or row.outcome or row.status
        glyph: Span = (f"{signs.status(status)} ", status_style(status))
        lines.append(fitted([(f"{row.number:>2} ", "dim"), glyph, (f"{spent}  {said}", "plain")], width))
    return lines


# --- why it waits ---------------------------------------------------------------------------------------------------


def reason_text(reason: dict[str, Any]) -> str:
    """One reason as a sentence: `pool warehouse: asks 1, 0 free; held by r3 load, r4 load`."""
    if said := standstill_text(reason):
        return said
    kind, resource = inert(reason.get("kind") or ""), inert(reason.get("resource") or "")
    holders = _holders(reason)
    asked, available = reason.get("asked"), reason.get("available")
    match kind:
        case "upstream":
            counted = f", {inert(available)} of {inert(asked)} have ended" if asked not in (None, 1) else ""
            return f"waits for {holders or resource}{counted}"
        case "reservation":
            return f"room is set aside for {holders}"
        case "behind":
            return f"behind {holders} in the queue"
        case "max_parallel":
            return f"max_parallel of {resource} is reached: {holders} run"
        case "run_paused":
            return f"{resource} is paused"
        case "if_running":
            return f"another run of {resource} goes on: {holders}"
        case "backing_off":
            return f"its next try comes in {duration(asked)}" if isinstance(asked, int | float) else "tries again soon"
        case "pressure":
            bound, value = (float(reason.get(name) or 0) for name in ("asked", "available"))
            return f"pressure: {inert(pressure_text(resource, bound, value))}"
        case "read_only" | "stopping":
            return f"the engine is {kind.replace('_', '-')}"
        case _:
            pass
    what = " ".join(part for part in (kind, resource) if part)
    numbers = [f"asks {_amount(reason, 'asked')}"] if asked not in (None, "") else []
    numbers += [f"{_amount(reason, 'available')} free"] if available not in (None, "") else []
    text = f"{what}: {', '.join(numbers)}" if numbers else what
    return f"{text}; held by {holders}" if holders else text


def _holders(reason: dict[str, Any]) -> str:
    """`r3 load, r4 load, r5 load and 2 more`."""
    found: Any = reason.get("holders")
    holders = cast("list[Any]", found) if isinstance(found, list) else []
    more = f" and {len(holders) - 3} more" if len(holders) > 3 else ""
    return ", ".join(map(_holder, holders[:3])) + more


def _amount(reason: dict[str, Any], name: str) -> str:
    value: Any = reason[name]
    if reason.get("resource") == "memory" and isinstance(value, int | float):
        return size_text(value)
    return f"{value:g}" if isinstance(value, float) else inert(value)


def _holder(holder: Any) -> str:
    if isinstance(holder, dict):
        named = cast("dict[str, Any]", holder)
        return " ".join(inert(named[name]) for name in ("run", "row", "task") if named.get(name))
    return inert(holder)


def reason_lines(row: ReasonRow, width: int, signs: Signs) -> list[Line]:
    """A row that waits, and each reason on a line of its own."""
    rank = f"  rank {row.rank} in the queue" if row.rank is not None else ""
    predicted = f"  may start {time_of(row.predicted_start)}" if row.predicted_start else ""
    head: Line = [
        (f"{signs.status(row.status)} ", status_style(row.status)),
        (row_name(row.task, row.index), "strong"),
        (f"  {row.status.replace('_', ' ')}{rank}{predicted}", "plain"),
    ]
    lines = [fitted(head, width)]
    for reason in row.reasons:
        lines += [[("    " + piece, "plain")] for piece in folded(reason_text(reason), max(10, width - 4))]
    return lines


def settled_lines(row: TaskRow, width: int, signs: Signs, now_s: float) -> list[Line]:
    """A row that waits for nothing: since when it runs, or when and why it ended, after how many attempts."""
    spent = _spent(row, now_s)
    if row.status == "running":
        facts = [f"since {time_of(row.started_at)}, for {spent}"]
    else:
        facts = [f"ended {time_of(row.finished_at)}" if row.finished_at else "", f"took {spent}" if spent else ""]
        facts.append(count_text(row.attempts, "attempt") if row.attempts > 1 else "")
    head: Line = [word(row.status, signs), ("  " + "  ".join(fact for fact in facts if fact), "plain")]
    said = why_text(row).removeprefix(f"{row.status}: ")
    return [fitted(head, width), *([("    " + piece, "plain")] for piece in folded(said, max(10, width - 4)) if piece)]
