"""A subscription is a query kept current.

Subscribers of equal views share one `SharedView`: its rows are evaluated once, encoded once and compared once. A batch
only marks the views that it may have touched; they are evaluated again when a subscriber is due, so what is kept is
never a queue of changes but, for each row, the evaluation in which it last changed. A subscriber is sent the rows that
changed after the evaluation that it has; one that reads slowly is skipped until it has caught up, at no cost.
"""

import logging
import time

import msgspec
import trio

from engine.core.changes import Changes
from engine.model.errors import EngineError, NotFound, Unavailable, ValueFault
from engine.protocol.framing import frame
from engine.protocol.messages import (
    ExplainRun,
    GetEngine,
    GetResources,
    GetRun,
    GetStats,
    Gone,
    ListAttempts,
    ListBackfills,
    ListGrid,
    ListGroups,
    ListLanes,
    ListQueue,
    ListRuns,
    ListSchedules,
    ListTasks,
    ListWorkflows,
    Refused,
    Request,
)  # fmt: skip
from engine.server.desk import Desk
from engine.server.limits import Limits
from engine.server.look import RunNeeded
from engine.server.outbox import Outbox
from engine.server.packing import Packed, Page, delta_frame, fitting, raw_keys, raw_rows, snapshot_frame
from engine.server.queries import answer

RATE_MIN, RATE_MAX = 0.2, 20.0
_COSTLY_RATE = 2.0
_TICK_S = 1.0
_BEHIND_S = 0.1
_log = logging.getLogger(__name__)
_encoder = msgspec.msgpack.Encoder()
_OF_ONE_RUN = (GetRun, ListGroups, ListTasks, ListLanes, ListGrid, GetStats, ListAttempts)
_TIMED = (GetEngine, GetResources, ListWorkflows)


class Subscriber:
    """One client's subscription to a view."""

    def __init__(self, number: int, outbox: Outbox, view: "SharedView", rate: float) -> None:
        self.number = number
        self.outbox = outbox
        self.view = view
        self.interval_s = 1 / rate
        self.next_s = 0.0
        """When it is due again: a multiple of the interval, so that those who want the same are due together."""
        self.serial = 0
        """The view's evaluation that the client has; 0 before the snapshot."""
        self.revision = 0


class SharedView:
    """A view, its rows as they were evaluated last, and in which evaluation each of them changed."""

    def __init__(self, key: bytes, view: Request) -> None:
        self.key = key
        self.view = view
        self.subscribers: set[Subscriber] = set()
        self.dirty = True
        self.loading = False
        self.serial = 0
        self.revision = 0
        self.rows: list[Packed] = []
        self.total: int = 0
        self._known: dict[str, bytes] = {}
        self._changed: dict[str, int] = {}
        self._order_serial = 0
        self._deltas: dict[int, tuple[msgspec.Raw, msgspec.Raw | None]] = {}
        self._whole: msgspec.Raw | None = None

    def take(self, revision: int, page: Page) -> None:
        """The rows as they are now. Nothing is to be sent where they are as they were."""
        rows = list(page.rows[: fitting(page.rows, keys_too=True)])
        if page.rows and not rows:
            raise Unavailable("a row is too large to be shown")
        serial = self.serial + 1
        known, before = {row.key: row.data for row in rows}, self._known
        changed = [key for key, data in known.items() if before.get(key) != data]
        moved = list(known) != list(before)
        self.revision = revision
        if not changed and not moved and page.total == self.total and self.serial:
            return
        for key in changed:
            self._changed[key] = serial
        if moved:
            self._order_serial = serial
            self._changed = {key: self._changed[key] for key in known}
        self.rows, self._known, self.total, self.serial = rows, known, page.total, serial
        self._deltas.clear()
        self._whole = None

    def frame_for(self, subscriber: Subscriber) -> bytes:
        """What brings a subscriber from the evaluation that it has to the newest."""
        if not subscriber.serial:
            if self._whole is None:
                self._whole = raw_rows(self.rows)
            return snapshot_frame(subscriber.number, self.revision, self._whole, self.total)
        delta = self._deltas.get(subscriber.serial)
        if delta is None:
            since = subscriber.serial
            rows = raw_rows(row for row in self.rows if self._changed[row.key] > since)
            delta = rows, (raw_keys(self.rows) if self._order_serial > since else None)
            self._deltas[since] = delta
        rows, order = delta
        return delta_frame(subscriber.number, subscriber.revision, self.revision, rows, order, self.total)


class Hub:
    """All subscriptions. `run` keeps them current; `mark` says what a batch may have touched."""

    def __init__(self, desk: Desk, limits: Limits) -> None:
        self._desk = desk
        self._limits = limits
        self._views: dict[bytes, SharedView] = {}
        self._of_run: dict[int, set[SharedView]] = {}
        self._of_any_run: set[SharedView] = set()
        self._of_anything: set[SharedView] = set()
        self._active: set[SharedView] = set()
        """Views that are dirty, or whose newest evaluation a subscriber has not got."""
        self._wake = trio.Event()
        self._count = 0
        self.cost_s = 0.0
        """Spent so far on evaluating and encoding."""

    def __len__(self) -> int:
        return self._count

    # --- who wants what ---------------------------------------------------------------------------------------------

    def subscribe(self, number: int, outbox: Outbox, view: Request, rate: float) -> Subscriber:
        """Begin with a snapshot as soon as may be. Raises EngineError."""
        if not RATE_MIN <= rate <= RATE_MAX:
            raise ValueFault(f"a rate is {RATE_MIN:g} to {RATE_MAX:g} a second")
        if self._count >= self._limits.subscriptions:
            raise Unavailable("there are too many subscriptions", "close a console")
        view = msgspec.structs.replace(view, id=0)
        key = _encoder.encode(view)
        shared = self._views.get(key)
        if shared is None:
            shared = self._views[key] = SharedView(key, view)
            for index in self._indexes(shared):
                index.add(shared)
        subscriber = Subscriber(number, outbox, shared, min(rate, _COSTLY_RATE) if _costly(view) else rate)
        shared.subscribers.add(subscriber)
        self._count += 1
        self._activate(shared)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Send nothing more. Doing it twice is harmless."""
        view = subscriber.view
        if subscriber not in view.subscribers:
            return
        view.subscribers.remove(subscriber)
        self._count -= 1
        if not view.subscribers:
            del self._views[view.key]
            self._active.discard(view)
            for index in self._indexes(view):
                index.discard(view)
            run = getattr(view.view, "run", 0)
            if run in self._of_run and not self._of_run[run]:
                del self._of_run[run]

    def _indexes(self, shared: SharedView) -> list[set[SharedView]]:
        """Where to find a view when something changes."""
        view = shared.view
        if isinstance(view, GetEngine | ExplainRun):
            return [self._of_anything]
        if isinstance(view, _OF_ONE_RUN) and view.run > 0:
            return [self._of_run.setdefault(view.run, set())]
        return [self._of_any_run]

    # --- what has changed -------------------------------------------------------------------------------------------

    def mark(self, changes: Changes) -> None:
        """A batch is on disk: the views that it may have touched are to be evaluated again."""
        if not self._views:
            return
        touched = set(changes.runs)
        touched.update(attempt.run for attempt in changes.attempts.values())
        touched.update(run for run, _ in changes.chunks)
        for run in touched:
            for view in self._of_run.get(run, ()):
                self._dirty(view)
        for view in self._of_anything:
            self._dirty(view)
        for view in self._of_any_run:
            if _touches(view.view, changes, touched):
                self._dirty(view)

    def mark_all(self) -> None:
        """Anything may have changed."""
        for view in self._views.values():
            self._dirty(view)

    def _dirty(self, view: SharedView) -> None:
        if not view.dirty:
            view.dirty = True
            self._activate(view)

    def _activate(self, view: SharedView) -> None:
        self._active.add(view)
        self._wake.set()

    # --- keeping current --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Evaluate and send until cancelled, with at most the share of a core that the limits give."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tick)
            while True:
                self._wake = trio.Event()
                wait_s = self._wait_s()
                if wait_s > 0:
                    with trio.move_on_after(wait_s):
                        await self._wake.wait()
                    continue
                before_s = self.cost_s
                for view in list(self._active):
                    await self._serve(view, nursery)
                spent_s = self.cost_s - before_s
                await trio.sleep(spent_s * (1 / self._limits.duty - 1))

    async def _tick(self) -> None:
        """What changes with time alone is looked at once a second, while somebody looks."""
        while True:
            await trio.sleep(_TICK_S)
            for view in self._views.values():
                if isinstance(view.view, _TIMED):
                    self._dirty(view)

    def _wait_s(self) -> float:
        """Seconds until a subscriber is due; forever where none will be."""
        now_s = time.monotonic()
        due_s = min((_due_s(view, now_s) for view in self._active), default=float("inf"))
        return max(0.0, due_s - now_s)

    async def _serve(self, view: SharedView, nursery: trio.Nursery) -> None:
        """Evaluate a view if a subscriber is due, and send to those that are."""
        now_s = time.monotonic()
        if _due_s(view, now_s) > now_s:
            return
        if view.dirty and not await self._evaluate(view, nursery):
            return
        began_s = time.perf_counter()
        now_s, lagging = time.monotonic(), False
        for subscriber in list(view.subscribers):
            if subscriber.serial == view.serial:
                continue
            if subscriber.next_s > now_s or subscriber.outbox.behind:
                lagging = True
                continue
            subscriber.outbox.put(view.frame_for(subscriber))
            subscriber.serial, subscriber.revision = view.serial, view.revision
            subscriber.next_s = (round(now_s / subscriber.interval_s) + 1) * subscriber.interval_s
        if not lagging and not view.dirty:
            self._active.discard(view)
        self.cost_s += time.perf_counter() - began_s

    async def _evaluate(self, view: SharedView, nursery: trio.Nursery) -> bool:
        """Bring the view's rows up to date. False where that has to wait, or the view is gone."""
        try:
            await self._desk.gate.look(lambda: self._look(view))
        except RunNeeded as needed:
            view.loading = True
            self._active.discard(view)
            nursery.start_soon(self._load, view, needed.run)
            return False
        except EngineError as error:
            self._end(view, error)
            return False
        except Exception:
            _log.exception("a view could not be evaluated: %r", view.view)
            self._end(view, EngineError("the engine could not answer this: see its log"))
            return False
        return bool(view.subscribers)

    def _look(self, view: SharedView) -> None:
        began_s = time.perf_counter()
        look = self._desk.look
        view.dirty = False
        view.take(look.revision, answer(look, view.view, self._desk.clients()))
        self.cost_s += time.perf_counter() - began_s

    async def _load(self, view: SharedView, run: int) -> None:
        """Load the run of a view aside, so that the other views do not wait."""
        try:
            await self._desk.load(run)
        except EngineError as error:
            self._end(view, error)
        except Exception:
            _log.exception("run %d could not be loaded", run)
            self._end(view, EngineError("the run could not be read: see the engine's log"))
        finally:
            view.loading = False
        if view.subscribers:
            view.dirty = True
            self._activate(view)

    def _end(self, view: SharedView, error: EngineError) -> None:
        """There is nothing (more) to subscribe to."""
        for subscriber in list(view.subscribers):
            number = subscriber.number
            if isinstance(error, NotFound) and subscriber.serial:
                subscriber.outbox.put(frame(Gone(id=number, why=error.sentence)))
            else:
                subscriber.outbox.put(
                    frame(Refused(id=number, code=error.code, sentence=error.sentence, hint=error.hint))
                )
            self.unsubscribe(subscriber)


def _costly(view: Request) -> bool:
    """Whether an evaluation may have to look at all that waits, or at all rows of a run."""
    return isinstance(view, ExplainRun | ListQueue) or (isinstance(view, ListTasks) and view.sort == "duration")


def _touches(view: Request, changes: Changes, touched: set[int]) -> bool:
    """Whether a batch may have changed a view that is about no single run."""
    if isinstance(view, ListWorkflows | ListSchedules):
        return bool(changes.workflows or changes.new_runs or changes.finished_runs or changes.runs)
    if isinstance(view, ListBackfills):
        return bool(changes.backfills)
    if isinstance(view, GetResources | ListQueue):
        return bool(changes.attempts or touched or changes.workflows)
    if isinstance(view, ListRuns):
        return bool(changes.runs)
    return bool(touched)


def _due_s(view: SharedView, now_s: float) -> float:
    """When the first subscriber that lacks something may be sent to."""
    if view.loading:
        return float("inf")
    due_s = float("inf")
    for subscriber in view.subscribers:
        if view.dirty or subscriber.serial != view.serial:
            at_s = subscriber.next_s
            if subscriber.outbox.behind:
                at_s = max(at_s, now_s + _BEHIND_S)
            due_s = min(due_s, at_s)
    return due_s
