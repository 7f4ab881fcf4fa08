"""Reading and writing records inside one LMDB transaction.

`View` reads: it checks every record that it hands out. `Edit` also writes, and keeps the indexes of runs and the chain
of the audit right; there is one at a time, on the writer thread.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias

import lmdb

from engine.model.status import RunStatus
from engine.store.codec import AuditRecord, RunStatusRecord, decode_status, encode, seal, unseal
from engine.store.errors import StoreDamage
from engine.store.records import Batch
from engine.store.tables import (
    AUDIT_TIP_KEY,
    Table,
    number_key,
    pair_key,
    part_key,
    partition_prefix,
    status_key,
    version_prefix,
    workflow_prefix,
)

if TYPE_CHECKING:
    from lmdb import _Database

Databases: TypeAlias = "Mapping[Table, _Database]"
Txn: TypeAlias = "lmdb.Transaction[bytes]"

HASH_BYTES = 16
NO_HASH = bytes(HASH_BYTES)


class View:
    """A consistent look at the store. Belongs to the thread that opened it, and must not be kept: see `read`."""

    def __init__(self, txn: Txn, dbs: Databases) -> None:
        self._txn = txn
        self._dbs = dbs

    @property
    def tables(self) -> Iterable[Table]:
        """Those that are there."""
        return self._dbs.keys()

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The body of a record, None where there is none. Raises StoreDamage."""
        value = self._txn.get(key, None, self._dbs[table])
        return None if value is None else unseal(table, key, value)

    def raw(self, table: Table, key: bytes) -> bytes | None:
        """The record as it lies there, unchecked."""
        return self._txn.get(key, None, self._dbs[table])

    def has(self, table: Table, key: bytes) -> bool:
        return self._txn.get(key, None, self._dbs[table]) is not None

    def has_prefix(self, table: Table, prefix: bytes) -> bool:
        with self._txn.cursor(self._dbs[table]) as cursor:
            return cursor.set_range(prefix) and cursor.key().startswith(prefix)

    def scan(self, table: Table, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """(key, unchecked record) in ascending order, of keys with the prefix that are not below `start`."""
        with self._txn.cursor(self._dbs[table]) as cursor:
            found = cursor.set_range(max(prefix, start)) if prefix or start else cursor.first()
            while found:
                key, value = cursor.item()
                if not key.startswith(prefix):
                    return
                yield key, value
                found = cursor.next()

    def scan_back(self, table: Table, prefix: bytes = b"", before: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """(key, unchecked record) in descending order, of keys with the prefix that are below `before` (empty: all)."""
        with self._txn.cursor(self._dbs[table]) as cursor:
            bound = before or _after(prefix)
            found = cursor.prev() if bound and cursor.set_range(bound) else cursor.last()
            while found:
                key, value = cursor.item()
                if not key.startswith(prefix):
                    return
                yield key, value
                found = cursor.prev()

    def records(self, table: Table, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """(key, body) as `scan` finds them. Raises StoreDamage at the first bad one."""
        for key, value in self.scan(table, prefix, start):
            yield key, unseal(table, key, value)

    def count(self, table: Table) -> int:
        return self._txn.stat(self._dbs[table])["entries"]

    def used_bytes(self, table: Table) -> int:
        """The pages of the table."""
        stat = self._txn.stat(self._dbs[table])
        return stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])


class Edit(View):
    """The one write transaction. Nothing of it counts before it is committed."""

    def put(self, table: Table, key: bytes, body: bytes) -> None:
        self._txn.put(key, seal(table, key, body), db=self._dbs[table])

    def put_raw(self, table: Table, key: bytes, value: bytes) -> None:
        self._txn.put(key, value, db=self._dbs[table])

    def delete(self, table: Table, key: bytes) -> bool:
        """Whether it was there."""
        return self._txn.delete(key, db=self._dbs[table])

    def delete_prefix(self, table: Table, prefix: bytes, limit: int = 2**62) -> int:
        """Delete at most `limit` records with the prefix. Returns how many."""
        deleted = 0
        with self._txn.cursor(self._dbs[table]) as cursor:
            found = cursor.set_range(prefix) if prefix else cursor.first()
            while found and deleted < limit and cursor.key().startswith(prefix):
                cursor.delete()  # moves on to the next
                deleted += 1
                found = bool(cursor.key())
        return deleted

    def write(self, batch: Batch) -> None:
        """Everything of a batch."""
        for table, prefix in batch.drops:
            self.delete_prefix(table, prefix)
        for table, keys in batch.deletes.items():
            for key in keys:
                self.delete(table, key)
        for table, pairs in batch.puts.items():
            with self._txn.cursor(self._dbs[table]) as cursor:
                cursor.putmulti(pairs)
        for table, key, body in batch.once:
            if not self.has(table, key):
                self.put(table, key, body())
        for run, status in batch.statuses:
            self.set_status(run, status)
        if batch.audit:
            self._chain(batch)

    def set_status(self, run: int, new: RunStatusRecord) -> None:
        """Bring the indexes up to date with a run's header.

        Raises StoreDamage for a run that retention is removing: whoever reopens one has to keep it from that first.
        """
        key = number_key(run)
        body = encode(new)
        old_body = self.get(Table.RUN_STATUS, key)
        if old_body == body:
            return
        if old_body is not None:
            for table, entry in _index_entries(run, decode_status(key, old_body)):
                self.delete(table, entry)
        elif self.has(Table.DROPPING, key):
            raise StoreDamage("it is being forgotten, yet was reopened", Table.RUNS, key)
        for table, entry in _index_entries(run, new):
            self.put(table, entry, b"")
        self.put(Table.RUN_STATUS, key, body)

    def clear_status(self, run: int) -> None:
        """Take a run out of all indexes."""
        key = number_key(run)
        body = self.get(Table.RUN_STATUS, key)
        if body is None:
            return
        for table, entry in _index_entries(run, decode_status(key, body)):
            self.delete(table, entry)
        self.delete(Table.RUN_STATUS, key)

    def _chain(self, batch: Batch) -> None:
        before = self.get(Table.META, AUDIT_TIP_KEY) or NO_HASH
        for n, entry in enumerate(batch.audit):
            key = part_key(batch.revision, n)
            body = encode(AuditRecord(batch.now_ns, before, entry))
            self.put(Table.AUDIT, key, body)
            before = audit_hash(key, body)
        self.put(Table.META, AUDIT_TIP_KEY, before)


def audit_hash(key: bytes, body: bytes) -> bytes:
    """What the next entry holds of this one; `body` holds the hash of the one before."""
    return blake2b(key + body, digest_size=HASH_BYTES).digest()


def _index_entries(run: int, status: RunStatusRecord) -> list[tuple[Table, bytes]]:
    number = number_key(run)
    entries = [
        (Table.BY_STATUS, status_key(status.status, run)),
        (Table.BY_WORKFLOW, workflow_prefix(status.workflow, status.status) + number),
        (Table.BY_VERSION, version_prefix(status.version) + number),
    ]
    if status.due_ns > 0:
        entries.append((Table.BY_PARTITION, partition_prefix(status.workflow, status.due_ns) + number))
    if RunStatus(status.status).finished:
        entries.append((Table.FINISHED, pair_key(max(status.finished_ns, 0), run)))
    return entries


def _after(prefix: bytes) -> bytes:
    """The least key that is above all keys with the prefix; empty where there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,)) if stripped else b""
