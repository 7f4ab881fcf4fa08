"""What the panes of a run look through: at the run as it is, or as it was at a moment.

The panes subscribe here as they would to the feed. Now, what they ask for goes on to the engine, which keeps it
current. In the past nothing changes any more, so each view is asked for once, at the revision of the moment, and given
to its pane as a snapshot; who moves on before all have been asked gets the views of the newest moment only.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from engine.model.errors import EngineError, ValueFault
from engine.protocol.messages import (
    GetRun,
    ListGrid,
    ListGroups,
    ListLanes,
    ListPast,
    ListTasks,
    Rows,
    Snapshot,
    View,
)
from engine.protocol.rows import MomentRow, RunRow
from orchctl.console.feed import Feed, Held, Sink
from orchctl.views import OutOfStepError

_FINAL = frozenset(("succeeded", "failed", "cancelled"))
Map = dict[str, Any]


class Watch:
    """One view of a pane, through the lens."""

    def __init__(self, lens: "Lens", view: View, sink: Sink, rate: float) -> None:
        self._lens = lens
        self.view = view
        self.sink = sink
        self.rate = rate
        self.held: Held | None = None
        self.shown = -1
        """The revision that the pane has; -1: none of the past."""

    def cancel(self) -> None:
        self._lens.forget(self)


class Lens:
    """The views of one run's panes. `on_trouble` is told what could not be asked."""

    def __init__(self, feed: Feed, on_trouble: Callable[[str], None]) -> None:
        self._feed = feed
        self._on_trouble = on_trouble
        self._watches: list[Watch] = []
        self._asking: asyncio.Task[None] | None = None
        self.moment: MomentRow | None = None
        """None: now."""

    def subscribe(self, view: View, sink: Sink, rate: float = 10.0) -> Watch:
        """Show a view from now on, of whatever moment is looked at."""
        watch = Watch(self, view, sink, rate)
        self._watches.append(watch)
        self._open(watch)
        return watch

    def forget(self, watch: Watch) -> None:
        if watch in self._watches:
            self._watches.remove(watch)
        self._close(watch)

    async def show(self, moment: MomentRow | None) -> None:
        """Look at this moment (None: now). Returns when all panes show it, or another one is wanted."""
        self.moment = moment
        for watch in self._watches:
            if moment is not None:
                self._close(watch)
            else:
                watch.shown = -1
                self._open(watch)
        if moment is not None:
            await self._start()

    def look_again(self) -> None:
        """The engine may be back: ask for what could not be asked."""
        if self.moment is not None and self._feed.live and self._missing() is not None:
            self._start()

    def stop(self) -> None:
        """Nothing is in sight any more."""
        if self._asking is not None:
            self._asking.cancel()

    def _open(self, watch: Watch) -> None:
        if self.moment is not None:
            self._start()
        elif watch.held is None:
            watch.held = self._feed.subscribe(watch.view, watch.sink, watch.rate)

    @staticmethod
    def _close(watch: Watch) -> None:
        if watch.held is not None:
            watch.held.cancel()
            watch.held = None

    # --- asking for the past --------------------------------------------------------------------------------------

    def _start(self) -> "asyncio.Task[None]":
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return self._asking

    def _missing(self) -> Watch | None:
        """A pane that does not show the moment yet."""
        moment = self.moment
        if moment is None:
            return None
        return next((watch for watch in self._watches if watch.shown != moment.revision), None)

    async def _ask(self) -> None:
        while (watch := self._missing()) is not None and (moment := self.moment) is not None:
            try:
                rows, total = await views_then(self._feed, watch.view, moment)
                if self.moment is not moment or watch not in self._watches:
                    continue
                watch.shown = moment.revision
                watch.sink.apply(Snapshot(revision=moment.revision, rows=rows, total=total))
                watch.sink.settled()
            except (EngineError, ValueFault, OutOfStepError, msgspec.ValidationError) as error:
                if self._feed.live and self.moment is moment:
                    self._on_trouble(str(error))
                return


async def views_then(feed: Feed, view: View, moment: MomentRow) -> tuple[list[Map], int]:
    """The rows of a view as they were at a moment, and how many there were in all. Raises EngineError."""
    if isinstance(view, GetRun):
        rows = (await feed.ask(view, Rows)).rows
        return [msgspec.to_builtins(run_then(msgspec.convert(row, RunRow), moment)) for row in rows], len(rows)
    if isinstance(view, ListGrid):
        return await _grid_then(feed, view, moment)
    answer = await feed.ask(question_then(view, moment.revision), Rows)
    return answer.rows, answer.total


def question_then(view: View, revision: int) -> ListPast:
    """What to ask for a view's rows at a revision."""
    if isinstance(view, ListGroups):
        return ListPast(
            run=view.run, revision=revision, text=view.text, statuses=view.statuses, fold=view.fold,
            offset=view.offset, limit=view.limit,
        )  # fmt: skip
    if isinstance(view, ListTasks):
        sort = "attention" if view.sort == "attention" else "topological"
        return ListPast(
            run=view.run, revision=revision, of="rows", task=view.task, text=view.text, statuses=view.statuses,
            sort=sort, offset=view.offset, limit=view.limit,
        )  # fmt: skip
    assert isinstance(view, ListLanes)
    return ListPast(
        run=view.run, revision=revision, of="lanes", task=view.task, text=view.text, statuses=view.statuses,
        offset=view.offset, limit=view.limit,
    )  # fmt: skip


async def _grid_then(feed: Feed, view: ListGrid, moment: MomentRow) -> tuple[list[Map], int]:
    """The runs before as they are, this one as it was: both lists have the tasks in one order."""
    answer = await feed.ask(view, Rows)
    past = ListPast(
        run=view.run, revision=moment.revision, text=view.text, offset=view.offset, limit=view.limit
    )  # fmt: skip
    then = {row["task"]: row["status"] for row in (await feed.ask(past, Rows)).rows}
    rows = [
        {**row, "cells": {**row["cells"], moment.run: then.get(row["task"], "unknown")}} for row in answer.rows
    ]  # fmt: skip
    return rows, answer.total


def run_then(row: RunRow, moment: MomentRow) -> RunRow:
    """The run as it was: instants have one form, so that their texts have their order."""
    at = moment.at or ""
    started = row.started_at if row.started_at is not None and row.started_at <= at else None
    ended = row.finished_at if row.finished_at is not None and row.finished_at <= at else None
    return msgspec.structs.replace(
        row, status=moment.status, tasks=moment.tasks, settings=moment.settings, started_at=started,
        finished_at=(ended or at) if moment.status in _FINAL else None,
    )  # fmt: skip
