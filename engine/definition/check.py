"""What a workflow must keep wherever it comes from. The parser uses the half about meaning; the engine uses both
halves on what clients send, because bytes that decode to the right types can still say anything.

Linear in tasks and edges: a hundred thousand tasks take about a second.
"""

from math import prod
from typing import Any, cast

from engine.definition import bounds
from engine.definition.complaints import Complaints, Path, shown
from engine.definition.graph import cycle_text, cycles
from engine.definition.references import Known, References
from engine.expressions import ExpressionFault, compile_template
from engine.expressions.faults import did_you_mean
from engine.model.campaign import MEASURED_ALWAYS, TRIAL, Campaign
from engine.model.errors import Fault, ValueFault
from engine.model.workflow import ROWS_MAX, Policy, Schedule, Task, Workflow

# Looking for close names among thousands takes milliseconds: enough for the faults that a person reads first.
_SUGGESTIONS_MAX = 50


def check(workflow: Workflow) -> list[Fault]:
    """All faults of a workflow from any source; none means that the engine may take it."""
    complaints = Complaints()
    if bounds.check_bounds(workflow, complaints):
        check_meaning(workflow, complaints)
    return complaints.faults(workflow.source.file)


def check_meaning(workflow: Workflow, complaints: Complaints) -> None:
    """Needs, cycles, setups, pairs, expressions and schedules."""
    tasks = Known(workflow.tasks)
    for name in tasks.repeated:
        complaints.add(("tasks", name), f"the task {name} is there twice")
    references = References(workflow, tasks, complaints)
    references.params(workflow)
    ordered = True
    numbers = tasks.numbers
    suspended = {number for number, policy in enumerate(workflow.policies) if policy.preemption == "suspend"}
    for number, task in enumerate(workflow.tasks):
        if task.policy in suspended:
            _check_suspend(task, workflow.policies[task.policy], complaints)
        needs = task.needs
        # One need, of a task that stands before: the common case, and nothing can be wrong with it.
        sound = len(needs) == 1 and not needs[0].same_index and numbers.get(needs[0].task, number) < number
        if needs and not sound:
            ordered = _check_needs(task, number, tasks, complaints) and ordered
        references.task(task)
        if task.campaign is not None:
            _check_campaign(task.campaign, ("tasks", task.name), complaints)
        if task.setup or task.teardown_for:
            ordered = False
            _check_teardown(task, tasks, complaints)
    if not ordered:
        _check_cycles(tasks, complaints)
    for index, schedule in enumerate(workflow.schedules):
        _check_schedule(schedule, index, len(workflow.schedules), complaints)


def _check_needs(task: Task, number: int, tasks: Known, complaints: Complaints) -> bool:
    """Whether all that it needs stands before it in the file: where that is so for all tasks, no cycle can be."""
    seen: set[str] = set()
    before = True
    for index, need in enumerate(task.needs):
        name = need.task
        parent = tasks.numbers.get(name)
        if parent is None:
            hint = did_you_mean(name, list(tasks.numbers)) if len(complaints.items) < _SUGGESTIONS_MAX else ""
            complaints.add(("tasks", task.name, "needs", index), f"there is no task {shown(name)!r}", hint)
            continue
        if name == task.name:
            complaints.add(("tasks", task.name, "needs", index), f"{name} needs itself")
        elif name in seen:
            complaints.add(("tasks", task.name, "needs", index), f"{name} is needed twice")
        else:
            before = before and parent < number
            seen.add(name)
            if need.same_index:
                _check_pair(task, tasks.tasks[parent], index, complaints)
    return before


def _check_cycles(tasks: Known, complaints: Complaints) -> None:
    numbers = tasks.numbers
    parents: list[list[int]] = [[] for _ in tasks.tasks]
    for number, task in enumerate(tasks.tasks):
        names = dict.fromkeys((*(need.task for need in task.needs), *task.teardown_for))
        parents[number] = [numbers[name] for name in names if name in numbers and name != task.name]
    for cycle in cycles(parents):
        members = [tasks.tasks[number].name for number in cycle]
        complaints.add(("tasks", members[0], "needs"), f"tasks wait for each other: {cycle_text(members)}")


def _check_pair(task: Task, parent: Task, index: int, complaints: Complaints) -> None:
    path = ("tasks", task.name, "needs", index)
    if not (task.mapped and parent.mapped):
        without = parent.name if task.mapped else task.name
        complaints.add(path, f"same_index pairs the rows of two `for_each`; {without} has none")
        return
    here, there = _row_count(task), _row_count(parent)
    if here is not None and there is not None and here != there:
        complaints.add(path, f"same_index pairs row with row, but {task.name} has {here} and {parent.name} {there}")


def _check_campaign(campaign: Campaign, path: Path, complaints: Complaints) -> None:
    count = _trial_count(campaign)
    if count is not None and count > ROWS_MAX:
        complaints.add((*path, "trials"), f"the matrix and its trials make {count} rows, more than {ROWS_MAX}")
    names = [name for name, _ in campaign.matrix]
    if TRIAL in names:
        complaints.add(
            (*path, "matrix", TRIAL), "`item.trial` is the number of the trial: call the parameter otherwise"
        )
    for metric in campaign.metrics:
        if any(metric.name == known.name for known in MEASURED_ALWAYS):
            message = f"{metric.name} is measured of every attempt: a task cannot report it"
            complaints.add((*path, "metrics", metric.name), message)


def _check_suspend(task: Task, policy: Policy, complaints: Complaints) -> None:
    """Who could give nothing back, or would measure its own standstill."""
    path, hint = ("tasks", task.name, "preemption"), "write `requeue`, or `never`"
    if policy.claim.exclusive:
        complaints.add(path, f"{task.name} is exclusive: who has the host alone cannot be suspended", hint)
    if task.has_trials:
        complaints.add(path, f"{task.name} has trials: one that is suspended would measure its own standstill", hint)


def _trial_count(campaign: Campaign) -> int | None:
    counts = [_length(values) for _, values in campaign.matrix]
    known = [count for count in counts if count is not None]
    return prod(known) * (campaign.trials + campaign.warmups) if len(known) == len(counts) else None


def _row_count(task: Task) -> int | None:
    """The number of rows where it is known beforehand."""
    campaign = task.campaign
    return _trial_count(campaign) if campaign is not None and campaign.trials else _length(task.for_each)


def _length(for_each: Any) -> int | None:
    """Of a list, or of what a text with `{{ }}` gives, where it looks at nothing."""
    if not isinstance(for_each, str):
        return len(for_each)
    try:
        template = compile_template(for_each)
        value = None if template.references or template.single is None else template.single.evaluate({})
    except ExpressionFault:
        return None
    return len(cast("list[Any]", value)) if isinstance(value, list | range) else None


def _check_teardown(task: Task, tasks: Known, complaints: Complaints) -> None:
    if task.setup and task.teardown_for:
        complaints.add(("tasks", task.name, "setup"), f"{task.name} cannot be both a setup and a teardown")
    if task.setup and task.mapped:
        complaints.add(("tasks", task.name, "for_each"), "a setup has one row")
    path = ("tasks", task.name, "teardown")
    for name in task.teardown_for:
        if name not in tasks.numbers:
            complaints.add(path, f"there is no task {shown(name)!r}")
        elif name == task.name:
            complaints.add(path, f"{name} cannot be its own teardown")
        elif name not in tasks.setups:
            complaints.add(path, f"{name} is not a setup", f"add `setup: true` to {name}")


def _check_schedule(schedule: Schedule, index: int, count: int, complaints: Complaints) -> None:
    path = ("schedule", index) if count > 1 else ("schedule",)
    if bool(schedule.cron) == bool(schedule.interval_ns):
        complaints.add(path, "a schedule has either `cron` or `every`")
        return
    from engine.scheduling.local_time import zone  # zone data too is for those who have schedules

    try:
        zone(schedule.timezone)
    except ValueFault as fault:
        complaints.add((*path, "timezone"), fault.sentence, fault.hint)
    if schedule.cron:
        _check_cron(schedule.cron, (*path, "cron"), complaints)


def _check_cron(expression: str, path: tuple[str | int, ...], complaints: Complaints) -> None:
    """The scheduler itself says whether it can keep the expression."""
    from engine.scheduling.cron_expression import compile_expression

    try:
        if compile_expression(expression).never():
            complaints.add(path, f"{shown(expression)} names a day that never comes")
    except ValueFault as fault:
        complaints.add(path, fault.sentence, fault.hint)
