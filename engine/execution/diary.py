"""A diary of ours (`engine.log`, `processes.log`) is bounded: what is full is kept as `.1`, what was `.1` as `.2`, and
so on, and it begins anew.

Several processes append to one diary, through descriptors that they were started with. So it is copied and emptied, not
renamed: all of them go on writing where they wrote. What another process writes just between the copy and the emptying
is lost.
"""

import contextlib
import os
from pathlib import Path

DIARY_BYTES_MAX = 4 * 2**20
KEPT = 3
_PIECE_BYTES = 2**20


def bound_diary(path: Path, most_bytes: int = DIARY_BYTES_MAX) -> None:
    """Begin the diary anew if it is full. Never raises: where there is no room for a copy, it stays as it is."""
    with contextlib.suppress(OSError):
        if os.lstat(path).st_size < most_bytes:
            return
        for number in range(KEPT - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.rename(_kept(path, number), _kept(path, number + 1))
        _copy(path, _kept(path, 1))
        os.truncate(path, 0)


def _kept(path: Path, number: int) -> str:
    return f"{path}.{number}"


def _copy(path: Path, target: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(path, "rb") as full, open(os.open(target, flags, 0o600), "wb") as kept:
        while piece := full.read(_PIECE_BYTES):
            kept.write(piece)
