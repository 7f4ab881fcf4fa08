"""A host in a jumping clock: tasks arrive, a policy says what starts, what started ends, and somebody counts again.

`Ours` joins queue, shares, gate and ledger as the core does. `Fifo` and `Greedy` are for comparison: the one lets
nobody pass the first that does not fit, the other everybody. `Count` knows none of them: it adds up what runs after
every start, in each dimension, and by each CPU and GPU.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple, Protocol

from engine.admission.gate import Gate
from engine.admission.ledger import Ledger
from engine.model.instants import SECOND
from engine.model.resources import Binding, Capacity, Claim
from engine.scheduling.fair_queue import Entry, FairQueue
from engine.scheduling.fair_share import Shares


class Arrival(NamedTuple):
    """A task. `expected_ns` is what history says of `takes_ns`, 0: nothing."""

    at_ns: int
    takes_ns: int
    claim: Claim
    expected_ns: int = 0
    owner: str = ""
    priority: int = 0
    weight: int = 0
    backfill: bool = False


class Policy(Protocol):
    """Tasks go by their numbers."""

    def arrived(self, number: int, task: Arrival, now_ns: int) -> None: ...
    def starts(self, now_ns: int) -> Iterator[tuple[int, Binding]]: ...
    def ended(self, number: int, now_ns: int) -> None: ...


class Ours:
    """Fair queue and gate, joined as in the core. `gate` may be looked at."""

    def __init__(self, capacity: Capacity, weights: Mapping[str, float] | None = None, **shares: int) -> None:
        self.tasks: dict[int, Arrival] = {}
        self.shares = Shares(weights, **shares)
        self.queue = FairQueue(self.shares)
        self.gate = Gate(Ledger(capacity))

    def arrived(self, number: int, task: Arrival, now_ns: int) -> None:
        self.tasks[number] = task
        self.queue.push(
            0, 0, range(number, number + 1), task.claim,
            priority=task.priority, weight=task.weight, owner=task.owner, backfill=task.backfill,
            expected_ns=task.expected_ns,
        )  # fmt: skip

    def starts(self, now_ns: int) -> Iterator[tuple[int, Binding]]:
        self.gate.begin(now_ns)
        self.queue.begin(now_ns)
        while (entry := self.queue.best(self.gate)) is not None:
            yield entry.low, self._start(entry, now_ns)

    def _start(self, entry: Entry, now_ns: int) -> Binding:
        number, task = entry.low, self.tasks[entry.low]
        binding = self.gate.began(number, task.claim, now_ns, task.expected_ns, entry=entry)
        self.shares.started(number, task.owner, self.gate.ledger.share_ppm(task.claim), now_ns)
        self.queue.advance(entry)
        return binding

    def ended(self, number: int, now_ns: int) -> None:
        del self.tasks[number]
        self.gate.ended(number)
        self.shares.ended(number, now_ns)


class Fifo:
    """In the order of arrival; the first that does not fit holds up the rest."""

    def __init__(self, capacity: Capacity) -> None:
        self.ledger = Ledger(capacity)
        self.waiting: deque[tuple[int, Claim]] = deque()
        self.held: dict[int, tuple[Claim, Binding]] = {}

    def arrived(self, number: int, task: Arrival, now_ns: int) -> None:
        self.waiting.append((number, task.claim))

    def starts(self, now_ns: int) -> Iterator[tuple[int, Binding]]:
        while self.waiting and self.ledger.fits(self.waiting[0][1]):
            yield self._start(*self.waiting.popleft())

    def _start(self, number: int, claim: Claim) -> tuple[int, Binding]:
        binding = self.ledger.take(claim)
        self.held[number] = (claim, binding)
        return number, binding

    def ended(self, number: int, now_ns: int) -> None:
        self.ledger.release(*self.held.pop(number))


class Greedy(Fifo):
    """In the order of arrival, and whoever fits may pass."""

    def __init__(self, capacity: Capacity) -> None:
        super().__init__(capacity)
        self.by_claim: dict[Claim, deque[int]] = {}

    def arrived(self, number: int, task: Arrival, now_ns: int) -> None:
        self.by_claim.setdefault(task.claim, deque()).append(number)

    def starts(self, now_ns: int) -> Iterator[tuple[int, Binding]]:
        waiting = enumerate(self.by_claim.items())
        heads = [(numbers[0], place, claim) for place, (claim, numbers) in waiting if self.ledger.fits(claim)]
        heapify(heads)
        while heads:
            _, place, claim = heappop(heads)
            if not self.ledger.fits(claim):
                continue
            numbers = self.by_claim[claim]
            yield self._start(numbers.popleft(), claim)
            if numbers:
                heappush(heads, (numbers[0], place, claim))
            else:
                del self.by_claim[claim]


class Overdrawn(AssertionError):
    """More is held than there is."""


class Count:
    """What runs, added up by itself."""

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self.running: dict[int, tuple[Claim, Binding]] = {}
        self._cores = {cpu: cpus for _, cpus in capacity.cores for cpu in cpus}
        self._nodes = {cpu: node for node, cpus in capacity.cores for cpu in cpus}

    def began(self, number: int, claim: Claim, binding: Binding) -> None:
        self.running[number] = (claim, binding)
        self._check_binding(claim, binding)
        self._check_sums()

    def _check_sums(self) -> None:
        held = list(self.running.values())
        claims = [claim for claim, _ in held]
        used = Counter[str]()
        limits = {
            "cpu": self.capacity.cpu_milli, "memory": self.capacity.memory_bytes,
            "scratch": self.capacity.scratch_bytes,
        } | {f"pool {name}": slots for name, slots in self.capacity.pools}  # fmt: skip
        limits |= {f"gpu {uuid}": 1000 for uuid, _ in self.capacity.gpus}
        for claim, binding in held:
            used["cpu"] += max(claim.cpu_milli, 1000 * len(binding.cpus))
            used["memory"] += claim.memory_bytes
            used["scratch"] += claim.scratch_bytes
            for name, slots in claim.pools:
                used[f"pool {name}"] += slots
            for name in claim.mutexes:
                used[f"mutex {name}"] += 1
            for uuid, milli in binding.gpus:
                used[f"gpu {uuid}"] += milli
            for cpu in binding.cpus:
                used[f"cpu {cpu}"] += 1
        over = {name: amount for name, amount in used.items() if amount > limits.get(name, 1)}
        if any(claim.exclusive for claim in claims) and len(claims) > 1:
            over["exclusive"] = len(claims)
        if over:
            raise Overdrawn(f"{over} of {limits} by {claims}")

    def _check_binding(self, claim: Claim, binding: Binding) -> None:
        gpu_milli = sum(milli for _, milli in binding.gpus)
        wrong = gpu_milli != claim.gpu_milli or (claim.gpu_milli >= 1000 and {m for _, m in binding.gpus} != {1000})
        if claim.pin:
            mine = set(binding.cpus)
            wrong |= len(mine) * 1000 < claim.cpu_milli or any(not mine.issuperset(self._cores[cpu]) for cpu in mine)
            wrong |= claim.pin == "node" and len({self._nodes[cpu] for cpu in mine}) != 1
        elif binding.cpus:
            wrong = True
        if wrong:
            raise Overdrawn(f"{claim} is bound to {binding}")


class Story(NamedTuple):
    """When each task started (-1: never), by its number, and when the last ended."""

    starts_ns: list[int]
    finished_ns: int


def simulate(tasks: Sequence[Arrival], policy: Policy, capacity: Capacity, *, until_ns: int = 2**63) -> Story:
    """Run the tasks. Raises Overdrawn if more is ever held than there is, AssertionError if one never starts."""
    count = Count(capacity)
    starts = [-1] * len(tasks)
    moments = [(task.at_ns, 1, number) for number, task in enumerate(tasks)]
    moments.sort(reverse=True)
    ends: list[tuple[int, int]] = []
    now = 0
    while moments or ends:
        now = min(heap[0][0] for heap in (moments[-1:], ends) if heap)
        if now >= until_ns:
            return Story(starts, now)
        while ends and ends[0][0] == now:
            number = heappop(ends)[1]
            del count.running[number]
            policy.ended(number, now)
        while moments and moments[-1][0] == now:
            number = moments.pop()[2]
            policy.arrived(number, tasks[number], now)
        for number, binding in policy.starts(now):
            starts[number] = now
            count.began(number, tasks[number].claim, binding)
            heappush(ends, (now + tasks[number].takes_ns, number))
    if -1 in starts:
        raise AssertionError(f"{starts.count(-1)} tasks never started, first {tasks[starts.index(-1)]}")
    return Story(starts, now)


def waits_ns(tasks: Sequence[Arrival], story: Story) -> list[int]:
    """How long each waited."""
    return [start - task.at_ns for task, start in zip(tasks, story.starts_ns, strict=True)]


def busy(tasks: Sequence[Arrival], story: Story, capacity: Capacity) -> float:
    """The share of the host's CPU that was held while tasks arrived."""
    until = max(task.at_ns for task in tasks)
    spans = (
        max(min(start + task.takes_ns, until) - start, 0) * task.claim.cpu_milli
        for task, start in zip(tasks, story.starts_ns, strict=True)
    )
    return sum(spans) / max(until, 1) / capacity.cpu_milli


def used(tasks: Iterable[Arrival], story: Story, capacity: Capacity, low_ns: int, high_ns: int) -> dict[str, float]:
    """Host-seconds of the dominant share that each owner held between two instants."""
    book, found = Ledger(capacity), Counter[str]()
    for task, start in zip(tasks, story.starts_ns, strict=True):
        if start >= 0:
            span = min(start + task.takes_ns, high_ns) - max(start, low_ns)
            found[task.owner] += max(span, 0) / SECOND * book.share_ppm(task.claim) / 1e6
    return dict(found)
