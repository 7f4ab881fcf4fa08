"""pause, resume, cancel, kill, retry, rerun, mark, set: acting on runs, their tasks, and backfills.

An act that destroys shows what it will hit and asks, where a person is there. What was shown is sent along,
so the engine refuses what has moved on in between, and says which.
"""

from functools import partial
from typing import Any

from engine.model.errors import NotFound, ValueFault
from engine.model.ids import backfill_text, parse_backfill, run_text
from engine.protocol.messages import (
    Act,
    ActOnBackfill,
    ChangeSettings,
    GetRun,
    ListBackfills,
    ListTasks,
    PauseWorkflow,
    Target,
)  # fmt: skip
from engine.protocol.rows import BackfillRow, RunRow, TaskRow
from orchctl.client.session import Session, new_request_id, typed
from orchctl.commands.kit import (
    REFUSED,
    SUCCEEDED,
    Command,
    Parser,
    Place,
    UsageError,
    Words,
    asked_row,
    did_you_mean,
    one_of,
    run_argument,
    run_number,
    yes_option,
)  # fmt: skip
from orchctl.commands.output import Output
from orchctl.text import count_text, counts_text, inert

_DESTROYS = ("cancel", "kill", "rerun")
_SETTINGS = ("priority", "max_parallel", "tolerate")


def _targets_argument(parser: Parser, *, needed: bool = False, run: str = "RUN") -> None:
    run_argument(parser, run)
    several = "+" if needed else "*"
    help_text = "a task with all its rows, or one row: clean[3]" + ("" if needed else "; without any, the whole run")
    parser.add_argument("tasks", metavar="TASK", nargs=several, help=help_text)
    parser.add_argument("--note", metavar="TEXT", default="", help="a remark for the audit")


def _ending_arguments(parser: Parser) -> None:
    _targets_argument(parser, run="RUN|BACKFILL")
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
    parser.add_argument("run", metavar="RUN|BACKFILL|WORKFLOW", help="r12, 12, latest, b3, or the name of a workflow")
    help_text = "a task with all its rows, or one row: clean[3]; only what runs; without any, the whole run"
    parser.add_argument("tasks", metavar="TASK", nargs="*", help=help_text)
    parser.add_argument("--workflow", action="store_true", help="take a name such as r12 or b3 for a workflow's")
    parser.add_argument("--note", metavar="TEXT", default="", help="a remark for the audit")


def _pause_arguments(parser: Parser) -> None:
    _resume_arguments(parser)
    parser.add_argument("--running", action="store_true", help="of a run: also what runs of it, at once")


def _targets(words: Words) -> tuple[Target, ...]:
    """`clean[3]` is one row; `clean` is the task with all its rows. Raises ValueFault."""
    return tuple(Target(task=task, index=index) for task, index in map(asked_row, words.tasks))


def _act(verb: str, words: Words, place: Place) -> int:
    with place.session() as session:
        backfill = backfill_number(words.run)
        if backfill:
            if words.tasks:
                raise UsageError(f"a backfill has no task {words.tasks[0]!r}", "name the run that the task belongs to")
            return _act_on_backfill(session, verb, backfill, words, place.out)
        number = run_number(session, words.run)
        targets, seen = _targets(words), ""
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


def backfill_number(text: str) -> int:
    """The backfill that a word names, 0 if it names none."""
    try:
        return parse_backfill(text)
    except ValueFault:
        return 0


def _act_on_backfill(session: Session, verb: str, number: int, words: Words, out: Output) -> int:
    """Its runs that go on are cancelled with it, so a person is asked."""
    name, seen = backfill_text(number), ""
    if verb in _DESTROYS and not words.yes and out.asks:
        rows = typed(session.rows(ListBackfills()).rows, BackfillRow)
        row = next((row for row in rows if row.backfill == name), None)
        if row is None:
            raise NotFound(f"there is no backfill {name}", "`orchctl backfills` lists them")
        seen = row.status
        what = f"{row.status}: {row.pending} to come, {count_text(len(row.active), 'run')} unfinished"
        if not out.confirm(f"{verb} {name} {inert(row.workflow)} ({what})?", yes=False):
            return REFUSED
    request = ActOnBackfill(
        request_id=new_request_id(), verb=verb, backfill=number, seen=seen, note=words.note,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    body = session.act(request)
    if out.json:
        out.row({"backfill": name, "verb": verb, **body})
    elif "dropped" in body:
        runs = count_text(int(body["runs"]), "run")
        out.line(f"{verb} {name}: {body['dropped']} to come dropped, {runs} cancelled")
    else:
        out.line(f"{verb} {name}: done")
    return SUCCEEDED


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
    """A word that names a run or a backfill is one; any other names a workflow."""
    with place.session() as session:
        backfill = 0 if words.workflow else backfill_number(words.run)
        if backfill:
            return _act_on_backfill(session, verb, backfill, words, place.out)
        try:
            number = 0 if words.workflow else run_number(session, words.run)
        except ValueFault:
            number = 0
        if number:
            act = Act(
                request_id=new_request_id(), verb="pause" if verb == "pause" else "resume", run=number,
                targets=_targets(words), note=words.note, running=verb == "pause" and words.running,
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


def _set_arguments(parser: Parser) -> None:
    run_argument(parser)
    parser.add_argument("words", metavar="[TASK] NAME=VALUE", nargs="+", help="a task, then what is to be changed")
    parser.add_argument("--note", metavar="TEXT", default="", help="a remark for the audit")


def set_settings(words: Words, place: Place) -> int:
    task, settings = _settings(words.words)
    with place.session() as session:
        number = run_number(session, words.run)
        request = ChangeSettings(request_id=new_request_id(), run=number, task=task, settings=settings, note=words.note)
        body = session.act(request)
    name = f"{run_text(number)} {task}".strip()
    if place.out.json:
        place.out.row({"run": run_text(number), "task": task or None, "settings": settings, **body})
        return SUCCEEDED
    was: dict[str, Any] = dict(body.get("was") or {})
    meant: dict[str, Any] = dict(body.get("meant") or {})
    for setting, value in settings.items():
        old = "default" if was.get(setting) is None else str(was[setting])
        told = f"{old}: {meant[setting]}" if old == "default" and setting in meant else old
        place.out.line(f"set {name} {setting}={'default' if value is None else value} (was {told})")
        place.out.remark(f"to undo: orchctl set {name} {setting}={old}")
    return SUCCEEDED


def _settings(words: list[str]) -> tuple[str, dict[str, int | None]]:
    """`[TASK] NAME=VALUE ...`: a whole number, or `default` for what the definition says. Raises UsageError."""
    named = [word for word in words if "=" not in word]
    if len(named) > 1 or (named and words[0] != named[0]):
        raise UsageError(f"{named[-1]!r} is not written like name=value", "orchctl set r12 clean max_parallel=4")
    if len(named) == len(words):
        raise UsageError("nothing is to be set", "write what, for example priority=5")
    settings: dict[str, int | None] = {}
    for word in words:
        name, sign, text = word.partition("=")
        if not sign:
            continue
        if name not in _SETTINGS:
            near = did_you_mean(name, _SETTINGS) or f"; it is one of {', '.join(_SETTINGS)}"
            raise UsageError(f"{name!r} cannot be set{near}")
        digits = text.removeprefix("-")
        if text != "default" and not (digits.isascii() and digits.isdecimal() and len(digits) < 10):
            raise UsageError(f"{text!r} is not a whole number", f"write {name}=5, or {name}=default")
        settings[name] = None if text == "default" else int(text)
    task, index = asked_row(named[0] if named else None)
    if index is not None:
        raise UsageError(f"{named[0]} is one row: what is set holds for all rows of a task", f"write {task}")
    return task, settings


_REFUSALS = "Exit code 3 when a target was refused; the others are done, and each refusal is listed."

COMMANDS = {
    "pause": Command(
        partial(_pause, "pause"),
        _pause_arguments,
        (
            "orchctl pause r12",
            "orchctl pause r12 'clean[3]'",
            "orchctl pause orders  # its schedules",
            "orchctl pause b3  # a backfill",
        ),
        "A paused run starts nothing more; what runs goes on, unless --running or TASK says otherwise: then its "
        "processes stand still, keep what they claim, and their limits of time do not count. A paused workflow's "
        "schedules make no runs, and neither does a paused backfill.",
    ),
    "resume": Command(
        partial(_pause, "resume"),
        _resume_arguments,
        ("orchctl resume r12", "orchctl resume r12 clean", "orchctl resume orders", "orchctl resume b3"),
        "A run goes on where it was paused, with all that stands still of it.",
    ),
    "cancel": Command(
        partial(_act, "cancel"),
        _ending_arguments,
        ("orchctl cancel r12 --note 'wrong day'", "orchctl cancel latest 'clean[3]' --yes", "orchctl cancel b3"),
        f"Attempts get their stop signal, then after the grace SIGKILL. A backfill makes no more runs. {_REFUSALS}",
    ),
    "kill": Command(
        partial(_act, "kill"),
        _ending_arguments,
        ("orchctl kill r12", "orchctl kill r12 'clean[3]' --yes"),
        f"SIGKILL at once. {_REFUSALS}",
    ),
    "retry": Command(
        partial(_act, "retry"),
        _targets_argument,
        ("orchctl retry r12", "orchctl retry latest 'clean[3]' 'clean[7]'"),
        f"Failed, upstream_failed and cancelled rows go again. {_REFUSALS}",
    ),
    "rerun": Command(
        partial(_act, "rerun"),
        _rerun_arguments,
        ("orchctl rerun r12 clean", "orchctl rerun latest 'clean[3]' --yes"),
        f"The tasks go again whatever they are, with everything downstream. {_REFUSALS}",
    ),
    "mark": Command(
        partial(_act, "mark"),
        _mark_arguments,
        ("orchctl mark r12 extract --as succeeded --note 'done by hand'", "orchctl mark r12 'clean[3]' --as failed"),
        f"What waits for the tasks is looked at again. {_REFUSALS}",
    ),
    "set": Command(
        set_settings,
        _set_arguments,
        (
            "orchctl set r12 priority=5",
            "orchctl set r12 clean max_parallel=16 tolerate=3",
            "orchctl set r12 clean max_parallel=default",
        ),
        "While the run goes on, and for this run only: priority of the run or of a task (higher goes first), and of a "
        "task with for_each max_parallel (0 is no limit) and tolerate. `default` gives the definition its say again.",
    ),
}
