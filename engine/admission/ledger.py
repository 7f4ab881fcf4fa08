"""May it start now? The sums of what live attempts claim, against what there is.

The ledger holds nothing of its own: it can be rebuilt from the live attempts at any moment, and a test compares the two
after every step, so no crash and no missed release can leak a slot. A claim is met whole or not at all.
"""

from collections.abc import Iterable, Mapping

from engine.model.resources import Capacity, Claim, Reason


class Ledger:
    """Capacity, and the claims of live attempts."""

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self.slots: dict[str, int] = dict(capacity.pools)
        self.cpu_milli = 0
        self.memory_bytes = 0
        self.pools: dict[str, int] = {}

    def declare_pools(self, pools: Mapping[str, int]) -> None:
        """Workflows' own pools have these many slots from now on. What is held beyond that stays held."""
        self.slots.update(pools)

    def set_capacity(self, capacity: Capacity) -> None:
        """The host has another capacity from now on. What is held beyond it stays held."""
        for name, _ in self.capacity.pools:
            self.slots.pop(name, None)
        self.capacity = capacity
        self.slots.update(capacity.pools)

    def fits(self, claim: Claim) -> bool:
        """Whether the claim can be taken now."""
        if self.cpu_milli + claim.cpu_milli > self.capacity.cpu_milli and claim.cpu_milli:
            return False
        if self.memory_bytes + claim.memory_bytes > self.capacity.memory_bytes and claim.memory_bytes:
            return False
        return all(self.pools.get(name, 0) + slots <= self.slots.get(name, 0) for name, slots in claim.pools)

    def fits_after(self, claim: Claim, freed: Claim) -> bool:
        """Whether the claim could be taken if one that is held now were given back."""
        room = dict(freed.pools)
        if self.cpu_milli - freed.cpu_milli + claim.cpu_milli > self.capacity.cpu_milli and claim.cpu_milli:
            return False
        memory = self.memory_bytes - freed.memory_bytes + claim.memory_bytes
        if memory > self.capacity.memory_bytes and claim.memory_bytes:
            return False
        held = ((name, slots + self.pools.get(name, 0) - room.get(name, 0)) for name, slots in claim.pools)
        return all(slots <= self.slots.get(name, 0) for name, slots in held)

    def take(self, claim: Claim) -> None:
        self.cpu_milli += claim.cpu_milli
        self.memory_bytes += claim.memory_bytes
        for name, slots in claim.pools:
            self.pools[name] = self.pools.get(name, 0) + slots

    def release(self, claim: Claim) -> None:
        self.cpu_milli -= claim.cpu_milli
        self.memory_bytes -= claim.memory_bytes
        for name, slots in claim.pools:
            self.pools[name] -= slots

    def impossible(self, claim: Claim, own_pools: dict[str, int]) -> list[Reason]:
        """What the host could not give even if nothing else ran; empty if the claim can be met one day.

        `own_pools` are those that the workflow in question would declare.
        """
        return _short(claim, self.capacity.cpu_milli, self.capacity.memory_bytes, self.slots | own_pools)

    def reasons(self, claim: Claim, holders: Iterable[tuple[str, Claim]]) -> list[Reason]:
        """What is missing now, and which attempts hold it (at most ten are named a resource)."""
        free = {name: slots - self.pools.get(name, 0) for name, slots in self.slots.items()}
        cpu, memory = self.capacity.cpu_milli - self.cpu_milli, self.capacity.memory_bytes - self.memory_bytes
        short = _short(claim, cpu, memory, free)
        if not short:
            return []
        held = list(holders)
        return [_with_holders(reason, held) for reason in short]


def _short(claim: Claim, cpu_milli: int, memory_bytes: int, pools: Mapping[str, int]) -> list[Reason]:
    found: list[Reason] = []
    if claim.cpu_milli > cpu_milli and claim.cpu_milli:
        found.append(Reason("capacity", "cpu", claim.cpu_milli / 1000, max(cpu_milli, 0) / 1000))
    if claim.memory_bytes > memory_bytes and claim.memory_bytes:
        found.append(Reason("capacity", "memory", claim.memory_bytes, max(memory_bytes, 0)))
    for name, slots in claim.pools:
        if slots > pools.get(name, 0):
            found.append(Reason("pool", name, slots, max(pools.get(name, 0), 0)))
    return found


def _with_holders(reason: Reason, held: list[tuple[str, Claim]]) -> Reason:
    names: list[str] = []
    for name, claim in held:
        holds = {
            "cpu": claim.cpu_milli,
            "memory": claim.memory_bytes,
        } if reason.kind == "capacity" else dict(claim.pools)  # fmt: skip
        if holds.get(reason.resource):
            names.append(name)
        if len(names) == 10:
            break
    return Reason(reason.kind, reason.resource, reason.asked, reason.available, tuple(names))
