"""A block in the fake world: a worker that runs rows one after another, and a page that remembers what became of them.

Everything that was ever told can be told again, in other pieces: after a crash of the engine the launcher reads the
page from its first row.
"""

from dataclasses import dataclass, field
from random import Random

from engine.core.effects import StartAttempt
from engine.core.events import AttemptExited, AttemptLost, BlockStarted, External, LogSlice, RowsReturned, RowsSucceeded
from engine.model.status import SUCCESS, Outcome, OutcomeKind
from tests.support.stories import succeeded

ENDLESS_NS = 2**62
_ENDS = (
    Outcome(OutcomeKind.FAILED, exit_code=1),
    Outcome(OutcomeKind.FAILED, exit_code=2),
    Outcome(OutcomeKind.SIGNALLED, signal=11),
)
_CANCELLED = Outcome(OutcomeKind.CANCELLED)


@dataclass
class Block:
    """`rows` are the ends so far, None for one that ended well and belongs into a span; `limit` is where rows end that
    may begin; `ends_ns` is when the row that runs will end.
    """

    start: StartAttempt
    ends_ns: int = 0
    started: bool = False
    limit: int = 0
    rows: list[External | None] = field(default_factory=list["External | None"])
    skips: set[int] = field(default_factory=set[int])
    stopped: bool = False
    after: int = 0
    frozen_ns: int = 0
    """Since when its worker stands still."""
    turn: int = 0
    """The newest order to stand still or to go on."""

    def __post_init__(self) -> None:
        self.limit = self.start.count
        self.after = self.start.claim_from

    @property
    def number(self) -> int:
        return self.start.attempt

    @property
    def over(self) -> bool:
        return len(self.rows) >= self.limit

    def begin(self, now_ns: int, rng: Random, mean_ns: float) -> External:
        """A worker takes the block."""
        self.started = True
        self.after = 0
        self._next(now_ns, rng, mean_ns)
        return self.begun(now_ns)

    def begun(self, now_ns: int) -> External:
        return BlockStarted(self.number, now_ns, 1000 + self.number, log=LogSlice("r1/workers/0-1.log", 0))

    def _next(self, now_ns: int, rng: Random, mean_ns: float) -> None:
        self.stopped = False
        self.ends_ns = ENDLESS_NS if rng.random() < 0.01 else now_ns + round(rng.expovariate(1 / mean_ns))

    def advance(self, now_ns: int, rng: Random, mean_ns: float, failing: float) -> list[External]:
        """What has ended since, each row when its time has come."""
        first = len(self.rows)
        while self.started and not self.over and self.ends_ns <= now_ns:
            row, at_ns = len(self.rows), self.ends_ns
            end: External | None = None
            if row in self.skips or self.stopped:
                end = self._exit(row, at_ns, _CANCELLED)
            elif rng.random() < failing / 4:
                end = self._exit(row, at_ns, rng.choice(_ENDS))
            elif rng.random() < 0.1:
                end = self._exit(row, at_ns, SUCCESS, b"[1,2]")
            self.rows.append(end)
            if not self.over:
                self._next(at_ns, rng, mean_ns)
                if len(self.rows) in self.skips:
                    self.ends_ns = at_ns
        return self.told(first, now_ns, rng)

    def _exit(self, row: int, at_ns: int, outcome: Outcome, result: bytes | None = None) -> External:
        return AttemptExited(
            self.number + row, at_ns, outcome, result=result, block=self.number, began_ns=max(at_ns - 1000, 1)
        )

    def told(self, first: int, now_ns: int, rng: Random) -> list[External]:
        """The ends from a row on, those that ended well in spans of random length."""
        found: list[External] = []
        while first < len(self.rows):
            end = self.rows[first]
            if end is not None:
                found.append(end)
                first += 1
                continue
            stop = first + 1
            while stop < len(self.rows) and self.rows[stop] is None and rng.random() < 0.8:
                stop += 1
            found.append(self._span(first, stop - first, now_ns))
            first = stop
        return found

    def _span(self, first: int, count: int, now_ns: int) -> RowsSucceeded:
        results = tuple(b"[%d]" % (row % 3) if row % 2 else None for row in range(first, first + count))
        return succeeded(self.start, first, count, now_ns // 1000 - count, 1, results=results)

    def everything(self, now_ns: int, rng: Random) -> list[External]:
        """The whole page, for an engine that knows nothing yet."""
        found = self.told(0, now_ns, rng)
        if self.limit < self.start.count:
            found.append(RowsReturned(self.number, self.limit, "never begun"))
        return found

    def recall(self, why: str = "recalled") -> list[External]:
        """Rows that have not begun never will."""
        begun = len(self.rows) + (1 if self.started and not self.over else 0)
        if begun >= self.limit:
            return []
        self.limit = begun
        return [RowsReturned(self.number, begun, why)]

    def stop(self, row: int, now_ns: int, *, kill: bool, heeds: bool) -> None:
        """A row that runs ends soon, as cancelled if it heeds; one that has not begun never will."""
        if row > len(self.rows) or not self.started:
            self.skips.add(row)
        elif row == len(self.rows) and not self.over:
            if self.frozen_ns and self.ends_ns != ENDLESS_NS:
                self.ends_ns += now_ns - self.frozen_ns
            self.frozen_ns = 0
            self.stopped = kill or heeds or self.ends_ns == ENDLESS_NS
            self.ends_ns = now_ns if kill else min(self.ends_ns, now_ns + 10**9)

    def die(self, now_ns: int) -> list[External]:
        """Its launcher is gone: the row that ran is lost, those behind it never began."""
        found: list[External] = []
        if self.started and not self.over:
            lost = AttemptLost(self.number + len(self.rows), now_ns, "its launcher died", self.number)
            self.rows.append(lost)
            found.append(lost)
        if len(self.rows) < self.limit:
            self.limit = len(self.rows)
            found.append(RowsReturned(self.number, self.limit, "its launcher died"))
        return found
