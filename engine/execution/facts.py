"""What launchers report, in the words of the machine."""

import os
import stat
from binascii import a2b_base64
from collections.abc import Sequence
from typing import Any

import msgspec

from engine.core.events import (
    AttemptExited,
    AttemptLost,
    AttemptNeverStarted,
    AttemptStarted,
    BlockStarted,
    LogSlice,
    Measured,
    Noise,
    RowsReturned,
    RowsSucceeded,
    Usage,
)  # fmt: skip
from engine.core.unfold import unfold
from engine.model.status import Outcome, OutcomeKind
from engine.model.workflow import RESULT_BYTES_MAX

AttemptEvent = (
    AttemptStarted | AttemptExited | AttemptNeverStarted | AttemptLost | BlockStarted | RowsSucceeded | RowsReturned
)
_KINDS = {kind.text: kind for kind in OutcomeKind}


def exited(found: dict[str, Any]) -> AttemptExited | AttemptLost:
    """The end that a launcher spooled. A result that is no JSON makes a success a failure."""
    told = found["o"]
    kind = _KINDS.get(told["kind"], OutcomeKind.LOST)
    if kind is OutcomeKind.LOST:
        return AttemptLost(found["a"], found["at"], told.get("why", ""), found.get("b", 0))
    outcome = Outcome(
        kind=kind,
        exit_code=told.get("exit_code"),
        signal=told.get("signal"),
        why=told.get("why", ""),
        exception=told.get("exception", ""),
        which=told.get("which", ""),
        used=told.get("used", 0),
        limit=told.get("limit", 0),
    )
    result: bytes | None = None
    if kind is OutcomeKind.SUCCEEDED:
        result, why = _result(found)
        if why:
            outcome = Outcome(OutcomeKind.FAILED, exit_code=outcome.exit_code, why=why)
    return AttemptExited(
        attempt=found["a"],
        at_ns=found["at"],
        outcome=outcome,
        usage=Usage(cpu_ns=found.get("cpu", 0), max_rss_bytes=found.get("rss", 0)),
        log=LogSlice(*found["log"]) if "log" in found else LogSlice(),
        result=result,
        block=found.get("b", 0),
        began_ns=found.get("began", 0),
        measured=_measured(found["m"]) if found.get("m") else None,
    )


def _measured(told: dict[str, Any]) -> Measured:
    """What a launcher measured; see `measuring.Measuring`."""
    before, during = (Noise(*told[name]) if name in told else None for name in ("before", "during"))
    notes, marks = tuple(told.get("notes", ())), tuple(told.get("marks", ()))
    return Measured(told["values"], notes, before, during, marks)


def succeeded(fact: list[Any]) -> Sequence[RowsSucceeded | AttemptExited]:
    """The span that a launcher read from a block's page. With a result that is no JSON its rows are told one by one."""
    number, offset, count, last_us, columns, (path, log), rss, results = fact
    span = RowsSucceeded(
        attempt=number, offset=offset, count=count, last_us=last_us, columns=a2b_base64(columns),
        log=LogSlice(path, log), max_rss_bytes=rss,
        results=tuple(None if text is None else text.encode() for text in results or ()),
    )  # fmt: skip
    whys = [_no_json(data) if data is not None else "" for data in span.results]
    if not any(whys):
        return (span,)
    ends: list[AttemptExited] = []
    began_ns = 0
    for event, _ in unfold(span, (0, 0, 0, 0)):
        if isinstance(event, AttemptStarted):
            began_ns = event.at_ns
        elif isinstance(event, AttemptExited):
            why = whys[len(ends)]
            outcome = Outcome(OutcomeKind.FAILED, exit_code=0, why=why) if why else event.outcome
            result = None if why else event.result
            ends.append(msgspec.structs.replace(event, outcome=outcome, result=result, began_ns=began_ns))
    return ends


def _result(found: dict[str, Any]) -> tuple[bytes | None, str]:
    """The result, and why there is none although there was one."""
    if "bad" in found:
        return None, found["bad"]
    if "result" in found:
        data = str(found["result"]).encode()
    elif "file" in found:
        try:
            data = _read(found["file"])
        except (OSError, ValueError) as error:
            return None, f"result cannot be read: {error}"
    else:
        return None, ""
    why = _no_json(data)
    return (None, why) if why else (data, "")


def _no_json(data: bytes) -> str:
    """Why the result is none; empty for one that is."""
    try:
        msgspec.json.decode(data)
    except (ValueError, RecursionError) as error:
        return f"result is not JSON: {error}"
    return ""


def _read(path: str) -> bytes:
    """A regular file of bounded size, whatever a task may have put there. Raises OSError or ValueError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is not a regular file")
        if found.st_size > RESULT_BYTES_MAX:
            raise ValueError(f"{found.st_size} bytes are more than 1 MiB")
        return file.read(RESULT_BYTES_MAX)
