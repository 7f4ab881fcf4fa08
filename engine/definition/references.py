"""Do the expressions of a workflow mean something: they compile, and read only what is there for their task.

Known in a task's texts: params, run, partition, needs (its own), and with `for_each` or trials item and index. What
says which rows there are is looked at before there are any, so it knows no item. Parameters' defaults know only the
partition.
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from engine.definition.complaints import Complaints, Path
from engine.expressions import (
    Expression,
    ExpressionFault,
    Template,
    compile_condition,
    compile_shell,
    compile_template,
)
from engine.expressions.faults import did_you_mean
from engine.expressions.parser import Path as Reference
from engine.model.packed import Packed
from engine.model.workflow import ROWS_MAX, Command, Need, Policy, Python, Shell, Task, Workflow
from engine.scheduling.trials import values_fault

_NEED_FIELDS = ("status", "outcome", "exit_code", "result", "results", "count")
_RUN_FIELDS = ("id", "workflow", "trigger")
_KNOWN = ("params", "run", "partition", "needs")


class Known:
    """What is asked of the tasks of a workflow by their names, so that no task has to be kept for it."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
        self.numbers: dict[str, int] = {}
        self.repeated: list[str] = []
        self.mapped: set[str] = set()
        self.setups: set[str] = set()
        for number, task in enumerate(tasks):
            if self.numbers.setdefault(task.name, number) != number:
                self.repeated.append(task.name)
            if (task.for_each is not None or task.campaign is not None) and task.mapped:
                self.mapped.add(task.name)
            if task.setup:
                self.setups.add(task.name)


class References:
    """Checks the expressions of one workflow; what tasks share is looked at once."""

    def __init__(self, workflow: Workflow, tasks: Known, complaints: Complaints) -> None:
        self._tasks = tasks
        self._params = [param.name for param in workflow.params]
        self._known_params = frozenset(self._params)
        self._complaints = complaints
        self._policies = [_policy_texts(policy) for policy in workflow.policies]
        packed = workflow.tasks if isinstance(workflow.tasks, Packed) else None
        # Where not one text has braces, only what is an expression without them is looked at.
        self._silent = packed is not None and not packed.mentions(b"{{") and not any(self._policies)

    def params(self, workflow: Workflow) -> None:
        """Defaults that are expressions."""
        for param in workflow.params:
            path = ("params", param.name, "default")
            if isinstance(param.default, str) and "{{" in param.default:
                template = self._compile(param.default, path)
                for reference in template.references if template else ():
                    if reference[0] != "partition":
                        self._complaints.add(path, f"a default knows only `partition`, not `{reference[0]}`")

    def task(self, task: Task) -> None:
        """All texts of a task."""
        rows = task.for_each is not None or task.campaign is not None
        if self._silent and not task.when and not rows and task.action.__class__ is not Python:
            return
        path = ("tasks", task.name)
        self._action(task, path)
        for key, text in self._policies[task.policy] if task.policy < len(self._policies) else ():
            self._text(task, text, (*path, *key))
        for index, text in enumerate(task.outputs):
            if "{{" in text:
                self._text(task, text, (*path, "outputs", index))
        if task.when:
            try:
                self._check(task, compile_condition(task.when), (*path, "when"))
            except ExpressionFault as fault:
                self._complaints.add((*path, "when"), fault.sentence, fault.hint)
        if task.for_each is not None:
            items = self._rows(task, task.for_each, (*path, "for_each"))
            if items is not None:
                self._bound(items, (*path, "for_each"))
        for name, values in task.campaign.matrix if task.campaign is not None else ():
            given = self._rows(task, values, (*path, "matrix", name))
            fault = values_fault(given) if given is not None else ""
            if fault:
                self._complaints.add((*path, "matrix", name), fault)

    def _action(self, task: Task, path: Path) -> None:
        action = task.action
        if isinstance(action, Command):
            if "{{" in "".join(action.argv):
                for index, word in enumerate(action.argv):
                    if "{{" in word:
                        self._text(task, word, (*path, "run", index))
        elif isinstance(action, Shell):
            if "{{" in action.script:
                path = (*path, "shell" if action.bash else "run")
                try:
                    self._check(task, compile_shell(action.script), path)
                except ExpressionFault as fault:
                    line = action.script.count("\n", 0, max(fault.position, 0)) + 1
                    where = f" (line {line} of the script)" if "\n" in action.script.strip() else ""
                    self._complaints.add(path, fault.sentence + where, fault.hint)
        else:
            self._python(task, action, path)

    def _python(self, task: Task, action: Python, path: Path) -> None:
        fault = _target_fault(action)
        if fault:
            self._complaints.add((*path, "python"), fault)
        stack: list[tuple[Any, Path]] = [(action.args, (*path, "args"))] if action.args else []
        while stack:
            value, place = stack.pop()
            if isinstance(value, str):
                if "{{" in value:
                    self._text(task, value, place)
            elif isinstance(value, dict):
                stack += [(item, (*place, key)) for key, item in cast("dict[str, Any]", value).items()]
            elif isinstance(value, list):
                stack += [(item, (*place, index)) for index, item in enumerate(cast("list[Any]", value))]

    def _rows(self, task: Task, declared: Any, path: Path) -> Any:
        """Check a text that gives a list before there are rows; what it gives, where that is known beforehand."""
        if not isinstance(declared, str):
            return None
        template = self._compile(declared, path)
        if template is None:
            return None
        if template.single is None:
            self._complaints.add(path, "a list, or one {{ }} that gives a list, is expected")
            return None
        self._check(task, template.single, path, rows=False)
        if template.references:
            return None
        try:
            return template.single.evaluate({})
        except ExpressionFault as fault:
            self._complaints.add(path, fault.sentence, fault.hint)
            return None

    def _bound(self, items: Any, path: Path) -> None:
        if not isinstance(items, list | range | dict):
            self._complaints.add(path, "the expression gives no list")
        elif len(cast("list[Any]", items)) > ROWS_MAX:
            count = len(cast("list[Any]", items))
            self._complaints.add(path, f"{count} items are more than the {ROWS_MAX} that a `for_each` may have")

    def _text(self, task: Task, text: str, path: Path) -> None:
        template = self._compile(text, path)
        if template is not None:
            self._check(task, template, path)

    def _compile(self, text: str, path: Path) -> Template | None:
        try:
            return compile_template(text)
        except ExpressionFault as fault:
            self._complaints.add(path, fault.sentence, fault.hint)
            return None

    def _check(self, task: Task, template: Template | Expression, path: Path, *, rows: bool = True) -> None:
        for reference in template.references:
            head = reference[0]
            if head == "params":
                if len(reference) > 1 and reference[1] not in self._known_params:
                    hint = did_you_mean(reference[1], self._params, "declare it under `params:`")
                    self._complaints.add(path, f"there is no parameter {reference[1]!r}", hint)
            elif head == "needs":
                self._need(task, reference, path)
            elif head in ("item", "index"):
                self._row(task, head, path, rows=rows)
            elif head == "run":
                if len(reference) > 1 and reference[1] not in _RUN_FIELDS:
                    self._complaints.add(
                        path, f"a run has no {reference[1]!r} here", f"known: {', '.join(_RUN_FIELDS)}"
                    )
            elif head != "partition":
                known = (*_KNOWN, "item", "index") if rows and task.mapped else _KNOWN
                hint = did_you_mean(head, known, f"known: {', '.join(known)}; a text is put in quotes")
                self._complaints.add(path, f"{head} is not known in an expression", hint)

    def _row(self, task: Task, head: str, path: Path, *, rows: bool) -> None:
        if not task.mapped:
            self._complaints.add(path, f"`{head}` is known only in a task with `for_each`, `matrix` or `trials`")
        elif not rows:
            self._complaints.add(path, f"`{head}` is not known here: this is looked at once, before there are rows")

    def _need(self, task: Task, reference: Reference, path: Path) -> None:
        if len(reference) < 2:
            self._complaints.add(path, "`needs` is read one task at a time", "write needs.NAME.status or the like")
            return
        name = reference[1]
        need: Need | None = next((need for need in task.needs if need.task == name), None)
        if need is None:
            hint = f"add {name} to its `needs`" if name in self._tasks.numbers else ""
            hint = hint or did_you_mean(name, [n.task for n in task.needs], 'write needs["a-b"] for a name with a dash')
            self._complaints.add(path, f"the expression reads {name}, which {task.name} does not need", hint)
        elif len(reference) > 2:
            self._need_field(need, reference[2], path)

    def _need_field(self, need: Need, field: str, path: Path) -> None:
        mapped = need.task in self._tasks.mapped
        if field not in _NEED_FIELDS:
            hint = did_you_mean(field, _NEED_FIELDS, f"known: {', '.join(_NEED_FIELDS)}")
            self._complaints.add(path, f"a need has no {field!r}", hint)
        elif need.task in self._tasks.numbers and field == "results" and not mapped:
            self._complaints.add(path, f"{need.task} has one result: write `result`")
        elif field == "result" and mapped and not need.same_index:
            self._complaints.add(path, f"{need.task} has a result for each row: write `results`")


def _policy_texts(policy: Policy) -> list[tuple[Path, str]]:
    """The texts of a policy that hold expressions, with their keys."""
    texts: Iterable[tuple[Path, str]] = [(("dir",), policy.dir), *((("env", name), text) for name, text in policy.env)]
    return [(key, text) for key, text in texts if "{{" in text]


def _target_fault(action: Python) -> str:
    """Why the target is neither `module:function` nor a script; empty when it is one."""
    if action.target.endswith(".py") and not action.target.startswith("-"):
        return ""
    module, colon, function = action.target.partition(":")
    names = [*module.split("."), *function.split(".")]
    return "" if colon and all(name.isidentifier() for name in names) else "module:function or script.py is expected"
