"""What a run's trials have come to so far: asked for while it is looked at, and summed up in a thread, because
intervals are drawn thousands of times and the screen must not wait for them. One metric at a time is worked out.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from engine.model.errors import EngineError
from engine.protocol.messages import ListMetrics, ListRuns, ListTrials, Rows
from engine.protocol.rows import MetricRow, RunRow, TrialRow
from orchctl.campaign.comparing import (
    Cell,
    Line,
    Measurements,
    Wishes,
    cell_text,
    compare_all,
    metric_names,
    value_text,
)  # fmt: skip
from orchctl.console.drawing import run_number
from orchctl.console.feed import Feed

_PAGE = 1_000
_EARLIER = 20


class Wish(NamedTuple):
    """What the operator wants to see: a metric (empty: the first), a cell as the baseline, an earlier run beside this
    one (0: none), and whether trials that the host disturbed count."""

    metric: str = ""
    baseline: Cell = Cell()
    earlier: int = 0
    with_noisy: bool = False


class Results:
    """The results of one run. `on_change` is called when there are others."""

    def __init__(self, feed: Feed, run: int, on_change: Callable[[], None], on_trouble: Callable[[str], None]) -> None:
        self._feed = feed
        self._run = run
        self._on_change = on_change
        self._on_trouble = on_trouble
        self._known: dict[int, Measurements] = {}
        self._busy = False
        self._again = False
        self.wish = Wish()
        self.measures = False
        """Whether the run has tasks that measure something."""
        self.measured: list[Measurements] = []
        self.metrics: list[str] = []
        self.lines: list[Line] = []
        self.known = False

    async def look(self) -> None:
        """Whether there is anything to show; of the plan, so that it stays so. Raises EngineError."""
        self.measures = bool((await self._feed.ask(ListMetrics(run=self._run), Rows)).rows)

    @property
    def metric(self) -> str:
        """The one that is shown."""
        return self.wish.metric if self.wish.metric in self.metrics else next(iter(self.metrics), "")

    @property
    def several(self) -> bool:
        return len(self.measured) > 1

    # --- what keys choose -----------------------------------------------------------------------------------------

    def other_metric(self, direction: int) -> None:
        if self.metrics:
            at = (self.metrics.index(self.metric) + direction) % len(self.metrics)
            self.wish = self.wish._replace(metric=self.metrics[at])

    def baseline_at(self, cell: Cell) -> str:
        """Measure against this cell; once more, against the first again. What to tell."""
        if self.wish.baseline == cell:
            self.wish = self.wish._replace(baseline=Cell())
            return "against the first cell again"
        self.wish = self.wish._replace(baseline=cell, earlier=0)
        return f"against {cell_text(cell)}"

    async def other_run(self, workflow: str, direction: int) -> str:
        """Compare with the run of the workflow before the one that is beside this one, or the one after. What to tell.
        Raises EngineError."""
        request = ListRuns(workflow=workflow, before=self._run, limit=_EARLIER)
        rows = msgspec.convert((await self._feed.ask(request, Rows)).rows, list[RunRow])
        numbers = [0, *(run_number(row.run) for row in rows)]
        at = numbers.index(self.wish.earlier) if self.wish.earlier in numbers else 0
        earlier = numbers[(at + direction) % len(numbers)]
        self.wish = self.wish._replace(earlier=earlier, baseline=Cell() if earlier else self.wish.baseline)
        if len(numbers) == 1:
            return f"there is no earlier run of {workflow}"
        return f"compared with r{earlier}" if earlier else "compared within this run"

    def count_noisy(self) -> str:
        self.wish = self.wish._replace(with_noisy=not self.wish.with_noisy)
        return "trials that the host disturbed count too" if self.wish.with_noisy else "disturbed trials are left out"

    # --- working it out -------------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Ask and sum up; what is wished meanwhile is seen to right after."""
        self._again = True
        if self._busy:
            return
        self._busy = True
        try:
            while self._again:
                self._again = False
                await self._work_out()
        except (EngineError, msgspec.ValidationError) as error:
            if self._feed.live:
                self._on_trouble(f"the results could not be asked: {error}")
        except (ValueError, ArithmeticError) as error:  # what tasks report may be any numbers
            self._on_trouble(f"the results could not be worked out: {error}")
        finally:
            self._busy = False

    async def _work_out(self) -> None:
        wish = self.wish
        runs = [wish.earlier, self._run] if wish.earlier else [self._run]
        measured = [await self._measured(run) for run in runs]
        self.metrics = metric_names(measured[-1:])
        metric = self.metric
        wishes = Wishes(
            metrics=(metric,) if metric else (), with_noisy=wish.with_noisy,
            baseline_cell=tuple((name, value_text(value)) for name, value in wish.baseline),
        )  # fmt: skip
        lines = await asyncio.to_thread(compare_all, measured, wishes)
        self.measured, self.lines, self.known = measured, lines, True
        self._on_change()

    async def _measured(self, run: int) -> Measurements:
        """All trials of a run so far; those of an earlier one are asked for once."""
        if run != self._run and run in self._known:
            return self._known[run]
        metrics = msgspec.convert((await self._feed.ask(ListMetrics(run=run), Rows)).rows, list[MetricRow])
        trials: list[TrialRow] = []
        while True:
            request = ListTrials(run=run, offset=len(trials), limit=_PAGE)
            answer = await self._feed.ask(request, Rows)
            trials += msgspec.convert(answer.rows, list[TrialRow])
            if not answer.rows or len(trials) >= answer.total:
                break
        self._known[run] = Measurements(run, metrics, trials)
        return self._known[run]


def cells_of(lines: Sequence[Line]) -> list[tuple[str, Cell]]:
    """The tasks and cells, in their order."""
    return list(dict.fromkeys((line.task, line.cell) for line in lines))
