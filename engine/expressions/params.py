"""Parameters of a run: from what was given and what the workflow declares to values of the declared types.

A value keeps one form per type wherever it goes: a date is `2026-01-31`, a datetime RFC 3339, a duration
the text that was written, a list or map plain JSON. On a command line lists and maps are given as JSON.
"""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from engine.expressions.dates import moment_text, parse_moment
from engine.expressions.faults import ExpressionFault, did_you_mean
from engine.expressions.templates import compile_template
from engine.expressions.values import is_number, json_fault, kind_of, size_of
from engine.model.errors import DefinitionError, Fault, ValueFault
from engine.model.instants import parse_duration
from engine.model.workflow import RESULT_BYTES_MAX, Param, ParamType, Workflow

_INTEGER_CHARS_MAX = 20


def bind_params(workflow: Workflow, given: Mapping[str, Any], partition: str = "") -> dict[str, Any]:
    """The value of every declared parameter, in the order of the declaration.

    `given` values have their type already or are texts as typed by a person. Defaults may be expressions over
    `partition`. Raises DefinitionError with all faults: unknown and missing names, wrong types, no choice.
    """
    faults: list[Fault] = []
    known = [param.name for param in workflow.params]
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known) or (f"known: {', '.join(known)}" if known else "it has no parameters")
            faults.append(Fault(f"{workflow.name} has no parameter {name[:80]!r}", field="params", hint=hint))
    values: dict[str, Any] = {}
    for param in workflow.params:
        try:
            values[param.name] = _bind(param, given, partition)
        except (ValueFault, ExpressionFault) as fault:
            faults.append(Fault(fault.sentence, field=f"params.{param.name}", hint=fault.hint))
    if faults:
        raise DefinitionError(faults)
    return values


def _bind(param: Param, given: Mapping[str, Any], partition: str) -> Any:
    if param.name in given:
        value = param_value(param.type, given[param.name])
    elif param.default is msgspec.UNSET:
        hint = f"give it with --param {param.name}=..."
        raise ValueFault(f"the parameter {param.name} is required", hint)
    else:
        value = default_value(param, partition)
    if param.choices and value not in param.choices:
        listed = ", ".join(str(choice) for choice in param.choices[:20])
        raise ValueFault(f"{param.name} is one of: {listed}", _choice_hint(value, param.choices))
    return value


def _choice_hint(value: Any, choices: tuple[Any, ...]) -> str:
    texts = [choice for choice in choices if isinstance(choice, str)]
    return did_you_mean(value, texts) if isinstance(value, str) else ""


def default_value(param: Param, partition: str) -> Any:
    """The default, evaluated where it is an expression. Raises ValueFault or ExpressionFault."""
    default = param.default
    if not isinstance(default, str) or "{{" not in default:
        return param_value(param.type, default)
    value = compile_template(default).render({"partition": partition})
    return param_value(param.type, list(value) if isinstance(value, range) else value)


def param_value(kind: ParamType, value: Any) -> Any:
    """The value as this type; texts are read, other types are not converted. Raises ValueFault."""
    try:
        result = _READERS[kind](value)
    except ExpressionFault as fault:
        raise ValueFault(fault.sentence, fault.hint) from None
    if size_of(result, RESULT_BYTES_MAX) > RESULT_BYTES_MAX:
        raise ValueFault("a parameter has at most 1 MiB")
    return result


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _not("a text", value)
    if "\0" in value:
        raise ValueFault("a text may not hold a NUL")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueFault("the text is not valid Unicode") from None
    return value


def _integer(value: Any) -> int:
    if isinstance(value, str) and len(value) <= _INTEGER_CHARS_MAX:
        try:
            value = int(value)
        except ValueError:
            raise _not("a whole number", value) from None
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise _not("a whole number", value)
    return value


def _number(value: Any) -> int | float:
    if isinstance(value, str) and len(value) <= 2 * _INTEGER_CHARS_MAX:
        try:
            value = int(value) if value.lstrip("+-").isdecimal() else float(value)
        except ValueError:
            raise _not("a number", value) from None
    if not is_number(value) or json_fault(value):
        raise _not("a number", value)
    return cast("int | float", value)


def _boolean(value: Any) -> bool:
    if isinstance(value, str) and value in ("true", "false"):
        return value == "true"
    if not isinstance(value, bool):
        raise _not("true or false", value)
    return value


def _date(value: Any) -> str:
    text = _string(value)
    if len(text) != len("2026-01-31"):
        raise _not("a date such as 2026-01-31", value)
    return moment_text(parse_moment(text))


def _datetime(value: Any) -> str:
    text = _string(value)
    moment = parse_moment(text)
    if len(text) == len("2026-01-31"):
        raise _not("a datetime such as 2026-01-31T02:00:00Z", value)
    return moment_text(moment)


def _duration(value: Any) -> str:
    if is_number(value):
        value = f"{value}s"
    parse_duration(_string(value))
    return value


def _list(value: Any) -> list[Any]:
    value = _from_json(value)
    if not isinstance(value, list | tuple):
        raise _not("a list", value)
    return list(cast("list[Any]", value))


def _map(value: Any) -> dict[str, Any]:
    value = _from_json(value)
    if not isinstance(value, dict):
        raise _not("a map", value)
    return cast("dict[str, Any]", value)


def _from_json(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (ValueError, RecursionError):
            raise ValueFault("a list or a map is given as JSON") from None
    fault = json_fault(value)
    if fault:
        raise ValueFault(fault)
    return value


def _not(expected: str, value: Any) -> ValueFault:
    shown = repr(value[:60]) if isinstance(value, str) else kind_of(value)
    return ValueFault(f"{expected} is expected, not {shown}")


_READERS = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
    "duration": _duration,
    "list": _list,
    "map": _map,
}
