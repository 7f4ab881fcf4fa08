"""What the operators do to values. Types are not converted silently: `1 + "1"` is a fault, `true` is no number."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from engine.expressions.faults import ExpressionFault, did_you_mean
from engine.expressions.values import LISTS, Budget, checked, is_number, kind_of

Binary = Callable[[Budget, Any, Any], Any]
_POWER_BITS_MAX = 64


def equal(budget: Budget, left: Any, right: Any) -> bool:
    """Equality of JSON values: 1 and 1.0 are equal, 1 and true are not; a range equals the list that it stands for."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, str) and isinstance(right, str):
        budget.walk(min(len(left), len(right)) // 64)
        return left == right
    if isinstance(left, LISTS) and isinstance(right, LISTS):
        one, other = cast("list[Any]", left), cast("list[Any]", right)
        if len(one) != len(other):
            return False
        budget.walk(16 * 100 + len(one))
        return all(a == b for a, b in zip(one, other, strict=True))
    if isinstance(left, Mapping):
        budget.walk(16 * 100)
    return left == right


def _order(symbol: str, compare: Callable[[Any, Any], bool]) -> Binary:
    def ordered(budget: Budget, left: Any, right: Any) -> bool:
        if is_number(left) and is_number(right):
            return compare(left, right)
        if isinstance(left, str) and isinstance(right, str):
            budget.walk(min(len(left), len(right)) // 64)
            return compare(left, right)
        raise ExpressionFault(f"{kind_of(left)} {symbol} {kind_of(right)} has no answer")

    return ordered


def member_of(budget: Budget, item: Any, container: Any) -> bool:
    """`in`: a part of a text, an item of a list, a key of a map."""
    if isinstance(container, str):
        if not isinstance(item, str):
            raise ExpressionFault(f"only a text can be in a text, not {kind_of(item)}")
        budget.walk(len(container) // 16)
        return item in container
    if isinstance(container, range):
        # Python looks for a float among all numbers of a range, one by one.
        return is_number(item) and item == int(item) and int(item) in container
    if isinstance(container, list | tuple):
        items = cast("list[Any]", container)
        budget.walk(len(items))
        return any(item == other and isinstance(item, bool) == isinstance(other, bool) for other in items)
    if isinstance(container, Mapping):
        return isinstance(item, str) and item in container
    raise ExpressionFault(f"nothing can be in {kind_of(container)}")


def _add(budget: Budget, left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        budget.text(len(left) + len(right))
        return left + right
    if isinstance(left, LISTS) and isinstance(right, LISTS):
        one, other = cast("list[Any]", left), cast("list[Any]", right)
        budget.items(len(one) + len(other))
        return [*one, *other]
    return _calculate("+", lambda a, b: a + b, left, right)


def _multiply(budget: Budget, left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, int) and not isinstance(right, bool):
        budget.text(len(left) * max(right, 0))
        return left * right
    return _calculate("*", lambda a, b: a * b, left, right)


def _power(_budget: Budget, left: Any, right: Any) -> Any:
    whole = isinstance(left, int) and isinstance(right, int) and right >= 0
    if whole and abs(left) > 1 and left.bit_length() * right > 2 * _POWER_BITS_MAX:
        raise ExpressionFault("a whole number has at most 63 bits")
    result = _calculate("**", lambda a, b: a**b, left, right)
    if isinstance(result, complex):
        raise ExpressionFault("a negative number has no such root")
    return result


def _calculate(symbol: str, operate: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    if not (is_number(left) and is_number(right)):
        raise ExpressionFault(
            f"{kind_of(left)} {symbol} {kind_of(right)} has no answer", hint=_convert_hint(left, right)
        )
    try:
        result = operate(left, right)
    except ZeroDivisionError:
        raise ExpressionFault("division by zero") from None
    except OverflowError:
        raise ExpressionFault("the number becomes too large") from None
    return result if isinstance(result, complex) else checked(result)


def _convert_hint(left: Any, right: Any) -> str:
    if isinstance(left, str) or isinstance(right, str):
        return "str(x) makes a text of a value, int(x) or float(x) a number of a text"
    return ""


def negate(_budget: Budget, value: Any) -> Any:
    """The number with the other sign."""
    if not is_number(value):
        raise ExpressionFault(f"{kind_of(value)} has no negative")
    return checked(-value)


def get_member(value: Any, name: str) -> Any:
    """`value.name`: a key of a map, never anything else."""
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        try:
            return members[name]
        except KeyError:
            raise ExpressionFault(f"there is no {name!r} here", hint=did_you_mean(name, list(members))) from None
    raise ExpressionFault(f"{kind_of(value)} has no members, so no {name!r}")


def get_index(value: Any, index: Any) -> Any:
    """`value[index]`: an item by its number (negative: from the end), or a key of a map."""
    if isinstance(value, Mapping):
        if not isinstance(index, str):
            raise ExpressionFault(f"the keys of a map are texts, not {kind_of(index)}")
        return get_member(cast("Mapping[str, Any]", value), index)
    if not isinstance(value, str | list | tuple | range):
        raise ExpressionFault(f"{kind_of(value)} has no items")
    if not isinstance(index, int) or isinstance(index, bool):
        raise ExpressionFault(f"an item is chosen by a whole number, not by {kind_of(index)}")
    items = cast("list[Any]", value)
    try:
        return items[index]
    except IndexError:
        raise ExpressionFault(f"there is no item {index} among {len(items)}") from None


BINARY: dict[str, Binary] = {
    "==": equal,
    "!=": lambda budget, a, b: not equal(budget, a, b),
    "<": _order("<", lambda a, b: a < b),
    "<=": _order("<=", lambda a, b: a <= b),
    ">": _order(">", lambda a, b: a > b),
    ">=": _order(">=", lambda a, b: a >= b),
    "in": member_of,
    "not in": lambda budget, a, b: not member_of(budget, a, b),
    "+": _add,
    "-": lambda _budget, a, b: _calculate("-", lambda x, y: x - y, a, b),
    "*": _multiply,
    "/": lambda _budget, a, b: _calculate("/", lambda x, y: x / y, a, b),
    "//": lambda _budget, a, b: _calculate("//", lambda x, y: x // y, a, b),
    "%": lambda _budget, a, b: _calculate("%", lambda x, y: x % y, a, b),
    "**": _power,
}
