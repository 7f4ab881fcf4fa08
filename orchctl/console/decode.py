"""Replies made inert as they arrive: the one place through which all text of an engine enters the console.

Names, notes, reasons and parameters may hold any character that somebody wrote. After `clean`, nothing of them can
move a cursor or hide, whatever a screen does with it. Log bytes are not text yet; `logbuffer` decodes them.
"""

from typing import Any, cast

from msgspec.structs import replace

from engine.protocol.messages import (
    AnyReply,
    Definition,
    Delta,
    Done,
    Gone,
    LogChunk,
    Refused,
    Rows,
    Snapshot,
    Welcome,
)
from orchctl.text import inert, inert_lines


def clean(reply: AnyReply) -> AnyReply:
    """The reply with every text in it inert."""
    match reply:
        case Snapshot() | Rows():
            return replace(reply, rows=_rows(reply.rows))
        case Delta():
            order = None if reply.order is None else [inert(key) for key in reply.order]
            return replace(reply, rows=_rows(reply.rows), order=order)
        case Refused():
            return replace(
                reply, sentence=inert(reply.sentence), hint=inert(reply.hint), faults=tuple(map(inert, reply.faults))
            )
        case Done():
            return replace(reply, body=_value(reply.body))
        case Gone():
            return replace(reply, why=inert(reply.why))
        case Definition():
            return replace(reply, text=inert_lines(reply.text), file=inert(reply.file), workflow=inert(reply.workflow))
        case LogChunk():
            return replace(reply, path=inert(reply.path))
        case Welcome():
            engine = reply.engine
            safe = replace(
                engine, state=inert(engine.state), home=inert(engine.home), version=inert(engine.version),
                problems=[inert(problem) for problem in engine.problems],
            )  # fmt: skip
            return replace(reply, engine=safe, role=inert(reply.role))


def _rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_value(row) for row in rows]


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return inert(value)
    if isinstance(value, dict):
        return {_value(key): _value(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_value(item) for item in cast("list[Any]", value)]
    return value
