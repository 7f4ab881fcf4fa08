"""How long does one wait: for a first start, for a successor's, for a key's effect, for a verb, for all at once?"""

import itertools
import subprocess
import sys
import time

from benchmarks import lab
from benchmarks.peers.kit import Work
from benchmarks.process_tasks import as_workflow, chain
from engine.model.ids import parse_run, run_text
from engine.model.instants import from_text
from engine.protocol.messages import Act, Done, GetRun, ListTasks
from engine.protocol.rows import RunRow, TaskRow
from orchctl.client.session import Session, new_request_id, typed
from orchctl.commands.submitting import definition_of, submit_run

ONE = as_workflow("one", Work(parents=[[]]))
LONG = "name: long\ntasks:\n  t:\n    run: [sleep, '86400']\n    for_each: '{{ range(50) }}'\n"
VERBS = (("runs",), ("show", "r1"), ("engine", "status"), ("--help",))
BETWEEN_KEYS_S = 0.3
"""As fast as a person looks and presses, so that no paint is put off by the one before."""


def submit_to_start(session: Session, definition: bytes, rounds: int) -> list[float]:
    """Milliseconds from sending a definition of one process to its attempt's start."""
    found: list[float] = []
    for _ in range(rounds):
        sent_ns = time.time_ns()
        run = submit_run(session, "", definition, {})
        lab.finished(session, run, 60)
        (task,) = typed(session.rows(ListTasks(run=run)).rows, TaskRow)
        assert task.started_at is not None
        found.append((from_text(task.started_at) - sent_ns) / 1e6)
    return found


def exit_to_successor(bench: lab.Engine, hops: int) -> list[float]:
    """Milliseconds from the end of each task of a chain to the start of the next, both on the engine's clock."""
    run = bench.rows("run", str(bench.file("chain.yaml", as_workflow("chain", Work(parents=chain(hops))))))[-1]["run"]
    with bench.session() as session:
        rows = typed(list(session.pages(ListTasks(run=parse_run(run)))), TaskRow)
    ends = [(from_text(row.started_at or ""), from_text(row.finished_at or "")) for row in rows]
    ends.sort()
    return [(start - end) / 1e6 for (_, end), (start, _) in itertools.pairwise(ends)]


def key_to_effect(bench: lab.Engine, presses: int) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds from `c` to its question, from `p` to the run's new status at another client, and to its paint."""
    from benchmarks.screen import console  # needs pyte, which the other questions do not

    moves: list[float] = []
    effects: list[float] = []
    paints: list[float] = []
    run = parse_run(bench.rows("submit", str(bench.file("long.yaml", LONG)))[0]["run"])
    with bench.session() as session, console(bench, run_text(run)) as screen:
        screen.until(lambda text: "running" in text and "long" in text)
        for press in range(presses):
            wanted = "paused" if press % 2 == 0 else "running"
            screen.settle(BETWEEN_KEYS_S)
            begin = time.perf_counter()
            screen.type("c")
            moves.append((screen.until(lambda text: "Cancel:" in text) - begin) * 1e3)
            screen.type("n")
            screen.until(lambda text: "Cancel:" not in text)
            screen.settle(BETWEEN_KEYS_S)
            begin = time.perf_counter()
            screen.type("p")
            lab.until(lambda word=wanted: session.one(GetRun(run=run), RunRow)[0].status == word, wanted, 10, every_s=0)
            effects.append((time.perf_counter() - begin) * 1e3)
            paints.append((screen.until(lambda text, word=wanted: word in text.splitlines()[0]) - begin) * 1e3)
        session.ask(Act(request_id=new_request_id(), verb="kill", run=run), Done)
    return moves, effects, paints


def console_start(bench: lab.Engine) -> float:
    """Milliseconds from the start of `orchctl console` to a screen with the runs on it."""
    from benchmarks.screen import console

    begin = time.perf_counter()
    with console(bench) as screen:
        return (screen.until(lambda text: "one" in text and "leave" in text) - begin) * 1e3


def verb(bench: lab.Engine, *words: str) -> float:
    """Milliseconds of a whole verb."""
    argv = [*lab.ORCHCTL, *words]
    return lab.timed(lambda: subprocess.run(argv, env=bench.environment, capture_output=True, check=True)) * 1e3


def python() -> float:
    return lab.timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)) * 1e3


def from_nothing() -> float:
    """Seconds of a whole `orchctl run` of one `true` in a home where no engine runs."""
    with lab.home() as bench:
        flow = bench.file("one.yaml", ONE)
        return lab.timed(lambda: bench.call("run", str(flow)))


def cold_starts(bench: lab.Engine, rounds: int) -> list[lab.Record]:
    """Verbs and an empty Python in turns, and what each verb takes above it."""
    ways = {f"orchctl {' '.join(words)}": lambda words=words: verb(bench, *words) for words in VERBS}
    figures = lab.interleaved({**ways, "python -c pass": python}, rounds)
    bare = figures["python -c pass"]
    above = {name: [a - b for a, b in zip(figures[name], bare, strict=True)] for name in ways}
    return [
        *lab.compare("cold start of a verb, whole", "ms", figures),
        *lab.compare("cold start of a verb, above python -c pass", "ms", above),
    ]


def run(options: lab.Options) -> list[lab.Record]:
    """Milliseconds; medians, and what 99 % do not exceed."""
    rounds, presses, nothing = (10, 6, 2) if options.quick else (300, 100, 10)
    with lab.engine() as bench, bench.session() as session:
        flow = bench.file("one.yaml", ONE)
        definition = definition_of(str(flow))
        assert definition is not None
        submit_to_start(session, definition, 2)
        found = lab.spread("submit to first start", "ms", submit_to_start(session, definition, rounds))
        found += lab.spread("exit to successor's start", "ms", exit_to_successor(bench, rounds))
        found += cold_starts(bench, max(rounds // 10, 5))
        starts = [console_start(bench) for _ in range(max(presses // 10, 2))]
        found += lab.compare("cold start of the console, to its runs", "ms", {"orchctl": starts})
        moves, effects, paints = key_to_effect(bench, presses)
    found += lab.spread("key to paint (c asks)", "ms", moves)
    found += lab.spread("key to effect (p pauses, at another client)", "ms", effects)
    found += lab.spread("key to paint of the effect", "ms", paints)
    whole = [from_nothing() for _ in range(nothing)]
    return [*found, *lab.compare("no engine running: orchctl run of one true", "s", {"orchctl": whole})]
