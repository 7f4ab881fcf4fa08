"""The bounds of every value of a workflow that came over the wire. What the parser makes is within them already."""

import re
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from engine.definition.complaints import Complaints, Path, shown
from engine.definition.fields import (
    DURATION_MAX_NS,
    ENV_NAME_PATTERN,
    GROW,
    OPEN_FILES_MAX,
    PROCESSES_MAX,
    RETRY_LIMIT_MAX,
    RETRY_ON,
    SLOTS_MAX,
    TASKS_MAX,
    regex_fault,
)
from engine.definition.kinds import NAME_HINT, TEXT_CHARS_MAX, text_fault
from engine.expressions.params import param_value
from engine.expressions.values import json_fault
from engine.model.campaign import (
    AXES_MAX,
    LOOK_MAX_NS,
    LOOK_MIN_NS,
    LOOKS_MAX,
    METRICS_MAX,
    NOISE_SHARES,
    REPEATS_MAX,
    SEED_MAX,
    TRIALS_MAX,
    WARMUPS_MAX,
    Campaign,
)  # fmt: skip
from engine.model.errors import ValueFault
from engine.model.ids import is_name
from engine.model.resources import Claim
from engine.model.workflow import (
    DEFINITION_BYTES_MAX,
    PRIORITY_MAX,
    RETRY_DELAY_MAX_NS,
    ROWS_MAX,
    SCHEDULE_INTERVAL_MIN_NS,
    Command,
    Param,
    Policy,
    Retry,
    Shell,
    Task,
    Workflow,
)
from engine.scheduling.trials import values_fault

_SCHEDULES_MAX = 100
_PARAMS_MAX = 1_000
_ENV_NAME = re.compile(ENV_NAME_PATTERN)
_NUMBER_MAX = 2**62
_NOISE: dict[str, tuple[float, float]] = {
    **dict.fromkeys(NOISE_SHARES, (0, 1)), "forgiven": (0, 10_000), "look_ns": (LOOK_MIN_NS, LOOK_MAX_NS),
    "looks": (1, LOOKS_MAX),
}  # fmt: skip


class _Bounds:
    """Complains about one value at a time."""

    def __init__(self, complaints: Complaints) -> None:
        self._complaints = complaints

    def true(self, fact: bool, path: Path, message: str, hint: str = "") -> None:
        if not fact:
            self._complaints.add(path, message, hint)

    def complain(self, path: Path, message: str, hint: str) -> None:
        self._complaints.add(path, message, hint)

    def number(self, value: float, least: float, most: float, path: Path) -> None:
        self.true(least <= value <= most, path, f"{value} is not between {least} and {most}")

    def name(self, text: str, path: Path) -> None:
        self.true(is_name(text), path, f"{shown(text)!r} is not a name", NAME_HINT)

    def texts(self, texts: Iterable[str], path: Path, *, lines: bool = False) -> None:
        for text in texts:
            fault = text_fault(text, lines=lines)
            if fault:
                self._complaints.add(path, fault)

    def json(self, value: Any, path: Path) -> None:
        fault = json_fault(value)
        if fault:
            self._complaints.add(path, f"the value cannot be used: {fault}")


def check_bounds(workflow: Workflow, complaints: Complaints) -> bool:
    """Complain about values out of bounds; whether it is safe to look at what the workflow means."""
    bounds = _Bounds(complaints)
    bounds.name(workflow.name, ("name",))
    bounds.true(1 <= len(workflow.tasks) <= TASKS_MAX, ("tasks",), f"a workflow has between 1 and {TASKS_MAX} tasks")
    bounds.texts((workflow.description, workflow.owner, *workflow.tags), ())
    source = workflow.source
    bounds.true(source.folder.startswith("/"), (), "the workflow's folder is not an absolute path")
    bounds.texts((source.file, source.folder), ())
    bounds.true(len(source.text) <= DEFINITION_BYTES_MAX, (), "the definition's text is too long")
    for name, slots in workflow.pools:
        bounds.name(name, ("pools", name))
        bounds.number(slots, 1, SLOTS_MAX, ("pools", name))
    _unique((name for name, _ in workflow.pools), "pools", bounds)
    _unique((param.name for param in workflow.params), "params", bounds)
    bounds.true(len(workflow.params) <= _PARAMS_MAX, ("params",), f"a workflow has at most {_PARAMS_MAX} parameters")
    for param in workflow.params:
        _check_param(param, bounds)
    bounds.true(len(workflow.schedules) <= _SCHEDULES_MAX, ("schedule",), f"at most {_SCHEDULES_MAX} schedules")
    for schedule in workflow.schedules:
        if schedule.interval_ns:
            bounds.number(schedule.interval_ns, SCHEDULE_INTERVAL_MIN_NS, DURATION_MAX_NS, ("schedule", "every"))
        bounds.number(schedule.anchor_ns, -_NUMBER_MAX, _NUMBER_MAX, ("schedule", "anchor"))
    bounds.true(1 <= len(workflow.policies) <= TASKS_MAX, (), "a workflow has at least one policy")
    for policy in workflow.policies:
        _check_policy(policy, bounds)
    policies = len(workflow.policies)
    for task in workflow.tasks:
        if not _is_plain(task, policies):
            _check_task(task, policies, bounds)
    return not complaints


def _unique(names: Iterable[str], key: str, bounds: _Bounds) -> None:
    seen: set[str] = set()
    for name in names:
        bounds.true(name not in seen, (key, name), f"{shown(name)} is there twice")
        seen.add(name)


def _check_param(param: Param, bounds: _Bounds) -> None:
    path: Path = ("params", param.name)
    bounds.name(param.name, path)
    bounds.texts((param.description,), path)
    values = list(param.choices)
    if param.default is not msgspec.UNSET and not (isinstance(param.default, str) and "{{" in param.default):
        values.append(param.default)
    for value in values:
        try:
            fault = json_fault(value)
            bounds.true(not fault, path, f"the value cannot be used: {fault}")
            if not fault:
                param_value(param.type, value)
        except ValueFault as refused:
            bounds.complain(path, refused.sentence, refused.hint)


def _check_policy(policy: Policy, bounds: _Bounds) -> None:
    quota, stop = policy.quota, policy.stop
    _check_claim(policy.claim, bounds)
    _check_retry(policy.retry, bounds)
    bounds.number(quota.wall_ns, 0, DURATION_MAX_NS, ("quota", "wall"))
    bounds.number(quota.memory_bytes, 0, _NUMBER_MAX, ("quota", "memory"))
    bounds.number(quota.processes, 0, PROCESSES_MAX, ("quota", "processes"))
    bounds.number(quota.log_bytes, 0, _NUMBER_MAX, ("quota", "log"))
    bounds.number(quota.threads, 0, PROCESSES_MAX, ("quota", "threads"))
    bounds.number(quota.cpu_ns, 0, DURATION_MAX_NS, ("quota", "cpu_time"))
    bounds.number(quota.cpu_milli, 0, 10**8, ("quota", "cpu"))
    bounds.number(quota.open_files, 0, OPEN_FILES_MAX, ("quota", "open_files"))
    bounds.number(quota.disk_bytes, 0, _NUMBER_MAX, ("quota", "disk"))
    bounds.number(quota.silence_ns, 0, DURATION_MAX_NS, ("quota", "silence"))
    bounds.number(stop.signal, 1, 64, ("stop", "signal"))
    bounds.number(stop.grace_ns, 0, DURATION_MAX_NS, ("stop", "grace"))
    bounds.number(policy.priority, -PRIORITY_MAX, PRIORITY_MAX, ("priority",))
    bounds.texts((policy.dir, *policy.pass_env), ("dir",))
    for name, text in policy.env:
        known = _ENV_NAME.fullmatch(name) is not None and not name.startswith("ORCHCTL_")
        bounds.true(known, ("env", name), "this is no name of an environment variable that may be set")
        bounds.texts((text,), ("env", name), lines=True)


def _check_claim(claim: Claim, bounds: _Bounds) -> None:
    bounds.number(claim.cpu_milli, 0, 10**8, ("claim", "cpu"))
    bounds.number(claim.memory_bytes, 0, _NUMBER_MAX, ("claim", "memory"))
    names = [name for name, _ in claim.pools]
    bounds.true(names == sorted(set(names)), ("claim", "pools"), "the pools of a claim are sorted and there once")
    for name, slots in claim.pools:
        bounds.name(name, ("claim", "pools"))
        bounds.number(slots, 1, SLOTS_MAX, ("claim", "pools", name))
    mutexes = list(claim.mutexes)
    bounds.true(mutexes == sorted(set(mutexes)), ("claim", "mutex"), "mutexes are sorted and there once")
    for name in mutexes:
        bounds.name(name, ("claim", "mutex"))
    bounds.number(claim.gpu_milli, 0, 10**6, ("claim", "gpu"))
    whole = claim.gpu_milli < 1000 or claim.gpu_milli % 1000 == 0
    bounds.true(whole, ("claim", "gpu"), "a part of one GPU, or a whole number of GPUs")
    bounds.number(claim.scratch_bytes, 0, _NUMBER_MAX, ("claim", "scratch"))


def _check_retry(retry: Retry, bounds: _Bounds) -> None:
    bounds.number(retry.limit, 0, RETRY_LIMIT_MAX, ("retry", "limit"))
    bounds.number(retry.delay_ns, 0, RETRY_DELAY_MAX_NS, ("retry", "delay"))
    bounds.number(retry.max_delay_ns, 0, RETRY_DELAY_MAX_NS, ("retry", "max_delay"))
    bounds.number(retry.backoff, 1, 100, ("retry", "backoff"))
    bounds.true(set(retry.on) <= set(RETRY_ON), ("retry", "on"), f"one of {', '.join(RETRY_ON)} is expected")
    for code in retry.exit_codes:
        bounds.number(code, 0, 255, ("retry", "exit_codes"))
    bounds.texts(retry.exceptions, ("retry", "exceptions"))
    for name, factor in retry.grow:
        bounds.true(name in GROW, ("retry", "grow"), f"one of {', '.join(GROW)} is expected")
        bounds.number(factor, 1, 100, ("retry", "grow", name))


def _is_plain(task: Task, policies: int) -> bool:
    """Whether the task is so simple that nothing of it can be out of bounds: nearly all are, and this is quick."""
    action = task.action
    if action.__class__ is Command:
        words = cast("Command", action).argv
        sound = bool(words and words[0])
    elif action.__class__ is Shell:
        words = (cast("Shell", action).script,)
        sound = bool(words[0])
    else:
        return False
    if not sound or task.for_each is not None or task.max_parallel or task.tolerate or task.tolerate_percent:
        return False
    if task.campaign is not None:
        return False
    text = "".join((*words, task.when, task.description, task.owner, *task.tags, *task.outputs))
    return (
        text.isascii()
        and text.isprintable()
        and len(text) <= TEXT_CHARS_MAX
        and 0 <= task.policy < policies
        and is_name(task.name)
    )


def _check_task(task: Task, policies: int, bounds: _Bounds) -> None:
    path: Path = ("tasks", task.name)
    bounds.name(task.name, path)
    bounds.true(0 <= task.policy < policies, path, "the task refers to no policy")
    bounds.number(task.max_parallel, 0, ROWS_MAX, (*path, "max_parallel"))
    bounds.number(task.tolerate, 0, ROWS_MAX, (*path, "tolerate"))
    bounds.number(task.tolerate_percent, 0, 100, (*path, "tolerate"))
    bounds.texts((task.when, task.description, task.owner, *task.tags, *task.outputs), path)
    _check_action(task, path, bounds)
    if isinstance(task.for_each, list):
        items = cast("list[Any]", task.for_each)
        bounds.true(len(items) <= ROWS_MAX, (*path, "for_each"), f"a `for_each` has at most {ROWS_MAX} items")
        bounds.json(items, (*path, "for_each"))
    elif task.for_each is not None:
        is_text = isinstance(task.for_each, str)
        bounds.true(is_text, (*path, "for_each"), "a list, or one {{ }} that gives a list, is expected")
    if task.campaign is not None:
        _check_campaign(task.campaign, path, bounds)
        once = cast("object", task.for_each) is None or not task.has_trials
        bounds.true(once, path, "a task has rows by `for_each` or by `trials`, not by both")


def _check_campaign(campaign: Campaign, path: Path, bounds: _Bounds) -> None:
    bounds.number(campaign.trials, 0, TRIALS_MAX, (*path, "trials"))
    bounds.number(campaign.warmups, 0, WARMUPS_MAX, (*path, "warmups"))
    bounds.number(campaign.seed, 0, SEED_MAX, (*path, "seed"))
    bounds.number(campaign.repeat_noisy, 0, REPEATS_MAX, (*path, "repeat_noisy"))
    settings = campaign.matrix or campaign.warmups or campaign.seed or campaign.repeat_noisy or campaign.noise
    bounds.true(campaign.trials > 0 or not settings, path, "without trials there is nothing to try")
    bounds.true(len(campaign.matrix) <= AXES_MAX, (*path, "matrix"), f"a matrix has at most {AXES_MAX} parameters")
    bounds.true(len(campaign.metrics) <= METRICS_MAX, (*path, "metrics"), f"a task has at most {METRICS_MAX} metrics")
    _unique((name for name, _ in campaign.matrix), "matrix", bounds)
    _unique((metric.name for metric in campaign.metrics), "metrics", bounds)
    for name, values in campaign.matrix:
        below = (*path, "matrix", name)
        bounds.name(name, below)
        if not isinstance(values, str):
            fault = values_fault(values)
            bounds.true(not fault, below, fault)
            bounds.json(values, below)
    _unique((name for name, _ in campaign.noise), "noise", bounds)
    for name, limit in campaign.noise:
        bounds.true(name in _NOISE, (*path, "noise", name), f"a limit of noise is one of {', '.join(_NOISE)}")
        bounds.number(limit, *_NOISE.get(name, (limit, limit)), (*path, "noise", name))
    for metric in campaign.metrics:
        below = (*path, "metrics", metric.name)
        bounds.name(metric.name, below)
        bounds.texts((metric.unit,), below)
        fault = regex_fault(metric.regex) if metric.regex else None
        if fault:
            bounds.complain((*below, "regex"), *fault)


def _check_action(task: Task, path: Path, bounds: _Bounds) -> None:
    action = task.action
    if isinstance(action, Command):
        bounds.true(bool(action.argv) and bool(action.argv[0]), (*path, "run"), "there is no command")
        bounds.texts(action.argv, (*path, "run"), lines=True)
    elif isinstance(action, Shell):
        bounds.true(bool(action.script), (*path, "run"), "there is no command")
        bounds.texts((action.script,), (*path, "run"), lines=True)
    else:
        bounds.texts((action.target, action.interpreter), (*path, "python"))
        bounds.json(action.args, (*path, "args"))
