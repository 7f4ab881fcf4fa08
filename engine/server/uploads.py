"""Definitions that are larger than a frame, as they come in piece by piece. What a session holds is bounded, and what
all sessions hold together; what nobody continues is forgotten.
"""

from engine.model.errors import NotFound, Unavailable, ValueFault
from engine.server.limits import Limits

_NAME_MAX = 128


class UploadSpace:
    """The bytes that the uploads of all sessions hold."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.used_bytes = 0


class Uploads:
    """The uploads of one session. Instants are seconds of any monotonic clock."""

    def __init__(self, space: UploadSpace) -> None:
        self._space = space
        self._parts: dict[str, tuple[bytearray, float]] = {}
        self._held_bytes = 0

    def add(self, name: str, offset: int, data: bytes, now_s: float) -> int:
        """Take the next piece; how many bytes there are now. Offset 0 begins anew. Raises EngineError."""
        self.expire(now_s)
        limits = self._space.limits
        if not 0 < len(name) <= _NAME_MAX:
            raise ValueFault(f"an upload's name has 1 to {_NAME_MAX} characters")
        if offset == 0:
            self._drop(name)
        held = self._parts[name][0] if name in self._parts else bytearray()
        if offset != len(held):
            raise ValueFault(f"upload {name!r} continues at byte {len(held)}, not at {offset}", "send it from 0 again")
        if self._held_bytes + len(data) > limits.upload_bytes:
            raise ValueFault(f"a definition has at most {limits.upload_bytes} bytes")
        if self._space.used_bytes + len(data) > limits.upload_bytes_total:
            raise Unavailable("too many definitions are being sent at once", "try again in a moment")
        held += data
        self._parts[name] = (held, now_s)
        self._held_bytes += len(data)
        self._space.used_bytes += len(data)
        return len(held)

    def take(self, name: str, now_s: float) -> bytes:
        """The whole of an upload, which is forgotten. Raises NotFound."""
        self.expire(now_s)
        if name not in self._parts:
            raise NotFound("this upload is not known (any more)", "send it again over this connection")
        data = bytes(self._parts[name][0])
        self._drop(name)
        return data

    def clear(self) -> None:
        """The session has ended."""
        for name in list(self._parts):
            self._drop(name)

    def expire(self, now_s: float) -> None:
        """Forget what got nothing for too long."""
        limit_s = self._space.limits.upload_s
        for name in [name for name, (_, last_s) in self._parts.items() if now_s - last_s > limit_s]:
            self._drop(name)

    def _drop(self, name: str) -> None:
        if name in self._parts:
            size = len(self._parts.pop(name)[0])
            self._held_bytes -= size
            self._space.used_bytes -= size
