"""A small world of real processes: an executor in a temporary state folder, and what it reported."""

import contextlib
import os
import random
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest_trio
import trio

from engine.core.effects import StartAttempt, StopAttempt
from engine.core.events import AttemptExited, AttemptLost, AttemptStarted
from engine.execution import proc
from engine.execution.executor import Executor, Rows
from engine.execution.sweep import stop_all
from engine.model.resources import Claim
from engine.model.workflow import Action, Command, Python, Quota, Shell, Stop

PATIENCE_S = 10.0


class World:
    """One state folder; `executor` is the engine's side of its present life. Events are kept in order."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.run_dir = folder / "run"
        self.logs = folder / "logs"
        self.dir = folder / "workflow"
        self.dir.mkdir()
        self.instance = random.SystemRandom().getrandbits(62) | 1
        self.epoch = 0
        self.events: list[Any] = []
        self.launchers = 2
        self.executor: Executor
        self._next = 100
        self._scope: trio.CancelScope | None = None
        self._changed = trio.Event()

    # --- lives of the engine --------------------------------------------------------------------------------------

    async def enter(self, nursery: trio.Nursery, expected: Iterable[int] | dict[int, Rows] = ()) -> list[Any]:
        """A new life of the engine; what connect said."""
        self.epoch += 1
        executor = Executor(
            home=self.home, run_dir=self.run_dir, logs=self.logs, instance=self.instance, epoch=self.epoch,
            launchers=self.launchers, report=self._report,
        )  # fmt: skip
        rows = expected if isinstance(expected, dict) else dict.fromkeys(expected, Rows())
        with trio.fail_after(PATIENCE_S):
            found = await executor.connect(rows)
        self.executor = executor
        self._scope = await nursery.start(self._run, executor)
        self._report(found)
        return found

    async def _run(self, executor: Executor, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(executor.run)
                task_status.started(scope)

    async def leave(self) -> None:
        """The engine goes away; its processes stay."""
        if self._scope is not None:
            self._scope.cancel()
        await self.executor.aclose()
        self.events.clear()

    def _report(self, events: list[Any]) -> None:
        self.events += events
        self._changed.set()
        self._changed = trio.Event()

    # --- orders -----------------------------------------------------------------------------------------------------

    def order(self, action: Action | str | list[str], **given: Any) -> StartAttempt:
        """A start order with sensible fields; a string is a shell script, a list a command."""
        if isinstance(action, str):
            action = Shell(action)
        elif isinstance(action, list):
            action = Command(tuple(action))
        self._next += 1
        fields: dict[str, Any] = {
            "attempt": self._next, "run": 1, "workflow": "w", "version": "v", "task": f"t{self._next}", "index": -1,
            "number": 1, "action": action, "dir": str(self.dir), "env": (), "pass_env": (), "claim": Claim(),
            "quota": Quota(), "stop": Stop(grace_ns=300_000_000), "claim_from": 0,
        }  # fmt: skip
        return StartAttempt(**{**fields, **given})

    @property
    def next_attempt(self) -> int:
        return self._next + 1

    def start(self, action: Action | str | list[str], **given: Any) -> int:
        order = self.order(action, **given)
        self.executor.start([order])
        return order.attempt

    def python(self, target: str, source: str | None = None, **given: Any) -> int:
        """Start a Python attempt; `source` becomes the module that the target names."""
        if source is not None:
            name = target if target.endswith(".py") else target.partition(":")[0] + ".py"
            (self.dir / name).write_text(source)
        args = given.pop("args", {})
        isolate = given.pop("isolate", False)
        interpreter = given.pop("interpreter", "")
        return self.start(Python(target, args=args, isolate=isolate, interpreter=interpreter), **given)

    def stop(self, attempt: int, kill: bool = False) -> None:
        self.executor.stop([StopAttempt(attempt, kill=kill)])

    # --- waiting and looking ------------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], Any], what: str = "the condition") -> Any:
        """Wait until it holds; fails after a bound. The world of processes has no clock that could be made to jump."""
        with trio.move_on_after(PATIENCE_S):
            while not (found := condition()):
                with trio.move_on_after(0.01):
                    await self._changed.wait()
            return found
        raise AssertionError(f"{what} did not come; events: {self.events[-8:]}")

    def ends(self, attempt: int) -> list[Any]:
        return [one for one in self.events if isinstance(one, AttemptExited | AttemptLost) and one.attempt == attempt]

    def begun(self, attempt: int) -> AttemptStarted | None:
        found = [one for one in self.events if isinstance(one, AttemptStarted) and one.attempt == attempt]
        return found[0] if found else None

    async def end(self, attempt: int) -> Any:
        """The end of the attempt, which comes once."""
        await self.until(lambda: self.ends(attempt), f"the end of attempt {attempt}")
        return self.ends(attempt)[0]

    async def started(self, attempt: int) -> AttemptStarted:
        return await self.until(lambda: self.begun(attempt), f"the start of attempt {attempt}")

    def log(self, event: AttemptExited) -> str:
        if not event.log.path:
            return ""
        data = (self.logs / event.log.path).read_bytes()
        return data[event.log.offset : event.log.offset + event.log.length].decode()

    def file(self, name: str) -> Path:
        return self.dir / name

    async def file_there(self, name: str) -> str:
        """The content of a file that a task writes, once it is not empty."""
        path = self.file(name)
        await self.until(lambda: path.exists() and path.read_text().strip(), f"the file {name}")
        return path.read_text()

    def marked(self) -> dict[int, int]:
        """Living processes that carry a cookie of this world, but for its own launchers in the moment of a spawn."""
        own = {*self.executor.processes()["launchers"], *self.executor.processes()["workers"]}
        return {pid: number for pid, number in proc.marked(self.instance).items() if pid not in own and alive(pid)}


def alive(pid: int) -> bool:
    found = proc.stat(pid)
    return found is not None and found.state not in "ZX"


@pytest_trio.trio_fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """An executor that is connected and runs; afterwards no process is left, or the test fails."""
    made = World(tmp_path)
    try:
        async with trio.open_nursery() as nursery:
            await made.enter(nursery)
            made.nursery = nursery  # pyright: ignore[reportAttributeAccessIssue]
            yield made
            await made.leave()
            nursery.cancel_scope.cancel()
    finally:
        clean(made)


def clean(made: World) -> None:
    stop_all(made.home, made.run_dir, kill=True)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    assert [pid for pid in proc.marked(made.instance) if alive(pid)] == []
    left = [pid for pid in proc.pids() if str(made.home).encode() in _command(pid) and alive(pid)]
    assert left == []


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


INTERPRETER = sys.executable
