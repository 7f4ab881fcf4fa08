"""What an attempt used over time: a file of readings beside its log, written by the meter.

When the file has SAMPLES_MOST of them every second one is dropped and the period doubles. A short attempt gets no file,
unless it went over a quota. Whoever reads it, while the attempt runs or later, reads whole records.
"""

import contextlib
import os

from engine.model.samples import SAMPLES_BYTES_MOST, SAMPLES_MOST, Sample, packed, unpacked

PERIOD_S = 1.0
_KEPT_FROM = 3


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
        with contextlib.suppress(OSError):
            _write(self._path, self._waiting, os.O_APPEND)
        self._count += len(self._waiting)
        self._waiting.clear()
        if self._count >= SAMPLES_MOST:
            self._thin_out()

    def _thin_out(self) -> None:
        """Keep every second one, the newest among them."""
        kept = read(self._path)[::-2][::-1]
        fresh = f"{self._path}.new"
        with contextlib.suppress(OSError):
            _write(fresh, kept, os.O_TRUNC)
            os.rename(fresh, self._path)
        self._count = len(kept)
        self.period_s *= 2


def _write(path: str, samples: list[Sample], how: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | how | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, packed(samples))
    finally:
        os.close(fd)


def read(path: str) -> list[Sample]:
    """The samples of a file, oldest first; none where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    with os.fdopen(fd, "rb") as file:
        return unpacked(file.read(SAMPLES_BYTES_MOST))
