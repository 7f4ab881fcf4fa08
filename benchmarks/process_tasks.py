"""How many no-op processes a second: independent (W1), as shell strings, in a chain (W2), in layers (W3)?

A hop of the chain is held against make's and the time of a small durable commit of our store, measured in the same run.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import contest, lab
from benchmarks.cpu import Sample
from benchmarks.peers.kit import Work
from benchmarks.store import World
from engine.store.environment import open_environment
from engine.store.writer import Committer

SHELL = "true; true"
HOP_COMMITS, HOP_MS = 1.5, 0.5
"""The bar for a hop: make's, so many commits, and so many milliseconds."""


def independent(count: int) -> list[list[int]]:
    """The parents of each task: none."""
    return [[] for _ in range(count)]


def chain(count: int) -> list[list[int]]:
    return [[i - 1] if i else [] for i in range(count)]


def layers(count: int) -> list[list[int]]:
    """As many layers as tasks in a layer; each task has two parents in the layer before."""
    width = max(int(count**0.5), 2)
    return [
        [] if i < width else [i - width, (i // width - 1) * width + (i + 1) % width]
        for i in range(width * width)
    ]  # fmt: skip


def as_workflow(name: str, work: Work, head: str = "") -> str:
    """The YAML of explicit tasks, one for each process."""
    lines = [f"name: {name}{head}", "tasks:"]
    for i, ups in enumerate(work.parents):
        argv = work.argv(i)
        run = f'"{work.line(i)}"' if argv[0] == "/bin/sh" else f"[{', '.join(argv)}]"
        lines.append(f"  t{i}:\n    run: {run}")
        if ups:
            lines.append(f"    needs: [{', '.join(f't{up}' for up in ups)}]")
    return "\n".join(lines) + "\n"


def ours(bench: lab.Engine, name: str, head: str = "") -> Callable[[Work], Sample]:
    """The whole `orchctl run` of a work's definition, which is written beforehand."""

    def run(work: Work) -> Sample:
        return bench.sample("run", str(bench.file(f"{name}.yaml", as_workflow(name, work, head))))[0]

    return run


def commit_ms(folder: Path, count: int = 200) -> float:
    """The median of a durable commit of one attempt's order: what a hop cannot be without."""
    world = World(count)
    environment = open_environment(folder)
    committer = Committer(environment, 0)
    committer.commit(world.encode(world.begin_run(1, count)))
    times: list[float] = []
    for index in range(count):
        batch = world.encode(world.order(world.state.runs[1], range(index, index + 1)))
        begin = time.perf_counter()
        committer.commit(batch)
        times.append(time.perf_counter() - begin)
    environment.close()
    return statistics.median(times) * 1e3


def hop(records: list[lab.Record], commit: float) -> list[lab.Record]:
    """The commit time, and ours against the bar that it makes with make's hop."""
    found = [lab.one("W2: a small durable commit", "ms", commit, commits=HOP_COMMITS)]
    hops = {record.contender: record.value for record in records if record.unit == "ms/hop"}
    if "make" in hops:
        bar = hops["make"] + HOP_COMMITS * commit + HOP_MS
        found.append(lab.one("W2: make's hop, 1.5 commits and 0.5 ms", "ms/hop", bar, "bar", ours=hops["orchctl"]))
    return found


def run(options: lab.Options) -> list[lab.Record]:
    """All four shapes."""
    scale = 5 if options.quick else 1
    w1 = contest.Question("W1 independent", "independent", 2000 // scale, lambda n: Work(independent(n)))
    shell = contest.Question("W1 shell strings", "shell", 2000 // scale, lambda n: Work(independent(n), SHELL))
    w2 = contest.Question("W2 chain", "chain", 500 // scale, lambda n: Work(chain(n)))
    w3 = contest.Question("W3 layers", "layers", 2500 // scale, lambda n: Work(layers(n)))
    with lab.folder() as place, lab.engine() as bench:
        ways = [
            contest.Ours("orchctl", w1, ours(bench, "independent")),
            contest.Ours("orchctl", shell, ours(bench, "shell")),
            contest.Ours("orchctl", w2, ours(bench, "chain")),
            contest.Ours("orchctl, relaxed", w2, ours(bench, "relaxed", "\ndurability: relaxed")),
            contest.Ours("orchctl", w3, ours(bench, "layers")),
        ]
        ours(bench, "warm")(Work(independent(20)))
        before = commit_ms(place / "before")
        questions = [w1, shell, w2, w3]
        rounds, budget_s = (1, 0.5) if options.quick else (5, 2.0)
        turns = contest.hold(questions, ways, options, rounds, budget_s)
        commit = statistics.mean((before, commit_ms(place / "after")))
        found = [record for question in questions for record in contest.records(turns, question)]
    return [*found, *hop(found, commit)]
