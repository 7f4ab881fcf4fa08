"""The fixed table of functions. Each gets the evaluation's budget and its arguments, checks their kinds,
and accounts for what it walks over or builds before it does so. There is no regular expression among them:
none is linear in all cases.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import msgspec

from engine.expressions import dates
from engine.expressions.faults import ExpressionFault
from engine.expressions.operators import member_of
from engine.expressions.values import LISTS, Budget, checked, is_number, json_fault, json_text, kind_of, text_of

_RANGE_ITEMS_MAX = 2**31
_INTEGER = re.compile(r"\s*[+-]?\d{1,19}\s*")
_FLOAT = re.compile(r"\s*[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,4})?\s*")


class Function(NamedTuple):
    """A function of the table: how many arguments it takes, what it does, and a line for people."""

    least: int
    most: int
    call: Callable[..., Any]
    help: str


def _whole(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ExpressionFault(f"{what} is a whole number, not {kind_of(value)}")
    return value


def _number(value: Any, what: str) -> int | float:
    if not is_number(value):
        raise ExpressionFault(f"{what} takes a number, not {kind_of(value)}")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ExpressionFault(f"{what} takes a text, not {kind_of(value)}", hint="str(x) makes a text of a value")
    return value


def _list(value: Any, what: str) -> "list[Any] | range":
    """Seen as a list; a range stays a range, which has the same manners."""
    if not isinstance(value, LISTS):
        raise ExpressionFault(f"{what} takes a list, not {kind_of(value)}")
    return cast("list[Any] | range", value)


def _map(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ExpressionFault(f"{what} takes a map, not {kind_of(value)}")
    return cast("Mapping[str, Any]", value)


def _range(_budget: Budget, *bounds: Any) -> range:
    numbers = [int(checked(_whole(bound, "a bound of range()"))) for bound in bounds]
    if len(numbers) == 3 and numbers[2] == 0:
        raise ExpressionFault("the step of range() is not zero")
    start, stop = (0, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
    step = numbers[2] if len(numbers) == 3 else 1
    if (stop - start) // step > _RANGE_ITEMS_MAX:
        raise ExpressionFault("this range has more than 2,147,483,648 items")
    return range(start, stop, step)


def _len(_budget: Budget, value: Any) -> int:
    if isinstance(value, str | list | tuple | range | Mapping):
        return len(cast("list[Any]", value))
    raise ExpressionFault(f"{kind_of(value)} has no length")


def _extreme(name: str, pick: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    def extreme(budget: Budget, *values: Any) -> Any:
        items = _list(values[0], f"{name}() with one argument") if len(values) == 1 else list(values)
        if not len(items):
            raise ExpressionFault(f"{name}() of nothing")
        if isinstance(items, range):
            return pick([items[0], items[-1]])
        budget.walk(len(items))
        _comparable(items, name)
        return pick(items)

    return extreme


def _comparable(items: "list[Any] | range", name: str) -> None:
    if not (all(is_number(item) for item in items) or all(isinstance(item, str) for item in items)):
        raise ExpressionFault(f"{name}() compares numbers with numbers or texts with texts, not a mixture")


def _sum(budget: Budget, values: Any) -> int | float:
    items = _list(values, "sum()")
    if isinstance(items, range):
        return checked(len(items) * (items[0] + items[-1]) // 2 if len(items) else 0)
    budget.walk(len(items))
    return checked(sum(_number(item, "sum()") for item in items))


def _round(_budget: Budget, value: Any, digits: Any = 0) -> int | float:
    places = _whole(digits, "the number of digits")
    if not -20 <= places <= 20:
        raise ExpressionFault("round() takes between -20 and 20 digits")
    number = _number(value, "round()")
    return checked(round(number, places) if places else round(number))


def _int(_budget: Budget, value: Any) -> int | float:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return checked(int(value))
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return checked(int(value))
    raise ExpressionFault(f"int() makes no number of {_quoted(value)}")


def _float(_budget: Budget, value: Any) -> int | float:
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str) and _FLOAT.fullmatch(value):
        return checked(float(value))
    raise ExpressionFault(f"float() makes no number of {_quoted(value)}")


def _quoted(value: Any) -> str:
    return repr(value[:40]) if isinstance(value, str) else kind_of(value)


def _str(budget: Budget, value: Any) -> str:
    text = text_of(value)
    budget.text(len(text))
    return text


def _json(budget: Budget, value: Any) -> str:
    text = json_text(value)
    budget.text(len(text))
    budget.walk(len(text))
    return text


def _parse_json(budget: Budget, value: Any) -> Any:
    text = _text(value, "parse_json()")
    budget.text(len(text))
    budget.walk(len(text))
    try:
        found = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise ExpressionFault(f"parse_json(): {error}", hint="the text must be JSON") from None
    fault = json_fault(found)
    if fault:
        raise ExpressionFault(f"parse_json(): {fault}")
    return found


def _sorted(budget: Budget, values: Any) -> list[Any]:
    items = _list(values, "sorted()")
    budget.items(len(items))
    _comparable(items, "sorted")
    return sorted(items)


def _reversed(budget: Budget, values: Any) -> Any:
    items = _list(values, "reversed()")
    if not isinstance(items, range):
        budget.items(len(items))
    return items[::-1]


def _join(budget: Budget, values: Any, separator: Any = "") -> str:
    items, between = _list(values, "join()"), _text(separator, "the separator of join()")
    budget.walk(len(items))
    budget.text(len(between) * max(len(items) - 1, 0))
    texts: list[str] = []
    for item in items:
        texts.append(text_of(item))
        budget.text(len(texts[-1]))
    budget.text(sum(map(len, texts)) + len(between) * max(len(items) - 1, 0))
    return between.join(texts)


def _split(budget: Budget, value: Any, separator: Any = None) -> list[str]:
    text = _text(value, "split()")
    budget.walk(len(text))
    if separator is None:
        parts = text.split()
    elif not _text(separator, "the separator of split()"):
        raise ExpressionFault("the separator of split() is not empty")
    else:
        parts = text.split(separator)
    budget.items(len(parts))
    return parts


def _replace(budget: Budget, value: Any, old: Any, new: Any) -> str:
    text, before, after = _text(value, "replace()"), _text(old, "replace()"), _text(new, "replace()")
    if not before:
        raise ExpressionFault("replace() needs something to replace")
    budget.walk(len(text))
    budget.text(len(text) + text.count(before) * (len(after) - len(before)))
    return text.replace(before, after)


def _of_text(name: str, change: Callable[[str], Any]) -> Callable[..., Any]:
    def changed(budget: Budget, value: Any) -> Any:
        text = _text(value, f"{name}()")
        budget.text(len(text))
        return change(text)

    return changed


def _of_two_texts(name: str, ask: Callable[[str, str], bool]) -> Callable[..., Any]:
    def asked(_budget: Budget, value: Any, part: Any) -> bool:
        return ask(_text(value, f"{name}()"), _text(part, f"{name}()"))

    return asked


def _contains(budget: Budget, container: Any, item: Any) -> bool:
    return member_of(budget, item, container)


def _abs(_budget: Budget, value: Any) -> int | float:
    return checked(abs(_number(value, "abs()")))


def _bool(_budget: Budget, value: Any) -> bool:
    return bool(value)


def _keys(budget: Budget, value: Any) -> list[str]:
    members = _map(value, "keys()")
    budget.items(len(members))
    return list(members)


def _values(budget: Budget, value: Any) -> list[Any]:
    members = _map(value, "values()")
    budget.items(len(members))
    return list(members.values())


def _get(_budget: Budget, value: Any, key: Any, default: Any = None) -> Any:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value).get(_text(key, "the key of get()"), default)
    items, index = _list(value, "get()"), _whole(key, "the place in a list")
    return items[index] if -len(items) <= index < len(items) else default


def _free(call: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose work is bounded by itself, so that it needs no budget."""

    def unbudgeted(_budget: Budget, *values: Any) -> Any:
        return call(*values)

    return unbudgeted


FUNCTIONS: dict[str, Function] = {
    "range": Function(1, 3, _range, "range(stop), range(start, stop[, step]): whole numbers, as many as wanted"),
    "len": Function(1, 1, _len, "length of a text, list or map"),
    "min": Function(1, 100, _extreme("min", min), "the smallest item or argument"),
    "max": Function(1, 100, _extreme("max", max), "the largest item or argument"),
    "sum": Function(1, 1, _sum, "sum of a list of numbers"),
    "abs": Function(1, 1, _abs, "the number without its sign"),
    "round": Function(1, 2, _round, "round(x[, digits]); halves go to the even neighbour"),
    "int": Function(1, 1, _int, "a whole number from a number (cut off) or a text"),
    "float": Function(1, 1, _float, "a number from a number or a text"),
    "str": Function(1, 1, _str, "the value as text, as `{{ }}` would write it"),
    "bool": Function(1, 1, _bool, "false for null, false, 0 and what is empty"),
    "sorted": Function(1, 1, _sorted, "the list in rising order"),
    "reversed": Function(1, 1, _reversed, "the list from its end"),
    "join": Function(1, 2, _join, "join(list[, separator])"),
    "split": Function(1, 2, _split, "split(text[, separator]); at white space without one"),
    "replace": Function(3, 3, _replace, "replace(text, old, new)"),
    "lower": Function(1, 1, _of_text("lower", str.lower), "in small letters"),
    "upper": Function(1, 1, _of_text("upper", str.upper), "in capital letters"),
    "strip": Function(1, 1, _of_text("strip", str.strip), "without white space at both ends"),
    "startswith": Function(2, 2, _of_two_texts("startswith", str.startswith), "startswith(text, beginning)"),
    "endswith": Function(2, 2, _of_two_texts("endswith", str.endswith), "endswith(text, end)"),
    "contains": Function(2, 2, _contains, "contains(text, list or map; part, item or key)"),
    "json": Function(1, 1, _json, "the value as JSON"),
    "parse_json": Function(1, 1, _parse_json, "the value of a JSON text"),
    "keys": Function(1, 1, _keys, "the keys of a map"),
    "values": Function(1, 1, _values, "the values of a map"),
    "get": Function(2, 3, _get, "get(map or list, key[, default])"),
    "date_add": Function(2, 2, _free(dates.date_add), "date_add(day, days)"),
    "date_diff": Function(2, 2, _free(dates.date_diff), "date_diff(later, earlier): whole days"),
    "date_format": Function(2, 2, _free(dates.date_format), "date_format(day, '%Y%m%d')"),
    "datetime_add": Function(2, 2, _free(dates.datetime_add), "datetime_add(moment, '1h30m')"),
    "weekday": Function(1, 1, _free(dates.weekday), "1 (Monday) to 7 (Sunday)"),
    "duration": Function(1, 1, _free(dates.duration_seconds), "seconds of '1h30m'"),
}
