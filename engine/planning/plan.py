"""The plan: the frozen shape of one workflow version, shared by all of its runs.

Edges are flat arrays (compressed sparse rows): the upstream tasks of task i are `upstream[up_start[i]:up_start[i+1]]`,
with `same_index` telling for each such edge whether rows are paired. What a teardown needs of its setups is added as
edges here. `weight[i]` is the number of tasks on the longest way from i to an end: the critical path comes first.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from sys import intern
from typing import cast

from engine.model.errors import DefinitionError, Fault
from engine.model.packed import Packed
from engine.model.workflow import Action, Command, Need, Policy, Shell, Task, Workflow, version_of

_U32 = "I"


class Plan:
    """Built once by `make_plan`, never changed. What every row is asked for stands in columns here, so that it costs no
    look at its task: the tasks of a large workflow are packed.
    """

    __slots__ = (
        "_index", "down_start", "downstream", "has_when", "mapped", "max_parallel", "measures", "names",
        "needs_result", "order", "policies", "programs", "reads_needs", "same_index", "setup", "tasks", "teardown",
        "up_start", "upstream", "version", "weight", "workflow",
    )  # fmt: skip

    def __init__(self, workflow: Workflow, version: str) -> None:
        tasks = len(workflow.tasks)
        self.workflow = workflow
        self.version = version
        self.tasks: Sequence[Task] = workflow.tasks
        self.names: tuple[str, ...] = ()
        self._index: dict[str, int] | None = None
        self.policies = array(_U32, bytes(4 * tasks))
        """Of each task, the index of its policy."""
        self.mapped: list[int] = []
        """The tasks with a `for_each` or with trials, ascending."""
        self.max_parallel = array(_U32, bytes(4 * tasks))
        self.has_when = bytearray(tasks)
        self.measures = bytearray(tasks)
        """Which tasks have a campaign."""
        self.programs: list[str] = []
        """Of each task, what it runs: those of one program take about as long as each other."""
        self.setup = bytearray(tasks)
        self.teardown = bytearray(tasks)
        self.up_start = array(_U32)
        self.upstream = array(_U32)
        self.same_index = bytearray()
        self.down_start = array(_U32)
        self.downstream = array(_U32)
        self.order = array(_U32)
        self.weight = array(_U32)
        self.reads_needs = bytearray(tasks)
        self.needs_result = bytearray(tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def index(self) -> dict[str, int]:
        """The tasks by name: made when somebody first asks by name, since for a large workflow that may be never."""
        if self._index is None:
            self._index = dict(zip(self.names, range(len(self.names)), strict=True))
        return self._index

    def policy(self, task: int) -> Policy:
        return self.workflow.policies[self.policies[task]]

    def ups(self, task: int) -> array[int]:
        """The tasks that `task` needs."""
        return self.upstream[self.up_start[task] : self.up_start[task + 1]]

    def downs(self, task: int) -> array[int]:
        """The tasks that need `task`."""
        return self.downstream[self.down_start[task] : self.down_start[task + 1]]

    def setups(self, task: int) -> list[int]:
        """The upstream tasks that are setups: those that a teardown names, and those that say so themselves."""
        named = self.tasks[task].teardown_for if self.teardown[task] else ()
        return [up for up in self.ups(task) if self.setup[up] or self.names[up] in named]

    def paired(self, task: int) -> list[int]:
        """The upstream tasks whose rows are paired with those of `task`."""
        start, end = self.up_start[task], self.up_start[task + 1]
        return [self.upstream[edge] for edge in range(start, end) if self.same_index[edge]]

    def below(self, tasks: Iterable[int]) -> set[int]:
        """Everything downstream of the tasks, without the tasks themselves unless one is below another."""
        found: set[int] = set()
        stack = [down for task in tasks for down in self.downs(task)]
        while stack:
            task = stack.pop()
            if task not in found:
                found.add(task)
                stack.extend(self.downs(task))
        return found


def make_plan(workflow: Workflow) -> Plan:
    """The plan of a workflow that `definition.check` has passed. Raises DefinitionError for a cycle."""
    plan = Plan(workflow, version_of(workflow))
    _read_tasks(plan)
    _add_reverse_edges(plan)
    _sort(plan)
    _weigh(plan)
    return plan


def _read_tasks(plan: Plan) -> None:
    """Names, columns and the edges upwards, in one pass; a need that stands further down is filled in after it."""
    upstream, same = plan.upstream, plan.same_index
    index: dict[str, int] = {}
    names: list[str] = []
    further: list[tuple[int, str]] = []
    reading: list[int] = []
    policies = plan.workflow.policies
    needs_are_read = [_mention_needs((policy.dir, *(text for _, text in policy.env))) for policy in policies]
    # The texts of a large workflow often mention no needs at all: then none is looked through.
    silent = isinstance(plan.tasks, Packed) and not plan.tasks.mentions(b"needs")
    for number, task in enumerate(plan.tasks):
        names.append(task.name)
        index[task.name] = number
        plan.up_start.append(len(upstream))
        for need in task.needs if not task.teardown_for else _needs_of_teardown(task):
            above = index.get(need.task)
            if above is None:
                further.append((len(upstream), need.task))
                above = 0
            upstream.append(above)
            same.append(need.same_index)
        if task.for_each is not None or task.has_trials:
            plan.mapped.append(number)
            plan.max_parallel[number] = task.max_parallel
        plan.has_when[number] = bool(task.when)
        plan.measures[number] = task.campaign is not None
        plan.programs.append(intern(_program_of(task.action)))
        plan.setup[number] = task.setup
        plan.teardown[number] = bool(task.teardown_for)
        plan.policies[number] = task.policy
        if needs_are_read[task.policy] or (not silent and _mention_needs(texts_of(task))):
            reading.append(number)
    plan.up_start.append(len(upstream))
    plan.names = tuple(names)
    for edge, name in further:
        upstream[edge] = index[name]
    for number in reading:
        _keep_results(plan, number)


def _program_of(action: Action) -> str:
    if isinstance(action, Shell):
        return "shell"
    return action.argv[0] if isinstance(action, Command) else action.target


def _needs_of_teardown(task: Task) -> tuple[Need, ...]:
    """A teardown waits for its setups too, once each."""
    named = {need.task for need in task.needs}
    return (*task.needs, *(Need(setup) for setup in task.teardown_for if setup not in named))


def _add_reverse_edges(plan: Plan) -> None:
    degrees = [0] * (len(plan) + 1)
    for up in plan.upstream:
        degrees[up + 1] += 1
    cursor = list(accumulate(degrees))
    plan.down_start = array(_U32, cursor)
    downstream = plan.downstream = array(_U32, bytes(4 * len(plan.upstream)))
    for task, (start, stop) in enumerate(pairwise(plan.up_start)):
        for up in plan.upstream[start:stop]:
            at = cursor[up]
            downstream[at] = task
            cursor[up] = at + 1


def _sort(plan: Plan) -> None:
    """Kahn's order; among tasks that are free at once, the order of the file."""
    unmet = [stop - start for start, stop in pairwise(plan.up_start)]
    order = [i for i, count in enumerate(unmet) if count == 0]
    starts, downstream = plan.down_start, plan.downstream
    for task in order:  # grows while it is walked
        for down in downstream[starts[task] : starts[task + 1]]:
            unmet[down] -= 1
            if unmet[down] == 0:
                order.append(down)
    if len(order) < len(plan):
        stuck = [plan.names[i] for i, count in enumerate(unmet) if count]
        raise DefinitionError([Fault(f"tasks wait for each other in a cycle, among them {', '.join(stuck[:5])}")])
    plan.order = array(_U32, order)


def _weigh(plan: Plan) -> None:
    weight = [1] * len(plan)
    starts, upstream = plan.up_start, plan.upstream
    for task in reversed(plan.order):
        above = weight[task] + 1
        for up in upstream[starts[task] : starts[task + 1]]:
            weight[up] = max(weight[up], above)
    plan.weight = array(_U32, weight)


def _keep_results(plan: Plan, task: int) -> None:
    """Results are kept in memory only where an expression downstream can look at them.

    The test is cheap and generous: a result kept in vain costs memory, one that is missing would cost the run.
    """
    plan.reads_needs[task] = 1
    for up in plan.ups(task):
        plan.needs_result[up] = 1


def _mention_needs(texts: Iterable[str]) -> bool:
    return any("needs" in text for text in texts)


def texts_of(task: Task) -> list[str]:
    """All texts of a task in which an expression may stand."""
    texts = [task.when, *task.outputs, *task.row_texts]
    texts.extend(_action_texts(task.action))
    return texts


def _action_texts(action: Action) -> list[str]:
    if isinstance(action, Command):
        return list(action.argv)
    if isinstance(action, Shell):
        return [action.script]
    return _nested_texts(action.args)


def _nested_texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for inner in cast("dict[str, object]", value).values() for text in _nested_texts(inner)]
    if isinstance(value, list | tuple):
        return [text for inner in cast("list[object]", value) for text in _nested_texts(inner)]
    return []
