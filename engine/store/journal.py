"""Reading the journal: whose an event is, and pages of it.

Events of attempts name only the attempt; the batch's references say to which row it belongs. A run's events come from
its history (what was pruned from the journal) and then from the journal itself, in the order in which they happened.
A cursor is `REVISION.POSITION`: the first event that a next page may hold.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from engine.core.events import AnyEvent
from engine.core.notable import is_notable
from engine.core.replay import Batch, batch_of
from engine.core.unfold import place_of, unfold, unfolded_count
from engine.model.errors import ValueFault
from engine.model.ids import NO_INDEX
from engine.store.codec import (
    REF_BYTES,
    HistoryBatch,
    JournalRecord,
    attempt_refs,
    decode_history,
    decode_journal,
    unseal,
)  # fmt: skip
from engine.store.environment import Environment
from engine.store.errors import StoreDamage
from engine.store.tables import Table, last_number_of, number_key, number_of, pair_key
from engine.store.transaction import View

LOOKED_AT_MAX = 10_000
"""About so many events are looked through for one question: some ten milliseconds."""


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


def entries_of(
    revision: int, now_ns: int, numbered: Iterable[tuple[int, AnyEvent]], refs: bytes, start: int = 0
) -> Iterator[JournalEntry]:
    """The events of a batch (with their positions) from a position on, each with what it is about."""
    places = attempt_refs(refs)
    for position, event in numbered:
        if position + unfolded_count(event) <= start:
            continue
        for step, (one, (run, task, index, number)) in enumerate(unfold(event, place_of(event, places)), position):
            if step >= start:
                attempt = getattr(one, "attempt", 0)
                yield JournalEntry(revision, step, now_ns, one, run, task, index, attempt, number)


def numbered(events: Iterable[AnyEvent]) -> Iterator[tuple[int, AnyEvent]]:
    """The events of a batch with their positions."""
    position = 0
    for event in events:
        yield position, event
        position += unfolded_count(event)


def events_page(
    environment: Environment, run: int = 0, cursor: str = "", limit: int = 500, since: int = 0
) -> EventsPage:
    """Events of a run (0: of everything that is still in the journal) in order; without a cursor from the revision
    `since` on. Raises ValueFault for a bad cursor.

    A damaged batch costs its own events: it is named in the page's `damage`.
    """
    start = _parse(cursor) if cursor else (since, 0)
    entries: list[JournalEntry] = []
    damage: list[str] = []
    with environment.read() as view:
        batches = _batches_of_run(view, run, start, damage) if run else _batches(view, start, damage)
        for batch in batches:
            for entry in batch:
                if run and entry.run != run:
                    continue
                if len(entries) == limit:
                    return EventsPage(entries, f"{entry.revision}.{entry.position}", more=True, damage=damage)
                entries.append(entry)
    if entries:
        start = (entries[-1].revision, entries[-1].position + 1)
    return EventsPage(entries, f"{start[0]}.{start[1]}", more=False, damage=damage)


def _parse(cursor: str) -> tuple[int, int]:
    revision, _, position = cursor.partition(".")
    if not (_is_number(revision) and _is_number(position)):
        raise ValueFault(f"{cursor!r} is not a cursor", "take it from the page before, or leave it out")
    return int(revision), int(position)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


Cursor = tuple[int, int]
"""(revision, position)"""


def _batches(view: View, start: Cursor, damage: list[str]) -> Iterator[Iterable[JournalEntry]]:
    for key, value in view.scan(Table.JOURNAL, start=number_key(start[0])):
        try:
            yield batch_entries(key, unseal(Table.JOURNAL, key, value), start)
        except StoreDamage as error:
            damage.append(error.sentence)


def batch_entries(key: bytes, body: bytes, start: Cursor = (0, 0)) -> Iterator[JournalEntry]:
    """The events of a journal record, from the cursor on. Raises StoreDamage."""
    record = decode_journal(key, body)
    revision = number_of(key)
    first = start[1] if revision == start[0] else 0
    return entries_of(revision, record.now_ns, numbered(record.events), record.refs, first)


def _batches_of_run(view: View, run: int, start: Cursor, damage: list[str]) -> Iterator[Iterable[JournalEntry]]:
    for revision, now_ns, events, refs in _records_of_run(view, run, start[0], damage):
        yield entries_of(revision, now_ns, events, refs, start[1] if revision == start[0] else 0)


def _records_of_run(view: View, run: int, since: int, damage: list[str]) -> Iterator["_Record"]:
    """Every batch that concerns the run."""
    for key, value in view.scan(Table.HISTORY, number_key(run), _history_start(view, run, since)):
        try:
            history = decode_history(key, unseal(Table.HISTORY, key, value))
        except StoreDamage as error:
            damage.append(error.sentence)
            continue
        for batch in history.batches:
            if batch.revision >= since:
                yield batch.revision, batch.now_ns, batch.events, batch.refs
    for run_key, _ in view.scan(Table.JOURNAL_BY_RUN, number_key(run), pair_key(run, since)):
        key = number_key(last_number_of(run_key))
        try:
            body = view.get(Table.JOURNAL, key)
            record = decode_journal(key, body) if body is not None else None
        except StoreDamage as error:
            damage.append(error.sentence)
            continue
        if record is not None:
            yield number_of(key), record.now_ns, numbered(record.events), record.refs


def _history_start(view: View, run: int, since: int) -> bytes:
    """The key of the piece of history in which a revision lies: the last that does not begin after it."""
    for key, _ in view.scan_back(Table.HISTORY, number_key(run), pair_key(run, since + 1)):
        return key
    return number_key(run)


# --- looking back ---------------------------------------------------------------------------------------------------


class PastPage(msgspec.Struct, frozen=True):
    """A run's batches in order. `more` says that there are further ones up to where was asked."""

    batches: list[Batch]
    more: bool
    damage: list[str]


def past_page(environment: Environment, run: int, after: int, until: int, until_ns: int, most: int) -> PastPage:
    """A run's batches after a revision, up to another one and an instant, with about `most` events (`Batch.weight`)."""
    batches: list[Batch] = []
    damage: list[str] = []
    weight = 0
    with environment.read() as view:
        for revision, now_ns, events, refs in _records_of_run(view, run, after + 1, damage):
            if revision > until or now_ns > until_ns:
                break
            if weight >= most:
                return PastPage(batches, more=True, damage=damage)
            places = attempt_refs(refs)
            batch = batch_of(run, revision, now_ns, ((event, place_of(event, places)) for _, event in events))
            if batch.events:
                batches.append(batch)
            weight += max(batch.weight, 1)
    return PastPage(batches, more=False, damage=damage)


def moments(environment: Environment, run: int, before: int, after: int, limit: int) -> list[tuple[int, int]]:
    """(revision, instant) of batches that concern a run: the last below `before`, newest first; where that is 0, the
    first above `after`. Raises StoreDamage."""
    with environment.read() as view:
        return [record[:2] for record in islice(_records(view, run, before, after), limit)]


def notable_moments(
    environment: Environment, run: int, before: int, after: int, limit: int, most: int = LOOKED_AT_MAX
) -> list[tuple[int, int, bool]]:
    """(revision, instant, True) of those batches that are notable. Where `most` events were looked at before `limit`
    were found, the batch with the last of them ends the list, with False if it is not notable. Raises StoreDamage."""
    found: list[tuple[int, int, bool]] = []
    looked_at = 0
    with environment.read() as view:
        for revision, now_ns, numbered_events, refs in _records(view, run, before, after):
            events, places = [event for _, event in numbered_events], attempt_refs(refs)
            looked_at += len(events)
            notable = any(is_notable(event) and place_of(event, places)[0] == run for event in events)
            if notable or looked_at >= most:
                found.append((revision, now_ns, notable))
            if len(found) == limit or looked_at >= most:
                break
    return found


_Record = tuple[int, int, Iterable[tuple[int, AnyEvent]], bytes]
"""Revision, instant, events with their positions, references."""


def _records(view: View, run: int, before: int, after: int) -> Iterator[_Record]:
    damage: list[str] = []
    return _records_back(view, run, before) if before else _records_of_run(view, run, after + 1, damage)


def _records_back(view: View, run: int, before: int) -> Iterator[_Record]:
    for run_key, _ in view.scan_back(Table.JOURNAL_BY_RUN, number_key(run), pair_key(run, before)):
        key = number_key(last_number_of(run_key))
        body = view.get(Table.JOURNAL, key)
        if body is not None:
            record = decode_journal(key, body)
            yield number_of(key), record.now_ns, numbered(record.events), record.refs
    for key, value in view.scan_back(Table.HISTORY, number_key(run), pair_key(run, before)):
        history = decode_history(key, unseal(Table.HISTORY, key, value))
        for batch in reversed(history.batches):
            if batch.revision < before:
                yield batch.revision, batch.now_ns, batch.events, batch.refs


def histories_of(revision: int, record: JournalRecord) -> dict[int, HistoryBatch]:
    """By run, its own part of a batch as its history keeps it."""
    places = attempt_refs(record.refs)
    events: dict[int, list[tuple[int, AnyEvent]]] = {}
    for position, event in numbered(record.events):
        run = place_of(event, places)[0]
        if run:
            events.setdefault(run, []).append((position, event))
    refs: dict[int, list[bytes]] = {}
    for at in range(0, len(record.refs), REF_BYTES):
        piece = record.refs[at : at + REF_BYTES]
        refs.setdefault(places[number_of(piece)][0], []).append(piece)
    return {run: HistoryBatch(revision, record.now_ns, own, b"".join(refs.get(run, ()))) for run, own in events.items()}
