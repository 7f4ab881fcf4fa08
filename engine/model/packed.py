"""Many small records kept as they were encoded; one is made when it is looked at.

A hundred thousand tasks are sixty megabytes as objects and five as bytes. What was looked at last stays made, so
whoever works on a few of them for a while makes each once.
"""

from array import array
from collections.abc import Iterator, Sequence
from operator import sub
from typing import Generic, TypeVar, cast, overload

import msgspec

_AT_ONCE = 256
_KEPT_MAX = 1_024

T = TypeVar("T", bound=msgspec.Struct)
_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_pieces = msgspec.msgpack.Decoder(list[msgspec.Raw])


class Packer(Generic[T]):
    """Makes `Packed` of one kind of record."""

    def __init__(self, kind: type[T]) -> None:
        self.one: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)
        self.many: msgspec.msgpack.Decoder[list[T]] = msgspec.msgpack.Decoder(list[kind])

    def pack(self, encoded: msgspec.Raw) -> "Packed[T]":
        """The records of an encoded array. Raises msgspec.DecodeError where they are not of the kind."""
        records = _pieces.decode(encoded)
        parts: list[bytes] = []
        starts = array("I", (0,))
        for at in range(0, len(records), _AT_ONCE):
            some = records[at : at + _AT_ONCE]
            for record in self.many.decode(b"".join((_head(len(some)), *some))):
                # Encoded anew, so that equal records are equal bytes however a client has written them.
                parts.append(_encode(record))
                starts.append(starts[-1] + len(parts[-1]))
        return Packed(self, b"".join(parts), starts)


class Packed(Sequence[T]):
    """Frozen, as a tuple of the records would be. Made by a `Packer`."""

    __slots__ = ("_data", "_kept", "_packer", "_starts")

    def __init__(self, packer: Packer[T], data: bytes, starts: "array[int]") -> None:
        self._packer = packer
        self._data = data
        self._starts = starts
        self._kept: dict[int, T] = {}

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        record = self._kept.get(index)
        if record is None:
            number = index if index >= 0 else index + len(self)
            if not 0 <= number < len(self):
                raise IndexError(index)
            if len(self._kept) == _KEPT_MAX:
                self._kept.clear()
            data = self._data[self._starts[number] : self._starts[number + 1]]
            record = self._kept[index] = self._packer.one.decode(data)
        return record

    def __iter__(self) -> Iterator[T]:
        for at in range(0, len(self), _AT_ONCE):
            stop = min(at + _AT_ONCE, len(self))
            yield from self._packer.many.decode(_head(stop - at) + self._data[self._starts[at] : self._starts[stop]])

    @property
    def longest(self) -> int:
        """The bytes of the longest record."""
        return max(map(sub, self._starts[1:], self._starts), default=0)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Packed):
            return self.encoded() == other.encoded()
        return isinstance(other, Sequence) and tuple(self) == tuple(cast("Sequence[object]", other))

    __hash__ = None  # pyright: ignore[reportAssignmentType] - as a list of records that hold maps

    def encoded(self) -> bytes:
        """All of them as an array, as the encoder would have written it."""
        return _head(len(self)) + self._data

    def mentions(self, text: bytes) -> bool:
        """Whether the bytes occur anywhere: a quick way to know that no record speaks of something."""
        return text in self._data


def _head(count: int) -> bytes:
    """How msgpack begins an array of so many items, in as few bytes as can be."""
    if count < 16:
        return bytes((0x90 | count,))
    return b"\xdc" + count.to_bytes(2, "big") if count < 2**16 else b"\xdd" + count.to_bytes(4, "big")
