"""The store's queries as the server wants them: `server.ports.History`."""

from collections.abc import Collection, Sequence

import trio

from engine.core.state import Attempt, RunHeader, RunState
from engine.daemon.log import say
from engine.model.status import RunStatus
from engine.model.workflow import Workflow
from engine.server.ports import AuditLine, JournalEntry, JournalPage, PastPage
from engine.store import queries
from engine.store.environment import Environment
from engine.store.journal import events_page, moments, past_page
from engine.store.load import load_run

TOLD_MAX = 1_000


class StoredHistory:
    """Reads what is committed."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._told: set[str] = set()

    async def read_run(self, run: int) -> RunState | None:
        """`load_run` in a thread."""
        return await trio.to_thread.run_sync(self.load_run, run)

    def load_run(self, run: int) -> RunState | None:
        return load_run(self._environment, run)

    def runs_page(self, before: int, limit: int, workflow: str, statuses: Collection[RunStatus]) -> Sequence[RunHeader]:
        page = queries.runs_page(self._environment, before, limit, workflow, tuple(statuses))
        self._say(page.damage)
        return page.headers

    def attempts_of(self, run: int, task: int, index: int) -> Sequence[Attempt]:
        return queries.attempts_of(self._environment, run, task, index)

    def attempts_at(self, run: int, places: Sequence[tuple[int, int, int]]) -> Sequence[Attempt | None]:
        return queries.last_attempts(self._environment, run, places)

    def events_page(self, run: int, cursor: str, limit: int) -> JournalPage:
        page = events_page(self._environment, run, cursor, limit)
        self._say(page.damage)
        entries = [
            JournalEntry(entry.revision, entry.now_ns, entry.event, entry.run, entry.task, entry.index)
            for entry in page.entries
        ]
        return JournalPage(entries, page.cursor)

    def past_page(self, run: int, after: int, until: int, until_ns: int, most: int) -> PastPage:
        page = past_page(self._environment, run, after, until, until_ns, most)
        self._say(page.damage)
        return PastPage(page.batches, page.more)

    def moments(self, run: int, before: int, after: int, limit: int) -> Sequence[tuple[int, int]]:
        return moments(self._environment, run, before, after, limit)

    def newest_of_partitions(self, workflow: str, dues: Sequence[int]) -> dict[int, tuple[int, RunStatus]]:
        return queries.newest_of_partitions(self._environment, workflow, dues)

    def audit_page(self, before: int, limit: int) -> Sequence[AuditLine]:
        page = queries.audit_page(self._environment, before, limit)
        self._say(page.damage)
        return [AuditLine(revision, at_ns, entry) for revision, at_ns, entry in page.entries]

    def workflow(self, version: str) -> Workflow | None:
        return queries.version(self._environment, version)

    def _say(self, damage: Sequence[str]) -> None:
        """Records that could not be read are left out of what is shown; the diary says which, once."""
        for sentence in damage:
            if sentence not in self._told and len(self._told) < TOLD_MAX:
                self._told.add(sentence)
                say("damage", sentence=sentence)
