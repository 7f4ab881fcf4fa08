"""engine start, stop, status, run: the engine as a process."""

import os
import select
from contextlib import suppress
from typing import Any

from engine.model.errors import Unavailable
from engine.protocol.messages import Done, GetEngine, StopEngine, Welcome
from engine.protocol.rows import EngineRow
from orchctl.client.connection import EngineGone, NoEngine
from orchctl.commands.kit import REFUSED, SUCCEEDED, Command, Parser, Place, UsageError, Words, nothing_more, yes_option
from orchctl.commands.runs import took_text
from orchctl.text import count_text, counts_text, inert, size_text

_STOP_WITHIN_S = 60.0


def start(words: Words, place: Place) -> int:
    """Start an engine, or find the one that runs: both are success."""
    from orchctl.client.starting import answers, ensure_engine

    began = ensure_engine(place.home)
    welcome: Welcome | None = began or answers(place.home)
    if welcome is None:
        raise Unavailable("the engine ended right after it had started", f"its log is {place.home.engine_log}")
    if place.out.json:
        place.out.row({"pid": welcome.engine.pid, "state": welcome.engine.state, "started": began is not None})
    else:
        what = "started" if began is not None else "runs already"
        place.out.line(f"the engine {what}: pid {welcome.engine.pid}, home {inert(welcome.engine.home)}")
    return SUCCEEDED


def _stop_arguments(parser: Parser) -> None:
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--drain", action="store_true", help="start nothing more and wait until no attempt is left")
    how.add_argument("--kill", action="store_true", help="end the attempts too")
    yes_option(parser)


def stop(words: Words, place: Place) -> int:
    """Stop the engine and wait until its process has ended; where none runs, end what one has left behind."""
    out = place.out
    with place.session() as session:
        try:
            row = session.welcome().engine
        except NoEngine as none:
            return _sweep(words, place, none)
        if words.kill and row.attempts:
            question = f"stop the engine and kill {count_text(row.attempts, 'live attempt')}?"
            if not out.confirm(question, yes=words.yes):
                return REFUSED
        with _process(row.pid) as process:
            with suppress(EngineGone):  # it may be gone before its answer is read; what counts is that it ends
                session.ask(StopEngine(kill=words.kill, drain=words.drain), Done)
            if words.drain:
                out.remark("waiting until no attempt is left; Ctrl+C stops waiting, not the draining")
            if not process.ended(None if words.drain else _STOP_WITHIN_S):
                raise Unavailable(f"the engine, pid {row.pid}, has not ended within {_STOP_WITHIN_S:.0f} s")
    if out.json:
        out.row({"pid": row.pid, "state": "stopped", "ended": []})
    else:
        out.line(f"the engine, pid {row.pid}, has stopped")
    return SUCCEEDED


def _sweep(words: Words, place: Place, none: NoEngine) -> int:
    """End what an engine that was killed has left behind. Raises `none` when nothing is there, or Unavailable."""
    from orchctl.client.starting import engine_program

    out = place.out
    question = f"no engine runs in {place.home}; kill what one may have left behind, attempts too?"
    if words.kill and not out.confirm(question, yes=words.yes):
        return REFUSED
    ended = [int(pid) for pid in engine_program(place.home, "sweep", *(["--kill"] if words.kill else [])).split()]
    if not ended:
        raise none
    if out.json:
        out.row({"pid": None, "state": "stopped", "ended": ended})
    else:
        out.line(f"no engine runs; ended what one had left behind: pid {' '.join(map(str, ended))}")
    return SUCCEEDED


class _process:  # noqa: N801  a context manager that reads as a verb's clause
    """A process by its pidfd, so that another with the same number is never taken for it."""

    def __init__(self, pid: int) -> None:
        try:
            self._fd = os.pidfd_open(pid)
        except OSError:  # gone already, or of a container that we cannot see into
            self._fd = -1

    def __enter__(self) -> "_process":
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def ended(self, within_s: float | None) -> bool:
        """Wait for its end; whether it came in time."""
        if self._fd < 0:
            return True
        return bool(select.select([self._fd], [], [], within_s)[0])


def status(words: Words, place: Place) -> int:
    out = place.out
    try:
        with place.session(read_only=True) as session:
            row, as_sent = session.one(GetEngine(), EngineRow)
    except NoEngine:
        if out.json:
            out.row({"pid": None, "state": "stopped", "revision": None, "home": place.home.folder})
            return REFUSED
        raise
    if out.json:
        out.row(as_sent)
    else:
        out.lines(_status_lines(row))
        for problem in row.problems:
            out.line(f"{out.paint('problem', 'problem')}: {inert(problem)}")
    return SUCCEEDED


def _status_lines(row: EngineRow) -> list[str]:
    pids: list[tuple[str, Any]] = [
        ("keeper", row.keeper),
        ("launchers", " ".join(map(str, row.launchers))),
        ("workers", " ".join(map(str, row.workers))),
        ("meter", row.meter),
    ]
    facts: list[tuple[str, Any]] = [
        ("engine", f"pid {row.pid}, {row.state} for {took_text(row.started_at, None)}"),
        ("version", f"{row.version}, protocol {row.protocol}"),
        ("home", row.home),
        ("socket", row.socket),
        *pids,
        ("runs", counts_text(row.runs)),
        ("attempts", row.attempts),
        ("clients", row.clients),
        ("revision", row.revision),
        ("store", size_text(row.store_bytes)),
        ("disk free", size_text(row.disk_free)),
        ("instance", f"{row.instance}, epoch {row.epoch}"),
    ]
    return [f"{name:<10} {inert(value)}" for name, value in facts if value not in (None, "")]


def run(words: Words, place: Place) -> int:
    """Become the engine: this process is replaced, so signals and the supervisor's pid are the engine's."""
    from orchctl.client.starting import answers, check_kernel, engine_command, engine_environment

    if place.out.json:
        raise UsageError("engine run has no --json: it is the engine itself")
    if answers(place.home) is not None:
        raise Unavailable(f"an engine runs in {place.home} already", "`orchctl engine status` shows it")
    check_kernel()
    place.home.make()
    words_of_engine = engine_command(place.home)
    place.out.flush()
    os.execve(words_of_engine[0], words_of_engine, engine_environment())  # noqa: S606  no shell on purpose


COMMANDS = {
    "engine start": Command(start, nothing_more, ("orchctl engine start", "orchctl --home /srv/orch engine start")),
    "engine stop": Command(
        stop,
        _stop_arguments,
        ("orchctl engine stop", "orchctl engine stop --drain", "orchctl engine stop --kill --yes"),
        "Attempts go on without the engine, and the next one adopts them; --drain waits for them, --kill ends them. "
        "Where no engine runs, what a killed one has left behind is ended; exit code 3 when there is nothing.",
    ),
    "engine status": Command(
        status,
        nothing_more,
        ("orchctl engine status", "orchctl engine status --json"),
        'Exit code 3 when no engine runs; --json then prints {"pid": null, "state": "stopped", ...}.',
    ),
    "engine run": Command(
        run, nothing_more, ("orchctl engine run",), "For a service manager or a container: logs go to standard error."
    ),
}
