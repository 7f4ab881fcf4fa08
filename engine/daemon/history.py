"""The store's queries as the server wants them: `server.ports.History`."""

from collections.abc import Collection, Sequence

import trio

from engine.core.state import Attempt, RunHeader, RunState
from engine.model.resources import Claim
from engine.model.status import RunStatus
from engine.model.workflow import Workflow
from engine.server.ports import AuditLine, JournalEntry, JournalPage
from engine.store import queries
from engine.store.environment import Environment
from engine.store.journal import events_page
from engine.store.load import load_run


class StoredHistory:
    """Reads what is committed."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._places: dict[int, Attempt] = {}

    async def read_run(self, run: int) -> RunState | None:
        """`load_run` in a thread."""
        return await trio.to_thread.run_sync(self.load_run, run)

    def load_run(self, run: int) -> RunState | None:
        return load_run(self._environment, run)

    def runs_page(self, before: int, limit: int, workflow: str, statuses: Collection[RunStatus]) -> Sequence[RunHeader]:
        return queries.runs_page(self._environment, before, limit, workflow, tuple(statuses)).headers

    def attempts_of(self, run: int, task: int, index: int) -> Sequence[Attempt]:
        return queries.attempts_of(self._environment, run, task, index)

    def last_attempts(self, run: int, rows: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Attempt]:
        found = {row: queries.attempts_of(self._environment, run, *row) for row in rows}
        return {row: attempts[-1] for row, attempts in found.items() if attempts}

    def attempts(self, numbers: Collection[int]) -> dict[int, Attempt]:
        return {number: self._places[number] for number in numbers if number in self._places}

    def events_page(self, run: int, cursor: str, limit: int) -> JournalPage:
        page = events_page(self._environment, run, cursor, limit)
        self._places = {
            entry.attempt: Attempt(entry.attempt, entry.run, entry.task, entry.index, entry.number, Claim())
            for entry in page.entries
            if entry.attempt and entry.run
        }
        entries = [JournalEntry(entry.revision, entry.now_ns, entry.event) for entry in page.entries]
        return JournalPage(entries, page.cursor)

    def audit_page(self, before: int, limit: int) -> Sequence[AuditLine]:
        page = queries.audit_page(self._environment, before, limit)
        return [AuditLine(revision, at_ns, entry) for revision, at_ns, entry in page.entries]

    def workflow(self, version: str) -> Workflow | None:
        return queries.version(self._environment, version)
