"""Acts of an operator: what would be touched, in words and numbers, and the request that does it. Pure.

The request says what the operator saw when the key was pressed, so that the engine refuses what has changed meanwhile.
"""

from typing import Any, Literal, cast

import msgspec

from engine.protocol.messages import Act, Done, Target
from engine.protocol.rows import GroupRow, RunRow, TaskRow
from orchctl.console.drawing import run_number
from orchctl.console.runlines import row_name

Verb = Literal["pause", "resume", "cancel", "kill", "retry"]
TYPED_ABOVE = 100
_AGAIN = ("failed", "upstream_failed", "cancelled")
_OPEN = ("waiting", "ready", "running", "backing_off")
_RUN_OPEN = ("queued", "running", "paused", "cancelling")
_SAYS = {
    "pause": "Pause: what runs goes on, nothing new starts",
    "resume": "Resume: waiting rows may start again",
    "cancel": "Cancel: what runs is asked to end, the rest does not start",
    "kill": "Kill: what runs is ended at once, unsaved work is lost",
    "retry": "Retry: failed and cancelled rows run again, and what waits on them",
}
_DONE = {"pause": "paused", "resume": "resumed", "cancel": "cancelled", "kill": "killed", "retry": "retried"}


class Intent(msgspec.Struct, frozen=True):
    """An act that waits for its confirmation. `names` are what is touched, at most a few; `count` how many rows or
    runs in all. `typed` is what the operator must type, empty where the key y is enough.
    """

    act: Act
    title: str
    names: tuple[str, ...]
    count: int
    typed: str
    noun: str = "row"


def run_verb(verb: Verb, row: RunRow) -> Verb:
    """`pause` means resume for a run that is paused."""
    return "resume" if verb == "pause" and row.status == "paused" else verb


def why_not_run(verb: Verb, row: RunRow) -> str:
    """Why the act makes no sense for the run, or nothing."""
    if verb in ("pause", "cancel", "kill") and row.status not in _RUN_OPEN:
        return f"{row.run} has ended: {row.status}"
    if verb == "retry" and not any(row.tasks.get(status) for status in _AGAIN):
        return f"{row.run} has nothing that failed or was cancelled"
    return ""


def on_run(verb: Verb, row: RunRow) -> Intent:
    """An act on a whole run."""
    verb = run_verb(verb, row)
    touched = _touched(verb, row.tasks)
    act = Act(request_id="", verb=verb, run=run_number(row.run), seen=row.status)
    rows = f", {touched:,} {'row' if touched == 1 else 'rows'}" if verb in ("cancel", "kill", "retry") else ""
    return Intent(
        act,
        _SAYS[verb],
        (f"run {row.run} of {row.workflow}, {row.status}{rows}",),
        1,
        _typed(verb, 1),
        "run",
    )


def on_rows(verb: Verb, run: int, targets: list[GroupRow | TaskRow]) -> Intent:
    """An act on tasks or rows of a run."""
    count = sum(max(1, _touched(verb, target.tasks)) if isinstance(target, GroupRow) else 1 for target in targets)
    act = Act(request_id="", verb=verb, run=run, targets=tuple(_target(target) for target in targets))
    names = tuple(_name(verb, target) for target in targets)
    return Intent(act, _SAYS[verb], names, count, _typed(verb, count))


def why_not_rows(verb: Verb, targets: list[GroupRow | TaskRow]) -> str:
    """Why the act makes no sense for any of the rows, or nothing."""
    wanted = _AGAIN if verb == "retry" else _OPEN
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
    what = "failed or was cancelled" if verb == "retry" else "still runs or waits"
    return f"none of these {what}"


def _typed(verb: Verb, count: int) -> str:
    if verb == "kill":
        return str(count) if count > 1 else "yes"
    return str(count) if count > TYPED_ABOVE else ""


def _touched(verb: Verb, tasks: dict[str, int]) -> int:
    wanted = _AGAIN if verb == "retry" else _OPEN
    return sum(tasks.get(status, 0) for status in wanted)


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
    verb = _DONE[intent.act.verb]
    refused = done.body.get("refused")
    failures = cast("list[Any]", refused) if isinstance(refused, list) else []
    what = intent.names[0].split(",")[0] if len(intent.names) == 1 else f"{intent.count:,} {intent.noun}s"
    if not failures:
        return f"{verb}: {what}"
    reasons = [_refusal(failure) for failure in failures[:3]]
    more = f" and {len(failures) - 3} more" if len(failures) > 3 else ""
    return f"{len(failures)} refused: {'; '.join(reasons)}{more}"


def _refusal(failure: Any) -> str:
    if isinstance(failure, dict):
        named = cast("dict[str, Any]", failure)
        return f"{named.get('row', '')} {named.get('why', '')}".strip()
    return str(failure)
