"""What the server reads: pages, each in one short transaction of its own, so that no reader holds old pages for long.

Nothing here walks through history: a page costs what it shows. Damaged records are left out of pages and named beside
them; one that was asked for by its name raises StoreDamage.
"""

from collections.abc import Iterator, Sequence
from heapq import merge

import msgspec

from engine.core.changes import AuditEntry
from engine.core.state import Attempt, RunHeader
from engine.model.ids import NO_INDEX
from engine.model.status import RunStatus
from engine.model.workflow import Workflow
from engine.store.codec import decode_attempt, decode_audit, decode_span, decode_status, unseal
from engine.store.environment import Environment
from engine.store.errors import StoreDamage
from engine.store.load import read_header, read_version
from engine.store.tables import (
    AUDIT_TIP_KEY,
    Table,
    attempt_key,
    last_number_of,
    number_key,
    number_of,
    part_key,
    part_of,
    partition_prefix,
    row_key,
    span_key,
    span_of,
    spans_prefix,
    workflow_prefix,
)
from engine.store.transaction import NO_HASH, View, audit_hash


class RunsPage(msgspec.Struct, frozen=True):
    """`before` continues the page; 0 when there is nothing older."""

    headers: list[RunHeader]
    before: int
    damage: list[str]


class AuditPage(msgspec.Struct, frozen=True):
    """`before` continues the page; 0 when there is nothing older. Pages end between revisions."""

    entries: list[tuple[int, int, AuditEntry]]
    """(revision, now_ns, entry)."""
    before: int
    damage: list[str]


def runs_page(
    environment: Environment, before: int = 0, limit: int = 50, workflow: str = "", statuses: Sequence[RunStatus] = ()
) -> RunsPage:
    """Runs, newest first, with numbers below `before` (0: from the newest). Empty filters mean all."""
    headers: list[RunHeader] = []
    damage: list[str] = []
    with environment.read() as view:
        last = 0
        for number in _newest(view, before, workflow, statuses):
            if len(headers) == limit:
                return RunsPage(headers, last, damage)
            last = number
            try:
                header = read_header(view, number)
            except StoreDamage as error:
                damage.append(error.sentence)
                continue
            if header is not None:
                headers.append(header)
    return RunsPage(headers, 0, damage)


def _newest(view: View, before: int, workflow: str, statuses: Sequence[RunStatus]) -> Iterator[int]:
    if not workflow and not statuses:
        bound = number_key(before) if before else b""
        return (number_of(key) for key, _ in view.scan_back(Table.RUNS, b"", bound))
    table = Table.BY_WORKFLOW if workflow else Table.BY_STATUS
    streams: list[Iterator[int]] = []
    for status in sorted(set(statuses or RunStatus)):
        prefix = workflow_prefix(workflow, status) if workflow else bytes((status,))
        streams.append(_descending(view, table, prefix, before))
    return merge(*streams, reverse=True)


def _descending(view: View, table: Table, prefix: bytes, before: int) -> Iterator[int]:
    bound = prefix + number_key(before) if before else b""
    for key, _ in view.scan_back(table, prefix, bound):
        yield last_number_of(key)


def newest_of_partitions(
    environment: Environment, workflow: str, dues: Sequence[int]
) -> dict[int, tuple[int, RunStatus]]:
    """Of the due instants of a workflow that have had a run: the newest one, and its status. Raises StoreDamage."""
    found: dict[int, tuple[int, RunStatus]] = {}
    with environment.read() as view:
        for due_ns in dues:
            for key, _ in view.scan_back(Table.BY_PARTITION, partition_prefix(workflow, due_ns)):
                run = last_number_of(key)
                body = view.get(Table.RUN_STATUS, number_key(run))
                if body is not None:
                    found[due_ns] = run, RunStatus(decode_status(number_key(run), body).status)
                break
    return found


def attempts_of(environment: Environment, run: int, task: int, index: int) -> list[Attempt]:
    """All attempts of a row that are on record, in order. Raises StoreDamage."""
    with environment.read() as view:
        records = view.records(Table.ATTEMPTS, row_key(run, task, index))
        found = [decode_attempt(key, body) for key, body in records]
        newest = next((span_of(key)[2] for key, _ in view.scan_back(Table.SPANS, part_key(run, task))), 0)
        for number in range(1, newest + 1) if index != NO_INDEX else ():
            in_span = _in_span(view, run, task, index, number)
            if in_span is not None:
                found.append(in_span)
    return sorted(found, key=lambda attempt: attempt.number)


def _in_span(view: View, run: int, task: int, index: int, number: int) -> Attempt | None:
    """An attempt that ended well in a block. Raises StoreDamage."""
    prefix = spans_prefix(run, task, number)
    for key, value in view.scan_back(Table.SPANS, prefix, span_key(run, task, number, index + 1)):
        span = decode_span(key, unseal(Table.SPANS, key, value))
        return span.of_row(index - span.index) if index < span.index + span.count else None
    return None


def last_attempts(environment: Environment, run: int, rows: Sequence[tuple[int, int, int]]) -> list[Attempt | None]:
    """The attempt of each (task, index, number), in that order; None where there is none, or it is damaged."""
    found: list[Attempt | None] = []
    with environment.read() as view:
        for task, index, number in rows:
            key = attempt_key(run, task, index, number)
            try:
                body = view.get(Table.ATTEMPTS, key) if number else None
                if body is not None:
                    found.append(decode_attempt(key, body))
                else:
                    found.append(_in_span(view, run, task, index, number) if number and index != NO_INDEX else None)
            except StoreDamage:
                found.append(None)
    return found


def version(environment: Environment, name: str) -> Workflow | None:
    """The workflow of a version, None where it is not known. Raises StoreDamage."""
    with environment.read() as view:
        return read_version(view, name)


def audit_page(environment: Environment, before: int = 0, limit: int = 100) -> AuditPage:
    """What was asked for, newest first, at revisions below `before` (0: from the newest).

    A page may be longer than `limit` by the rest of its last revision, so that `before` can continue it.
    """
    entries: list[tuple[int, int, AuditEntry]] = []
    damage: list[str] = []
    with environment.read() as view:
        bound = part_key(before, 0) if before else b""
        last = 0
        for key, value in view.scan_back(Table.AUDIT, b"", bound):
            revision = part_of(key)[0]
            if len(entries) >= limit and revision != last:
                return AuditPage(entries, last, damage)
            last = revision
            try:
                record = decode_audit(key, unseal(Table.AUDIT, key, value))
            except StoreDamage as error:
                damage.append(error.sentence)
                continue
            entries.append((revision, record.now_ns, record.entry))
    return AuditPage(entries, 0, damage)


def verify_audit(environment: Environment) -> int:
    """Follow the chain of the audit from its oldest entry to the newest. Returns the number of entries.

    Raises StoreDamage where one was changed, taken out or added. What retention removed at the front is not missed.
    """
    count = 0
    with environment.read() as view:
        expected: bytes | None = None
        for key, body in view.records(Table.AUDIT):
            record = decode_audit(key, body)
            if expected is not None and record.before != expected:
                raise StoreDamage("the chain of the audit is broken before it", Table.AUDIT, key)
            expected = audit_hash(key, body)
            count += 1
        tip = view.get(Table.META, AUDIT_TIP_KEY) or NO_HASH
        if expected is not None and tip != expected:
            raise StoreDamage("the newest entries of the audit are missing", Table.META, AUDIT_TIP_KEY)
    return count
