"""The start of a keeper as a process, apart from the line to it: this is quick to load, so that an engine can start its
keeper first and load the rest of itself meanwhile.
"""

import contextlib
import os
from pathlib import Path

from engine.execution import wire
from engine.execution.keeper import command
from engine.execution.places import Places
from engine.execution.spawn import SpawnError, spawn

_begun: dict[Path, int] = {}


def start_keeper(places: Places, instance: int, launchers: int) -> int:
    """The pid of a new keeper, a child of ours; one that finds another alive ends by itself. Raises OSError."""
    folders = [str(places.home), str(places.run_dir), str(places.logs)]
    words = command("keeper", *folders, str(instance), str(launchers))
    fd = os.open(places.diary, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return spawn(words, env=dict(os.environ), output=fd)
    except SpawnError as error:
        raise OSError(f"the keeper cannot be started: {error}") from error
    finally:
        os.close(fd)


def keeper_listens(places: Places) -> bool:
    """Whether a keeper takes connections."""
    with contextlib.suppress(OSError):
        wire.connect(places.socket("keeper")).close()
        return True
    return False


def begin_keeper(places: Places, instance: int, launchers: int) -> None:
    """Start a keeper where none listens; whoever has the line to it takes it over by `begun`.

    Nothing is told to it yet. That it cannot be started is found and said when it is needed.
    """
    with contextlib.suppress(OSError):
        places.prepare()
        if not keeper_listens(places):
            _begun[places.home] = start_keeper(places, instance, launchers)


def begun(places: Places) -> int:
    """The pid of the keeper that was begun here, to be asked for once; 0 for none."""
    return _begun.pop(places.home, 0)
