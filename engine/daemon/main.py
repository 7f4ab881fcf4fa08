"""The engine's process: folders, settings, the state, the trio program, and what is said when it ends.

What is needed to open the state is loaded first. Then the keeper starts, with its launchers, while the larger rest of
the engine is loaded: on a host with two free cores neither waits for the other.
"""

import ctypes
import sys
import traceback
from pathlib import Path
from typing import cast

from engine.daemon.config import Config, capacity_of, launchers_of, load_config
from engine.daemon.log import encodable, open_diary, say
from engine.execution.beginning import begin_keeper
from engine.execution.places import Places
from engine.model.errors import DefinitionError, EngineError
from engine.model.resources import parse_size
from engine.store.environment import Environment, Options, open_environment
from engine.store.errors import CommitFailed
from engine.store.load import load_state

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 128 * 2**10


def run_engine(home: Path) -> int:
    """The exit code. Whatever ends it is said in a sentence; a fault of ours with its traceback, in the diary."""
    open_diary(home / "engine.log")
    _return_large_buffers()
    if encodable(home) != str(home):
        return _refuse(f"the name of the folder {encodable(home)} is not UTF-8: choose another ORCHCTL_HOME", 2)
    try:
        for folder in (home, home / "run", home / "logs", home / "workflows"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = load_config(home / "config.toml")
        if config.access is not None:  # others pass through to the socket; all else in here stays private
            home.chmod(home.stat().st_mode & 0o7777 | 0o111)
    except OSError as error:
        return _refuse(f"the folder {home} cannot be used: {error.strerror}", 2)
    except DefinitionError as error:
        return _refuse(error.sentence, 2)
    try:
        environment = open_environment(home / "state", Options(map_bytes=parse_size(config.store.map_bytes)))
        try:
            return _run_with(environment, home, config)
        finally:
            environment.close()
    except Exception as error:
        return _ended_by(_first(error))


def _run_with(environment: Environment, home: Path, config: Config) -> int:
    loaded = load_state(environment, capacity_of(config, home), weights=config.shares)
    begin_keeper(Places(home, home / "run", home / "logs"), loaded.state.meta.instance, launchers_of(config))
    import trio  # only now, as said above

    from engine.daemon.app import App

    return trio.run(App(home, config, environment, loaded).run)


def _return_large_buffers() -> None:
    """Let what a large definition needs for a moment go back to the system at once.

    After the first large buffer that is freed, glibc puts those that come later into its heap, where what lies between
    them keeps them: 20 MB for a workflow of 100,000 tasks. A threshold that was set stays. Others than glibc have none.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def _ended_by(error: BaseException) -> int:
    if isinstance(error, CommitFailed):
        return _refuse(f"{error.sentence} ({error.hint})", 1)
    if isinstance(error, EngineError):
        return _refuse(f"{error.sentence}{f' ({error.hint})' if error.hint else ''}", error.exit_code)
    say("the engine has a fault", error=str(error), trace="".join(traceback.format_exception(error)))
    return 1


def _first(error: BaseException) -> BaseException:
    """The first real exception of what may be a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def _refuse(sentence: str, code: int) -> int:
    say("cannot run", sentence=sentence, code=code)
    if sys.stdout.isatty():
        sys.stdout.write(f"{sentence}\n")
    return code
