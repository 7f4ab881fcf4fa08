"""The one place where a process is started: posix_spawn (a vfork inside), never fork.

The child gets a session of its own, /dev/null as input, one file for both outputs, default signals and an empty mask.
All other descriptors of ours are close-on-exec (PEP 446), so it inherits none but those it is given. It carries the
cookie of its attempt because this process, which has a single thread, carries it for the moment of the spawn.
"""

import os
import resource
import signal
from collections.abc import Mapping, Sequence

from engine.execution import proc

_TO_DEFAULT = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]


_limits: dict[str, tuple[int, int]] = {}


def raise_file_limit() -> None:
    """Let this process have all the descriptors it may, one a live log; what it starts keeps the old limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    _limits["child"], _limits["own"] = (soft, hard), (hard, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class SpawnError(Exception):
    """Nothing was started; the text says why."""


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    output: int,
    folder: str | None = None,
    cookie: int | None = None,
    pass_fds: Sequence[int] = (),
) -> int:
    """The pid of the new process. `pass_fds` become 3, 4, ... in the child. Raises SpawnError.

    With a folder, this process goes there for the moment of the spawn and then to `/`: only launchers and the keeper,
    which have a single thread and no relative paths, may do that.
    """
    if folder is None:
        return _spawn_here(argv, env, output, cookie, pass_fds)
    try:
        os.chdir(folder)
    except (OSError, ValueError) as error:
        raise SpawnError(_folder_sentence(error, folder)) from error
    try:
        return _spawn_here(argv, env, output, cookie, pass_fds)
    finally:
        os.chdir("/")


def _spawn_here(
    argv: Sequence[str], env: Mapping[str, str], output: int, cookie: int | None, pass_fds: Sequence[int]
) -> int:
    actions: list[tuple[int, int, str, int, int] | tuple[int, int, int] | tuple[int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    for target, source in enumerate(pass_fds, start=3):
        actions.append((os.POSIX_SPAWN_DUP2, source, target))
    if cookie is not None:
        proc.set_cookie(cookie)
    if _limits:
        resource.setrlimit(resource.RLIMIT_NOFILE, _limits["child"])
    try:
        program = _find(argv[0], env)
        return os.posix_spawn(
            program, list(argv), env, file_actions=actions, setsid=True, setsigmask=(), setsigdef=_TO_DEFAULT
        )
    except (OSError, ValueError) as error:
        raise SpawnError(_sentence(error, argv[0])) from error
    finally:
        if cookie is not None:
            proc.set_cookie(proc.INFINITY)
        if _limits:
            resource.setrlimit(resource.RLIMIT_NOFILE, _limits["own"])


def _find(word: str, env: Mapping[str, str]) -> str:
    """A word with a slash is a path; any other is looked for in the child's own PATH."""
    if "/" in word:
        return word
    for folder in env.get("PATH", os.defpath).split(":"):
        path = f"{folder or '.'}/{word}"
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    raise FileNotFoundError(2, "No such file or directory", word)


def _folder_sentence(error: Exception, folder: str) -> str:
    if isinstance(error, FileNotFoundError):
        return f"no such folder: {folder}"
    return f"{_text(error)}: folder {folder}"


def _sentence(error: Exception, word: str) -> str:
    if not isinstance(error, FileNotFoundError):
        return f"{_text(error)}: {word}"
    if "/" not in word:
        return f"no such program in PATH: {word}"
    if os.path.exists(word):  # the kernel says the same of a script whose first line names what is not there
        return f"the interpreter of {word} does not exist"
    return f"no such file: {word}"


def _text(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]
