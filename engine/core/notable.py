"""What of a run's journal is worth a stop for who looks back: something failed or went again, the run itself changed,
or somebody asked for something. All else is how work went as it should.
"""

from engine.core.events import (
    AnyEvent,
    AttemptLost,
    AttemptNeverStarted,
    AttemptPreempted,
    CancelRequested,
    MarkRequested,
    RerunRequested,
    RetryRequested,
    RetryScheduled,
    RunFinished,
    RunPauseRequested,
    RunResumeRequested,
    RunStarted,
    RunStatusChanged,
    SettingsChangeRequested,
    TaskFinished,
    TrialRepeated,
)
from engine.model.status import TaskStatus

_ALWAYS = frozenset({
    AttemptLost, AttemptNeverStarted, AttemptPreempted, CancelRequested, MarkRequested, RerunRequested, RetryRequested,
    RetryScheduled, RunFinished, RunPauseRequested, RunResumeRequested, RunStarted, RunStatusChanged,
    SettingsChangeRequested, TrialRepeated,
})  # fmt: skip


def is_notable(event: AnyEvent) -> bool:
    """Whether the event is worth a stop. What failed upstream fails with it, and is none of its own."""
    return type(event) in _ALWAYS or (isinstance(event, TaskFinished) and event.status is TaskStatus.FAILED)
