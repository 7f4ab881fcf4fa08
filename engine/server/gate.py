"""When the state may be looked at: not while a batch is being committed, because what it did is not true before it is
on disk. Whoever wants to look meanwhile leaves a function here; `opened` calls it as soon as the batch is on disk and
before the next one is stepped, so that no load can starve a question.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import trio

T = TypeVar("T")
_TURN_S = 0.02


class _Wish(Generic[T]):
    """A function to be called, and what came of it."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._values: list[T] = []
        self._error: BaseException | None = None
        self.done = trio.Event()

    def fulfil(self) -> None:
        try:
            self._values.append(self._call())
        except Exception as error:
            self._error = error
        self.done.set()

    def value(self) -> T:
        if self._error is not None:
            raise self._error
        return self._values[0]


class Gate:
    """`settled` says whether the state is what is on disk."""

    def __init__(self, settled: Callable[[], bool]) -> None:
        self._settled = settled
        self._wishes: deque[_Wish[object]] = deque()

    async def look(self, call: Callable[[], T]) -> T:
        """Call the function at a moment when the state is settled. Raises what it raises."""
        if self._settled() and not self._wishes:
            value = call()
            await trio.lowlevel.checkpoint()
            return value
        wish = _Wish(call)
        self._wishes.append(wish)  # pyright: ignore[reportArgumentType]
        try:
            await wish.done.wait()
        finally:
            if not wish.done.is_set():
                self._wishes.remove(wish)  # pyright: ignore[reportArgumentType]
        return wish.value()

    def opened(self) -> None:
        """The state is settled now. Calls what was left here, for a bounded time; the rest comes next time."""
        until = time.monotonic() + _TURN_S
        while self._wishes:
            self._wishes.popleft().fulfil()
            if time.monotonic() > until:
                return
