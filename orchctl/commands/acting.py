"""pause, resume, cancel, kill, retry, rerun, mark: acting on runs and their tasks.

An act that destroys shows what it will hit and asks, where a person is there. What was shown is sent along,
so the engine refuses what has moved on in between, and says which.
"""

from typing import Any

from engine.model.errors import ValueFault
from engine.model.ids import NO_INDEX, parse_row, run_text
from engine.protocol.messages import Act, GetRun, ListTasks, PauseWorkflow, Target
from engine.protocol.rows import RunRow, TaskRow
from orchctl.client.session import Session, new_request_id, typed
from orchctl.commands.kit import (
    REFUSED,
    SUCCEEDED,
    Command,
    Parser,
    Place,
    Words,
    one_of,
    run_argument,
    run_number,
    yes_option,
)  # fmt: skip
from orchctl.commands.output import Output
from orchctl.text import count_text, counts_text, inert

_DESTROYS = ("cancel", "kill", "rerun")


def _targets_argument(parser: Parser, *, needed: bool = False) -> None:
    run_argument(parser)
    several = "+" if needed else "*"
    help_text = "a task with all its rows, or one row: clean[3]" + ("" if needed else "; without any, the whole run")
    parser.add_argument("tasks", metavar="TASK", nargs=several, help=help_text)
    parser.add_argument("--note", metavar="TEXT", default="", help="a remark for the audit")


def _plain_arguments(parser: Parser) -> None:
    _targets_argument(parser)


def _asking_arguments(parser: Parser) -> None:
    _targets_argument(parser)
    yes_option(parser)


def _rerun_arguments(parser: Parser) -> None:
    _targets_argument(parser, needed=True)
    yes_option(parser)


def _mark_arguments(parser: Parser) -> None:
    _targets_argument(parser, needed=True)
    parser.add_argument(
        "--as", dest="mark", metavar="STATUS", required=True, type=one_of("succeeded", "failed"),
        help="succeeded or failed",
    )  # fmt: skip


def _resume_arguments(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN|WORKFLOW", help="r12, 12, latest, or the name of a workflow")
    help_text = "a task with all its rows, or one row: clean[3]; only what runs; without any, the whole run"
    parser.add_argument("tasks", metavar="TASK", nargs="*", help=help_text)
    parser.add_argument("--workflow", action="store_true", help="take a name such as r12 for a workflow's")
    parser.add_argument("--note", metavar="TEXT", default="", help="a remark for the audit")


def _pause_arguments(parser: Parser) -> None:
    _resume_arguments(parser)
    parser.add_argument("--running", action="store_true", help="of a run: also what runs of it, at once")


def parse_target(text: str) -> Target:
    """`clean[3]` is one row; `clean` is the task with all its rows. Raises ValueFault."""
    task, index = parse_row(text)
    return Target(task=task, index=None if index == NO_INDEX else index)


def _act(verb: str, words: Words, place: Place) -> int:
    with place.session() as session:
        number = run_number(session, words.run)
        targets = tuple(parse_target(text) for text in words.tasks)
        seen = ""
        yes: bool = getattr(words, "yes", True)
        if verb in _DESTROYS and not yes and place.out.asks:
            seen, targets, question = _look(session, verb, number, targets)
            if not place.out.confirm(question, yes=False):
                return REFUSED
        request = Act(
            request_id=new_request_id(), verb=verb, run=number, targets=targets, seen=seen, note=words.note,  # pyright: ignore[reportArgumentType]
            mark=getattr(words, "mark", ""),
        )  # fmt: skip
        return _report(session.act(request), verb, number, place.out)


def _look(session: Session, verb: str, run: int, targets: tuple[Target, ...]) -> tuple[str, tuple[Target, ...], str]:
    """What the act will hit: the run's status, the targets as they are now, and the question to ask."""
    row, _ = session.one(GetRun(run=run), RunRow)
    name = f"{row.run} {row.workflow}"
    if not targets:
        return row.status, (), f"{verb} {name} ({row.status}: {counts_text(row.tasks) or 'no tasks'})?"
    seen: list[Target] = []
    shown: list[str] = []
    for target in targets:
        if target.index is None:  # a whole task has no one status to compare
            reply = session.rows(ListTasks(run=run, task=target.task, limit=1))
            seen.append(target)
            shown.append(f"{target.task} ({count_text(max(reply.total, len(reply.rows)), 'row')})")
            continue
        rows = typed(session.rows(ListTasks(run=run, task=target.task, index=target.index, limit=1)).rows, TaskRow)
        if rows:
            target = Target(task=target.task, index=target.index, status=rows[0].status, attempts=rows[0].attempts)
            shown.append(f"{target.task}[{target.index}] ({rows[0].status})")
        seen.append(target)
    more = " with everything downstream" if verb == "rerun" else ""
    return "", tuple(seen), f"{verb} {', '.join(shown)} of {name}{more}?"


def _report(body: dict[str, Any], verb: str, run: int, out: Output) -> int:
    refused: list[dict[str, Any]] = list(body.get("refused") or ())
    changed = body.get("changed")
    if out.json:
        out.row({"run": run_text(run), "verb": verb, **body})
    else:
        what = count_text(changed, "row") if isinstance(changed, int) and not isinstance(changed, bool) else "done"
        out.line(f"{verb} {run_text(run)}: {what}")
        for entry in refused:
            out.remark(f"refused: {entry.get('row')}: {entry.get('why')}")
    return REFUSED if refused else SUCCEEDED


def _pause(verb: str, words: Words, place: Place) -> int:
    """A word that names a run is one; any other names a workflow."""
    with place.session() as session:
        try:
            number = 0 if words.workflow else run_number(session, words.run)
        except ValueFault:
            number = 0
        if number:
            targets = tuple(parse_target(text) for text in words.tasks)
            act = Act(
                request_id=new_request_id(), verb="pause" if verb == "pause" else "resume", run=number,
                targets=targets, note=words.note, running=verb == "pause" and words.running,
            )  # fmt: skip
            return _report(session.act(act), verb, number, place.out)
        if words.tasks or getattr(words, "running", False):
            raise ValueFault(f"{words.run!r} is no run", "tasks are named by their run: r12, 12 or latest")
        request = PauseWorkflow(request_id=new_request_id(), workflow=words.run, paused=verb == "pause")
        body = session.act(request)
    if place.out.json:
        place.out.row({"workflow": words.run, "verb": verb, **body})
    else:
        place.out.line(f"{verb} {inert(words.run)}: done")
    return SUCCEEDED


def pause(words: Words, place: Place) -> int:
    return _pause("pause", words, place)


def resume(words: Words, place: Place) -> int:
    return _pause("resume", words, place)


def cancel(words: Words, place: Place) -> int:
    return _act("cancel", words, place)


def kill(words: Words, place: Place) -> int:
    return _act("kill", words, place)


def retry(words: Words, place: Place) -> int:
    return _act("retry", words, place)


def rerun(words: Words, place: Place) -> int:
    return _act("rerun", words, place)


def mark(words: Words, place: Place) -> int:
    return _act("mark", words, place)


_REFUSALS = "Exit code 3 when a target was refused; the others are done, and each refusal is listed."

COMMANDS = {
    "pause": Command(
        pause,
        _pause_arguments,
        ("orchctl pause r12", "orchctl pause r12 'clean[3]'", "orchctl pause orders  # its schedules"),
        "A paused run starts nothing more; what runs goes on, unless --running or TASK says otherwise: then its "
        "processes stand still, keep what they claim, and their limits of time do not count. A paused workflow's "
        "schedules make no runs.",
    ),
    "resume": Command(
        resume,
        _resume_arguments,
        ("orchctl resume r12", "orchctl resume r12 clean", "orchctl resume orders"),
        "A run goes on where it was paused, with all that stands still of it.",
    ),
    "cancel": Command(
        cancel,
        _asking_arguments,
        ("orchctl cancel r12 --note 'wrong day'", "orchctl cancel latest 'clean[3]' publish --yes"),
        f"Attempts get their stop signal, then after the grace SIGKILL. {_REFUSALS}",
    ),
    "kill": Command(
        kill,
        _asking_arguments,
        ("orchctl kill r12", "orchctl kill r12 'clean[3]' --yes"),
        f"SIGKILL at once. {_REFUSALS}",
    ),
    "retry": Command(
        retry,
        _plain_arguments,
        ("orchctl retry r12", "orchctl retry latest 'clean[3]' 'clean[7]'"),
        f"Failed, upstream_failed and cancelled rows go again. {_REFUSALS}",
    ),
    "rerun": Command(
        rerun,
        _rerun_arguments,
        ("orchctl rerun r12 clean", "orchctl rerun latest 'clean[3]' --yes"),
        f"The tasks go again whatever they are, with everything downstream. {_REFUSALS}",
    ),
    "mark": Command(
        mark,
        _mark_arguments,
        ("orchctl mark r12 extract --as succeeded --note 'done by hand'", "orchctl mark r12 'clean[3]' --as failed"),
        f"What waits for the tasks is looked at again. {_REFUSALS}",
    ),
}
