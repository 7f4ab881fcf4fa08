"""How many Python callables a second (W4): no-ops of which every tenth writes a line, and such as last 1 to 100 ms?"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import contest, lab
from benchmarks.cpu import Sample
from benchmarks.peers import calls
from benchmarks.peers.kit import Work

COUNTS = {0.0: 100_000, 0.001: 5_000, 0.01: 1_000, 0.1: 100}


def as_workflow(work: Work) -> str:
    """One task with a row for each call."""
    seconds = f", seconds: {work.seconds}" if work.seconds else ""
    return (
        f"name: calls\ntasks:\n  call:\n    python: calls:call\n    args: {{number: '{{{{ item }}}}'{seconds}}}\n"
        f"    for_each: '{{{{ range({work.calls}) }}}}'\n"
    )


def ours(bench: lab.Engine) -> Callable[[Work], Sample]:
    """The whole `orchctl run` of a `for_each` over the same function as the peers'."""
    bench.file("calls.py", Path(calls.__file__).read_text())

    def run(work: Work) -> Sample:
        sample = bench.sample("run", str(bench.file("calls.yaml", as_workflow(work))))[0]
        return Sample(sample.seconds, sample.cpu_s)  # a call's own CPU is its worker's: it cannot be told apart

    return run


def run(options: lab.Options) -> list[lab.Record]:
    """No-ops, and callables of three lengths."""
    rounds, budget_s, scale = (1, 0.5, 50) if options.quick else (5, 3.0, 1)
    questions = [
        contest.Question(
            f"W4 callables of {seconds * 1e3:.0f} ms" if seconds else "W4 no-op callables",
            "lasting" if seconds else "no-op", max(count // scale, 20), partial(_work, seconds),
        )
        for seconds, count in COUNTS.items()
    ]  # fmt: skip
    with lab.engine() as bench:
        call = ours(bench)
        call(Work(calls=50))
        turns = contest.hold(
            questions, [contest.Ours("orchctl", question, call) for question in questions], options, rounds, budget_s
        )
    return [record for question in questions for record in contest.records(turns, question)]


def _work(seconds: float, count: int) -> Work:
    return Work(calls=count, seconds=seconds)
