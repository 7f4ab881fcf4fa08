"""Bytes in, messages out, without any I/O. A frame is a length of four bytes, big endian, and that many bytes of
msgpack. The length is checked before anything is kept, and decoding is typed, so that no frame costs more than itself.
"""

import msgspec

from engine.model.errors import ValueFault
from engine.protocol.messages import FRAME_BYTES_MAX, AnyReply, AnyRequest, Reply, Request

_HEADER = 4
_encoder = msgspec.msgpack.Encoder()
_requests = msgspec.msgpack.Decoder(AnyRequest)
_replies = msgspec.msgpack.Decoder(AnyReply)


class FrameBuffer:
    """Cuts a stream of bytes into frames. Holds at most one frame beside what was just fed."""

    def __init__(self, limit_bytes: int = FRAME_BYTES_MAX) -> None:
        self._limit = limit_bytes
        self._data = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are complete now. Raises ValueFault for a length of zero or beyond the limit."""
        self._data += data
        frames: list[bytes] = []
        start = 0
        while len(self._data) - start >= _HEADER:
            length = int.from_bytes(self._data[start : start + _HEADER], "big")
            if not 0 < length <= self._limit:
                raise ValueFault(f"a frame of {length} bytes is not allowed", f"the limit is {self._limit} bytes")
            if len(self._data) - start - _HEADER < length:
                break
            frames.append(bytes(self._data[start + _HEADER : start + _HEADER + length]))
            start += _HEADER + length
        del self._data[:start]
        return frames

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and is not complete."""
        return bool(self._data)


def frame(message: Request | Reply) -> bytes:
    """The frame of a message."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_HEADER, "big") + body


def decode_request(body: bytes) -> AnyRequest:
    """The request in a frame. Raises ValueFault for anything else, whatever the bytes are."""
    try:
        return _requests.decode(body)
    except (ValueError, RecursionError) as error:  # bad UTF-8 raises outside msgspec's own errors
        raise ValueFault(f"not a request: {str(error)[:200]}") from error


def decode_reply(body: bytes) -> AnyReply:
    """The reply in a frame. Raises ValueFault for anything else."""
    try:
        return _replies.decode(body)
    except (ValueError, RecursionError) as error:
        raise ValueFault(f"not a reply: {str(error)[:200]}") from error
