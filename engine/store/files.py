"""The files around the environment: the lock that keeps a second engine out, the ballast, renames that last.

Nothing here opens data.mdb or lock.mdb: closing such a descriptor would drop LMDB's own locks in this process.
"""

import contextlib
import fcntl
import os
from collections.abc import Generator
from pathlib import Path

from engine.store.errors import StoreLocked, StoreRefused

LOCK_NAME = "engine.lock"
DATA_NAME = "data.mdb"
LMDB_LOCK_NAME = "lock.mdb"
BALLAST_NAME = "ballast"
UPGRADE_FOLDER = "upgrade"
RESTORE_FOLDER = "restore"


class FolderLock:
    """Held by the one process that may open the state of a folder. It ends with the process, however that ends."""

    def __init__(self, folder: Path) -> None:
        """Raises StoreLocked, naming the holder, or StoreRefused when the folder cannot be used."""
        path = folder / LOCK_NAME
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreRefused(f"the state folder {folder} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _pid_in(self._fd)
            os.close(self._fd)
            raise StoreLocked(str(folder), pid) from None
        except OSError as error:
            os.close(self._fd)
            raise StoreRefused(f"the state folder {folder} cannot be locked: {error.strerror}") from error
        with contextlib.suppress(OSError):  # on a full disk the lock holds without the pid
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go of the lock; again is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _pid_in(fd: int) -> int:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else 0


def free_bytes(folder: Path) -> int:
    """What is left of the disk for this user."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


class Ballast:
    """Room that is held so that a restart on a full disk can still commit. `release` gives it up."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self._folder = folder
        self._path = folder / BALLAST_NAME
        self._size = size_bytes

    @property
    def held(self) -> bool:
        return self._path.exists()

    def settle(self) -> bool:
        """At start: let go when the disk has less left than the ballast's size, else make it. Whether it is held.

        It is made only where twice its size remains, or it would itself be what fills a small disk.
        """
        free = free_bytes(self._folder)
        if free < self._size:
            self.release()
        elif not self.held and free >= 3 * self._size:
            self._make()
        return self.held

    def release(self) -> bool:
        """Whether there was something to let go of."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True

    def _make(self) -> None:
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(fd, 0, self._size)
        except OSError:
            self.release()
        finally:
            os.close(fd)


def sync_file(path: Path) -> None:
    """Force a file's content to the disk. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(folder: Path) -> None:
    """Force renames and removals in a folder to the disk. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def private_files() -> Generator[None, None, None]:
    """Within, new files are for the user alone, whatever made them."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def replace_data(folder: Path, fresh: Path, keep_as: str) -> Path | None:
    """Put the data file `fresh` (same file system, synced) in the folder's place of it, at once.

    What was there stays under the name `keep_as`; returns its path, None where there was nothing. The caller holds
    the folder's lock, and has no environment open. Raises OSError.
    """
    data = folder / DATA_NAME
    kept: Path | None = None
    if data.exists():
        kept = folder / keep_as
        kept.unlink(missing_ok=True)
        os.link(data, kept)
    (folder / LMDB_LOCK_NAME).unlink(missing_ok=True)
    os.rename(fresh, data)
    sync_folder(folder)
    return kept
