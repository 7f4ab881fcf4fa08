"""What a handler works on: the state, what is derived from it, and the changes of the batch in hand.

Handlers never touch a status or a record directly: they go through the few verbs here, which consult the transition
tables, keep the counts and name what has become dirty.
"""

from heapq import heappop, heappush
from posixpath import join

import msgspec

from engine.admission.gate import Gate
from engine.admission.lanes import Lanes
from engine.admission.ledger import Ledger
from engine.admission.pressure import Bounds, Pressure
from engine.core import transitions
from engine.core.changes import AuditEntry, Changes
from engine.core.effects import Answer, Refusal, StopAttempt
from engine.core.events import AnyEvent, Ask, RunStatusChanged
from engine.core.state import BACKFILL, CHUNK_ROWS, Attempt, EngineState, RunState, chunks_of
from engine.model.errors import EngineError, IllegalTransition, NotFound
from engine.model.resources import Claim
from engine.model.status import RunStatus, TaskStatus
from engine.model.workflow import Policy, Quota
from engine.planning.plan import Plan
from engine.scheduling.fair_queue import Entry, FairQueue
from engine.scheduling.fair_share import Shares
from engine.scheduling.retry import grown

EARLY_MAX = 100_000
"""So many numbers of attempts may be in use that a crash makes the state forget; the next life begins above them."""
REQUESTS_KEPT = 10_000
WHYS_KEPT = 1_000
CANCELLED, KILLED, PREEMPTED = "cancelled", "killed", "preempted"
"""How an attempt that was told to stop was told so: politely, at once, or to make room for another."""
_STATUSES = tuple(TaskStatus)


class Context:
    """One machine's working set. `changes`, `now_ns` and `wall_ns` belong to the batch in hand."""

    def __init__(self, state: EngineState, bounds: Bounds = Bounds()) -> None:  # noqa: B008 - frozen
        self.state = state
        self.shares = Shares(state.weights)
        self.queue = FairQueue(self.shares)
        self.ledger = Ledger(state.capacity)
        self.gate = Gate(self.ledger)
        self.pressure = Pressure(bounds)
        self.lanes = Lanes()
        self.lanes_due_ns = 0
        """When the lanes are to be looked at for holders that are overdue; 0: nobody waits in one."""
        self.durations: dict[tuple[str, str | int], int] = {}
        """What attempts of a version's task, or of its program, take (ns); see `ahead`."""
        self.unknown: dict[tuple[str, str | int], list[Entry]] = {}
        """Entries that were queued before it was known how long they take, by what they are like."""
        self.took_before: dict[str, list[int]] = {}
        """By version, what each task took in the newest run that succeeded."""
        self.timers: list[tuple[int, int, int]] = []
        """Heap of (due_ns, run, row) of rows that back off."""
        self.unsettled: list[tuple[RunState, int]] = []
        """Tasks whose upstream has changed and which are to be looked at before the batch ends."""
        self.parallel_parked: dict[tuple[int, int], list[Entry]] = {}
        """By (run, task): entries that wait for a sibling to end, because of `max_parallel`."""
        self.claims: dict[tuple[str, int], Claim] = {}
        self.blockable: dict[tuple[str, int], bool] = {}
        """By (version, task): whether rows of the task may be ordered as a block."""
        self.returning: dict[int, Entry] = {}
        """By attempt: the entries of those that stand still and wait for their CPUs, to go on."""
        self.settling: set[int] = set()
        """Attempts that stand still and give their CPUs back as soon as nobody waits to take over their claim."""
        self.backfills_due = {number for number, backfill in state.backfills.items() if not backfill.status.finished}
        """Backfills that may have room for another run, or be done."""
        self.changes = Changes(state.meta.revision, 0)
        self.early_below = 0
        """Attempts below this number may be ordered before the batch in hand is on disk."""
        self.now_ns = 0
        self.wall_ns = 0
        self.draining = False
        self.held_back = False
        """Whether something might start but for the pressure on the host, which lets one start now and then."""

    # --- journal and answers ----------------------------------------------------------------------------------------

    def note(self, event: AnyEvent) -> None:
        """Write a fact or a decision to the journal."""
        self.changes.journal.append(event)

    def accept(self, ask: Ask, verb: str, target: str, body: dict[str, object], note: str = "") -> None:
        """Answer a request that was carried out, and write it to the audit."""
        self.changes.audit.append(AuditEntry(ask.actor, verb, target, "accepted", note))
        self._remember(ask, body)
        if ask.ticket:
            self.changes.effects.append(Answer(ask.ticket, body=body))

    def refuse(self, ask: Ask, verb: str, target: str, error: EngineError, note: str = "") -> None:
        """Answer a request that changed nothing, and write that to the audit."""
        self.changes.audit.append(AuditEntry(ask.actor, verb, target, error.code, note))
        if ask.ticket:
            refusal = Refusal(error.code, error.sentence, error.hint)
            self.changes.effects.append(Answer(ask.ticket, refusal=refusal))

    def repeated(self, ask: Ask) -> bool:
        """Whether this request was carried out before; if so it gets the same answer again."""
        body = self.state.requests.get(ask.request_id) if ask.request_id else None
        if body is None:
            return False
        if ask.ticket:
            self.changes.effects.append(Answer(ask.ticket, body=body))
        return True

    def _remember(self, ask: Ask, body: dict[str, object]) -> None:
        if not ask.request_id:
            return
        requests = self.state.requests
        requests[ask.request_id] = body
        self.changes.requests[ask.request_id] = body
        while len(requests) > REQUESTS_KEPT:
            del requests[next(iter(requests))]

    # --- runs and rows ----------------------------------------------------------------------------------------------

    def run(self, number: int) -> RunState:
        """The run in memory. Raises NotFound."""
        run = self.state.runs.get(number)
        if run is None:
            raise NotFound(f"there is no run r{number}", "`orchctl runs` lists them")
        return run

    def touch(self, run: RunState, row: int) -> None:
        """The row's record and the run's counts have changed."""
        self.changes.chunks.add((run.run, row // CHUNK_ROWS))
        self.changes.runs.add(run.run)

    def move_run(self, run: RunState, cause: str, *, quiet: bool = False) -> RunStatus:
        """Take the run to the status that its table names. Raises IllegalTransition."""
        header = run.header
        header.status = transitions.after(transitions.RUN, header.status, cause)
        self.changes.runs.add(run.run)
        if not quiet:
            self.note(RunStatusChanged(run.run, header.status))
        return header.status

    def move_row(self, run: RunState, row: int, task: int, cause: str) -> TaskStatus:
        """Take the row to the status that its table names. Raises IllegalTransition."""
        status = transitions.after(transitions.TASK, _STATUSES[run.status[row]], cause)
        run.set_status(row, task, status)
        self.touch(run, row)
        return status

    def move_rows(self, run: RunState, rows: range, task: int, before: TaskStatus, after: TaskStatus) -> None:
        """Take consecutive rows of an expanded task, all of one status, to another one that may follow it."""
        if run.status.count(before, rows.start, rows.stop) != len(rows):
            raise IllegalTransition(f"not all of {run.text(task, 0)} and the rows behind it are {before.text}")
        run.set_rows(rows, task, before, after)
        self.changes.chunks.update((run.run, chunk) for chunk in chunks_of(rows))
        self.changes.runs.add(run.run)

    def explain_row(self, run: RunState, key: int, why: str) -> None:
        """Keep a sentence for a row (or ~task); beyond a bound only the journal has it."""
        if why and (key in run.header.whys or len(run.header.whys) < WHYS_KEPT):
            run.header.whys[key] = why[:500]

    # --- the ready queue --------------------------------------------------------------------------------------------

    def enqueue(self, run: RunState, task: int, rows: range) -> None:
        """Rows (all ready, consecutive) join the queue."""
        policy = run.plan.policy(task)
        claim = self.claim_of(run.plan, run.plan.policies[task])
        if run.header.grown and len(rows) == 1:
            claim = self.grown_of(run, task, rows.start)[0]
        known_ns = self.durations.get(run.alike(task), 0)
        entry = self.queue.push(
            run.run, task, rows, claim, priority=run.priority(task), weight=run.weight(task), owner=run.owner,
            backfill=run.header.trigger == BACKFILL, expected_ns=known_ns or policy.quota.wall_ns,
        )  # fmt: skip
        if not known_ns:
            self.unknown.setdefault(run.alike(task), []).append(entry)

    def claim_of(self, plan: Plan, policy: int) -> Claim:
        """A policy's claim. Pools that the workflow declares itself go by its name too: `orders/warehouse`."""
        key = (plan.version, policy)
        claim = self.claims.get(key)
        if claim is None:
            claim = self.claims[key] = _resolve(plan, plan.workflow.policies[policy].claim)
        return claim

    def grown_of(self, run: RunState, task: int, row: int) -> tuple[Claim, Quota]:
        """Claim and quota of the row's next attempt, after the over_quota outcomes that it has had."""
        policy: Policy = run.plan.policy(task)
        claim = self.claim_of(run.plan, run.plan.policies[task])
        times = run.header.grown.get(row, {})
        return grown(policy.retry, claim, policy.quota, times, self.state.capacity)

    def refresh_pools(self, workflow: str) -> None:
        """A workflow's own pools have as many slots as the most generous version that is in use declares.

        In use are its current version and those of its unfinished runs: a newer version with fewer slots must not make
        a claim of an older run impossible.
        """
        entry = self.state.workflows.get(workflow)
        plans = [run.plan for run in self.state.runs.values() if run.header.workflow == workflow and run.unfinished]
        if entry is not None and entry.version in self.state.plans:
            plans.append(self.state.plans[entry.version])
        slots: dict[str, int] = {}
        for plan in {plan.version: plan for plan in plans if plan.workflow.pools}.values():
            for name, count in own_pools(plan).items():
                slots[name] = max(count, slots.get(name, 0))
        self.ledger.declare_pools(slots)

    # --- attempts ---------------------------------------------------------------------------------------------------

    def repeat_stops(self, attempt: Attempt) -> None:
        """Give the orders to stop again: the first may have been lost with the engine that gave it."""
        stops = attempt.stops if attempt.is_block else {0: attempt.stop} if attempt.stop else {}
        for offset, how in stops.items():
            self.changes.effects.append(StopAttempt(attempt.attempt, how == KILLED, offset))

    def withdraw(self, number: int) -> None:
        """The attempt does not wait to go on any more, nor to give its CPUs back."""
        self.settling.discard(number)
        entry = self.returning.pop(number, None)
        if entry is not None:
            self.queue.take(entry)

    # --- timers -----------------------------------------------------------------------------------------------------

    def set_timer(self, due_ns: int, run: int, row: int) -> None:
        heappush(self.timers, (due_ns, run, row))

    def due_timers(self) -> list[tuple[int, int, int]]:
        """Remove and return the timers that are due now."""
        due: list[tuple[int, int, int]] = []
        while self.timers and self.timers[0][0] <= self.now_ns:
            due.append(heappop(self.timers))
        return due


def own_pools(plan: Plan) -> dict[str, int]:
    """The slots of the pools that a workflow declares itself, by the names under which all know them."""
    return {join(plan.workflow.name, name): slots for name, slots in plan.workflow.pools}


def _resolve(plan: Plan, claim: Claim) -> Claim:
    own = dict(plan.workflow.pools)
    pools = tuple((join(plan.workflow.name, name) if name in own else name, slots) for name, slots in claim.pools)
    return msgspec.structs.replace(claim, pools=pools)
