"""Reading a piece of a log. Logs are written by attempts that may replace their own files, so each part of the path is
opened in turn below the log folder without following a link, and only a regular file is read. It happens in a thread:
the loop never waits for a disk.
"""

import os
import stat

import msgspec
import trio

from engine.core.events import LogSlice
from engine.core.state import Attempt
from engine.model.errors import NotFound, Unavailable, ValueFault
from engine.protocol.messages import LOG_CHUNK_BYTES, ListSamples, LogChunk, ReadLog
from engine.server.look import Look
from engine.server.packing import short_text
from engine.server.queries import place_of
from engine.server.rows_of_tasks import attempts_of_row

_READERS = 4
_OFFSET_MAX = 2**62
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LogPlace(msgspec.Struct, frozen=True):
    """Which bytes of which file are an attempt's log. Of a live one the end is the file's end, unless it is known."""

    number: int
    log: LogSlice
    live: bool
    sentence: str = ""
    """How the attempt ended, once it has."""


def place_of_log(look: Look, question: ReadLog) -> LogPlace:
    """Where the log is that a question asks for. Raises EngineError, or RunNeeded."""
    if not 1 <= question.limit <= LOG_CHUNK_BYTES:
        raise ValueFault(f"a piece of a log has 1 to {LOG_CHUNK_BYTES} bytes, not {question.limit}")
    if abs(question.offset) > _OFFSET_MAX:
        raise ValueFault("there is no such place in a log")
    newest = attempt_meant(look, question)
    sentence = short_text(newest.outcome.sentence()) if newest.outcome is not None and not newest.live else ""
    return LogPlace(newest.number, newest.log, newest.live, sentence)


def attempt_meant(look: Look, question: ReadLog | ListSamples) -> Attempt:
    """The row's attempt of the number, or its newest one. Raises EngineError, or RunNeeded."""
    if question.number < 0:
        raise ValueFault(f"there is no attempt {question.number}")
    run, place = place_of(look, question.run, question.task, question.index)
    attempts = attempts_of_row(look, run, place.task, place.item)
    if question.number:
        attempts = [attempt for attempt in attempts if attempt.number == question.number]
    if not attempts:
        which = f"attempt {question.number}" if question.number else "no attempt yet"
        raise NotFound(f"{run.text(place.task, place.item)} has {'no ' if question.number else ''}{which}")
    return attempts[-1]


async def read_log(folder: str, place: LogPlace, question: ReadLog, limiter: trio.CapacityLimiter) -> LogChunk:
    """The piece. Raises NotFound where an ended attempt's log is gone."""
    if not place.log.path:
        return LogChunk(
            id=question.id, data=b"", offset=0, size=0, number=place.number, final=not place.live,
            sentence=place.sentence,
        )  # fmt: skip
    return await trio.to_thread.run_sync(_read, folder, place, question, limiter=limiter)


def new_limiter() -> trio.CapacityLimiter:
    """How many logs are read at once."""
    return trio.CapacityLimiter(_READERS)


def _read(folder: str, place: LogPlace, question: ReadLog) -> LogChunk:
    path = os.path.join(folder, place.log.path)
    try:
        file = open_below(folder, place.log.path)
    except FileNotFoundError:
        if not place.live:
            raise NotFound(f"the log {path} is gone") from None
        return LogChunk(id=question.id, data=b"", offset=0, size=0, number=place.number, final=False, path=path)
    except OSError as error:
        raise Unavailable(f"the log {path} cannot be read: {error.strerror}") from error
    try:
        end = os.fstat(file).st_size - place.log.offset
        size = max(0, min(place.log.length, end) if place.log.length or not place.live else end)
        offset = max(0, size + question.offset) if question.offset < 0 else min(question.offset, size)
        data = os.pread(file, min(question.limit, size - offset), place.log.offset + offset)
    finally:
        os.close(file)
    return LogChunk(
        id=question.id, data=data, offset=offset, size=size, number=place.number, final=not place.live, path=path,
        sentence=place.sentence,
    )  # fmt: skip


def open_below(folder: str, path: str) -> int:
    """A descriptor of the regular file at `path` below the folder, no part of it being a link. Raises OSError."""
    *folders, name = path.split("/")
    if any(part in ("", ".", "..") for part in (*folders, name)):
        raise FileNotFoundError(2, "not a path below the folder", path)
    at = os.open(folder, _FOLDER_FLAGS)
    try:
        for part in folders:
            inner = os.open(part, _FOLDER_FLAGS, dir_fd=at)
            os.close(at)
            at = inner
        file = os.open(name, _FILE_FLAGS, dir_fd=at)
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(22, "not a regular file", path)
    return file
