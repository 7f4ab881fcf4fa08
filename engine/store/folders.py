"""Deleting a folder in small steps, by descriptors, so that no link leads anywhere else and no step blocks for long.

What tasks write below their log folder is theirs: links, deep trees, names with any bytes. Every name is opened
relative to the folder that it was listed in, without following a link; a tree deeper than _DEPTH_MAX is flattened by
moving its lower part up.
"""

import os
import secrets
import stat
from itertools import islice
from pathlib import Path

_DEPTH_MAX = 32
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_folder(parent: Path, name: str, limit: int = 500) -> bool:
    """Delete at most `limit` files and folders of `parent/name`. True when nothing is left of it.

    A link or a file of that name is itself removed. Raises OSError, and ValueError for a name that is a path.
    """
    if not name or "/" in name or name in (".", ".."):
        raise ValueError(f"{name!r} is no name of a folder")
    try:
        parent_fd = os.open(parent, _FOLDER & ~os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        return _Remover(limit).remove(parent_fd, name)
    finally:
        os.close(parent_fd)


class _Remover:
    def __init__(self, limit: int) -> None:
        self._left = limit
        self._top = -1

    def remove(self, parent_fd: int, name: str) -> bool:
        try:
            status = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        except FileNotFoundError:
            return True
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(name, dir_fd=parent_fd)
            return True
        fd = _open_wide(name, parent_fd)
        try:
            self._top = fd
            emptied = self._empty(fd, 0)
        finally:
            os.close(fd)
        if emptied:
            os.rmdir(name, dir_fd=parent_fd)
        return emptied

    def _empty(self, fd: int, depth: int) -> bool:
        """Whether the folder is empty now."""
        while True:
            with os.scandir(fd) as entries:  # anew after each slice: what was moved up may have joined it
                slice_of = islice(entries, 256)
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in slice_of]
            if not found:
                return True
            for name, is_folder in found:
                if self._left <= 0:
                    return False
                self._left -= 1
                if not is_folder:
                    os.unlink(name, dir_fd=fd)
                elif depth >= _DEPTH_MAX:
                    os.rename(name, f"deep-{secrets.token_hex(8)}", src_dir_fd=fd, dst_dir_fd=self._top)
                elif not self._remove_inner(fd, name, depth):
                    return False

    def _remove_inner(self, fd: int, name: str, depth: int) -> bool:
        inner = _open_wide(name, fd)
        try:
            if not self._empty(inner, depth + 1):
                return False
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=fd)
        return True


def _open_wide(name: str, parent_fd: int) -> int:
    """A descriptor of a folder. One that its task has closed to its own user is opened to us first."""
    path = os.open(name, os.O_PATH | _FOLDER, dir_fd=parent_fd)
    try:
        if os.fstat(path).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(f"/proc/self/fd/{path}", stat.S_IRWXU)
        return os.open(".", _FOLDER, dir_fd=path)
    finally:
        os.close(path)
