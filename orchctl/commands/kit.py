"""What every verb is made of: a `Command` with its options, its examples and its function, and a parser whose
errors say what was probably meant. A verb's function gets its parsed words and a `Place`, and returns the
exit code.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from orchctl.commands.output import Output
from orchctl.paths import Home

if TYPE_CHECKING:
    from orchctl.client.session import Session

SUCCEEDED = 0
RUN_FAILED = 1
USAGE = 2
REFUSED = 3
CANCELLED = 4
INTERRUPTED = 130
_COLUMNS = 80

Words = argparse.Namespace


class UsageError(Exception):
    """What was written makes no sense as a command."""

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint


class Place:
    """Where a verb runs: the home of the engine and the output."""

    def __init__(self, home: Home, out: Output) -> None:
        self.home = home
        self.out = out

    def session(self, *, start: bool = False, read_only: bool = False) -> "Session":
        """The engine; with `start`, one is started where none runs. Connects when it is first asked."""
        from orchctl.client.session import Session

        if start:
            from orchctl.client.starting import ensure_engine

            if ensure_engine(self.home) is not None:
                self.out.remark(f"started an engine in {self.home}; `orchctl engine stop` stops it")
        return Session(self.home, read_only=read_only, on_wait=lambda: self.out.wait("waiting for the engine ..."))


class Command(NamedTuple):
    """A verb's parts. Examples are whole commands, a remark after `#`; a test parses each."""

    run: "Callable[[Words, Place], int]"
    arguments: "Callable[[Parser], None]"
    examples: tuple[str, ...]
    description: str = ""


def nothing_more(_parser: "Parser") -> None:
    """The arguments of a verb that has none of its own."""


class Value(NamedTuple):
    """A word that a verb takes: how it is shown in help, and the words that it may be, if these are few."""

    metavar: str
    choices: tuple[str, ...] = ()


class Parser(argparse.ArgumentParser):
    """argparse, but errors are raised, abbreviations are not taken and misspelt options are recognised."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"try `{self.prog} --help`")

    def read(self, words: Sequence[str]) -> Words:
        """The parsed words. Raises UsageError."""
        parse = self.parse_known_args if "--" in words else self.parse_known_intermixed_args
        parsed, extra = parse(list(words))  # intermixed: options may stand between the other words
        if extra:
            raise UsageError(_unknown(extra[0], list(self._option_string_actions)), f"try `{self.prog} --help`")
        for action in self._actions:
            value = getattr(parsed, action.dest, None)
            shown = not action.option_strings and action.help != argparse.SUPPRESS
            if shown and value is not None and (value == "" or (isinstance(value, list) and "" in value)):
                raise UsageError(f"{_value_of(action).metavar} is empty", "is a variable of the shell not set?")
        return parsed

    def options(self) -> list[str]:
        """The option strings, for completion."""
        return sorted(self._option_string_actions)

    def positionals(self) -> list[Value]:
        """The arguments that are no options, in order: for completion too."""
        return [_value_of(action) for action in self._actions if not action.option_strings]

    def value_after(self, option: str) -> Value | None:
        """What the word after an option is; None where it takes none."""
        action = self._option_string_actions.get(option)
        return None if action is None or action.nargs == 0 else _value_of(action)


def _value_of(action: argparse.Action) -> Value:
    choices = action.type.choices if isinstance(action.type, OneOf) else ()
    return Value(action.metavar if isinstance(action.metavar, str) else action.dest, choices)


def _unknown(word: str, known: list[str]) -> str:
    if not word.startswith("-"):
        return f"{word!r} is one word too many"
    return f"unknown option {word!r}" + did_you_mean(word.partition("=")[0], known)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """`; did you mean X?`, or nothing when no known word is near."""
    from difflib import get_close_matches

    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


class _HelpLayout(argparse.HelpFormatter):
    """argparse makes one for every argument, and would load `shutil` to ask how wide the terminal is."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Paragraphs are wrapped; lines that are indented, such as examples, stay as they are."""
        from itertools import groupby
        from textwrap import wrap

        filled: list[str] = []
        for kept, some in groupby(text.split("\n"), key=lambda line: line[:1] in ("", " ")):
            lines = list(some)
            filled += lines if kept else wrap(" ".join(lines), width)
        return "\n".join(indent + line for line in filled)


def _columns() -> int:
    told = os.environ.get("COLUMNS", "")
    if told.isascii() and told.isdecimal() and int(told) > 0:
        return int(told)
    try:
        return os.get_terminal_size(1).columns or _COLUMNS
    except OSError:
        return _COLUMNS


def make_parser(verb: str, summary: str, command: Command) -> Parser:
    """The parser of a verb, with the options that every verb has."""
    epilog = "\n".join(["examples:", *(f"  {example}" for example in command.examples)])
    text = summary[0].upper() + summary[1:] + "."
    parser = Parser(
        prog=f"orchctl {verb}",
        description=f"{text}\n\n{command.description}" if command.description else text,
        epilog=epilog,
        formatter_class=_HelpLayout,
        allow_abbrev=False,
    )
    command.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.add_argument("--home", metavar="DIR", help="the folder of the engine (else ORCHCTL_HOME)")
    return parser


# --- arguments that several verbs have ----------------------------------------------------------------------


class OneOf(NamedTuple):
    """A word from a list; a misspelt one is refused with the nearest."""

    choices: tuple[str, ...]

    def __call__(self, text: str) -> str:
        if text not in self.choices:
            near = did_you_mean(text, self.choices) or f"; it is one of {', '.join(self.choices)}"
            raise argparse.ArgumentTypeError(f"{text!r} is not known{near}")
        return text


def one_of(*choices: str) -> OneOf:
    return OneOf(choices)


def whole(least: int, most: int = 10**9) -> Callable[[str], int]:
    """A whole number within bounds."""

    def number(text: str) -> int:
        if not text.isascii() or not text.lstrip("-").isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least:,} to {most:,}")
        return int(text)

    return number


def key_value(text: str) -> tuple[str, str]:
    """A parameter as it is written: `name=value`."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not written like name=value")
    return key, value


def run_argument(parser: Parser, metavar: str = "RUN") -> None:
    more = ", or a backfill: b3" if "BACKFILL" in metavar else ""
    parser.add_argument("run", metavar=metavar, help=f"r12, 12, or latest{more}")


def yes_option(parser: Parser) -> None:
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run_number(session: "Session", text: str) -> int:
    """The run that a word names; `latest` and `-` are the newest. Raises EngineError."""
    from engine.model.ids import parse_run

    if text not in ("latest", "-"):
        return parse_run(text)
    from engine.protocol.messages import GetRun
    from engine.protocol.rows import RunRow

    return parse_run(session.one(GetRun(run=0), RunRow)[0].run)


def asked_row(text: str | None) -> tuple[str, int | None]:
    """The task and index that a word names: `clean[3]`, `clean`; ("", None) where there is none. Raises ValueFault."""
    from engine.model.ids import NO_INDEX, parse_row

    task, index = parse_row(text) if text is not None else ("", NO_INDEX)
    return task, None if index == NO_INDEX else index
