"""What a peer is. A *command* is run whole and timed from its start to its end. A *service* (a cluster, a pool) is
started, warmed up, and then timed from the first task that it is given to the last result: its start is not counted,
which is in its favour, as ours counts the whole `orchctl run`.

A service runs in a driver of its own (`benchmarks.peers.driver`), so that another Python than ours may have it, and
so that all its processes are its descendants. Drivers import this module, so it needs the standard library only.
"""

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

TRUE = "/bin/true"
ROOT = Path(__file__).parents[2]
ANSWER_WITHIN_S = 300.0
_STOP_WITHIN_S = 20.0


class Absent(Exception):
    """A peer is not installed; the text says what is missing."""


class PeerFailed(Exception):
    """A peer did not do what it was asked; the text is the end of what it said."""


@dataclass(frozen=True)
class Settings:
    """How many tasks at a time, and the Python that has the peers of PyPI."""

    slots: int = 2
    python: str = sys.executable

    @property
    def programs(self) -> str:
        """Where to look for programs: beside that Python, then as ever."""
        return f"{Path(self.python).parent}{os.pathsep}{os.environ.get('PATH', '')}"


@dataclass(frozen=True)
class Work:
    """What every contender is asked to do: processes with their parents, or calls of one Python function.

    A process is `command`, through a shell if it is more than words; `commands` gives each its own.
    """

    parents: list[list[int]] = field(default_factory=list)
    command: str = TRUE
    commands: list[str] = field(default_factory=list)
    calls: int = 0
    seconds: float = 0.0

    @property
    def count(self) -> int:
        return self.calls or len(self.parents)

    def line(self, number: int) -> str:
        return self.commands[number] if self.commands else self.command

    def argv(self, number: int) -> list[str]:
        line = self.line(number)
        return ["/bin/sh", "-c", line] if ";" in line else line.split()


Run = Callable[[Work], Any]


class Peer(Protocol):
    """`questions` are the kinds of question that it answers, each with the tasks a second that are roughly expected."""

    name: str
    service: bool

    @property
    def questions(self) -> dict[str, float]: ...

    def version(self, settings: Settings) -> str:
        """Raises Absent."""
        ...

    def opened(self, settings: Settings) -> contextlib.AbstractContextManager[Run]:
        """Ready to run works, each answered with a Sample."""
        ...


class Command:
    """A peer that is one command. `write` makes its files in a folder: the words to run, and what they read."""

    service = False

    def __init__(
        self, name: str, questions: dict[str, float], write: Callable[[Work, Path, Settings], tuple[list[str], bytes]],
        version: list[str] | None = None, distribution: str = "", alone: bool = True,
    ) -> None:  # fmt: skip
        """`alone`: all that is not the tasks' is done by the one process that is started."""
        self.name = name
        self.questions = questions
        self._write = write
        self._version = version or [name, "--version"]
        self._distribution = distribution
        self._alone = alone

    def version(self, settings: Settings) -> str:
        if self._distribution:
            return distribution_version(self._distribution, settings)
        program = shutil.which(self._version[0], path=settings.programs)
        if program is None:
            raise Absent(f"there is no program {self._version[0]}")
        done = subprocess.run([program, *self._version[1:]], capture_output=True, text=True, check=False)
        return (done.stdout or done.stderr).splitlines()[0].strip()

    @contextlib.contextmanager
    def opened(self, settings: Settings) -> Iterator[Run]:
        from benchmarks import lab
        from benchmarks.cpu import Sample, run_command

        environment = {**os.environ, "PATH": settings.programs}
        with lab.folder() as folder:
            numbers = iter(range(10**9))

            def run(work: Work) -> Any:
                place = folder / str(next(numbers))
                place.mkdir()
                argv, stdin = self._write(work, place, settings)
                try:
                    sample = run_command(argv, place, environment, stdin)[0]
                except RuntimeError as error:
                    raise PeerFailed(str(error)) from error
                return sample if self._alone else Sample(sample.seconds, sample.cpu_s)

            yield run


class Service:
    """A peer that a driver holds. Its module has `started(slots)`, a context manager whose value runs a Work."""

    service = True

    def __init__(self, name: str, questions: dict[str, float], distribution: str) -> None:
        self.name = name
        self.questions = questions
        self._distribution = distribution

    def version(self, settings: Settings) -> str:
        return distribution_version(self._distribution, settings) if self._distribution else "standard library"

    @contextlib.contextmanager
    def opened(self, settings: Settings) -> Iterator[Run]:
        from benchmarks import lab

        with lab.folder() as folder, (folder / "said").open("w+") as said:
            argv = [settings.python, "-P", "-m", "benchmarks.peers.driver", self.name, str(settings.slots)]
            process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": settings.programs, "TMPDIR": str(folder)},
                start_new_session=True,
            )  # fmt: skip
            try:
                _answer(process, said)
                yield lambda work: _measured(process, said, work)
            finally:
                _end(process)


def distribution_version(distribution: str, settings: Settings) -> str:
    """The version of a package of PyPI that the peers' Python has. Raises Absent."""
    code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    done = subprocess.run([settings.python, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Absent(f"{settings.python} has no {distribution}; pip install '.[bench]', or name another --peers-python")
    return done.stdout.strip()


def _answer(process: "subprocess.Popen[str]", said: Any) -> dict[str, Any]:
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], ANSWER_WITHIN_S)[0]:
        raise PeerFailed(f"it did not answer within {ANSWER_WITHIN_S:.0f} s")
    line = process.stdout.readline()
    if not line:
        said.seek(0)
        raise PeerFailed(f"its driver ended: {said.read()[-2000:]}")
    return json.loads(line)


def _measured(process: "subprocess.Popen[str]", said: Any, work: Work) -> Any:
    from benchmarks.cpu import Sample, tree, used_by_all

    assert process.stdin is not None
    before = used_by_all(tree(process.pid))
    process.stdin.write(json.dumps(asdict(work)) + "\n")
    process.stdin.flush()
    seconds = _answer(process, said)["seconds"]
    return Sample(seconds, (used_by_all(tree(process.pid)) - before).all_s)


def _end(process: "subprocess.Popen[str]") -> None:
    """Let the driver end by itself; kill what is left of its tree."""
    import psutil

    from benchmarks.cpu import tree

    known = [psutil.Process(pid) for pid in tree(process.pid)]
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_WITHIN_S)
    for member in known:  # psutil compares start times: a pid that was given again is spared
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()
