"""Values in shell scripts. Each is inserted as one word between single quotes, whatever it holds.

That is safe only where the shell is reading plain words. Inside quotes, comments, here-documents, `${ }`,
arithmetic and backquotes a quoted word means something else, so there an expression is a fault when the
script is compiled. The reader below follows the shell's quoting far enough to know; where sh and bash
differ, or it would need a full parser, it gives up on the rest of the script and refuses what follows. It
may refuse what would have been safe, never the other way round.
"""

import re
from functools import lru_cache
from typing import Any

from engine.expressions.faults import ExpressionFault
from engine.expressions.templates import Expression, Template, split
from engine.expressions.values import text_of

_ADVICE = 'every parameter is also in the environment: "$PARAM_name"; `env:` can set more'
_WORD_BREAK = frozenset(" \t\n;&|()<>")
_HEREDOC = re.compile(r"<<(-?)[ \t]*(?:'([^'\n]+)'|\"([^\"\n\\$`]+)\"|([A-Za-z0-9_.+-]+))")
_CASE = re.compile(r"\bcase\b")


class ShellTemplate(Template):
    """A script; `render_text` inserts every value as one quoted word."""

    __slots__ = ()

    def render(self, scope: Any) -> str:
        """The script: never a typed value."""
        return self.render_text(scope)

    def insert(self, value: Any) -> str:
        """The value between single quotes, so that the shell sees one word and nothing else."""
        text = text_of(value)
        if "\0" in text:
            raise ExpressionFault("a NUL cannot stand in a shell script")
        return quote(text)


def quote(text: str) -> str:
    """One shell word. Always quoted: a bare `if`, `a=b` or `2` could be taken for a keyword, an
    assignment, a stream.
    """
    return "'" + text.replace("'", "'\"'\"'") + "'"


def compile_shell(script: str) -> ShellTemplate:
    """The template of a script. Raises ExpressionFault, also for an expression where quoting would not hold."""
    if "{{" not in script:
        return ShellTemplate(script, (script,))
    return _compile_shell(script)


@lru_cache(maxsize=1_024)
def _compile_shell(script: str) -> ShellTemplate:
    parts = split(script)
    reader = _Reader()
    at = 0
    for part in parts:
        if isinstance(part, Expression):
            at = script.index("{{", at)
            reason = reader.unsafe()
            if reason:
                raise ExpressionFault(f"`{{{{ {part.text.strip()[:60]} }}}}` stands {reason}", at, _ADVICE)
            reader.word()
            at += len(part.text) + 4
        else:
            reader.read(part)
            at += len(part)
    return ShellTemplate(script, parts)


class _Reader:
    """Where in the shell's quoting the script has come to. The stack holds what is open: `"`, `$(`, `${`, `((`, `[`
    and `=(`.
    """

    def __init__(self) -> None:
        self._stack: list[str] = []
        self._poison = ""
        self._mode = ""
        self._heredocs: list[tuple[str, bool]] = []
        self._line = ""
        self._before = "\n"

    def unsafe(self) -> str:
        """Why a value may not be inserted here; empty when it may."""
        if self._poison:
            return self._poison
        if self._mode:
            return {"'": "inside single quotes", "\\": "behind a backslash", "#": "inside a comment"}.get(
                self._mode, "inside a here-document"
            )
        for opened, place in (
            ('"', "inside double quotes"),
            ("${", "inside ${ }"),
            ("((", "inside arithmetic"),
            ("[", "inside [ ], which may be a subscript"),
        ):
            if opened in self._stack:
                return place
        return "behind a dollar sign" if self._before == "$" else ""

    def word(self) -> None:
        """A quoted word was inserted."""
        self._before = "'"

    def read(self, text: str) -> None:
        """Follow a literal piece of the script."""
        at = 0
        while at < len(text) and not self._poison:
            at = self._step(text, at)

    def _step(self, text: str, at: int) -> int:
        if self._mode == "<<":
            return self._heredoc_line(text, at)
        char = text[at]
        if self._mode == "\\":
            self._mode = ""
            self._before = "\\"
            return at + 1
        if self._mode in ("'", "#"):
            if char == ("'" if self._mode == "'" else "\n"):
                self._mode = ""
                return self._newline(at) if char == "\n" else self._plain(char, at)
            return at + 1
        if char == "\\":
            self._mode = "\\"
            return at + 1
        if text.startswith("$[", at):
            # To bash an old form of arithmetic, in which a quoted value is still expanded; to sh two characters.
            self._poison = "behind $[, which sh and bash read differently"
            return at + 2
        if char == "`":
            # A backquoted command is read twice by the shell: too much to follow.
            self._poison = "behind a backquote"
            return at + 1
        return self._in_double(text, at) if self._top() in ('"', "${", "((") else self._in_words(text, at)

    def _top(self) -> str:
        return self._stack[-1] if self._stack else ""

    def _in_double(self, text: str, at: int) -> int:
        char, top = text[at], self._top()
        if char == "$" and text[at + 1 : at + 2] in ("(", "{"):
            return self._open(text, at)
        if top == '"':
            if char == '"':
                self._stack.pop()
            return self._plain(char, at)
        if top == "${":
            if char in "'\"#" and not (char == "#" and self._before in "{$"):
                # Quotes in ${ } mean different things to sh and bash, and inside or outside of double quotes.
                self._poison = "behind quotes inside ${ }" if char != "#" else self._poison
            if char == "}":
                self._stack.pop()
            return self._plain(char, at)
        if char in "'\"#" or text.startswith("<<", at) or char == "\n":
            self._poison = "behind an arithmetic expansion that cannot be followed"
        if char == "(":
            self._stack.append("((")
        elif char == ")":
            self._stack.pop()
        return self._plain(char, at)

    def _open(self, text: str, at: int) -> int:
        if text[at + 1] == "{":
            self._stack.append("${")
            return self._plain("{", at + 1)
        if text.startswith("((", at + 1):
            self._stack += ["((", "(("]
            return self._plain("(", at + 2)
        if _CASE.search(text, at):
            # The `)` of a case pattern would be taken for the end of the substitution.
            self._poison = "behind a `case` inside $( )"
        self._stack.append("$(")
        return self._plain("(", at + 1)

    def _in_words(self, text: str, at: int) -> int:
        char = text[at]
        if char == "$" and text[at + 1 : at + 2] == "'":
            # In bash a backslash can hide the closing quote, in sh it cannot.
            closing = text.find("'", at + 2)
            if closing < 0 or "\\" in text[at + 2 : closing]:
                self._poison = "behind $'...', which sh and bash read differently"
            return self._plain("'", closing) if closing >= 0 else len(text)
        if char == "$" and text[at + 1 : at + 2] in ("(", "{"):
            return self._open(text, at)
        if char == '"':
            self._stack.append('"')
        elif char == "'":
            self._mode = "'"
        elif char == "#" and self._before in _WORD_BREAK:
            self._mode = "#"
        elif char == "\n":
            return self._newline(at)
        elif text.startswith("<<", at):
            return self._heredoc(text, at)
        elif text.startswith("((", at):
            self._stack += ["((", "(("]
            return self._plain("(", at + 1)
        elif text.startswith("[[", at) and self._before in _WORD_BREAK:
            return self._plain("[", at + 1)
        elif char == "[" and self._may_be_subscript(text, at):
            self._stack.append("[")
        elif char == "(":
            self._stack.append("=(" if self._before == "=" else "$(")
        elif (char == ")" and self._stack) or (char == "]" and self._top() == "["):
            self._stack.pop()
        return self._plain(char, at)

    def _may_be_subscript(self, text: str, at: int) -> bool:
        """To bash a subscript is arithmetic: a quoted value in it is still expanded. The command `[` stands alone."""
        alone = self._before in _WORD_BREAK and text[at + 1 : at + 2] in (" ", "\t", "\n")
        return not alone or self._top() == "=("

    def _plain(self, char: str, at: int) -> int:
        self._before = char
        return at + 1

    def _heredoc(self, text: str, at: int) -> int:
        if text.startswith("<<<", at):
            return self._plain("<", at + 2)
        match = _HEREDOC.match(text, at)
        ends = match is not None and (match.end() == len(text) or text[match.end()] in _WORD_BREAK)
        if match is None or not ends or match.end() == len(text) or self._stack:
            self._poison = "behind a here-document whose end cannot be told"
            return at + 2
        self._heredocs.append((match[2] or match[3] or match[4], bool(match[1])))
        return self._plain("E", match.end() - 1)

    def _newline(self, at: int) -> int:
        if self._heredocs:
            self._mode, self._line = "<<", ""
        return self._plain("\n", at)

    def _heredoc_line(self, text: str, at: int) -> int:
        end = text.find("\n", at)
        if end < 0:
            self._line += text[at:]
            return len(text)
        line = self._line + text[at:end]
        self._line = ""
        word, tabs = self._heredocs[0]
        if (line.lstrip("\t") if tabs else line) == word:
            self._heredocs.pop(0)
            if not self._heredocs:
                self._mode = ""
        return self._plain("\n", end)
