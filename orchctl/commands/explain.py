"""explain: why tasks do not run, in sentences."""

from typing import Any, cast

from engine.model.resources import pressure_text
from engine.protocol.messages import ExplainRun, ListTasks
from engine.protocol.rows import ReasonRow, TaskRow
from orchctl.client.session import typed
from orchctl.commands.kit import SUCCEEDED, Command, Parser, Place, Words, asked_row, run_argument, run_number, whole
from orchctl.commands.runs import row_name
from orchctl.text import count_text, inert, instant_text, size_text, standstill_text

_HOLDERS_SHOWN = 4


def _arguments(parser: Parser) -> None:
    run_argument(parser)
    parser.add_argument("task", metavar="TASK", nargs="?", help="this task only, or one row: clean[3]")
    parser.add_argument("--limit", metavar="N", type=whole(1), default=200, help="at most N rows (default 200)")


def explain(words: Words, place: Place) -> int:
    out = place.out
    with place.session(read_only=True) as session:
        number = run_number(session, words.run)
        task, index = asked_row(words.task)
        reply = session.rows(ExplainRun(run=number, task=task, index=index, limit=words.limit))
        ended: list[TaskRow] = []
        if task and not reply.rows:
            ended = typed(session.rows(ListTasks(run=number, task=task, index=index, limit=1)).rows, TaskRow)
    if out.json:
        out.rows(reply.rows)
        return SUCCEEDED
    rows = typed(reply.rows, ReasonRow)
    if not rows:
        out.line("nothing waits" + "".join(f": {row_name(row.task, row.index)} is {_settled(row)}" for row in ended))
    for row in rows:
        rank = f", rank {row.rank} in the queue" if row.rank is not None else ""
        due = f", expected to start at {instant_text(row.predicted_start)}" if row.predicted_start else ""
        out.line(f"{row_name(row.task, row.index)} {out.paint(inert(row.status), row.status)}{rank}{due}")
        out.lines(f"  {reason_sentence(reason)}" for reason in row.reasons)
    if reply.total > len(rows):
        out.remark(f"and {count_text(reply.total - len(rows), 'row')} more; --limit shows more of them")
    return SUCCEEDED


def _settled(row: TaskRow) -> str:
    """How it stands, and why."""
    why = inert(row.why).removeprefix(f"{row.status}: ")
    return inert(row.status) + (f" ({why})" if why else "")


def reason_sentence(reason: dict[str, Any]) -> str:
    """One reason in words: what it asks for, what there is, and who holds the rest."""
    if said := standstill_text(reason):
        return said
    resource = str(reason.get("resource") or "")
    if reason.get("kind") == "pressure":
        bound, value = (float(reason.get(name) or 0) for name in ("asked", "available"))
        return f"pressure: {inert(pressure_text(resource, bound, value))}"
    amount = size_text if resource == "memory" else inert
    parts = [" ".join(inert(part).replace("_", " ") for part in (reason.get("kind"), resource) if part)]
    asked, available = reason.get("asked"), reason.get("available")
    if asked not in (None, ""):
        parts.append(f"asks for {amount(asked)}")
    if available not in (None, ""):
        parts.append(f"available {amount(available)}")
    holders: list[Any] = list(reason.get("holders") or ())
    if holders:
        names = ", ".join(inert(_holder(holder)) for holder in holders[:_HOLDERS_SHOWN])
        more = f" and {len(holders) - _HOLDERS_SHOWN} more" if len(holders) > _HOLDERS_SHOWN else ""
        parts.append(f"held by {names}{more}")
    return ": ".join([parts[0], ", ".join(parts[1:])]) if len(parts) > 1 else parts[0]


def _holder(holder: Any) -> str:
    if not isinstance(holder, dict):
        return str(holder)
    names = cast(dict[str, Any], holder)
    return " ".join(str(part) for part in (names.get("run"), names.get("row") or names.get("task")) if part)


COMMANDS = {
    "explain": Command(
        explain,
        _arguments,
        ("orchctl explain r12", "orchctl explain latest 'clean[3]'", "orchctl explain r12 publish --json"),
        'A line a row that does not run, and all its reasons. --json: {"task", "index", "status", "rank",\n'
        '"predicted_start", "reasons"}, each reason {"kind", "resource", "asked", "available", "holders"}.',
    )
}
