"""Why is it not running? The same code that decides answers: the trigger rule, the queue, the ledger, the limits."""

from collections.abc import Iterable

from engine.core.context import Context
from engine.core.forecast import Forecast
from engine.core.state import NOT_FINAL, Attempt, EngineState, Pause, RunState
from engine.model.ids import NO_INDEX, run_text
from engine.model.resources import Claim, Reason
from engine.model.status import RunStatus, TaskStatus
from engine.scheduling.fair_queue import Entry

_UPSTREAM_NAMED = 10
_WALKS_MAX = 3


class Explainer:
    """Answers for one moment. Building it costs one walk over the ready queue's entries, the first ready row costs one
    over the live attempts; each answer is then cheap.
    """

    def __init__(self, cx: Context) -> None:
        self._cx = cx
        self._state: EngineState = cx.state
        self._order = cx.queue.ranked()
        self._ranks: dict[tuple[int, int], list[tuple[Entry, int]]] | None = None
        self._asked = 0
        self._holders: list[tuple[str, Claim]] | None = None
        self._forecast: Forecast | None = None

    def reasons(self, run: RunState, task: int, index: int) -> tuple[int | None, int | None, list[Reason]]:
        """Rank in the queue (1 is next), predicted start (ns, None: unknown) and all reasons of a row.

        A mapped task that is not expanded is asked for with NO_INDEX. A row that runs or has ended has no reasons.
        """
        expanded = run.first_row[task] >= 0
        row = run.row(task, index) if expanded else -1
        status = TaskStatus(run.status[row]) if expanded else TaskStatus.WAITING
        if status is TaskStatus.RUNNING:
            return self._of_running(run, row)
        if status >= TaskStatus.SUCCEEDED or run.task_final[task] != NOT_FINAL:
            return None, None, []
        found = self._of_run(run)  # what keeps the run comes first, what presses the host last: it is least of this row
        if status is TaskStatus.WAITING:
            return None, None, found + self._upstream(run, task, index)
        if status is TaskStatus.BACKING_OFF:
            left = max(run.finished[row] - self._cx.now_ns, 0) / 1e9
            return None, run.finished[row], [*found, Reason("backing_off", "retry", left, 0)]
        rank, entry = self._rank(run.run, task, row)
        host = [] if found else list(self._cx.pressure.reasons)
        due_ns = self._start_ns(entry, row, [*found, *host])
        return rank, due_ns, [*found, *self._of_ready(run, task, row, rank), *host]

    def _of_running(self, run: RunState, row: int) -> tuple[int | None, int | None, list[Reason]]:
        """Why it stands still, if it does; what waits for its CPUs has a rank, and a start is when it goes on."""
        attempt = self._state.attempts.get(run.live.get(row, 0))
        if attempt is None or not attempt.frozen:
            return None, None, []
        why = self._standstill(attempt)
        entry = self._cx.returning.get(attempt.attempt)
        if entry is None:
            return None, None, [why]
        rank = next(
            (ahead + 1 for known, ahead in self._entries_of(run.run, attempt.task) if known is entry), None
        )  # fmt: skip
        host = list(self._cx.pressure.reasons)
        short = self._short(entry.claim, mine=entry is self._cx.gate.reserved, rank=rank)
        return rank, self._start_ns(entry, entry.low, host), [why, *short, *host]

    def _standstill(self, attempt: Attempt) -> Reason:
        pause = attempt.pause or Pause()
        asked = attempt.claim.cpu_milli / 1000
        if pause.for_row is not None:
            return Reason("suspended", "cpu", asked, holders=(self._state.name_of(*pause.for_row),))
        return Reason("resuming" if pause.waits else "paused", "cpu", asked if pause.released else 0)

    def _start_ns(self, entry: Entry | None, row: int, of_run: list[Reason]) -> int | None:
        """When it is expected to start; nobody knows while something but the order of the queue keeps it."""
        if entry is None or of_run:
            return None
        if self._forecast is None:
            self._forecast = Forecast(self._cx, self._order)
        return self._forecast.starts(entry, row)

    def _of_run(self, run: RunState) -> list[Reason]:
        status = run.header.status
        if status is RunStatus.PAUSED:
            return [Reason("run_paused", run_text(run.run))]
        if status is RunStatus.QUEUED:
            entry = self._state.workflows.get(run.header.workflow)
            holders = tuple(run_text(number) for number in entry.active[:10]) if entry else ()
            return [Reason("if_running", run.header.workflow, holders=holders)]
        if self._state.meta.read_only:
            return [Reason("read_only", "disk")]
        return [Reason("stopping", "engine")] if self._cx.draining else []

    def _upstream(self, run: RunState, task: int, index: int) -> list[Reason]:
        unmet: list[str] = []
        for up in run.plan.ups(task):
            if up in run.plan.paired(task) and index != NO_INDEX and run.first_row[up] >= 0:
                if run.status[run.row(up, index)] < TaskStatus.SUCCEEDED:
                    unmet.append(run.text(up, index))
            elif run.task_final[up] == NOT_FINAL:
                unmet.append(run.plan.names[up])
        total = len(run.plan.ups(task))
        if not unmet:
            return []
        return [Reason("upstream", "needs", total, total - len(unmet), tuple(unmet[:_UPSTREAM_NAMED]))]

    def _rank(self, number: int, task: int, row: int) -> tuple[int | None, Entry | None]:
        for entry, ahead in self._entries_of(number, task):
            if entry.low <= row < entry.high:
                return ahead + row - entry.low + 1, entry
        return None, None

    def _entries_of(self, number: int, task: int) -> Iterable[tuple[Entry, int]]:
        """The entries of a task, each with the rows that are ahead of it. For a few tasks the queue is walked; whoever
        asks for many gets an index."""
        self._asked += 1
        ahead = 0
        if self._asked <= _WALKS_MAX:
            found: list[tuple[Entry, int]] = []
            for entry in self._order:
                if entry.task == task and entry.run == number:
                    found.append((entry, ahead))
                ahead += entry.high - entry.low
            return found
        if self._ranks is None:
            self._ranks = {}
            for entry in self._order:
                self._ranks.setdefault((entry.run, entry.task), []).append((entry, ahead))
                ahead += entry.high - entry.low
        return self._ranks.get((number, task), ())

    def _of_ready(self, run: RunState, task: int, row: int, rank: int | None) -> list[Reason]:
        found: list[Reason] = []
        limit = run.max_parallel(task)
        live = run.live_of_task.get(task, 0)
        if limit and live >= limit:
            holders = [self._state.attempts[number] for number in sorted(set(run.live.values()))]
            names = [run.text(task, attempt.index) for attempt in holders if attempt.task == task]
            found.append(Reason("max_parallel", run.plan.names[task], 1, limit - live, tuple(names[:10])))
        reserved = self._cx.gate.reserved
        mine = reserved is not None and reserved.run == run.run and reserved.low <= row < reserved.high
        return found + self._short(self._cx.grown_of(run, task, row)[0], mine=mine, rank=rank, more=not found)

    def _short(self, claim: Claim, *, mine: bool, rank: int | None, more: bool = True) -> list[Reason]:
        """What is missing of a claim; if nothing is (and there is no other reason), who else is to have it first."""
        found = self._cx.ledger.reasons(claim, self._all_holders())
        if found or not more:
            return found
        reserved = self._cx.gate.reserved
        if not found and reserved is not None and not mine and not self._cx.ledger.fits(reserved.claim):
            name = self._state.name_of(reserved.run, *self._state.runs[reserved.run].place(reserved.low))
            found.append(Reason("reservation", "host", holders=(name,)))
        if not found and rank is not None and rank > 1:
            first = self._order[0]
            name = run_text(first.run)
            found.append(Reason("behind", "queue", rank, 1, (name,)))
        return found

    def _all_holders(self) -> list[tuple[str, Claim]]:
        """Who holds which claim; made for the first ready row that is asked for, as the same for all of them."""
        if self._holders is None:
            self._holders = []
            for attempt in self._state.holding():
                name = self._state.name_of(attempt.run, attempt.task, attempt.index)
                self._holders.append((name, attempt.held))
        return self._holders
