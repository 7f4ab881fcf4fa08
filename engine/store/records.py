"""From a batch's changes to bytes: what the writer has to put and delete, in one transaction.

Runs on the engine's thread while nothing else changes the state, so it only encodes what was named as changed. What
needs a look at the disk first (is this version there already, which index entries did the run have, what was the last
audit entry) is left to the writer thread, which sees everything that was committed before.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain

from engine.core.changes import AuditEntry, Changes, Span
from engine.core.events import AnyEvent
from engine.core.state import Attempt, EngineState, RunHeader
from engine.model.ids import NO_INDEX
from engine.model.status import AttemptStatus
from engine.model.workflow import Workflow
from engine.model.workflow import encode as encode_workflow
from engine.store.codec import (
    RequestRecord,
    RunStatusRecord,
    deflate,
    encode,
    encode_attempt,
    encode_block,
    encode_items,
    encode_journal,
    encode_rows,
    seal,
)
from engine.store.tables import (
    STATE_KEY,
    Table,
    attempt_key_packed,
    item_key,
    number_key,
    pair_key,
    part_key,
    row_key,
    span_key,
)  # fmt: skip

Pairs = list[tuple[bytes, bytes]]

_LIVE_BELOW = AttemptStatus.EXITED
_ORDERED = AttemptStatus.ORDERED


class Batch:
    """One transaction's work, written in the order: `drops`, `deletes`, `puts`, `once`, `statuses`, `audit`.

    `drops` are prefixes whose keys all go; `once` are records that are written only where they are missing, encoded by
    whoever writes; `statuses` bring the indexes of runs up to date.
    """

    __slots__ = ("audit", "deletes", "drops", "now_ns", "once", "puts", "revision", "statuses")

    def __init__(self, revision: int, now_ns: int) -> None:
        self.revision = revision
        self.now_ns = now_ns
        self.drops: list[tuple[Table, bytes]] = []
        self.deletes: dict[Table, list[bytes]] = {}
        self.puts: dict[Table, Pairs] = {}
        self.once: list[tuple[Table, bytes, Callable[[], bytes]]] = []
        self.statuses: list[tuple[int, RunStatusRecord]] = []
        self.audit: Sequence[AuditEntry] = ()

    @property
    def size_bytes(self) -> int:
        """About how much will be written."""
        return sum(len(key) + len(value) for pairs in self.puts.values() for key, value in pairs)


def encode_batch(state: EngineState, changes: Changes) -> Batch:
    """The transaction that a batch of the machine comes to."""
    batch = Batch(changes.revision, changes.now_ns)
    refs = _put_attempts(batch, changes.attempts.values(), changes.ended)
    if changes.spans:
        _put_spans(batch, changes.spans)
    if changes.journal:
        _put_journal(batch, changes, refs)
    _put_runs(batch, state, changes)
    if changes.items or changes.results:
        _put_items_and_results(batch, state, changes)
    if changes.workflows or changes.versions:
        _put_workflows(batch, state, changes)
    if changes.requests:
        batch.puts[Table.REQUESTS] = [
            _sealed(
                Table.REQUESTS, part_key(batch.revision, n), encode(RequestRecord(request_id, batch.now_ns, answer))
            )
            for n, (request_id, answer) in enumerate(changes.requests.items())
        ]
    batch.audit = changes.audit
    batch.puts[Table.META] = [_sealed(Table.META, STATE_KEY, encode(state.meta))]
    return batch


def _sealed(table: Table, key: bytes, body: bytes) -> tuple[bytes, bytes]:
    return key, seal(table, key, body)


def _put_attempts(batch: Batch, attempts: Iterable[Attempt], ended_in_blocks: Iterable[Attempt]) -> bytes:
    """Returns the journal's references: an event of an attempt that was ordered earlier has only its number."""
    records: Pairs = []
    live: Pairs = []
    ended: list[bytes] = []
    refs: list[bytes] = []
    blocks: list[Attempt] = []
    for attempt in chain(attempts, ended_in_blocks):
        if attempt.count > 1:
            blocks.append(attempt)
            continue
        number = number_key(attempt.attempt)
        key = attempt_key_packed(attempt.run, attempt.task, attempt.index - NO_INDEX, attempt.number)
        records.append((key, seal(Table.ATTEMPTS, key, encode_attempt(attempt))))
        if attempt.status < _LIVE_BELOW:
            live.append((number, seal(Table.LIVE, number, key)))
        else:
            ended.append(number)
        if attempt.status is not _ORDERED:
            refs += (number, key)
    if records:
        batch.puts[Table.ATTEMPTS] = records
    if live:
        batch.puts[Table.LIVE] = live
    if ended:
        batch.deletes[Table.LIVE] = ended
    if blocks:
        _put_blocks(batch, blocks, refs)
    return b"".join(refs)


def _put_blocks(batch: Batch, blocks: Iterable[Attempt], refs: list[bytes]) -> None:
    """A block is a record while it lives; what remains of it are its rows' attempts, in spans or alone."""
    records: Pairs = []
    ended: list[bytes] = []
    for block in blocks:
        key = pair_key(block.run, block.attempt)
        if block.status < _LIVE_BELOW:
            records.append(_sealed(Table.BLOCKS, key, encode_block(block)))
        else:
            ended.append(key)
        refs.append(number_key(block.attempt))
        refs.append(attempt_key_packed(block.run, block.task, block.index - NO_INDEX, block.number))
    if records:
        batch.puts[Table.BLOCKS] = records
    if ended:
        batch.deletes[Table.BLOCKS] = ended


def _put_spans(batch: Batch, spans: Iterable[Span]) -> None:
    batch.puts[Table.SPANS] = [
        _sealed(Table.SPANS, span_key(span.run, span.task, span.number, span.index), encode(span)) for span in spans
    ]


def _put_journal(batch: Batch, changes: Changes, refs: bytes) -> None:
    key = number_key(batch.revision)
    body = encode_journal(batch.now_ns, changes.journal, refs)
    batch.puts[Table.JOURNAL] = [_sealed(Table.JOURNAL, key, body)]
    by_run: Pairs = []
    for run in sorted(runs_concerned(changes.journal, (attempt.run for attempt in changes.attempts.values()))):
        run_key = pair_key(run, batch.revision)
        by_run.append((run_key, seal(Table.JOURNAL_BY_RUN, run_key, b"")))
    if by_run:
        batch.puts[Table.JOURNAL_BY_RUN] = by_run


def runs_concerned(events: Iterable[AnyEvent], of_attempts: Iterable[int]) -> set[int]:
    """The runs that the events are about: named by themselves, or by way of their attempts."""
    runs = {getattr(event, "run", 0) for event in events}
    runs.update(of_attempts)
    runs.discard(0)
    return runs


def _put_runs(batch: Batch, state: EngineState, changes: Changes) -> None:
    headers: Pairs = []
    for number in sorted(changes.runs | changes.new_runs):
        header = state.runs[number].header
        key = number_key(number)
        headers.append((key, seal(Table.RUNS, key, encode(header))))
        batch.statuses.append((number, status_record(header)))
    if headers:
        batch.puts[Table.RUNS] = headers
    rows: Pairs = []
    for number, chunk in sorted(changes.chunks):
        key = part_key(number, chunk)
        rows.append((key, seal(Table.ROWS, key, encode_rows(state.runs[number], chunk))))
    if rows:
        batch.puts[Table.ROWS] = rows


def status_record(header: RunHeader) -> RunStatusRecord:
    """What the indexes hold of a run with this header."""
    finished_ns = header.finished_ns if header.status.finished else 0
    return RunStatusRecord(int(header.status), finished_ns, header.workflow, header.version)


def _put_items_and_results(batch: Batch, state: EngineState, changes: Changes) -> None:
    parts: Pairs = []
    for run, task in sorted(changes.items):
        batch.drops.append((Table.ITEMS, part_key(run, task)))
        items = state.runs[run].items.get(task)
        if items is not None:
            for part, body in enumerate(encode_items(items)):
                parts.append(_sealed(Table.ITEMS, item_key(run, task, part), body))
    if parts:
        batch.puts[Table.ITEMS] = parts
    if changes.results:
        batch.puts[Table.RESULTS] = [
            _sealed(Table.RESULTS, row_key(run, task, index), body) for run, task, index, body in changes.results
        ]


def _put_workflows(batch: Batch, state: EngineState, changes: Changes) -> None:
    for version in sorted(changes.versions):
        plan = state.plans[version]
        batch.once.append((Table.VERSIONS, version.encode(), partial(version_body, plan.workflow)))
    entries: Pairs = []
    for name in sorted(changes.workflows):
        key = name.encode()
        entry = state.workflows.get(name)
        if entry is None:
            batch.deletes.setdefault(Table.WORKFLOWS, []).append(key)
        else:
            entries.append(_sealed(Table.WORKFLOWS, key, encode(entry)))
    if entries:
        batch.puts[Table.WORKFLOWS] = entries


def version_body(workflow: Workflow) -> bytes:
    """The body of a version's record."""
    return deflate(encode_workflow(workflow))
