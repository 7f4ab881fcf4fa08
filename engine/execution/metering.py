"""The launcher's line to the meter: whom it is to watch, and which attempts are over a quota.

Watched are attempts with a quota on their tree from their start, and all others once they have lived for a while, so
that what they use over time is known. The line exists only while there is one. A meter that died is replaced by the
keeper; until the new one answers, the launcher tries again, and then tells it everything anew.
"""

import os
import time
from collections.abc import Callable
from typing import Any

from engine.execution import wire
from engine.execution.attempt import Attempt
from engine.execution.loop import Loop, Peer
from engine.execution.places import Places
from engine.model.samples import samples_path

_AGAIN_S = 0.1
_LASTING_NS = 3 * 10**9


class Metering:
    """`on_over` is told attempt, quota, what is used, the limit, why, and whether to end it at once."""

    def __init__(
        self,
        loop: Loop,
        places: Places,
        cookie_of: Callable[[int], int],
        on_over: Callable[..., None],
    ) -> None:
        self._loop = loop
        self._places = places
        self._path = places.socket("meter")
        self._cookie_of = cookie_of
        self._on_over = on_over
        self._watched: dict[int, dict[str, Any]] = {}
        self._peer: Peer | None = None

    def watch(self, attempt: Attempt) -> None:
        """From now on the tree of the attempt is measured."""
        order = attempt.order
        samples = samples_path(order["run"], order["task"], order["index"], order["number"])
        limits = {"memory": order["memory"], "processes": order["processes"], **order["limits"]}
        attempt.watched = True
        self._watched[attempt.number] = {
            "number": attempt.number, "pid": attempt.tree_pid, "parent": os.getpid(), "at": order["at"],
            "cookie": self._cookie_of(attempt.number), "leaf": attempt.leaf.folder if attempt.leaf else "",
            "limits": {name: limit for name, limit in limits.items() if limit}, "dir": order["dir"],
            "samples": self._places.log(samples), "shared": attempt.worker is not None and not attempt.worker.single,
        }  # fmt: skip
        if self._peer is not None:
            self._peer.send(["watch", [self._watched[attempt.number]]])
        elif len(self._watched) == 1:
            self._connect()

    def consider(self, attempt: Attempt) -> None:
        """Watch it if it has lived long enough that somebody may want to know what it uses."""
        if attempt.tree_pid and not attempt.has_rows and time.time_ns() - attempt.order["at"] >= _LASTING_NS:
            self.watch(attempt)

    def forget(self, attempt: Attempt) -> None:
        attempt.watched = False
        if self._watched.pop(attempt.number, None) is not None and self._peer is not None:
            self._peer.send(["forget", attempt.number])
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
            self._on_over(*message[1:6], at_once=message[6])
