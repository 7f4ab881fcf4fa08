"""YAML text to plain values by the 1.2 core schema, from the stream of events: nothing recurses, nothing is
built twice.

`no` is a text, `12:30` a text, `010` the integer ten. Refused with a line: duplicate keys, tags, merge
keys, several documents, control characters, more than 100 aliases or what they blow up to, nesting beyond
64. A number whose text is more than its value (`1.10`, `010`) remembers how it was written, for fields that
want the text.
"""

import re
from collections.abc import Iterator
from typing import Any, cast

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from engine.definition.complaints import Path, shown
from engine.definition.written import WrittenFloat, WrittenInt
from engine.model.errors import Fault
from engine.model.workflow import DEFINITION_BYTES_MAX

_IN_QUOTES = "put a text with {{ }} in quotes"
DEPTH_MAX = 64
ALIASES_MAX = 100
EXPANDED_MAX = 100_000
_CONTROLS_SHOWN = 20

_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMERIC = frozenset("-+.0123456789")
_DIGITS_MAX = 400


class YamlRefusedError(Exception):
    """Reading cannot go on; the fault says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def read_yaml(text: str, file: str) -> tuple[Any, list[Fault]]:
    """The document's value and the faults of its form; with faults the value is good for finding more, not for use."""
    faults = _control_faults(text, file)
    if faults:
        return None, faults
    reader = _Reader(text, file)
    try:
        return reader.read(), reader.faults
    except YamlRefusedError as refused:
        return reader.document, [*reader.faults, refused.fault]


def _control_faults(text: str, file: str) -> list[Fault]:
    if len(text) > DEFINITION_BYTES_MAX:
        return [Fault(f"a definition has at most {DEFINITION_BYTES_MAX // 2**20} MiB", file)]
    faults: list[Fault] = []
    for match in _CONTROL.finditer(text, 1 if text.startswith("\ufeff") else 0):
        line = text.count("\n", 0, match.start()) + 1
        column = match.start() - text.rfind("\n", 0, match.start())
        hint = "within double quotes it can be written as an escape"
        faults.append(Fault(f"the control character {match[0]!a}", file, line, column, hint=hint))
        if len(faults) == _CONTROLS_SHOWN:
            break
    return faults


def _events(text: str, file: str) -> Iterator[Any]:
    """The parser's events; what it raises becomes YamlRefusedError with a line."""
    # The C parser is ten times as fast; without libyaml the pure one gives the same events.
    loader = cast("Any", getattr(yaml, "CSafeLoader", yaml.SafeLoader))(text.removeprefix("\ufeff"))
    next_event = loader.get_event
    try:
        while (event := next_event()) is not None:
            yield event
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        message = ", ".join(part for part in (error.problem, error.context) if part)
        # The commonest mistake by far: to YAML, bare braces begin a map.
        hint = _IN_QUOTES if "{{" in _line(text, line) else ""
        raise YamlRefusedError(Fault(f"this is not YAML: {shown(message)}", file, line, column, hint=hint)) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise YamlRefusedError(Fault(f"this is not YAML: {shown(str(error))}", file)) from None


def _line(text: str, number: int) -> str:
    start = 0
    for _ in range(number - 1):
        start = text.find("\n", start) + 1
    end = text.find("\n", start)
    return text[start : end if end >= 0 else len(text)]


def resolve(raw: str) -> Any:
    """The value of a plain scalar by the core schema. Raises ValueError with a sentence for what has no place here."""
    if raw in _WORDS:
        return _WORDS[raw]
    if raw[0] not in _NUMERIC:
        return raw
    if len(raw) > _DIGITS_MAX:
        return raw
    if _INTEGER.fullmatch(raw):
        value = int(raw)
    elif _OCTAL.fullmatch(raw):
        value = int(raw[2:], 8)
    elif _HEXADECIMAL.fullmatch(raw):
        value = int(raw[2:], 16)
    elif _FLOAT.fullmatch(raw):
        return _float(raw)
    elif _NOT_FINITE.fullmatch(raw):
        raise ValueError(f"{raw} has no place in a workflow; quote it if a text is meant")
    else:
        return raw
    if not -(2**63) <= value < 2**63:
        raise ValueError("a whole number has at most 63 bits; quote it if a text is meant")
    if str(value) == raw:
        return value
    written = WrittenInt(value)
    written.raw = raw
    return written


def _float(raw: str) -> float:
    value = float(raw)
    if value in (float("inf"), float("-inf")):
        raise ValueError("this number is too large; quote it if a text is meant")
    if repr(value) == raw:
        return value
    written = WrittenFloat(value)
    written.raw = raw
    return written


_NO_KEY = object()


class _Reader:
    """One pass over the events. `_stack` holds, for every open container, what is needed when it closes."""

    def __init__(self, text: str, file: str) -> None:
        self.document: Any = None
        self.faults: list[Fault] = []
        self._file = file
        self._text = text
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._aliases = 0
        self._expanded = 0
        self._count = 0

    def read(self) -> Any:
        """The value of the one document."""
        stack: list[tuple[Any, Any, str | None, int]] = []
        container: Any = None
        key: Any = _NO_KEY
        documents = 0
        for event in _events(self._text, self._file):
            kind: type[Any] = event.__class__
            if kind is ScalarEvent:
                if container.__class__ is dict and key is _NO_KEY:
                    key = self._key(container, event)
                    continue
                value = self._scalar(event)
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                self._open(event, len(stack), in_key=container.__class__ is dict and key is _NO_KEY)
                stack.append((container, key, event.anchor, self._count))
                container, key = ({} if kind is MappingStartEvent else []), _NO_KEY
                continue
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                value = container
                container, key, anchor, start = stack.pop()
                if anchor:
                    self._anchors[anchor] = (value, self._count - start)
            elif kind is AliasEvent:
                if container.__class__ is dict and key is _NO_KEY:
                    self._refuse(event, "an alias cannot be a key")
                value = self._alias(event)
            else:
                documents += kind is DocumentStartEvent
                if documents > 1:
                    self._refuse(event, "a file holds one workflow, not several documents", "remove the `---`")
                continue
            self._count += 1
            if container is None:
                self.document = value
            elif container.__class__ is dict:
                container[key] = value
                key = _NO_KEY
            else:
                container.append(value)
        return self.document

    def _key(self, mapping: Any, event: Any) -> str:
        key: str = event.value
        if event.tag or event.anchor:
            self._fault(event, "a key has neither tag nor anchor")
        if key == "<<" and not event.style:
            self._fault(event, "merge keys are not supported", "write the keys out, or use `defaults:`")
        elif key in mapping:
            self._fault(event, f"the key {shown(key)} is there twice", "keep one of the two")
        return key

    def _scalar(self, event: Any) -> Any:
        value: Any = event.value
        if event.tag:
            self._fault(event, f"the tag {shown(event.tag)} is not supported", "write the plain value")
        elif not event.style and (not value or value[0] in "-+.0123456789~nNtTfF"):
            try:
                value = resolve(value)
            except ValueError as error:
                self._fault(event, str(error))
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)
        return value

    def _open(self, event: Any, depth: int, *, in_key: bool) -> None:
        if in_key:
            self._refuse(event, "a key is a text, not a list or a map", _IN_QUOTES if event.flow_style else "")
        if depth >= DEPTH_MAX:
            self._refuse(event, f"the document nests deeper than {DEPTH_MAX}")
        if event.tag:
            self._fault(event, f"the tag {shown(event.tag)} is not supported", "write the plain value")

    def _alias(self, event: Any) -> Any:
        self._aliases += 1
        if self._aliases > ALIASES_MAX:
            self._refuse(event, f"a document has at most {ALIASES_MAX} aliases")
        if event.anchor not in self._anchors:
            self._refuse(event, f"the alias *{shown(event.anchor)} stands for nothing that is complete before it")
        value, size = self._anchors[event.anchor]
        self._expanded += size
        self._count += size
        if self._expanded > EXPANDED_MAX:
            self._refuse(event, f"the aliases stand for more than {EXPANDED_MAX} values")
        return value

    def _made(self, event: Any, message: str, hint: str) -> Fault:
        mark = event.start_mark
        return Fault(message, self._file, mark.line + 1, mark.column + 1, hint=hint)

    def _fault(self, event: Any, message: str, hint: str = "") -> None:
        if len(self.faults) < 1_000:
            self.faults.append(self._made(event, message, hint))

    def _refuse(self, event: Any, message: str, hint: str = "") -> None:
        raise YamlRefusedError(self._made(event, message, hint))


class Places:
    """Lines and columns by path; made only when there is something to say about a document."""

    def __init__(self, text: str) -> None:
        self._root: Any = None
        try:
            self._read(text)
        except YamlRefusedError:
            pass

    def __call__(self, path: Path) -> tuple[int, int]:
        """Line and column of the deepest part of the path that the document has; (0, 0) when it has none."""
        place: tuple[int, int] = (0, 0)
        below: Any = self._root
        for part in path:
            is_item = below.__class__ is list and isinstance(part, int) and part < len(below)
            if not is_item and not (below.__class__ is dict and part in below):
                break
            place, below = below[part]
        return place

    def _read(self, text: str) -> None:
        """Every container becomes one of (place, container below): lists by index, maps by key."""
        stack: list[Any] = []
        anchors: dict[str, Any] = {}
        container: Any = None
        key: Any = _NO_KEY
        place = (0, 0)
        for event in _events(text, ""):
            kind: type[Any] = event.__class__
            value: Any = None
            if kind is ScalarEvent and container.__class__ is dict and key is _NO_KEY:
                key, place = event.value, (event.start_mark.line + 1, event.start_mark.column + 1)
                continue
            if container.__class__ is list:
                place = (event.start_mark.line + 1, event.start_mark.column + 1)
            if kind is MappingStartEvent or kind is SequenceStartEvent:
                if len(stack) > DEPTH_MAX:
                    return
                stack.append((container, key, event.anchor, place))
                container, key = ({} if kind is MappingStartEvent else []), _NO_KEY
                self._root = container if self._root is None else self._root
                continue
            if kind is MappingEndEvent or kind is SequenceEndEvent:
                value = container
                container, key, anchor, place = stack.pop()
                if anchor:
                    anchors[anchor] = value
            elif kind is AliasEvent:
                value = anchors.get(event.anchor)
            elif kind is not ScalarEvent:
                continue
            if container.__class__ is dict:
                container[key] = (place, value)
                key = _NO_KEY
            elif container.__class__ is list:
                container.append((place, value))
