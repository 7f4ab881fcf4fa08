"""Why is it not running? The same code that decides answers: the trigger rule, the queue, the ledger, the limits."""

from engine.core.context import Context
from engine.core.state import NOT_FINAL, EngineState, RunState
from engine.model.ids import NO_INDEX, run_text
from engine.model.resources import Claim, Reason
from engine.model.status import RunStatus, TaskStatus

_UPSTREAM_NAMED = 10


class Explainer:
    """Answers for one moment. Building it costs one walk over the ready queue's entries, the first ready row costs one
    over the live attempts; each answer is then cheap.
    """

    def __init__(self, cx: Context) -> None:
        self._cx = cx
        self._state: EngineState = cx.state
        self._order = cx.queue.ranked()
        ranks: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
        ahead = 0
        for entry in self._order:
            ranks.setdefault((entry.run, entry.task), []).append((entry.low, entry.high, ahead))
            ahead += entry.high - entry.low
        self._ranks = ranks
        self._holders: list[tuple[str, Claim]] | None = None

    def reasons(self, run: RunState, task: int, index: int) -> tuple[int | None, int | None, list[Reason]]:
        """Rank in the queue (1 is next), predicted start (ns, None: unknown) and all reasons of a row.

        A mapped task that is not expanded is asked for with NO_INDEX. A row that runs or has ended has no reasons.
        """
        expanded = run.first_row[task] >= 0
        row = run.row(task, index) if expanded else -1
        status = TaskStatus(run.status[row]) if expanded else TaskStatus.WAITING
        if status >= TaskStatus.SUCCEEDED or status is TaskStatus.RUNNING or run.task_final[task] != NOT_FINAL:
            return None, None, []
        found = self._of_run(run)
        if status is TaskStatus.WAITING:
            return None, None, found + self._upstream(run, task, index)
        if status is TaskStatus.BACKING_OFF:
            left = max(run.finished[row] - self._cx.now_ns, 0) / 1e9
            return None, run.finished[row], [*found, Reason("backing_off", "retry", left, 0)]
        rank = self._rank(run.run, task, row)
        return rank, None, found + self._of_ready(run, task, row, rank)

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

    def _rank(self, number: int, task: int, row: int) -> int | None:
        for low, high, ahead in self._ranks.get((number, task), ()):
            if low <= row < high:
                return ahead + row - low + 1
        return None

    def _of_ready(self, run: RunState, task: int, row: int, rank: int | None) -> list[Reason]:
        found: list[Reason] = []
        limit = run.max_parallel(task)
        live = run.live_of_task.get(task, 0)
        if limit and live >= limit:
            holders = [self._state.attempts[number] for number in sorted(set(run.live.values()))]
            names = [run.text(task, attempt.index) for attempt in holders if attempt.task == task]
            found.append(Reason("max_parallel", run.plan.names[task], 1, limit - live, tuple(names[:10])))
        claim = self._cx.grown_of(run, task, row)[0]
        found += self._cx.ledger.reasons(claim, self._all_holders())
        reserved = self._cx.gate.reserved
        mine = reserved is not None and reserved.run == run.run and reserved.low <= row < reserved.high
        if not found and reserved is not None and not mine and not self._cx.ledger.fits(reserved.claim):
            first = self._state.runs[reserved.run]
            name = f"{run_text(first.run)} {first.text(*first.place(reserved.low))}"
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
                run = self._state.runs[attempt.run]
                self._holders.append((f"{run_text(run.run)} {run.text(attempt.task, attempt.index)}", attempt.claim))
        return self._holders
