"""The JSON Schema says about form what the parser says; a small validator of its keywords stands in for editors."""

import json
import re
from typing import Any

import pytest

from engine.definition.fields import HEAD, TASK
from engine.definition.load import parse_yaml
from engine.definition.schema import json_schema
from engine.definition.yaml_reader import read_yaml
from engine.model.errors import DefinitionError

SCHEMA = json_schema()
TYPES: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "number": (int, float), "integer": int,
    "null": type(None),
}  # fmt: skip


def valid(value: Any, schema: dict[str, Any]) -> bool:
    return all(CHECKS[key](value, wanted, schema) for key, wanted in schema.items() if key in CHECKS)


def has_type(value: Any, wanted: Any, _: Any) -> bool:
    kinds = wanted if isinstance(wanted, list) else [wanted]
    return any(isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool)) for kind in kinds)


def members_fit(value: Any, wanted: Any, schema: Any) -> bool:
    known = schema.get("properties", {})
    rest = [item for key, item in value.items() if key not in known] if isinstance(value, dict) else []
    return not rest if wanted is False else all(valid(item, wanted) for item in rest)


CHECKS: dict[str, Any] = {
    "type": has_type,
    "enum": lambda v, w, _: v in w,
    "pattern": lambda v, w, _: not isinstance(v, str) or re.search(w, v) is not None,
    "minimum": lambda v, w, _: not has_type(v, "number", None) or v >= w,
    "maximum": lambda v, w, _: not has_type(v, "number", None) or v <= w,
    "minLength": lambda v, w, _: not isinstance(v, str) or len(v) >= w,
    "minItems": lambda v, w, _: not isinstance(v, list) or len(v) >= w,
    "maxItems": lambda v, w, _: not isinstance(v, list) or len(v) <= w,
    "minProperties": lambda v, w, _: not isinstance(v, dict) or len(v) >= w,
    "items": lambda v, w, _: not isinstance(v, list) or all(valid(item, w) for item in v),
    "properties": lambda v, w, _: not isinstance(v, dict) or all(valid(v[key], w[key]) for key in w if key in v),
    "additionalProperties": members_fit,
    "propertyNames": lambda v, w, _: not isinstance(v, dict) or all(valid(key, w) for key in v),
    "required": lambda v, w, _: not isinstance(v, dict) or all(key in v for key in w),
    "dependentRequired": lambda v, w, _: not isinstance(v, dict) or all(set(w[k]) <= set(v) for k in w if k in v),
    "dependentSchemas": lambda v, w, _: not isinstance(v, dict) or all(valid(v, w[k]) for k in w if k in v),
    "not": lambda v, w, _: not valid(v, w),
    "maxLength": lambda v, w, _: not isinstance(v, str) or len(v) <= w,
    "anyOf": lambda v, w, _: any(valid(v, one) for one in w),
    "oneOf": lambda v, w, _: sum(valid(v, one) for one in w) == 1,
    "$ref": lambda v, w, _: valid(v, SCHEMA["$defs"][w.rpartition("/")[2]]),
}
SILENT = {"$schema", "$defs", "title", "description", "format"}

ACCEPTED = [
    "{run: x, matrix: {a: [1, x, null], b: '{{ range(3) }}'}, trials: 5, warmups: 1, order: random, seed: 7}",
    "{run: x, trials: 3, tolerate: 1, repeat_noisy: 2, metrics: {a: B, b: {better: higher, regex: '(x)'}, c: {}}}",
    "{run: x, metrics: {a: B}}", "{run: x, metrics: {a: B}, for_each: [1]}",
    "{run: x, trials: 2, noise: {foreign: 0.1, forgiven: 2, stolen: 1, memory: 0, io: 0.5, frequency: 1, look: 1s}}",
    "{run: x}", "{run: [x, 1, 2.5, true]}", "{shell: a | b}", "{python: 'm:f', args: {a: [1]}, isolate: true}",
    "{run: x, needs: a}", "{run: x, needs: [a, {task: c, same_index: true}], for_each: [1]}", "{run: x, retry: 3}",
    "{run: x, retry: {limit: 1, delay: 5, max_delay: 1h30m, on: failed, grow: {memory: 2}}}", "{run: x, priority: -5}",
    "{run: x, claim: {cpu: 0.5, memory: 1GiB, pools: [p]}}", "{run: x, claim: {cpu: '2', memory: 5, pools: {p: 2}}}",
    "{run: x, quota: {wall: 30m, memory: 512M, processes: 4, log: 1MB}}",
    "{run: x, quota: {threads: 9, cpu: 1.5, cpu_time: 10m, open_files: 64, disk: 1G, silence: 30s}}",
    "{run: x, quota: {log: {limit: 1M, on_exceed: stop}}, retry: {on: over_quota.silence, grow: {disk: 2}}}",
    "{run: x, stop: {signal: 9, grace: 0}}",
    "{run: x, stop: {signal: INT}}", "{run: x, env: {A: 1, B: x, C: true}}", "{run: x, pass_env: A, outputs: [a]}",
    "{run: x, for_each: '{{ range(3) }}', tolerate: 5%, max_parallel: 2}", "{run: x, setup: true, tags: [a], owner: b}",
    "{run: x, trigger_rule: none_failed_min_one_success, on_lost: hold, when: run.id == 1, dir: /tmp, description: d}",
    "{run: x, preemption: suspend, on_pause: keep}",
]  # fmt: skip
REFUSED = [
    "{run: x, matrix: {a: 1}}", "{run: x, matrix: {a: [[1]]}}", "{run: x, trials: 0}", "{run: x, seed: 3}",
    "{run: x, noise: {io: 1}}", "{run: x, trials: 2, noise: {io: 1.1}}", "{run: x, trials: 2, noise: {looks: 0}}",
    "{run: x, trials: 2, noise: {loud: 1}}", "{run: x, trials: 2, noise: 3}",
    "{run: x, trials: 2, order: any}", "{run: x, trials: 2, for_each: [1]}", "{run: x, matrix: {}, for_each: [1]}",
    "{run: x, warmups: 1, for_each: [1]}", "{run: x, metrics: {a: {regex: a}}}", "{run: x, metrics: {a: {unti: B}}}",
    "{}", "x", "[]", "{run: 5}", "{run: []}", "{run: x, shell: y}", "{rnu: x}", "{run: x, args: {}}",
    "{run: x, retry: x}", "{run: x, preemption: freeze}", "{run: x, on_pause: stop}",
    "{run: x, retry: {limt: 1}}", "{run: x, retry: {limit: -1}}", "{run: x, retry: {delay: soon}}",
    "{run: x, priority: x}",
    "{run: x, claim: 5}", "{run: x, claim: {cpu: []}}", "{run: x, claim: {memory: 3XB}}",
    "{run: x, claim: {pools: {p: 0}}}",
    "{run: x, quota: {wall: []}}", "{run: x, quota: {log: {on_exceed: burn}}}",
    "{run: x, quota: {open_files: 2}}", "{run: x, stop: {signal: 99}}", "{run: x, env: []}", "{run: x, env: {A-B: x}}",
    "{run: x, for_each: 5}", "{run: x, for_each: x}", "{run: x, tolerate: 1}", "{run: x, for_each: [1], tolerate: x%}",
    "{run: x, trigger_rule: sometimes}", "{run: x, setup: 1}", "{run: x, tags: 5}", "{run: x, needs: 5}",
    "{run: x, when: 5}",
    "{run: x, needs: [{same_index: true}]}", "{run: x, max_parallel: 1.5, for_each: [1]}", "{run: x, teardown: []}",
]  # fmt: skip
HEADS = [
    "schedule: '* * * * *'", "schedule: [{every: 5m}, '@daily']", "catch_up: all", "pools: {p: 1}",
    "params: {a: 1}", "params: {a: {type: date, choices: ['2026-01-01']}}", "defaults: {retry: 1}", "tags: x",
]  # fmt: skip
BAD_HEADS = [
    "schedule: 5", "schedule: {dst: {gap: x}}", "catch_up: some", "pools: [p]", "params: {a: {type: x}}", "x: 1",
    "defaults: {run: x}", "name: a/b", "durability: 1",
]  # fmt: skip


def judged(text: str) -> tuple[bool, bool]:
    """What schema and parser say."""
    try:
        parse_yaml(text, "f.yaml", "/")
        parsed = True
    except DefinitionError:
        parsed = False
    return valid(read_yaml(text, "f.yaml")[0], SCHEMA), parsed


@pytest.mark.parametrize("task", ACCEPTED)
def test_the_schema_accepts_what_the_parser_accepts(task: str) -> None:
    others = "a: {run: x}, c: {run: x, for_each: [1]}"
    assert judged(f"tasks: {{{others}, b: {task}}}") == (True, True)


@pytest.mark.parametrize("task", REFUSED)
def test_the_schema_refuses_what_the_parser_refuses(task: str) -> None:
    assert judged(f"tasks: {{a: {{run: x}}, b: {task}}}") == (False, False)


@pytest.mark.parametrize(("head", "good"), [*((h, True) for h in HEADS), *((h, False) for h in BAD_HEADS)])
def test_schema_and_parser_agree_on_the_workflow_s_own_keys(head: str, good: bool) -> None:
    assert judged(f"{head}\ntasks: {{a: {{run: x}}}}") == (good, good)


def test_every_key_is_in_the_schema_with_a_description() -> None:
    assert set(SCHEMA["properties"]) == {*HEAD.fields, "tasks"}
    assert set(SCHEMA["$defs"]["task"]["properties"]) == set(TASK.fields)
    stack: list[Any] = [SCHEMA]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            for schema in part.get("properties", {}).values() if "type" in part else ():
                assert schema.get("description"), schema
            stack += part.values()
        elif isinstance(part, list):
            stack += part


def test_the_schema_is_json_and_uses_only_keywords_that_the_tests_understand() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    stack: list[Any] = [SCHEMA]
    while stack:
        schema = stack.pop()
        assert set(schema) <= {*CHECKS, *SILENT}
        for key in ("properties", "$defs"):
            stack += schema.get(key, {}).values()
        for key in ("anyOf", "oneOf"):
            stack += schema.get(key, [])
        stack += [schema[key] for key in ("items", "additionalProperties", "propertyNames") if schema.get(key)]
