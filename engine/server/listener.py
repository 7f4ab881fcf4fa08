"""The socket's file. Its folder belongs to the engine's user and to nobody else, so nobody else can have put anything
there; the socket gets its mode before it gets its name, and takes the place of a dead engine's in one step.

A Unix socket's address holds at most 107 bytes: a longer path is reached through a descriptor of its folder.
"""

import os
import socket
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from engine.model.errors import Unavailable

_BACKLOG = 1024
_ADDRESS_BYTES_MAX = 107
_PRIVATE_FOLDER, _SHARED_FOLDER = 0o700, 0o711
_PRIVATE_SOCKET, _SHARED_SOCKET = 0o600, 0o666


class Listener:
    """A listening socket and the file that names it."""

    def __init__(self, path: Path, *, shared: bool) -> None:
        """Listen at `path`; `shared`: other users may connect (and are then judged). Raises Unavailable, OSError."""
        self.path = path
        path.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(folder).st_uid != os.geteuid():
                raise Unavailable(f"{path.parent} belongs to another user", "choose another ORCHCTL_HOME")
            os.fchmod(folder, _SHARED_FOLDER if shared else _PRIVATE_FOLDER)
            _refuse_foreign(folder, path)
            self.socket = _listen(folder, path, _SHARED_SOCKET if shared else _PRIVATE_SOCKET)
        finally:
            os.close(folder)
        self._inode = os.stat(path).st_ino

    def close(self) -> None:
        """Stop listening, and remove the file if it is still ours."""
        self.socket.close()
        try:
            if os.lstat(self.path).st_ino == self._inode:
                self.path.unlink()
        except FileNotFoundError:
            pass


def _refuse_foreign(folder: int, path: Path) -> None:
    """Raises Unavailable where a living engine listens, or something that is no socket has the name."""
    try:
        mode = os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise Unavailable(f"{path} is no socket", "remove it if nothing needs it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, _address(folder, path) as address:
        probe.settimeout(0)
        try:
            probe.connect(address)
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:
            pass
    raise Unavailable(f"another engine listens at {path}", "`orchctl engine status` shows it")


def _listen(folder: int, path: Path, mode: int) -> socket.socket:
    """Bind under a name of our own, then take the place of whatever has the real one."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        before = os.umask(0o777 & ~mode)
        try:
            with _address(folder, fresh) as address:
                _unlink(folder, fresh.name)
                listening.bind(address)
        finally:
            os.umask(before)
        os.chmod(fresh.name, mode, dir_fd=folder)
        listening.listen(_BACKLOG)
        os.rename(fresh.name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        listening.close()
        _unlink(folder, fresh.name)
        raise
    return listening


def _unlink(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass


@contextmanager
def _address(folder: int, path: Path) -> Generator[str]:
    """An address for a name in the folder, valid within the `with`."""
    short = len(os.fsencode(path)) <= _ADDRESS_BYTES_MAX
    yield str(path) if short else f"/proc/self/fd/{folder}/{path.name}"
