"""The engine's own diary: one JSON object a line on standard error, which `engine start` sends to engine.log."""

import sys
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
