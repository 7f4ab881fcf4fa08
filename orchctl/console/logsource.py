"""One attempt's log behind the wire: it is asked for by offset, counted from its end or its beginning, so that 10 GB
cost what is looked at. A `LogBuffer` holds the piece that is looked at; a search runs past it without disturbing it.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from engine.protocol.messages import LOG_CHUNK_BYTES, LogChunk, ReadLog
from orchctl.console.feed import Feed
from orchctl.console.logbuffer import LogBuffer, readable

_LINE_MAX = 256 * 2**10
_SUBTLE = re.compile(r"\\[AZ]|\(\?")
"""What may match a line alone and not where it stands among others."""
_PLAIN = bytes(range(32, 127)) + b"\n"
"""Bytes that are shown as they are."""


class LogSource:
    """The log of an attempt. `ended` says how the attempt did, once it has."""

    def __init__(self, feed: Feed, run: int, task: str, index: int, number: int = 0) -> None:
        self._feed = feed
        self._run = run
        self.task = task
        self.index = index
        self.asked = number
        self.number = 0
        self.ended = ""
        self.buffer = LogBuffer()

    async def read(self, offset: int, limit: int = LOG_CHUNK_BYTES) -> LogChunk:
        """A piece. Raises EngineError."""
        number = self.asked or self.number
        request = ReadLog(run=self._run, task=self.task, index=self.index, number=number, offset=offset, limit=limit)
        chunk = await self._feed.ask(request, LogChunk)
        self.number = chunk.number
        self.buffer.size = max(chunk.size, chunk.offset + len(chunk.data))
        self.buffer.final = chunk.final
        self.ended = chunk.sentence
        return chunk

    async def load_end(self) -> None:
        """The last piece, from a whole line on."""
        await self._load(-LOG_CHUNK_BYTES)

    async def load_at(self, offset: int) -> None:
        """The piece around a byte, which is the beginning of a line."""
        await self._load(max(0, offset - LOG_CHUNK_BYTES // 2))

    async def _load(self, offset: int) -> None:
        chunk = await self.read(offset)
        skip = 0
        if chunk.offset > 0:
            newline = chunk.data.find(b"\n")
            skip = newline + 1 if 0 <= newline < len(chunk.data) - 1 else 0
        self.buffer.clear(chunk.offset + skip)
        self.buffer.take(chunk.offset + skip, chunk.data[skip:])

    async def load_new(self) -> tuple[int, bool]:
        """What was written after what is here: by how many lines those that were here moved, and whether more comes."""
        chunk = await self.read(self.buffer.end)
        moved = self.buffer.take(chunk.offset, chunk.data)
        return moved, len(chunk.data) >= LOG_CHUNK_BYTES

    async def load_before(self) -> int:
        """The piece before what is here; by how many lines those that were here moved."""
        start = self.buffer.start
        offset = max(0, start - LOG_CHUNK_BYTES)
        chunk = await self.read(offset, start - offset)
        if self.buffer.start == start and chunk.offset + len(chunk.data) == start:
            return self.buffer.take(offset, chunk.data)
        return 0

    # --- search ---------------------------------------------------------------------------------------------------

    async def find(
        self, pattern: re.Pattern[str], offset: int, direction: int, progress: Callable[[int], None]
    ) -> int | None:
        """Where the next line begins that has a match, from a line's beginning on or from there back; None where there
        is none. Raises EngineError.
        """
        quick = _quick(pattern)
        return await (self._find_on if direction > 0 else self._find_back)(pattern, quick, offset, progress)

    async def _find_on(
        self, pattern: re.Pattern[str], quick: re.Pattern[bytes] | None, offset: int, progress: Callable[[int], None]
    ) -> int | None:
        rest = b""
        while True:
            chunk = await self.read(offset)
            data, base = rest + chunk.data, offset - len(rest)
            last = not chunk.data or chunk.offset + len(chunk.data) >= self.buffer.size
            cut = len(data) if last or len(data) > _LINE_MAX else data.rfind(b"\n") + 1
            for begin in _matches(data[:cut], pattern, quick):
                return base + begin
            if last:
                return None
            rest = data[cut:]
            offset += len(chunk.data)
            progress(offset)

    async def _find_back(
        self, pattern: re.Pattern[str], quick: re.Pattern[bytes] | None, offset: int, progress: Callable[[int], None]
    ) -> int | None:
        rest = b""
        while offset > 0 or rest:
            start = max(0, offset - LOG_CHUNK_BYTES)
            chunk = await self.read(start, offset - start) if offset > start else None
            data = (chunk.data if chunk is not None else b"") + rest
            cut = 0 if start == 0 or len(data) > 2 * _LINE_MAX else data.find(b"\n") + 1
            found = _matches(data[cut:], pattern, quick)
            if found:
                return start + cut + found[-1]
            if start == 0:
                return None
            rest, offset = data[:cut], start
            progress(offset)
        return None

    # --- saving ---------------------------------------------------------------------------------------------------

    async def save(self, path: Path, progress: Callable[[int], None]) -> int:
        """Copy the whole log, as it was written, into a new file; its size. Nothing is left of it where that is given
        up. Raises EngineError, OSError.
        """
        with path.open("xb") as file:
            try:
                return await self._copy(file, progress)
            except BaseException:
                os.unlink(path)
                raise

    async def _copy(self, file: BinaryIO, progress: Callable[[int], None]) -> int:
        offset = 0
        while True:
            chunk = await self.read(offset)
            file.write(chunk.data)
            offset += len(chunk.data)
            if not chunk.data or offset >= chunk.size:
                return offset
            progress(offset)


def _quick(pattern: re.Pattern[str]) -> re.Pattern[bytes] | None:
    """The pattern for bytes of many lines, where that finds no less than line by line."""
    if not pattern.pattern.isascii() or _SUBTLE.search(pattern.pattern):
        return None
    return re.compile(pattern.pattern.encode(), re.MULTILINE | (pattern.flags & re.IGNORECASE))


def _matches(data: bytes, pattern: re.Pattern[str], quick: re.Pattern[bytes] | None) -> list[int]:
    """Where the lines begin that have a match."""
    if quick is not None and quick.search(data) is None and not data.translate(None, _PLAIN):
        return []
    found: list[int] = []
    at = 0
    for line in data.splitlines(keepends=True):
        if pattern.search(readable(line)):
            found.append(at)
        at += len(line)
    return found
