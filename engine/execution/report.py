"""What a launcher tells its engine: facts in batches, at once where the engine has something to decide.

One report is one turn and one commit of the engine, however much it says. So what it only has to know, such as the end
of an attempt in whose place the next one runs already, waits a moment for what follows.
"""

from collections.abc import Callable, Iterable
from typing import Any

from engine.execution.loop import Loop, Timer
from engine.execution.wire import Message

_WAIT_S = 0.025
_FACTS_MAX = 128


class Report:
    """`send` is given the message, whether somebody hears it or not: a new engine is told everything anyway."""

    def __init__(self, loop: Loop, send: Callable[[Message], None]) -> None:
        self._loop = loop
        self._send = send
        self._facts: list[list[Any]] = []
        self._urgent = False
        self._timer: Timer | None = None

    def soon(self, facts: Iterable[list[Any]]) -> None:
        """These may wait for others."""
        self._facts += facts

    def now(self, facts: Iterable[list[Any]] = ()) -> None:
        """These are told at the end of the turn, with all that waits."""
        self._facts += facts
        self._urgent = True

    def clear(self) -> None:
        """Nobody needs to hear what was not told yet."""
        self._facts.clear()

    def end_turn(self) -> None:
        if not self._facts:
            self._urgent = False
        elif self._urgent or len(self._facts) >= _FACTS_MAX:
            self._tell()
        elif self._timer is None:
            self._timer = self._loop.later(_WAIT_S, self._tell)

    def _tell(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._urgent = False
        facts, self._facts = self._facts, []
        if facts:
            self._send(["report", facts])
