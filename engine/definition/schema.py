"""The YAML format as JSON Schema, for editors and other programs; made from the parser's own tables."""

from typing import Any

from engine.definition.fields import HEAD, TASK
from engine.model.ids import NAME_PATTERN

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _any_of(*keys: str) -> dict[str, Any]:
    return {"anyOf": [{"required": [key]} for key in keys]}


def json_schema() -> dict[str, Any]:
    """A JSON Schema (2020-12) of a workflow file: its form. Needs, cycles and expressions are beyond it."""
    task = TASK.schema()
    task["oneOf"] = [{"required": [action]} for action in ("run", "shell", "python")]
    task["dependentRequired"] = {
        **{key: ["python"] for key in ("args", "interpreter", "isolate")},
    }
    rows, trials = _any_of("for_each", "matrix", "trials"), _any_of("matrix", "trials")
    task["dependentSchemas"] = {
        **dict.fromkeys(("max_parallel", "tolerate"), rows),
        **dict.fromkeys(("warmups", "order", "seed", "repeat_noisy", "noise"), trials),
        "for_each": {"not": trials},
    }
    schema = HEAD.schema()
    schema["properties"]["tasks"] = {
        "description": "the tasks by their names",
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": f"^{NAME_PATTERN}$"},
        "additionalProperties": {"$ref": "#/$defs/task"},
    }
    schema["required"] = ["tasks"]
    return {"$schema": _DIALECT, "title": "orchctl workflow", **schema, "$defs": {"task": task}}
