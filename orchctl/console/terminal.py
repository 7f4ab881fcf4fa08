"""The terminal outside the program: what it can show, and whether it is still there. Nothing here imports textual,
because textual reads its settings when it is imported; they must stand in the environment before.
"""

import os
import select
from collections.abc import Mapping, MutableMapping
from pathlib import Path

_LOCAL = {"TEXTUAL_FPS": "30", "TEXTUAL_ANIMATIONS": "none", "TEXTUAL_SMOOTH_SCROLL": "0"}
_REMOTE = {**_LOCAL, "TEXTUAL_FPS": "20"}


def prepare(environment: MutableMapping[str, str], frames: int = 0) -> None:
    """Set textual's defaults, fewer frames over SSH (or as many as `frames` says). What the operator has set stays."""
    remote = any(environment.get(name) for name in ("SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT"))
    if frames > 0:
        environment.setdefault("TEXTUAL_FPS", str(min(frames, 60)))
    for name, value in (_REMOTE if remote else _LOCAL).items():
        environment.setdefault(name, value)


def inherited() -> dict[str, str]:
    """The environment that this process was started with. Python itself puts a UTF-8 `LC_CTYPE` into `os.environ`
    where the locale is C, which says nothing about the terminal.
    """
    try:
        data = Path("/proc/self/environ").read_bytes()
    except OSError:
        return dict(os.environ)
    pairs = (os.fsdecode(entry).partition("=") for entry in data.split(b"\0") if entry)
    return {name: value for name, _, value in pairs}


def speaks_utf8(environment: Mapping[str, str]) -> bool:
    """Whether a terminal that was described by this environment shows UTF-8. The Linux console lacks our glyphs."""
    if environment.get("TERM") in ("linux", "dumb", "vt100", "vt220"):
        return False
    named = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "")
    return "utf8" in named.lower().replace("-", "")


def hung_up(descriptor: int) -> bool:
    """Whether the terminal's other end is gone, so that nobody can ever type or read again."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(state & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, state in poll.poll(0))


def listens(driver: object) -> bool:
    """Whether a driver reads what is typed now: one that was stopped in good order does not. Textual has no public word
    for it."""
    thread: object = getattr(driver, "_key_thread", None)
    alive: object = getattr(thread, "is_alive", None)
    return bool(callable(alive) and alive())


def backlog(driver: object) -> int:
    """How many writes wait for the terminal. Textual has no public word for it; where its writer looks different
    from what we know, the answer is 0, and a stalled terminal then delays the program instead of being skipped.
    """
    writer: object = getattr(driver, "_writer_thread", None)
    queue: object = getattr(writer, "_queue", None)
    size: object = getattr(queue, "qsize", None)
    if not callable(size):
        return 0
    waiting = size()
    return waiting if isinstance(waiting, int) else 0
