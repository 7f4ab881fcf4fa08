"""Acts of an operator: what would be touched, in words and numbers, and the request that does it. Pure.

The request says what the operator saw when the key was pressed, so that the engine refuses what has changed meanwhile.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import msgspec

from engine.protocol.messages import (
    Act,
    ActOnBackfill,
    ChangeSettings,
    Done,
    PauseWorkflow,
    StartBackfill,
    Submit,
    Target,
)  # fmt: skip
from engine.protocol.rows import BackfillRow, GroupRow, PartitionRow, RunRow, TaskRow, WorkflowRow
from orchctl.console.drawing import backfill_number, run_number
from orchctl.console.runlines import row_name
from orchctl.text import count_text

Verb = Literal[
    "pause", "resume", "pause rows", "resume rows", "cancel", "kill", "retry", "rerun", "mark succeeded", "mark failed"
]
Request = Act | ActOnBackfill | ChangeSettings | PauseWorkflow | StartBackfill | Submit
TYPED_ABOVE = 100
TARGETS_MAX = 10_000
_AGAIN = ("failed", "upstream_failed", "cancelled")
_OPEN = ("waiting", "ready", "running", "backing_off")
_STILL = ("succeeded", "failed", "upstream_failed", "skipped", "cancelled", "waiting", "ready", "backing_off")
_RUN_OPEN = ("queued", "running", "paused", "cancelling")
_BACKFILL_OPEN = ("running", "paused")
_TOUCHES: dict[Verb, tuple[str, ...]] = {
    "pause rows": ("running",), "resume rows": ("running",),
    "cancel": _OPEN, "kill": _OPEN, "retry": _AGAIN, "rerun": _STILL, "mark succeeded": _STILL, "mark failed": _STILL,
}  # fmt: skip
_SAYS: dict[Verb, str] = {
    "pause": "Pause: what runs goes on, nothing new starts",
    "resume": "Resume: waiting rows may start again",
    "pause rows": "Pause what runs: its processes stand still and keep what they claim",
    "resume rows": "Resume: what stands still goes on",
    "cancel": "Cancel: what runs is asked to end, the rest does not start",
    "kill": "Kill: what runs is ended at once, unsaved work is lost",
    "retry": "Retry: failed and cancelled rows run again, and what waits on them",
    "rerun": "Rerun: these run again, and everything downstream of them",
    "mark succeeded": "Mark succeeded: taken as done without running; what waits on them may start",
    "mark failed": "Mark failed: taken as failed; what needs them does not start",
}
_BACKFILL_SAYS = {
    "pause": "Pause: it makes no more runs; those that go on do",
    "resume": "Resume: it makes its runs again",
    "cancel": "Cancel: it makes no more runs, and its unfinished ones are cancelled",
    "kill": "Kill: it makes no more runs, and its unfinished ones are killed",
}
_UNDOES: dict[str, Verb] = {
    "pause": "resume", "resume": "pause", "pause rows": "resume rows", "resume rows": "pause rows",
}  # fmt: skip
_DONE: dict[str, str] = {
    "pause": "paused", "resume": "resumed", "pause rows": "paused", "resume rows": "resumed", "set": "set",
    "backfill": "made", "cancel": "cancelled", "kill": "killed", "retry": "retried",
    "rerun": "run again", "mark succeeded": "marked succeeded", "mark failed": "marked failed", "trigger": "made a run",
}  # fmt: skip
_NOTHING = {
    "retry": "failed or was cancelled", "cancel": "still runs or waits", "kill": "still runs or waits",
    "pause rows": "runs",
}  # fmt: skip


class Intent(msgspec.Struct, frozen=True):
    """An act that waits for its confirmation. `names` are what is touched, at most a few; `count` how many rows or
    runs in all. `typed` is what the operator must type, empty where the key y is enough.
    """

    request: Request
    title: str
    names: tuple[str, ...]
    count: int
    typed: str
    noun: str = "row"
    verb: str = ""
    also: str = ""
    """What else is touched, in words."""


def run_verb(verb: Verb, row: RunRow) -> Verb:
    """`pause` means resume for a run that is paused."""
    return "resume" if verb == "pause" and row.status == "paused" else verb


def why_not_run(verb: Verb, row: RunRow) -> str:
    """Why the act makes no sense for the run, or nothing."""
    if verb in ("pause", "cancel", "kill") and row.status not in _RUN_OPEN:
        return f"{row.run} has ended: {row.status}"
    if verb == "retry" and not any(row.tasks.get(status) for status in _AGAIN):
        return f"{row.run} has nothing that failed or was cancelled"
    if verb in ("rerun", "mark succeeded", "mark failed"):
        return f"{verb} is for tasks and rows: put the cursor on one, or mark some"
    return ""


def on_run(verb: Verb, row: RunRow) -> Intent:
    """An act on a whole run."""
    verb = run_verb(verb, row)
    touched = _touched(verb, row.tasks)
    act = Act(request_id="", verb=cast("Any", verb), run=run_number(row.run), seen=row.status)
    rows = f", {touched:,} {'row' if touched == 1 else 'rows'}" if verb in ("cancel", "kill", "retry") else ""
    return Intent(
        act,
        _SAYS[verb],
        (f"run {row.run} of {row.workflow}, {row.status}{rows}",),
        1,
        _typed(verb, 1),
        "run",
        verb,
    )


def on_running(verb: Verb, row: RunRow) -> Intent:
    """Pause a run with all that runs of it, or have all of it go on."""
    act = Act(
        request_id="", verb="pause" if verb == "pause rows" else "resume", run=run_number(row.run), seen=row.status,
        running=verb == "pause rows",
    )  # fmt: skip
    count = row.tasks.get("running", 0)
    names = (f"run {row.run} of {row.workflow}, {count_text(count, 'running row')}",)
    return Intent(act, _SAYS[verb], names, max(1, count), "", "row", verb)


def on_rows(verb: Verb, run: int, targets: Sequence[GroupRow | TaskRow], below: int = 0) -> Intent:
    """An act on tasks or rows of a run. `below`: how many tasks downstream it touches too."""
    count = sum(max(1, _touched(verb, target.tasks)) if isinstance(target, GroupRow) else 1 for target in targets)
    name, _, mark = verb.partition(" ")
    act = Act(
        request_id="", verb=cast("Any", name), run=run, targets=tuple(_target(target) for target in targets),
        mark=mark if name == "mark" else "",
    )  # fmt: skip
    names = tuple(_name(verb, target) for target in targets)
    also = f"and {count_text(below, 'task')} downstream" if below else ""
    return Intent(act, _SAYS[verb], names, count, _typed(verb, count), verb=verb, also=also)


def why_not_rows(verb: Verb, targets: Sequence[GroupRow | TaskRow]) -> str:
    """Why the act makes no sense for any of the rows, or nothing."""
    if len(targets) > TARGETS_MAX:
        return f"{len(targets):,} are too many at once: filter, or act on the run or on whole tasks"
    wanted = _TOUCHES.get(verb, ())
    for target in targets:
        if isinstance(target, GroupRow) and target.mapped:
            if _touched(verb, target.tasks):
                return ""
        elif target.status in wanted:
            return ""
    if len(targets) == 1:
        only = targets[0]
        name = row_name(only.task, only.index) if isinstance(only, TaskRow) else only.task
        return f"{name} is {only.status.replace('_', ' ')}: nothing to {verb}"
    return f"none of these {_NOTHING.get(verb, 'stands still')}"


def acted_on(verb: Verb, targets: Sequence[GroupRow | TaskRow]) -> list[GroupRow | TaskRow]:
    """Those of many marked ones for which the act makes sense."""
    return [target for target in targets if not why_not_rows(verb, [target])]


def on_workflow(row: WorkflowRow) -> Intent:
    """Pause its schedules, or let them go on."""
    verb: Verb = "resume" if row.paused else "pause"
    said = "its schedules count again from now" if row.paused else "its schedules make no runs; runs that go on do"
    request = PauseWorkflow(request_id="", workflow=row.workflow, paused=not row.paused)
    return Intent(request, f"{verb.capitalize()}: {said}", (f"workflow {row.workflow}",), 1, "", "workflow", verb)


def why_not_backfill(verb: Verb, row: BackfillRow) -> str:
    """Why the act makes no sense for the backfill, or nothing."""
    return "" if row.status in _BACKFILL_OPEN else f"{row.backfill} has ended: {row.status}"


def on_backfill(verb: Verb, row: BackfillRow) -> Intent:
    """An act on a backfill; `pause` means resume for one that is paused."""
    name = "resume" if verb == "pause" and row.status == "paused" else verb
    request = ActOnBackfill(
        request_id="", verb=cast("Any", name), backfill=backfill_number(row.backfill), seen=row.status
    )
    to_come, unfinished = f"{row.pending:,} to come", count_text(len(row.active), "unfinished run")
    names = (f"backfill {row.backfill} of {row.workflow}, {row.status}: {to_come}, {unfinished}",)
    typed = "yes" if name == "kill" else ""
    return Intent(request, _BACKFILL_SAYS[name], names, 1, typed, "backfill", name)


def on_start_backfill(request: StartBackfill, partitions: Sequence[PartitionRow]) -> Intent:
    """Make runs for those of the partitions that would run. What else the range holds is left out."""
    wanted = [row.partition for row in partitions if row.runs]
    span = wanted[0] if len(wanted) == 1 else f"{wanted[0]} to {wanted[-1]}, the {request.order} first"
    names = [f"workflow {request.workflow}, {count_text(len(wanted), 'partition')}", span]
    names.append(f"at most {count_text(request.max_active, 'run')} unfinished at a time")
    names += [f"{name} = {value}" for name, value in request.params.items()]
    left_out = len(partitions) - len(wanted)
    also = f"{count_text(left_out, 'partition')} of the range left out" if left_out else ""
    typed = str(len(wanted)) if len(wanted) > TYPED_ABOVE else ""
    title = "Backfill: make a run for each of these partitions"
    return Intent(request, title, tuple(names), len(wanted), typed, "run", "backfill", also)


def on_settings(run: RunRow, task: str, settings: Mapping[str, int | None], note: str) -> Intent:
    """Change what holds for a run, or for a task in it. None gives the definition its say again."""
    request = ChangeSettings(
        request_id="", run=run_number(run.run), settings=dict(settings), task=task, seen=run.status, note=note
    )
    return Intent(request, "Set", (_settings_text(request),), 1, "", "run", "set")


def _settings_text(request: ChangeSettings) -> str:
    told = " ".join(f"{name}={_setting(value)}" for name, value in request.settings.items())
    return f"{f'r{request.run} {request.task}'.strip()} {told}"


def _setting(value: Any) -> str:
    return "default" if value is None else str(value)


def undoable(intent: Intent) -> bool:
    """Whether a key takes the act back; such an act is done without a question."""
    return intent.verb in _UNDOES or intent.verb == "set"


def undo_of(intent: Intent, done: Done) -> Intent | None:
    """What takes back an act that was done; None where nothing does."""
    request = intent.request
    if isinstance(request, ChangeSettings):
        was = cast("dict[str, int | None]", done.body.get("was") or {})
        back = msgspec.structs.replace(request, request_id="", settings=was, seen="")
        return msgspec.structs.replace(intent, request=back, names=(_settings_text(back),)) if was else None
    verb = _UNDOES.get(intent.verb)
    if verb is None:
        return None
    title = f"{verb.partition(' ')[0].capitalize()} again"
    if isinstance(request, PauseWorkflow):
        back = msgspec.structs.replace(request, request_id="", paused=not request.paused)
    elif isinstance(request, Act | ActOnBackfill):
        back = msgspec.structs.replace(request, request_id="", verb=cast("Any", verb.partition(" ")[0]), seen="")
    else:
        return None
    return msgspec.structs.replace(intent, request=back, title=title, verb=verb)


def on_trigger(row: WorkflowRow, params: dict[str, Any], note: str) -> Intent:
    """Make a run of a workflow that was added."""
    names = [f"workflow {row.workflow}, {count_text(row.tasks, 'task')}"]
    names += [f"{name} = {value}" for name, value in params.items()]
    request = Submit(request_id="", workflow=row.workflow, params=params, note=note)
    return Intent(request, "Trigger: make a run now", tuple(names), 1, "", "run", "trigger")


def _typed(verb: Verb, count: int) -> str:
    if verb == "kill":
        return str(count) if count > 1 else "yes"
    return str(count) if count > TYPED_ABOVE else ""


def _touched(verb: Verb, tasks: dict[str, int]) -> int:
    return sum(tasks.get(status, 0) for status in _TOUCHES.get(verb, _OPEN))


def _name(verb: Verb, target: GroupRow | TaskRow) -> str:
    if isinstance(target, TaskRow):
        return f"{row_name(target.task, target.index)}, {target.status.replace('_', ' ')}"
    if target.mapped:
        return f"{target.task}, {_touched(verb, target.tasks):,} of {target.rows:,} rows"
    return f"{target.task}, {target.status.replace('_', ' ')}"


def _target(target: GroupRow | TaskRow) -> Target:
    if isinstance(target, TaskRow):
        index = -1 if target.index is None else target.index
        return Target(task=target.task, index=index, status=target.status, attempts=target.attempts)
    if target.mapped:
        return Target(task=target.task, index=None)
    return Target(task=target.task, index=-1, status=target.status)


def told(intent: Intent, done: Done) -> str:
    """What became of an act, as one line: what was done, and what was refused and why."""
    verb = _DONE[intent.verb]
    refused = done.body.get("refused")
    failures = cast("list[Any]", refused) if isinstance(refused, list) else []
    what = intent.names[0].partition(",")[0] if len(intent.names) == 1 else f"{intent.count:,} {intent.noun}s"
    what = _outcome(intent, done.body) or what
    if not failures:
        return f"{verb}: {what}"
    reasons = [_refusal(failure) for failure in failures[:3]]
    more = f" and {len(failures) - 3} more" if len(failures) > 3 else ""
    return f"{len(failures)} refused: {'; '.join(reasons)}{more}"


def _outcome(intent: Intent, body: dict[str, Any]) -> str:
    """What the engine says was made or changed, where that is more than what was asked for."""
    if intent.verb == "trigger":
        return str(body.get("run", ""))
    if intent.verb == "backfill":
        left_out = int(body.get("left_out") or 0)
        made = f"{body.get('backfill')}, {count_text(int(body.get('partitions') or 0), 'partition')}"
        return made + (f", {left_out:,} left out" if left_out else "")
    if intent.verb == "set":
        was = cast("dict[str, Any]", body.get("was") or {})
        return f"{intent.names[0]} (was {' '.join(map(_setting, was.values())) or 'default'})"
    if isinstance(intent.request, ActOnBackfill) and body.get("runs"):
        return f"{intent.names[0].partition(',')[0]}, with {count_text(int(body['runs']), 'run')} of it"
    return ""


def _refusal(failure: Any) -> str:
    if isinstance(failure, dict):
        named = cast("dict[str, Any]", failure)
        return f"{named.get('row', '')} {named.get('why', '')}".strip()
    return str(failure)
