"""Lines as pieces of text with the names of their styles: everything that a screen shows is made of these, by pure
functions that know the width and nothing of a terminal. Text that comes here is inert already.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from engine.model.errors import ValueFault
from engine.model.instants import SECOND, duration_text, from_text
from engine.model.status import TaskStatus
from engine.protocol.rows import RunRow
from orchctl.console.theme import Signs, status_style
from orchctl.text import ORDER, cells, cut, pad

Span = tuple[str, str]
"""A piece of text and the name of its style."""
Line = list[Span]

FINISHED = frozenset(status.text for status in TaskStatus if status.finished)
BAD = frozenset(("failed", "upstream_failed"))


def fitted(spans: Iterable[Span], width: int) -> Line:
    """The spans in at most `width` columns."""
    line: Line = []
    room = width
    for text, style in spans:
        if room <= 0:
            break
        shown = cut(text, room)
        line.append((shown, style))
        room -= cells(shown)
    return line


def in_two_columns(lines: Sequence[Line], height: int, width: int) -> list[Line]:
    """The lines in two columns of that width, the left one full before the right one begins; in as many rows as there
    are lines if they need more than that height."""
    height = max(height, (len(lines) + 1) // 2)
    right = [*lines[height:], *([] for _ in range(2 * height - len(lines)))]
    return [
        [*ends(fitted(one, width), [], width), (" ", "plain"), *other] if other else one
        for one, other in zip(lines[:height], right, strict=False)
    ]


def width_of(spans: Iterable[Span]) -> int:
    return sum(cells(text) for text, _ in spans)


def ends(left: Sequence[Span], right: Sequence[Span], width: int) -> Line:
    """One line with spans at both ends; the left end gives way where both do not fit."""
    room = width - width_of(right) - 1
    shown = fitted(left, max(0, room))
    gap = width - width_of(shown) - width_of(right)
    return fitted([*shown, (" " * max(1, gap), "plain"), *right], width)


def column(text: str, width: int, *, right: bool = False) -> str:
    """The text in exactly `width` columns."""
    return pad(cut(text, width), width, right=right)


def folded_line(line: Line, width: int) -> list[Line]:
    """The line in pieces of at most `width` columns with every character kept, as a terminal would fold it."""
    if width_of(line) <= width:
        return [line]
    pieces: list[Line] = [[]]
    room = width
    for text, style in line:
        while text:
            kept = _head(text, room)
            if not kept and room < width:
                pieces.append([])
                room = width
                continue
            kept = kept or text[0]
            pieces[-1].append((kept, style))
            text, room = text[len(kept) :], room - cells(kept)
            if room <= 0 and text:
                pieces.append([])
                room = width
    return pieces


def _head(text: str, width: int) -> str:
    if text.isascii():
        return text[:width]
    room = width
    for at, character in enumerate(text):
        room -= cells(character)
        if room < 0:
            return text[:at]
    return text


def from_column(line: Line, first: int) -> Line:
    """The line without its first characters."""
    shown: Line = []
    for text, style in line:
        if first < len(text):
            shown.append((text[first:], style))
        first = max(0, first - len(text))
    return shown


def highlighted(line: Line, ranges: Iterable[tuple[int, int]], style: str) -> Line:
    """The line with other styles in some ranges of its characters, which ascend and do not overlap."""
    shown: Line = []
    starts = [(at, end) for at, end in ranges if end > at]
    place = 0
    for text, own in line:
        at, stop = place, place + len(text)
        for first, last in starts:
            if last <= at or first >= stop:
                continue
            begin, end = max(first, at) - place, min(last, stop) - place
            shown += [(text[at - place : begin], own), (text[begin:end], style)]
            at = place + end
        shown.append((text[at - place :], own))
        place = stop
    return [span for span in shown if span[0]]


def joined(cells: Iterable[Span]) -> Line:
    """The same with neighbours of one style as one piece."""
    line: Line = []
    for text, style in cells:
        if line and line[-1][1] == style:
            line[-1] = (line[-1][0] + text, style)
        else:
            line.append((text, style))
    return line


def rule(signs: Signs, width: int) -> Line:
    return [(signs.rule * width, "faint")]


# --- figures --------------------------------------------------------------------------------------------------------


def instant_s(text: str | None) -> float | None:
    """Seconds since the epoch of an RFC 3339 text; None where there is none."""
    if not text:
        return None
    try:
        return from_text(text) / SECOND
    except (ValueFault, OverflowError):
        return None


def seconds_between(started_at: str | None, finished_at: str | None, now_s: float) -> float | None:
    """How long something has lasted, up to now where it has not ended; None where it has not begun."""
    start = instant_s(started_at)
    if start is None:
        return None
    end = instant_s(finished_at)
    return max(0.0, (now_s if end is None else end) - start)


def duration(seconds: float | None) -> str:
    """`41ms`, `3.2s`, `2h14m`; a dash for None."""
    return "-" if seconds is None else duration_text(round(seconds * SECOND))


def clock(now_s: float) -> str:
    """The wall clock in the operator's own zone, `12:41:07`."""
    return datetime.fromtimestamp(now_s, UTC).astimezone().strftime("%H:%M:%S")


def time_of(text: str | None) -> str:
    """`12:41:07` of an instant, in the operator's own zone."""
    seconds = instant_s(text)
    return "-" if seconds is None else clock(seconds)


def day_and_time(text: str | None) -> str:
    """`2026-11-23 12:41:07` of an instant, in the operator's own zone."""
    seconds = instant_s(text)
    return "-" if seconds is None else datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def short_count(count: int) -> str:
    """`812`, `9,000`, `40k`, `1.2M`: at most five columns below ten million."""
    if count < 10_000:
        return f"{count:,}"
    return f"{count // 1000}k" if count < 1_000_000 else f"{count / 1e6:.1f}M"


def done_share(tasks: dict[str, int]) -> float:
    """The share of rows that have ended, 0 to 1."""
    total = sum(tasks.values())
    return sum(count for status, count in tasks.items() if status in FINISHED) / total if total else 0.0


def percent(share: float) -> str:
    """Whole percents, rounded down: 100 % only when all is done."""
    return f"{int(share * 100):3d}%"


# --- bars -----------------------------------------------------------------------------------------------------------


def stacked_bar(tasks: dict[str, int], width: int, signs: Signs) -> Line:
    """Counts by status as a bar of exactly `width` cells. Failed rows have at least one cell, however few."""
    total = sum(tasks.values())
    if not total:
        return [(signs.block("waiting") * width, "dim")]
    shown = [status for status in (*ORDER, *sorted(set(tasks) - set(ORDER))) if tasks.get(status)]
    exact = {status: tasks[status] * width / total for status in shown}
    parts = {status: int(exact[status]) for status in shown}
    for status in shown:
        if status in BAD and not parts[status]:
            parts[status] = 1
    while sum(parts.values()) > width:
        largest = max(parts, key=lambda status: parts[status])
        parts[largest] -= 1
    rest = sorted(shown, key=lambda status: exact[status] - parts[status], reverse=True)
    while sum(parts.values()) < width:
        parts[rest[0]] += 1
        rest = [*rest[1:], rest[0]]
    return [(signs.block(status) * parts[status], status_style(status)) for status in shown if parts[status]]


def gauge(used: float, capacity: float, width: int, signs: Signs) -> Line:
    """A bar of what is taken of a capacity, between its ends."""
    share = min(1.0, used / capacity) if capacity > 0 else 0.0
    full = round(share * width)
    left, right = signs.bar_ends
    style = "red" if share >= 0.95 else "yellow" if share >= 0.8 else "green"
    return [
        (left, "faint"),
        (signs.block("succeeded") * full, style),
        (signs.block("waiting") * (width - full), "dim"),
        (right, "faint"),
    ]


def counts(tasks: dict[str, int], signs: Signs) -> Line:
    """`✓39,871 ▶88 ✗37`, in the order of a bar."""
    line: Line = []
    for status in ORDER:
        if tasks.get(status):
            line.append((f"{signs.status(status)}{tasks[status]:,}", status_style(status)))
            line.append((" ", "plain"))
    return line[:-1]


def word(status: str, signs: Signs, *, with_glyph: bool = True) -> Span:
    """A status with its glyph: the two always go together."""
    shown = status.replace("_", " ")
    return (f"{signs.status(status)} {shown}" if with_glyph else shown, status_style(status))


# --- runs -----------------------------------------------------------------------------------------------------------

_RUN_FIXED = 1 + 2 + 8 + 11 + 21 + 6 + 8


def run_columns(width: int) -> int:
    """The columns that the workflow's name has in a table of runs."""
    return max(10, width - _RUN_FIXED)


def runs_heading(width: int, name: str = "WORKFLOW") -> Line:
    """Over a table that is `width` columns wide, the column for its cursor included."""
    width -= 1
    name = column(name, run_columns(width))
    text = f"   {name}{column('RUN', 8)}{column('STATE', 11)}{column('PROGRESS', 21)}"
    return fitted([(text + column("FAIL", 5, right=True) + column("TIME", 9, right=True), "heading")], width)


def run_line(row: RunRow, width: int, signs: Signs, now_s: float, name: str = "") -> Line:
    """One run in a table: glyph, workflow (or the name that it has there), number, state, progress, failures, time."""
    failed = row.tasks.get("failed", 0)
    spent = seconds_between(row.started_at, row.finished_at, now_s)
    return fitted(
        [
            (signs.status(row.status), status_style(row.status)),
            (" ", "plain"),
            (column(name or row.workflow, run_columns(width) - 1) + " ", "strong"),
            (column(row.run, 8), "plain"),
            (column(row.status, 11), status_style(row.status)),
            *stacked_bar(row.tasks, 14, signs),
            (f" {percent(done_share(row.tasks))} ", "plain"),
            (column(short_count(failed), 6, right=True), "red" if failed else "dim"),
            (column(duration(spent), 9, right=True), "plain"),
        ],
        width,
    )


_ACTIVE = frozenset(("queued", "running", "paused", "cancelling"))


def attention_key(row: RunRow) -> tuple[int, int]:
    """Sorts runs: active ones with failures, other active ones, failed ones, the rest; the newest of each first."""
    failing = any(row.tasks.get(status) for status in BAD)
    active = row.status in _ACTIVE
    rank = 0 if active and failing else 1 if active else 2 if row.status == "failed" else 3
    return rank, -run_number(row.run)


def newest_key(row: RunRow) -> int:
    return -run_number(row.run)


def run_number(text: str) -> int:
    """The number of `r12`; 0 for text that is no run."""
    return _number(text, "r")


def backfill_number(text: str) -> int:
    """The number of `b3`; 0 for text that is no backfill."""
    return _number(text, "b")


def _number(text: str, letter: str) -> int:
    digits = text.removeprefix(letter)
    return int(digits) if digits.isascii() and digits.isdigit() else 0
