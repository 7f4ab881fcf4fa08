"""validate and schema: definitions without an engine."""

import time
from typing import Any

import msgspec

from engine.model.errors import DefinitionError
from engine.model.workflow import Schedule, Workflow, version_of
from orchctl.commands.compiling import compile_file
from orchctl.commands.kit import SUCCEEDED, USAGE, Command, Parser, Place, Words, nothing_more
from orchctl.text import count_text, inert, inert_lines

_TIMES_SHOWN = 5


def _validate_arguments(parser: Parser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="workflow files, .yaml or .py")


def validate(words: Words, place: Place) -> int:
    """Check files; every fault of every file is shown."""
    files: list[str] = words.files
    sound = [_validate_one(file, place) for file in files]
    return SUCCEEDED if all(sound) else USAGE


def _validate_one(file: str, place: Place) -> bool:
    out = place.out
    try:
        workflow = compile_file(file)
    except DefinitionError as error:
        if out.json:
            faults = [msgspec.to_builtins(fault) for fault in error.faults]
            unknown = {"workflow": None, "version": None, "tasks": None}
            out.row({"file": file, "valid": False, **unknown, "faults": faults, "warnings": []})
        else:
            out.lines(inert_lines(fault.render()) for fault in error.faults)
            out.line(f"{inert(file)}: {out.paint(count_text(len(error.faults), 'fault'), 'red')}")
        return False
    found: dict[str, Any] = {
        "file": file,
        "valid": True,
        "workflow": workflow.name,
        "version": version_of(workflow),
        "tasks": len(workflow.tasks),
        "faults": [],
        "warnings": _warnings(workflow),
    }
    if out.json:
        out.row(found)
    else:
        tasks = count_text(len(workflow.tasks), "task")
        for warning in found["warnings"]:
            _show_warning(file, warning, place)
        out.line(f"{inert(file)}: {out.paint('valid', 'green')}: {workflow.name}, {tasks}")
    return True


def _warnings(workflow: Workflow) -> list[dict[str, Any]]:
    """The schedules that may mean something else than was meant: why, and when they are due next."""
    if not workflow.schedules:
        return []
    from engine.scheduling.cron import warnings  # the cron parser is slow to load

    found = ((schedule, warnings(schedule)) for schedule in workflow.schedules)
    return [
        {"schedule": schedule.cron, "timezone": schedule.timezone, "messages": messages, "next": _next_times(schedule)}
        for schedule, messages in found
        if messages
    ]


def _next_times(schedule: Schedule) -> list[str]:
    """The next due times, RFC 3339 in the schedule's own zone."""
    from datetime import datetime

    from engine.model.instants import SECOND
    from engine.scheduling.cron import next_after
    from engine.scheduling.local_time import zone

    times: list[str] = []
    instant_ns: int | None = time.time_ns()
    while len(times) < _TIMES_SHOWN and (instant_ns := next_after(schedule, instant_ns)) is not None:
        times.append(datetime.fromtimestamp(instant_ns // SECOND, zone(schedule.timezone)).isoformat())
    return times


def _show_warning(file: str, warning: dict[str, Any], place: Place) -> None:
    out = place.out
    word = out.paint("warning", "yellow")
    for message in warning["messages"]:
        out.line(f"{inert(file)}: {word}: schedule {inert(warning['schedule'])}: {inert(message)}")
    out.line(f"  due next ({inert(warning['timezone'])}): {', '.join(warning['next'])}")


def schema(words: Words, place: Place) -> int:
    """Print the JSON Schema: indented for people and editors, on one line with `--json`."""
    from engine.definition.schema import json_schema

    found = json_schema()
    if place.out.json:
        place.out.row(found)
    else:
        place.out.line(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    return SUCCEEDED


COMMANDS = {
    "validate": Command(
        validate,
        _validate_arguments,
        ("orchctl validate orders.yaml", "orchctl validate pipelines/orders.py pipelines/stock.yaml --json"),
        "Needs no engine. Exit code 2 when any file has a fault; warnings, with the next due times, do not change it.",
    ),
    "schema": Command(
        schema,
        nothing_more,
        ("orchctl schema > orchctl.schema.json",),
        "Editors check a workflow file with it: put this line first in the file:\n"
        "  # yaml-language-server: $schema=orchctl.schema.json",
    ),
}
