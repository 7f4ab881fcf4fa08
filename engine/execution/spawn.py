"""The one place where a process is started, without ever copying this one (a vfork inside), by one of two ways.

`fork_exec`, the C half of the subprocess module, goes to the folder, makes the session and looks along the PATH in the
child, and takes a third less of our time than posix_spawn, which is for those who are given descriptors by number. The
child gets a session of its own, /dev/null as input, one file for both outputs, default signals and an empty mask. All
other descriptors of ours are close-on-exec (PEP 446), so it inherits none but those it is given. It carries the cookie
of its attempt because this process, which has a single thread, carries it for the moment of the spawn. What this
process ignores it must handle by a function that does nothing: exec takes handlers away and keeps what is ignored.
"""

import _posixsubprocess
import contextlib
import errno
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

from engine.execution import proc

_TO_DEFAULT = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]
_fork_exec = cast(Any, _posixsubprocess.fork_exec)
_MANNERS = (True, True, -1, None, None, None, -1, None, *((True,) if sys.version_info < (3, 14) else ()))
"""Python's own signals given back, a session; no group, no other user, no mask, no function; and vfork is allowed."""
_OF_FILES = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
_WHY_BYTES = 512

_limits: dict[str, tuple[int, int]] = {}


class _Standing(NamedTuple):
    """What every spawn needs, opened once: /dev/null, and the pipe in which a child says why it cannot go on. It has
    said it when the spawn returns, for until then it uses our memory and we stand still."""

    null: int
    told: int
    tell: int


@lru_cache(maxsize=1)
def _standing() -> _Standing:
    return _Standing(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), *os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK))


def raise_file_limit() -> None:
    """Let this process have all the descriptors it may, one a live log; what it starts keeps the old limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        _limits["child"], _limits["own"] = (soft, hard), (hard, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def limit_memory(pid: int, memory_bytes: int) -> None:
    """No process of the tree may have more private memory than the quota; the meter watches their sum. 0 is none."""
    if memory_bytes:
        with contextlib.suppress(OSError, ValueError):
            resource.prlimit(pid, resource.RLIMIT_DATA, (memory_bytes, memory_bytes))


class SpawnError(Exception):
    """Nothing was started; the text says why. `passing`: the host had no room for a process at this moment."""

    def __init__(self, why: str, *, passing: bool = False) -> None:
        super().__init__(why)
        self.passing = passing


def encoded(env: Mapping[str, str]) -> list[bytes]:
    """The environment as exec takes it. Raises ValueError for what cannot be in one."""
    for name in env:
        if not name or "=" in name:
            raise ValueError(f"no variable can have the name {name!r}")
    return [f"{name}={value}".encode(*_OF_FILES) for name, value in env.items()]


class Encoded:
    """Environments of attempts as exec takes them. What many attempts share is encoded once; names with our prefixes
    are left out of that, because an attempt may have them of its own."""

    _prefixes = ("ORCHCTL_", "PARAM_")

    def __init__(self) -> None:
        self._made: dict[str, tuple[dict[str, str], list[bytes]]] = {}

    def of(self, name: str, shared: Mapping[str, str], own: Mapping[str, str]) -> list[bytes]:
        """The shared table, which is known by its name, and what one attempt has beside it. Raises ValueError."""
        made = self._made.get(name)
        if made is None:
            ours = {key: value for key, value in shared.items() if key.startswith(self._prefixes)}
            rest = {key: value for key, value in shared.items() if key not in ours}
            made = self._made[name] = ours, encoded(rest)
        return encoded({**made[0], **own}) + made[1]

    def clear(self) -> None:
        self._made.clear()


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | list[bytes],
    output: int,
    folder: str = "/",
    cookie: int | None = None,
    pass_fds: Sequence[int] = (),
) -> int:
    """The pid of the new process. `pass_fds` become 3, 4, ... in the child. Raises SpawnError.

    With descriptors, this process goes to the folder for the moment of the spawn and then to `/`: only launchers and
    the keeper, which have a single thread and no relative paths, may do that.
    """
    if cookie is not None:
        proc.set_cookie(cookie)
    if _limits:
        resource.setrlimit(resource.RLIMIT_NOFILE, _limits["child"])
    try:
        if pass_fds:
            return _with_descriptors(argv, cast("Mapping[str, str]", env), output, folder, pass_fds)
        return _plain(argv, env if isinstance(env, list) else encoded(env), output, folder)
    except (OSError, ValueError) as error:
        passing = isinstance(error, OSError) and error.errno in (errno.EAGAIN, errno.ENOMEM)
        raise SpawnError(_sentence(error, argv[0], folder), passing=passing) from error
    finally:
        if cookie is not None:
            proc.set_cookie(proc.INFINITY)
        if _limits:
            resource.setrlimit(resource.RLIMIT_NOFILE, _limits["own"])


def _plain(argv: Sequence[str], env: list[bytes], output: int, folder: str) -> int:
    null, told, tell = _standing()
    word = argv[0]
    path = "" if "/" in word else _path_of(env)
    pid: int = _fork_exec(
        argv, _programs(word, path), 0, (tell,), folder, env, null, -1, -1, output, -1, output, told, tell, *_MANNERS
    )  # fmt: skip
    try:
        why = os.read(told, _WHY_BYTES)
    except BlockingIOError:
        return pid
    os.waitpid(pid, 0)
    _, number, when = why.decode().split(":", 2)
    error = OSError(int(number, 16), os.strerror(int(number, 16)))
    if when.startswith("noexec"):
        raise SpawnError(_folder_sentence(error, folder))
    raise error


def _path_of(env: list[bytes]) -> str:
    for entry in env:
        if entry.startswith(b"PATH="):
            return os.fsdecode(entry[5:])
    return os.defpath


@lru_cache(maxsize=1024)
def _programs(word: str, path: str) -> tuple[bytes, ...]:
    """What to execute, the first that can be: a word with a slash is a path, any other is looked for along the PATH."""
    if "/" in word:
        return (os.fsencode(word),)
    return tuple(os.fsencode(f"{folder or '.'}/{word}") for folder in path.split(":"))


def _with_descriptors(
    argv: Sequence[str], env: Mapping[str, str], output: int, folder: str, pass_fds: Sequence[int]
) -> int:
    actions: list[tuple[int, int, str, int, int] | tuple[int, int, int] | tuple[int, int]] = [
        (os.POSIX_SPAWN_DUP2, _standing().null, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    for target, source in enumerate(pass_fds, start=3):
        actions.append((os.POSIX_SPAWN_DUP2, source, target))
    try:
        os.chdir(folder)
    except (OSError, ValueError) as error:
        raise SpawnError(_folder_sentence(error, folder)) from error
    try:
        return os.posix_spawn(
            _find(argv[0], env), list(argv), env, file_actions=actions, setsid=True, setsigmask=(),
            setsigdef=_TO_DEFAULT,
        )  # fmt: skip
    finally:
        os.chdir("/")


def _find(word: str, env: Mapping[str, str]) -> str:
    for program in _programs(word, env.get("PATH", os.defpath)):
        if "/" in word or (os.access(program, os.X_OK) and not os.path.isdir(program)):
            return os.fsdecode(program)
    raise FileNotFoundError(2, "No such file or directory", word)


def _folder_sentence(error: Exception, folder: str) -> str:
    if isinstance(error, FileNotFoundError):
        return f"no such folder: {folder}"
    return f"{_text(error)}: folder {folder}"


def _sentence(error: Exception, word: str, folder: str) -> str:
    if not isinstance(error, FileNotFoundError):
        return f"{_text(error)}: {word}"
    if "/" not in word:
        return f"no such program in PATH: {word}"
    if os.path.exists(os.path.join(folder, word)):  # the kernel says so too when its first line names what is not there
        return f"the interpreter of {word} does not exist"
    return f"no such file: {word}"


def _text(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]
