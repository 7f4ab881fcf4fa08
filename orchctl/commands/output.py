"""Where a verb prints. Nothing reaches standard output but through here, and everything that was written by
others passes `orchctl.text.inert` on the way. What is for programs goes to standard output; remarks for the
person who sits there go to standard error.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from orchctl.text import Cell, Palette, inert, json_inert, table


class Output:
    """One verb's standard output. With `json`, objects instead of lines for people."""

    def __init__(self, *, json: bool = False, stream: TextIO | None = None, remarks: TextIO | None = None) -> None:
        self.json = json
        self.stream = stream or sys.stdout
        self.remarks = remarks or sys.stderr
        self.terminal = self.stream.isatty()
        self.live = self.terminal and os.environ.get("TERM", "dumb") != "dumb"
        self.palette = Palette(colour=self.live and not os.environ.get("NO_COLOR"))

    @property
    def unicode(self) -> bool:
        """Whether lines and blocks can be drawn with more than ASCII."""
        return (self.stream.encoding or sys.getdefaultencoding()).lower().replace("-", "") == "utf8"

    @property
    def asks(self) -> bool:
        """Whether a person is there who could answer: questions go to standard error, whatever the output is."""
        return self.remarks.isatty() and sys.stdin.isatty()

    def size(self) -> tuple[int, int]:
        """Columns and lines of the terminal; 80 and 24 where it does not say."""
        try:
            columns, lines = os.get_terminal_size(self.stream.fileno())
        except (OSError, ValueError):
            columns, lines = 0, 0
        return columns or 80, lines or 24

    def line(self, text: str = "") -> None:
        """Print a line of our own making: what others wrote in it is inert already."""
        self.stream.write(text + "\n")

    def lines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.line(text)

    def row(self, row: Mapping[str, Any]) -> None:
        """Print an object as one line of JSON."""
        import msgspec

        self.line(json_inert(msgspec.json.encode(_encodable(row))))

    def rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Print objects, each as one line of JSON."""
        for row in rows:
            self.row(row)

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[Cell]], *, right: str = "") -> None:
        """Print a table; on a terminal its lines never wrap."""
        width = self.size()[0] if self.terminal else 0
        self.lines(table(headers, rows, self.palette, width=width, right=right))

    def paint(self, text: str, style: str) -> str:
        return self.palette.paint(text, style)

    def remark(self, sentence: str) -> None:
        """Tell the person something that is not the verb's result; programs that read `--json` do not get it."""
        if not self.json:
            self.flush()
            self.remarks.write(inert(sentence) + "\n")
            self.remarks.flush()

    def wait(self, sentence: str) -> None:
        """Tell a person who looks on why nothing happens yet."""
        if self.remarks.isatty():
            self.remark(sentence)

    def end_echo(self) -> None:
        """End the line on which a terminal shows the `^C` that was typed."""
        if self.remarks.isatty():
            self.remarks.write("\n")

    def flush(self) -> None:
        self.stream.flush()

    def confirm(self, question: str, *, yes: bool) -> bool:
        """Whether to go on with something that destroys: asks only where a person is there, and No is the default."""
        if yes or not self.asks:
            return True
        self.flush()
        self.remarks.write(f"{inert(question)} [y/N] ")
        self.remarks.flush()
        answer = sys.stdin.readline().strip().lower()
        if answer in ("y", "yes"):
            return True
        self.remarks.write("nothing was done\n")
        return False


def _encodable(value: Any) -> Any:
    """The value with text that cannot be UTF-8 (names of files with stray bytes) made visible."""
    if isinstance(value, str):
        return inert(value) if not value.isascii() and _has_surrogate(value) else value
    if isinstance(value, Mapping):
        return {_encodable(key): _encodable(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
