"""What a question is answered from: the live state, the history, and finished runs that were loaded for a while.

A question is answered in one go on the engine's loop, so all that it shows is of one revision. A run that is not in
memory cannot be loaded there: the question stops with `RunNeeded`, the run is loaded in a thread and put on the shelf,
and the question is asked again.
"""

from collections.abc import Iterable, Sequence

from engine.core.changes import Changes
from engine.core.state import Attempt, EngineState, RunHeader, RunState
from engine.model.errors import NotFound
from engine.model.ids import run_text
from engine.planning.plan import Plan
from engine.server.packing import Packed
from engine.server.past import Pasts
from engine.server.ports import Explains, History, World
from engine.server.shape import Layout, Place, Plans

_SHELF_RUNS = 16
_SHELF_ROWS = 2_000_000
_ROWS_KEPT = 50_000
_ATTEMPTS_KEPT = 50_000
_NEWEST_SEEN = 20


class RunNeeded(Exception):
    """The run must be loaded before the question can be answered."""

    def __init__(self, run: int) -> None:
        super().__init__(run)
        self.run = run


class Shelf:
    """Finished runs that were loaded, the least used first to go. A run that changes leaves it."""

    def __init__(self) -> None:
        self._runs: dict[int, RunState] = {}
        self._loading: dict[int, bool] = {}
        """Runs being loaded, and whether what is loaded is still true."""

    def get(self, number: int) -> RunState | None:
        run = self._runs.pop(number, None)
        if run is not None:
            self._runs[number] = run
        return run

    def begin(self, number: int) -> None:
        """The run is being loaded from here on."""
        self._loading[number] = True

    def put(self, number: int, run: RunState) -> None:
        """Keep a loaded run, unless it changed meanwhile."""
        if not self._loading.pop(number, False):
            return
        self._runs[number] = run
        rows = sum(len(kept.status) for kept in self._runs.values())
        while len(self._runs) > 1 and (len(self._runs) > _SHELF_RUNS or rows > _SHELF_ROWS):
            rows -= len(self._runs.pop(next(iter(self._runs))).status)

    def drop(self, number: int) -> None:
        """What is known of the run is not true any more."""
        self._runs.pop(number, None)
        if number in self._loading:
            self._loading[number] = False

    def clear(self) -> None:
        self._runs.clear()
        self._loading = dict.fromkeys(self._loading, False)


class Look:
    """The engine as questions see it, with caches that `forget` keeps true."""

    def __init__(self, state: EngineState, history: History, world: World, logs: str) -> None:
        """`logs` is the absolute folder under which the logs lie."""
        self.state = state
        self.history = history
        self.world = world
        self.logs = logs
        self.shelf = Shelf()
        self.plans = Plans()
        self.pasts = Pasts(history)
        self.packed_rows: dict[tuple[int, int], tuple[object, Packed]] = {}
        """By (run, row): what the row was encoded from, and its encoding."""
        self.ranked_rows: dict[object, list[int]] = {}
        """Results of sorting, of the present revision only; ~task stands for a task without rows."""
        self.earliest: dict[tuple[int, int], tuple[int, int]] = {}
        """By (run, task): the first start, and the row that it was."""
        self._ended: dict[tuple[int, int, int, int], Attempt] = {}
        self._newest: dict[str, list[RunHeader]] = {}
        self._explainer: Explains | None = None

    @property
    def revision(self) -> int:
        return self.state.meta.revision

    def run(self, number: int) -> RunState:
        """A run with its rows. Raises RunNeeded, and NotFound for a number that was never given."""
        run = self.state.runs.get(number) or self.shelf.get(number)
        if run is None:
            if not 0 < number < self.state.meta.next_run:
                raise no_run(number)
            raise RunNeeded(number)
        return run

    def newest_run(self) -> int:
        """The number of the newest run that is known. Raises NotFound."""
        live = max(self.state.runs, default=0)
        page = self.history.runs_page(0, 1, "", ())
        newest = max(live, page[0].run if page else 0)
        if not newest:
            raise NotFound("there are no runs yet", "`orchctl run FILE` makes one")
        return newest

    def layout(self, run: RunState) -> Layout:
        return Layout(run, self.plans.of(run.plan))

    def plan_of(self, version: str) -> Plan | None:
        """The plan of a version, where a live run, an added workflow or a loaded run has it."""
        return self.state.plans.get(version)

    def explainer(self) -> Explains:
        """One for each revision."""
        if self._explainer is None:
            self._explainer = self.world.explainer()
        return self._explainer

    def attempts_of_places(self, run: RunState, places: Iterable[Place]) -> dict[Place, Attempt]:
        """The newest attempt of each place that has one: live ones from the state, ended ones in one read."""
        found: dict[Place, Attempt] = {}
        missing: list[Place] = []
        for place in places:
            if place.row < 0 or not run.tries[place.row]:
                continue
            live = self.state.attempt_of_row(run, place.row)
            known = live or self._ended.get((run.run, place.task, place.item, run.tries[place.row]))
            if known is not None:
                found[place] = known
            else:
                missing.append(place)
        if missing:
            self._read_attempts(run, missing, found)
        return found

    def _read_attempts(self, run: RunState, missing: Sequence[Place], found: dict[Place, Attempt]) -> None:
        if len(self._ended) > _ATTEMPTS_KEPT:
            self._ended.clear()
        wanted = [(place.task, place.item, run.tries[place.row]) for place in missing]
        for place, attempt in zip(missing, self.history.attempts_at(run.run, wanted), strict=True):
            if attempt is not None:
                found[place] = attempt
                if not attempt.live:
                    self._ended[run.run, attempt.task, attempt.index, attempt.number] = attempt

    def newest_of(self, workflow: str) -> list[RunHeader]:
        """Its newest runs, the newest first."""
        page = self._newest.get(workflow)
        if page is None:
            page = self._newest[workflow] = list(self.history.runs_page(0, _NEWEST_SEEN, workflow, ()))
        runs = self.state.runs
        return [runs[header.run].header if header.run in runs else header for header in page]

    def forget(self, changes: Changes) -> None:
        """A batch is on disk: what was kept and is not true any more goes."""
        self._explainer = None
        self.ranked_rows.clear()
        if len(self.packed_rows) > _ROWS_KEPT:
            self.packed_rows.clear()
        if len(self.earliest) > _ROWS_KEPT:
            self.earliest.clear()
        for number in changes.runs:
            self.shelf.drop(number)
        for number in changes.new_runs | changes.finished_runs:
            run = self.state.runs.get(number)
            if run is not None:
                self._newest.pop(run.header.workflow, None)
            else:
                self._newest.clear()
        for name in changes.workflows:
            self._newest.pop(name, None)

    def forget_history(self) -> None:
        """Records were removed from the history."""
        self.shelf.clear()
        self._newest.clear()
        self._ended.clear()
        self.pasts.clear()


def no_run(number: int) -> NotFound:
    return NotFound(f"there is no run {run_text(number)}", "`orchctl runs` lists them")
