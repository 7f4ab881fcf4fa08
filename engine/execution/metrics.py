"""What an attempt says of itself: JSON lines in its report, and numbers that regular expressions find in its log.

Everything here was written by the task, so everything is bounded: bytes, values, and the time of a search, which a
careless expression could make endless. What cannot be used is noted and never fails the attempt. A name that comes
again counts the last time.
"""

import json
import math
import os
import re
import signal
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

REPORT_BYTES_MAX = 64 * 2**10
VALUES_MAX = 1_000
LOG_BYTES_MAX = 2**20
SEARCH_S = 0.2
NOTES_MAX = 5
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
RESERVED = frozenset(("duration", "cpu", "max_rss"))


class Values:
    """The values of one attempt, and notes about what was wrong."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.notes: list[str] = []
        self._more = 0

    def note(self, sentence: str) -> None:
        if len(self.notes) < NOTES_MAX:
            self.notes.append(sentence)
        else:
            self._more += 1

    def all_notes(self) -> list[str]:
        return [*self.notes, f"and {self._more} further faults"] if self._more else self.notes

    def add(self, name: str, value: object, where: str) -> None:
        """Take a value that was reported there, or note why not."""
        if _NAME.fullmatch(name) is None:
            self.note(f"{where}: {name[:40]!a} is no name of a metric")
        elif name in RESERVED:
            self.note(f"{where}: {name} is measured of every attempt and cannot be reported")
        elif isinstance(value, bool) or not isinstance(value, int | float):
            self.note(f"{where}: {name} is no number")
        elif not _is_finite(value):
            self.note(f"{where}: {name} is not finite")
        elif name not in self.values and len(self.values) >= VALUES_MAX:
            self.note(f"{where}: there are more than {VALUES_MAX} metrics")
        else:
            self.values[name] = float(value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond any float
        return False


def read_report(data: bytes, found: Values) -> None:
    """Take the lines of a report. What lies beyond the bound is left out, with the line that it cuts."""
    if len(data) > REPORT_BYTES_MAX:
        found.note(f"the report was cut at {REPORT_BYTES_MAX // 1024} KiB")
        data = data[:REPORT_BYTES_MAX].rpartition(b"\n")[0]
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        where = f"line {number} of the report"
        try:
            told: Any = json.loads(line)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            found.note(f"{where} is no JSON object")
            continue
        for name, value in cast("dict[str, Any]", told).items():
            found.add(name, value, where)


def search_log(text: str, patterns: Sequence[tuple[str, str]], found: Values) -> None:
    """Take the last number that each (name, regular expression) finds. Only for the main thread: an alarm bounds it."""
    searched = ""
    try:
        previous = signal.signal(signal.SIGALRM, _ring)
        signal.setitimer(signal.ITIMER_REAL, SEARCH_S)
        try:
            for searched, pattern in patterns:
                _search(text, searched, pattern, found)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
    except _TooLongError:
        found.note(f"{searched}: its regular expression took longer than {SEARCH_S:g} s on the log")


class _TooLongError(Exception):
    """The time for a search is over. `re` looks for signals while it searches."""


def _ring(_number: int, _frame: object) -> None:
    raise _TooLongError


def _search(text: str, name: str, pattern: str, found: Values) -> None:
    try:
        last = deque(re.finditer(pattern, text, re.MULTILINE), maxlen=1)
    except (re.error, RecursionError) as error:
        found.note(f"{name}: {error}")
        return
    if not last:
        found.note(f"{name}: nothing in the log matches")
        return
    number = last[0][1] or ""
    try:
        found.add(name, float(number.replace(",", "")), "the log")
    except ValueError:
        found.note(f"{name}: {number[:40]!a} in the log is no number")


def read_slice(path: str, offset: int, length: int) -> bytes:
    """A slice of a file, of a long one its end. Empty where it cannot be read."""
    skipped = max(0, length - LOG_BYTES_MAX)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.pread(fd, length - skipped, offset + skipped)
    except OSError:
        return b""
    finally:
        os.close(fd)
