"""What a launcher tells its engine: facts in batches, at once where the engine has something to decide.

One report is one turn and one commit of the engine, however much it says. So what it only has to know, such as the end
of an attempt in whose place the next one runs already, waits a moment for what follows: as long as nobody is idle.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

from engine.execution.loop import Loop, Timer
from engine.execution.wire import Message

WAIT_S = 0.025
_LEAST_S = 0.002
"""A shorter wait would gather nothing."""
_FACTS_MAX = 128


class Report:
    """`send` is given the message, whether somebody hears it or not: a new engine is told everything anyway."""

    def __init__(self, loop: Loop, send: Callable[[Message], None]) -> None:
        self._loop = loop
        self._send = send
        self._facts: list[list[Any]] = []
        self._urgent = False
        self._patience_s = WAIT_S
        self._timer: Timer | None = None

    def soon(self, facts: Iterable[list[Any]]) -> None:
        """These may wait for others."""
        self._facts += facts

    def now(self, facts: Iterable[list[Any]] = ()) -> None:
        """These are told at the end of the turn, with all that waits."""
        self._facts += facts
        self._urgent = True

    def within(self, seconds: float) -> None:
        """All that waits is told in so long at the latest, counted from the end of the turn."""
        if seconds < _LEAST_S:
            self._urgent = True
        else:
            self._patience_s = min(self._patience_s, seconds)

    def clear(self) -> None:
        """Nobody needs to hear what was not told yet."""
        self._facts.clear()

    def end_turn(self) -> None:
        if not self._facts:
            self._urgent = False
        elif self._urgent or len(self._facts) >= _FACTS_MAX:
            self._tell()
        elif self._timer is None or self._timer.due > time.monotonic() + self._patience_s:
            self._stop_timer()
            self._timer = self._loop.later(self._patience_s, self._tell)
        self._patience_s = WAIT_S

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self) -> None:
        self._stop_timer()
        self._urgent = False
        facts, self._facts = self._facts, []
        if facts:
            self._send(["report", facts])
