"""Forgetting, a little at a time: every table has a bound, and no step takes longer than some milliseconds.

A step is one transaction of the writer, between the engine's batches. The journal is pruned from the front; before a
batch goes, each run that it concerns and that is still kept gets its own events as compressed history. A finished run
that is too old, or one too many, first leaves all lists at once and is then removed piece by piece; its log folder goes
last, outside the store, and only then is the last trace of it deleted: a crash in between leaks nothing.

Runs in `keep` are those in memory: one that was reopened must not be pulled away from under the machine.
"""

from collections.abc import Container, Iterable

import msgspec

from engine.model.instants import DAY
from engine.store.codec import (
    HistoryBatch,
    HistoryRecord,
    decode_audit,
    decode_backfill,
    decode_entry,
    decode_journal,
    decode_request,
    encode_history,
    unseal,
)
from engine.store.errors import StoreDamage
from engine.store.journal import histories_of
from engine.store.tables import (
    RUN_TABLES,
    Table,
    last_number_of,
    number_key,
    number_of,
    pair_key,
    version_prefix,
)
from engine.store.transaction import Edit, View

STEP_RECORDS = 250
"""How much a step deletes unless told: about ten milliseconds' worth."""
_HISTORY_STEP_BYTES = 2**18
_VERSIONS_A_STEP = 50
_RUNS_A_STEP = 25
_DROPPING_MAX = 1_000
_RECORDS_GONE = b"\1"


class RetentionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept. Ages count from the engine's own time, for runs from their end."""

    journal_age_ns: int = 90 * DAY
    journal_batches: int = 50_000_000
    journal_bytes: int = 8 * 2**30
    runs_age_ns: int = 90 * DAY
    runs_count: int = 100_000
    audit_age_ns: int = 365 * DAY
    audit_count: int = 1_000_000
    requests_age_ns: int = DAY
    requests_count: int = 10_000
    quarantine_count: int = 10_000


class Step(msgspec.Struct, frozen=True):
    """What a step came to. `more`: another one would find work at once.

    `logs` are runs of which only the log folders are left: delete those, then tell `logs_removed`.
    """

    deleted: int
    runs: int
    logs: list[int]
    more: bool


class Retention:
    """Remembers where the sweep over the versions stands; everything else is in the store."""

    def __init__(self, settings: RetentionSettings | None = None) -> None:
        self.settings = settings or RetentionSettings()
        self._version_cursor = b""

    def step(self, edit: Edit, now_ns: int, keep: Container[int] = (), limit: int = STEP_RECORDS) -> Step:
        """Delete about `limit` records at most. A job for the writer. Raises StoreDamage, with nothing done."""
        runs = self._begin_drops(edit, now_ns, keep)
        deleted, logs = self._drop(edit, limit)
        deleted += self._prune_journal(edit, now_ns, limit - deleted)
        deleted += self._prune_audit(edit, now_ns, limit - deleted)
        deleted += self._prune_requests(edit, now_ns, limit - deleted)
        over = edit.count(Table.QUARANTINE) - self.settings.quarantine_count
        deleted += edit.delete_prefix(Table.QUARANTINE, b"", max(0, min(over, limit - deleted)))
        deleted += self._sweep_versions(edit, min(_VERSIONS_A_STEP, limit - deleted))
        return Step(deleted, runs, logs, more=deleted >= limit or runs >= _RUNS_A_STEP)

    def due(self, view: View, now_ns: int, keep: Container[int], most: int) -> list[int]:
        """The oldest finished runs that are too old or too many, `most` at most."""
        over = view.count(Table.FINISHED) - self.settings.runs_count
        oldest_ns = now_ns - self.settings.runs_age_ns
        victims: list[int] = []
        for key, _ in view.scan(Table.FINISHED):
            if len(victims) >= most or (number_of(key) >= oldest_ns and len(victims) >= over):
                break
            run = last_number_of(key)
            if run not in keep:
                victims.append(run)
        return victims

    def _begin_drops(self, edit: Edit, now_ns: int, keep: Container[int]) -> int:
        """Take runs that are to go out of all lists."""
        room = min(_RUNS_A_STEP, _DROPPING_MAX - edit.count(Table.DROPPING))
        victims = self.due(edit, now_ns, keep, room)
        for run in victims:
            key = number_key(run)
            edit.clear_status(run)
            edit.delete(Table.RUNS, key)
            edit.put(Table.DROPPING, key, b"")
        return len(victims)

    def _drop(self, edit: Edit, limit: int) -> tuple[int, list[int]]:
        deleted = 0
        logs: list[int] = []
        for key, body in list(edit.records(Table.DROPPING)):
            if body != _RECORDS_GONE and deleted < limit:
                for table in RUN_TABLES:
                    deleted += edit.delete_prefix(table, key, limit - deleted)
                if deleted < limit:
                    edit.put(Table.DROPPING, key, _RECORDS_GONE)
                    body = _RECORDS_GONE
            if body == _RECORDS_GONE:
                logs.append(number_of(key))
        return deleted, logs

    def _prune_journal(self, edit: Edit, now_ns: int, limit: int) -> int:
        pruned: list[bytes] = []
        histories: dict[int, list[HistoryBatch]] = {}
        size = 0
        over = edit.count(Table.JOURNAL) - self.settings.journal_batches
        excess = edit.used_bytes(Table.JOURNAL) - self.settings.journal_bytes
        for key, value in edit.scan(Table.JOURNAL):
            if len(pruned) >= limit or size >= _HISTORY_STEP_BYTES:
                break
            try:
                record = decode_journal(key, unseal(Table.JOURNAL, key, value))
            except StoreDamage:  # what cannot be read cannot be kept either
                pruned.append(key)
                continue
            if len(pruned) >= over and size >= excess and record.now_ns >= now_ns - self.settings.journal_age_ns:
                break
            pruned.append(key)
            size += len(value)
            for run, batch in histories_of(number_of(key), record).items():
                histories.setdefault(run, []).append(batch)
        for run, batches in histories.items():
            self._keep_history(edit, run, batches)
        for key in pruned:
            edit.delete(Table.JOURNAL, key)
        return len(pruned)

    def _keep_history(self, edit: Edit, run: int, batches: list[HistoryBatch]) -> None:
        for batch in batches:
            edit.delete(Table.JOURNAL_BY_RUN, pair_key(run, batch.revision))
        if edit.has(Table.RUNS, number_key(run)):
            key = pair_key(run, batches[0].revision)
            edit.put(Table.HISTORY, key, encode_history(HistoryRecord(batches)))

    def _prune_audit(self, edit: Edit, now_ns: int, limit: int) -> int:
        """The chain then begins at the oldest entry that is left."""
        over = edit.count(Table.AUDIT) - self.settings.audit_count
        victims: list[bytes] = []
        for key, value in edit.scan(Table.AUDIT):
            if len(victims) >= limit:
                break
            record = decode_audit(key, unseal(Table.AUDIT, key, value))
            if len(victims) >= over and record.now_ns >= now_ns - self.settings.audit_age_ns:
                break
            victims.append(key)
        return _delete(edit, Table.AUDIT, victims)

    def _prune_requests(self, edit: Edit, now_ns: int, limit: int) -> int:
        over = edit.count(Table.REQUESTS) - self.settings.requests_count
        victims: list[bytes] = []
        for key, value in edit.scan(Table.REQUESTS):
            if len(victims) >= limit:
                break
            record = decode_request(key, unseal(Table.REQUESTS, key, value))
            if len(victims) >= over and record.now_ns >= now_ns - self.settings.requests_age_ns:
                break
            victims.append(key)
        return _delete(edit, Table.REQUESTS, victims)

    def _sweep_versions(self, edit: Edit, limit: int) -> int:
        """Look at a few versions, and delete those that no run and no workflow refers to."""
        current: set[bytes] | None = None
        victims: list[bytes] = []
        seen = 0
        cursor = b""
        for key, _ in edit.scan(Table.VERSIONS, start=self._version_cursor):
            if seen >= limit:
                cursor = key
                break
            seen += 1
            if edit.has_prefix(Table.BY_VERSION, version_prefix(key.decode())):
                continue
            if current is None:
                current = _versions_in_use(edit)
            if key not in current:
                victims.append(key)
        self._version_cursor = cursor
        return _delete(edit, Table.VERSIONS, victims)


def _versions_in_use(edit: Edit) -> set[bytes]:
    """Those of workflows, and of backfills that are about to make runs of them. Raises StoreDamage."""
    entries = (decode_entry(key, body) for key, body in edit.records(Table.WORKFLOWS))
    backfills = (decode_backfill(key, body) for key, body in edit.records(Table.BACKFILLS))
    found = {entry.version.encode() for entry in entries}
    return found | {backfill.version.encode() for backfill in backfills if not backfill.status.finished}


def logs_removed(edit: Edit, runs: Iterable[int]) -> None:
    """The log folders of these runs are gone, and with that the runs. A job for the writer."""
    for run in runs:
        edit.delete(Table.DROPPING, number_key(run))


def _delete(edit: Edit, table: Table, keys: list[bytes]) -> int:
    for key in keys:
        edit.delete(table, key)
    return len(keys)
