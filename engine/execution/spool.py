"""What a launcher must not forget when it dies: which attempts it set out to start, and how they ended.

A preallocated file of records, each `magic, length, checksum, JSON`, at offsets that are multiples of eight. Kinds:
`["i", attempt, rows]` an intent, written before the attempt may start; `["e", exit]` its end, written before anyone
is told; `["a", [attempts]]` what may be forgotten: ends that are committed elsewhere, intents that came to nothing.
The file is appended to with one write a batch and rewritten, by way of a second file, when it is full. Ends that may be
forgotten wait for the next write: where that does not come they are told again, and acknowledged again. Nothing is
synced: a record must survive the launcher, not the host, for on another boot every attempt is lost anyway.

A record whose checksum fails, anywhere, makes the spool *damaged*: what is readable stays true, but it proves no more
that an attempt without an intent never started. The mark stays until the engine has settled it.
"""

import contextlib
import json
import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from engine.execution.wire import to_text

_MAGIC = 0x6C6F6F73
_RECORD = struct.Struct("<III")
_HEAD = "orchctl-spool-1"
CAPACITY_BYTES = 4 * 2**20
EXIT_RESERVE_BYTES = 6 * 1024

Exit = dict[str, Any]


class SpoolFull(Exception):
    """There is no room on the disk for another record."""


class Spool:
    """The spool of one launcher slot; it outlives the launchers that serve the slot one after another.

    `open` are the intents without an end, `exits` the ends that nobody acknowledged. Raises OSError when the file
    cannot be made at all.
    """

    def __init__(self, path: Path, instance: int, boot: str, capacity: int = CAPACITY_BYTES) -> None:
        self._path = path
        self._capacity = capacity
        self.instance = instance
        self.boot = boot
        self.open: dict[int, int] = {}
        self.exits: dict[int, Exit] = {}
        self.damaged = False
        self.other_boot = False
        self._forgotten: list[int] = []
        self._tail = 0
        if path.exists():
            self._load()
        self._fd = -1
        try:
            self._rewrite()
        except SpoolFull:
            self._reopen()

    def _reopen(self) -> None:
        """On a full disk the old file serves on; its room is there already. Raises OSError when there is none."""
        self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._capacity = os.fstat(self._fd).st_size

    def begin(self, attempts: Sequence[tuple[int, int]]) -> None:
        """Write intents (attempt, how many rows it has). Raises SpoolFull; then none of them is written."""
        self.write((), attempts)

    def end(self, exits: Sequence[Exit]) -> None:
        """Write ends. Raises SpoolFull; then none of them is written and they may be tried again."""
        self.write(exits, ())

    def write(self, exits: Sequence[Exit], begun: Sequence[tuple[int, int]]) -> None:
        """Ends and then intents, in one piece. Raises SpoolFull; then nothing of it is written."""
        records = [_record(f'["e",{to_text(found)}]') for found in exits]
        records += [_record(f'["i",{attempt},{rows}]') for attempt, rows in begun]
        self._append(b"".join(records), EXIT_RESERVE_BYTES * (len(self.open) + len(begun)) if begun else 0)
        for found in exits:
            self.open.pop(found["a"], None)
            self.exits[found["a"]] = found
        self.open.update(begun)

    def forget(self, attempts: Iterable[int]) -> None:
        """The ends are committed elsewhere, or an intent came to nothing. That is written at once, or somebody would
        find an attempt that was lost; if there is no room for it, it is found so."""
        known = [attempt for attempt in attempts if attempt in self.exits or attempt in self.open]
        intents = [attempt for attempt in known if self.exits.pop(attempt, None) is None]
        for attempt in intents:
            del self.open[attempt]
        self._forgotten += known
        if intents:
            with contextlib.suppress(SpoolFull):
                self._append(b"", 0)

    def settle(self) -> None:
        """The engine has dealt with the damage, and with the change of the boot."""
        if self.damaged:
            self.damaged = False
            with contextlib.suppress(SpoolFull):
                self._rewrite()

    def adopt(self, instance: int) -> None:
        """From now on the spool belongs to another instance of the state: what it held means nothing to it."""
        self.instance = instance
        self.open.clear()
        self.exits.clear()
        self.damaged = False
        self._rewrite()

    def close(self) -> None:
        """Nothing is told to it any more. An acknowledgement that finds no room means that an end is told again."""
        with contextlib.suppress(SpoolFull):
            self._append(b"", 0)
        os.close(self._fd)

    def _append(self, data: bytes, reserve: int) -> None:
        if self._forgotten:
            data = _record(f'["a",{self._forgotten}]') + data
        if self._tail + len(data) + reserve > self._capacity:
            self._rewrite(len(data) + reserve)
        try:
            written = os.pwrite(self._fd, data, self._tail)
        except OSError as error:
            raise SpoolFull(str(error)) from error
        if written != len(data):
            raise SpoolFull("the disk took only a part of a record")
        self._tail += len(data)
        self._forgotten.clear()

    def _rewrite(self, more: int = 0) -> None:
        """Write what still counts to a new file, with at least as much room again. Raises SpoolFull, harmlessly."""
        head = [_HEAD, self.instance, self.boot, self.damaged]
        records: list[list[Any]] = [head, *(["i", *pair] for pair in self.open.items())]
        records += [["e", found] for found in self.exits.values()]
        data = b"".join(_record(to_text(record)) for record in records)
        capacity = max(self._capacity, 2 * (len(data) + more))
        fresh = self._path.with_suffix(".new")
        try:
            fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise SpoolFull(str(error)) from error
        try:
            os.posix_fallocate(fd, 0, capacity)
            os.pwrite(fd, data, 0)
            os.rename(fresh, self._path)
        except OSError as error:
            os.close(fd)
            fresh.unlink(missing_ok=True)
            raise SpoolFull(str(error)) from error
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._tail, self._capacity = fd, len(data), capacity
        self._forgotten.clear()

    def _load(self) -> None:
        records, damaged, self._tail = read(self._path)
        head = records[0] if records else []
        if len(head) != 4 or head[0] != _HEAD:
            self.damaged = True
            return
        if head[1] != self.instance and self.instance:
            return
        self.instance = head[1]
        self.other_boot = head[2] != self.boot
        self.damaged = damaged or bool(head[3])
        self.open, self.exits = _state(records)


def unfinished(path: Path, instance: int) -> set[int]:
    """The attempts that a spool names as begun and not ended, for whoever only looks. Empty when it is not ours."""
    with contextlib.suppress(OSError):
        records, _, _ = read(path)
        if records and len(records[0]) == 4 and records[0][1] == instance:
            return set(_state(records)[0])
    return set()


def instance_of(path: Path) -> int:
    """The instance that the spool belongs to, 0 when it cannot be read."""
    with contextlib.suppress(OSError):
        records, _, _ = read(path)
        if records and len(records[0]) == 4 and records[0][0] == _HEAD:
            return int(records[0][1])
    return 0


def _state(records: list[list[Any]]) -> tuple[dict[int, int], dict[int, Exit]]:
    begun: dict[int, int] = {}
    exits: dict[int, Exit] = {}
    for record in records[1:]:
        if record[0] == "i":
            begun[record[1]] = record[2]
        elif record[0] == "e":
            begun.pop(record[1]["a"], None)
            exits[record[1]["a"]] = record[1]
        elif record[0] == "a":
            for attempt in record[1]:
                exits.pop(attempt, None)
                begun.pop(attempt, None)
    return begun, exits


def _record(text: str) -> bytes:
    body = text.encode()
    data = _RECORD.pack(_MAGIC, len(body), zlib.crc32(body)) + body
    return data + bytes(-len(data) % 8)


def read(path: Path) -> tuple[list[list[Any]], bool, int]:
    """All records that are whole, in order; whether anything else but zeros lies between or after them; where the last
    of it ends."""
    data = path.read_bytes()
    records: list[list[Any]] = []
    damaged = False
    at = 0
    while at + _RECORD.size <= len(data):
        record, size = _decode(data, at)
        if record is not None:
            records.append(record)
            at += size
            continue
        if not data[at : at + 4096].strip(b"\0") and not data[at:].strip(b"\0"):
            break
        damaged = True
        at = _next_magic(data, at + 8)
    return records, damaged, at


def _decode(data: bytes, at: int) -> tuple[list[Any] | None, int]:
    magic, length, checksum = _RECORD.unpack_from(data, at)
    body = data[at + _RECORD.size : at + _RECORD.size + length]
    if magic != _MAGIC or len(body) != length or zlib.crc32(body) != checksum:
        return None, 0
    size = _RECORD.size + length
    return cast("list[Any]", json.loads(body)), size + -size % 8


def _next_magic(data: bytes, start: int) -> int:
    """Where the next record may begin; the end of the data when there is none."""
    needle = struct.pack("<I", _MAGIC)
    at = data.find(needle, start)
    while at >= 0 and at % 8:
        at = data.find(needle, at + 1)
    return at if at >= 0 else len(data)
