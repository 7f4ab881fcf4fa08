"""Following a run to its end: a live picture on a terminal, a line for each change elsewhere, nothing with
`--json` until the last line. The engine may be restarted meanwhile; then we wait for it, say so, and go on.
"""

import time
from collections.abc import Sequence
from typing import Any, Protocol

from engine.model.errors import EngineError
from engine.model.ids import run_text
from engine.model.instants import SECOND, from_text
from engine.protocol.messages import GetRun, ListGroups
from engine.protocol.rows import GroupRow, RunRow, TaskRow
from orchctl.client.connection import EngineGone, NoEngine
from orchctl.client.session import AWAY_MAX_S, Session, typed
from orchctl.client.watch import Watch
from orchctl.commands.kit import CANCELLED, INTERRUPTED, RUN_FAILED, SUCCEEDED
from orchctl.commands.live import picture, progress_line
from orchctl.commands.output import Output
from orchctl.text import count_text, counts_text, inert, seconds_text

EXIT_CODES = {"succeeded": SUCCEEDED, "failed": RUN_FAILED, "cancelled": CANCELLED}
"""By the statuses of a run that has finished."""
_GROUPS_MAX = 200
_FAILED_SHOWN = 8


class View(Protocol):
    """Something that shows a run while it is followed."""

    rate: float
    """The most updates of the tasks a second that it wants."""
    tasks: int
    """How many the run has."""

    def show(self, run: RunRow, groups: Sequence[GroupRow]) -> None: ...
    def say(self, sentence: str) -> None: ...
    def close(self) -> None: ...


def follow(session: Session, run: int, out: Output) -> int:
    """Follow a run until it has finished; print its summary. The exit code of the run, or 130 after Ctrl+C."""
    view: View = Silent(out) if out.json else Screen(out) if out.live else Lines(out)
    try:
        last = _until_finished(session, run, view)
    except KeyboardInterrupt:
        view.close()
        name = run_text(run)
        out.end_echo()
        out.remark(f"left {name}, which goes on; `orchctl show {name} -f` comes back to it")
        return INTERRUPTED
    except BaseException:
        view.close()
        raise
    view.close()
    summary(session, last, out)
    return EXIT_CODES[last.status]


def _until_finished(session: Session, run: int, view: View) -> RunRow:
    watch: Watch | None = None
    while True:
        try:
            if watch is None:
                watch = _watch(session, run, view)
            watch.next(1.0 / view.rate if view.rate >= 1 else 1.0)
            row = _run_row(watch)
            if row is not None and row.status in EXIT_CODES:
                groups = session.rows(ListGroups(run=run, limit=_GROUPS_MAX)).rows
                view.show(row, typed(groups, GroupRow))
                return row
            if row is not None and watch.states["groups"].known:
                view.show(row, typed(watch.states["groups"].rows, GroupRow))
        except (EngineGone, NoEngine) as gone:
            watch = None
            view.say(f"{gone.sentence}; attempts go on, waiting for an engine (`orchctl engine start`)")
            _come_back(session, run)
            view.say("the engine is back")


def _come_back(session: Session, run: int) -> None:
    try:
        session.reconnect(AWAY_MAX_S)
    except EngineError as error:
        error.hint = f"once an engine runs, `orchctl show {run_text(run)} -f` comes back to the run"
        raise


def _watch(session: Session, run: int, view: View) -> Watch:
    view.tasks = session.rows(ListGroups(run=run, limit=1)).total
    statuses = ("running", "failed", "backing_off", "ready") if view.tasks > _GROUPS_MAX else ()
    groups = ListGroups(run=run, statuses=statuses, limit=_GROUPS_MAX)
    return Watch(session, {"run": (GetRun(run=run), 20.0), "groups": (groups, view.rate)})


def _run_row(watch: Watch) -> RunRow | None:
    rows = typed(watch.states["run"].rows, RunRow)
    return rows[0] if rows else None


# --- what is shown meanwhile --------------------------------------------------------------------------------


class Silent:
    """For `--json`: the last line is all."""

    rate = 0.2
    tasks = 0

    def __init__(self, out: Output) -> None:
        self._out = out

    def show(self, run: RunRow, groups: Sequence[GroupRow]) -> None:
        pass

    def say(self, sentence: str) -> None:
        pass

    def close(self) -> None:
        self._out.flush()


class Lines:
    """For pipes and files: a line for each task whose rows changed, with the time of day in UTC. Of a run of many tasks
    a line for each that failed, and one that counts the rest."""

    rate = 1.0
    tasks = 0
    _TASKS_MAX = 50

    def __init__(self, out: Output) -> None:
        self._out = out
        self._shown: dict[str, str] = {}
        self._status = self._counts = ""

    def show(self, run: RunRow, groups: Sequence[GroupRow]) -> None:
        if run.status != self._status:
            self._status = run.status
            self.say(f"{run.run} {run.workflow} {run.status}")
        many = self.tasks > self._TASKS_MAX
        for group in groups:
            if many and not (group.failed or group.status == "failed"):
                continue
            line = progress_line(group)
            if group.status != "waiting" and self._shown.get(group.task) != line:
                self._shown[group.task] = line
                self.say(line)
        counts = counts_text(run.tasks)
        if many and run.status not in EXIT_CODES and self._counts != counts:
            self._counts = counts
            self.say(counts)
        self._out.flush()

    def say(self, sentence: str) -> None:
        self._out.line(f"{time.strftime('%H:%M:%S', time.gmtime())}Z {inert(sentence)}")
        self._out.flush()

    def close(self) -> None:
        self._out.flush()


class Screen:
    """For a terminal: the picture, redrawn in place at most ten times a second.

    Lines are drawn with automatic wrapping off, so each takes one line of the screen and the cursor finds the
    beginning again. After the terminal was resized nothing is where it was: then the screen is cleared.
    """

    rate = 10.0
    tasks = 0
    _WRAP_OFF, _WRAP_ON, _HIDE, _SHOW = "\x1b[?7l", "\x1b[?7h", "\x1b[?25l", "\x1b[?25h"

    def __init__(self, out: Output) -> None:
        self._out = out
        self._drawn = 0
        self._size = out.size()
        self._said = ""
        self._next = 0.0

    def show(self, run: RunRow, groups: Sequence[GroupRow]) -> None:
        now = time.monotonic()
        if now < self._next and run.status not in EXIT_CODES:
            return
        self._next = now + 1.0 / self.rate
        size = self._out.size()
        columns, lines = size
        if self._said:
            lines -= 1
        took_s = elapsed_s(run, time.time())
        body = picture(run, groups, took_s, (columns, lines), self._out.palette, unicode=self._out.unicode)
        self._draw([*body, self._said] if self._said else body, resized=size != self._size)
        self._size = size

    def say(self, sentence: str) -> None:
        self._said = inert(sentence)
        self._draw([self._said], resized=False)

    def close(self) -> None:
        self._out.stream.write(self._WRAP_ON + self._SHOW)
        self._out.flush()

    def _draw(self, lines: Sequence[str], *, resized: bool) -> None:
        home = "\x1b[2J\x1b[H" if resized else f"\x1b[{self._drawn}F" if self._drawn else "\r"
        text = "".join(f"\x1b[2K{line}\n" for line in lines)
        self._out.stream.write(f"{self._HIDE}{self._WRAP_OFF}{home}{text}\x1b[J{self._WRAP_ON}{self._SHOW}")
        self._out.flush()
        self._drawn = len(lines)


# --- the end ------------------------------------------------------------------------------------------------


def elapsed_s(run: RunRow, now_s: float) -> float:
    """Seconds from the run's start (else from when it was queued) to its end, else to now."""
    began = run.started_at or run.queued_at
    if began is None:
        return 0.0
    ended = from_text(run.finished_at) / SECOND if run.finished_at else now_s
    return max(0.0, ended - from_text(began) / SECOND)


def summary_row(run: RunRow) -> dict[str, Any]:
    """The object that `run --json` ends with."""
    return {
        "run": run.run,
        "status": run.status,
        "tasks": run.tasks,
        "seconds": round(elapsed_s(run, time.time()), 6),
    }


def summary(session: Session, run: RunRow, out: Output) -> None:
    """Print what became of a finished run, and of the tasks that failed."""
    if out.json:
        out.row(summary_row(run))
        return
    took = seconds_text(elapsed_s(run, time.time()))
    status = out.paint(inert(run.status), run.status)
    out.line(f"{inert(run.run)} {inert(run.workflow)} {status} in {took}: {counts_text(run.tasks) or 'no tasks'}")
    if run.tasks.get("failed"):
        from engine.model.ids import parse_run

        failed = session.failed_rows(parse_run(run.run), _FAILED_SHOWN)
        out.lines(failed_line(run.run, row) for row in failed)
        more = run.tasks["failed"] - len(failed)
        if more > 0:
            out.line(f"  and {count_text(more, 'row')} more: orchctl tasks {inert(run.run)} --status failed")


def failed_line(run: str, row: TaskRow) -> str:
    """`  clean[3] failed: exit 3   (orchctl logs r12 clean[3])`."""
    name = row.task if row.index is None else f"{row.task}[{row.index}]"
    why = row.why or row.outcome or ""
    if row.exit_code is not None and not row.why:
        why = f"{why}: exit {row.exit_code}" if why else f"exit {row.exit_code}"
    attempts = f" after {count_text(row.attempts, 'attempt')}" if row.attempts > 1 else ""
    return f"  {inert(name)} {inert(why)}{attempts} (orchctl logs {inert(run)} '{inert(name)}')"
