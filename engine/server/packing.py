"""Rows as bytes. Each row is encoded once, whoever reads it; replies are put together from encoded rows, and cut to
what fits a frame. Whether a row has changed is whether its bytes have.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import msgspec

from engine.model.errors import Unavailable
from engine.protocol.framing import frame
from engine.protocol.messages import FRAME_BYTES_MAX, Delta, Rows, Snapshot, key_of
from engine.protocol.rows import Row

ROWS_BYTES_MAX = FRAME_BYTES_MAX - 8 * 2**10
"""Room for rows in a frame, beside what else the reply holds."""
VALUE_BYTES_MAX = 8 * 2**10
"""Longer values of a definition's author (an item, a parameter) are shown by their beginning."""
TEXT_CHARS_MAX = 4_000
MAP_BYTES_MAX = 64 * 2**10
_CUT_CHARS = 60

_encoder = msgspec.msgpack.Encoder()


class Packed(NamedTuple):
    """A row's key within its view, and its msgpack."""

    key: str
    data: bytes


class Page(msgspec.Struct, frozen=True):
    """The rows that answer a question. `cursors[i]` continues after row i; without them nothing continues.

    `total` counts all that match (0: not counted); `more` says that rows follow the last one.
    """

    rows: Sequence[Packed]
    total: int = 0
    cursors: Sequence[str] = ()
    more: bool = False


def pack(row: Row) -> Packed:
    """Encode a row."""
    return Packed(key_of(msgspec.structs.asdict(row)), _encoder.encode(row))


def pack_all(rows: Iterable[Row]) -> list[Packed]:
    return [pack(row) for row in rows]


def fitting(rows: Sequence[Packed], keys_too: bool = False) -> int:
    """How many of the rows, from the first, fit a frame (with the list of their keys beside them)."""
    size = 0
    for count, row in enumerate(rows):
        size += len(row.data) + (4 * len(row.key) + 5 if keys_too else 0)
        if size > ROWS_BYTES_MAX:
            return count
    return len(rows)


def short_value(value: Any) -> Any:
    """The value, or a text with the beginning of its JSON where it is long."""
    try:
        if len(_encoder.encode(value)) <= VALUE_BYTES_MAX:
            return value
        text = msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:  # a whole number may have any length
        return f"(not shown: {error})"
    return text[:200].decode(errors="replace") + f"... ({len(text)} bytes)"


def short_text(text: str) -> str:
    """The text, or its beginning where it is long."""
    return text if len(text) <= TEXT_CHARS_MAX else text[:TEXT_CHARS_MAX] + "..."


def short_map(values: dict[str, Any]) -> dict[str, Any]:
    """The map with long values shown by their beginning; of very many, all of them."""
    shown = {name: short_value(value) for name, value in values.items()}
    if len(msgspec.json.encode(shown)) <= MAP_BYTES_MAX:
        return shown
    return {name: str(value)[:_CUT_CHARS] for name, value in shown.items()}


def rows_frame(number: int, revision: int, page: Page) -> bytes:
    """The frame of `Rows`. Fewer rows than the page has, where they do not fit; the cursor then continues there.

    Raises Unavailable where not even one row fits: rows are made so that they do.
    """
    count = fitting(page.rows)
    if page.rows and not count:
        raise Unavailable("a row is too large to be shown")
    cut = count < len(page.rows)
    cursor = page.cursors[count - 1] if page.cursors and count and (cut or page.more) else ""
    rows = _listed(row.data for row in page.rows[:count])
    reply = Rows(id=number, revision=revision, rows=rows, total=page.total, cursor=cursor)
    return frame(reply)


def snapshot_frame(number: int, revision: int, rows: msgspec.Raw, total: int) -> bytes:
    return frame(Snapshot(id=number, revision=revision, rows=cast("list[dict[str, Any]]", rows), total=total))


def delta_frame(
    number: int, since: int, revision: int, rows: msgspec.Raw, order: msgspec.Raw | None, total: int
) -> bytes:
    reply = Delta(
        id=number, since=since, revision=revision, rows=cast("list[dict[str, Any]]", rows),
        order=cast("list[str] | None", order), total=total,
    )  # fmt: skip
    return frame(reply)


def raw_rows(rows: Iterable[Packed]) -> msgspec.Raw:
    """Encoded rows as one encoded list, to be put into many replies."""
    return cast("msgspec.Raw", _listed(row.data for row in rows))


def raw_keys(rows: Iterable[Packed]) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode([row.key for row in rows]))


def _listed(parts: Iterable[bytes]) -> list[dict[str, Any]]:
    """A msgpack array of encoded values, which the encoder copies as it stands."""
    data = list(parts)
    count = len(data)
    if count < 16:
        head = bytes((0x90 | count,))
    elif count < 2**16:
        head = b"\xdc" + count.to_bytes(2, "big")
    else:
        head = b"\xdd" + count.to_bytes(4, "big")
    return cast("list[dict[str, Any]]", msgspec.Raw(head + b"".join(data)))
