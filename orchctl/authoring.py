"""Workflows in Python. What is written here takes the same names and values as the YAML format and goes through the
same tables, so the two ways cannot drift apart.

    from orchctl import task, workflow

    with workflow("orders", schedule="15 2 * * *") as orders:
        extract = task("extract", run=["./extract.sh"], claim={"cpu": 2})
        task("clean", python="pipelines.orders:clean", needs=[extract], for_each=range(64))

A file defines one workflow. Faults name the line of the call that they come from.
"""

import sys
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import PurePath
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

from engine.definition import registry
from engine.definition.build import build
from engine.definition.check import check_meaning
from engine.definition.collecting import uncollected
from engine.definition.complaints import Complaints
from engine.definition.complaints import Path as FieldPath
from engine.model.errors import DefinitionError, Fault
from engine.model.workflow import Source, Workflow

_DEPTH_MAX = 64


class TaskHandle(NamedTuple):
    """A task that was declared: may stand for its name in `needs` and `teardown`."""

    name: str


class WorkflowBuilder:
    """Takes the tasks that are declared inside its `with` block; `workflow` is there after the block."""

    def __init__(self, head: dict[str, Any], file: str, line: int) -> None:
        self._head = head
        self._file, self._line = file, line
        self._tasks: dict[str, dict[str, Any]] = {}
        self._lines: dict[str, int] = {}
        self._faults: list[Fault] = []
        self._workflow: Workflow | None = None

    @property
    def workflow(self) -> Workflow:
        """The complete workflow. Raises DefinitionError inside the block, and after one that failed."""
        if self._workflow is None:
            raise DefinitionError([Fault("the workflow is complete only after its block", self._file, self._line)])
        return self._workflow

    def __enter__(self) -> Self:
        if _open:
            hint = "end the block of the one before"
            raise DefinitionError([Fault("a workflow cannot begin inside another", self._file, self._line, hint=hint)])
        _open.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _open.remove(self)
        if kind is None:
            with uncollected():
                self._workflow = self._built()
            registry.note(self._workflow, self._file, self._line)

    def declare(self, name: str, given: dict[str, Any], line: int) -> TaskHandle:
        """Note a task. Its faults are told at the end of the block, with those of all others."""
        if name in self._tasks:
            message = f"the task {name} is there already, in line {self._lines[name]}"
            self._faults.append(Fault(message, self._file, line, field=f"tasks.{name}"))
        else:
            self._tasks[name] = given
            self._lines[name] = line
        return TaskHandle(name)

    def _built(self) -> Workflow:
        complaints = Complaints()
        folder = str(PurePath(self._file).parent)
        source = Source(self._file, folder)
        workflow = build({**self._head, "tasks": self._tasks}, complaints, source, PurePath(self._file).stem)
        check_meaning(workflow, complaints)
        if complaints or self._faults:
            faults = [*self._faults, *complaints.faults(self._file, self._locate)]
            raise DefinitionError(sorted(faults, key=lambda fault: fault.line))
        return workflow

    def _locate(self, path: FieldPath) -> tuple[int, int]:
        line = self._lines.get(str(path[1]), self._line) if path[:1] == ("tasks",) and len(path) > 1 else self._line
        return line, 0


_open: list[WorkflowBuilder] = []


def workflow(name: str = "", **fields: Any) -> WorkflowBuilder:
    """Begin a workflow: `with workflow("orders", schedule=..., params={...}, pools={...}, defaults={...}):`.

    The keywords are the keys of the YAML format. Without a name it is called after its file. At the end of the block
    DefinitionError is raised with all faults.
    """
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] - the caller's line, at no cost
    head = {"name": name} if name else {}
    return WorkflowBuilder({**head, **_plain_map(fields, 0)}, frame.f_code.co_filename, frame.f_lineno)


def task(name: str, **fields: Any) -> TaskHandle:
    """Declare a task of the workflow whose block this is in; the keywords are the keys of a task in YAML.

    `needs` takes names, handles and {"task": ..., "same_index": True}; `for_each` a list, a range or one `{{ }}`.
    Raises DefinitionError outside of a block.
    """
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] - the caller's line, at no cost
    if not _open:
        hint = "declare it inside `with workflow(...):`"
        fault = Fault(f"the task {name} belongs to no workflow", frame.f_code.co_filename, frame.f_lineno, hint=hint)
        raise DefinitionError([fault])
    for key, value in fields.items():
        kind = value.__class__
        if kind is not str and kind is not int:
            fields[key] = _range_text(value) if key == "for_each" and kind is range else _plain(value, 0)
    return _open[-1].declare(name, fields, frame.f_lineno)


def _range_text(items: range) -> str:
    """A range stays one: a million rows are not written out."""
    return f"{{{{ range({items.start}, {items.stop}, {items.step}) }}}}"


def _plain(value: Any, depth: int) -> Any:
    """The value as YAML would have given it; what has no such form is left for the field to refuse."""
    kind = value.__class__
    if kind is str or kind is int or kind is float or kind is bool or value is None or depth > _DEPTH_MAX:
        return value
    if kind is TaskHandle:
        return value.name
    if kind is list:
        return [item if item.__class__ is str else _plain(item, depth + 1) for item in value]
    if kind is dict:
        return _plain_map(value, depth)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return _plain_map(cast("Mapping[str, Any]", value), depth)
    if isinstance(value, list | tuple | range | set | frozenset):
        items = cast("list[Any]", value)
        ordered = sorted(items) if isinstance(value, set | frozenset) else items
        return [_plain(item, depth + 1) for item in ordered]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value) if isinstance(value, PurePath) else value


def _plain_map(value: Mapping[str, Any], depth: int) -> dict[str, Any]:
    return {str(key): _plain(item, depth + 1) for key, item in value.items()}
