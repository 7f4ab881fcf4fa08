"""runs, show, tasks: looking at runs."""

from typing import TYPE_CHECKING

from engine.model.ids import parse_row
from engine.model.status import RunStatus, TaskStatus
from engine.protocol.messages import GetRun, ListAttempts, ListGroups, ListRuns, ListSamples, ListTasks
from engine.protocol.rows import AttemptRow, GroupRow, RunRow, SampleRow, TaskRow
from orchctl.client.session import Session
from orchctl.commands.kit import (
    SUCCEEDED,
    Command,
    Parser,
    Place,
    UsageError,
    Words,
    asked_row,
    one_of,
    run_argument,
    run_number,
    whole,
)  # fmt: skip
from orchctl.commands.listing import list_rows
from orchctl.commands.live import finished
from orchctl.commands.output import Output
from orchctl.text import count_text, counts_text, inert, instant_text, levels_text, seconds_text, size_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RUN_STATUSES = tuple(status.text for status in RunStatus)
TASK_STATUSES = tuple(status.text for status in TaskStatus)
_PAGE = 1000
_TERMINAL_ROWS = 500


def took_text(began: str | None, ended: str | None) -> str:
    """How long from one instant to the other; to now where the other has not come."""
    import time

    from engine.model.instants import SECOND, from_text

    if began is None:
        return ""
    until = from_text(ended) if ended else time.time_ns()
    return seconds_text((until - from_text(began)) / SECOND)


def _runs_arguments(parser: Parser) -> None:
    parser.add_argument("--workflow", metavar="WORKFLOW", default="", help="runs of this workflow only")
    parser.add_argument(
        "--status", metavar="STATUS", action="append", default=[], type=one_of(*RUN_STATUSES),
        help="runs with this status; may be repeated",
    )  # fmt: skip
    parser.add_argument("--limit", metavar="N", type=whole(1), default=20, help="at most N runs (default 20)")


def runs(words: Words, place: Place) -> int:
    with place.session(read_only=True) as session:
        maps = session.newest(ListRuns(workflow=words.workflow, statuses=tuple(words.status)), words.limit)
    return list_rows(place.out, maps, RunRow, _RUNS, right="TOOK", none="no runs; `orchctl run FILE` makes one")


_RUNS: "Mapping[str, Callable[[RunRow], object]]" = {
    "RUN": lambda row: row.run,
    "WORKFLOW": lambda row: row.workflow,
    "STATUS": lambda row: (row.status, row.status),
    "QUEUED": lambda row: instant_text(row.queued_at),
    "TOOK": lambda row: took_text(row.started_at, row.finished_at),
    "TASKS": lambda row: counts_text(row.tasks),
    "NOTE": lambda row: row.note,
}


def _show_arguments(parser: Parser) -> None:
    run_argument(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="follow it to its end, as `orchctl run` does")
    parser.add_argument(
        "--at", metavar="TIME", default="",
        help="as it was at an instant or a time (14:05), so long ago (10m), or after a revision of `orchctl events`",
    )  # fmt: skip


def show(words: Words, place: Place) -> int:
    out = place.out
    with place.session(read_only=True) as session:
        if words.follow and words.at:
            raise UsageError("the past cannot be followed", "leave out -f or --at")
        number = run_number(session, words.run)
        if words.at:
            from orchctl.commands.past import show_past

            return show_past(session, number, words.at, out)
        if words.follow:
            from orchctl.commands.following import follow

            return follow(session, number, out)
        row, as_sent = session.one(GetRun(run=number), RunRow)
        if out.json:
            out.row(as_sent)
            return SUCCEEDED
        out.lines(_run_lines(row, out))
        reply = session.rows(ListGroups(run=number))
        out.line()
        list_rows(out, reply.rows, GroupRow, _GROUPS_NOW, right="TOOK")
        if reply.total > len(reply.rows):
            more = count_text(reply.total - len(reply.rows), "task")
            out.line(f"and {more} more: orchctl tasks {inert(row.run)}")
        if row.tasks.get("failed"):
            from orchctl.commands.following import failed_line

            out.line()
            out.lines(failed_line(row.run, failed) for failed in session.failed_rows(number, 8))
    return SUCCEEDED


def _run_lines(row: RunRow, out: Output) -> list[str]:
    facts = [
        ("queued", f"{instant_text(row.queued_at)} by {inert(row.actor or row.trigger)}"),
        ("due", instant_text(row.due_at)),
        ("started", instant_text(row.started_at)),
        ("finished", instant_text(row.finished_at)),
        ("took", took_text(row.started_at, row.finished_at)),
        ("version", inert(row.version)),
        ("folder", inert(row.folder)),
        ("note", inert(row.note)),
        ("tasks", counts_text(row.tasks)),
        ("backfill", inert(row.backfill)),
        ("set", "; ".join(_setting_text(task, own) for task, own in row.settings.items())),
        *((f"{inert(name)} =", inert(value)) for name, value in row.params.items()),
    ]
    head = f"{out.paint(f'{inert(row.run)} {inert(row.workflow)}', 'bold')} {out.paint(inert(row.status), row.status)}"
    return [head, *(f"  {name:<10} {value}" for name, value in facts if value)]


def _setting_text(task: str, settings: dict[str, int]) -> str:
    told = " ".join(f"{inert(name)}={value}" for name, value in settings.items())
    return f"{inert(task)} {told}".strip()


GROUPS: "Mapping[str, Callable[[GroupRow], object]]" = {
    "TASK": lambda row: "  " * min(row.depth, 12) + row.task,
    "STATUS": lambda row: (row.status, row.status),
    "ROWS": lambda row: f"{finished(row.tasks)}/{max(row.rows, sum(row.tasks.values()))}" if row.mapped else "",
}
_GROUPS_NOW: "Mapping[str, Callable[[GroupRow], object]]" = {
    **GROUPS,
    "TOOK": lambda row: took_text(row.started_at, row.finished_at),
    "WHY": lambda row: row.why,
}


def _tasks_arguments(parser: Parser) -> None:
    run_argument(parser)
    parser.add_argument("task", metavar="TASK", nargs="?", help="the rows of this task only, or one row: clean[3]")
    parser.add_argument(
        "--status", metavar="STATUS", action="append", default=[], type=one_of(*TASK_STATUSES),
        help="rows with this status; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--sort", metavar="ORDER", default="topological", type=one_of("topological", "attention", "duration"),
        help="topological (as written), attention (failed, running, ...) or duration",
    )  # fmt: skip
    parser.add_argument(
        "--limit", metavar="N", type=whole(0), default=None,
        help=f"at most N rows, 0: all (default: all; on a terminal {_TERMINAL_ROWS})",
    )  # fmt: skip
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--attempts", action="store_true", help="list the attempts of one row instead")
    instead.add_argument("--samples", action="store_true", help="list what its newest attempt used over time instead")


def tasks(words: Words, place: Place) -> int:
    out = place.out
    most = words.limit if words.limit is not None else _TERMINAL_ROWS if out.terminal and not out.json else 0
    with place.session(read_only=True) as session:
        number = run_number(session, words.run)
        task, index = asked_row(words.task)
        if words.attempts or words.samples:
            return (_attempts if words.attempts else _samples)(session, number, words.task, out)
        request = ListTasks(
            run=number, task=task, index=index, statuses=tuple(words.status), sort=words.sort,
            limit=min(most or _PAGE, _PAGE),
        )  # fmt: skip
        maps = session.pages(request, most) if out.json else list(session.pages(request, most))
        limited = isinstance(maps, list) and any(row.get("enforced") for row in maps)
        shown = {name: show for name, show in _ROWS.items() if limited or name != "QUOTAS"}
        list_rows(out, maps, TaskRow, shown, right="ATTEMPTS TOOK EXIT CPU MEMORY")
        if most and isinstance(maps, list) and len(maps) == most:
            out.remark(f"these are the first {count_text(most, 'row')}; --limit 0 prints all")
    return SUCCEEDED


def row_name(task: str, index: int | None) -> str:
    """`clean[3]`, or `clean`: as it is shown, inert."""
    return inert(task if index is None else f"{task}[{index}]")


_ROWS: "Mapping[str, Callable[[TaskRow], object]]" = {
    "TASK": lambda row: row_name(row.task, row.index),
    "STATUS": lambda row: ("suspended" if row.suspended else row.status, row.status),
    "ATTEMPTS": lambda row: row.attempts or "",
    "TOOK": lambda row: took_text(row.started_at, row.finished_at),
    "EXIT": lambda row: row.exit_code,
    "CPU": lambda row: seconds_text(row.cpu_seconds),
    "MEMORY": lambda row: size_text(row.max_rss),
    "QUOTAS": lambda row: levels_text(row.enforced),
    "WHY": lambda row: row.why or (row.outcome if row.outcome != row.status else ""),
}


def _attempts(session: Session, run: int, text: str | None, out: Output) -> int:
    task, index = _needed_row(text, "--attempts")
    maps = session.rows(ListAttempts(run=run, task=task, index=index)).rows
    return list_rows(out, maps, AttemptRow, _ATTEMPTS, right="NUMBER TOOK PID CPU MEMORY")


_ATTEMPTS: "Mapping[str, Callable[[AttemptRow], object]]" = {
    "NUMBER": lambda row: row.number,
    "STATUS": lambda row: (row.status, row.outcome or row.status),
    "STARTED": lambda row: instant_text(row.started_at),
    "TOOK": lambda row: took_text(row.started_at, row.finished_at),
    "PID": lambda row: row.pid,
    "CPU": lambda row: seconds_text(row.cpu_seconds),
    "MEMORY": lambda row: size_text(row.max_rss),
    "OUTCOME": lambda row: "; ".join(filter(None, (row.sentence or row.outcome, *row.marks))),
    "QUOTAS": lambda row: levels_text(row.enforced),
}


def _samples(session: Session, run: int, text: str | None, out: Output) -> int:
    task, index = _needed_row(text, "--samples")
    maps = session.rows(ListSamples(run=run, task=task, index=index)).rows
    none = "nothing was kept: what ends within a few seconds is not sampled"
    return list_rows(out, maps, SampleRow, _SAMPLES, right=" ".join(_SAMPLES), none=none)


_SAMPLES: "Mapping[str, Callable[[SampleRow], object]]" = {
    "AT": lambda row: instant_text(row.at),
    "MEMORY": lambda row: size_text(row.memory),
    "CPUS": lambda row: f"{row.cpus:.2f}",
    "CPU": lambda row: seconds_text(row.cpu_seconds),
    "READ": lambda row: size_text(row.read),
    "WRITTEN": lambda row: size_text(row.written),
    "PROCESSES": lambda row: row.processes,
    "THREADS": lambda row: row.threads,
}


def _needed_row(text: str | None, option: str) -> tuple[str, int]:
    if not text:
        raise UsageError(f"{option} needs a task", f"write it like `orchctl tasks r12 clean[3] {option}`")
    return parse_row(text)


COMMANDS = {
    "runs": Command(
        runs,
        _runs_arguments,
        ("orchctl runs", "orchctl runs --workflow orders --status failed --limit 5", "orchctl runs --json"),
    ),
    "show": Command(
        show,
        _show_arguments,
        ("orchctl show r12", "orchctl show latest -f", "orchctl show r12 --json", "orchctl show r12 --at 10m"),
        "With -f the exit code is the run's: 0 succeeded, 1 failed, 4 cancelled; Ctrl+C leaves with 130.",
    ),
    "tasks": Command(
        tasks,
        _tasks_arguments,
        (
            "orchctl tasks r12",
            "orchctl tasks latest --status failed --status running",
            "orchctl tasks r12 clean --sort duration --limit 10",
            "orchctl tasks r12 'clean[3]' --attempts",
            "orchctl tasks r12 'clean[3]' --samples",
        ),
    ),
}
