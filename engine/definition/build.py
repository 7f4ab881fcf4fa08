"""From a document's plain values to a Workflow. Everything that can be read is read, so that all faults are found.

Policies that are equal are one object: a hundred thousand tasks with the same claim refer to it by its index.
"""

import re
from typing import Any, cast

import msgspec

from engine.definition.commands import command_of
from engine.definition.complaints import Complaints, shown
from engine.definition.fields import CAMPAIGN, HEAD, POLICY, TASK, TASKS_MAX, as_text
from engine.definition.kinds import NAME_HINT, unwritten
from engine.expressions.faults import did_you_mean
from engine.expressions.params import param_value
from engine.model.campaign import Campaign, Metric
from engine.model.errors import ValueFault
from engine.model.ids import is_name
from engine.model.workflow import (
    Action,
    Command,
    Need,
    Param,
    Policy,
    Python,
    Schedule,
    Shell,
    Source,
    Task,
    Workflow,
)

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_NOTHING = Command(("true",))
_ACTIONS = ("run", "shell", "python")
_ONLY_PYTHON = ("args", "interpreter", "isolate")
_NOT_BESIDE_RUN = frozenset(("shell", "python", *_ONLY_PYTHON))
_TASK_PLAIN = frozenset(
    ("when", "for_each", "max_parallel", "outputs", "setup", "teardown_for", "owner", "tags", "description")
)
_POLICY_KEYS = frozenset(POLICY)
_CAMPAIGN_KEYS = frozenset(CAMPAIGN)
_ONLY_ROWS = ("max_parallel", "tolerate")
_ONLY_TRIALS = ("warmups", "order", "seed", "repeat_noisy", "noise")
_RECORDS = ("retry", "claim", "quota", "stop")


def build(document: Any, complaints: Complaints, source: Source, name: str) -> Workflow:
    """The workflow of a document; `name` is used where it has none. To be used only without complaints."""
    if not isinstance(document, dict):
        complaints.add((), "a workflow is a map with at least `tasks:`")
        return Workflow(name, ())
    given = cast("dict[str, Any]", document)
    head = {key: value for key, value in given.items() if key != "tasks"}
    _complain_of_keys(head, complaints)
    read = HEAD.read_map({key: value for key, value in head.items() if key in HEAD.fields}, (), complaints)
    if "name" not in head and not is_name(name):
        complaints.add((), f"the file's name {shown(name)!r} cannot name the workflow: add `name:`", NAME_HINT)
    policies = _Policies(read.pop("defaults", {}))
    tasks = _tasks(given.get("tasks"), policies, complaints)
    return Workflow(
        name=read.pop("name", name),
        tasks=tasks,
        policies=tuple(policies.all),
        params=tuple(_param(key, value, complaints) for key, value in read.pop("params", ())),
        schedules=tuple(_schedule(value) for value in read.pop("schedules", ())),
        source=source,
        **read,
    )


def _complain_of_keys(head: dict[str, Any], complaints: Complaints) -> None:
    known = [*HEAD.fields, "tasks"]
    for key in head:
        if key not in HEAD.fields:
            hint = "it belongs to a task" if key in TASK.fields else f"known: {', '.join(known)}"
            complaints.add((key,), f"the key {shown(key)} is not known here", did_you_mean(key, known, hint))


def _schedule(given: dict[str, Any]) -> Schedule:
    values = dict(given)
    values |= values.pop("dst", {})
    return Schedule(**values)


def _param(name: str, given: dict[str, Any], complaints: Complaints) -> Param:
    values = dict(given)
    default = values.get("default", msgspec.UNSET)
    kind = values.setdefault("type", _type_of(default))
    if default is not msgspec.UNSET:
        default = values["default"] = as_text(default) if kind == "string" else unwritten(default)
    if default is not msgspec.UNSET and not (isinstance(default, str) and "{{" in default):
        try:
            values["default"] = param_value(kind, default)
        except ValueFault as fault:
            complaints.add(("params", name), f"the default does not fit: {fault.sentence}", fault.hint)
    choices: list[Any] = []
    for index, choice in enumerate(values.pop("choices", ())):
        try:
            choices.append(param_value(kind, choice))
        except ValueFault as fault:
            complaints.add(("params", name, "choices", index), fault.sentence, fault.hint)
    return Param(name=name, choices=tuple(choices), **values)


def _type_of(default: Any) -> str:
    """The type that a parameter has by its default when it names none."""
    if isinstance(default, bool):
        return "boolean"
    if isinstance(default, int):
        return "integer"
    if isinstance(default, float):
        return "number"
    if isinstance(default, list):
        return "list"
    if isinstance(default, dict):
        return "map"
    return "date" if isinstance(default, str) and _DATE.fullmatch(default) else "string"


class _Policies:
    """The distinct policies of a workflow; the first is that of its defaults."""

    def __init__(self, defaults: dict[str, Any]) -> None:
        base = self._changed(Policy(), defaults)
        self.all = [base]
        self._index = {base: 0}
        self._by_text: dict[str, int] = {}

    def index_for(self, read: dict[str, Any]) -> int:
        """The index of the policy of a task whose fields were read; equal fields are looked at once."""
        if _POLICY_KEYS.isdisjoint(read):
            return 0
        given = {key: read[key] for key in POLICY if key in read}
        text = repr(given)
        index = self._by_text.get(text)
        if index is None:
            index = self._by_text[text] = self._index_of(given)
        return index

    def _index_of(self, given: dict[str, Any]) -> int:
        """The index of the defaults with what a task changes, field by field."""
        policy = self._changed(self.all[0], given)
        index = self._index.setdefault(policy, len(self.all))
        if index == len(self.all):
            self.all.append(policy)
        return index

    @staticmethod
    def _changed(base: Policy, given: dict[str, Any]) -> Policy:
        changes = dict(given)
        for key in _RECORDS:
            if key in changes:
                if "log" in changes[key]:
                    changes[key] = {**changes[key], **changes[key]["log"]}
                    del changes[key]["log"]
                changes[key] = msgspec.structs.replace(getattr(base, key), **changes[key])
        if "env" in changes and base.env:
            changes["env"] = tuple(sorted((dict(base.env) | dict(changes["env"])).items()))
        return msgspec.structs.replace(base, **changes) if changes else base


def _tasks(given: Any, policies: _Policies, complaints: Complaints) -> tuple[Task, ...]:
    if not isinstance(given, dict):
        message = "`tasks:` is missing" if given is None else "`tasks:` is a map from names to tasks"
        complaints.add(() if given is None else ("tasks",), message)
        return ()
    named = cast("dict[str, Any]", given)
    if not 1 <= len(named) <= TASKS_MAX:
        complaints.add(("tasks",), f"a workflow has between 1 and {TASKS_MAX} tasks")
        return ()
    tasks: list[Task] = []
    for name, value in named.items():
        path = ("tasks", name)
        if not is_name(name):
            complaints.add(path, f"{shown(name)!r} is not a name", NAME_HINT)
        if value.__class__ is not dict:
            complaints.add(path, "a task is a map with `run:`, `shell:` or `python:`")
            tasks.append(Task(name, _NOTHING))
            continue
        read = TASK.read_map(value, path, complaints)
        tasks.append(_task(name, value, read, policies, complaints))
    return tuple(tasks)


def _task(name: str, raw: dict[str, Any], read: dict[str, Any], policies: _Policies, complaints: Complaints) -> Task:
    action = _action(name, raw, read, complaints)
    values = {key: value for key, value in read.items() if key in _TASK_PLAIN}
    if "needs" in read:
        values["needs"] = tuple(
            [Need(need["task"], need.get("same_index", False)) for need in read["needs"] if "task" in need]
        )
    if "tolerate" in read:
        values["tolerate"], values["tolerate_percent"] = read["tolerate"]
    if "for_each" not in raw:
        _complain_without_rows(name, raw, complaints)
    if not _CAMPAIGN_KEYS.isdisjoint(raw):
        campaign = values["campaign"] = _campaign(name, raw, read, complaints)
        if campaign.trials:
            values.setdefault("max_parallel", 1)  # trials that run side by side would measure each other
    return Task(name, action, policies.index_for(read), **values)


def _complain_without_rows(name: str, raw: dict[str, Any], complaints: Complaints) -> None:
    if "matrix" in raw or "trials" in raw:
        return
    for key in _ONLY_ROWS:
        if key in raw:
            complaints.add(("tasks", name, key), f"`{key}` makes sense only with `for_each`, `matrix` or `trials`")


def _campaign(name: str, raw: dict[str, Any], read: dict[str, Any], complaints: Complaints) -> Campaign:
    values = {key: read[key] for key in CAMPAIGN if key in read}
    metrics = tuple(Metric(metric, **fields) for metric, fields in values.pop("metrics", ()))
    tried = "matrix" in raw or "trials" in raw
    if "for_each" in raw and tried:
        both = "matrix" if "matrix" in raw else "trials"
        complaints.add(("tasks", name, both), f"a task has rows by `for_each` or by `{both}`, not by both")
    for key in _ONLY_TRIALS if not tried else ():
        if key in raw:
            complaints.add(("tasks", name, key), f"`{key}` makes sense only with `matrix` or `trials`")
    if tried:
        values.setdefault("trials", 1)
    noise = tuple(sorted(values.pop("noise", {}).items()))
    return Campaign(metrics=metrics, noise=noise, **values)


def _action(name: str, raw: dict[str, Any], read: dict[str, Any], complaints: Complaints) -> Action:
    if "run" in read and _NOT_BESIDE_RUN.isdisjoint(raw):
        return _run(read["run"])
    written = [key for key in _ACTIONS if key in raw]
    path = ("tasks", name)
    if len(written) != 1:
        message = "a task has one of `run`, `shell` and `python`"
        complaints.add(path, f"{message}, not {' and '.join(written)}" if written else message)
        return _NOTHING
    kind = written[0]
    if kind != "python":
        for key in _ONLY_PYTHON:
            if key in raw:
                complaints.add((*path, key), f"`{key}` makes sense only with `python`")
    if kind not in read:
        return _NOTHING
    if kind == "shell":
        return Shell(read["shell"], bash=True)
    if kind == "python":
        rest = {key: read[key] for key in _ONLY_PYTHON if key in read}
        return Python(read["python"], **rest)
    return _run(read["run"])


def _run(given: str | tuple[str, ...]) -> Action:
    return command_of(given) if isinstance(given, str) else Command(given or _NOTHING.argv)
