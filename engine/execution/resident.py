"""What keeper, launchers and meter have in common: each is the one resident of its lock, serves one socket, and stays
until it is told to leave.

The lock is held by a descriptor that lives as long as the process, so it ends with the process however that ends. Its
file says who holds it, by pid and start, for whoever wants to adopt or end that process.
"""

import ctypes
import fcntl
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from engine.execution import proc
from engine.execution.loop import Loop, Peer, serve
from engine.execution.wire import Message

_PR_SET_CHILD_SUBREAPER = 36


def begin(lock: Path) -> None:
    """Take the lock for the life of this process, and become a subreaper. Exits with 3 when another has the lock."""
    _take_lock(lock)
    _become_subreaper()


def serve_until_stopped(
    loop: Loop, path: Path, on_message: Callable[[Peer, Message], None], on_close: Callable[[Peer], None]
) -> NoReturn:
    """Listen at the path, run the loop until it is stopped, and end the process with 0."""
    close = serve(loop, path, on_message, on_close)
    loop.run()
    close()
    sys.exit(0)


def holder_of(text: bytes) -> tuple[int, int]:
    """The pid and start that a lock's file names; (0, 0) when its holder has not written them yet."""
    words = text.split()
    return (int(words[0]), int(words[1])) if len(words) == 2 and all(word.isdigit() for word in words) else (0, 0)


def _take_lock(path: Path) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(3)
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()} {proc.start_ticks(os.getpid())}\n".encode(), 0)


def _become_subreaper() -> None:
    """Children of dead descendants become ours (prctl(2)); a terminal's hangup or interrupt does nothing here. It is
    handled and not ignored, because what is ignored stays so in what we start; so is what we were told to ignore. What
    Python itself ignores it gives back to its children."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    ignored = {number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN}
    for number in (ignored | {signal.SIGHUP, signal.SIGINT}) - {signal.SIGPIPE, signal.SIGXFSZ}:
        signal.signal(number, lambda _number, _frame: None)
