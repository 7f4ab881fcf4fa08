"""What one batch did: the journal's entries, the effects to perform, and which records are to be written again.

The machine fills one `Changes` per batch; the store turns it into one transaction and the server into notices. Dirty
things are named, not copied: the store encodes them from the state before the next batch is stepped.
"""

from typing import Any

import msgspec

from engine.core.effects import AnyEffect, StartAttempt
from engine.core.events import Actor, AnyEvent, LogSlice, Usage, columns_of
from engine.core.state import Attempt
from engine.model.instants import MICROSECOND
from engine.model.resources import Claim
from engine.model.status import SUCCESS, AttemptStatus


class AuditEntry(msgspec.Struct, frozen=True, array_like=True):
    """A request as it was judged: `result` is accepted or the refusal's code."""

    actor: Actor
    verb: str
    target: str
    result: str
    note: str = ""


class Span(msgspec.Struct, frozen=True, array_like=True):
    """`count` attempts from `attempt` on, of the rows from `index` on, each the `number`th of its row, that ended well
    in one worker; the rest as in RowsSucceeded."""

    attempt: int
    run: int
    task: int
    index: int
    number: int
    count: int
    ordered_ns: int
    pid: int
    start_ticks: int
    claim: Claim
    last_us: int
    columns: bytes
    log: LogSlice
    max_rss_bytes: int

    def of_row(self, offset: int) -> Attempt:
        """One of the attempts."""
        gaps, took, cpu, written = columns_of(self.columns)
        began_us = self.last_us + sum(gaps[: offset + 1]) + sum(took[:offset])
        log = LogSlice(self.log.path, self.log.offset + sum(written[:offset]), written[offset])
        return Attempt(
            self.attempt + offset, self.run, self.task, self.index + offset, self.number, self.claim,
            AttemptStatus.EXITED, self.ordered_ns, began_us * MICROSECOND, (began_us + took[offset]) * MICROSECOND,
            self.pid, self.start_ticks, outcome=SUCCESS,
            usage=Usage(cpu[offset] * MICROSECOND, self.max_rss_bytes), log=log if written[offset] else LogSlice(),
        )  # fmt: skip


class Changes:
    """The outcome of one `step`. Belongs to the batch at `revision`."""

    def __init__(self, revision: int, now_ns: int) -> None:
        self.revision = revision
        self.now_ns = now_ns
        self.journal: list[AnyEvent] = []
        self.early: list[StartAttempt] = []
        """Orders of workflows whose durability is relaxed: given before the batch is on disk."""
        self.effects: list[AnyEffect] = []
        self.audit: list[AuditEntry] = []
        self.runs: set[int] = set()
        """Runs whose header changed."""
        self.new_runs: set[int] = set()
        self.finished_runs: set[int] = set()
        """Runs that are over: after the commit they may leave the memory."""
        self.chunks: set[tuple[int, int]] = set()
        """(run, chunk) of rows that changed; chunk = row // CHUNK_ROWS."""
        self.items: set[tuple[int, int]] = set()
        """(run, task) whose items became known."""
        self.results: list[tuple[int, int, int, bytes]] = []
        """(run, task, index, JSON) of new results."""
        self.attempts: dict[int, Attempt] = {}
        """Attempts and blocks that changed, live or ended, by number."""
        self.ended: list[Attempt] = []
        """Attempts of a block that ended otherwise than their neighbours."""
        self.spans: list[Span] = []
        """Attempts of a block that ended well, one after the other."""
        self.workflows: set[str] = set()
        """Entries that changed or were removed."""
        self.backfills: set[int] = set()
        """Those that changed or were forgotten."""
        self.versions: set[str] = set()
        """Versions that must be on disk because something refers to them now."""
        self.requests: dict[str, dict[str, Any]] = {}
        """Answers to requests with an id, to be found again by a repeat."""

    @property
    def empty(self) -> bool:
        """Whether nothing has to be written."""
        return not (
            self.journal or self.audit or self.runs or self.chunks or self.attempts or self.workflows or self.versions
            or self.backfills or self.requests
        )  # fmt: skip
