"""From text to tokens. One regular expression without nested repetition, so the time is linear."""

import re
from typing import NamedTuple

from engine.expressions.faults import ExpressionFault

EXPRESSION_CHARS_MAX = 16_384

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<op>\*\*|//|==|!=|<=|>=|[-+*/%<>()\[\]{},:.])
    )""",
    re.VERBOSE | re.DOTALL,
)
_SPACE = re.compile(r"\s*")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "/": "/"}
_INTEGER_DIGITS_MAX = 19
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


class Token(NamedTuple):
    """kind: number, string, name, op or end. `value` of numbers and strings is the value that they stand for."""

    kind: str
    value: str | int | float
    offset: int


def tokenize(text: str, start: int = 0, *, closing: bool = False) -> tuple[list[Token], int]:
    """The tokens from `start`, ended by an `end` token, and where the text goes on.

    With `closing`, a `}}` outside all brackets ends the expression; its absence is a fault. Raises
    ExpressionFault.
    """
    tokens: list[Token] = []
    depth = 0
    at = start
    while True:
        at = _SPACE.match(text, at).end()  # pyright: ignore[reportOptionalMemberAccess] - it matches nothing too
        if closing and depth == 0 and text.startswith("}}", at):
            tokens.append(Token("end", "", at))
            return tokens, at + 2
        if at >= len(text):
            if closing:
                raise ExpressionFault("`{{` without its `}}`", max(start - 2, 0))
            tokens.append(Token("end", "", at))
            return tokens, at
        if at - start > EXPRESSION_CHARS_MAX:
            raise ExpressionFault(f"an expression has at most {EXPRESSION_CHARS_MAX} characters", start)
        token, after = _next(text, at)
        if token.kind == "op":
            depth += (token.value in _OPENING) - (token.value in _CLOSING)
        tokens.append(token)
        at = after


def _next(text: str, at: int) -> tuple[Token, int]:
    match = _TOKEN.match(text, at)
    if match is None:
        if text[at] in "\"'":
            raise ExpressionFault("this text has no closing quote", at)
        raise ExpressionFault(f"{text[at]!r} means nothing here", at)
    kind, raw = str(match.lastgroup), match[match.lastgroup or 0]
    value: str | int | float = raw
    if kind == "number":
        value = _number(raw, at)
    elif kind == "string":
        value = _unescape(raw[1:-1], at)
    return Token(kind, value, at), match.end()


def _number(raw: str, at: int) -> int | float:
    if raw.isdecimal():
        digits = raw.lstrip("0") or "0"
        if len(digits) > _INTEGER_DIGITS_MAX or int(digits) >= 2**63:
            raise ExpressionFault("a whole number has at most 63 bits", at)
        return int(digits)
    value = float(raw)
    if value in (float("inf"), float("-inf")):
        raise ExpressionFault("this number is too large", at)
    return value


def _unescape(raw: str, at: int) -> str:
    if "\\" not in raw:
        return raw

    def one(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        if match[2] not in _ESCAPES:
            raise ExpressionFault(f"\\{match[2]} is no escape", at + 1 + match.start())
        return _ESCAPES[match[2]]

    text = _ESCAPE.sub(one, raw)
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")  # two \u may be the halves of one character
    except UnicodeDecodeError:
        raise ExpressionFault("half a character is written by \\u, without the other half", at) from None
