"""What a field may hold. A kind reads a plain value into the model's form, and states itself as JSON Schema.

Both come from the same object, so an editor's schema and the parser cannot disagree. A reader never raises:
it complains and gives `INVALID`, so that one reading finds all faults.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, cast

from engine.definition.complaints import Complaints, Path, shown
from engine.definition.written import WrittenFloat, WrittenInt
from engine.expressions.faults import did_you_mean
from engine.expressions.values import json_fault, kind_of
from engine.model.errors import ValueFault
from engine.model.ids import NAME_PATTERN, is_name

INVALID: Any = object()
TEXT_CHARS_MAX = 2**20
LIST_ITEMS_MAX = 1_000_000


class Kind(ABC):
    """Base of the kinds. `expected` completes the sentence "... is expected, not a list"."""

    expected = "something else"

    @abstractmethod
    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        """The value in the model's form, or INVALID after a complaint."""

    def quick(self, value: Any) -> Any:
        """What `read` would give for a value that is plainly sound; INVALID means that only `read` can tell.

        Nearly all values are, and for them nobody has to say where they stand.
        """
        return INVALID

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of what `read` accepts."""

    def refuse(self, value: Any, path: Path, complaints: Complaints, hint: str = "") -> Any:
        """Complain about the value's type."""
        complaints.add(path, f"{self.expected} is expected, not {_shown_value(value)}", hint)
        return INVALID


def _shown_value(value: Any) -> str:
    if isinstance(value, str):
        return repr(shown(value))
    return as_written(value) or kind_of(value)


def as_written(value: Any) -> str | None:
    """The text of a scalar as it stood in the document; None for what is no scalar."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, WrittenInt | WrittenFloat):
        return value.raw
    return repr(value) if isinstance(value, int | float) else None


def text_fault(text: str, *, lines: bool) -> str:
    """Why a text may not stand in a definition; empty when it may."""
    if len(text) > TEXT_CHARS_MAX:
        return f"a text has at most {TEXT_CHARS_MAX} characters"
    if text.isascii() and text.isprintable():
        return ""
    if "\0" in text:
        return "a text may not hold a NUL"
    if not lines and any(char < " " or "\x7f" <= char < "\xa0" for char in text if char not in "\n\t"):
        return "a text may not hold control characters"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "the text is not valid Unicode"
    return ""


class Text(Kind):
    """A text. `command` allows any character but NUL; `scalars` takes numbers and true/false as they were written."""

    def __init__(self, expected: str = "a text", *, command: bool = False, scalars: bool = False, empty: bool = True):
        self.expected = expected
        self._command, self._scalars, self._empty = command, scalars, empty

    def quick(self, value: Any) -> Any:
        if value.__class__ is str and value.isascii() and value.isprintable() and len(value) <= TEXT_CHARS_MAX:
            return value if value or self._empty else INVALID
        return INVALID

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        text = value if value.__class__ is str else as_written(value) if self._scalars else None
        if text is None:
            hint = "put it in quotes" if as_written(value) is not None else ""
            return self.refuse(value, path, complaints, hint)
        fault = text_fault(text, lines=self._command)
        if not text and not self._empty:
            fault = f"{self.expected} is expected, and it is empty"
        if fault:
            complaints.add(path, fault)
            return INVALID
        return text

    def schema(self) -> dict[str, Any]:
        kinds: Any = ["string", "number", "boolean"] if self._scalars else "string"
        return {"type": kinds} if self._empty else {"type": kinds, "minLength": 1}


class Name(Kind):
    """The name of a workflow, task, pool or parameter."""

    expected = "a name"

    def quick(self, value: Any) -> Any:
        return value if value.__class__ is str and is_name(value) else INVALID

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        text = as_written(value)
        if text is None:
            return self.refuse(value, path, complaints)
        if not is_name(text):
            complaints.add(path, f"{shown(text)!r} is not a name", NAME_HINT)
            return INVALID
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{NAME_PATTERN}$"}


NAME_HINT = "letters, digits, `.`, `_` and `-`, at most 128, the first a letter or digit"


class Number(Kind):
    """A number between two bounds; `whole` for integers."""

    def __init__(self, least: float, most: float, *, whole: bool = True) -> None:
        self._least, self._most, self._whole = least, most, whole
        self.expected = f"a {'whole ' if whole else ''}number from {least:g} to {most:g}"

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        fits = isinstance(value, int if self._whole else int | float) and not isinstance(value, bool)
        if not fits or not self._least <= value <= self._most:
            return self.refuse(value, path, complaints)
        return int(value) if self._whole else float(value)

    def schema(self) -> dict[str, Any]:
        kind = "integer" if self._whole else "number"
        return {"type": kind, "minimum": self._least, "maximum": self._most}


class Flag(Kind):
    """true or false."""

    expected = "true or false"

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        return value if isinstance(value, bool) else self.refuse(value, path, complaints)

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


class Choice(Kind):
    """One of some words."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.expected = f"one of {', '.join(words)}"

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        if isinstance(value, str) and value in self.words:
            return value
        hint = did_you_mean(value, self.words) if isinstance(value, str) else ""
        return self.refuse(value, path, complaints, hint)

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}


class Measure(Kind):
    """A text or number that a parser of the model turns into an integer of the base unit (ns, bytes, milli-CPUs)."""

    def __init__(self, expected: str, parse: Callable[[Any], int], least: int, most: int, pattern: str) -> None:
        self.expected = expected
        self._parse, self._least, self._most, self._pattern = parse, least, most, pattern

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            return self.refuse(value, path, complaints)
        try:
            number = self._parse(value)
        except (ValueFault, OverflowError):
            return self.refuse(value, path, complaints)
        if not self._least <= number <= self._most:
            complaints.add(path, f"{as_written(value)} is too {'small' if number < self._least else 'large'} here")
            return INVALID
        return number

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": self._pattern}]}


class ListOf(Kind):
    """A list of one kind, as a tuple. With `single`, one value stands for a list of it."""

    def __init__(self, item: Kind, *, single: bool = False, least: int = 0, most: int = LIST_ITEMS_MAX) -> None:
        self._item, self._single, self._least, self._most = item, single, least, most
        self.expected = "a list"

    def quick(self, value: Any) -> Any:
        quick = self._item.quick
        if value.__class__ is not list:
            one = quick(value) if self._single else INVALID
            return INVALID if one is INVALID else (one,)
        if not self._least <= len(value) <= self._most:
            return INVALID
        items = tuple([quick(item) for item in value])
        return INVALID if INVALID in items else items

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        if value.__class__ is not list:
            if not self._single or value is None:
                return self.refuse(value, path, complaints)
            one = self._item.read(value, path, complaints)
            return INVALID if one is INVALID else (one,)
        if not self._least <= len(value) <= self._most:
            bound = f"at least {self._least}" if len(value) < self._least else f"at most {self._most}"
            complaints.add(
                path, f"the list has {len(value)} items; {bound} {'is' if self._least == 1 else 'are'} needed"
            )
            return INVALID
        read = self._item.read
        return tuple(
            [one for index, item in enumerate(value) if (one := read(item, (*path, index), complaints)) is not INVALID]
        )

    def schema(self) -> dict[str, Any]:
        item = self._item.schema()
        listed: dict[str, Any] = {"type": "array", "items": item}
        if self._least:
            listed["minItems"] = self._least
        return {"anyOf": [item, listed]} if self._single else listed


class MapOf(Kind):
    """A map from texts to one kind, as a tuple of pairs: in the order of the document, or sorted."""

    expected = "a map"

    def __init__(self, item: Kind, key: Kind | None = None, *, ordered: bool = False) -> None:
        self._item, self._key, self._ordered = item, key, ordered

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        if value.__class__ is not dict:
            return self.refuse(value, path, complaints)
        pairs: list[tuple[str, Any]] = []
        for key, item in value.items():
            below = (*path, key)
            name = key if self._key is None else self._key.read(key, below, complaints)
            one = self._item.read(item, below, complaints)
            if name is not INVALID and one is not INVALID:
                pairs.append((name, one))
        return tuple(pairs if self._ordered else sorted(pairs, key=lambda pair: pair[0]))

    def schema(self) -> dict[str, Any]:
        names = {"propertyNames": self._key.schema()} if self._key else {}
        return {"type": "object", "additionalProperties": self._item.schema(), **names}


class Json(Kind):
    """Any JSON value within bounds."""

    expected = "a value"

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        plain = unwritten(value)
        fault = json_fault(plain)
        if fault:
            complaints.add(path, f"the value cannot be used: {fault}")
            return INVALID
        return plain

    def schema(self) -> dict[str, Any]:
        return {}


def unwritten(value: Any) -> Any:
    """The value without the memory of how its numbers were written; deeper than the document may be, as it is."""
    return _unwritten(value, 0)


def _unwritten(value: Any, depth: int) -> Any:
    kind = value.__class__
    if kind is WrittenInt:
        return int(value)
    if kind is WrittenFloat:
        return float(value)
    if depth < 100 and kind is list:
        return [_unwritten(item, depth + 1) for item in value]
    if depth < 100 and kind is dict:
        return {key: _unwritten(item, depth + 1) for key, item in value.items()}
    return value


class JsonMap(Json):
    """A map of any JSON values."""

    expected = "a map"

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        return (
            super().read(value, path, complaints) if isinstance(value, dict) else self.refuse(value, path, complaints)
        )

    def schema(self) -> dict[str, Any]:
        return {"type": "object"}


class Field:
    """One key of a record: what it holds, what it is called in the model, and a line for people."""

    __slots__ = ("attribute", "help", "kind")

    def __init__(self, kind: Kind, text: str, attribute: str = "") -> None:
        self.kind, self.help, self.attribute = kind, text, attribute


class Record(Kind):
    """A map with known keys, read into a dict from the model's attribute names to the values that were written.

    `short` reads what is no map: it gives the value of the attribute `short_for`.
    """

    expected = "a map"

    def __init__(
        self,
        fields: Mapping[str, Field],
        *,
        short: Kind | None = None,
        short_for: str = "",
        needed: tuple[str, ...] = (),
    ) -> None:
        self.fields = dict(fields)
        self._lookup = {key: (field.kind, field.attribute or key) for key, field in self.fields.items()}
        self._short, self._short_for, self._needed = short, short_for, needed
        if short is not None:
            self.expected = f"a map or {short.expected}"

    def quick(self, value: Any) -> Any:
        if self._short is None or value.__class__ is dict:
            return INVALID
        one = self._short.quick(value)
        return INVALID if one is INVALID else {self._short_for: one}

    def read(self, value: Any, path: Path, complaints: Complaints) -> Any:
        if value.__class__ is not dict:
            if self._short is None or value is None:
                return self.refuse(value, path, complaints)
            one = self._short.read(value, path, complaints)
            return INVALID if one is INVALID else {self._short_for: one}
        return self.read_map(cast("dict[str, Any]", value), path, complaints)

    def read_map(self, value: dict[str, Any], path: Path, complaints: Complaints) -> dict[str, Any]:
        """What was written under the known keys; unknown keys are complained about."""
        result: dict[str, Any] = {}
        lookup = self._lookup
        for key, item in value.items():
            found = lookup.get(key)
            if found is None:
                known = did_you_mean(key, list(lookup), f"known: {', '.join(lookup)}")
                complaints.add((*path, key), f"the key {shown(key)} is not known here", known)
                continue
            kind, attribute = found
            one = kind.quick(item)
            if one is INVALID:
                one = kind.read(item, (*path, key), complaints)
            if one is not INVALID:
                result[attribute] = one
        for key in self._needed:
            if key not in value:
                complaints.add(path, f"the key {key} is missing")
        return result

    def schema(self) -> dict[str, Any]:
        properties = {key: {"description": f.help, **f.kind.schema()} for key, f in self.fields.items()}
        record: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        if self._needed:
            record["required"] = list(self._needed)
        return {"anyOf": [self._short.schema(), record]} if self._short else record
