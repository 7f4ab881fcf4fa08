"""add, remove, workflows, schedules: the workflows that the engine keeps."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from engine.model.errors import NotFound
from engine.protocol.messages import (
    AddWorkflow,
    Definition,
    GetWorkflow,
    ListSchedules,
    ListWorkflows,
    RemoveWorkflow,
)  # fmt: skip
from engine.protocol.rows import ScheduleRow, WorkflowRow
from orchctl.client.session import Session, new_request_id, typed
from orchctl.commands.compiling import encode_file
from orchctl.commands.kit import (
    REFUSED,
    SUCCEEDED,
    Command,
    Parser,
    Place,
    Words,
    did_you_mean,
    nothing_more,
    yes_option,
)  # fmt: skip
from orchctl.commands.listing import list_rows
from orchctl.commands.output import Output
from orchctl.text import inert, inert_lines, instant_text


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="a definition, .yaml or .py")
    parser.add_argument("--paused", action="store_true", help="its schedules wait until `orchctl resume WORKFLOW`")


def add(words: Words, place: Place) -> int:
    definition = encode_file(words.file)
    with place.session() as session:
        request = AddWorkflow(request_id=new_request_id(), paused=words.paused)
        body = session.send_definition(request, definition)
    if place.out.json:
        place.out.row(body)
    else:
        what = "added" if body.get("changed", True) else "unchanged:"
        place.out.line(f"{what} {inert(body.get('workflow'))} version {inert(body.get('version'))}")
    return SUCCEEDED


def _remove_arguments(parser: Parser) -> None:
    parser.add_argument("workflow", metavar="WORKFLOW", help="the name of a workflow that was added")
    yes_option(parser)


def remove(words: Words, place: Place) -> int:
    with place.session() as session:
        row, _ = _named(session, words.workflow)
        question = f"remove {row.workflow}? Its schedules end; runs and logs stay."
        if not place.out.confirm(question, yes=words.yes):
            return REFUSED
        body = session.act(RemoveWorkflow(request_id=new_request_id(), workflow=row.workflow))
    if place.out.json:
        place.out.row({"workflow": row.workflow, **body})
    else:
        place.out.line(f"removed {inert(row.workflow)}")
        if os.path.dirname(row.file) == str(place.home.workflows) and os.path.exists(row.file):
            place.out.remark(
                f"{row.file} is still there: the engine adds it again when it starts, or when the file changes"
            )
    return SUCCEEDED


def _named(session: Session, name: str) -> tuple[WorkflowRow, dict[str, Any]]:
    maps = session.rows(ListWorkflows()).rows
    for row, as_sent in zip(typed(maps, WorkflowRow), maps, strict=True):
        if row.workflow == name:
            return row, as_sent
    near = did_you_mean(name, [str(row["workflow"]) for row in maps])
    raise NotFound(f"no workflow {name!r} was added{near}", "`orchctl workflows` lists them")


def _workflows_arguments(parser: Parser) -> None:
    parser.add_argument("workflow", metavar="WORKFLOW", nargs="?", help="show this one in full")
    parser.add_argument("--definition", action="store_true", help="print the text of its definition")


def workflows(words: Words, place: Place) -> int:
    name: str | None = words.workflow
    with place.session(read_only=True) as session:
        if name is None:
            return _list(session, place.out)
        row, as_sent = _named(session, name)
        if words.definition:
            return _print_definition(session, row, place.out)
    if place.out.json:
        place.out.row(as_sent)
    else:
        place.out.lines(_details(row, place.out))
    return SUCCEEDED


def _list(session: Session, out: Output) -> int:
    none = "no workflow was added yet; `orchctl add FILE` adds one"
    return list_rows(out, session.rows(ListWorkflows()).rows, WorkflowRow, _WORKFLOWS, right="TASKS", none=none)


_WORKFLOWS: Mapping[str, Callable[[WorkflowRow], object]] = {
    "WORKFLOW": lambda row: row.workflow,
    "TASKS": lambda row: row.tasks,
    "NEXT": lambda row: ("paused", "paused") if row.paused else instant_text(row.next_at),
    "LAST": lambda row: row.last_run,
    "STATUS": lambda row: ("faulty file", "red") if row.fault else (row.last_status, row.last_status),
    "OWNER": lambda row: row.owner,
}


def _details(row: WorkflowRow, out: Output) -> list[str]:
    facts = [
        ("version", inert(row.version)),
        ("tasks", str(row.tasks)),
        ("description", inert(row.description)),
        ("owner", inert(row.owner)),
        ("tags", inert(", ".join(row.tags))),
        ("file", inert(row.file)),
        ("schedules", inert("; ".join(row.schedules))),
        ("next", "paused" if row.paused else instant_text(row.next_at)),
        ("last run", " ".join(inert(part) for part in (row.last_run, row.last_status) if part)),
        ("added", instant_text(row.added_at)),
        *(("fault", inert(line)) for line in row.fault.splitlines()),
    ]
    lines = [out.paint(inert(row.workflow), "bold")]
    lines += [f"  {name:<12} {value}" for name, value in facts if value]
    for param in row.params:
        default = f" = {inert(param['default'])}" if param.get("default") is not None else ""
        lines.append(f"  param        {inert(param.get('name'))}: {inert(param.get('type', 'string'))}{default}")
    return lines


def _print_definition(session: Session, row: WorkflowRow, out: Output) -> int:
    found = session.ask(GetWorkflow(workflow=row.workflow), Definition)
    if out.json:
        names = ("workflow", "version", "file", "text", "truncated")
        out.row({name: getattr(found, name) for name in names})
        return SUCCEEDED
    out.line(inert_lines(found.text.rstrip("\n")))
    if found.truncated:
        out.remark("the text was cut off: it is too long to be shown whole")
    return SUCCEEDED


def schedules(words: Words, place: Place) -> int:
    with place.session(read_only=True) as session:
        maps = session.rows(ListSchedules()).rows
    return list_rows(place.out, maps, ScheduleRow, _SCHEDULES, none="no workflow that was added has a schedule")


_SCHEDULES: Mapping[str, Callable[[ScheduleRow], object]] = {
    "WORKFLOW": lambda row: row.workflow,
    "SCHEDULE": lambda row: row.schedule,
    "TIMEZONE": lambda row: row.timezone,
    "NEXT": lambda row: ("paused", "paused") if row.paused else instant_text(row.next_at),
    "LAST": lambda row: instant_text(row.last_at),
    "RUN": lambda row: row.last_run,
    "CATCH UP": lambda row: row.catch_up,
    "IF RUNNING": lambda row: row.if_running,
}

COMMANDS = {
    "add": Command(
        add,
        _add_arguments,
        ("orchctl add orders.yaml", "orchctl add orders.yaml --paused"),
        "Adding a file again makes its text the current version; runs keep the version they began with.",
    ),
    "remove": Command(remove, _remove_arguments, ("orchctl remove orders", "orchctl remove orders --yes")),
    "workflows": Command(
        workflows,
        _workflows_arguments,
        ("orchctl workflows", "orchctl workflows orders", "orchctl workflows orders --definition"),
    ),
    "schedules": Command(schedules, nothing_more, ("orchctl schedules", "orchctl schedules --json")),
}
