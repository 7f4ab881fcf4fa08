"""From words to a verb's function, and from anything that goes wrong to a sentence and an exit code."""

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from errno import ENOSPC
from io import TextIOWrapper
from types import ModuleType
from typing import cast

from orchctl.commands.kit import (
    INTERRUPTED,
    REFUSED,
    SUCCEEDED,
    USAGE,
    Command,
    Parser,
    Place,
    UsageError,
    did_you_mean,
    make_parser,
)  # fmt: skip
from orchctl.commands.output import Output
from orchctl.commands.table import VERBS, Entry, overview, within
from orchctl.paths import find_home
from orchctl.text import inert_lines

BROKEN_PIPE = 141


def guarded(words: Sequence[str]) -> int:
    """Run a command line. Never raises: errors become sentences on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _ended(words)
        sys.stdout.flush()
        return code
    except UsageError as error:
        return _say(error.sentence, error.hint, USAGE)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has left: as a program that SIGPIPE ended
        return BROKEN_PIPE
    except Exception as error:
        return _failed(error)
    finally:
        _give_up_unwritten()


def _ended(words: Sequence[str]) -> int:
    try:
        return dispatch(words)
    except SystemExit as ending:  # argparse ends --help so
        return ending.code if isinstance(ending.code, int) else SUCCEEDED


def _give_up_unwritten() -> None:
    """What a full disk or a closed pipe did not take must not be tried, and told, again when Python ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _failed(error: Exception) -> int:
    if os.environ.get("ORCHCTL_DEBUG") == "1":
        import traceback

        traceback.print_exc()
    from engine.model.errors import EngineError

    if isinstance(error, EngineError):
        faults = getattr(error, "faults", ())
        texts = [fault if isinstance(fault, str) else fault.render() for fault in faults]
        if texts and error.sentence not in ("\n".join(texts), *texts):
            texts.insert(0, error.sentence)
        return _say("\n".join(texts) or error.sentence, error.hint, error.exit_code)
    if isinstance(error, UnicodeEncodeError):
        return _say(f"{error.object[:200]} is not UTF-8", "only names and texts that are can go to the engine", USAGE)
    if isinstance(error, OSError):
        what = error.strerror or str(error)
        where = error.filename if isinstance(error.filename, str) else "the output" if error.errno == ENOSPC else ""
        return _say(f"{where}: {what}" if where else what, "", USAGE)
    hint = "this is a fault of orchctl; ORCHCTL_DEBUG=1 shows where"
    return _say(f"{type(error).__name__}: {error}", hint, REFUSED)


def _say(sentence: str, hint: str, code: int) -> int:
    with suppress(OSError):
        sys.stdout.flush()
    with suppress(OSError):
        sys.stderr.write(f"orchctl: {inert_lines(sentence)}\n" + (f"{inert_lines(hint)}\n" if hint else ""))
        sys.stderr.flush()
    return code


def dispatch(words: Sequence[str]) -> int:
    """Run a command line. Raises UsageError, EngineError, OSError and what `SystemExit` stands for."""
    home, words = global_options(words)
    if not words:
        return _console(home)
    if words[0] in ("-h", "--help", "help"):
        sys.stdout.write(overview() + "\n")
        return SUCCEEDED
    if words[0] == "--version":
        words = ["version", *words[1:]]
    entry, rest = find_verb(words)
    _load_msgspec()
    command, parser = load(entry)
    parsed = parser.read(rest)
    place = Place(find_home(parsed.home or home), Output(json=parsed.json))
    return command.run(parsed, place)


def _load_msgspec() -> None:
    """Load what nearly every verb needs, without what it would load for nothing.

    Where `typing_extensions` is installed msgspec takes three names of it that Python's own `typing` has too, and with
    them `inspect` and `ast`: a sixth of the time that a verb needs to start. Whoever asks for it later gets it.
    """
    if not {"msgspec", "typing_extensions"} & sys.modules.keys():
        sys.modules["typing_extensions"] = cast("ModuleType", None)
        try:
            importlib.import_module("msgspec")
        finally:
            del sys.modules["typing_extensions"]


def global_options(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The home that stands before the verb, and the words from the verb on."""
    rest = list(words)
    home: str | None = None
    while rest and rest[0].startswith("--home"):
        option, sign, value = rest.pop(0).partition("=")
        if option != "--home":
            raise UsageError(f"unknown option {option!r}; did you mean --home?", "try `orchctl --help`")
        if not sign:
            if not rest:
                raise UsageError("--home needs a folder", "try `orchctl --help`")
            value = rest.pop(0)
        home = value
    return home, rest


def find_verb(words: Sequence[str]) -> tuple[Entry, list[str]]:
    """The verb that the words begin with, and the words after it. Raises UsageError with the nearest verb."""
    first = words[0]
    if first in VERBS:
        return VERBS[first], list(words[1:])
    group = within(first)
    if not group:
        if first.startswith("-"):
            near = did_you_mean(first, ("--help", "--home", "--version"))
            raise UsageError(f"unknown option {first!r}{near}", "try `orchctl --help`")
        names = list(dict.fromkeys(name.split()[0] for name in VERBS))
        raise UsageError(f"there is no verb {first!r}{did_you_mean(first, names)}", "`orchctl --help` lists the verbs")
    if len(words) > 1 and f"{first} {words[1]}" in VERBS:
        return VERBS[f"{first} {words[1]}"], list(words[2:])
    usage = "\n".join(f"  orchctl {entry.name:<18} {entry.summary}" for entry in group)
    if len(words) > 1 and words[1] in ("-h", "--help"):
        sys.stdout.write(usage + "\n")
        raise SystemExit(SUCCEEDED)
    if len(words) == 1:
        raise UsageError(f"{first} needs a verb:", usage)
    near = did_you_mean(words[1], [entry.name.split()[1] for entry in group])
    raise UsageError(f"there is no verb {first} {words[1]!r}{near}", usage)


def load(entry: Entry) -> tuple[Command, Parser]:
    """Import the verb's module; its command and parser."""
    module = importlib.import_module(f"orchctl.commands.{entry.module}")
    command: Command = module.COMMANDS[entry.name]
    return command, make_parser(entry.name, entry.summary, command)


def _console(home: str | None) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the console needs a terminal", "`orchctl --help` lists the verbs")
    entry = VERBS["console"]
    command, parser = load(entry)
    return command.run(parser.read([]), Place(find_home(home), Output()))
