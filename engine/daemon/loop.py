"""The loop that can be read aloud: take the waiting events as one batch, step, commit, perform the effects, publish.
Only orders of workflows that want it so (`durability: relaxed`) go out before the commit.

While a batch is on its way to disk new events gather for the next one, so that a busy engine commits large batches
and an idle one commits at once. Between step and commit, while `settled` is held, the state is ahead of the disk, and
nobody may see that.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import trio

from engine.core.changes import AuditEntry, Changes
from engine.core.effects import (
    AcknowledgeExit,
    Answer,
    AnyEffect,
    RecallAttempt,
    Refusal,
    ResumeAttempt,
    ShareCpus,
    StartAttempt,
    StopAttempt,
    SuspendAttempt,
)
from engine.core.events import Ask, ClockAdvanced, External
from engine.core.machine import Machine
from engine.core.state import RunState
from engine.daemon.clock import EngineClock
from engine.model.errors import Unavailable

BATCH_EVENTS_MAX = 4_096
FINISHED_RUNS_KEPT = 32
FINISHED_ROWS_KEPT = 50_000


class World(Protocol):
    """The processes: the part of the executor that the loop gives orders to."""

    def start(self, orders: Sequence[StartAttempt]) -> None: ...
    def stop(self, orders: Sequence[StopAttempt]) -> None: ...
    def freeze(self, orders: Sequence[SuspendAttempt | ResumeAttempt]) -> None: ...
    def recall(self, attempts: Sequence[int]) -> None: ...
    def acknowledge(self, attempts: Sequence[int]) -> None: ...
    def share(self, cpus: Sequence[int]) -> None: ...


class Audience(Protocol):
    """Those who wait for answers and watch: the part of the server that the loop tells."""

    def answer(self, answer: Answer) -> None: ...
    def publish(self, changes: Changes) -> None: ...


class Loop:
    """Owns the machine. `commit` makes the changes of a batch durable and raises where it cannot."""

    def __init__(
        self, machine: Machine, clock: EngineClock, commit: Callable[[Changes], Awaitable[None]],
        load_run: Callable[[int], Awaitable[RunState | None]],
    ) -> None:  # fmt: skip
        self.machine = machine
        self.clock = clock
        self.settled = trio.Lock()
        self.forgetting = trio.Lock()
        """Held by retention from when it looks at what is in memory until what it deletes for that is on disk."""
        self.world: World | None = None
        self.audience: Audience | None = None
        self._commit = commit
        self._load_run = load_run
        self._waiting: list[External] = []
        self._wake = trio.Event()
        self._audit: list[AuditEntry] = []
        self._loading: set[int] = set()
        self._turned = trio.Event()
        """Set, and made anew, at the end of each turn."""
        self._finished: OrderedDict[int, int] = OrderedDict()
        """Finished runs still in memory, the longest unused first, with their rows."""

    def __contains__(self, run: object) -> bool:
        """Whether a run is in memory or on its way there: retention must not pull it away."""
        return run in self.machine.state.runs or run in self._loading

    def post(self, events: Sequence[External]) -> None:
        """Hand in facts. Never blocks."""
        self._waiting.extend(events)
        self._wake.set()

    def note_audit(self, entry: AuditEntry) -> None:
        """Have a line of the audit written with the next batch."""
        self._audit.append(entry)
        self._wake.set()

    async def run(self) -> None:
        """For ever. Raises what `commit` raises: then nothing of the batch was answered or performed."""
        while True:
            await self._wait()
            await self.turn()

    async def turn(self) -> None:
        """One batch, whatever waits."""
        batch, self._waiting = self._waiting[:BATCH_EVENTS_MAX], self._waiting[BATCH_EVENTS_MAX:]
        if not self._waiting:
            self._wake = trio.Event()
        if self._clock_is_due():
            batch.append(ClockAdvanced())
        if not batch and not self._audit:
            return
        async with self.settled:
            await self._bring_back(batch)
            changes = self.machine.step(batch, self.clock.now_ns(), self.clock.wall_ns())
            changes.audit += self._audit
            self._audit = []
            if changes.early and self.world is not None:
                self.world.start(changes.early)
            if not changes.empty:
                await self._write(batch, changes)
        self._perform(changes.effects)
        if self.audience is not None:
            self.audience.publish(changes)
        self._let_go(changes)
        self._turned.set()
        self._turned = trio.Event()
        for _ in range(2):  # all who waited to look have looked before the next step changes what they see
            await trio.lowlevel.checkpoint()

    async def _write(self, batch: Sequence[External], changes: Changes) -> None:
        """Commit; where nothing was written for want of room, those who wait for an answer are told before the end."""
        try:
            await self._commit(changes)
        except Unavailable as error:
            refusal = Refusal(error.code, error.sentence, error.hint)
            for event in (*batch, *self._waiting):
                ask = getattr(event, "ask", None)
                if self.audience is not None and isinstance(ask, Ask) and ask.ticket:
                    self.audience.answer(Answer(ask.ticket, refusal=refusal))
            raise

    async def attempts_ended(self) -> None:
        """Wait until no attempt is live."""
        while self.machine.state.attempts:
            await self._turned.wait()

    async def _wait(self) -> None:
        """Until events wait or the clock is due."""
        if self._waiting or self._audit:
            await trio.lowlevel.checkpoint()
            return
        with trio.move_on_after(self._seconds_to_next()):
            await self._wake.wait()

    def _seconds_to_next(self) -> float:
        delay_due, wall_due = self.machine.next_due()
        waits = [3600.0]
        if delay_due:
            waits.append((delay_due - self.clock.now_ns()) / 1e9)
        if wall_due:  # the wall clock may be set at any time, so it is looked at again within a few seconds
            waits.append(min((wall_due - self.clock.wall_ns()) / 1e9, 5.0))
        return max(min(waits), 0.0)

    def _clock_is_due(self) -> bool:
        delay_due, wall_due = self.machine.next_due()
        return bool((delay_due and delay_due <= self.clock.now_ns()) or (wall_due and wall_due <= self.clock.wall_ns()))

    async def _bring_back(self, batch: Sequence[External]) -> None:
        """Load the finished runs that the batch speaks of."""
        for event in batch:
            number = getattr(event, "run", 0)
            if isinstance(number, int) and number and number not in self.machine.state.runs:
                async with self.forgetting:  # a step that has not seen it here may be deleting it
                    self._loading.add(number)
                try:
                    run = await self._load_run(number)
                    if run is not None:
                        self.machine.install_run(run)
                        self._keep_finished(run)
                finally:
                    self._loading.discard(number)

    def _perform(self, effects: Sequence[AnyEffect]) -> None:
        starts: list[StartAttempt] = []
        stops: list[StopAttempt] = []
        freezes: list[SuspendAttempt | ResumeAttempt] = []
        ends: list[int] = []
        recalls: list[int] = []
        shared: Sequence[int] = ()
        for effect in effects:
            if isinstance(effect, StartAttempt):
                starts.append(effect)
            elif isinstance(effect, AcknowledgeExit):
                ends.append(effect.attempt)
            elif isinstance(effect, StopAttempt):
                stops.append(effect)
            elif isinstance(effect, SuspendAttempt | ResumeAttempt):
                freezes.append(effect)
            elif isinstance(effect, RecallAttempt):
                recalls.append(effect.attempt)
            elif isinstance(effect, ShareCpus):
                shared = effect.cpus
            elif self.audience is not None:
                self.audience.answer(effect)
        if self.world is not None:
            if shared:
                self.world.share(shared)
            if ends:
                self.world.acknowledge(ends)
            if starts:
                self.world.start(starts)
            if freezes:
                self.world.freeze(freezes)
            if stops:
                self.world.stop(stops)
            if recalls:
                self.world.recall(recalls)

    def _let_go(self, changes: Changes) -> None:
        """Keep the newest finished runs in memory, within bounds, for those who look at them right after."""
        for number in changes.finished_runs:
            run = self.machine.state.runs.get(number)
            if run is not None:
                self._keep_finished(run)

    def _keep_finished(self, run: RunState) -> None:
        self._finished[run.run] = len(run.status)
        self._finished.move_to_end(run.run)
        while len(self._finished) > 1 and (
            len(self._finished) > FINISHED_RUNS_KEPT or sum(self._finished.values()) > FINISHED_ROWS_KEPT
        ):
            number, _ = self._finished.popitem(last=False)
            self.machine.forget_run(number)
