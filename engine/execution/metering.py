"""The launcher's line to the meter: which attempts have quotas, and which of them are over one.

The line exists only while an attempt with a quota runs. A meter that died is replaced by the keeper; until the new one
answers, the launcher tries again, and then tells it everything anew.
"""

from collections.abc import Callable
from typing import Any

from engine.execution import wire
from engine.execution.loop import Loop, Peer
from engine.execution.places import Places

_AGAIN_S = 0.1


class Metering:
    """`on_over` is told attempt, quota, what is used and the limit."""

    def __init__(self, loop: Loop, places: Places, on_over: Callable[[int, str, int, int], None]) -> None:
        self._loop = loop
        self._path = places.socket("meter")
        self._on_over = on_over
        self._watched: dict[int, list[Any]] = {}
        self._peer: Peer | None = None

    def watch(self, number: int, pid: int, cookie: int, memory_bytes: int, processes: int) -> None:
        """From now on the tree of the attempt is measured; 0 is no quota."""
        self._watched[number] = [number, pid, cookie, memory_bytes, processes]
        if self._peer is not None:
            self._peer.send(["watch", [self._watched[number]]])
        elif len(self._watched) == 1:
            self._connect()

    def forget(self, number: int) -> None:
        if self._watched.pop(number, None) is not None and self._peer is not None:
            self._peer.send(["forget", number])
            if not self._watched:
                self._peer.close()

    def _connect(self) -> None:
        if self._peer is not None or not self._watched:
            return
        try:
            sock = wire.connect(self._path)
        except OSError:
            self._loop.later(_AGAIN_S, self._connect)
            return
        self._peer = Peer(self._loop, sock, self._heard, self._closed)
        self._peer.send(["watch", list(self._watched.values())])

    def _closed(self, _peer: Peer) -> None:
        self._peer = None
        if self._watched:
            self._loop.later(_AGAIN_S, self._connect)

    def _heard(self, _peer: Peer, message: wire.Message) -> None:
        if message[0] == "over":
            self._on_over(*message[1:5])
