"""What an expression sees, and the rendering of a task's texts just before an attempt is ordered."""

from collections.abc import Sequence
from posixpath import join, normpath
from typing import Any, cast

import msgspec

from engine.core.state import NOT_FINAL, RunState
from engine.expressions import compile_condition, compile_shell, compile_template
from engine.expressions.values import kind_of
from engine.model.errors import ValueFault
from engine.model.ids import NO_INDEX, run_text
from engine.model.status import TaskStatus
from engine.model.workflow import ROWS_MAX, Action, Command, Python, Shell
from engine.scheduling.trials import rows_of, values_fault


def scope_of(run: RunState, task: int, index: int = NO_INDEX) -> dict[str, Any]:
    """The names that the texts of a row may use: params, run, partition, item, index, needs."""
    header = run.header
    scope: dict[str, Any] = {
        "params": header.params,
        "partition": header.partition,
        "run": {"id": run_text(header.run), "workflow": header.workflow, "trigger": header.trigger},
    }
    if index != NO_INDEX:
        scope["index"] = index
        items = run.items.get(task)
        if items is not None and index < len(items):
            scope["item"] = items[index]
    if run.plan.reads_needs[task]:
        scope["needs"] = {run.plan.names[up]: _need(run, task, up, index) for up in run.plan.ups(task)}
    return scope


def _need(run: RunState, task: int, up: int, index: int) -> dict[str, Any]:
    """One upstream task: its status, and its result (of the paired row, where rows are paired) or results."""
    paired = index != NO_INDEX and up in run.plan.paired(task)
    if up in run.mapped_counts and not paired:
        final = run.task_final[up]
        count = run.row_count[up]
        return {
            "status": TaskStatus(final).text if final != NOT_FINAL else "waiting",
            "results": [_result(run, up, i) for i in range(count)],
            "count": count,
        }
    at = index if paired else NO_INDEX
    status = TaskStatus(run.status[run.row(up, at)])
    outcome, exit_code = run.header.outcomes.get(up, ("", None)) if at == NO_INDEX else ("", None)
    return {"status": status.text, "outcome": outcome, "exit_code": exit_code, "result": _result(run, up, at)}


def _result(run: RunState, task: int, index: int) -> Any:
    """The result of a row that has succeeded: one of an earlier life of the row does not count."""
    return run.results.get((task, index)) if run.status[run.row(task, index)] == TaskStatus.SUCCEEDED else None


def holds(run: RunState, task: int, index: int) -> bool:
    """Whether the task's `when` allows the row. Raises EngineError where it cannot be evaluated."""
    return bool(compile_condition(run.plan.tasks[task].when).evaluate(scope_of(run, task, index)))


def when_is_per_row(run: RunState, task: int) -> bool:
    """Whether `when` looks at the item, so that it must be asked for each row."""
    names = compile_condition(run.plan.tasks[task].when).references
    return any(path[0] in ("item", "index") for path in names) or bool(run.plan.paired(task))


def items_of(run: RunState, task: int) -> range | list[Any]:
    """The items of a `for_each` or of trials, now that all that they look at is known. Raises EngineError."""
    campaign = run.plan.tasks[task].campaign
    if campaign is not None and campaign.trials:
        return rows_of(campaign, [(name, _values(run, task, name, values)) for name, values in campaign.matrix])
    declared = run.plan.tasks[task].for_each
    value: object = compile_template(declared).render(scope_of(run, task)) if isinstance(declared, str) else declared
    if isinstance(value, dict):
        value = [{"key": key, "value": inner} for key, inner in cast("dict[str, Any]", value).items()]
    if isinstance(value, tuple):
        value = list(cast("tuple[Any, ...]", value))
    if not isinstance(value, list | range):
        raise ValueFault(f"for_each gave {kind_of(value)}, not a list", "it must give a list, a range or a map")
    items = cast("range | list[Any]", value)
    if len(items) > ROWS_MAX:
        raise ValueFault(f"for_each gave {len(items)} items, more than {ROWS_MAX}")
    return items


def _values(run: RunState, task: int, name: str, declared: Any) -> Sequence[Any]:
    """The values of a parameter of the matrix. Raises EngineError."""
    value = compile_template(declared).render(scope_of(run, task)) if isinstance(declared, str) else declared
    fault = values_fault(value)
    if fault:
        raise ValueFault(f"{name}: {fault}")
    return value


def rendered_action(action: Action, scope: dict[str, Any]) -> Action:
    """The action with every expression replaced by its value. Raises EngineError."""
    if isinstance(action, Command):
        return Command(
            tuple(compile_template(word).render_text(scope) if "{{" in word else word for word in action.argv)
        )
    if isinstance(action, Shell):
        return Shell(
            compile_shell(action.script).render_text(scope) if "{{" in action.script else action.script,
            action.bash,
        )
    return Python(action.target, rendered(action.args, scope), action.interpreter, action.isolate)


def rendered(value: Any, scope: dict[str, Any]) -> Any:
    """A JSON value with the templates in its strings replaced by their typed values."""
    if isinstance(value, str):
        return _plain(compile_template(value).render(scope)) if "{{" in value else value
    if isinstance(value, dict):
        return {key: rendered(inner, scope) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [rendered(inner, scope) for inner in cast("list[Any]", value)]
    return value


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, range) else value


def folder_of(run: RunState, folder: str, scope: dict[str, Any]) -> str:
    """The absolute folder of an attempt: `dir` seen from the workflow's folder."""
    rendered_folder = compile_template(folder).render_text(scope) if "{{" in folder else folder
    return normpath(join(run.plan.workflow.source.folder or "/", rendered_folder))


def environment_of(
    run: RunState, declared: tuple[tuple[str, str], ...], scope: dict[str, Any]
) -> tuple[tuple[str, str], ...]:
    """What the definition declares, and the parameters as PARAM_*: text as it is, all else as JSON."""
    pairs = [(f"PARAM_{name}", _text(value)) for name, value in run.header.params.items()]
    pairs += [(name, compile_template(text).render_text(scope) if "{{" in text else text) for name, text in declared]
    return tuple(pairs)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
