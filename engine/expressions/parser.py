"""From tokens to a chain of closures. Grammar, loosest first:

    conditional  or ["if" or "else" conditional]
    or, and      operators of equal rank in a row become one chain, so a long sum is not a deep tree
    not          "not" not | comparison (one only: `a < b < c` is refused)
    sum, product, power, sign
    postfix      primary (".name" | "[" conditional "]")*

What nests is counted and bounded, so neither parsing nor evaluating can exhaust the stack.
"""

from collections.abc import Callable, Mapping
from typing import Any

from engine.expressions.faults import ExpressionFault, did_you_mean
from engine.expressions.functions import FUNCTIONS, Function
from engine.expressions.lexer import Token
from engine.expressions.operators import BINARY, Binary, get_index, get_member, negate
from engine.expressions.values import Budget

Scope = Mapping[str, Any]
Code = Callable[[Scope, Budget], Any]
Path = tuple[str, ...]

NESTING_MAX = 50
_RANKS = {
    "or": 1, "and": 2, "in": 4, "not in": 4, "==": 4, "!=": 4, "<": 4, "<=": 4, ">": 4, ">=": 4,
    "+": 5, "-": 5, "*": 6, "/": 6, "//": 6, "%": 6, "**": 8,
}  # fmt: skip
_NOT, _COMPARISON, _SIGN, _POWER = 3, 4, 7, 8
_LITERALS = {"true": True, "false": False, "null": None}
_WORDS = frozenset({"or", "and", "not", "in", "if", "else", *_LITERALS})
_FOREIGN = {"True": "true", "False": "false", "None": "null", "&&": "and", "||": "or", "!": "not"}


class Parser:
    """One use: `parse()` gives the code; `references` and `is_path` then say what it reads."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self.references: set[Path] = set()
        self.is_path = False

    def parse(self) -> Code:
        """The code of the whole text. Raises ExpressionFault."""
        if self._peek().kind == "end":
            raise ExpressionFault("there is no expression here", self._peek().offset)
        code = self._conditional()
        token = self._peek()
        if token.kind != "end":
            raise ExpressionFault(f"{_shown(token)} is not expected here", token.offset)
        return code

    # --- tokens

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        if token.kind != "end":
            self._at += 1
        return token

    def _is(self, word: str) -> bool:
        token = self._peek()
        return token.value == word and token.kind in ("op", "name")

    def _accept(self, word: str) -> bool:
        if self._is(word):
            self._at += 1
            return True
        return False

    def _expect(self, word: str) -> None:
        token = self._take()
        if token.value != word or token.kind not in ("op", "name"):
            raise ExpressionFault(f"`{word}` is expected here, not {_shown(token)}", token.offset)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise ExpressionFault(f"an expression nests at most {NESTING_MAX} deep", self._peek().offset)

    # --- grammar

    def _conditional(self) -> Code:
        self._deeper()
        value = self._binary(1)
        if self._accept("if"):
            self.is_path = False
            condition = self._binary(1)
            self._expect("else")
            value = _choose(condition, value, self._conditional())
            self.is_path = False
        self._depth -= 1
        return value

    def _binary(self, rank: int) -> Code:
        left = self._unary(rank)
        compared = False
        while True:
            operator, offset = self._operator()
            found = _RANKS.get(operator, 0)
            if found < rank or not found:
                return left
            if found == _COMPARISON:
                if compared:
                    raise ExpressionFault("comparisons do not chain", offset, "write a < b and b < c")
                compared = True
            elif found < _COMPARISON:
                compared = False
            left = self._chain(left, found)
            self.is_path = False

    def _operator(self) -> tuple[str, int]:
        token = self._peek()
        if token.kind not in ("op", "name"):
            return "", token.offset
        if token.value == "not" and self._tokens[self._at + 1].value == "in":
            return "not in", token.offset
        return str(token.value), token.offset

    def _chain(self, first: Code, rank: int) -> Code:
        """All operators of one rank that follow each other, the right sides binding tighter."""
        rest: list[tuple[str, int, Code]] = []
        while True:
            operator, offset = self._operator()
            if _RANKS.get(operator) != rank or (rank == _COMPARISON and rest):
                break
            self._at += 2 if operator == "not in" else 1
            if rank == _POWER:
                self._deeper()
                rest.append((operator, offset, self._binary(_SIGN)))
                self._depth -= 1
            else:
                rest.append((operator, offset, self._binary(rank + 1)))
        if rank <= 2:
            return _either(first, [code for _, _, code in rest], stop_when=rank == 1)
        return _calculation(first, [(BINARY[operator], offset, code) for operator, offset, code in rest])

    def _unary(self, rank: int) -> Code:
        if rank <= _NOT and self._is("not"):
            self._deeper()
            self._take()
            code = _negation(self._binary(_NOT))
        elif self._is("-") or self._is("+"):
            self._deeper()
            sign = self._take()
            code = _signed(self._binary(_SIGN), sign.offset, minus=sign.value == "-")
        else:
            return self._postfix()
        self._depth -= 1
        self.is_path = False
        return code

    def _postfix(self) -> Code:
        code, path = self._primary()
        steps: list[tuple[Callable[[Any, Any], Any], Any, int]] = []
        frozen = path is None
        while True:
            token = self._peek()
            if self._accept("."):
                name = self._member_name()
                steps.append((get_member, name, token.offset))
                path = path if frozen or path is None else (*path, name)
            elif self._accept("["):
                literal = self._peek()
                key = self._conditional()
                self._expect("]")
                static = literal.kind == "string" and self._tokens[self._at - 2] is literal
                steps.append((get_index, literal.value if static else key, token.offset))
                if static and not frozen and path is not None:
                    path = (*path, str(literal.value))
                else:
                    frozen = True
            else:
                break
        if path is not None:
            self.references.add(path)
        self.is_path = path is not None
        return _walk(code, steps) if steps else code

    def _member_name(self) -> str:
        token = self._take()
        if token.kind != "name":
            raise ExpressionFault(f"a name is expected after the dot, not {_shown(token)}", token.offset)
        name = str(token.value)
        if name.startswith("_"):
            raise ExpressionFault(f"a name that starts with an underscore is out of reach: {name[:40]}", token.offset)
        return name

    def _primary(self) -> tuple[Code, Path | None]:
        token = self._take()
        if token.kind in ("number", "string"):
            return _constant(token.value), None
        if token.kind == "name":
            return self._named(token)
        if token.kind == "op" and token.value == "(":
            code = self._conditional()
            self._expect(")")
            return code, None
        if token.kind == "op" and token.value == "[":
            return _listing(self._items("]")), None
        if token.kind == "op" and token.value == "{":
            return self._mapping(), None
        raise ExpressionFault(f"a value is expected here, not {_shown(token)}", token.offset)

    def _named(self, token: Token) -> tuple[Code, Path | None]:
        name = str(token.value)
        if name in _LITERALS:
            return _constant(_LITERALS[name]), None
        if name in _WORDS:
            raise ExpressionFault(f"a value is expected here, not {_shown(token)}", token.offset)
        if name.startswith("_"):
            raise ExpressionFault(f"a name that starts with an underscore is out of reach: {name[:40]}", token.offset)
        if self._accept("("):
            return self._call(name, token.offset), None
        if name in _FOREIGN:
            raise ExpressionFault(f"{name} is not known", token.offset, f"write {_FOREIGN[name]}")
        return _lookup(name, token.offset), (name,)

    def _call(self, name: str, offset: int) -> Code:
        function = FUNCTIONS.get(name)
        if function is None:
            raise ExpressionFault(f"there is no function {name[:40]}()", offset, did_you_mean(name, list(FUNCTIONS)))
        arguments = self._items(")")
        if not function.least <= len(arguments) <= function.most:
            expected = (
                str(function.least) if function.least == function.most else f"{function.least} to {function.most}"
            )
            raise ExpressionFault(f"{name}() takes {expected} values, not {len(arguments)}", offset, function.help)
        return _application(function, arguments, offset)

    def _items(self, end: str) -> list[Code]:
        items: list[Code] = []
        while not self._accept(end):
            items.append(self._conditional())
            if not self._is(end):
                self._expect(",")
        return items

    def _mapping(self) -> Code:
        keys: list[str] = []
        values: list[Code] = []
        while not self._accept("}"):
            token = self._take()
            if token.kind not in ("string", "name"):
                raise ExpressionFault(f"a key is a name or a text, not {_shown(token)}", token.offset)
            keys.append(str(token.value))
            self._expect(":")
            values.append(self._conditional())
            if not self._is("}"):
                self._expect(",")
        return lambda scope, budget: {key: value(scope, budget) for key, value in zip(keys, values, strict=True)}


# --- what the closures do


def _shown(token: Token) -> str:
    return "the end" if token.kind == "end" else f"`{str(token.value)[:40]}`"


def _constant(value: Any) -> Code:
    return lambda _scope, _budget: value


def _listing(items: list[Code]) -> Code:
    return lambda scope, budget: [item(scope, budget) for item in items]


def _lookup(name: str, offset: int) -> Code:
    def look(scope: Scope, _budget: Budget) -> Any:
        try:
            return scope[name]
        except KeyError:
            raise ExpressionFault(f"{name[:40]} is not known here", offset, did_you_mean(name, list(scope))) from None

    return look


def _choose(condition: Code, yes: Code, no: Code) -> Code:
    return lambda scope, budget: yes(scope, budget) if condition(scope, budget) else no(scope, budget)


def _either(first: Code, rest: list[Code], *, stop_when: bool) -> Code:
    def either(scope: Scope, budget: Budget) -> Any:
        value = first(scope, budget)
        for code in rest:
            if bool(value) is stop_when:
                break
            value = code(scope, budget)
        return value

    return either


def _calculation(first: Code, rest: list[tuple[Binary, int, Code]]) -> Code:
    def calculate(scope: Scope, budget: Budget) -> Any:
        value = first(scope, budget)
        for operate, offset, code in rest:
            right = code(scope, budget)
            try:
                value = operate(budget, value, right)
            except ExpressionFault as fault:
                raise _placed(fault, offset) from None
        return value

    return calculate


def _negation(code: Code) -> Code:
    return lambda scope, budget: not code(scope, budget)


def _signed(code: Code, offset: int, *, minus: bool) -> Code:
    def signed(scope: Scope, budget: Budget) -> Any:
        try:
            value = negate(budget, code(scope, budget))
            return value if minus else -value
        except ExpressionFault as fault:
            raise _placed(fault, offset) from None

    return signed


def _walk(start: Code, steps: list[tuple[Callable[[Any, Any], Any], Any, int]]) -> Code:
    def walk(scope: Scope, budget: Budget) -> Any:
        value = start(scope, budget)
        for get, key, offset in steps:
            try:
                value = get(value, key(scope, budget) if callable(key) else key)
            except ExpressionFault as fault:
                raise _placed(fault, offset) from None
        return value

    return walk


def _application(function: Function, arguments: list[Code], offset: int) -> Code:
    call = function.call

    def apply(scope: Scope, budget: Budget) -> Any:
        values = [argument(scope, budget) for argument in arguments]
        try:
            return call(budget, *values)
        except ExpressionFault as fault:
            raise _placed(fault, offset) from None

    return apply


def _placed(fault: ExpressionFault, offset: int) -> ExpressionFault:
    if fault.position < 0:
        fault.position = offset
    return fault
