"""What the server needs of the rest of the engine, and of nothing more: the daemon plugs the real things in, tests
plug in fakes. Everything here is called on the engine's loop, but for `History.load_run`, which runs in a thread.
"""

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import msgspec

from engine.core.changes import AuditEntry
from engine.core.events import AnyEvent, External
from engine.core.replay import Batch
from engine.core.state import Attempt, RunHeader, RunState
from engine.model.host import GpuUse
from engine.model.ids import NO_INDEX
from engine.model.resources import Reason
from engine.model.status import RunStatus
from engine.model.workflow import Workflow
from engine.protocol.rows import EngineRow
from engine.scheduling.fair_queue import Entry


class JournalEntry(msgspec.Struct, frozen=True):
    """One fact or decision as it was written. `at_ns` is the instant of its batch.

    `run`, `task`, `index` say which row it is about, also where the event itself names only an attempt (0, -1: none).
    """

    revision: int
    at_ns: int
    event: AnyEvent
    run: int = 0
    task: int = -1
    index: int = NO_INDEX


class JournalPage(msgspec.Struct, frozen=True):
    """Entries in order; `cursor` continues after the last of them, empty where nothing more is there yet."""

    entries: Sequence[JournalEntry]
    cursor: str


class PastPage(msgspec.Struct, frozen=True):
    """Batches of a run in order; `more` says that there are further ones up to where was asked."""

    batches: Sequence[Batch]
    more: bool


class AuditLine(msgspec.Struct, frozen=True):
    """An entry of the audit, the revision of the batch that wrote it and when that was."""

    revision: int
    at_ns: int
    entry: AuditEntry


class HostUse(msgspec.Struct, frozen=True):
    """What is really used now; None where it is not known. `rss_bytes` by attempt."""

    cpus: float | None = None
    memory_available_bytes: int | None = None
    memory_used_bytes: int | None = None
    load: float | None = None
    rss_bytes: dict[int, int] = {}
    scratch_free_bytes: int | None = None
    gpus: tuple[GpuUse, ...] = ()


class Owner(msgspec.Struct, frozen=True):
    """One of those who share the host: the part of it that its attempts hold now, and the host-seconds that count
    against it in the order of the queue."""

    owner: str
    weight: float
    share: float
    used_s: float


class Standing(msgspec.Struct, frozen=True):
    """How admission stands: who shares the host, most used first, and who has room set aside since when, expected when
    (0: not reckoned yet); the pressure on the host, the CPUs that others use as far as it is known, and what it means.
    """

    owners: tuple[Owner, ...] = ()
    reserved: Entry | None = None
    since_ns: int = 0
    due_ns: int = 0
    level: str = "open"
    pressure: tuple[str, ...] = ()
    cpus_of_others: float | None = None


class Installed(msgspec.Struct, frozen=True):
    """A workflow version that the machine knows from now on."""

    workflow: str
    version: str


class History(Protocol):
    """What is on disk. Short reads; what they give belongs to the caller."""

    def runs_page(self, before: int, limit: int, workflow: str, statuses: Collection[RunStatus]) -> Sequence[RunHeader]:
        """Headers newest first, of runs below `before` (0: from the newest); empty filters mean all."""
        ...

    def load_run(self, run: int) -> RunState | None:
        """A run with all its rows, derived. Thread-safe; may take long."""
        ...

    def attempts_of(self, run: int, task: int, index: int) -> Sequence[Attempt]:
        """All attempts of a row, oldest first."""
        ...

    def attempts_at(self, run: int, places: Sequence[tuple[int, int, int]]) -> Sequence[Attempt | None]:
        """The attempt at each (task, index, number), None where there is none."""
        ...

    def events_page(self, run: int, cursor: str, limit: int, since: int = 0) -> JournalPage:
        """The journal of a run (0: of everything) after the cursor, without one from a revision on. Raises ValueFault
        for a foreign cursor."""
        ...

    def past_page(self, run: int, after: int, until: int, until_ns: int, most: int) -> PastPage:
        """The run's batches after a revision, up to another one and an instant, with about `most` events."""
        ...

    def moments(self, run: int, before: int, after: int, limit: int) -> Sequence[tuple[int, int]]:
        """(revision, instant) of batches that concern the run: newest first below `before`, else on from `after`."""
        ...

    def notable_moments(self, run: int, before: int, after: int, limit: int) -> Sequence[tuple[int, int, bool]]:
        """As `moments`, of those that are notable; the last of a bounded search also where it is not."""
        ...

    def newest_of_partitions(self, workflow: str, dues: Sequence[int]) -> dict[int, tuple[int, RunStatus]]:
        """The newest run of each due instant that has had one, and its status."""
        ...

    def audit_page(self, before: int, limit: int) -> Sequence[AuditLine]:
        """Newest first, below revision `before` (0: from the newest). Never ends within a revision: a few lines more
        than `limit` may come."""
        ...

    def workflow(self, version: str) -> Workflow | None:
        """The definition of a version."""
        ...


class Explains(Protocol):
    """Why rows do not run, at one moment (engine.core.explain.Explainer)."""

    def reasons(self, run: RunState, task: int, index: int) -> tuple[int | None, int | None, list[Reason]]:
        """Rank, predicted start (ns) and reasons of a row."""
        ...


class World(Protocol):
    """The daemon."""

    def settled(self) -> bool:
        """Whether the state in memory is what is on disk: no batch is being committed."""
        ...

    def wall_ns(self) -> int:
        """What the wall clock shows."""
        ...

    async def submit(self, event: External) -> None:
        """Hand an event to the loop; a finished run that it names is brought back first. The machine's answer comes
        through `Server.answer`. Raises Unavailable when the engine is stopping."""
        ...

    async def install_workflow(self, data: bytes) -> Installed:
        """Decode and check an encoded workflow off the loop and make its plan known. Raises EngineError."""
        ...

    def fault_of(self, workflow: str) -> str:
        """Why the newest text of the workflow's file was not taken; empty if it was."""
        ...

    def engine_row(self) -> EngineRow:
        """The engine; the server fills in `clients`."""
        ...

    def host_use(self) -> HostUse:
        """The newest sample."""
        ...

    def explainer(self) -> Explains:
        """For the state as it is now."""
        ...

    def standing(self) -> Standing:
        """How admission stands now."""
        ...

    def waiting(self, count: int) -> tuple[Sequence[Entry], int]:
        """The first entries of the queue in its order, behind it what waits for rows of its own task, and how many
        there are in all."""
        ...

    def audit(self, entry: AuditEntry) -> None:
        """Write down something that no event stands for."""
        ...

    async def backup(self, folder: str) -> dict[str, Any]:
        """Copy the state into a new folder: {"folder", "revision", "bytes"}. Raises EngineError."""
        ...

    async def collect_garbage(self, *, dry_run: bool) -> dict[str, Any]:
        """Apply retention (or count what it would take): {"runs", "records"}."""
        ...

    async def verify_audit(self) -> dict[str, Any]:
        """Follow the chain of the audit: {"intact", "entries", "fault"}; with a fault nobody has counted."""
        ...

    def stop(self, *, kill: bool, drain: bool) -> None:
        """Begin to stop the engine; returns at once."""
        ...
