"""What a terminal has to be told: only the cells that differ from what it shows already.

Textual sends every region that was drawn anew, whole; a clock that ticks costs its three lines. Here a picture is kept
of what was sent, cell by cell, and each update becomes the few runs of cells that are different. That is what makes a
console cheap over a slow line: most updates change some digits. What a terminal shows is unknown at first, after a
resize and after a stop; then everything is sent.
"""

from collections.abc import Iterator

from rich.cells import get_character_cell_size
from rich.console import Console
from rich.segment import ControlType, Segment
from rich.style import Style
from textual._compositor import CompositorUpdate
from textual.strip import Strip

Cell = tuple[str, Style]
"""A character and how it looks; the second cell of a wide character holds no text."""
_GAP = 8
"""To go over so many cells costs less than to begin a run anew."""
_PLAIN = Style()


class Shown:
    """What the terminal shows, as far as we know."""

    def __init__(self) -> None:
        self._lines: dict[int, list[Cell | None]] = {}

    def forget(self) -> None:
        """It may show anything."""
        self._lines.clear()

    def told(self, y: int, x: int, cells: list[Cell]) -> Iterator[tuple[int, list[Cell]]]:
        """These cells are to be shown from a place on: the runs that have to be sent, each with its column. What is
        given here counts as sent.
        """
        line = self._lines.setdefault(y, [])
        end = x + len(cells)
        line += [None] * (end - len(line))
        if line[x:end] == cells:
            return
        differ = [at for at, cell in enumerate(cells) if line[x + at] != cell]
        line[x:end] = cells
        first = last = differ[0]
        for at in differ[1:]:
            if at - last > _GAP:
                yield self._run(x, cells, first, last)
                first = at
            last = at
        yield self._run(x, cells, first, last)

    @staticmethod
    def _run(x: int, cells: list[Cell], first: int, last: int) -> tuple[int, list[Cell]]:
        while first and not cells[first][0]:  # a wide character is written from its first cell
            first -= 1
        return x + first, cells[first : last + 1]


class Difference(CompositorUpdate):
    """An update as the difference to what the terminal shows."""

    def __init__(self, update: CompositorUpdate, shown: Shown) -> None:
        self._update = update
        self._shown = shown

    def render_segments(self, console: Console) -> str:
        """The sequences that bring the terminal up to date. They are to be sent: they count as shown from now on."""
        sent: list[str] = []
        for y, x, cells in self._pieces(console):
            for column, run in self._shown.told(y, x, cells):
                sent.append(f"\x1b[{y + 1};{column + 1}H")
                sent.append(Strip(_segments(run)).render(console))
        return "".join(sent)

    def _pieces(self, console: Console) -> Iterator[tuple[int, int, list[Cell]]]:
        """(line, column, cells) of all that textual would send."""
        x = y = 0
        cells: list[Cell] = []
        for segment in console.render(self._update):  # pyright: ignore[reportArgumentType]
            if segment.control is None:
                if segment.text != "\n":
                    cells += cells_of(segment)
                continue
            if cells:
                yield y, x, cells
                cells = []
            for code in segment.control:
                if code[0] is ControlType.CURSOR_MOVE_TO and len(code) == 3:
                    x, y = int(code[1]), int(code[2])
        if cells:
            yield y, x, cells


def cells_of(segment: Segment) -> list[Cell]:
    """The cells that a segment fills. What has no width of its own stays with the character before it."""
    style = segment.style or _PLAIN
    if segment.text.isascii():
        return [(letter, style) for letter in segment.text]
    cells: list[Cell] = []
    for letter in segment.text:
        width = get_character_cell_size(letter)
        if width:
            cells.append((letter, style))
            cells += [("", style)] * (width - 1)
        elif cells:
            cells[-1] = (cells[-1][0] + letter, style)
    return cells


def _segments(cells: list[Cell]) -> Iterator[Segment]:
    """Neighbours of one style together."""
    text, style = "", _PLAIN
    for letter, own in cells:
        if own != style and text:
            yield Segment(text, style)
            text = ""
        text, style = text + letter, own
    yield Segment(text, style)
