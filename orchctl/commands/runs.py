"""runs, show, tasks: looking at runs."""

from typing import TYPE_CHECKING

from engine.model.ids import NO_INDEX, parse_row
from engine.model.status import RunStatus, TaskStatus
from engine.protocol.messages import GetRun, ListAttempts, ListGroups, ListRuns, ListSamples, ListTasks
from engine.protocol.rows import AttemptRow, GroupRow, RunRow, SampleRow, TaskRow
from orchctl.client.session import Session, typed
from orchctl.commands.kit import (
    SUCCEEDED,
    Command,
    Parser,
    Place,
    UsageError,
    Words,
    one_of,
    run_argument,
    run_number,
    whole,
)  # fmt: skip
from orchctl.commands.live import finished
from orchctl.commands.output import Output
from orchctl.text import count_text, counts_text, inert, instant_text, levels_text, seconds_text, size_text

if TYPE_CHECKING:
    from orchctl.text import Cell

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
    parser.add_argument("--workflow", metavar="NAME", default="", help="runs of this workflow only")
    parser.add_argument(
        "--status", metavar="STATUS", action="append", default=[], type=one_of(*RUN_STATUSES),
        help="runs with this status; may be repeated",
    )  # fmt: skip
    parser.add_argument("--limit", metavar="N", type=whole(1), default=20, help="at most N runs (default 20)")


def runs(words: Words, place: Place) -> int:
    out = place.out
    with place.session(read_only=True) as session:
        maps = session.newest(ListRuns(workflow=words.workflow, statuses=tuple(words.status)), words.limit)
    if out.json:
        out.rows(maps)
        return SUCCEEDED
    rows = typed(maps, RunRow)
    if not rows:
        out.remark("no runs; `orchctl run FILE` makes one")
        return SUCCEEDED
    out.table(("RUN", "WORKFLOW", "STATUS", "QUEUED", "TOOK", "TASKS", "NOTE"), map(_run_cells, rows), right="TOOK")
    return SUCCEEDED


def _run_cells(row: RunRow) -> "list[Cell]":
    return [
        inert(row.run),
        inert(row.workflow),
        (inert(row.status), row.status),
        instant_text(row.queued_at),
        took_text(row.started_at, row.finished_at),
        counts_text(row.tasks),
        inert(row.note),
    ]


def _show_arguments(parser: Parser) -> None:
    run_argument(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="follow it to its end, as `orchctl run` does")
    parser.add_argument(
        "--at", metavar="TIME", default="",
        help="as it was at an instant, so long ago (10m), or after a revision of `orchctl events`",
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
        _print_groups(typed(reply.rows, GroupRow), reply.total, row, out)
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


def _print_groups(groups: list[GroupRow], total: int, run: RunRow, out: Output) -> None:
    out.line()
    out.table(
        ("TASK", "STATUS", "ROWS", "TOOK", "WHY"),
        (
            (
                "  " * min(group.depth, 12) + inert(group.task),
                (inert(group.status), group.status),
                f"{finished(group.tasks)}/{max(group.rows, sum(group.tasks.values()))}" if group.mapped else "",
                took_text(group.started_at, group.finished_at),
                inert(group.why),
            )
            for group in groups
        ),
        right="TOOK",
    )
    if total > len(groups):
        out.line(f"and {count_text(total - len(groups), 'task')} more: orchctl tasks {inert(run.run)}")


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
    parser.add_argument("--attempts", action="store_true", help="list the attempts of one row instead")
    parser.add_argument("--samples", action="store_true", help="list what its newest attempt used over time instead")


def tasks(words: Words, place: Place) -> int:
    out = place.out
    most = words.limit if words.limit is not None else _TERMINAL_ROWS if out.terminal and not out.json else 0
    with place.session(read_only=True) as session:
        number = run_number(session, words.run)
        task, index = parse_row(words.task) if words.task else ("", NO_INDEX)
        if words.attempts or words.samples:
            return (_attempts if words.attempts else _samples)(session, number, task, index, out)
        request = ListTasks(
            run=number, task=task, index=None if index == NO_INDEX else index, statuses=tuple(words.status),
            sort=words.sort, limit=_PAGE,
        )  # fmt: skip
        rows = session.pages(request, most)
        if out.json:
            out.rows(rows)
            return SUCCEEDED
        _print_rows(typed(list(rows), TaskRow), most, out)
    return SUCCEEDED


def row_name(task: str, index: int | None) -> str:
    """`clean[3]`, or `clean`: as it is shown, inert."""
    return inert(task if index is None else f"{task}[{index}]")


def _print_rows(rows: list[TaskRow], most: int, out: Output) -> None:
    limited = any(row.enforced for row in rows)
    out.table(
        ("TASK", "STATUS", "ATTEMPTS", "TOOK", "EXIT", "CPU", "MEMORY", *(("QUOTAS",) if limited else ()), "WHY"),
        (
            (
                row_name(row.task, row.index),
                (inert("paused" if row.suspended else row.status), row.status),
                str(row.attempts or ""),
                took_text(row.started_at, row.finished_at),
                inert(row.exit_code),
                seconds_text(row.cpu_seconds),
                size_text(row.max_rss),
                *((levels_text(row.enforced),) if limited else ()),
                inert(row.why or (row.outcome if row.outcome != row.status else "")),
            )
            for row in rows
        ),
        right="ATTEMPTS TOOK EXIT CPU MEMORY",
    )
    if most and len(rows) == most:
        out.remark(f"these are the first {count_text(most, 'row')}; --limit 0 prints all")


def _attempts(session: Session, run: int, task: str, index: int, out: Output) -> int:
    _require_task(task, "--attempts")
    maps = session.rows(ListAttempts(run=run, task=task, index=index)).rows
    if out.json:
        out.rows(maps)
        return SUCCEEDED
    out.table(
        ("NUMBER", "STATUS", "STARTED", "TOOK", "PID", "CPU", "MEMORY", "OUTCOME", "QUOTAS"),
        (
            (
                str(row.number),
                (inert(row.status), row.outcome or row.status),
                instant_text(row.started_at),
                took_text(row.started_at, row.finished_at),
                inert(row.pid),
                seconds_text(row.cpu_seconds),
                size_text(row.max_rss),
                inert("; ".join(filter(None, (row.sentence or row.outcome, *row.marks)))),
                levels_text(row.enforced),
            )
            for row in typed(maps, AttemptRow)
        ),
        right="NUMBER TOOK PID CPU MEMORY",
    )
    return SUCCEEDED


def _samples(session: Session, run: int, task: str, index: int, out: Output) -> int:
    _require_task(task, "--samples")
    maps = session.rows(ListSamples(run=run, task=task, index=index)).rows
    if out.json:
        out.rows(maps)
        return SUCCEEDED
    out.table(
        ("AT", "MEMORY", "CPUS", "CPU", "READ", "WRITTEN", "PROCESSES", "THREADS"),
        (
            (
                instant_text(row.at),
                size_text(row.memory),
                f"{row.cpus:.2f}",
                seconds_text(row.cpu_seconds),
                size_text(row.read),
                size_text(row.written),
                str(row.processes),
                str(row.threads),
            )
            for row in typed(maps, SampleRow)
        ),
        right="MEMORY CPUS CPU READ WRITTEN PROCESSES THREADS",
    )
    if not maps:
        out.remark("nothing was kept: what ends within a few seconds is not sampled")
    return SUCCEEDED


def _require_task(task: str, option: str) -> None:
    if not task:
        from orchctl.commands.kit import UsageError

        raise UsageError(f"{option} needs a task", f"write it like `orchctl tasks r12 clean[3] {option}`")


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
