"""Faults while they are found: where in the document, by keys, before anyone knows lines.

Lines are looked up once, at the end, and only for documents that have faults.
"""

from collections.abc import Callable
from typing import NamedTuple

from engine.model.errors import Fault

COMPLAINTS_MAX = 1_000

Path = tuple[str | int, ...]
Locate = Callable[[Path], tuple[int, int]]


class Complaint(NamedTuple):
    """What is wrong at a path of keys and list indices."""

    path: Path
    message: str
    hint: str = ""


class Complaints:
    """A bounded list of complaints; what comes after the bound is counted only."""

    def __init__(self) -> None:
        self.items: list[Complaint] = []
        self.more = 0

    def add(self, path: Path, message: str, hint: str = "") -> None:
        if len(self.items) < COMPLAINTS_MAX:
            self.items.append(Complaint(path, message, hint))
        else:
            self.more += 1

    def __bool__(self) -> bool:
        return bool(self.items)

    def faults(self, file: str, locate: Locate | None = None) -> list[Fault]:
        """As faults in the order of their lines; `locate` gives the line and column of a path."""
        found: list[Fault] = []
        for complaint in dict.fromkeys(self.items):
            line, column = locate(complaint.path) if locate else (0, 0)
            field = field_text(complaint.path)
            found.append(Fault(complaint.message, file, line, column, field, complaint.hint))
        found.sort(key=lambda fault: (fault.line, fault.column))
        if self.more:
            found.append(Fault(f"and {self.more} further faults", file))
        return found


def field_text(path: Path) -> str:
    """`tasks.clean.needs[0]`; what a terminal could act on is escaped."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{shown(part)}"
    return text.removeprefix(".")


def shown(text: str) -> str:
    """A word from the document for use in a message: short, and without live control characters."""
    return inert(text if len(text) <= 60 else text[:57] + "...")


def inert(text: str) -> str:
    """The text with everything escaped that a terminal could act on, or an encoding refuse."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
