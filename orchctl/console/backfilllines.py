"""A backfill as lines: how far it is, and what it was asked for. Pure functions of a row and a width."""

from engine.protocol.rows import BackfillRow
from orchctl.console.drawing import (
    BAD,
    Line,
    column,
    counts,
    day_and_time,
    done_share,
    duration,
    fitted,
    percent,
    seconds_between,
    stacked_bar,
)  # fmt: skip
from orchctl.console.theme import Signs, status_style
from orchctl.text import count_text, inert, instant_text

_SHOWN_AS = {"done": "succeeded"}
"""Backfills look like runs."""


def partition_counts(row: BackfillRow) -> dict[str, int]:
    """Its partitions by how their runs stand; those without one wait."""
    standing = {"running": len(row.active), "waiting": row.pending}
    return {**row.ended, **{status: count for status, count in standing.items() if count}}


def look_of(row: BackfillRow) -> str:
    """The status whose glyph and colour it has: one that is done with failures is no success."""
    failed = any(row.ended.get(status) for status in BAD)
    return "failed" if row.status == "done" and failed else _SHOWN_AS.get(row.status, row.status)


def _name_columns(width: int) -> int:
    return max(12, width - 63)


def backfill_heading(width: int) -> Line:
    """Over a table that is `width` columns wide, the column for its cursor included."""
    head = f"   {column('ID', 6)}{column('WORKFLOW', _name_columns(width - 1))}{column('STATE', 10)}"
    head += f"{column('PROGRESS', 18)}{column('DONE', 6, right=True)}{column('FAIL', 6, right=True)}"
    return fitted([(f"{head}{column('LEFT', 6, right=True)}  BY", "heading")], width)


def backfill_line(row: BackfillRow, width: int, signs: Signs) -> Line:
    """One backfill in a table."""
    found = partition_counts(row)
    failed = sum(row.ended.get(status, 0) for status in BAD)
    done, left = sum(row.ended.values()), row.pending + len(row.active)
    look = look_of(row)
    return fitted(
        [
            (f"{signs.status(look)} ", status_style(look)), (column(row.backfill, 6), "plain"),
            (column(row.workflow, _name_columns(width) - 1) + " ", "strong"),
            (column(row.status, 10), status_style(look)),
            *stacked_bar(found, 12, signs), (f" {percent(done_share(found))} ", "plain"),
            (column(f"{done:,}", 6, right=True), "plain"),
            (column(f"{failed:,}", 6, right=True), "red" if failed else "dim"),
            (column(f"{left:,}", 6, right=True), "plain"), (f"  {row.actor}", "dim"),
        ],
        width,
    )  # fmt: skip


def backfill_about(row: BackfillRow, signs: Signs, now_s: float) -> list[Line]:
    """What it was asked for, and how it stands."""
    span = f"{instant_text(row.since)[:10]} to {instant_text(row.until)[:10]}"
    rules = [f"the {row.order} first", f"at most {row.max_active} at once", f"reprocess {row.reprocess}"]
    if row.left_out:
        rules.append(f"{row.left_out:,} left out")
    spent = duration(seconds_between(row.made_at, row.finished_at, now_s))
    active = ", ".join(row.active[:6]) + (f" {signs.more}" if len(row.active) > 6 else "")
    goes_on = [f"now {active}"] if active else []
    goes_on += [f"next {row.next_partition}"] if row.next_partition else []
    given = ", ".join(f"{name}={inert(value)}" for name, value in row.params.items())
    said = "  ".join(part for part in (f"note: {row.note}" if row.note else "", given) if part)
    made = f" by {row.actor or '?'} {day_and_time(row.made_at)}, {'took' if row.finished_at else 'goes on for'} {spent}"
    about = f"{count_text(row.partitions, 'partition')}, {span}"
    return [
        [(f" {row.backfill} {row.workflow}  ", "strong"), (about, "plain")],
        [(" " + ", ".join(rules), "dim")],
        [(made, "dim")],
        [(" ", "plain"), *counts(partition_counts(row), signs), ("  " + ", ".join(goes_on), "plain")],
        [(f" {said}" if said else "", "dim")],
    ]
