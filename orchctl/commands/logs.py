"""logs: what an attempt wrote. The engine is asked for pieces by offset, so a log of any size costs one piece
of memory.

A log is written by programs that nobody vouches for. It is printed inert, on a terminal and into a pipe
alike, because a pipe often ends at a terminal; `--raw` gives the bytes as they are, and is refused on a
terminal.
"""

import sys
import time
from collections.abc import Iterator

from engine.model.errors import EngineError, NotFound
from engine.model.ids import parse_row, row_text
from engine.protocol.messages import LOG_CHUNK_BYTES, ListTasks, LogChunk, ReadLog
from engine.protocol.rows import TaskRow
from orchctl.client.connection import EngineGone, NoEngine
from orchctl.client.session import AWAY_MAX_S, Session, typed
from orchctl.commands.kit import (
    SUCCEEDED,
    Command,
    Parser,
    Place,
    UsageError,
    Words,
    run_argument,
    run_number,
    whole,
)  # fmt: skip
from orchctl.commands.live import FINISHED
from orchctl.commands.output import Output
from orchctl.text import LogText, inert, inert_lines

_POLL_S = 0.25
_TAIL_BYTES_MAX = 16 * 2**20
_LINE_MAX = 64 * 2**10


def _arguments(parser: Parser) -> None:
    run_argument(parser)
    parser.add_argument("task", metavar="TASK", help="a task, or one row of a for_each: clean[3]")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the row has finished")
    parser.add_argument("--attempt", metavar="N", type=whole(1), default=0, help="the N-th attempt (default: newest)")
    parser.add_argument("--tail", metavar="N", type=whole(0), help="begin N lines before the end")
    parser.add_argument("--raw", action="store_true", help="the bytes as they are; not on a terminal")


def logs(words: Words, place: Place) -> int:
    out = place.out
    if words.raw and out.terminal:
        raise UsageError(
            "--raw is not for a terminal: a log may hold bytes that drive it", "send it to a file or a pipe"
        )
    if words.raw and out.json:
        raise UsageError("--raw and --json exclude each other")
    task, index = parse_row(words.task)
    with place.session(read_only=True) as session:
        request = ReadLog(run=run_number(session, words.run), task=task, index=index, number=words.attempt)
        printer = RawPrinter() if words.raw else JsonPrinter(out) if out.json else TextPrinter(out)
        if not words.follow:
            begin = start_of(session, request, words.tail)
            if not _copy(pieces(session, begin), printer) and words.tail != 0:
                _say_why_nothing(session, request, out)
            return SUCCEEDED
        _follow(session, request, words.tail, printer, out)
    return SUCCEEDED


def _copy(chunks: Iterator[LogChunk], printer: "Printer") -> int:
    """Print the pieces; the number of bytes that they had."""
    count = 0
    for chunk in chunks:
        printer.feed(chunk)
        count += len(chunk.data)
    printer.end()
    return count


def _say_why_nothing(session: Session, request: ReadLog, out: Output) -> None:
    """An empty log with no word about it looks like a fault of ours."""
    chunk = session.ask(request, LogChunk)
    name = row_text(request.task, request.index)
    said = f"wrote nothing: {inert(chunk.sentence)}" if chunk.final else "has written nothing yet"
    out.remark(f"attempt {chunk.number} of {name} {said}")


def pieces(session: Session, request: ReadLog, *, follow: bool = False) -> Iterator[LogChunk]:
    """The pieces of one attempt's log from the request's offset on; with `follow`, until it grows no more."""
    offset, number = request.offset, request.number
    while True:
        try:
            chunk = session.ask(
                ReadLog(run=request.run, task=request.task, index=request.index, number=number, offset=offset), LogChunk
            )
        except (EngineGone, NoEngine):
            if not follow:
                raise
            session.reconnect(AWAY_MAX_S)
            continue
        number = chunk.number
        offset = chunk.offset + len(chunk.data)
        if chunk.data:
            yield chunk
        if offset < chunk.size and chunk.data:
            continue
        if chunk.final or not follow:
            return
        if not chunk.data:
            time.sleep(_POLL_S)


def start_of(session: Session, request: ReadLog, tail: int | None) -> ReadLog:
    """The request that begins `tail` lines before the log's end; from its first byte without. Looks back 16 MiB."""
    from msgspec.structs import replace

    if tail is None:
        return request
    chunk = session.ask(replace(request, offset=-LOG_CHUNK_BYTES), LogChunk)
    request = replace(request, number=chunk.number)
    end = chunk.offset + len(chunk.data)
    if tail == 0:
        return replace(request, offset=end)
    data, begin = chunk.data, chunk.offset
    while begin > 0 and data.count(b"\n", 0, len(data) - 1) < tail and len(data) < _TAIL_BYTES_MAX:
        before = max(0, begin - LOG_CHUNK_BYTES)
        earlier = session.ask(replace(request, offset=before, limit=begin - before), LogChunk)
        data, begin = earlier.data + data, before
    at = len(data) - 1  # the last line's own end does not count
    for _ in range(tail):
        at = data.rfind(b"\n", 0, max(at, 0))
        if at < 0:
            return replace(request, offset=begin)
    return replace(request, offset=begin + at + 1)


def _follow(session: Session, request: ReadLog, tail: int | None, printer: "Printer", out: Output) -> None:
    """Follow attempt after attempt, until the row has finished; with `--attempt`, that one only."""
    from msgspec.structs import replace

    printed = 0
    single = request.number != 0
    while True:
        row = _row(session, request)
        if row.attempts > printed:
            number = request.number or (printed + 1 if printed else row.attempts)
            if printed:
                out.remark(f"--- {row_text(request.task, request.index)}: attempt {number} ---")
            wanted = replace(request, number=number)
            begin = wanted if printed else start_of(session, wanted, tail)
            _copy(pieces(session, begin, follow=True), printer)
            printed = number
            if single:
                return
            row = _row(session, request)
        if row.attempts <= printed and row.status in FINISHED:
            return
        if row.attempts <= printed:
            time.sleep(_POLL_S)


def _row(session: Session, request: ReadLog) -> TaskRow:
    index = None if request.index < 0 else request.index
    rows = typed(session.rows(ListTasks(run=request.run, task=request.task, index=index, limit=2)).rows, TaskRow)
    if not rows:
        raise NotFound(f"run r{request.run} has no row {row_text(request.task, request.index)}")
    if len(rows) > 1 and index is None:
        raise EngineError(f"{request.task} has many rows", f"name one of them, such as {request.task}[0]")
    return rows[0]


# --- how a log is printed -----------------------------------------------------------------------------------


class TextPrinter:
    """Inert text. A log that does not end its last line gets its end from us."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._text = LogText()
        self._open = False

    def feed(self, chunk: LogChunk) -> None:
        self._print(self._text.feed(chunk.data))

    def end(self) -> None:
        self._print(self._text.feed(b"", final=True))
        if self._open:
            self._print("\n")
        self._text = LogText()

    def _print(self, text: str) -> None:
        if text:
            self._open = not text.endswith("\n")
            self._out.stream.write(inert_lines(text))
            self._out.flush()


class RawPrinter:
    """The bytes themselves."""

    def feed(self, chunk: LogChunk) -> None:
        sys.stdout.buffer.write(chunk.data)
        sys.stdout.buffer.flush()

    def end(self) -> None:
        sys.stdout.buffer.flush()


class JsonPrinter:
    """An object a line of the log: {"attempt", "offset", "text"}; `offset` is where the line begins.

    A line longer than 64 KiB comes in pieces, told apart by their offsets.
    """

    def __init__(self, out: Output) -> None:
        self._out = out
        self._rest = b""
        self._offset = 0
        self._number = 0

    def feed(self, chunk: LogChunk) -> None:
        if not self._rest:
            self._offset = chunk.offset
        self._number = chunk.number
        *lines, self._rest = (self._rest + chunk.data).split(b"\n")
        for line in lines:
            self._print(line, 1)
        while len(self._rest) > _LINE_MAX:
            piece, self._rest = self._rest[:_LINE_MAX], self._rest[_LINE_MAX:]
            self._print(piece, 0)
        self._out.flush()

    def end(self) -> None:
        if self._rest:
            self._print(self._rest, 0)
        self._rest = b""
        self._out.flush()

    def _print(self, line: bytes, end_bytes: int) -> None:
        text = line.removesuffix(b"\r").decode("utf-8", "surrogateescape")
        clean = "".join(inert(mark) if "\ud800" <= mark <= "\udfff" else mark for mark in text)
        self._out.row({"attempt": self._number, "offset": self._offset, "text": clean})
        self._offset += len(line) + end_bytes


Printer = TextPrinter | RawPrinter | JsonPrinter

COMMANDS = {
    "logs": Command(
        logs,
        _arguments,
        (
            "orchctl logs r12 extract",
            "orchctl logs latest 'clean[3]' -f --tail 20",
            "orchctl logs r12 extract --attempt 1",
            "orchctl logs r12 extract --raw > extract.log",
        ),
        "Both streams in the order in which they were written. Bytes that could drive a terminal are shown as "
        r"\xNN or \u{...}, also in a pipe; --raw leaves them as they are. -f goes on with the next attempt.",
    )
}
