"""Who may pass whom: the first that does not fit gets a reservation, and others start only if they do not delay it.

This is EASY backfilling (Lifka 1995; Mu'alem and Feitelson, IEEE TPDS 2001) in all dimensions of a claim. Entries are
asked for in the order of the queue. The first that does not fit holds the *reservation*: the instant (`due_ns`) at
which so much will have ended that it fits, and a ledger of that instant with the entry in it. Another may start if it
will have ended by then, or if that ledger has room for it as well. An exclusive entry lets nobody pass: it drains the
host.

- **When what runs will end** is what it is expected to take, from history or its wall quota. What runs longer than
  expected is expected to run as long again as it is late; what nothing is known of, as long again as it has run. Both
  move away as time goes by, so the reservation of an entry behind them does not idle the host for their sake.
- **What nothing is known of may not pass** on the promise to end in time, only where the ledger of that instant has
  room: a guess would be a promise made with the time of the one that waits.
- **A promise has an end.** What was reckoned first is what the entry was promised. Where things take longer than
  expected it may be late, but not by more than it was ahead (and a minute): from then on nothing passes any more on
  its expected end. So an entry that holds the reservation waits at most twice what was reckoned, and then for what
  runs at that time.
- **The reservation stays** with its entry until it starts or is withdrawn, even if another comes to rank before it:
  else owners that take turns in the order could take it from each other for ever. Only a higher band takes it away.
- A claim that would not fit even if all had ended (the host has shrunk) gets none, and is passed by.

What is held is derived from the live attempts: `began` for each of them makes the gate anew after a restart.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from heapq import merge
from typing import Any, Protocol

import msgspec

from engine.admission.ledger import Ledger
from engine.model.instants import ANY_NS, MINUTE, SECOND
from engine.model.resources import UNBOUND, Binding, Claim

LATE_NS = SECOND
"""What is late, or of unknown duration, is expected to go on for so long at least."""
PATIENCE_NS = MINUTE
"""A promise may be late by so much, even if it was a short one."""
RELEASES_MIN = 8
"""A reservation is reckoned again after that many releases, or an eighth of the holders: never much work for each."""


class Asking(Protocol):
    """A waiting entry. `band` is its class, smaller is higher; `waiting` is false once it has left the queue."""

    @property
    def claim(self) -> Claim: ...
    @property
    def band(self) -> Any: ...
    @property
    def waiting(self) -> bool: ...
    @property
    def expected_ns(self) -> int: ...


class _Holder(msgspec.Struct, frozen=True):
    """`end_ns` is when it is expected to end; what nothing is known of, when it began."""

    claim: Claim
    binding: Binding
    end_ns: int


class Reservation:
    """What is set aside for an entry. It is reckoned when somebody wants to pass: `room` is the ledger of the instant
    `due_ns`, with the entry's claim taken; after `last_ns` nothing passes on its expected end."""

    __slots__ = ("due_ns", "entry", "generation", "last_ns", "releases", "room", "since_ns")

    def __init__(self, entry: Asking, now_ns: int) -> None:
        self.entry = entry
        self.since_ns = now_ns
        self.due_ns = self.last_ns = 0
        self.room: Ledger | None = None
        self.generation = self.releases = 0

    def renew(self, due_ns: int, room: Ledger, generation: int) -> None:
        """It was reckoned (again); what was promised stays."""
        if self.room is None:
            self.last_ns = due_ns + max(due_ns - self.since_ns, PATIENCE_NS)
        self.due_ns = due_ns
        self.room = room
        self.generation = generation
        self.releases = 0


class Gate:
    """The ledger, who holds what of it until when, and the one reservation.

    A pass is `begin`, then the queue's entries in their order to `admits`, and `began` for each that starts. Within a
    pass there is only less and less, so what was refused once need not be asked again.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.reservation: Reservation | None = None
        self._holders: dict[int, _Holder] = {}
        self._ends: list[tuple[int, int]] = []
        """(end, attempt) of all holders, in order."""
        self._hopeless: set[Claim] = set()
        self._generation = ledger.generation
        self._now_ns = 0

    # --- a pass -----------------------------------------------------------------------------------------------------

    def begin(self, now_ns: int) -> None:
        """A pass at this instant begins."""
        self._now_ns = now_ns
        if self._generation != self.ledger.generation:
            self._generation = self.ledger.generation
            self._hopeless.clear()

    def _held(self) -> "Reservation | None":
        """The reservation; one whose entry has left the queue is over."""
        if self.reservation is not None and not self.reservation.entry.waiting:
            self.reservation = None
        return self.reservation

    @property
    def free(self) -> tuple[int, int]:
        """CPU and memory that nobody holds: what asks for more of either does not fit."""
        return self.ledger.free

    def beside(self, band: Any) -> tuple[int, int, int]:
        """How much of the free CPU and memory an entry of the band may hold for however long; and for how long it may
        hold more of it."""
        held = self._held()
        if held is None or band < held.entry.band:
            return ANY_NS, ANY_NS, 0
        if held.entry.claim.exclusive:
            return -1, -1, 0
        held = self._reckoned()
        if held is None or held.room is None:
            return ANY_NS, ANY_NS, 0
        return *held.room.free, self._left_ns(held)

    def longest_ns(self, claims: Sequence[Claim], band: Any) -> list[int]:
        """How long an entry of the band with each of these claims may be expected to take if it is to start now: 0:
        none may start, ANY_NS: whatever it takes, also if that is unknown.
        """
        fits, held = self.ledger.fits, self._held()
        if held is None or band < held.entry.band:
            return [ANY_NS if fits(claim) else 0 for claim in claims]
        if held.entry.claim.exclusive or not any(map(fits, claims)):
            return [0] * len(claims)
        held = self._reckoned()
        if held is None or held.room is None:
            return [ANY_NS if fits(claim) else 0 for claim in claims]
        fits_then, left_ns = held.room.fits, self._left_ns(held)
        return [(ANY_NS if fits_then(claim) else left_ns) if fits(claim) else 0 for claim in claims]

    def reserves(self, band: Any) -> bool:
        """Whether the first of the band that does not fit would get the reservation."""
        held = self.reservation
        return held is None or not held.entry.waiting or band < held.entry.band

    def would_reserve(self, entry: Asking) -> bool:
        """Whether the entry would get the reservation if it does not fit."""
        return self.reserves(entry.band) and entry.claim not in self._hopeless

    @property
    def reserved(self) -> Any:
        """The entry that holds the reservation and still waits, None if there is none."""
        held = self._held()
        return held.entry if held is not None else None

    @property
    def holders(self) -> Iterable[int]:
        """The attempts that hold something."""
        return self._holders.keys()

    def due(self) -> Any:
        """The entry that holds the reservation, if it fits now: it goes first in its band. None if there is none."""
        held = self.reservation
        if held is None or not held.entry.waiting or not self.ledger.fits(held.entry.claim):
            return None
        return held.entry

    def admits(self, entry: Asking) -> bool:
        """Whether the entry may start now; the first that does not fit gets the reservation."""
        held = self._held()
        if not self.ledger.fits(entry.claim):
            if self.would_reserve(entry):
                self.reservation = Reservation(entry, self._now_ns)
            return False
        return held is None or entry is held.entry or entry.band < held.entry.band or self.may_pass(entry)

    def may_pass(self, entry: Asking) -> bool:
        """Whether an entry that fits may start without delaying the one that holds the reservation."""
        held = self._held()
        if held is not None and held.entry.claim.exclusive:
            return False
        held = self._reckoned()
        if held is None or held.room is None or self._ends_in_time(held, entry.expected_ns):
            return True
        return held.room.fits(entry.claim) and self.ledger.bind(entry.claim, also=held.room) is not None

    # --- who holds what ---------------------------------------------------------------------------------------------

    def began(
        self,
        attempt: int,
        claim: Claim,
        since_ns: int,
        expected_ns: int,
        *,
        entry: Asking | None = None,
        binding: Binding | None = None,
    ) -> Binding:
        """The attempt holds the claim from now on. Returns where; `binding` is for one that has its place already."""
        binding = self._take(claim, expected_ns, entry) if binding is None else self.ledger.take(claim, binding)
        self._hold(attempt, _Holder(claim, binding, since_ns + expected_ns))
        return binding

    def _take(
        self, claim: Claim, expected_ns: int, entry: Asking | None, beside: Binding = UNBOUND
    ) -> Binding:  # fmt: skip
        held = self.reservation
        if held is not None and held.entry is entry:
            self.reservation = held = None
        if held is None or held.room is None or self._ends_in_time(held, expected_ns):
            return self.ledger.take(claim, beside=beside)
        return self._take_beside(held, held.room, claim, beside)

    def gave_back(self, attempt: int, left: Claim, binding: Binding) -> None:
        """The attempt holds no more than this of what it held."""
        holder = self._let_go(attempt)
        self.ledger.release(holder.claim, holder.binding)
        self.ledger.take(left, binding)
        self._hold(attempt, msgspec.structs.replace(holder, claim=left, binding=binding))
        if self.reservation is not None:
            self.reservation.releases += 1

    def took_again(
        self, attempt: int, claim: Claim, since_ns: int, expected_ns: int, *, entry: Asking | None
    ) -> Binding:
        """The attempt holds its whole claim again, of which it had given the CPUs back. Returns where. Without an entry
        it was not asked whether they are free: it has them, but no cores of its own."""
        holder = self._let_go(attempt)
        cpus: tuple[int, ...] = ()
        if entry is not None:
            taken = self._take(claim.cpu_part, expected_ns, entry, holder.binding)
            self.ledger.release(claim.cpu_part, taken)
            cpus = taken.cpus
        binding = Binding(cpus, holder.binding.gpus)
        self.ledger.release(holder.claim, holder.binding)
        self.ledger.take(claim, binding)
        self._hold(attempt, _Holder(claim, binding, since_ns + expected_ns))
        return binding

    def passed_on(self, before: int, after: int, since_ns: int, expected_ns: int) -> None:
        """An attempt has ended and another took over what it held, in the same place."""
        self._hold(after, msgspec.structs.replace(self._let_go(before), end_ns=since_ns + expected_ns))

    def ended(self, attempt: int) -> None:
        """What the attempt held is free."""
        holder = self._let_go(attempt)
        self.ledger.release(holder.claim, holder.binding)
        if self.reservation is not None:
            self.reservation.releases += 1

    def _hold(self, attempt: int, holder: _Holder) -> None:
        self._holders[attempt] = holder
        insort(self._ends, (holder.end_ns, attempt))

    def _let_go(self, attempt: int) -> _Holder:
        holder = self._holders.pop(attempt)
        del self._ends[bisect_left(self._ends, (holder.end_ns, attempt))]
        return holder

    def _take_beside(self, held: Reservation, room: Ledger, claim: Claim, beside: Binding) -> Binding:
        """What outlasts the reservation's instant is taken from its ledger as well. What outranks it need not fit
        there; then the reservation is reckoned again."""
        binding = self.ledger.bind(claim, also=room, beside=beside) if room.fits(claim) else None
        if binding is None:
            held.generation = -1
            return self.ledger.take(claim, beside=beside)
        room.take(claim, binding)
        return self.ledger.take(claim, binding)

    # --- the reservation --------------------------------------------------------------------------------------------

    def _ends_in_time(self, held: Reservation, expected_ns: int) -> bool:
        return 0 < expected_ns <= self._left_ns(held)

    def _left_ns(self, held: Reservation) -> int:
        """How long what passes may be expected to take."""
        return held.due_ns - self._now_ns if self._now_ns <= held.last_ns else 0

    def _reckoned(self) -> Reservation | None:
        """The reservation, reckoned if it was not yet, or if much has changed since. None if it came to nothing."""
        held = self.reservation
        if held is None:
            return None
        many = max(RELEASES_MIN, len(self._holders) // 8)
        same = held.room is not None and held.generation == self.ledger.generation
        if same and held.releases < many and self._now_ns < held.due_ns:
            return held
        found = self._reckon(held.entry.claim)
        if found is None:
            self._hopeless.add(held.entry.claim)
            self.reservation = None
        else:
            held.renew(*found, self.ledger.generation)
        return self.reservation

    def _reckon(self, claim: Claim) -> tuple[int, Ledger] | None:
        """When so much will have ended that the claim fits, and the ledger of that instant with the claim taken."""
        room = self.ledger.copy()
        due_ns = self._now_ns if room.fits(claim) else 0
        for end_ns, attempt in self._ends_from_now():
            if due_ns and end_ns > due_ns:
                break
            holder = self._holders[attempt]
            room.release(holder.claim, holder.binding)
            if not due_ns and room.fits(claim):
                due_ns = end_ns
        if not due_ns:
            return None
        room.take(claim)
        return due_ns, room

    def _ends_from_now(self) -> Iterable[tuple[int, int]]:
        """(end, attempt), the next first. Of those that are late, the one that is least late ends first."""
        now, ends = self._now_ns, self._ends
        first = bisect_left(ends, (now + 1, 0))
        if not first:
            return ends
        late = ((now + max(now - ends[place][0], LATE_NS), ends[place][1]) for place in range(first - 1, -1, -1))
        return merge(late, (ends[place] for place in range(first, len(ends))))
