"""A copy of the state that can be trusted, and the way back.

A backup is a folder with data.mdb, compacted and consistent, and a manifest with its checksum. It is made beside its
final name and renamed when all of it is on the disk, so a folder with the name is a whole backup. Logs are not in it.

A restore puts the copy in the state's place, keeps what was there, and draws a new instance: the attempts that the
backup knows as live belong to another life, and nothing that still runs is taken for one of them.
"""

import hashlib
import os
import shutil
import time
from pathlib import Path

import lmdb
import msgspec

from engine.core.state import Meta
from engine.model.errors import ValueFault
from engine.store.codec import encode
from engine.store.environment import (
    FORMAT,
    LMDB_FORMAT,
    Environment,
    Options,
    check_records,
    engine_version,
    format_of,
    lmdb_version,
    new_instance,
    verify_file,
)
from engine.store.errors import StoreDamage, StoreRefused
from engine.store.files import (
    DATA_NAME,
    RESTORE_FOLDER,
    FolderLock,
    private_files,
    replace_data,
    sync_file,
    sync_folder,
)
from engine.store.load import load_meta
from engine.store.tables import STATE_KEY, Table
from engine.store.transaction import Databases, Edit, Txn, View

MANIFEST_NAME = "manifest.json"
_PIECE_BYTES = 2**20
_NOTE = "the state only: logs are files below the log folder and are not in this backup"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup's folder says about itself."""

    format: int
    engine_version: str
    lmdb_version: str
    revision: int
    instance: int
    created_ns: int
    bytes: int
    sha256: str
    note: str = _NOTE


class Restored(msgspec.Struct, frozen=True):
    """What a restore did. `kept` is the data file that was replaced, empty when there was none."""

    revision: int
    instance: int
    kept: str


def backup(environment: Environment, folder: Path) -> Manifest:
    """Write a backup to `folder`, which must not exist. Blocks, and holds a read transaction, while it copies.

    Raises ValueFault when the folder exists, StoreDamage when the state is damaged, StoreRefused for a disk's refusal.
    """
    if folder.exists():
        raise ValueFault(f"{folder} exists already", "name a new folder for the backup")
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        with private_files():
            scratch.mkdir(mode=0o700, parents=True)
        environment.copy(scratch)
        data = scratch / DATA_NAME
        meta = _checked_meta(scratch)
        manifest = Manifest(
            format=FORMAT,
            engine_version=engine_version(),
            lmdb_version=lmdb_version(),
            revision=meta.revision,
            instance=meta.instance,
            created_ns=time.time_ns(),
            bytes=data.stat().st_size,
            sha256=_sha256(data),
        )
        (scratch / MANIFEST_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        for name in (DATA_NAME, MANIFEST_NAME):
            sync_file(scratch / name)
        sync_folder(scratch)
        os.rename(scratch, folder)
        sync_folder(folder.parent)
    except (OSError, lmdb.Error) as error:
        raise StoreRefused(f"the backup to {folder} could not be written: {_why(error)}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Raises ValueFault when the folder is no backup."""
    try:
        return msgspec.json.decode((folder / MANIFEST_NAME).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise ValueFault(f"{folder} is no backup: {error}", "name the folder that `orchctl backup` wrote") from error


def restore(backup_folder: Path, folder: Path) -> Restored:
    """Put a backup in the place of the state in `folder`.

    Raises StoreLocked while an engine uses it, StoreDamage when the backup is not what was written, StoreRefused when
    it is of a newer engine or there is no room, ValueFault when the folder is no backup.
    """
    manifest = read_manifest(backup_folder)
    if manifest.format > FORMAT:
        raise StoreRefused(f"the backup has format {manifest.format}; this engine knows formats up to {FORMAT}")
    lock = FolderLock(folder)
    scratch = folder / RESTORE_FOLDER
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        with private_files():
            scratch.mkdir(mode=0o700)
        data = scratch / DATA_NAME
        shutil.copyfile(backup_folder / DATA_NAME, data)
        if data.stat().st_size != manifest.bytes or _sha256(data) != manifest.sha256:
            raise StoreDamage(f"the backup in {backup_folder} is damaged: its checksum is not that of the manifest")
        verify_file(data)
        if format_of(scratch) != manifest.format:
            raise StoreDamage(f"the backup in {backup_folder} is not of the format that its manifest names")
        meta = _renew(scratch, manifest)
        sync_file(data)
        kept = replace_data(folder, data, f"{DATA_NAME}.replaced-{time.time_ns()}")
        return Restored(meta.revision, meta.instance, str(kept) if kept else "")
    except (OSError, lmdb.Error) as error:
        raise StoreRefused(f"the backup in {backup_folder} could not be restored: {_why(error)}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        lock.release()


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)


def _checked_meta(folder: Path) -> Meta:
    """The meta record of a copy, after every record in it has been read. Raises StoreDamage, lmdb.Error."""
    with (
        lmdb.open(str(folder), readonly=True, lock=False, max_dbs=len(Table), lib_version=LMDB_FORMAT) as env,
        env.begin() as txn,
    ):
        view = View(txn, _tables_in(env, txn))
        check_records(view)
        return load_meta(view)


def _tables_in(env: lmdb.Environment, txn: Txn) -> Databases:
    """The tables that are there: an older engine knew fewer of them."""
    names = {bytes(name) for name in txn.cursor().iternext(keys=True, values=False)}
    return {table: env.open_db(table.db_name, txn, create=False) for table in Table if table.db_name in names}


def _renew(folder: Path, manifest: Manifest) -> Meta:
    """Give the copy an instance of its own; an older format is upgraded when the engine opens it."""
    with lmdb.open(str(folder), map_size=Options().map_bytes, max_dbs=len(Table), lib_version=LMDB_FORMAT) as env:
        dbs = {table: env.open_db(table.db_name) for table in Table}
        with env.begin(write=True) as txn:
            edit = Edit(txn, dbs)
            meta = load_meta(edit)
            if meta.instance != manifest.instance:
                raise StoreDamage("the backup is of another state than its manifest names")
            meta.instance = new_instance()
            edit.put(Table.META, STATE_KEY, encode(meta))
        return meta


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
