"""Ours and the peers at the same work, in the same rounds.

A round goes through all questions with ours and the commands in turn, then opens each service once and goes through
the questions with it alone: a service that idles beside the others would cost them. A peer that is slow gets fewer
tasks, so that each turn takes about as long; rates and CPU are per task.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks import lab, peers
from benchmarks.cpu import Sample
from benchmarks.peers.kit import Peer, PeerFailed, Run, Settings, Work

LEAST_TASKS = 20
SERVICES_EVERY = 2
"""Services start slowly, and nothing is as close to them as make is to us: every second round is enough."""


@dataclass(frozen=True)
class Question:
    """`kind` is what peers answer to, `work` makes the work for so many tasks."""

    label: str
    kind: str
    count: int
    work: Callable[[int], Work]

    def share(self, peer: Peer, budget_s: float) -> Work:
        """What a peer gets: as much as it does in about the time."""
        return self.work(min(self.count, max(LEAST_TASKS, round(peer.questions[self.kind] * budget_s))))


@dataclass(frozen=True)
class Turn:
    """One contender's sample of one question."""

    question: Question
    contender: str
    tasks: int
    sample: Sample
    version: str = ""


@dataclass(frozen=True)
class Ours:
    """One way in which we do a question's work."""

    contender: str
    question: Question
    run: Run


def hold(questions: list[Question], ours: list[Ours], options: lab.Options, rounds: int, budget_s: float) -> list[Turn]:
    """All turns of all rounds. Peers that are not there are told of and left out."""
    settings = Settings(lab.SLOTS, options.python)
    versions = _peers({question.kind for question in questions}, options, settings)
    commands = [peer for peer in versions if not peer.service]
    services = [peer for peer in versions if peer.service]
    turns: list[Turn] = []
    failed: set[str] = set()
    with ExitStack() as stack:
        opened = [(peer, stack.enter_context(peer.opened(settings))) for peer in commands]
        for number in range(rounds):
            lab.say(f"round {number + 1} of {rounds}")
            for question in questions:
                work = question.work(question.count)
                turns += [
                    Turn(question, way.contender, work.count, way.run(work)) for way in ours if way.question is question
                ]
                for peer, run in opened:
                    if peer.name not in failed:
                        with _spared(peer, failed):
                            turns += _turns(peer, versions[peer], run, [question], budget_s)
            for peer in services if number % SERVICES_EVERY == 0 else []:
                if peer.name not in failed:
                    with _spared(peer, failed), peer.opened(settings) as run:
                        turns += _turns(peer, versions[peer], run, questions, budget_s)
    return turns


@contextmanager
def _spared(peer: Peer, failed: set[str]) -> Iterator[None]:
    """A peer's failure is its own: it must not take the rest along."""
    try:
        yield
    except PeerFailed as why:
        lab.say(f"{peer.name} is left out from here on: {why}")
        failed.add(peer.name)


def _turns(peer: Peer, version: str, run: Run, questions: Iterable[Question], budget_s: float) -> list[Turn]:
    works = [(question, question.share(peer, budget_s)) for question in questions if question.kind in peer.questions]
    return [Turn(question, peer.name, work.count, run(work), version) for question, work in works]


def _peers(kinds: set[str], options: lab.Options, settings: Settings) -> dict[Peer, str]:
    """Those that are there, in the order asked for, with their versions; the others are told of."""
    found: dict[str, Peer] = {}
    told: set[str] = set()
    for kind in sorted(kinds):
        there, missing = peers.find(options.peers, kind, settings)
        found |= {peer.name: peer for peer in there}
        told |= set(missing)
    for sentence in sorted(told):
        lab.say(sentence)
    return {found[name]: found[name].version(settings) for name in options.peers if name in found}


def records(turns: list[Turn], question: Question) -> list[lab.Record]:
    """Rates, CPU with the tasks' own, and CPU without it where that is known; ours is the first contender."""
    mine = [turn for turn in turns if turn.question is question]
    names = list(dict.fromkeys(turn.contender for turn in mine))
    details = {
        "tasks": {turn.contender: turn.tasks for turn in mine},
        "versions": {turn.contender: turn.version for turn in mine if turn.version},
    }

    def figures(value: Callable[[Turn], float | None]) -> dict[str, list[float]]:
        found = {name: [value(turn) for turn in mine if turn.contender == name] for name in names}
        return {name: [x for x in values if x is not None] for name, values in found.items() if None not in values}

    chain = question.kind == "chain"
    unit = "ms/hop" if chain else "tasks/s"
    speed = figures(lambda turn: turn.sample.seconds / turn.tasks * 1e3 if chain else turn.tasks / turn.sample.seconds)
    cpu = figures(lambda turn: turn.sample.cpu_s / turn.tasks * 1e6)
    own = figures(lambda turn: None if turn.sample.own_s is None else turn.sample.own_s / turn.tasks * 1e6)
    found = lab.compare(question.label, unit, speed, **details)
    found += lab.compare(f"{question.label}: CPU, tasks included", "us/task", cpu, **details)
    if own:
        found += lab.compare(f"{question.label}: CPU, tasks left out", "us/task", own, **details)
    return found
