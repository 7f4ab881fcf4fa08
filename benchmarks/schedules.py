"""What a schedule of a recorded workflow could be at best: bounds, and list schedules, simulated without any cost.

A list schedule starts, whenever a core is free, the ready task that stands first in a list. Each list is the order by
the longest way to the end, the first as it is, the others disturbed at random.
"""

import heapq
import random
from dataclasses import dataclass

LISTS = 200


@dataclass(frozen=True)
class Trace:
    """A workflow as it was recorded, its durations scaled. Parents stand before their children."""

    name: str
    seconds: list[float]
    parents: list[list[int]]

    @property
    def work_s(self) -> float:
        return sum(self.seconds)

    def ways_s(self) -> list[float]:
        """The longest way from the start of each task to the end of all."""
        ways = list(self.seconds)
        beyond = [0.0] * len(ways)
        for i in range(len(ways) - 1, -1, -1):
            ways[i] += beyond[i]
            for up in self.parents[i]:
                beyond[up] = max(beyond[up], ways[i])
        return ways

    def critical_s(self) -> float:
        return max(self.ways_s(), default=0.0)

    def scaled(self, factor: float) -> "Trace":
        return Trace(self.name, [seconds * factor for seconds in self.seconds], self.parents)


def makespan_s(trace: Trace, cores: int, rank: list[float]) -> float:
    """The simulated time of a list schedule; ready tasks go by rank, the smallest first."""
    missing = [len(ups) for ups in trace.parents]
    children: list[list[int]] = [[] for _ in trace.parents]
    for i, ups in enumerate(trace.parents):
        for up in ups:
            children[up].append(i)
    ready = [(rank[i], i) for i, count in enumerate(missing) if count == 0]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < cores:
            _, i = heapq.heappop(ready)
            heapq.heappush(running, (now + trace.seconds[i], i))
        now, ended = heapq.heappop(running)
        for child in children[ended]:
            missing[child] -= 1
            if missing[child] == 0:
                heapq.heappush(ready, (rank[child], child))
    return now


def best_of_lists_s(trace: Trace, cores: int, seed: int = 1) -> float:
    """The shortest of the simulated schedules."""
    chance = random.Random(seed)
    ways = trace.ways_s()
    best = makespan_s(trace, cores, [-way for way in ways])
    for number in range(1, LISTS):
        spread = number / LISTS
        rank = [-way * chance.uniform(1 - spread, 1 + spread) for way in ways]
        best = min(best, makespan_s(trace, cores, rank))
    return best
