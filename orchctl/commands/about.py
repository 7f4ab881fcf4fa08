"""version: what speaks to what."""

import sys

from engine.model.errors import EngineError
from engine.protocol.messages import PROTOCOL
from orchctl.commands.kit import SUCCEEDED, Command, Place, Words, nothing_more
from orchctl.text import inert


def package_version() -> str:
    """The version of the installed package; `0+unknown` from a clone that is not installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("orchctl")
    except PackageNotFoundError:
        return "0+unknown"


def version(words: Words, place: Place) -> int:
    engine: str | None = None
    try:
        with place.session(read_only=True) as session:
            engine = session.welcome().engine.version
    except EngineError:
        pass
    python = ".".join(map(str, sys.version_info[:3]))
    if place.out.json:
        place.out.row({"orchctl": package_version(), "protocol": PROTOCOL, "python": python, "engine": engine})
        return SUCCEEDED
    running = f"; the engine that runs is {inert(engine)}" if engine else ""
    place.out.line(f"orchctl {package_version()}, protocol {PROTOCOL}, Python {python}{running}")
    return SUCCEEDED


COMMANDS = {"version": Command(version, nothing_more, ("orchctl version", "orchctl version --json"))}
