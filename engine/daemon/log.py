"""The engine's own diary: one JSON object a line on standard error, which `engine start` sends to engine.log."""

import logging
import sys
import traceback
from typing import Any

import msgspec

from engine.daemon.clock import EngineClock
from engine.model.instants import to_text


def say(what: str, **details: Any) -> None:
    """Write one line. Values that JSON does not know are written as text."""
    line = {"at": to_text(EngineClock.wall_ns()), "what": what, **details}
    data = msgspec.json.encode(line, enc_hook=str)
    sys.stderr.buffer.write(data + b"\n")
    sys.stderr.flush()


class DiaryHandler(logging.Handler):
    """What the rooms say through `logging`, in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        details: dict[str, Any] = {}
        if record.exc_info and record.exc_info[1] is not None:
            details["trace"] = "".join(traceback.format_exception(record.exc_info[1]))[-8000:]
        say(record.getMessage(), room=record.name, level=record.levelname.lower(), **details)


def open_diary() -> None:
    """From now on everything that is logged comes to the diary."""
    logging.basicConfig(level=logging.INFO, handlers=[DiaryHandler()], force=True)
