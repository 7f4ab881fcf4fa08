"""What an attempt used over time, as records of one length: how the meter keeps them and the server reads them."""

import struct
from collections.abc import Iterable
from typing import NamedTuple

SAMPLES_MOST = 512
"""An attempt has between half as many and so many."""
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


def packed(samples: Iterable[Sample]) -> bytes:
    return b"".join(_RECORD.pack(*sample) for sample in samples)


def unpacked(data: bytes) -> list[Sample]:
    """The samples, oldest first; what is left of a record that was cut off does not count."""
    whole = len(data) - len(data) % _RECORD.size
    return [Sample(*record) for record in _RECORD.iter_unpack(data[:whole])]


SAMPLES_BYTES_MOST = 2 * SAMPLES_MOST * _RECORD.size


def samples_path(run: int, task: str, index: int, number: int) -> str:
    """Where the samples of an attempt are, below the log folder. `index` is negative without one."""
    row = task if index < 0 else f"{task}.{index}"
    return f"r{run}/{row}.{number}.samples"
