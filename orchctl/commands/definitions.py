"""validate and schema: definitions without an engine."""

from typing import Any

import msgspec

from engine.model.errors import DefinitionError
from engine.model.workflow import version_of
from orchctl.commands.compiling import compile_file
from orchctl.commands.kit import SUCCEEDED, USAGE, Command, Parser, Place, Words, nothing_more
from orchctl.text import count_text, inert, inert_lines


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
            out.row({"file": file, "valid": False, "workflow": None, "version": None, "tasks": None, "faults": faults})
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
    }
    if out.json:
        out.row(found)
    else:
        tasks = count_text(len(workflow.tasks), "task")
        out.line(f"{inert(file)}: {out.paint('valid', 'green')}: {workflow.name}, {tasks}")
    return True


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
        "Needs no engine. Exit code 2 when any file has a fault.",
    ),
    "schema": Command(
        schema,
        nothing_more,
        ("orchctl schema > orchctl.schema.json",),
        "Editors check a workflow file with it: put this line first in the file:\n"
        "  # yaml-language-server: $schema=orchctl.schema.json",
    ),
}
