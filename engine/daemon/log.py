"""The engine's own diary: one JSON object a line on standard error, which `engine start` sends to engine.log."""

import contextlib
import logging
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import msgspec

from engine.daemon.clock import EngineClock
from engine.execution.diary import bound_diary
from engine.model.instants import to_text


class _Diary:
    """Where `engine start` lets our standard error go to; nowhere until it is opened."""

    path: Path | None = None
    lock = threading.Lock()


def say(what: str, **details: Any) -> None:
    """Write one line. Never raises: a disk that is full, or a name that is no UTF-8, must not end the engine."""
    line = {"at": to_text(EngineClock.wall_ns()), "what": encodable(what)}
    line |= {name: value if isinstance(value, int) else encodable(value) for name, value in details.items()}
    if _Diary.path is not None:
        with _Diary.lock:  # what two threads find full must not be begun anew twice
            bound_diary(_Diary.path)
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), msgspec.json.encode(line) + b"\n")


def encodable(value: object) -> str:
    """The value as a text; bytes of a name that are no UTF-8 become visible."""
    return str(value).encode(errors="backslashreplace").decode()


class DiaryHandler(logging.Handler):
    """What the rooms say through `logging`, in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        details: dict[str, Any] = {}
        if record.exc_info and record.exc_info[1] is not None:
            details["trace"] = "".join(traceback.format_exception(record.exc_info[1]))[-8000:]
        say(record.getMessage(), room=record.name, level=record.levelname.lower(), **details)


def open_diary(path: Path) -> None:
    """From now on everything that is logged comes to the diary, and the file stays bounded."""
    _Diary.path = path
    logging.basicConfig(level=logging.INFO, handlers=[DiaryHandler()], force=True)
