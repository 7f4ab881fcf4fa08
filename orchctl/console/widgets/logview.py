"""The log of an attempt, pulled piece by piece. What is drawn is anchored at a line of the buffer, not at a line
number of the log, so the end of 10 GB is as near as its beginning. Following asks for what is new; a view that does
not follow stands still, and says how much came meanwhile.
"""

import asyncio
import re
from collections.abc import Coroutine

from textual import events
from textual.strip import Strip
from textual.widget import Widget

from engine.model.errors import EngineError
from engine.protocol.messages import LOG_CHUNK_BYTES, LogChunk, ReadLog
from orchctl.client.connection import EngineGone, RefusalError
from orchctl.console.drawing import Line
from orchctl.console.feed import Feed
from orchctl.console.logbuffer import LogBuffer
from orchctl.console.messages import LogMoved
from orchctl.console.runlines import chopped, row_name
from orchctl.console.theme import Signs
from orchctl.console.widgets.lines import strip_of
from orchctl.text import cells, cut, inert, size_text

POLL_S = 0.5
_MARGIN_LINES = 100


class LogView(Widget, can_focus=False):
    """The log of one row's attempt. `status` is a line about it; `changed` is called when that may differ."""

    DEFAULT_CSS = "LogView { height: 1fr; }"

    def __init__(self, signs: Signs, feed: Feed, run: int, *, widget_id: str | None = None) -> None:
        super().__init__(id=widget_id)
        self._signs = signs
        self._feed = feed
        self._run = run
        self._buffer = LogBuffer()
        self._target: tuple[str, int, int] | None = None
        self._number = 0
        self._top = 0
        self._sub = 0
        self._left = 0
        self._rows: list[tuple[int, str]] = []
        self._reading: asyncio.Task[None] | None = None
        self._searching: asyncio.Task[None] | None = None
        self._seeking = False
        self._pattern: re.Pattern[str] | None = None
        self._match = -1
        self._said = ""
        self._trouble = ""
        self._ended = ""
        self._instead = ""
        self.following = True
        self.wrapping = True
        self.greyed = False

    # --- which log ------------------------------------------------------------------------------------------------

    @property
    def target(self) -> tuple[str, int, int] | None:
        """Task, index and attempt number (0: the newest) of the log that is shown."""
        return self._target

    def show(self, task: str, index: int, number: int = 0) -> None:
        """Show the end of a row's log, and follow it. Asked again after its end, it looks for a newer attempt."""
        if self._target == (task, index, number) and not self._buffer.final:
            return
        self.stop()
        self._target = (task, index, number)
        self._number = 0
        self._buffer = LogBuffer()
        self._top = self._sub = self._left = 0
        self._match = -1
        self._said = self._ended = ""
        self.following = True
        self.resume()
        self._redraw()

    def resume(self) -> None:
        """Read while the view is in sight."""
        if self._target is not None and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._read_on())

    def stop(self) -> None:
        """Read no more."""
        for task in (self._reading, self._searching):
            if task is not None:
                task.cancel()
        self._reading = self._searching = None

    def on_unmount(self) -> None:
        self.stop()

    def status(self) -> str:
        """What is shown: row, attempt, how it ended or whether it is followed, wrap, and where in the log."""
        if self._target is None:
            return "no log chosen: L on a row shows its log"
        task, index, _ = self._target
        name = row_name(task, None if index < 0 else index)
        attempt = f" try {self._number}" if self._number else ""
        size = self._buffer.size
        where = self._buffer.offset_of(self._bottom_line())
        share = f"{100 * where // size} %" if size else "0 %"
        life = self._ended or "ended" if self._buffer.final else f"follow {'on' if self.following else 'off'}"
        behind = self._buffer.size - self._buffer.end
        new = f"  {size_text(behind)} more" if behind > 0 and not self.following else ""
        if self._said:
            return f"{name}  {self._said}"
        said = f"  {self._trouble}" if self._trouble else ""
        wrap = "on" if self.wrapping else "off"
        return f"{name}{attempt}  {life}  wrap {wrap}  {share} of {size_text(size)}{new}{said}"

    # --- reading --------------------------------------------------------------------------------------------------

    async def _read(self, offset: int, limit: int = LOG_CHUNK_BYTES) -> LogChunk:
        assert self._target is not None
        task, index, number = self._target
        request = ReadLog(
            run=self._run, task=task, index=index, number=number or self._number, offset=offset, limit=limit
        )
        chunk = await self._feed.ask(request, LogChunk)
        self._number = chunk.number
        self._buffer.size = max(chunk.size, chunk.offset + len(chunk.data))
        self._buffer.final = chunk.final
        self._ended = chunk.sentence
        return chunk

    async def _read_on(self) -> None:
        """Load the end, then whatever comes, until the log has ended and nothing more is asked for."""
        loaded = self._buffer.lines > 0
        while True:
            try:
                if not loaded:
                    await self._load_end()
                    loaded = True
                elif self.following and self._buffer.size - self._buffer.end > LOG_CHUNK_BYTES:
                    await self._load_end()
                elif self.following or self._buffer.at_end:
                    await self._load_new()
                else:
                    await self._read(self._buffer.end, 1)
                self._trouble = ""
            except RefusalError as refusal:
                self._trouble = refusal.sentence
            except EngineGone:
                self._trouble = "" if self._buffer.lines else "the engine is away"
            self._redraw()
            if self._buffer.final and self._buffer.at_end:
                return
            await asyncio.sleep(POLL_S)

    async def _load_end(self) -> None:
        chunk = await self._read(-LOG_CHUNK_BYTES)
        self._buffer.clear(chunk.offset)
        if chunk.offset > 0:  # begin with a whole line
            newline = chunk.data.find(b"\n")
            skip = newline + 1 if 0 <= newline < len(chunk.data) - 1 else 0
            self._buffer.take(chunk.offset + skip, chunk.data[skip:])
        else:
            self._buffer.take(chunk.offset, chunk.data)
        self._to_bottom()

    async def _load_new(self) -> None:
        """What was written since, as long as it comes in full pieces at most a few at once."""
        for _ in range(4):
            chunk = await self._read(self._buffer.end)
            if not chunk.data:
                return
            moved = self._buffer.take(chunk.offset, chunk.data)
            self._top = max(0, self._top + moved)
            if self.following:
                self._to_bottom()
            if len(chunk.data) < LOG_CHUNK_BYTES:
                return

    def _near_edge(self) -> None:
        """Fetch what lies beyond an edge of the buffer that has come near."""
        if self._target is None or (self._searching is not None and not self._searching.done()):
            return
        if self._top < _MARGIN_LINES and not self._buffer.at_beginning:
            self._searching = asyncio.create_task(self._extend_back())
        elif not self._buffer.at_end and self._top + self.size.height + _MARGIN_LINES > self._buffer.lines:
            self._searching = asyncio.create_task(self._extend_on())

    async def _extend_back(self) -> None:
        start = self._buffer.start
        offset = max(0, start - LOG_CHUNK_BYTES)
        try:
            chunk = await self._read(offset, start - offset)
        except EngineError as error:
            self._said = error.sentence
            return
        if self._buffer.start == start and chunk.offset + len(chunk.data) == start:
            self._top = max(0, min(self._top + self._buffer.take(offset, chunk.data), self._buffer.lines - 1))
        self._redraw()

    async def _extend_on(self) -> None:
        try:
            await self._load_new()
        except EngineError as error:
            self._said = error.sentence
        self._redraw()

    # --- moving ---------------------------------------------------------------------------------------------------

    def move(self, rows: int) -> None:
        """Scroll by rows of the screen. Going up ends following; reaching the end does not begin it."""
        self._said = ""
        if rows < 0:
            self.following = False
        for _ in range(min(abs(rows), 500)):
            if not (self._step_down() if rows > 0 else self._step_up()):
                break
        self._near_edge()
        self._redraw()

    def move_pages(self, pages: int) -> None:
        self.move(pages * max(1, self.size.height - 1))

    def _step_up(self) -> bool:
        if self._sub > 0:
            self._sub -= 1
            return True
        if self._top == 0:
            return False
        self._top -= 1
        self._sub = len(self._pieces(self._top)) - 1
        return True

    def _step_down(self) -> bool:
        if self._end_in_sight():
            return False
        if self._sub + 1 < len(self._pieces(self._top)):
            self._sub += 1
        else:
            self._top += 1
            self._sub = 0
        return True

    def _end_in_sight(self) -> bool:
        rows = -self._sub
        for line in range(self._top, self._buffer.lines):
            rows += len(self._pieces(line))
            if rows > self.size.height:
                return False
        return True

    def _to_bottom(self) -> None:
        self._top = max(0, self._buffer.lines - 1)
        self._sub = 0
        rows = len(self._pieces(self._top)) if self._buffer.lines else 0
        while rows < self.size.height and self._top > 0:
            self._top -= 1
            rows += len(self._pieces(self._top))
        self._sub = max(0, rows - self.size.height)

    def top(self) -> None:
        """To the first byte of the log."""
        self.following = False
        if self._buffer.at_beginning:
            self._top = self._sub = 0
            self._redraw()
        else:
            self._begin(self._goto(0))

    def bottom(self) -> None:
        """To the end of the log."""
        if self._buffer.at_end:
            self._to_bottom()
            self._redraw()
        else:
            self._begin(self._goto(-1))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        if self._searching is not None:
            self._searching.cancel()
        self._seeking = False
        self._searching = asyncio.create_task(work)

    async def _goto(self, offset: int) -> None:
        """Show the log from a byte on; -1 is the end."""
        try:
            if offset < 0:
                await self._load_end()
            else:
                chunk = await self._read(offset)
                self._buffer.clear(chunk.offset)
                self._buffer.take(chunk.offset, chunk.data)
                self._top = self._sub = 0
        except EngineError as error:
            self._said = error.sentence
        self._redraw()

    def follow(self) -> None:
        """Follow, or stand still."""
        self.following = not self.following
        if self.following:
            self.bottom()
            self.resume()
        self._redraw()

    def wrap(self) -> None:
        """Fold long lines, or cut them."""
        self.wrapping = not self.wrapping
        self._sub = self._left = 0
        if self.following:
            self._to_bottom()
        self._redraw()

    def sideways(self, columns: int) -> None:
        """Scroll sideways, where lines are not folded."""
        if not self.wrapping:
            self._left = max(0, self._left + columns)
            self._redraw()

    # --- search ---------------------------------------------------------------------------------------------------

    def search(self, text: str, direction: int = 1) -> None:
        """Find a regular expression (or, where it is none, the text itself), first on the screen and after it."""
        try:
            self._pattern = re.compile(text, re.IGNORECASE if text.islower() else 0)
        except re.error:
            self._pattern = re.compile(re.escape(text))
        self._match = -1
        self.again(direction)

    def again(self, direction: int) -> None:
        """The next match in a direction: in what is here, then in the pieces beyond, until the log ends."""
        if self._pattern is None or self._target is None:
            return
        self.following = False
        self._begin(self._seek(direction))
        self._seeking = True

    def give_up(self) -> bool:
        """End a search that is going on. Whether there was one."""
        if self._seeking and self._searching is not None and not self._searching.done():
            self._searching.cancel()
            self._seeking = False
            self._said = "search given up"
            self._redraw()
            return True
        return False

    async def _seek(self, direction: int) -> None:
        assert self._pattern is not None
        line = self._buffer.line_at(self._match) + direction if self._match >= 0 else self._top
        pattern = self._pattern
        try:
            while True:
                while 0 <= line < self._buffer.lines:
                    if pattern.search(self._buffer.text(line)):
                        self._found(line)
                        return
                    line += direction
                    if line % 2000 == 0:
                        await asyncio.sleep(0)
                if (direction > 0 and self._buffer.at_end) or (direction < 0 and self._buffer.at_beginning):
                    which = "no further match" if self._match >= 0 else "no match"
                    self._said = f"{which} for {inert(pattern.pattern)}"
                    break
                line = await self._beyond(direction)
                place = self._buffer.end if direction > 0 else self._buffer.start
                self._said = f"searching at {100 * place // max(1, self._buffer.size)} %, esc gives up"
                self._redraw()
        except EngineError as error:
            self._said = error.sentence
        self._redraw()

    async def _beyond(self, direction: int) -> int:
        """Extend the buffer one piece in a direction; the line at which the search goes on."""
        if direction > 0:
            lines = self._buffer.lines
            chunk = await self._read(self._buffer.end)
            moved = self._buffer.take(chunk.offset, chunk.data)
            if not chunk.data:
                self._buffer.size = self._buffer.end
            self._top = max(0, self._top + moved)
            return max(0, lines - 1 + moved)
        start = self._buffer.start
        offset = max(0, start - LOG_CHUNK_BYTES)
        chunk = await self._read(offset, start - offset)
        moved = self._buffer.take(chunk.offset, chunk.data)
        self._top = min(self._top + moved, self._buffer.lines - 1)
        return moved - 1

    def _found(self, line: int) -> None:
        self._match = self._buffer.offset_of(line)
        self._said = ""
        self._top = max(0, line - self.size.height // 3)
        self._sub = 0
        if self._end_in_sight():
            self._to_bottom()
        self._redraw()

    # --- drawing --------------------------------------------------------------------------------------------------

    def _pieces(self, line: int) -> list[str]:
        """A line as the rows of the screen that it takes."""
        text = self._buffer.text(line)
        if not self.wrapping or cells(text) <= self.size.width:
            return [text]
        return chopped(text, max(1, self.size.width))

    def _bottom_line(self) -> int:
        return self._rows[-1][0] + 1 if self._rows else 0

    def _layout(self) -> list[tuple[int, str]]:
        rows: list[tuple[int, str]] = []
        skip = self._sub
        for line in range(self._top, self._buffer.lines):
            for piece in self._pieces(line):
                if skip > 0:
                    skip -= 1
                    continue
                rows.append((line, piece))
                if len(rows) >= self.size.height:
                    return rows
        return rows

    def _redraw(self) -> None:
        if self.is_attached and self.size.height:
            before = self._rows, self._instead
            self._rows = self._layout()
            self._instead = self._trouble or ("" if self._buffer.size else self._empty_text())
            if before != (self._rows, self._instead) or self._pattern is not None:
                self.refresh()
            self.post_message(LogMoved())

    def grey(self, greyed: bool) -> None:
        if greyed != self.greyed:
            self.greyed = greyed
            self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        self._sub = 0
        if self.following:
            self._to_bottom()
        self._redraw()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y >= len(self._rows):
            said = "" if y > 0 or self._target is None else self._instead
            return strip_of([(f" {said}", "dim")], width, self.rich_style)
        line, text = self._rows[y]
        if not self.wrapping and self._left:
            text = text[self._left :]
        shown = self._marked(cut(text, width), line)
        return strip_of(shown, width, self.rich_style, greyed=self.greyed)

    def _empty_text(self) -> str:
        return "nothing was written" if self._buffer.final else "nothing written yet"

    def _marked(self, text: str, line: int) -> Line:
        if self._pattern is None:
            return [(text, "plain")]
        spans: Line = []
        done = 0
        for found in self._pattern.finditer(text):
            if found.end() > found.start():
                spans += [(text[done : found.start()], "plain"), (found[0], "match")]
                done = found.end()
        style = "strong" if self._buffer.offset_of(line) == self._match else "plain"
        return [*spans, (text[done:], style)]
