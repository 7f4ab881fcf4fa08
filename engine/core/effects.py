"""Orders, in the imperative: what the world shall do after the batch that caused them is on disk."""

from collections.abc import Sequence
from typing import Any

import msgspec

from engine.model.campaign import Campaign
from engine.model.resources import UNBOUND, Binding, Claim
from engine.model.workflow import Command, Python, Quota, Shell, Stop


class Effect(msgspec.Struct, frozen=True, tag=True):
    """Base of all orders."""


class StartAttempt(Effect, frozen=True):
    """Start the attempt exactly once. All text is rendered; `dir` is absolute. `folder` is the workflow file's own,
    where Python modules are looked for first (empty: in `dir`).

    `number` counts the attempts of the row from 1. With a `count` it is a block: that many rows from `index` on, which
    one worker runs one after another; `columns` holds those arguments that differ from row to row.
    `claim_from`: start when that attempt's tree is empty; `on_success`: only if it succeeded and left no result, else
    the order comes to nothing.
    `binding`: the CPUs and GPUs that are its own.
    `env` is what the definition declares (with PARAM_*); the executor adds the base environment and ORCHCTL_*.
    `campaign`, if there is one, says what is to be measured.
    """

    attempt: int
    run: int
    workflow: str
    version: str
    task: str
    index: int
    number: int
    action: Command | Shell | Python
    dir: str
    env: tuple[tuple[str, str], ...]
    pass_env: tuple[str, ...]
    claim: Claim
    quota: Quota
    stop: Stop
    folder: str = ""
    claim_from: int = 0
    binding: Binding = UNBOUND
    count: int = 1
    columns: tuple[tuple[str, Sequence[Any]], ...] = ()
    campaign: Campaign | None = None
    on_success: bool = False


class StopAttempt(Effect, frozen=True):
    """End the attempt's tree: by the stop signal and after the grace SIGKILL, or (`kill`) at once.

    An attempt that has not started yet is recalled: it ends as cancelled, without a process. `row` is the offset of a
    row in its block, of which `attempt` is the first.
    """

    attempt: int
    kill: bool = False
    row: int = 0


class SuspendAttempt(Effect, frozen=True):
    """Make all processes of the attempt stand still, of a block its worker. It is answered whatever it was before."""

    attempt: int
    turn: int = 0
    """Named in the answer: orders of an attempt are counted."""


class ResumeAttempt(Effect, frozen=True):
    """Let the attempt go on, on these CPUs if it is pinned. It is answered whatever it was before."""

    attempt: int
    turn: int = 0
    cpus: tuple[int, ...] = ()


class RecallAttempt(Effect, frozen=True):
    """Take an order back if nothing of it has begun: it is reported as never started. What runs goes on; of a block,
    the rows that have not begun are given back."""

    attempt: int


class AcknowledgeExit(Effect, frozen=True):
    """The end of the attempt is on disk: the launcher may forget it."""

    attempt: int


class Answer(Effect, frozen=True):
    """The reply to a request. Exactly one of `body` and `refusal` is set."""

    ticket: int
    body: dict[str, Any] | None = None
    refusal: "Refusal | None" = None


class Refusal(msgspec.Struct, frozen=True):
    """Why a request changed nothing: `code` as in engine.model.errors."""

    code: str
    sentence: str
    hint: str = ""


class ShareCpus(Effect, frozen=True):
    """Attempts that are not pinned keep to these CPUs from now on."""

    cpus: tuple[int, ...]


AnyEffect = (
    ShareCpus | StartAttempt | StopAttempt | SuspendAttempt | ResumeAttempt | RecallAttempt | AcknowledgeExit | Answer
)
