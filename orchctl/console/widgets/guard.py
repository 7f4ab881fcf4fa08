"""The last look at every line before it is sent. Text is inert since it arrived; should anything alive get past that, a
pasted character for example, it ends here. Where the terminal speaks only ASCII, other characters are replaced, each
by as many columns as it had.
"""

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from orchctl.text import cells

_ASCII = str.maketrans(
    {"…": "~", "—": "-", "–": "-", "─": "-", "│": "|", "█": "#", "×": "x", **dict.fromkeys("▁▂▃▄▅▆▇", " ")}
)


class Guard(LineFilter):
    """Replaces what is not printable, and with `ascii_only` what is not ASCII."""

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__()
        self._ascii_only = ascii_only

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The segments, with the same widths."""
        return [
            segment if self._harmless(segment.text) else Segment(self._replaced(segment.text), segment.style)
            for segment in segments
        ]

    def _harmless(self, text: str) -> bool:
        return text.isascii() and text.isprintable() if self._ascii_only else text.isprintable()

    def _replaced(self, text: str) -> str:
        shown = text.translate(_ASCII) if self._ascii_only else text
        return "".join(character if self._harmless(character) else "?" * cells(character) for character in shown)
