"""Opening the state: one LMDB environment in a folder that one engine at a time may use.

The file format of LMDB is pinned (its version 1 cannot read version 0 and the other way round, and a variable of the
process's environment would choose), commits are synced, and the map is never written through: on a full disk that
would be a signal instead of an error. The map is large and sparse from the start, because resizing it under open
transactions is where LMDB has hurt others.

Before LMDB sees the file it is looked at by hand: a file that is shorter than its last page would be answered by a bus
error, and a file of a newer engine has to be refused untouched. An older format is upgraded on a copy, which takes the
file's place in one rename; the old file stays beside it.
"""

import os
import secrets
import shutil
import struct
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import lmdb
import msgspec
from lmdb import verify

from engine.core.state import Meta
from engine.model.errors import Unavailable
from engine.model.resources import size_text
from engine.store.codec import About, decode_about, encode, unseal
from engine.store.errors import RESTORE_HINT, StoreDamage, StoreRefused
from engine.store.files import (
    DATA_NAME,
    RESTORE_FOLDER,
    UPGRADE_FOLDER,
    Ballast,
    FolderLock,
    free_bytes,
    private_files,
    replace_data,
    sync_file,
)
from engine.store.tables import (
    ABOUT_KEY,
    FORMAT_KEY,
    INDEXES_GENERATION,
    INDEXES_KEY,
    STATE_KEY,
    Table,
    number_key,
    number_of,
)
from engine.store.transaction import Databases, Edit, View

FORMAT = 1
LMDB_FORMAT = 0
_META_PAGE = struct.Struct("<IIQQ I")
_META_LAST = struct.Struct("<QQQ")
_NO_PAGE = 2**64 - 1
_MAGIC = 0xBEEFC0DE
_DATA_VERSION = 1

Upgrade = Callable[[Edit], None]
UPGRADES: Mapping[int, Upgrade] = {}
"""By the format that each takes to the next one. Format 1 is the first."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of the store."""

    map_bytes: int = 64 * 2**30
    max_readers: int = 126
    ballast_bytes: int = 16 * 2**20


class Environment:
    """An open state. Made by `open_environment`; holds the folder's lock until `close`."""

    def __init__(self, folder: Path, lock: FolderLock, env: lmdb.Environment, dbs: Databases, ballast: Ballast) -> None:
        self.folder = folder
        self.ballast = ballast
        self._lock = lock
        self._env = env
        self._dbs = dbs

    @property
    def map_bytes(self) -> int:
        return self._env.info()["map_size"]

    @property
    def file_bytes(self) -> int:
        """How far into the map the file reaches, with the pages that are free for use again."""
        return (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]

    @contextmanager
    def read(self) -> Generator[View, None, None]:
        """A look at what is committed. Short: while one is open, no page that it may see can be used again.

        Raises StoreDamage where LMDB finds its own structure broken, Unavailable when there are too many at once.
        """
        try:
            with self._env.begin() as txn:
                yield View(txn, self._dbs)
        except lmdb.ReadersFullError as error:
            raise Unavailable("too many readers look at the state at once", "try again in a moment") from error
        except lmdb.Error as error:
            raise StoreDamage(f"the state's file cannot be read: {error}") from error

    @contextmanager
    def edit(self) -> Generator[Edit, None, None]:
        """The write transaction: committed at the end, aborted by any exception. Raises lmdb.Error."""
        with self._env.begin(write=True) as txn:
            yield Edit(txn, self._dbs)

    def used_bytes(self) -> int:
        """The pages that hold something."""
        with self.read() as view:
            return sum(view.used_bytes(table) for table in Table)

    def reap_readers(self) -> int:
        """Free the slots of readers whose processes are dead, so that they hold no pages. Call it now and then."""
        return self._env.reader_check()

    def copy(self, folder: Path) -> None:
        """A compact, consistent copy into an existing empty folder. Holds a read transaction while it lasts."""
        self._env.copy(str(folder), compact=True)

    def close(self) -> None:
        self._env.close()
        self._lock.release()


def open_environment(
    folder: Path, options: Options | None = None, upgrades: Mapping[int, Upgrade] = UPGRADES
) -> Environment:
    """Lock the folder, check the state in it, upgrade or create it, and open it.

    Raises StoreLocked, StoreRefused (a newer format, or no room), StoreDamage.
    """
    options = options or Options()
    lock = FolderLock(folder)
    try:
        for leftover in (UPGRADE_FOLDER, RESTORE_FOLDER):
            shutil.rmtree(folder / leftover, ignore_errors=True)
        ballast = Ballast(folder, options.ballast_bytes)
        if free_bytes(folder) < options.ballast_bytes:
            ballast.release()
        found = format_of(folder)
        if found is not None and found > FORMAT:
            sentence = f"the state in {folder} has format {found}; this engine knows formats up to {FORMAT}"
            raise StoreRefused(sentence, "use the engine that wrote it, or a newer one")
        if found is not None and found < FORMAT:
            _upgrade(folder, found, options, upgrades)
        env = _open(folder, options)
        try:
            with env.begin(write=True) as txn:  # tables and first records come into being together, or not at all
                dbs = {table: env.open_db(table.db_name, txn) for table in Table}
                if found is None:
                    _create(Edit(txn, dbs))
            opened = Environment(folder, lock, env, dbs, ballast)
            opened.reap_readers()
            ballast.settle()
        except BaseException:
            env.close()
            raise
    except lmdb.Error as error:
        lock.release()
        raise _open_failure(folder, error) from error
    except BaseException:
        lock.release()
        raise
    return opened


def format_of(folder: Path) -> int | None:
    """The format of the state in a folder; None where there is none yet. The file is only read.

    The caller holds the folder's lock. Raises StoreDamage, or lmdb.Error.
    """
    data = folder / DATA_NAME
    if not data.exists() or data.stat().st_size == 0:
        return None
    check_file(data)
    with lmdb.open(str(folder), readonly=True, lock=False, max_dbs=1, lib_version=LMDB_FORMAT) as env:
        with env.begin() as txn:
            if txn.stat(None)["entries"] == 0:
                return None  # made, and not yet filled
            try:
                db = env.open_db(Table.META.db_name, txn, create=False)
            except lmdb.NotFoundError as error:
                raise StoreDamage(f"{data} is no state of an engine") from error
            value = txn.get(FORMAT_KEY, None, db)
        if value is None:
            raise StoreDamage("its format is not written", Table.META, FORMAT_KEY)
        return number_of(unseal(Table.META, FORMAT_KEY, value))


def check_file(data: Path) -> None:
    """Refuse a data file that LMDB must not map: garbage, or shorter than its own last page. Raises StoreDamage."""
    size = data.stat().st_size
    with data.open("rb") as file:
        head = file.read(2 * 65536)
    if len(head) < 512:
        raise StoreDamage(f"{data} is cut off: it has {size} bytes")
    magic, version, _, _, page_bytes = _META_PAGE.unpack_from(head, 16)
    if magic != _MAGIC or page_bytes < 512 or page_bytes & (page_bytes - 1):
        raise StoreDamage(f"{data} is no LMDB file")
    if version != _DATA_VERSION:
        raise StoreDamage(f"{data} is of another version of LMDB ({version})")
    last_page, newest, root = 0, -1, _NO_PAGE
    for start in (0, page_bytes):
        if len(head) >= start + 152 and _META_PAGE.unpack_from(head, start + 16)[:2] == (magic, version):
            found_root, page, transaction = _META_LAST.unpack_from(head, start + 128)
            if transaction > newest:
                last_page, newest, root = page, transaction, found_root
    if size < 2 * page_bytes or (last_page + 1) * page_bytes > size:
        # Pages at the very end may have been given back before they were written: only a full check can tell.
        _verify_pages(data, f"{data} is cut off: it has {size_text(size)} of {size_text((last_page + 1) * page_bytes)}")
    if root != _NO_PAGE:
        _check_root(data, root, page_bytes)


def _check_root(data: Path, root: int, page_bytes: int) -> None:
    """An older page in the place of the root would show the state of another day as if it were whole."""
    with data.open("rb") as file:
        file.seek(root * page_bytes)
        number = file.read(8)
    if int.from_bytes(number, "little") != root:
        raise StoreDamage(f"{data} is damaged: another page lies in the place of its root")


def verify_file(data: Path) -> None:
    """Check every page of a data file that nobody has open: about two seconds a gigabyte. Raises StoreDamage."""
    _verify_pages(data, f"{data} is damaged")


def _verify_pages(data: Path, sentence: str) -> None:
    try:
        problems: list[str] = cast("Any", verify).verify(str(data), subdir=False)
    except (verify.VerifyError, OSError, struct.error) as error:
        raise StoreDamage(f"{sentence} ({error})") from error
    if problems:
        raise StoreDamage(f"{sentence} ({problems[0]})")


def _create(edit: Edit) -> None:
    """The first records of a new state, with a random instance and seed."""
    created_ns = time.time_ns()
    about = About(engine_version=engine_version(), lmdb_version=lmdb_version(), created_ns=created_ns)
    meta = Meta(instance=new_instance(), seed=secrets.randbits(63))
    edit.put(Table.META, FORMAT_KEY, number_key(FORMAT))
    edit.put(Table.META, ABOUT_KEY, encode(about))
    edit.put(Table.META, STATE_KEY, encode(meta))
    edit.put(Table.META, INDEXES_KEY, number_key(INDEXES_GENERATION))


def about(environment: Environment) -> About:
    """Who made the state. Raises StoreDamage."""
    with environment.read() as view:
        body = view.get(Table.META, ABOUT_KEY)
    if body is None:
        raise StoreDamage("it is missing", Table.META, ABOUT_KEY)
    return decode_about(ABOUT_KEY, body)


def new_instance() -> int:
    """A random number that no other state has."""
    return secrets.randbits(62) | 1


@cache
def engine_version() -> str:
    try:
        return metadata.version("orchctl")
    except metadata.PackageNotFoundError:  # run from a folder of sources
        return "unknown"


def lmdb_version() -> str:
    return ".".join(str(part) for part in lmdb.version(lib_version=LMDB_FORMAT))


def _open(folder: Path, options: Options) -> lmdb.Environment:
    os.environ.pop("LMDB_DEFAULT_LIB_VERSION", None)
    with private_files():
        return lmdb.open(
            str(folder),
            map_size=options.map_bytes,
            max_dbs=len(Table),
            max_readers=options.max_readers,
            mode=0o600,
            sync=True,
            metasync=True,
            writemap=False,
            readahead=False,
            lib_version=LMDB_FORMAT,
        )


def _upgrade(folder: Path, found: int, options: Options, upgrades: Mapping[int, Upgrade]) -> None:
    """Upgrade a copy of the state, check it, and put it in the state's place. Raises StoreRefused, StoreDamage."""
    missing = [number for number in range(found, FORMAT) if number not in upgrades]
    if missing:
        raise StoreRefused(f"this engine cannot upgrade a state of format {found}", "use an engine in between first")
    scratch = folder / UPGRADE_FOLDER
    scratch.mkdir(mode=0o700)
    env = _open(folder, options)
    try:
        env.copy(str(scratch), compact=True)
    finally:
        env.close()
    env = _open(scratch, options)
    try:
        dbs = {table: env.open_db(table.db_name) for table in Table}
        with env.begin(write=True) as txn:
            edit = Edit(txn, dbs)
            for number in range(found, FORMAT):
                upgrades[number](edit)
            edit.put(Table.META, FORMAT_KEY, number_key(FORMAT))
        with env.begin() as txn:
            check_records(View(txn, dbs))
    finally:
        env.close()
    fresh = scratch / DATA_NAME
    verify_file(fresh)
    sync_file(fresh)
    replace_data(folder, fresh, f"{DATA_NAME}.format-{found}")
    shutil.rmtree(scratch, ignore_errors=True)


def check_records(view: View) -> int:
    """Read every record. Returns how many there are. Raises StoreDamage."""
    return sum(1 for table in view.tables if table is not Table.QUARANTINE for _ in view.records(table))


def _open_failure(folder: Path, error: lmdb.Error) -> StoreRefused | StoreDamage:
    broken = (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.VersionMismatchError)
    if isinstance(error, broken):
        return StoreDamage(f"the state in {folder} cannot be opened: {error}")
    return StoreRefused(f"the state in {folder} cannot be opened: {error}", f"free some space; else {RESTORE_HINT}")
