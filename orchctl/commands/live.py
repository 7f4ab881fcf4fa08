"""The picture of a run that `orchctl run` and `show -f` draw while they follow it. Pure: rows and a size in, lines out.

A run may have thousands of tasks and a terminal twenty lines, so the picture prefers what a person looks for:
what failed, what runs, then what is next; the rest is counted in a last line.
"""

from collections.abc import Sequence

from engine.model.status import TaskStatus
from engine.protocol.rows import GroupRow, RunRow
from orchctl.text import Palette, cells, counts_text, cut, inert, pad, seconds_text

_BAR_CELLS = 16
_RANK = {"failed": 0, "upstream_failed": 0, "running": 1, "backing_off": 2, "ready": 3, "waiting": 4, "skipped": 6}
FINISHED = tuple(status.text for status in TaskStatus if status.finished)
_BLOCKS = {True: ("█", "▒", "░"), False: ("#", "+", ".")}


def finished(counts: dict[str, int]) -> int:
    """How many rows need nothing more."""
    return sum(counts.get(status, 0) for status in FINISHED)


def bar(counts: dict[str, int], rows: int, palette: Palette, *, unicode: bool) -> str:
    """A bar of 16 cells: finished rows, running ones, the rest. Failed rows have at least a cell of their own."""
    full, moving, empty = _BLOCKS[unicode]
    failed = counts.get("failed", 0) + counts.get("upstream_failed", 0)
    parts = (
        (finished(counts) - failed, full, "green"),
        (failed, full, "red"),
        (counts.get("running", 0), moving, "cyan"),
    )
    left, drawn = _BAR_CELLS, ""
    for count, block, style in parts:
        wide = min(left, max(1, count * _BAR_CELLS // max(1, rows))) if count > 0 else 0
        drawn += palette.paint(block * wide, style) if wide else ""
        left -= wide
    return drawn + palette.paint(empty * left, "dim")


def group_line(group: GroupRow, name_cells: int, width: int, palette: Palette, *, unicode: bool = True) -> str:
    """`clean            ████▒▒░░░░  12/64  running 2: clean[3] clean[5]`, in at most `width` columns."""
    rows = max(group.rows, sum(group.tasks.values()))
    count = f"{finished(group.tasks)}/{rows}" if group.mapped else inert(group.status)
    style = "" if group.mapped else group.status
    left = pad(cut(inert(group.task), name_cells), name_cells)
    room = width - name_cells - 2
    if room < _BAR_CELLS + 2:
        return cut(f"{left} {count}", width)
    line = f"{left}  {bar(group.tasks, rows, palette, unicode=unicode)}"
    room -= _BAR_CELLS + 2
    shown = cut(pad(count, 9), room)
    line += "  " + palette.paint(shown, style)
    room -= cells(shown) + 2
    tail = _tail(group)
    return line + "  " + palette.paint(cut(tail, room), "dim") if tail and room >= 8 else line.rstrip()


def _tail(group: GroupRow) -> str:
    parts: list[str] = []
    if group.mapped:
        parts += [
            f"{status} {group.tasks[status]}"
            for status in ("running", "failed", "backing_off", "ready")
            if group.tasks.get(status)
        ]
    names = [inert(name) for name in (*group.failed, *group.running)] if group.mapped else []
    text = ", ".join(parts) + (": " + " ".join(names) if names else "")
    return f"{text} {_why(group)}".strip() if group.why else text


def _why(group: GroupRow) -> str:
    """Its reason; the status stands before it already."""
    return inert(group.why.removeprefix(f"{group.status}: "))


def headline(run: RunRow, elapsed_s: float, palette: Palette) -> str:
    """`r12 orders  running  12.3s  12 succeeded, 2 running`."""
    return "  ".join(
        part
        for part in (
            palette.paint(f"{inert(run.run)} {inert(run.workflow)}", "bold"),
            palette.paint(inert(run.status), run.status),
            seconds_text(elapsed_s),
            counts_text(run.tasks),
        )
        if part
    )


def picture(
    run: RunRow, groups: Sequence[GroupRow], elapsed_s: float, size: tuple[int, int], palette: Palette,
    *, unicode: bool = True,
) -> list[str]:  # fmt: skip
    """The lines to draw on a terminal of (columns, lines): one less than it has, so that nothing scrolls."""
    columns, lines = size
    plain = cut(headline(run, elapsed_s, Palette(colour=False)), columns)
    whole = headline(run, elapsed_s, palette)
    fits = cells(headline(run, elapsed_s, Palette(colour=False))) <= columns
    head = whole if fits else plain
    room = max(0, lines - 2)
    shown = groups
    if len(groups) > room:
        ranked = sorted(range(len(groups)), key=lambda at: (_RANK.get(groups[at].status, 5), at))
        shown = [groups[at] for at in sorted(ranked[: max(0, room - 1)])]
    name_cells = min(max([8, *(cells(inert(group.task)) for group in shown)]), max(8, columns // 3))
    body = [group_line(group, name_cells, columns, palette, unicode=unicode) for group in shown]
    if len(shown) < len(groups) and room:
        body.append(palette.paint(cut(f"and {len(groups) - len(shown):,} more tasks", columns), "dim"))
    return [head, *body]


def progress_line(group: GroupRow) -> str:
    """`clean 12/64 running 2`, or `extract succeeded`: the plain line of a task whose rows changed."""
    name = inert(group.task)
    if not group.mapped:
        return " ".join(part for part in (name, inert(group.status), _why(group)) if part)
    rows = max(group.rows, sum(group.tasks.values()))
    parts = [f"{status} {count}" for status, count in group.tasks.items() if status not in ("waiting", "succeeded")]
    return " ".join([name, f"{finished(group.tasks)}/{rows}", *parts])
