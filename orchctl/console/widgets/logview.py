"""The log of an attempt, pulled piece by piece. What is drawn is anchored at a line of the buffer, not at a line
number of the log, so the end of 10 GB is as near as its beginning. Following asks for what is new; a view that does
not follow stands still, and says how much came meanwhile. A search leaves what is seen alone until it has found.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine
from pathlib import Path

from textual import events
from textual.strip import Strip
from textual.widget import Widget

from engine.model.errors import EngineError
from engine.protocol.messages import LOG_CHUNK_BYTES
from orchctl.client.connection import EngineGone, RefusalError
from orchctl.console.drawing import Line, fitted, folded_line, from_column, highlighted
from orchctl.console.feed import Feed
from orchctl.console.logbuffer import LogBuffer
from orchctl.console.logsource import LogSource
from orchctl.console.messages import LogMoved
from orchctl.console.runlines import row_name
from orchctl.console.theme import Signs
from orchctl.console.widgets.lines import strip_of
from orchctl.text import inert, size_text

POLL_S = 0.5
_MARGIN_LINES = 100
_NEW_AT_ONCE = 4
_WORDS = "error|errors|exception|traceback|fatal|panic|failed|failure|critical|segfault"
ERRORS = re.compile(rf"\b({_WORDS})\b", re.IGNORECASE)


class LogView(Widget, can_focus=False):
    """The log of one row's attempt. `status` is a line about it; LogMoved says that it may be another."""

    DEFAULT_CSS = "LogView { height: 1fr; }"

    def __init__(self, signs: Signs, feed: Feed, run: int, *, widget_id: str | None = None) -> None:
        super().__init__(id=widget_id)
        self._signs = signs
        self._feed = feed
        self._run = run
        self._source: LogSource | None = None
        self._top = 0
        self._sub = 0
        self._left = 0
        self._rows: list[tuple[int, Line]] = []
        self._reading: asyncio.Task[None] | None = None
        self._working: asyncio.Task[None] | None = None
        self._long = ""
        """What takes a while and can be given up, as a word; empty where nothing does."""
        self._pattern: re.Pattern[str] | None = None
        self._match = -1
        self._said = ""
        self._trouble = ""
        self._instead = ""
        self.following = True
        self.wrapping = True
        self.colours = False
        self.greyed = False

    # --- which log ------------------------------------------------------------------------------------------------

    @property
    def target(self) -> tuple[str, int, int] | None:
        """Task, index and attempt number (0: the newest) of the log that is shown."""
        source = self._source
        return None if source is None else (source.task, source.index, source.asked)

    @property
    def row(self) -> str:
        """`parse[4]`."""
        source = self._source
        return "" if source is None else row_name(source.task, None if source.index < 0 else source.index)

    @property
    def _buffer(self) -> LogBuffer:
        return _EMPTY if self._source is None else self._source.buffer

    def show(self, task: str, index: int, number: int = 0) -> None:
        """Show the end of a row's log, and follow it. Asked again after its end, it looks for a newer attempt."""
        if self.target == (task, index, number) and not self._buffer.final:
            return
        self.stop()
        self._source = LogSource(self._feed, self._run, task, index, number)
        self._top = self._sub = self._left = 0
        self._match = -1
        self._said = self._trouble = ""
        self.following = True
        self.resume()
        self._redraw()

    def other_attempt(self, direction: int) -> None:
        """The log of the attempt before or after the one that is shown."""
        source = self._source
        if source is not None and source.number + direction >= 1:
            self.show(source.task, source.index, source.number + direction)

    def resume(self) -> None:
        """Read while the view is in sight."""
        if self._source is not None and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._read_on(self._source))

    def stop(self) -> None:
        """Read no more."""
        for task in (self._reading, self._working):
            if task is not None:
                task.cancel()
        self._reading = self._working = None
        self._long = ""

    def on_unmount(self) -> None:
        self.stop()

    def status(self) -> str:
        """What is shown: row, attempt, how it ended or whether it is followed, wrap, and where in the log."""
        source = self._source
        if source is None:
            return "no log chosen: L on a row shows its log"
        if self._said:
            return f"{self.row}  {self._said}"
        buffer = source.buffer
        attempt = f" try {source.number}" if source.number else ""
        where = buffer.offset_of(self._rows[-1][0] + 1 if self._rows else 0)
        share = f"{100 * where // buffer.size} %" if buffer.size else "0 %"
        life = source.ended or "ended" if buffer.final else f"follow {'on' if self.following else 'off'}"
        behind = buffer.size - buffer.end
        new = f"  {size_text(behind)} more" if behind > 0 and not self.following else ""
        said = f"  {self._trouble}" if self._trouble else ""
        wrap = "on" if self.wrapping else "off"
        return f"{self.row}{attempt}  {life}  wrap {wrap}  {share} of {size_text(buffer.size)}{new}{said}"

    # --- reading --------------------------------------------------------------------------------------------------

    async def _read_on(self, source: LogSource) -> None:
        """Load the end, then whatever comes, until the log has ended and nothing more is asked for."""
        buffer = source.buffer
        loaded = buffer.lines > 0
        while True:
            try:
                if not loaded or (self.following and buffer.size - buffer.end > LOG_CHUNK_BYTES):
                    await self._load_end(source)
                    loaded = True
                elif self.following or buffer.at_end:
                    await self._load_new(source)
                else:
                    await source.read(buffer.end, 1)
                self._trouble = ""
            except RefusalError as refusal:
                self._trouble = refusal.sentence
            except EngineGone:
                self._trouble = "" if buffer.lines else "the engine is away"
            self._redraw()
            if buffer.final and buffer.at_end:
                return
            await asyncio.sleep(POLL_S)

    async def _load_end(self, source: LogSource) -> None:
        await source.load_end()
        self._to_bottom()

    async def _load_new(self, source: LogSource) -> None:
        """What was written since, as long as it comes in full pieces at most a few at once."""
        for _ in range(_NEW_AT_ONCE):
            moved, more = await source.load_new()
            self._top = max(0, self._top + moved)
            if self.following:
                self._to_bottom()
            if not more:
                return

    async def _load_before(self, source: LogSource) -> None:
        moved = await source.load_before()
        self._top = max(0, min(self._top + moved, source.buffer.lines - 1))

    def _near_edge(self) -> None:
        """Fetch what lies beyond an edge of the buffer that has come near."""
        if self._source is None or (self._working is not None and not self._working.done()):
            return
        if self._top < _MARGIN_LINES and not self._buffer.at_beginning:
            self._begin(self._load_before(self._source))
        elif not self._buffer.at_end and self._top + self.size.height + _MARGIN_LINES > self._buffer.lines:
            self._begin(self._load_new(self._source))

    def _begin(self, work: Coroutine[None, None, None], long: str = "") -> None:
        """Do this now, and nothing else of its kind. `long` is a word for what can be given up."""
        if self._working is not None:
            self._working.cancel()
        self._long = long
        self._working = asyncio.create_task(self._watched(work))

    async def _watched(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except EngineError as error:
            self._said = error.sentence
        self._long = ""
        self._redraw()

    def give_up(self) -> bool:
        """End what takes long. Whether there was something."""
        if not self._long or self._working is None:
            return False
        self._working.cancel()
        self._said = f"{self._long} given up"
        self._long = ""
        self._redraw()
        return True

    def _progress(self, doing: str) -> Callable[[int], None]:
        def told(offset: int) -> None:
            self._said = f"{doing} at {100 * offset // max(1, self._buffer.size)} %, esc gives up"
            self._redraw()

        return told

    # --- moving ---------------------------------------------------------------------------------------------------

    def move(self, rows: int) -> None:
        """Scroll by rows of the screen. Going up ends following; reaching the end does not begin it."""
        if not self._long:
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
        self._said = ""
        if self._buffer.at_beginning:
            self._top = self._sub = 0
            self._redraw()
        elif self._source is not None:
            self._begin(self._goto(self._source, 0))

    def bottom(self) -> None:
        """To the end of the log."""
        self._said = ""
        if self._buffer.at_end:
            self._to_bottom()
            self._redraw()
        elif self._source is not None:
            self._begin(self._load_end(self._source))

    async def _goto(self, source: LogSource, offset: int) -> None:
        """Show the line that begins at a byte, a third down the screen."""
        buffer = source.buffer
        if not buffer.start <= offset < buffer.end:
            await source.load_at(offset)
        line = buffer.line_at(offset)
        self._top = max(0, line - self.size.height // 3) if offset else 0
        self._sub = 0
        if self._end_in_sight():
            self._to_bottom()

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

    def show_colours(self) -> bool:
        """Show the colours that were written, or not. Whether they are shown now."""
        self.colours = not self.colours
        self._redraw()
        return self.colours

    def sideways(self, columns: int) -> None:
        """Scroll sideways, where lines are not folded."""
        if not self.wrapping:
            self._left = max(0, self._left + columns)
            self.refresh()

    # --- search and saving ----------------------------------------------------------------------------------------

    def search(self, text: str, direction: int = 1) -> None:
        """Find a regular expression (or, where it is none, the text itself): on from the first line in sight, or back
        from the last.
        """
        try:
            self._pattern = re.compile(text, re.IGNORECASE if text.islower() else 0)
        except re.error:
            self._pattern = re.compile(re.escape(text))
        self._match = -1
        self.again(direction)

    def first_error(self) -> None:
        """The first line of the log that looks like an error."""
        self._pattern = ERRORS
        self._match = -1
        self._seek(0, 1)

    def again(self, direction: int) -> None:
        """The next match in a direction."""
        if self._pattern is None:
            self._said = "nothing was searched yet"
            self._redraw()
            return
        buffer = self._buffer
        if self._match >= 0:
            here = buffer.line_at(self._match) if buffer.start <= self._match < buffer.end else -1
            on = buffer.offset_of(here + 1) if here >= 0 else self._match + 1
            offset = on if direction > 0 else self._match
        elif direction > 0:
            offset = buffer.offset_of(self._top)
        else:
            offset = buffer.offset_of(self._rows[-1][0] + 1 if self._rows else 0)
        self._seek(offset, direction)

    def _seek(self, offset: int, direction: int) -> None:
        if self._source is not None:
            self.following = False
            self._begin(self._find(self._source, offset, direction), "search")

    async def _find(self, source: LogSource, offset: int, direction: int) -> None:
        assert self._pattern is not None
        pattern = self._pattern
        found = await source.find(pattern, offset, direction, self._progress("searching"))
        if found is None:
            which = "no further match" if self._match >= 0 else "no match"
            self._said = f"{which} for {'an error' if pattern is ERRORS else inert(pattern.pattern)}"
            return
        self._match = found
        self._said = ""
        await self._goto(source, found)

    def save(self, path: Path, tell: Callable[[str], None]) -> None:
        """Copy the whole log into a new file, and tell what came of it."""
        if self._source is not None:
            self._begin(self._save(self._source, path, tell), "saving")

    async def _save(self, source: LogSource, path: Path, tell: Callable[[str], None]) -> None:
        try:
            size = await source.save(path, self._progress("saving"))
        except FileExistsError:
            tell(f"not saved: it is there already: {path}")
        except OSError as error:
            tell(f"not saved: {error.strerror}: {path}")
        else:
            tell(f"saved {size_text(size)} to {path}")
        self._said = ""

    def shown_text(self) -> str:
        """The lines in sight, whole."""
        return "".join(f"{self._buffer.text(line)}\n" for line in dict.fromkeys(line for line, _ in self._rows))

    # --- drawing --------------------------------------------------------------------------------------------------

    def _pieces(self, line: int) -> list[Line]:
        """A line as the rows of the screen that it takes."""
        shown = self._buffer.coloured(line) if self.colours else [(self._buffer.text(line), "plain")]
        if self._pattern is not None:
            if self._buffer.offset_of(line) == self._match:
                shown = [(text, "strong" if style == "plain" else style) for text, style in shown]
            whole = "".join(text for text, _ in shown)
            shown = highlighted(shown, (found.span() for found in self._pattern.finditer(whole)), "match")
        return folded_line(shown, max(1, self.size.width)) if self.wrapping else [shown]

    def _layout(self) -> list[tuple[int, Line]]:
        rows: list[tuple[int, Line]] = []
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
            empty = "nothing was written" if self._buffer.final else "nothing written yet"
            self._instead = self._trouble or ("" if self._buffer.size else empty)
            if before != (self._rows, self._instead):
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
            said = "" if y > 0 or self._source is None else self._instead
            return strip_of([(f" {said}", "dim")], width, self.rich_style)
        shown = from_column(self._rows[y][1], self._left) if self._left else self._rows[y][1]
        return strip_of(fitted(shown, width), width, self.rich_style, greyed=self.greyed)


_EMPTY = LogBuffer()
"""What a view without a log shows. Nothing is ever put into it."""
