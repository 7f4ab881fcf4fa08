"""May it start now? The sums of what live attempts claim, against what there is.

The ledger holds nothing of its own: it can be rebuilt from the live attempts at any moment, and a test compares the two
after every step, so no crash and no missed release can leak a slot. A claim is met whole or not at all, in all
dimensions: CPU, memory, pools, GPUs, scratch disk, mutexes, cores of its own, the host alone. What is bound to CPUs or
GPUs has a `Binding`, which is kept with the attempt and given back exactly.

A claim that is pinned takes whole cores, and so much CPU is counted for it; what is not pinned shares the other CPUs.
"""

from collections.abc import Iterable, Mapping

from engine.admission.binding import WHOLE_MILLI, Core, choose_cores, choose_gpus, cpus_wanted
from engine.model.resources import UNBOUND, Binding, Capacity, Claim, Reason

HOLDERS_NAMED = 10


class Ledger:
    """Capacity, and the claims of live attempts."""

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self.slots: dict[str, int] = dict(capacity.pools)
        self.generation = 0
        """Grows whenever there is more or less in total than before."""
        self.holders = 0
        self.alone = 0
        """Exclusive claims that are held: at most one, as nothing fits beside it."""
        self.cpu_milli = 0
        self.memory_bytes = 0
        self.scratch_bytes = 0
        self.pools: dict[str, int] = {}
        self.mutexes: dict[str, int] = {}
        self.gpus: dict[str, int] = {}
        self.cpus: set[int] = set()
        self._node_of_gpu = dict(capacity.gpus)

    def copy(self) -> "Ledger":
        """Another ledger with the same claims held, to think ahead with."""
        other = Ledger.__new__(Ledger)
        vars(other).update(vars(self))
        other.slots, other.pools, other.mutexes = self.slots.copy(), self.pools.copy(), self.mutexes.copy()
        other.gpus, other.cpus = self.gpus.copy(), self.cpus.copy()
        return other

    # --- what there is ----------------------------------------------------------------------------------------------

    def declare_pools(self, pools: Mapping[str, int]) -> None:
        """Workflows' own pools have these many slots from now on. What is held beyond that stays held."""
        self.slots.update(pools)
        self.generation += 1

    def set_capacity(self, capacity: Capacity) -> None:
        """The host has another capacity from now on. What is held beyond it stays held."""
        for name, _ in self.capacity.pools:
            self.slots.pop(name, None)
        self.capacity = capacity
        self.slots.update(capacity.pools)
        self._node_of_gpu = dict(capacity.gpus)
        self.generation += 1

    def share_ppm(self, claim: Claim) -> int:
        """Millionths of the host that a claim takes, of what it takes most of: its dominant share (Ghodsi et al., NSDI
        2011). Pools and mutexes are nobody's to have a share in.
        """
        if claim.exclusive:
            return 1_000_000
        capacity = self.capacity
        share = 0
        for asked, total in (
            (claim.cpu_milli, capacity.cpu_milli), (claim.memory_bytes, capacity.memory_bytes),
            (claim.gpu_milli, WHOLE_MILLI * len(capacity.gpus)), (claim.scratch_bytes, capacity.scratch_bytes),
        ):  # fmt: skip
            if asked and total:
                share = max(share, asked * 1_000_000 // total)
        return min(share, 1_000_000)

    def shared_cpus(self) -> tuple[int, ...]:
        """The logical CPUs for all that are not pinned; all of them if pins have left none."""
        every = [cpu for _, cpus in self.capacity.cores for cpu in cpus]
        return tuple(sorted(set(every) - self.cpus or every))

    # --- may it -----------------------------------------------------------------------------------------------------

    @property
    def free(self) -> tuple[int, int]:
        """CPU and memory that nobody holds. What asks for more of either does not fit, nor does anything if these are
        negative."""
        if self.alone:
            return -1, -1
        capacity = self.capacity
        return max(capacity.cpu_milli - self.cpu_milli, 0), max(capacity.memory_bytes - self.memory_bytes, 0)

    def fits(self, claim: Claim) -> bool:
        """Whether the claim can be taken now."""
        capacity = self.capacity
        if self.cpu_milli + claim.cpu_milli > capacity.cpu_milli and claim.cpu_milli:
            return False
        if self.memory_bytes + claim.memory_bytes > capacity.memory_bytes and claim.memory_bytes:
            return False
        if self.alone or (claim.exclusive and self.holders):
            return False
        if self.scratch_bytes + claim.scratch_bytes > capacity.scratch_bytes and claim.scratch_bytes:
            return False
        for name, slots in claim.pools:
            if self.pools.get(name, 0) + slots > self.slots.get(name, 0):
                return False
        for name in claim.mutexes:
            if self.mutexes.get(name):
                return False
        return not (claim.gpu_milli or claim.pin) or self.bind(claim) is not None

    def fits_after(self, claim: Claim, freed: Claim) -> bool:
        """Whether the claim could be taken if one that is held now were given back.

        Where the freed GPUs and cores lie is not known, so of these only sums are compared.
        """
        capacity = self.capacity
        if self.cpu_milli - freed.cpu_milli + claim.cpu_milli > capacity.cpu_milli and claim.cpu_milli:
            return False
        memory = self.memory_bytes - freed.memory_bytes + claim.memory_bytes
        if memory > capacity.memory_bytes and claim.memory_bytes:
            return False
        scratch = self.scratch_bytes - freed.scratch_bytes + claim.scratch_bytes
        if scratch > capacity.scratch_bytes and claim.scratch_bytes:
            return False
        gpu_milli = sum(self.gpus.values()) - freed.gpu_milli + claim.gpu_milli
        if gpu_milli > WHOLE_MILLI * len(capacity.gpus) and claim.gpu_milli:
            return False
        if self.alone > freed.exclusive or (claim.exclusive and self.holders > 1):
            return False
        if any(self.mutexes.get(name) and name not in freed.mutexes for name in claim.mutexes):
            return False
        room = dict(freed.pools)
        held = ((name, slots + self.pools.get(name, 0) - room.get(name, 0)) for name, slots in claim.pools)
        return all(slots <= self.slots.get(name, 0) for name, slots in held)

    def bind(self, claim: Claim, also: "Ledger | None" = None, beside: Binding = UNBOUND) -> Binding | None:
        """The place for a claim, None if there is none now; it must be free in `also` as well. Cores are chosen near
        the GPUs of the claim, and of what is held already (`beside`)."""
        if not (claim.gpu_milli or claim.pin):
            return UNBOUND
        books = (self,) if also is None else (self, also)
        gpus: tuple[tuple[str, int], ...] = ()
        cpus: tuple[int, ...] = ()
        if claim.gpu_milli:
            left = {uuid: min(book.free_gpu_milli(uuid) for book in books) for uuid, _ in self.capacity.gpus}
            gpus = choose_gpus(left, claim.gpu_milli, self._node_of_gpu)
            if not gpus:
                return None
        if claim.pin:
            near = {self._node_of_gpu[uuid] for uuid, _ in (*gpus, *beside.gpus) if uuid in self._node_of_gpu}
            cores = self.free_cores(self.cpus if also is None else self.cpus | also.cpus)
            cpus = choose_cores(cores, cpus_wanted(claim.cpu_milli), one_node=claim.pin == "node", near=near)
            if not cpus or any(
                book.cpu_milli + cpu_charge(claim, cpus) > book.capacity.cpu_milli for book in books
            ):  # whole cores may be more than was claimed
                return None
        return Binding(cpus, gpus)

    def free_gpu_milli(self, uuid: str) -> int:
        """Thousandths of a GPU that nobody holds."""
        return WHOLE_MILLI - self.gpus.get(uuid, 0)

    def free_cores(self, held: set[int] | None = None) -> list[Core]:
        """Cores of which no CPU is bound."""
        bound = self.cpus if held is None else held
        return [core for core in self.capacity.cores if bound.isdisjoint(core[1])]

    # --- take and give back -----------------------------------------------------------------------------------------

    def take(self, claim: Claim, binding: Binding | None = None, beside: Binding = UNBOUND) -> Binding:
        """The claim is held from now on, where `binding` says (None: in the best place, near `beside`). Raises
        ValueError if it needs a place and has none."""
        if binding is None:
            binding = self.bind(claim, beside=beside)
            if binding is None:
                raise ValueError("there is no place for the claim")
        self._add(claim, binding, 1)
        if binding.cpus:
            self.cpus.update(binding.cpus)
        return binding

    def release(self, claim: Claim, binding: Binding = UNBOUND) -> None:
        """The claim is held no more. `binding` is what `take` gave."""
        self._add(claim, binding, -1)
        if binding.cpus:
            self.cpus.difference_update(binding.cpus)

    def _add(self, claim: Claim, binding: Binding, sign: int) -> None:
        self.holders += sign
        self.alone += sign * claim.exclusive
        self.cpu_milli += sign * (cpu_charge(claim, binding.cpus) if binding.cpus else claim.cpu_milli)
        self.memory_bytes += sign * claim.memory_bytes
        self.scratch_bytes += sign * claim.scratch_bytes
        for name, slots in claim.pools:
            self.pools[name] = self.pools.get(name, 0) + sign * slots
        for name in claim.mutexes:
            self.mutexes[name] = self.mutexes.get(name, 0) + sign
        for uuid, milli in binding.gpus:
            self.gpus[uuid] = self.gpus.get(uuid, 0) + sign * milli

    # --- why not ----------------------------------------------------------------------------------------------------

    def impossible(self, claim: Claim, own_pools: dict[str, int]) -> list[Reason]:
        """What the host could not give even if nothing else ran; empty if the claim can be met one day.

        `own_pools` are those that the workflow in question would declare.
        """
        empty = Ledger(self.capacity)
        empty.slots = self.slots | own_pools
        return empty._short(claim)

    def reasons(self, claim: Claim, holders: Iterable[tuple[str, Claim]]) -> list[Reason]:
        """What is missing now, and which attempts hold it (at most ten are named a resource)."""
        short = self._short(claim)
        if not short:
            return []
        held = list(holders)
        return [_with_holders(reason, held) for reason in short]

    def _short(self, claim: Claim) -> list[Reason]:
        capacity = self.capacity
        found: list[Reason] = []
        if self.alone or (claim.exclusive and self.holders):
            found.append(Reason("exclusive", "host", 1, 0))
        sums = (
            ("cpu", claim.cpu_milli, capacity.cpu_milli - self.cpu_milli, 1000),
            ("memory", claim.memory_bytes, capacity.memory_bytes - self.memory_bytes, 1),
            ("scratch", claim.scratch_bytes, capacity.scratch_bytes - self.scratch_bytes, 1),
        )
        for resource, asked, free, unit in sums:
            if asked > free and asked:
                found.append(Reason("capacity", resource, asked / unit, max(free, 0) / unit))
        for name, slots in claim.pools:
            free = self.slots.get(name, 0) - self.pools.get(name, 0)
            if slots > free:
                found.append(Reason("pool", name, slots, max(free, 0)))
        found += [Reason("mutex", name, 1, 0) for name in claim.mutexes if self.mutexes.get(name)]
        return found + self._unplaced(claim)

    def _unplaced(self, claim: Claim) -> list[Reason]:
        """GPUs and cores count by what is free in one piece."""
        found: list[Reason] = []
        free = [self.free_gpu_milli(uuid) for uuid, _ in self.capacity.gpus]
        if claim.gpu_milli >= WHOLE_MILLI:
            largest = WHOLE_MILLI * sum(left >= WHOLE_MILLI for left in free)
        else:
            largest = max(free, default=0)
        if claim.gpu_milli > largest:
            found.append(Reason("capacity", "gpu", claim.gpu_milli / WHOLE_MILLI, largest / WHOLE_MILLI))
        if claim.pin:
            sizes: dict[int, int] = {}
            for node, cpus in self.free_cores():
                sizes[node if claim.pin == "node" else 0] = sizes.get(node if claim.pin == "node" else 0, 0) + len(cpus)
            wanted, there = cpus_wanted(claim.cpu_milli), max(sizes.values(), default=0)
            if wanted > there:
                found.append(Reason("pin", claim.pin, wanted, there))
            elif not found and self.bind(claim) is None:
                left = max(self.capacity.cpu_milli - self.cpu_milli, 0)
                found.append(Reason("pin", "cpu", wanted, left / 1000))
        return found


def cpu_charge(claim: Claim, cpus: tuple[int, ...]) -> int:
    """What counts as held of the CPUs: what is claimed, but all of each core that is bound."""
    return max(claim.cpu_milli, WHOLE_MILLI * len(cpus))


def _with_holders(reason: Reason, held: list[tuple[str, Claim]]) -> Reason:
    names = [name for name, claim in held if _holds(claim, reason)][:HOLDERS_NAMED]
    return Reason(reason.kind, reason.resource, reason.asked, reason.available, tuple(names))


def _holds(claim: Claim, reason: Reason) -> bool:
    if reason.kind == "exclusive":
        return True
    if reason.kind == "pin":
        return bool(claim.pin)
    if reason.kind == "pool":
        return reason.resource in dict(claim.pools)
    if reason.kind == "mutex":
        return reason.resource in claim.mutexes
    amounts = {
        "cpu": claim.cpu_milli, "memory": claim.memory_bytes, "scratch": claim.scratch_bytes, "gpu": claim.gpu_milli,
    }  # fmt: skip
    return amounts[reason.resource] > 0
