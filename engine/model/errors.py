"""What can be wrong, said so that a person can act on it.

Every refusal carries a sentence (what happened), optionally a place (file, line, column, field) and a hint (what to
do). `code` is stable for programs; `exit_code` is what a verb that meets the error ends with.
"""

import msgspec


class EngineError(Exception):
    """A refusal with a sentence for people; children say which kind it is."""

    code = "error"
    exit_code = 2

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint


class ValueFault(EngineError):
    """A value was written that means nothing where it stands."""

    code = "invalid_value"


class NotFound(EngineError):
    """What was named does not exist."""

    code = "not_found"
    exit_code = 3


class Conflict(EngineError):
    """The target is no longer as the requester saw it, or is in a state in which the act makes no sense."""

    code = "conflict"
    exit_code = 3


class Unavailable(EngineError):
    """The engine cannot do it now: read-only, stopping, or not running."""

    code = "unavailable"
    exit_code = 3


class Forbidden(EngineError):
    """The requester's role does not allow it."""

    code = "forbidden"
    exit_code = 3


class IllegalTransition(EngineError):
    """An event met a status that its table has no row for. A fault of ours: nothing was changed."""

    code = "illegal_transition"


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fault of a definition: `line` and `column` count from 1, 0 is unknown; `field` is a dotted path."""

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    field: str = ""
    hint: str = ""

    def render(self) -> str:
        """`file:line: field: message (hint)`, the line that an operator reads."""
        place = self.file + (f":{self.line}" if self.line else "")
        parts = [part for part in (place, self.field) if part]
        text = ": ".join([*parts, self.message])
        return f"{text} ({self.hint})" if self.hint else text


class DefinitionError(EngineError):
    """A definition has faults: all of them, in the order of their lines."""

    code = "invalid_definition"

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(fault.render() for fault in faults))
        self.faults = faults
