"""What an attempt used over time: a file of records of one length beside its log, written by the meter.

A record is a cumulative reading at an instant. When the file has MOST of them every second one is dropped and the
period doubles, so an attempt of any length keeps between half of MOST and MOST of them. A short attempt gets no file,
unless it went over a quota. Whoever reads it, while the attempt runs or later, reads whole records.
"""

import contextlib
import os
import struct
from typing import NamedTuple

MOST = 512
PERIOD_S = 1.0
_KEPT_FROM = 3
_RECORD = struct.Struct("<qqqqqii")


class Sample(NamedTuple):
    """At an instant: bytes of memory; CPU time, bytes read and written so far; processes and threads."""

    at_ns: int
    memory_bytes: int
    cpu_ns: int
    read_bytes: int
    written_bytes: int
    processes: int
    threads: int


class History:
    """The file of one attempt while it is written. A meter that takes over from a dead one goes on with its file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._waiting: list[Sample] = []
        self._count = len(read(path))
        self.period_s = PERIOD_S
        self._next = 0.0

    def due(self, now: float) -> bool:
        return now >= self._next

    def add(self, sample: Sample, now: float) -> None:
        self._next = now + self.period_s
        self._waiting.append(sample)
        if self._count or len(self._waiting) >= _KEPT_FROM:
            self.save()

    def save(self) -> None:
        """Write what waits. A disk that is full loses it."""
        data = b"".join(_RECORD.pack(*sample) for sample in self._waiting)
        with contextlib.suppress(OSError):
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, data)
            finally:
                os.close(fd)
        self._count += len(self._waiting)
        self._waiting.clear()
        if self._count >= MOST:
            self._thin_out()

    def _thin_out(self) -> None:
        """Keep every second one, the newest among them."""
        kept = read(self._path)[::-2][::-1]
        fresh = f"{self._path}.new"
        with contextlib.suppress(OSError):
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, b"".join(_RECORD.pack(*sample) for sample in kept))
            finally:
                os.close(fd)
            os.rename(fresh, self._path)
        self._count = len(kept)
        self.period_s *= 2


def read(path: str) -> list[Sample]:
    """The samples of a file, oldest first; none where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    with os.fdopen(fd, "rb") as file:
        data = file.read(MOST * 2 * _RECORD.size)
    whole = len(data) - len(data) % _RECORD.size
    return [Sample(*record) for record in _RECORD.iter_unpack(data[:whole])]
