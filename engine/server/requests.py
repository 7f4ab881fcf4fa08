"""Requests that act, checked and turned into events of the machine. Whether the target exists and is as the operator
saw it is for the machine to say; here it is only whether the request makes sense, is bounded, and is allowed.
"""

import math
from typing import Any, TypeAlias, TypeVar, cast

from engine.core.events import (
    Ask,
    BackfillCancelRequested,
    BackfillPauseRequested,
    CancelRequested,
    External,
    MarkRequested,
    RerunRequested,
    RetryRequested,
    RowRef,
    RunPauseRequested,
    RunResumeRequested,
    SettingsChangeRequested,
    WorkflowPauseRequested,
    WorkflowRemoved,
)  # fmt: skip
from engine.model.errors import ValueFault
from engine.model.ids import NO_INDEX, backfill_text, is_name, run_text
from engine.model.status import BackfillStatus, RunStatus, TaskStatus
from engine.protocol.messages import (
    Act,
    ActOnBackfill,
    AddWorkflow,
    Backup,
    ChangeSettings,
    CollectGarbage,
    PauseWorkflow,
    RemoveWorkflow,
    Request,
    StartBackfill,
    StopEngine,
    Submit,
    Target,
    Upload,
    VerifyAudit,
)  # fmt: skip
from engine.server.access import Role

TARGETS_MAX = 10_000
NOTE_MAX = 1_000
SETTINGS_MAX = 10
REQUEST_ID_MAX = 128
PARAMS_MAX = 1_000
PARAM_VALUES_MAX = 100_000
_INDEX_MAX = 10_000_000
_MARKS = {"succeeded": TaskStatus.SUCCEEDED, "failed": TaskStatus.FAILED}
_ADMIN = (AddWorkflow, RemoveWorkflow, Backup, CollectGarbage, VerifyAudit, StopEngine)
_ACTS = (*_ADMIN, Act, ActOnBackfill, ChangeSettings, PauseWorkflow, StartBackfill, Submit, Upload)
_VERBS: dict[type[Request], str] = {
    AddWorkflow: "add",
    RemoveWorkflow: "remove",
    Backup: "backup",
    CollectGarbage: "gc",
    VerifyAudit: "verify audit",
    StopEngine: "stop",
    StartBackfill: "backfill",
}

S = TypeVar("S", RunStatus, TaskStatus, BackfillStatus)
Acting: TypeAlias = Act | ActOnBackfill | ChangeSettings | PauseWorkflow | RemoveWorkflow


def role_for(request: Request) -> Role:
    """The role that a request needs. Whoever sends code along decides what runs as the engine's user: an admin."""
    if isinstance(request, _ADMIN):
        return Role.ADMIN
    if isinstance(request, Upload) or (isinstance(request, Submit) and (request.definition or request.upload)):
        return Role.ADMIN
    return Role.OPERATOR if isinstance(request, _ACTS) else Role.VIEWER


def acts(request: Request) -> bool:
    """Whether the request changes anything."""
    return isinstance(request, _ACTS)


def verb_and_target(request: Request) -> tuple[str, str]:
    """What the audit calls a request."""
    if isinstance(request, Act):
        rows = ", ".join(target.task[:80] for target in request.targets[:5])
        run = run_text(request.run) if abs(request.run) < 2**62 else "?"
        return request.verb, f"{run} {rows}".strip()
    if isinstance(request, ActOnBackfill):
        return request.verb, backfill_text(request.backfill) if abs(request.backfill) < 2**62 else "?"
    if isinstance(request, ChangeSettings):
        run = run_text(request.run) if abs(request.run) < 2**62 else "?"
        return "set", f"{run} {request.task[:80]}".strip()
    if isinstance(request, PauseWorkflow):
        return ("pause" if request.paused else "resume"), request.workflow[:128]
    if isinstance(request, Submit):
        return "submit", request.workflow[:128]
    return _VERBS.get(type(request), type(request).__name__.lower()), str(getattr(request, "workflow", ""))[:128]


def check_request_id(request_id: str) -> None:
    """Raises ValueFault for one that is empty or too long."""
    if not 0 < len(request_id) <= REQUEST_ID_MAX:
        raise ValueFault(f"a request_id has 1 to {REQUEST_ID_MAX} characters")


def check_submit(request: Submit) -> None:
    """Raises ValueFault unless exactly one workflow is named or sent, with bounded parameters and note."""
    if sum((bool(request.workflow), bool(request.definition), bool(request.upload))) != 1:
        raise ValueFault("a run is of a workflow, or of one definition that is sent along: name exactly one")
    if request.workflow and not is_name(request.workflow):
        raise ValueFault(f"{request.workflow[:80]!r} is no name of a workflow")
    check_note(request.note)
    check_params(request.params)


def check_params(params: dict[str, Any]) -> None:
    """Raises ValueFault for what is not JSON: other keys than text, bytes, NaN, extension types; or for too much."""
    if len(params) > PARAMS_MAX:
        raise ValueFault(f"a run has at most {PARAMS_MAX} parameters")
    stack: list[object] = [params]
    seen = 0
    while stack:
        value = stack.pop()
        seen += 1
        if seen > PARAM_VALUES_MAX:
            raise ValueFault(f"the parameters hold more than {PARAM_VALUES_MAX} values")
        if isinstance(value, dict):
            mapping = cast("dict[object, object]", value)
            if not all(isinstance(key, str) for key in mapping):
                raise ValueFault("a key of a parameter is not text")
            stack.extend(mapping.values())
        elif isinstance(value, list):
            stack.extend(cast("list[object]", value))
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise ValueFault("a parameter is not a finite number")
        elif value is not None and not isinstance(value, str | int):
            raise ValueFault(f"a parameter holds {type(value).__name__}, which JSON has not")


def check_note(note: str) -> None:
    if len(note) > NOTE_MAX:
        raise ValueFault(f"a note has at most {NOTE_MAX} characters")


def event_of(request: Acting, ask: Ask) -> External:
    """The event that asks the machine for it. Raises ValueFault."""
    if isinstance(request, Act):
        return _act_event(request, ask)
    if isinstance(request, ActOnBackfill):
        return _backfill_event(request, ask)
    if isinstance(request, ChangeSettings):
        return _settings_event(request, ask)
    if not is_name(request.workflow):
        raise ValueFault(f"{request.workflow[:80]!r} is no name of a workflow")
    if isinstance(request, RemoveWorkflow):
        return WorkflowRemoved(ask, request.workflow)
    return WorkflowPauseRequested(ask, request.workflow, request.paused)


def _act_event(request: Act, ask: Ask) -> External:
    run, note = request.run, request.note
    if not 0 < run < 2**62:
        raise ValueFault(f"there is no run {run}")
    check_note(note)
    if len(request.targets) > TARGETS_MAX:
        raise ValueFault(f"an act names at most {TARGETS_MAX} rows", "name the task without an index: all of its rows")
    rows = tuple(_row(target) for target in request.targets)
    seen = _status(request.seen, RunStatus)
    match request.verb:
        case "pause":
            return RunPauseRequested(ask, run, seen, note, rows, request.running)
        case "resume":
            return RunResumeRequested(ask, run, seen, note, rows)
        case "cancel" | "kill":
            return CancelRequested(ask, run, rows, request.verb == "kill", seen, note)
        case "retry":
            return RetryRequested(ask, run, rows, note)
        case "rerun":
            _some(rows, "rerun")
            return RerunRequested(ask, run, rows, note)
        case "mark":
            _some(rows, "mark")
            if request.mark not in _MARKS:
                raise ValueFault(f"a task cannot be marked {request.mark[:80]!r}", "mark it succeeded or failed")
            return MarkRequested(ask, run, rows, _MARKS[request.mark], note)


def _backfill_event(request: ActOnBackfill, ask: Ask) -> External:
    number, note = request.backfill, request.note
    if not 0 < number < 2**62:
        raise ValueFault(f"there is no backfill {number}")
    check_note(note)
    seen = _status(request.seen, BackfillStatus)
    if request.verb in ("pause", "resume"):
        return BackfillPauseRequested(ask, number, request.verb == "pause", seen, note)
    return BackfillCancelRequested(ask, number, request.verb == "kill", seen, note)


def _settings_event(request: ChangeSettings, ask: Ask) -> External:
    if not 0 < request.run < 2**62:
        raise ValueFault(f"there is no run {request.run}")
    check_note(request.note)
    if len(request.settings) > SETTINGS_MAX:
        raise ValueFault(f"at most {SETTINGS_MAX} settings are changed at once")
    if request.task and not is_name(request.task):
        raise ValueFault(f"{request.task[:80]!r} is no name of a task")
    seen = _status(request.seen, RunStatus)
    return SettingsChangeRequested(ask, request.run, request.settings, request.task, seen, request.note)


def _some(rows: tuple[RowRef, ...], verb: str) -> None:
    if not rows:
        raise ValueFault(f"{verb} needs the tasks that it is about")


def _row(target: Target) -> RowRef:
    if not is_name(target.task):
        raise ValueFault(f"{target.task[:80]!r} is no name of a task")
    if target.index is not None and not NO_INDEX <= target.index <= _INDEX_MAX:
        raise ValueFault(f"an index cannot be {target.index}")
    attempts = target.attempts if target.attempts >= 0 else None
    return RowRef(target.task, target.index, _status(target.status, TaskStatus), attempts)


def _status(name: str, kind: type[S]) -> S | None:
    """The status of a name; None for an empty one: whatever it is."""
    if not name:
        return None
    for status in kind:
        if status.text == name:
            return status
    raise ValueFault(f"{name[:80]!r} is no status")
