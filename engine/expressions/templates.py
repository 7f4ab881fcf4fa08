"""Texts with `{{ }}` in them, compiled once and rendered often.

A text that is exactly one `{{ }}` has the type of its expression; any other is a text into which values are
written. Equal texts share one compiled object; a text without `{{` costs a look for it and nothing else.
"""

import re
from functools import lru_cache
from typing import Any, cast

from engine.expressions.faults import ExpressionFault
from engine.expressions.lexer import EXPRESSION_CHARS_MAX, tokenize
from engine.expressions.parser import Parser, Path, Scope
from engine.expressions.values import TEXT_CHARS_MAX, VALUE_BYTES_MAX, Budget, size_of, text_of

_CACHE_SIZE = 4_096
_SIMPLE = re.compile(r"""\{\{([^{}"']*)\}\}""")
_TEMPLATE_EXPRESSIONS_MAX = 10_000


class Expression:
    """One compiled expression. `references` are the paths that it reads, such as ("needs", "extract", "result")."""

    __slots__ = ("_code", "_is_path", "references", "text")

    def __init__(self, text: str) -> None:
        if len(text) > EXPRESSION_CHARS_MAX:
            raise ExpressionFault(f"an expression has at most {EXPRESSION_CHARS_MAX} characters", 0)
        try:
            parser = Parser(tokenize(text)[0])
            self._code = parser.parse()
        except ExpressionFault as fault:
            raise fault.locate(text) from None
        except RecursionError:
            raise ExpressionFault("the expression nests too deep", 0).locate(text) from None
        self.text = text
        self.references: frozenset[Path] = frozenset(parser.references)
        self._is_path = parser.is_path

    def evaluate(self, scope: Scope) -> Any:
        """The value in this scope: JSON's kinds, or a range. Raises ExpressionFault."""
        try:
            value = self._code(scope, Budget())
            if (
                not self._is_path
                and isinstance(value, list | dict)
                and size_of(value, VALUE_BYTES_MAX) > VALUE_BYTES_MAX
            ):
                raise ExpressionFault("the value has more than 64 MiB")
        except ExpressionFault as fault:
            raise fault.locate(self.text) from None
        except RecursionError:
            raise ExpressionFault("the values nest too deep", 0).locate(self.text) from None
        except OverflowError:  # what a task gave as its result may be any number
            raise ExpressionFault("a number is too large", 0).locate(self.text) from None
        return cast("Any", value)


class Template:
    """A compiled text: literal pieces and expressions in turn."""

    __slots__ = ("constant", "parts", "references", "single", "text")

    def __init__(self, text: str, parts: tuple[str | Expression, ...]) -> None:
        self.text = text
        self.parts = parts
        expressions = [part for part in parts if isinstance(part, Expression)]
        self.constant = not expressions
        lone = len(expressions) == 1 and all(isinstance(part, Expression) or not part.strip() for part in parts)
        self.single: Expression | None = expressions[0] if lone else None
        self.references: frozenset[Path] = frozenset().union(*(part.references for part in expressions))

    def render(self, scope: Scope) -> Any:
        """The value of the one expression with its type, or the text with all values written in."""
        if self.constant:
            return self.text
        return self.single.evaluate(scope) if self.single is not None else self.render_text(scope)

    def render_text(self, scope: Scope) -> str:
        """Always a text of at most 1 MiB. Raises ExpressionFault."""
        if self.constant:
            return self.text
        return joined([part if isinstance(part, str) else self.insert(part.evaluate(scope)) for part in self.parts])

    def insert(self, value: Any) -> str:
        """How a value is written into the text."""
        return text_of(value)


def joined(pieces: list[str]) -> str:
    """The pieces as one text of at most 1 MiB. Raises ExpressionFault."""
    if sum(map(len, pieces)) > TEXT_CHARS_MAX:
        raise ExpressionFault(f"the text would be longer than {TEXT_CHARS_MAX} characters")
    return "".join(pieces)


@lru_cache(maxsize=_CACHE_SIZE)
def compile_expression(text: str) -> Expression:
    """The expression of a text without `{{ }}` around it. Raises ExpressionFault."""
    return Expression(text)


def compile_condition(text: str) -> Expression:
    """As `compile_expression`, where `{{ }}` around the whole is allowed as well: the form of `when`."""
    if "{{" not in text:
        return compile_expression(text)
    template = compile_template(text)
    if template.single is None:
        raise ExpressionFault(
            "a condition is one expression", 0, "write it without {{ }}, or with one pair around it all"
        )
    return template.single


def compile_template(text: str) -> Template:
    """The template of a text. Raises ExpressionFault with the position in the whole text."""
    if "{{" not in text:
        return Template(text, (text,))
    return _compile_template(text)


@lru_cache(maxsize=_CACHE_SIZE)
def _compile_template(text: str) -> Template:
    return Template(text, split(text))


def split(text: str) -> tuple[str | Expression, ...]:
    """Literal pieces and expressions in the order of the text. Raises ExpressionFault."""
    parts: list[str | Expression] = []
    at = 0
    while (opening := text.find("{{", at)) >= 0:
        if len(parts) > 2 * _TEMPLATE_EXPRESSIONS_MAX:
            raise ExpressionFault(f"a text has at most {_TEMPLATE_EXPRESSIONS_MAX} expressions", opening)
        if opening > at:
            parts.append(text[at:opening])
        inside, at = _inside(text, opening)
        try:
            parts.append(compile_expression(inside))
        except ExpressionFault as fault:
            raise ExpressionFault(fault.sentence, max(fault.position, 0) + opening + 2, fault.hint) from None
    if at < len(text):
        parts.append(text[at:])
    return tuple(parts)


def _inside(text: str, opening: int) -> tuple[str, int]:
    """What stands between `{{` and its `}}`, and where the text goes on."""
    simple = _SIMPLE.match(text, opening)
    if simple is not None:
        return simple[1], simple.end()
    _, after = tokenize(text, opening + 2, closing=True)
    return text[opening + 2 : after - 2], after
