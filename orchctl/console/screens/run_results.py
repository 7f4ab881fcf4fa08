"""The keys of a run's results: which metric, against which cell, beside which earlier run."""

import msgspec

from engine.model.errors import EngineError
from orchctl.console.results import Results
from orchctl.console.screens.run_past import PastKeys
from orchctl.console.widgets.results import ResultsView


class ResultKeys(PastKeys):
    """A screen of a run with results. `results_view` is there where the screen is."""

    results_view: ResultsView

    def begin_results(self) -> None:
        """Once the screen has its run."""
        self.results = Results(self.feed, self.run_number, self._results_changed, lambda why: self.say(why, "red"))
        self._looked = False

    def look_for_results(self) -> None:
        """Find out, once, whether the run measures anything."""
        if not self._looked and self.feed.live:
            self._looked = True
            self.run_worker(self.find_results(), exit_on_error=True)

    async def find_results(self) -> bool:
        """Whether the run measures anything."""
        try:
            await self.results.look()
        except (EngineError, msgspec.ValidationError):
            self._looked = False
        self.update_bar("head")
        return self.results.measures

    def results_text(self) -> str:
        """What is shown of the results, for people."""
        results = self.results
        if not results.metrics:
            return ""
        return f"{results.metric} {results.metrics.index(results.metric) + 1}/{len(results.metrics)}"

    def _results_changed(self) -> None:
        if self.is_mounted:
            self.results_view.changed()
            self.update_bar("head")

    # --- keys -----------------------------------------------------------------------------------------------------

    def action_metric(self, direction: int) -> None:
        self.results.other_metric(direction)
        self.results_view.see()

    def action_baseline(self) -> None:
        cell = self.results_view.cell()
        if cell is None:
            self.say("put the cursor on a cell first", "yellow")
            return
        self.say(self.results.baseline_at(cell))
        self.results_view.see()

    def action_beside(self, direction: int) -> None:
        self.run_worker(self._beside(direction), exit_on_error=True, exclusive=True, group="beside")

    async def _beside(self, direction: int) -> None:
        row = self.run_row()
        if row is None:
            return
        try:
            self.say(await self.results.other_run(row.workflow, direction))
        except (EngineError, msgspec.ValidationError) as error:
            self.say(f"earlier runs could not be asked: {error}", "red")
            return
        self.results_view.see()

    def action_noisy(self) -> None:
        self.say(self.results.count_noisy())
        self.results_view.see()
