"""Starting an engine as a process of its own: it must not end with the terminal or the verb that started it.

Two verbs may start one at once. The home's lock lets one engine live; both verbs wait for an answer at the
socket, and do not care whose engine it is.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

import engine
from engine.model.errors import Unavailable
from engine.protocol.messages import Welcome
from orchctl.client.connection import EngineGone, NoEngine, open_connection
from orchctl.paths import Home
from orchctl.text import inert, size_text

START_WITHIN_S = 10.0
_LINGER_S = 2.0
_LOOK_AGAIN_S = 0.005
_KERNEL_MIN = (5, 10)
_TAIL_BYTES = 4096
_DISK_BYTES_MIN = 2 * 2**20
_FAULT = 1  # the exit code of a Python program that an exception ended


def engine_command(home: Home, *words: str) -> list[str]:
    """The words that run the engine's program. `-P` keeps a folder named engine where we stand from being taken."""
    return [sys.executable, "-P", "-m", "engine", *words, "--home", home.folder]


def engine_environment() -> dict[str, str]:
    """Our environment; from a clone that is not installed, with the clone where Python finds it."""
    environment = dict(os.environ)
    parent = str(Path(engine.__file__).parent.parent)
    if not any(name.endswith("-packages") for name in Path(parent).parts):
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{parent}{os.pathsep}{known}" if known else parent
    return environment


def engine_program(home: Home, *words: str) -> str:
    """Let the engine's program do something that needs no engine, and wait for it: what it printed.

    Raises Unavailable with what it said when it refused, and what to do.
    """
    done = subprocess.run(
        engine_command(home, *words), env=engine_environment(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, errors="surrogateescape", check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return done.stdout
    said = [line for line in done.stderr.splitlines() if line.strip()]
    if not said:
        raise Unavailable(f"the engine's program ended with exit code {done.returncode}")
    if done.returncode == _FAULT:  # a traceback ends with what it is about
        raise Unavailable(said[-1])
    raise Unavailable(said[0], "\n".join(said[1:]))


def answers(home: Home) -> Welcome | None:
    """What the engine of this home says of itself; None when none runs. Raises EngineError for one that refuses."""
    try:
        connection = open_connection(home)
    except NoEngine:
        return None
    connection.close()
    return connection.welcome


def ensure_engine(home: Home, within_s: float = START_WITHIN_S) -> Welcome | None:
    """Start an engine unless one answers. What a new one says of itself, None where one ran already.

    Raises Unavailable when it does not answer in time, with the end of its log.
    """
    if answers(home) is not None:
        return None
    return start_engine(home, within_s)


def start_engine(home: Home, within_s: float = START_WITHIN_S) -> Welcome:
    """Start an engine and wait for its answer. Raises Unavailable."""
    check_kernel()
    try:
        home.make()
        log = os.open(home.engine_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"the folder {home} cannot be used: {error.strerror}") from error
    began = os.fstat(log).st_size
    try:
        process = subprocess.Popen(
            engine_command(home), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home.folder,
            env=engine_environment(), start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(log)
    return _wait(home, process, began, time.monotonic() + within_s, within_s)


def _wait(home: Home, process: "subprocess.Popen[bytes]", began: int, deadline: float, within_s: float) -> Welcome:
    while True:
        ended = process.poll()
        try:
            welcome = answers(home)
        except EngineGone:  # it has bound its socket and does not serve yet
            welcome = None
        if welcome is not None:
            process.returncode = process.returncode if ended is not None else 0  # it outlives us: no warning
            return welcome
        now = time.monotonic()
        if ended is not None:  # perhaps because another one was quicker, so look a little longer
            deadline = min(deadline, now + _LINGER_S)
        if now >= deadline:
            what = f"ended with exit code {ended}" if ended is not None else f"did not answer within {within_s:.0f} s"
            process.returncode = ended if ended is not None else 0
            raise Unavailable(f"the engine {what}", _tail(home, began))
        time.sleep(_LOOK_AGAIN_S)


def _tail(home: Home, began: int) -> str:
    said = log_tail(home.engine_log, 12, began)
    where = f"its log is {home.engine_log}"
    if said:
        return "\n".join(["it said:", *(f"  {line}" for line in said), where])
    space = os.statvfs(home.folder)
    left = space.f_bavail * space.f_frsize
    if left < _DISK_BYTES_MIN:  # then it could not write why
        return f"the disk of {home.folder} is full, {size_text(left)} left: free some space\n{where}"
    return where


def log_tail(path: Path, lines: int, began: int = 0) -> list[str]:
    """The last lines of an engine's log in words, inert, not reaching back before the byte `began`; none without it."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(began if began <= size else 0, size - _TAIL_BYTES))  # it may have begun anew meanwhile
            text = file.read(_TAIL_BYTES).decode("utf-8", "surrogateescape")
    except OSError:
        return []
    return [inert(part) for line in text.splitlines()[-lines:] for part in _told(line).splitlines()]


def _told(line: str) -> str:
    """`cannot run: the disk is full` of a line of the engine's diary; what is none, such as a traceback's, as it is."""
    try:
        said = msgspec.json.decode(line, type=dict[str, Any])
    except ValueError:
        return line
    more = (str(said[name]) for name in ("sentence", "error", "why", "fault") if said.get(name))
    return ": ".join([str(said.get("what", "")), *more])


def check_kernel() -> None:
    """Raises Unavailable where the kernel is too old for the engine."""
    release = os.uname().release
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdecimal())
    if numbers < _KERNEL_MIN:
        raise Unavailable(f"the engine needs Linux 5.10 or newer; this is {inert(release)}")
