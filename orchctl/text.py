"""Text for people. Whatever a task, a file or another user wrote may hold bytes that move the cursor, write
the clipboard, make the terminal type an answer, or show a name that is not the one written. It passes `inert`
before it is printed, and nothing else decides that. Tables and colours are made here too, after the text is
inert.

Visible forms: `\\xNN` below U+0100 and for bytes that are no UTF-8, `\\u{...}` above.
"""

import codecs
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from unicodedata import combining, east_asian_width

_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
    + "".join(map(chr, range(0x180B, 0x1810)))
    + "".join(map(chr, range(0xFE00, 0xFE0F)))  # FE0F asks for the coloured form of an emoji: harmless
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)
"""Characters that count as printable but show nothing, so that two names that differ look alike."""

_SPACES = frozenset("\u00a0\u2007\u202f\u3000")
"""Spaces that text in other scripts needs, and that have a width."""


def inert(value: object) -> str:
    """The text on one line with nothing alive in it. None gives the empty text."""
    text = "" if value is None else str(value)
    if text.isprintable() and (text.isascii() or _INVISIBLE.isdisjoint(text)):
        return text
    return "".join(map(_visible, text))


def inert_lines(text: str) -> str:
    """As `inert`, but line ends and tabs stay: for logs and for text of several lines."""
    return "\n".join("\t".join(map(inert, line.split("\t"))) for line in text.split("\n"))


def _visible(character: str) -> str:
    if character in _SPACES or (character.isprintable() and character not in _INVISIBLE):
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as surrogateescape keeps it
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}"


def levels_text(enforced: Mapping[str, object]) -> str:
    """How quotas are enforced: `memory sampled, cpu rounded up to whole cores`."""
    said = {"rounded": "rounded up to whole cores", "none": "not enforced"}
    return ", ".join(f"{inert(which)} {said.get(str(level), inert(level))}" for which, level in enforced.items())


class LogText:
    """Bytes of a log in pieces -> text, whole characters only; `\\r\\n` is one line end, bad bytes are surrogates."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._return = False

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """The text of a further piece. A `\\r` at its end waits for the next piece unless this is the last."""
        text = ("\r" if self._return else "") + self._decoder.decode(data, final)
        self._return = text.endswith("\r") and not final
        if self._return:
            text = text[:-1]
        return text.replace("\r\n", "\n")


def json_inert(data: bytes) -> str:
    """JSON with every live character inside its strings as `\\uXXXX`; it means the same to a reader."""
    text = data.decode("utf-8")
    if text.isprintable() and (text.isascii() or _INVISIBLE.isdisjoint(text)):
        return text
    return "".join(character if _visible(character) == character else _json_escape(character) for character in text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


# --- width and tables ---------------------------------------------------------------------------------------


def cells(text: str) -> int:
    """How many columns of a terminal the inert text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int) -> str:
    """The text in at most `width` columns; `…` at its end says that some is missing."""
    if cells(text) <= width:
        return text
    kept: list[str] = []
    room = width - 1
    for character in text:
        room -= cells(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept) + "…" if width > 0 else ""


def pad(text: str, width: int, *, right: bool = False) -> str:
    """The text filled up with spaces to `width` columns."""
    blank = " " * max(0, width - cells(text))
    return blank + text if right else text + blank


_COLUMN_MIN = 4
Cell = str | tuple[str, str]
"""A cell of a table: its text, or its text and the name of its style."""

_SGR = {"green": 32, "red": 31, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "dim": 2, "bold": 1}
STYLES = {
    "succeeded": "green",
    "failed": "red",
    "upstream_failed": "red",
    "lost": "red",
    "running": "cyan",
    "queued": "blue",
    "ready": "blue",
    "ordered": "blue",
    "backing_off": "yellow",
    "paused": "yellow",
    "cancelling": "yellow",
    "stopping": "yellow",
    "suspended": "yellow",
    "cancelled": "magenta",
    "skipped": "dim",
    "waiting": "dim",
    "ok": "green",
    "warning": "yellow",
    "problem": "red",
}
"""The style of each status, from the sixteen colours that every terminal has; its word always stands beside
it.
"""


class Palette:
    """Puts colour around text where the output takes it."""

    def __init__(self, *, colour: bool) -> None:
        self.colour = colour

    def paint(self, text: str, style: str) -> str:
        """The text in a style or in the style of a status; an unknown style is plain."""
        code = _SGR.get(STYLES.get(style, style))
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code is not None else text


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    palette: Palette,
    *,
    width: int = 0,
    right: str = "",
) -> list[str]:
    """Lines of aligned columns; cells are inert already. `right` names columns to align right.

    With a width the widest columns shrink until a line fits, so that no line of a terminal wraps.
    """
    body = [[cell if isinstance(cell, tuple) else (cell, "") for cell in row] for row in rows]
    widths = [max([cells(head), *(cells(row[at][0]) for row in body)]) for at, head in enumerate(headers)]
    while width and sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > _COLUMN_MIN:
        widths[widths.index(max(widths))] -= 1
    lines = [_line([(head, "bold") for head in headers], headers, widths, palette, right)]
    lines += [_line(row, headers, widths, palette, right) for row in body]
    return lines


def _line(
    row: Sequence[tuple[str, str]],
    headers: Sequence[str],
    widths: Sequence[int],
    palette: Palette,
    right: str,
) -> str:
    parts: list[str] = []
    for at, (text, style) in enumerate(row):
        shown = cut(text, widths[at])
        aligned_right = headers[at] in right.split()
        blank = " " * (widths[at] - cells(shown)) if aligned_right or at < len(row) - 1 else ""
        painted = palette.paint(shown, style) if shown else ""
        parts.append(blank + painted if aligned_right else painted + blank)
    return "  ".join(parts).rstrip()


# --- figures ------------------------------------------------------------------------------------------------


def size_text(size_bytes: float | None) -> str:
    """`512 B`, `3.2 MiB`; empty for None."""
    if size_bytes is None:
        return ""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB" if abs(size) < 1e6 else f"{size:.3g} TiB"


def gpu_use_text(used: Mapping[str, float | None]) -> str:
    """`87% busy, 3.0 GiB used`, as far as its driver tells."""
    busy, memory = used.get("busy"), used.get("memory")
    parts = ["" if busy is None else f"{busy:.0f}% busy", "" if memory is None else f"{size_text(memory)} used"]
    return ", ".join(filter(None, parts))


def seconds_text(seconds: float | None) -> str:
    """`41ms`, `3.2s`, `2h14m`; empty for None."""
    from engine.model.instants import SECOND, duration_text

    return "" if seconds is None else duration_text(round(max(0.0, seconds) * SECOND))


def count_text(count: int, noun: str) -> str:
    """`1 task`, `2 tasks`, `64,000 tasks`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def counts_text(counts: dict[str, int]) -> str:
    """`12 succeeded, 2 running`, in the order in which a task lives."""
    order = {name: at for at, name in enumerate(ORDER)}
    names = sorted((name for name in counts if counts[name]), key=lambda name: order.get(name, len(order)))
    return ", ".join(f"{counts[name]:,} {inert(name)}" for name in names)


ORDER = (
    "succeeded", "failed", "upstream_failed", "cancelled", "skipped", "running", "backing_off", "ready", "waiting",
)  # fmt: skip
"""Statuses of rows in the order in which counts and bars show them."""


def instant_text(instant: str | None) -> str:
    """An RFC 3339 instant to the second, `2026-11-23 02:15:00Z`; empty for None."""
    if not instant:
        return ""
    day, _, time = instant.partition("T")
    return inert(f"{day} {time[:8]}Z")


def standstill_text(reason: dict[str, Any]) -> str:
    """Of the reasons why something that runs stands still, the sentence; empty for any other reason."""
    kind, cpus = reason.get("kind"), reason.get("asked") or 0
    if kind == "paused":
        return f"paused by an operator; others may have its {inert(cpus)} CPUs" if cpus else "paused by an operator"
    if kind == "suspended":
        return f"suspended for {', '.join(map(inert, reason.get('holders') or ()))} (higher priority)"
    return f"waits for its {inert(cpus)} CPUs, to go on" if kind == "resuming" else ""
