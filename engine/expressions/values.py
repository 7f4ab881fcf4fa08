"""The values of expressions: JSON's, and `range` for a row of numbers that is never written out.

Everything that is built is bounded, in one place: whole numbers to 63 bits (what every encoding carries),
texts to 1 MiB, lists to a million items, and all of one evaluation together to a budget of steps and bytes.
"""

from collections.abc import Mapping
from datetime import date
from math import isfinite
from typing import Any, cast

import msgspec

from engine.expressions.faults import ExpressionFault
from engine.model.workflow import RESULT_BYTES_MAX, ROWS_MAX

TEXT_CHARS_MAX = RESULT_BYTES_MAX
VALUE_BYTES_MAX = 64 * 2**20
STEPS_MAX = 100_000
DEPTH_MAX = 64
BUILT_BYTES_MAX = 64 * 2**20
_ITEMS_A_STEP = 16

LISTS = (list, tuple, range)


class Budget:
    """What one evaluation may still spend. Expressions have no loops, so only work that grows with data is counted."""

    __slots__ = ("bytes_left", "steps_left")

    def __init__(self) -> None:
        self.steps_left = STEPS_MAX
        self.bytes_left = BUILT_BYTES_MAX

    def walk(self, items: int) -> None:
        """Account for a look at so many items or characters."""
        self.steps_left -= 1 + items // _ITEMS_A_STEP
        if self.steps_left < 0:
            raise ExpressionFault(f"this takes more than {STEPS_MAX} steps")

    def text(self, chars: int) -> None:
        """Account for a text before it is built."""
        if chars > TEXT_CHARS_MAX:
            raise ExpressionFault(f"this text would be longer than {TEXT_CHARS_MAX} characters")
        self._build(chars)

    def items(self, count: int) -> None:
        """Account for a list before it is built."""
        if count > ROWS_MAX:
            raise ExpressionFault(f"this list would have more than {ROWS_MAX} items")
        self.walk(count)
        self._build(8 * count)

    def _build(self, size_bytes: int) -> None:
        self.bytes_left -= size_bytes
        if self.bytes_left < 0:
            raise ExpressionFault("this builds more than 64 MiB on its way")


def kind_of(value: Any) -> str:
    """What a value is, in a person's words: `a number`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, LISTS):
        return "a list"
    return "a map" if isinstance(value, Mapping) else "something unknown"


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def checked(value: int | float) -> int | float:
    """The number, when JSON and 63 bits can hold it. Raises ExpressionFault."""
    if isinstance(value, float):
        if not isfinite(value):
            raise ExpressionFault("the number becomes too large")
    elif not -(2**63) <= value < 2**63:
        raise ExpressionFault("a whole number has at most 63 bits")
    return value


def size_of(value: Any, limit: int) -> int:
    """About how many bytes the value takes as JSON; anything over `limit` once that is passed. Never recurses."""
    total, stack = 0, [value]
    while stack and total <= limit:
        part = stack.pop()
        if isinstance(part, str):
            total += len(part) + 2
        elif isinstance(part, range):
            total += len(part) * (1 + len(str(part.start)) + 1) if part else 2
        elif isinstance(part, list | tuple):
            parts = cast("list[Any]", part)
            total += 2 + len(parts)
            if total <= limit:
                stack.extend(parts)
        elif isinstance(part, Mapping):
            members = cast("Mapping[str, Any]", part)
            total += 2 + sum(len(key) + 4 for key in members)
            if total <= limit:
                stack.extend(members.values())
        else:
            total += 8
    return total


def json_fault(value: Any) -> str:
    """Why a value from outside is not plain JSON within bounds; empty when it is. Never recurses."""
    level, depth, size = [value], 0, 0
    while level:
        depth += 1
        if depth > DEPTH_MAX:
            return f"it nests deeper than {DEPTH_MAX}"
        below: list[Any] = []
        for part in level:
            kind = cast("type[Any]", type(part))
            if kind is str:
                size += len(part) + 2
            elif kind is list or kind is tuple:
                size += len(part) + 2
                below += part
            elif kind is dict:
                if not all(type(key) is str for key in part):
                    return "the keys of a map are texts"
                size += sum(map(len, part)) + 4 * len(part) + 2
                below += part.values()
            elif part is None or kind is bool:
                size += 5
            elif not (kind is float and isfinite(part)) and not (kind is int and -(2**63) <= part < 2**63):
                return f"{part} is no number of JSON within 63 bits" if is_number(part) else "it is not JSON"
            else:
                size += 8
        if size > VALUE_BYTES_MAX:
            return "it has more than 64 MiB"
        level = below
    return ""


def _plain(value: Any) -> Any:
    if isinstance(value, range):
        return list(value)
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    raise ExpressionFault(f"{kind_of(value)} has no JSON form")


_encoder = msgspec.json.Encoder(enc_hook=_plain)


def json_text(value: Any) -> str:
    """Compact JSON of the value, at most 1 MiB. Raises ExpressionFault."""
    if size_of(value, TEXT_CHARS_MAX) > TEXT_CHARS_MAX:
        raise ExpressionFault("this value is longer than 1 MiB as text")
    try:
        return _encoder.encode(value).decode()
    except (ValueError, TypeError, RecursionError) as error:
        raise ExpressionFault(f"this value has no JSON form: {error}") from error


def text_of(value: Any) -> str:
    """The value as it is put into a text: texts as they are, all else as JSON, a float at its shortest."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int | float):
        return repr(checked(value))
    if isinstance(value, date):
        return value.isoformat()
    return json_text(value)
