"""A piece of a log in memory, with the places where its lines begin. A log may hold 10 GB and have no line end at all,
so the buffer keeps at most `BUFFER_BYTES` around what is looked at, knows lines by the byte at which they begin, and
takes a line longer than `LINE_BYTES` for several. It grows at both ends and gives up the other one.

Text is decoded when it is drawn: bytes that are no UTF-8 and characters that are alive show in their visible forms.
Colours that a program wrote (SGR sequences) are left out or become styles; every other escape stays visible.
"""

from bisect import bisect_right

from orchctl.console.drawing import Line
from orchctl.console.sgr import coloured, without_colours
from orchctl.text import LogText, inert

BUFFER_BYTES = 2 * 2**20
LINE_BYTES = 4096
_TAB = 8


class LogBuffer:
    """Bytes `start` to `end` of a log. `size` is its length as last heard."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._begins: list[int] = []
        self.start = 0
        self.size = 0
        self.final = False

    @property
    def end(self) -> int:
        return self.start + len(self._data)

    @property
    def lines(self) -> int:
        """How many lines are here."""
        return len(self._begins)

    @property
    def at_beginning(self) -> bool:
        return self.start == 0

    @property
    def at_end(self) -> bool:
        return self.end >= self.size

    def clear(self, start: int = 0) -> None:
        """Hold nothing; the next piece may begin at `start`."""
        self._data.clear()
        self._begins.clear()
        self.start = start

    def take(self, offset: int, data: bytes) -> int:
        """Take a piece in. The number of lines by which those that were here have moved down.

        What is here already is left out of the piece; one that touches neither end replaces everything.
        """
        if not self._data:
            self.start = offset
        if self.start <= offset < self.end:
            data = data[self.end - offset :]
            offset = self.end
        elif offset < self.start < offset + len(data):
            data = data[: self.start - offset]
        if offset == self.end:
            return self._append(data)
        if offset + len(data) == self.start:
            return self._prepend(data)
        self.clear(offset)
        return self._append(data)

    def _append(self, data: bytes) -> int:
        # The last line may have been cut where the piece before ended: find its pieces again.
        redo = self._begins.pop() if self._begins else self.start
        self._data += data
        self._begins += _begins(self._data, redo - self.start, self.start)
        extra = len(self._data) - BUFFER_BYTES
        if extra <= 0:
            return 0
        cut = bisect_right(self._begins, self.start + extra)
        cut = min(cut, len(self._begins) - 1)
        self._drop_before(self._begins[cut])
        return -cut

    def _drop_before(self, offset: int) -> None:
        del self._data[: offset - self.start]
        self._begins = self._begins[bisect_right(self._begins, offset - 1) :]
        self.start = offset

    def _prepend(self, data: bytes) -> int:
        before = len(self._begins)
        start = self.start - len(data)
        first = 0
        if start > 0:  # it may begin inside a line: go on to the first line that begins here
            newline = data.find(b"\n")
            first = newline + 1 if 0 <= newline < len(data) - 1 else 0
        self._data[:0] = data[first:]
        self.start = start + first
        self._begins = _begins(self._data, 0, self.start)
        moved = len(self._begins) - before
        if len(self._data) > BUFFER_BYTES:
            keep = max(1, bisect_right(self._begins, self.start + BUFFER_BYTES) - 1)
            if keep < len(self._begins):
                del self._data[self._begins[keep] - self.start :]
                del self._begins[keep:]
        return moved

    def offset_of(self, line: int) -> int:
        """The byte of the log at which a line begins."""
        return self._begins[line] if line < len(self._begins) else self.end

    def line_at(self, offset: int) -> int:
        """The line that holds a byte."""
        return max(0, bisect_right(self._begins, offset) - 1)

    def text(self, line: int) -> str:
        """A line, inert, without its end; tabs are spaces."""
        return readable(self._bytes(line))

    def coloured(self, line: int) -> Line:
        """The same, with the colours that were written."""
        return coloured(_decoded(self._bytes(line)))

    def _bytes(self, line: int) -> bytes:
        begin = self._begins[line] - self.start
        end = self._begins[line + 1] - self.start if line + 1 < len(self._begins) else len(self._data)
        return bytes(self._data[begin:end])


def readable(data: bytes) -> str:
    """One line of a log as text that is safe to show."""
    return inert(without_colours(_decoded(data)))


def _decoded(data: bytes) -> str:
    return LogText().feed(data, final=True).rstrip("\n").rstrip("\r").expandtabs(_TAB)


def _begins(data: bytearray, position: int, start: int) -> list[int]:
    """Where lines begin, from `position` in `data` on, as bytes of the log."""
    found: list[int] = []
    length = len(data)
    while position < length:
        found.append(start + position)
        newline = data.find(b"\n", position, position + LINE_BYTES)
        if newline >= 0:
            position = newline + 1
            continue
        following = position + LINE_BYTES
        back = 0
        while following < length and back < 3 and data[following] & 0xC0 == 0x80:  # not inside a character
            following -= 1
            back += 1
        position = following
    return found
