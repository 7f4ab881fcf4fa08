"""A block as its launcher sees it: an order for rows of one task that one worker runs one after another.

What becomes of the rows is in the page (see `worker.Page`), which outlives worker and launcher and is removed when the
engine has acknowledged the block's end. `news` reads what has ended since the last time and puts it into facts: a
*span* is consecutive rows that ended well, as columns; any other row is a fact of its own. A launcher that finds a
block of the one before it reads the same page from the start, so nothing of it is kept anywhere else.

The facts, each a JSON list:
`span, block, offset, count, last_us, columns, log, rss, results`: columns in base64 are gap, duration and CPU time in
microseconds and bytes of output, four arrays of 32 bits; `last_us` is when the row before ended; `log` is path and
offset where the output of the first row begins; `results` a list of JSON texts or nulls, or null;
`exit, {...}`: as of any attempt, with `b`, the block, and `began`;
`returned, block, offset, why`: from there on no row has begun, nor will.
"""

import contextlib
import json
import os
import time
from array import array
from binascii import b2a_base64
from typing import Any

from engine.execution.attempt import Outcome, take_result
from engine.execution.places import Places
from engine.execution.worker import CELL_MAX, CELLS_BYTES, SUCCESS, Page

Fact = list[Any]
_WELL = (Page.SUCCEEDED, Page.RESULT)
_SKIPPED: Outcome = {"kind": "cancelled", "why": "recalled before it started"}


class Block:
    """`number` is the attempt of the first row; `read` counts the rows whose end was read."""

    def __init__(self, places: Places, number: int, count: int = 0) -> None:
        """Make the page for `count` rows, or (0) read that of an earlier launcher. Raises OSError."""
        self._places = places
        self.number = number
        self.page = Page(places.page(number), count)
        self.lone = self.page.count == 1
        self.read = 0
        self._odd: dict[int, Outcome] = {}
        self._returned: list[Fact] = []
        self.read_again()

    def read_again(self) -> None:
        """Read from the first row again: somebody asks who knows nothing yet."""
        self.read = 0
        self._last_us = 0
        self._log = 0
        self._text_at = self.page.first_text
        self._texts: dict[int, str] = {}

    @property
    def begun(self) -> int:
        """The rows that have begun so far."""
        return self.page.get(Page.BEGUN)

    @property
    def running(self) -> int:
        """The offset of the row that runs now, -1 when none does."""
        begun = self.begun
        return begun - 1 if begun > self.page.get(Page.DONE) else -1

    @property
    def began_s(self) -> float:
        """When the row that has begun last did so, in seconds of the wall clock."""
        return self.page.get(Page.BEGAN_US) / 1e6

    @property
    def log_base(self) -> int:
        """Where the output of the first row begins."""
        return self.page.get(Page.LOG_BASE)

    @property
    def row_log(self) -> int:
        """Where the output of the row that has begun last begins."""
        return self.page.get(Page.ROW_LOG)

    def news(self) -> list[Fact]:
        """The facts of the rows that ended since the last time."""
        done = self.page.get(Page.DONE)
        if done <= self.read:
            return []
        if not self.read:
            self._last_us, self._log = self.page.get(Page.FIRST_US), self.log_base
        added, self._text_at = self.page.texts(self._text_at)
        self._texts.update(added)
        facts: list[Fact] = []
        states = self.page.map[self.page.states : self.page.states + done]
        while self.read < done:
            stop = self.read
            while not self.lone and stop < done and states[stop] in _WELL and stop not in self._odd:
                stop += 1
            if stop > self.read:
                facts.append(self._span(stop, states))
            else:
                facts.append(["exit", self._exit(stop, states[stop])])
                stop += 1
            self.read = stop
        return facts

    def _columns(self, start: int, stop: int) -> "list[array[int]]":
        first = self.page.cells
        cells = array("I", self.page.map[first + CELLS_BYTES * start : first + CELLS_BYTES * stop])
        return [cells[number::4] for number in range(4)]

    def _span(self, stop: int, states: bytes) -> Fact:
        start = self.read
        columns = self._columns(start, stop)
        results: list[str | None] | None = None
        if Page.RESULT in states[start:stop]:
            results = [self._texts.pop(offset, None) for offset in range(start, stop)]
        data = b2a_base64(b"".join(column.tobytes() for column in columns), newline=False).decode()
        written = sum(columns[3])
        log = [self.page.segment if written else "", self._log]
        fact = ["span", self.number, start, stop - start, self._last_us, data, log, self._rss(), results]
        self._last_us += sum(columns[0]) + sum(columns[1])
        self._log += written
        return fact

    def _rss(self) -> int:
        return self.page.get(Page.RSS_KIB) * 1024

    def _exit(self, offset: int, state: int) -> dict[str, Any]:
        """The end of a row that is told by itself."""
        gap, took, cpu, written = (column[0] for column in self._columns(offset, offset + 1))
        told: dict[str, Any] = {"outcome": _SKIPPED if state == Page.SKIPPED else SUCCESS}
        if state == Page.TEXT:
            told = json.loads(self._texts.pop(offset))
        elif state == Page.RESULT:
            told["result"] = self._texts.pop(offset)
        if max(gap, took, cpu, written) >= CELL_MAX:
            gap, took, cpu, written = told["cells"]
        number = self.number + offset
        began_us = self._last_us + gap
        found: dict[str, Any] = {
            "a": number, "b": self.number, "began": began_us * 1000, "at": (began_us + took) * 1000,
            "o": {**told["outcome"], **self._odd.get(offset, {})}, "cpu": cpu * 1000, "rss": self._rss(),
        }  # fmt: skip
        if told.get("look"):
            found |= take_result(self._places.result(number))
        found |= {key: told[key] for key in ("result", "file") if key in told}
        if written:
            found["log"] = [self.page.segment, self._log, written]
        self._last_us = began_us + took
        self._log += written
        return found

    # --- what is decided here ---------------------------------------------------------------------------------------

    def judge(self, offset: int, outcome: Outcome) -> None:
        """However the row ends, this is why: it was stopped. The first reason counts."""
        self._odd.setdefault(offset, outcome)

    @property
    def condemned(self) -> bool:
        """Whether a row that was judged has still to end."""
        return any(offset >= self.read for offset in self._odd)

    def skip(self, offset: int) -> None:
        """The row must not begin."""
        self.page.map[self.page.skips + offset] = 1

    def cut(self, limit: int) -> None:
        """Rows from here on must not begin. Only `begun`, read while the worker is stopped, says which have."""
        self.page.set(Page.LIMIT, limit)

    def end_running(self, outcome: Outcome, log_end: int) -> None:
        """The worker has died in the middle of a row: it ended so, as far as anybody knows."""
        offset = self.running
        began_us, now_us = self.page.get(Page.BEGAN_US), time.time_ns() // 1000
        last_us = self._newest_us()
        written = max(0, log_end - self.page.get(Page.ROW_LOG))
        cells = (max(0, began_us - last_us), max(0, now_us - began_us), 0, written)
        self.page.add_text(offset, json.dumps({"outcome": outcome, "cells": cells}))
        self.page.end(offset, Page.TEXT, cells)

    def _newest_us(self) -> int:
        """When the newest row that has ended did so."""
        if not self.read:
            self._last_us = self.page.get(Page.FIRST_US)
        columns = self._columns(self.read, self.page.get(Page.DONE))
        return self._last_us + sum(columns[0]) + sum(columns[1])

    def refuse(self, outcome: Outcome) -> None:
        """No row can begin, and each ends so."""
        self.page.set(Page.FIRST_US, time.time_ns() // 1000)
        for offset in range(self.page.count):
            self.page.set(Page.BEGUN, offset + 1)
            self.page.add_text(offset, json.dumps({"outcome": outcome}))
            self.page.end(offset, Page.TEXT, (0, 0, 0, 0))

    def give_back(self, why: str) -> list[Fact]:
        """The fact that rows which have not begun never will, where there are any."""
        begun = self.begun
        self.cut(begun)
        self._returned = [["returned", self.number, begun, why]] if begun < self.page.count else []
        return self._returned

    def everything(self) -> list[Fact]:
        """All facts of the block so far."""
        self.read_again()
        return [*self.news(), *self._returned]

    def remove(self) -> None:
        """Nobody needs the page any more."""
        self.page.close()
        with contextlib.suppress(OSError):
            os.unlink(self._places.page(self.number))


def left_behind(places: Places, number: int, rows: int, lost: Outcome) -> Block | None:
    """What an earlier launcher left of a block; the row that ran when it died is lost, those behind never ran. No row
    begins before there is a page."""
    try:
        block = Block(places, number)
    except OSError:
        try:
            block = Block(places, number, rows) if rows > 1 else None
        except OSError:
            block = None
    if block is None:
        return None
    if block.running >= 0:
        block.end_running(lost, 0)
    block.give_back("its launcher died before it began")
    return block
