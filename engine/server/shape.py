"""Where a run's rows stand in topological order, without listing them.

Positions count the tasks in the plan's order; a mapped task takes as many as it has rows, and one while it has none
because its items are not known (so that it is not forgotten). Only mapped tasks differ from one position a task, so
finding a position costs a search among them and never a walk over a million rows.
"""

import time
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import compress
from operator import add
from typing import NamedTuple

from engine.core.state import NOT_FINAL, RunState
from engine.model.errors import Unavailable
from engine.model.ids import NO_INDEX
from engine.model.status import TaskStatus
from engine.planning.plan import Plan
from engine.protocol.filters import parse_filter, select
from engine.server.folding import Item, folded

_PLANS_KEPT = 64
_FILTERS_KEPT = 8
_FILTER_S = 0.25


class Place(NamedTuple):
    """A position: its task, the index of its item (or NO_INDEX), and its row, -1 where a mapped task has none yet."""

    task: int
    item: int
    row: int


class PlanFacts:
    """What the server wants to know of a plan beside what the plan says: computed once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.position = array("I", bytes(4 * len(plan)))
        self.depth = array("I", bytes(4 * len(plan)))
        for at, task in enumerate(plan.order):
            self.position[task] = at
            self.depth[task] = 1 + max((self.depth[up] for up in plan.ups(task)), default=-1)
        self.mapped = sorted(plan.mapped, key=self._at)

        self._named: dict[str, list[int]] = {}
        self._folded: list[Item] | None = None

    def folded(self, tasks: Sequence[int]) -> Sequence[Item]:
        """The tasks, those that are named alike as one; of all tasks the answer is kept."""
        if tasks is not self.plan.order:
            return folded(self.plan, tasks)
        if self._folded is None:
            self._folded = folded(self.plan, tasks)
        return self._folded

    def named(self, text: str) -> Sequence[int]:
        """The tasks in topological order that a filter's text means. Raises ValueFault, and Unavailable where looking
        for them takes too long. The last few answers are kept.
        """
        found = self._named.pop(text, None)
        if found is None:
            deadline_s = time.monotonic() + _FILTER_S

            def spend() -> None:
                if time.monotonic() > deadline_s:
                    raise Unavailable("this filter takes too long", "write more of the name")

            plan = self.plan
            found = select(parse_filter(text), plan.names, plan.order, plan.ups, plan.downs, spend)
        self._named[text] = found
        if len(self._named) > _FILTERS_KEPT:
            del self._named[next(iter(self._named))]
        return found

    def _at(self, task: int) -> int:
        return self.position[task]


class Plans:
    """The facts of the plans that were asked for lately."""

    def __init__(self) -> None:
        self._known: dict[str, PlanFacts] = {}

    def of(self, plan: Plan) -> PlanFacts:
        facts = self._known.pop(plan.version, None)
        if facts is None or facts.plan is not plan:
            facts = PlanFacts(plan)
        self._known[plan.version] = facts  # the newest last
        if len(self._known) > _PLANS_KEPT:
            del self._known[next(iter(self._known))]
        return facts


class Layout:
    """The positions of a run as it is now."""

    def __init__(self, run: RunState, facts: PlanFacts) -> None:
        self._run = run
        self._facts = facts
        self._starts: list[int] = []
        extra = 0
        for task in facts.mapped:
            self._starts.append(facts.position[task] + extra)
            extra += positions_of(run, task) - 1
        self.total = len(run.plan) + extra

    def from_position(self, offset: int) -> Iterator[Place]:
        """The places from a position on."""
        if not 0 <= offset < self.total:
            return
        before = bisect_right(self._starts, offset) - 1
        at, inner = offset, 0
        if before >= 0:
            task = self._facts.mapped[before]
            inner = offset - self._starts[before]
            size = positions_of(self._run, task)
            at = self._facts.position[task]
            if inner >= size:
                at, inner = at + 1 + inner - size, 0
        order = self._run.plan.order
        while at < len(order):
            yield from places_of(self._run, order[at], inner)
            at, inner = at + 1, 0


def positions_of(run: RunState, task: int) -> int:
    """How many positions a task takes: one for each of its rows, or one while its rows are not known."""
    return run.row_count[task] if run.first_row[task] >= 0 else 1


def places_of(run: RunState, task: int, start: int = 0) -> Iterator[Place]:
    """The places of a task from its `start`-th on."""
    first = run.first_row[task]
    if first < 0:
        if start == 0:
            yield Place(task, NO_INDEX, -1)
    elif task not in run.mapped_counts:
        if start == 0:
            yield Place(task, NO_INDEX, first)
    else:
        for index in range(start, run.row_count[task]):
            yield Place(task, index, first + index)


def status_of(run: RunState, place: Place) -> int:
    """The status of a place, as a number of TaskStatus."""
    return run.status[place.row] if place.row >= 0 else _status_without_rows(run, place.task)


def _status_without_rows(run: RunState, task: int) -> int:
    final = run.task_final[task]
    return final if final != NOT_FINAL else TaskStatus.WAITING


def counts_in(run: RunState, tasks: Sequence[int]) -> list[int]:
    """How many places of the tasks there are, by status."""
    status, first_row, mapped = run.status, run.first_row, run.mapped_counts
    counts = [0] * len(TaskStatus)
    for task in tasks:
        if first_row[task] < 0:
            counts[_status_without_rows(run, task)] += 1
        elif task in mapped:
            counts = list(map(add, counts, mapped[task]))
        else:
            counts[status[task]] += 1
    return counts


def count_in(run: RunState, tasks: Sequence[int], wanted: frozenset[int]) -> int:
    """How many places of the tasks have a wanted status (none given: all)."""
    counts = counts_in(run, tasks)
    return sum(counts[status] for status in wanted) if wanted else sum(counts)


def tasks_with(run: RunState, tasks: Sequence[int], wanted: frozenset[int]) -> list[int]:
    """Those of the tasks of which a place has a wanted status."""
    status, first_row, mapped = run.status, run.first_row, run.mapped_counts
    return [
        task
        for task in tasks
        if (count_in(run, [task], wanted) if task in mapped or first_row[task] < 0 else status[task] in wanted)
    ]


def matching(run: RunState, tasks: Sequence[int], wanted: frozenset[int]) -> Iterator[Place]:
    """The places of the tasks, in their order, that have a wanted status. Long tasks are searched, not walked."""
    table = bytes(int(status in wanted) for status in range(256))
    status, first_row, mapped = run.status, run.first_row, run.mapped_counts
    for task in tasks:
        first = first_row[task]
        if first < 0 or task not in mapped:
            if table[status[first] if first >= 0 else _status_without_rows(run, task)]:
                yield Place(task, NO_INDEX, first)
        elif any(mapped[task][wish] for wish in wanted):
            flags = status[first : first + run.row_count[task]].translate(table)
            at = flags.find(1)
            while at >= 0:
                yield Place(task, at, first + at)
                at = flags.find(1, at + 1)


def rows_of(run: RunState, tasks: Sequence[int], wanted: frozenset[int]) -> Iterator[int]:
    """The rows of the tasks, in order, that have a wanted status (none given: all); ~task for a task without rows."""
    table = bytes(int(not wanted or status in wanted) for status in range(256))
    for task in tasks:
        first = run.first_row[task]
        if first < 0 or task not in run.mapped_counts:
            if table[run.status[first] if first >= 0 else _status_without_rows(run, task)]:
                yield first if first >= 0 else ~task
        else:
            end = first + run.row_count[task]
            yield from compress(range(first, end), run.status[first:end].translate(table))
