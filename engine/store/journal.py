"""Reading the journal: whose an event is, and pages of it.

Events of attempts name only the attempt; the batch's references say to which row it belongs. A run's events come from
its history (what was pruned from the journal) and then from the journal itself, in the order in which they happened.
A cursor is `REVISION.POSITION`: the first event that a next page may hold.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from engine.core.events import AnyEvent
from engine.model.errors import ValueFault
from engine.model.ids import NO_INDEX
from engine.store.codec import REF_BYTES, HistoryBatch, attempt_refs, decode_history, decode_journal, unseal
from engine.store.environment import Environment
from engine.store.errors import StoreDamage
from engine.store.tables import Table, last_number_of, number_key, number_of, pair_key
from engine.store.transaction import View


class JournalEntry(msgspec.Struct, frozen=True):
    """One event where it stands. `run` 0, `task` -1, `attempt` and `number` 0: it is not about such a thing.

    `position` counts the events of the batch from 0; `number` is the try of the row that the attempt was.
    """

    revision: int
    position: int
    now_ns: int
    event: AnyEvent
    run: int = 0
    task: int = -1
    index: int = NO_INDEX
    attempt: int = 0
    number: int = 0


class EventsPage(msgspec.Struct, frozen=True):
    """`cursor` continues, also when events are yet to come; `more` says that there are further ones already."""

    entries: list[JournalEntry]
    cursor: str
    more: bool
    damage: list[str]
    """Batches that could not be read, a sentence each."""


def entries_of(revision: int, now_ns: int, numbered: Iterable[tuple[int, AnyEvent]], refs: bytes) -> list[JournalEntry]:
    """The events of a batch (with their positions), each with what it is about."""
    places = attempt_refs(refs)
    entries: list[JournalEntry] = []
    for position, event in numbered:
        attempt = getattr(event, "attempt", 0)
        run, task = getattr(event, "run", 0), getattr(event, "task", -1)
        index, number = getattr(event, "index", NO_INDEX), getattr(event, "number", 0)
        if attempt and not run:
            run, task, index, number = places.get(attempt, (0, -1, NO_INDEX, 0))
        entries.append(JournalEntry(revision, position, now_ns, event, run, task, index, attempt, number))
    return entries


def events_page(environment: Environment, run: int = 0, cursor: str = "", limit: int = 500) -> EventsPage:
    """Events of a run (0: of everything that is still in the journal) in order. Raises ValueFault for a bad cursor.

    A damaged batch costs its own events: it is named in the page's `damage`.
    """
    start = _parse(cursor)
    entries: list[JournalEntry] = []
    damage: list[str] = []
    with environment.read() as view:
        batches = _batches_of_run(view, run, start[0], damage) if run else _batches(view, start[0], damage)
        for batch in batches:
            for entry in batch:
                if (entry.revision, entry.position) < start or (run and entry.run != run):
                    continue
                if len(entries) == limit:
                    return EventsPage(entries, f"{entry.revision}.{entry.position}", more=True, damage=damage)
                entries.append(entry)
    if entries:
        start = (entries[-1].revision, entries[-1].position + 1)
    return EventsPage(entries, f"{start[0]}.{start[1]}", more=False, damage=damage)


def _parse(cursor: str) -> tuple[int, int]:
    if not cursor:
        return 0, 0
    revision, _, position = cursor.partition(".")
    if not (_is_number(revision) and _is_number(position)):
        raise ValueFault(f"{cursor!r} is not a cursor", "take it from the page before, or leave it out")
    return int(revision), int(position)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _batches(view: View, since: int, damage: list[str]) -> Iterator[list[JournalEntry]]:
    for key, value in view.scan(Table.JOURNAL, start=number_key(since)):
        try:
            yield batch_entries(key, unseal(Table.JOURNAL, key, value))
        except StoreDamage as error:
            damage.append(error.sentence)


def batch_entries(key: bytes, body: bytes) -> list[JournalEntry]:
    """The events of a journal record. Raises StoreDamage."""
    record = decode_journal(key, body)
    return entries_of(number_of(key), record.now_ns, enumerate(record.events), record.refs)


def _batches_of_run(view: View, run: int, since: int, damage: list[str]) -> Iterator[list[JournalEntry]]:
    for key, value in view.scan(Table.HISTORY, number_key(run), _history_start(view, run, since)):
        try:
            record = decode_history(key, unseal(Table.HISTORY, key, value))
        except StoreDamage as error:
            damage.append(error.sentence)
            continue
        for batch in record.batches:
            if batch.revision >= since:
                yield entries_of(batch.revision, batch.now_ns, batch.events, batch.refs)
    for run_key, _ in view.scan(Table.JOURNAL_BY_RUN, number_key(run), pair_key(run, since)):
        key = number_key(last_number_of(run_key))
        try:
            body = view.get(Table.JOURNAL, key)
            if body is not None:
                yield batch_entries(key, body)
        except StoreDamage as error:
            damage.append(error.sentence)


def _history_start(view: View, run: int, since: int) -> bytes:
    """The key of the piece of history in which a revision lies: the last that does not begin after it."""
    for key, _ in view.scan_back(Table.HISTORY, number_key(run), pair_key(run, since + 1)):
        return key
    return number_key(run)


def history_of(entries: Sequence[JournalEntry], run: int, refs: bytes) -> HistoryBatch | None:
    """A run's own part of a batch as its history keeps it, None where it has none."""
    own = [entry for entry in entries if entry.run == run]
    if not own:
        return None
    mentioned = {entry.attempt for entry in own if entry.attempt}
    pieces = (refs[at : at + REF_BYTES] for at in range(0, len(refs), REF_BYTES))
    own_refs = b"".join(piece for piece in pieces if number_of(piece) in mentioned)
    events = [(entry.position, entry.event) for entry in own]
    return HistoryBatch(own[0].revision, own[0].now_ns, events, own_refs)
