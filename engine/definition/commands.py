"""Whether a `run:` text needs a shell.

A text whose words are all plain means the same with and without a shell, and is started directly, which
saves the shell's start (some 300 us). Only the syntax decides: what is in the PATH of the host is not known
here. Names that a shell would answer itself go to the shell, so that they mean what they say; `true` and
`false` are the exceptions, because POSIX demands them as programs and they do the same.
"""

import re

from engine.expressions import Expression, ExpressionFault, compile_template
from engine.model.workflow import Command, Shell

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=\t -]*")
# fmt: off
_SHELLS_OWN = frozenset(
    [
        ".", ":", "[", "alias", "bg", "bind", "break", "builtin", "caller", "case", "cd", "command",
        "compgen", "complete", "compopt", "continue", "coproc", "declare", "dirs", "disown", "do", "done",
        "echo", "elif", "else", "enable", "esac", "eval", "exec", "exit", "export", "fc", "fg", "fi", "for",
        "function", "getopts", "hash", "help", "history", "if", "in", "jobs", "kill", "let", "local",
        "logout", "mapfile", "newgrp", "popd", "printf", "pushd", "pwd", "read", "readarray", "readonly",
        "return", "select", "set", "shift", "shopt", "source", "suspend", "test", "then", "time", "times",
        "trap", "type", "typeset", "ulimit", "umask", "unalias", "unset", "until", "wait", "while",
    ]
)
# fmt: on


def command_of(text: str) -> Command | Shell:
    """The words to execute, or the script for `sh`."""
    try:
        parts = compile_template(text).parts
    except ExpressionFault:
        return Shell(text)
    words: list[str] = []
    inside = False
    for part in parts:
        if isinstance(part, Expression):
            piece = "{{" + part.text + "}}"
            words = [*words[:-1], words[-1] + piece] if inside else [*words, piece]
            inside = True
            continue
        if _PLAIN.fullmatch(part) is None:
            return Shell(text)
        pieces = part.split()
        if inside and pieces and not part[0].isspace():
            words[-1] += pieces.pop(0)
        words += pieces
        inside = not part[-1].isspace() if part else inside
    first = words[0] if words else ""
    if not first or "{{" in first or "=" in first or first in _SHELLS_OWN:
        return Shell(text)
    return Command(tuple(words))
