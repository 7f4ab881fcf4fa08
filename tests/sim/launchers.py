"""The processes of the fake world: what launchers and their attempts do, and what they remember over a crash.

An attempt is started at most once; its end stays in the spool until the engine acknowledges it. Reports may come twice
and late. A launcher that dies takes its attempts with it: they are lost, or it is proved that they never began.
"""

from dataclasses import dataclass, field
from random import Random

from engine.core.effects import StartAttempt
from engine.core.events import (
    AttemptExited,
    AttemptLost,
    AttemptNeverStarted,
    AttemptResumed,
    AttemptStarted,
    AttemptSuspended,
    External,
    Measured,
    RowsReturned,
)  # fmt: skip
from engine.model.instants import SECOND
from engine.model.status import SUCCESS, Outcome, OutcomeKind
from tests.sim.blocks import ENDLESS_NS, Block

_ENDS = (
    Outcome(OutcomeKind.FAILED, exit_code=1),
    Outcome(OutcomeKind.FAILED, exit_code=2),
    Outcome(OutcomeKind.SIGNALLED, signal=11),
    Outcome(OutcomeKind.TIMED_OUT),
    Outcome(OutcomeKind.OVER_QUOTA, which="memory", used=2, limit=1),
    Outcome(OutcomeKind.NOT_STARTED, why="no such file"),
)
_SIZES = (0, 100 * 2**20, 2**30)
_RESULTS = (None, b"[1,2]", b"[]", b"[7]", b'{"a":1}', b"3", b"{broken")
_MEASURED = (None, Measured({"x": 1.0}), Measured({}, ("a note",), marks=("others used 1.00 CPUs",)))


@dataclass
class Child:
    """One attempt's tree. `ends_ns` is when it will end by itself; `end` is what is spooled when it has."""

    start: StartAttempt
    ends_ns: int
    started: bool = False
    told_to_stop: bool = False
    end: External | None = None
    length_ns: int = 0
    after: int = 0
    frozen_ns: int = 0
    """Since when it stands still."""
    turn: int = 0
    """The newest order to stand still or to go on."""
    over: Outcome | None = None
    """Its launcher ends it by itself, for this."""


@dataclass
class Launchers:
    """All attempts that were ever sent out and are not acknowledged."""

    rng: Random
    failing: float
    children: dict[int, Child] = field(default_factory=dict[int, Child])
    blocks: dict[int, Block] = field(default_factory=dict[int, Block])
    ever: set[int] = field(default_factory=set[int])
    recalled: list[External] = field(default_factory=list[External])
    inbox: list[tuple[int, int, bool]] = field(default_factory=list[tuple[int, int, bool]])
    """Orders to stand still or to go on that were not read yet: attempt, number of the order, which of both."""
    mean_s: float = 4.0

    def start(self, effect: StartAttempt, now_ns: int) -> None:
        """Take the order. Raises AssertionError for an attempt that was sent out before."""
        assert effect.attempt not in self.ever, f"attempt {effect.attempt} is started twice"
        self.ever.update(range(effect.attempt, effect.attempt + effect.count))
        if effect.count > 1:
            self.blocks[effect.attempt] = Block(effect)
            return
        length_ns = round(self.rng.expovariate(1 / self.mean_s) * SECOND)
        ends_ns = ENDLESS_NS if self.rng.random() < 0.03 else now_ns + length_ns
        child = self.children[effect.attempt] = Child(effect, ends_ns, length_ns=length_ns, after=effect.claim_from)
        if self._waits(child):
            child.ends_ns = ENDLESS_NS

    def _in_use(self, number: int) -> bool:
        """Whether the claim that is to be taken over still is in use."""
        before, block = self.children.get(number), self.blocks.get(number)
        return (before is not None and before.end is None) or (block is not None and not block.over)

    def _waits(self, child: Child) -> bool:
        return not child.started and child.end is None and self._in_use(child.after)

    def _may_begin(self, child: Child) -> bool:
        """Whether it waited for a claim and its turn has come."""
        return bool(child.after) and child.end is None and not child.started and not self._waits(child)

    def _may_start(self, block: Block) -> bool:
        return not block.started and not block.over and not self._in_use(block.after)

    def recall(self, attempt: int) -> None:
        """An order of which nothing has begun is given back."""
        block = self.blocks.get(attempt)
        if block is not None:
            self.recalled += block.recall()
            if block.over and not block.started:
                self._close_gap(attempt, block.after)
            return
        child = self.children.get(attempt)
        if child is not None and self._waits(child):
            self._give_back(attempt, child, "recalled")

    def _give_back(self, attempt: int, child: Child, why: str) -> None:
        del self.children[attempt]
        self.recalled.append(AttemptNeverStarted(attempt, why))
        self._close_gap(attempt, child.after)

    def _close_gap(self, gone: int, before: int) -> None:
        for child in (*self.children.values(), *self.blocks.values()):
            if child.after != gone:
                continue
            if child.start.on_success and isinstance(child, Child):
                self._give_back(child.start.attempt, child, "what it was to follow is gone")
            else:
                child.after = before

    def _in_vain(self, child: Child) -> bool:
        """Whether it waited for the success of an attempt that has ended in another way."""
        if not child.start.on_success or child.started or child.end is not None or not child.after:
            return False
        before = self.children.get(child.after)
        if before is None or before.end is None:
            return before is None
        end = before.end
        return not isinstance(end, AttemptExited) or end.outcome != SUCCESS or end.result is not None

    def stop(self, attempt: int, now_ns: int, *, kill: bool, row: int = 0) -> None:
        """It ends soon; politely asked, it may also end well."""
        self._obey(now_ns, all_of_them=True)
        if attempt in self.blocks:
            self.blocks[attempt].stop(row, now_ns, kill=kill, heeds=self.rng.random() < 0.8)
            return
        child = self.children.get(attempt)
        if child is None or child.end is not None:
            return
        if self._waits(child) or self._in_vain(child):
            child.end = AttemptExited(attempt, now_ns, Outcome(OutcomeKind.CANCELLED, why="recalled"))
            self._close_gap(attempt, child.after)
            self.recalled.append(child.end)
        else:
            self._thaw(child, now_ns)
            child.told_to_stop = kill or child.ends_ns == ENDLESS_NS or self.rng.random() < 0.8
            child.ends_ns = now_ns if kill else min(child.ends_ns, now_ns + 10 * SECOND)

    def freeze(self, attempt: int, turn: int, *, frozen: bool) -> None:
        """Take the order, to obey it soon."""
        self.inbox.append((attempt, turn, frozen))

    def _obey(self, now_ns: int, *, all_of_them: bool) -> None:
        """Read orders, the oldest first."""
        while self.inbox and (all_of_them or self.rng.random() < 0.5):
            attempt, turn, frozen = self.inbox.pop(0)
            self._freeze(attempt, now_ns, turn, frozen=frozen)

    def _freeze(self, attempt: int, now_ns: int, turn: int, *, frozen: bool) -> None:
        """It stands still, or goes on; the answer says which, whatever it was before."""
        found = self.children.get(attempt) or self.blocks.get(attempt)
        if found is None or not found.started or (found.over if isinstance(found, Block) else found.end is not None):
            return
        found.turn = turn
        if frozen and not (isinstance(found, Child) and (found.over or found.told_to_stop)):
            found.frozen_ns = found.frozen_ns or now_ns
            self.recalled.append(self._suspended(attempt, found, now_ns))
        else:
            self._thaw(found, now_ns)
            self.recalled.append(AttemptResumed(attempt, now_ns, turn))

    @staticmethod
    def _suspended(attempt: int, found: Child | Block, now_ns: int) -> AttemptSuspended:
        """What it occupies is its own: some are light, some are not."""
        return AttemptSuspended(attempt, now_ns, found.turn, _SIZES[attempt % len(_SIZES)])

    def moving(self, attempt: int) -> bool:
        """Whether the attempt runs, and not because its launcher ends it."""
        found = self.children.get(attempt) or self.blocks.get(attempt)
        if found is None or not found.started or found.frozen_ns:
            return False
        return not found.over if isinstance(found, Block) else found.end is None and found.over is None

    @staticmethod
    def _thaw(found: Child | Block, now_ns: int) -> None:
        if found.frozen_ns and found.ends_ns != ENDLESS_NS:
            found.ends_ns += now_ns - found.frozen_ns
        found.frozen_ns = 0

    def acknowledge(self, attempt: int) -> None:
        self.children.pop(attempt, None)
        block = self.blocks.pop(attempt, None)
        assert block is None or block.over, f"block {attempt} is acknowledged although rows of it may run"

    def due_ns(self) -> int | None:
        """When something will happen next."""
        if self.recalled or self.inbox or any(self._may_begin(child) for child in self.children.values()):
            return 0
        if any(self._may_start(block) for block in self.blocks.values()):
            return 0
        open_ends = [child.ends_ns for child in self.children.values() if child.end is None and not child.frozen_ns]
        moving = [block for block in self.blocks.values() if block.started and not block.frozen_ns]
        open_ends += [block.ends_ns for block in moving if not block.over]
        return min((ends_ns for ends_ns in open_ends if ends_ns != ENDLESS_NS), default=None)

    def reports(self, now_ns: int) -> list[External]:
        """What has happened since, in some order, with repetitions."""
        self._obey(now_ns, all_of_them=False)
        found, self.recalled = self.recalled, []
        for block in self.blocks.values():
            if self._may_start(block):
                found.append(block.begin(now_ns, self.rng, self.mean_s * SECOND))
            elif block.started and not block.frozen_ns:
                found += block.advance(now_ns, self.rng, self.mean_s * SECOND, self.failing)
        for number, child in list(self.children.items()):
            if number not in self.children or self._waits(child):
                continue
            if self._in_vain(child):
                self._give_back(number, child, "what it was to follow did not succeed")
                continue
            if self._may_begin(child):
                child.ends_ns = now_ns + child.length_ns
                child.after = 0
            if child.end is not None:
                if self.rng.random() < 0.05:
                    found.append(child.end)
                continue
            if child.frozen_ns and self.rng.random() < 0.02:
                self._thaw(child, now_ns)
                child.over, child.ends_ns = _ENDS[4], now_ns + SECOND
                found.append(AttemptResumed(number, now_ns, child.turn))
            if child.frozen_ns:
                continue
            if not child.started and (self.rng.random() < 0.7 or child.ends_ns <= now_ns):
                child.started = True
                found.append(AttemptStarted(number, now_ns, 1000 + number, number))
            if child.ends_ns <= now_ns:
                child.end = self._end(number, child, now_ns)
                found.append(child.end)
                if self.rng.random() < 0.1:
                    found.append(AttemptStarted(number, now_ns, 1000 + number, number))
        return found

    def _end(self, number: int, child: Child, now_ns: int) -> External:
        if child.told_to_stop:
            return AttemptExited(number, now_ns, Outcome(OutcomeKind.CANCELLED))
        if child.over is not None:
            return AttemptExited(number, now_ns, child.over)
        if self.rng.random() < self.failing:
            return AttemptExited(number, now_ns, self.rng.choice(_ENDS))
        result = self.rng.choice(_RESULTS) if self.rng.random() < 0.6 else b"[1,2]"
        if any(other.after == number and other.start.on_success for other in self.children.values()):
            result = result if self.rng.random() < 0.2 else None
        measured = self.rng.choice(_MEASURED) if child.start.campaign is not None else None
        return AttemptExited(number, now_ns, SUCCESS, result=result, measured=measured)

    def die(self, now_ns: int) -> list[External]:
        """One launcher dies with about half of all attempts."""
        found: list[External] = []
        for block in self.blocks.values():
            if self.rng.random() < 0.5:
                found += block.die(now_ns)
        for number, child in list(self.children.items()):
            if child.end is None and self.rng.random() < 0.5:
                if child.started:
                    child.end = AttemptLost(number, now_ns, "its launcher died")
                    found.append(child.end)
                else:
                    del self.children[number]
                    found.append(AttemptNeverStarted(number, "its launcher died before it began"))
        return found

    def reboot(self) -> None:
        """The host is restarted: nothing is left, not even the spool."""
        self.children.clear()
        self.blocks.clear()

    def child_again(self, number: int, child: Child, now_ns: int) -> list[External]:
        """What a new engine is told of an attempt that runs."""
        started = AttemptStarted(number, now_ns, 1000 + number, number)
        return [started, self._suspended(number, child, now_ns)] if child.frozen_ns else [started]

    def inventory(self, blocks: dict[int, int], now_ns: int, *, rebooted: bool) -> list[External]:
        """What a new engine is told of the blocks that it expects (done rows by number), and of others. Orders that
        nobody has read are lost."""
        self.inbox.clear()
        found: list[External] = []
        for number, done in blocks.items():
            block = self.blocks.get(number)
            if block is not None and block.started:
                found.append(block.begun(now_ns))
                if block.frozen_ns:
                    found.append(self._suspended(number, block, now_ns))
            if block is not None:
                found += block.everything(now_ns, self.rng)
            elif not rebooted:
                found.append(RowsReturned(number, done, "no launcher has it"))
        for number, block in self.blocks.items():
            if number not in blocks:
                block.die(now_ns)
                found += block.everything(now_ns, self.rng) or [RowsReturned(number, 0, "nobody wants it")]
        return found
