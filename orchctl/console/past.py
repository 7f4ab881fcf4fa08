"""Where in the past of a run the operator looks, and how the keys move there.

Keys ask for moves and never wait: steps of the same kind that come while an earlier one is on its way become one, so
holding a key goes as fast as the engine can follow, and every moment that is shown is shown whole.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from engine.model.errors import EngineError
from engine.model.instants import SECOND, to_text
from engine.protocol.messages import GetMoment, ListEvents, ListMoments, Rows
from engine.protocol.rows import AttemptRow, ChangeRow, EventRow, MomentRow
from orchctl.console.drawing import clock, instant_s
from orchctl.console.feed import Feed
from orchctl.console.lens import Lens

EVENTS_TOLD = 200
"""So many events of a moment are looked at to tell why."""
SWEEPS = 20
"""So many sweeps lead through the whole run."""
_SCANS = 20
_STEPS_MAX = 5_000
_LAST = 2**62 - 1

Kind = Literal["step", "leap", "sweep"]


class Move(msgspec.Struct):
    """So many changes, notable changes, or parts of the time, back (negative) or on; or to a moment, or to now."""

    kind: Literal["step", "leap", "sweep", "to", "now"]
    count: int = 0
    to: GetMoment | None = None


class Past:
    """The moment of one run that is looked at. `span` is when the run began and ended, or what time it is; `on_change`
    is called when another moment is in sight, and `say` with what there is to say."""

    def __init__(
        self, feed: Feed, run: int, lens: Lens, span: Callable[[], tuple[float, float]],
        on_change: Callable[[], None], say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._feed = feed
        self._run = run
        self._lens = lens
        self._span = span
        self._on_change = on_change
        self._say = say
        self._moves: list[Move] = []
        self._revision = 0
        self._at_s: float | None = None
        self._target: GetMoment | None = None
        self._scanned = 0
        self._scanning = False
        self.busy = False
        self.moment: MomentRow | None = None
        """None: now is in sight."""
        self.events: list[EventRow] = []
        """What happened at the moment."""
        self.marks: list[ChangeRow] = []
        """Notable changes, as far as the journal has been searched for them."""

    @property
    def at_s(self) -> float | None:
        """The instant of the moment; a sweep may stand later than the last change before it."""
        return self._at_s if self.moment is not None else None

    # --- what keys ask for ----------------------------------------------------------------------------------------

    def move(self, kind: Kind, count: int) -> None:
        """Go so many back or on."""
        last = self._moves[-1] if self._moves else None
        if last is not None and last.kind == kind:
            last.count = max(-_STEPS_MAX, min(last.count + count, _STEPS_MAX))
        else:
            self._moves.append(Move(kind, count))

    def go(self, to: GetMoment) -> None:
        """Go to a moment."""
        self._moves = [Move("to", to=to)]

    def come_back(self) -> None:
        """Back to now, whatever else was asked for."""
        self._moves = [Move("now")]

    async def follow(self) -> None:
        """Go where the keys want, until they want nothing more."""
        if self.busy:
            return
        self.busy = True
        try:
            while self._moves:
                while self._moves:
                    await self._resolve(self._moves.pop(0))
                await self._show()
        except (EngineError, msgspec.ValidationError) as error:
            self._moves.clear()
            self._say(f"the past could not be asked: {error}")
        finally:
            self.busy = False

    # --- from a move to a moment ----------------------------------------------------------------------------------

    async def _resolve(self, move: Move) -> None:
        if move.kind == "now":
            self._target, self._revision = None, 0
        elif move.to is not None:
            self._target, self._revision = move.to, move.to.revision
            wanted = instant_s(move.to.at)
            self._at_s = None if wanted is None else min(wanted, self._span()[1])
        elif move.kind == "sweep":
            await self._sweep(move.count)
        elif move.count:
            found = await self._changes(move.count, notable=move.kind == "leap")
            self._land(found, move)

    def _land(self, found: list[ChangeRow], move: Move) -> None:
        """On the last of the changes; where there are fewer ahead than were asked for, now is next."""
        what = "nothing notable" if move.kind == "leap" else "nothing"
        if move.count > 0 and len(found) < move.count:
            if self._target is None and not self._revision:
                self._say("this is now: nothing is later")
            self._target, self._revision = None, 0
        elif found:
            self._revision = found[-1].revision
            self._target = GetMoment(run=self._run, revision=self._revision)
        else:
            self._say(f"{what} of this run is earlier")

    async def _changes(self, count: int, *, notable: bool) -> list[ChangeRow]:
        """The next changes back or on from where we look, the nearest first."""
        found: list[ChangeRow] = []
        at = self._revision or (_LAST if count < 0 else 0)
        if count > 0 and not at:
            return found
        while len(found) < abs(count):
            limit = abs(count) - len(found)
            before, after = (at, 0) if count < 0 else (0, at)
            request = ListMoments(run=self._run, before=before, after=after, limit=limit, notable=notable)
            page = msgspec.convert((await self._feed.ask(request, Rows)).rows, list[ChangeRow])
            found += [row for row in page if row.notable or not notable]
            if not page or not notable or any(move.kind == "now" for move in self._moves):
                break
            at = page[-1].revision
            if not page[-1].notable:
                self._say(f"looking on from {clock(instant_s(page[-1].at) or 0.0)}")
        return found

    async def _sweep(self, count: int) -> None:
        """By parts of the time that the run has taken."""
        began, until = self._span()
        base = until if self._at_s is None or self._target is None else self._at_s
        wanted = base + count * max(0.001, until - began) / SWEEPS
        if wanted >= until:
            self._target, self._revision, self._at_s = None, 0, None
            return
        self._at_s = max(began, wanted)
        self._target = GetMoment(run=self._run, at=to_text(round(self._at_s * SECOND)))
        self._revision = 0

    # --- showing --------------------------------------------------------------------------------------------------

    async def _show(self) -> None:
        if self._target is None:
            self.moment, self.events, self._at_s = None, [], None
            await self._lens.show(None)
            self._on_change()
            return
        moment = await self._reach(self._target)
        if moment is None:
            return
        at = instant_s(moment.at) or 0.0
        self._at_s = max(at, self._at_s or at) if self._target.at else at
        if moment.revision != (self.moment.revision if self.moment is not None else 0):
            request = ListEvents(run=self._run, since=moment.revision, limit=EVENTS_TOLD)
            events = msgspec.convert((await self._feed.ask(request, Rows)).rows, list[EventRow])
            self.events = [row for row in events if row.revision == moment.revision]
        self.moment, self._revision = moment, moment.revision
        self._on_change()
        await self._lens.show(moment)
        self._on_change()

    async def _reach(self, target: GetMoment) -> MomentRow | None:
        """The run at a moment; its first change where that is before it. None where the keys want another one."""
        while True:
            rows = (await self._feed.ask(target, Rows)).rows
            moment = msgspec.convert(rows[0], MomentRow)
            if moment.reached and moment.at is not None:
                return moment
            if moment.reached:
                first = (await self._feed.ask(ListMoments(run=self._run, limit=1), Rows)).rows
                if not first or target.revision:
                    self._target = None
                    self._say("nothing is known of this run's past")
                    return None
                target = GetMoment(run=self._run, revision=msgspec.convert(first[0], ChangeRow).revision)
            if self._moves:
                return None
            if not moment.reached and moment.at is not None:
                self._say(f"reading the journal, at {clock(instant_s(moment.at) or 0.0)}")

    async def scan(self) -> None:
        """Find the notable changes that are not known yet, in a long journal the first ones."""
        if self._scanning:
            return
        self._scanning = True
        try:
            for _ in range(_SCANS):
                request = ListMoments(run=self._run, after=self._scanned, limit=_STEPS_MAX, notable=True)
                page = msgspec.convert((await self._feed.ask(request, Rows)).rows, list[ChangeRow])
                self.marks += [row for row in page if row.notable]
                self._on_change()
                if not page:
                    return
                self._scanned = page[-1].revision
        except (EngineError, msgspec.ValidationError):
            return  # the time line has fewer marks
        finally:
            self._scanning = False


def attempts_then(rows: list[AttemptRow], at: str) -> list[AttemptRow]:
    """The attempts of a row as they were at an instant (in the one form of instants)."""
    begun = [row for row in rows if (row.ordered_at or row.started_at or "") <= at]
    return [
        row
        if row.finished_at is not None and row.finished_at <= at
        else msgspec.structs.replace(
            row, status="running", outcome=None, sentence="", finished_at=None, exit_code=None, signal=None,
            max_rss=None, cpu_seconds=None,
        )
        for row in begun
    ]  # fmt: skip
