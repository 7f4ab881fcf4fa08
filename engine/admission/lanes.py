"""Orders sent ahead of time, so that a launcher starts the next attempt without asking.

A *lane* is a claim that is in use, and the attempts that use it one after the other: the first holds the claim, the
others were ordered to take it over when the tree before them is empty. Only what is known to be short is ordered ahead,
and nobody waits in a lane for more than `HORIZON_NS` of expected work. Where the holder turns out to be slow, the
others are recalled, and the lane takes no more until it has ended: nothing waits behind a long attempt while there is
room elsewhere.
Lanes hold nothing of their own: they follow from the live attempts and what each names as the one before it.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from engine.model.instants import MILLISECOND
from engine.model.resources import Claim

HORIZON_NS = 60 * MILLISECOND
OVERDUE_NS = 100 * MILLISECOND
LANE_MAX = 128


class Lane:
    """Attempts that share one claim, the holder first, and what each is expected to take (ns)."""

    __slots__ = ("backlog_ns", "claim", "closed", "expected", "members")

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.members: deque[int] = deque()
        self.expected: deque[int] = deque()
        self.backlog_ns = 0
        self.closed = False

    def has_room(self, expected_ns: int) -> bool:
        """Whether one more such attempt may be ordered."""
        return max(self.backlog_ns, expected_ns) < HORIZON_NS and len(self.members) < LANE_MAX and not self.closed


class Ended(NamedTuple):
    """What the end of an attempt means for its lane: the claim is free, or `heir` has it now; or one in the middle
    went, and `follower` follows `before` instead. Zeros where there is no such attempt."""

    free: bool = False
    heir: int = 0
    follower: int = 0
    before: int = 0


class Lanes:
    """All lanes, by claim and by attempt."""

    def __init__(self) -> None:
        self._of: dict[int, Lane] = {}
        self._by_claim: dict[Claim, list[Lane]] = {}

    def open(self, attempt: int, claim: Claim, expected_ns: int) -> None:
        """The attempt holds a claim of its own."""
        lane = Lane(claim)
        self._by_claim.setdefault(claim, []).append(lane)
        self._append(lane, attempt, expected_ns)

    def follow(self, attempt: int, before: int, expected_ns: int) -> None:
        """The attempt takes over when `before`, the last of its lane, has ended."""
        self._append(self._of[before], attempt, expected_ns)

    def _append(self, lane: Lane, attempt: int, expected_ns: int) -> None:
        lane.members.append(attempt)
        lane.expected.append(expected_ns)
        lane.backlog_ns += expected_ns
        self._of[attempt] = lane

    def holds(self, attempt: int) -> bool:
        """Whether the attempt is the first of its lane: the one that uses the claim."""
        return self._of[attempt].members[0] == attempt

    def end(self, attempt: int) -> Ended:
        """The attempt has ended."""
        lane = self._of.pop(attempt)
        place = lane.members.index(attempt)
        lane.backlog_ns -= lane.expected[place]
        del lane.members[place], lane.expected[place]
        if place == 0:
            lane.closed = False
        if not lane.members:
            lanes = self._by_claim[lane.claim]
            lanes.remove(lane)
            if not lanes:
                del self._by_claim[lane.claim]
            return Ended(free=True)
        if place == 0:
            return Ended(heir=lane.members[0])
        if place == len(lane.members):
            return Ended()
        return Ended(follower=lane.members[place], before=lane.members[place - 1])

    def close(self, attempt: int) -> list[int]:
        """Nothing more is to follow the attempt, if it holds the claim. Who waits behind it in its lane."""
        lane = self._of[attempt]
        if lane.members[0] != attempt:
            return []
        lane.closed = True
        return [*lane.members][1:]

    def alone(self, attempt: int) -> bool:
        """Whether the attempt holds its claim, and nobody waits to take it over."""
        return [*self._of[attempt].members] == [attempt]

    def room(self, claim: Claim, expected_ns: int) -> int:
        """The last attempt of the lane with the least work that may take one more such attempt, 0 if none may."""
        best, backlog = 0, HORIZON_NS
        for lane in self._by_claim.get(claim, ()):
            if lane.backlog_ns < backlog and lane.has_room(expected_ns):
                best, backlog = lane.members[-1], lane.backlog_ns
        return best

    def __iter__(self) -> Iterator[Lane]:
        return (lane for lanes in self._by_claim.values() for lane in lanes)
