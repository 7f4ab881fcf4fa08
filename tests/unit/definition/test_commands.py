"""Which `run:` texts are started without a shell, and that they mean the same as with one."""

import shlex
import subprocess

import pytest

from engine.definition.commands import command_of
from engine.expressions import compile_template
from engine.model.workflow import Command, Shell


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("./publish.sh --day 2026-01-01", ("./publish.sh", "--day", "2026-01-01")),
        ("  sleep\t5 ", ("sleep", "5")),
        ("true", ("true",)),
        ("cp a.txt b/c,d@e:f%g+h=i", ("cp", "a.txt", "b/c,d@e:f%g+h=i")),
        ("./x {{ item }}", ("./x", "{{ item }}")),
        ("./x --n={{ item }}/y {{ a }}{{ b }} z", ("./x", "--n={{ item }}/y", "{{ a }}{{ b }}", "z")),
        ("./x a{{ 'two words' }}", ("./x", "a{{ 'two words' }}")),
    ],
)
def test_plain_words_are_executed_directly(text: str, argv: tuple[str, ...]) -> None:
    assert command_of(text) == Command(argv)


@pytest.mark.parametrize(
    "text",
    [
        "a | b", "a && b", "a; b", "a > b", "a $X", "a `b`", "a 'b'", 'a "b"', "a *.txt", "a b?", "a [x]", "~/x",
        "a #b",
        "a\nb", "X=1 a", "echo x", "cd /tmp", "exit 3", "if true", "export A=1", ". ./x", ": x", "{{ item }} x", "! a",
        "a {b,c}", "a \\ b", "{{ 1 +", "./x{{ item }}", "test -f x", "time x", "a 'b {{ item }}'", "  ", "a (b)",
    ],
)  # fmt: skip
def test_everything_else_goes_to_the_shell(text: str) -> None:
    assert command_of(text) == Shell(text)


@pytest.mark.parametrize(
    "text", ["/usr/bin/env printf %s- a b,c @d:e =f", "/usr/bin/env printf %s- x{{ item }}y {{ item }}"]
)
def test_a_direct_command_does_what_the_shell_would_do(text: str) -> None:
    command = command_of(text)
    assert isinstance(command, Command)
    scope = {"item": "two  words; $(x)"}
    argv = [compile_template(word).render_text(scope) for word in command.argv]
    script = text.replace("{{ item }}", shlex.quote(scope["item"]))
    assert subprocess.check_output(argv) == subprocess.check_output(["/bin/sh", "-c", script])
