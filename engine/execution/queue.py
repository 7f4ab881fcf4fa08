"""The orders of a launcher of which nothing has begun: those that may start now, and those that wait for another.

Who takes over a claim starts when the tree before it is empty, and nobody is asked. With `on_success` that attempt must
also have succeeded, and have left nothing that the engine has to judge; else the order is given back, with all that
follows it on success. Where an order is taken out of the middle, those behind it close up.
"""

from collections.abc import Callable, Iterator, Mapping

from engine.execution.attempt import Attempt, Order
from engine.execution.report import WAIT_S, Report
from engine.execution.spool import Exit

NO_SUCCESS = "the attempt that it was to follow did not succeed"
_DEEP = 4


def is_success(found: Exit) -> bool:
    """Whether what follows on success may start."""
    return found["o"]["kind"] == "succeeded" and not found.keys() & {"result", "file", "bad"}


class Queue:
    """`attempts` are those that have begun. `shares` tells whether an order may be sent to the worker of the attempt or
    order before it at once."""

    def __init__(
        self, attempts: Mapping[int, Attempt], report: Report, shares: Callable[[Attempt | Order, Order], bool]
    ) -> None:
        self.held: dict[int, Order] = {}
        self.ready: dict[int, Order] = {}
        self._followers: dict[int, list[int]] = {}
        self._attempts = attempts
        self._report = report
        self._shares = shares

    def __contains__(self, number: int) -> bool:
        return number in self.held or number in self.ready

    def __iter__(self) -> Iterator[int]:
        yield from self.held
        yield from self.ready

    def order(self, number: int) -> Order | None:
        return self.held.get(number) or self.ready.get(number)

    def clear(self) -> None:
        """Nobody wants them any more."""
        self.held.clear()
        self.ready.clear()
        self._followers.clear()

    def must_wait(self, order: Order) -> bool:
        """Whether the attempt before it has not ended."""
        leader = order["after"]
        if leader in self.held:
            return True
        before = self._attempts.get(leader) or self.ready.get(leader)
        return before is not None and (bool(order.get("on_success")) or not self._shares(before, order))

    def waits_in_vain(self, order: Order, ended: Callable[[int], Exit | None]) -> bool:
        """Whether it is to follow the success of an attempt that is over and had none."""
        leader = order["after"]
        if not order.get("on_success") or self._is_here(leader):
            return False
        found = ended(leader)
        return found is None or not is_success(found)

    def hold(self, order: Order) -> None:
        """It waits for the one before it."""
        self.held[order["attempt"]] = order
        self._followers.setdefault(order["after"], []).append(order["attempt"])

    def give_back(self, number: int, why: str) -> None:
        """Tell the engine that nothing of an order has begun, nor will."""
        self._report.now([["returned", number, 0, why]])

    def remove(self, number: int) -> Order | None:
        """Take out an order that waits for another; None where there is none."""
        order = self.held.pop(number, None)
        if order is not None:
            self.close_gap(order)
        return order

    def close_gap(self, gone: Order) -> None:
        """Those behind an order that is gone follow the one before it, if that is still here."""
        leader = gone["after"]
        if not self._is_here(leader):
            self.release(gone["attempt"])
            return
        for number in self._followers.pop(gone["attempt"], ()):
            order = self.held.get(number)
            if order is None:
                continue
            if order.get("on_success"):
                self.give_back(number, NO_SUCCESS)
                self.remove(number)
            else:
                order["after"] = leader
                self._followers.setdefault(leader, []).append(number)

    def release(self, leader: int, *, succeeded: bool = False, took_s: float = 0.0, sent: int = 0) -> None:
        """The attempt has ended: those behind it may start, if they were not `sent` to its worker before. The engine
        is asked for more in time, before the claim is in use by nobody."""
        self._report.within(self._patience_s(sent or self._behind(leader), took_s))
        for number in self._followers.pop(leader, ()):
            order = self.held.pop(number, None)
            if order is None:
                continue
            if succeeded or not order.get("on_success"):
                self.ready[number] = order
            else:
                self.give_back(number, NO_SUCCESS)
                self.release(number)

    def _is_here(self, number: int) -> bool:
        return number in self._attempts or number in self

    @staticmethod
    def _patience_s(behind: int, took_s: float) -> float:
        """How long the end of an attempt may wait to be told: a small part of the time that those behind it take, if
        each takes as long as it did."""
        return WAIT_S if behind >= _DEEP else min(WAIT_S, behind * took_s / 4)

    def _behind(self, number: int) -> int:
        """How many wait behind the attempt; beyond a few it does not matter."""
        for count in range(_DEEP):
            waiting = self._followers.get(number)
            if not waiting:
                return count
            number = waiting[0]
        return _DEEP
