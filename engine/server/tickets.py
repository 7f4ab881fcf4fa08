"""Who waits for which answer of the machine. A ticket travels with the event and comes back with the answer, after the
commit; an answer that nobody waits for any more is dropped.
"""

import trio

from engine.core.effects import Answer
from engine.model.errors import Unavailable


class Tickets:
    """Open tickets, at most `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._next = 1
        self._open: dict[int, tuple[trio.Event, list[Answer]]] = {}
        self._closed = trio.Event()

    def issue(self) -> int:
        """A new ticket. Raises Unavailable when too many are open."""
        if len(self._open) >= self._limit:
            raise Unavailable("too many requests wait for an answer", "try again in a moment")
        number = self._next
        self._next += 1
        self._open[number] = (trio.Event(), [])
        return number

    async def wait(self, number: int) -> Answer:
        """The answer to a ticket, which is closed then, also when the wait is given up."""
        event, box = self._open[number]
        try:
            await event.wait()
        finally:
            self.drop(number)
        return box[0]

    def drop(self, number: int) -> None:
        """Close a ticket."""
        self._open.pop(number, None)
        if not self._open:
            self._closed.set()

    async def all_given(self) -> None:
        """Wait until no ticket is open."""
        while self._open:
            self._closed = trio.Event()
            await self._closed.wait()

    def give(self, answer: Answer) -> None:
        """Hand an answer to whoever waits for it."""
        waiting = self._open.get(answer.ticket)
        if waiting is not None and not waiting[1]:
            waiting[1].append(answer)
            waiting[0].set()

    def __len__(self) -> int:
        return len(self._open)
