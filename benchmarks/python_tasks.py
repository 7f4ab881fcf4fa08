"""How many Python callables a second: no-ops and callables of 1 and 10 ms, against a pool that remembers nothing?"""

import multiprocessing
import tempfile
import time
from pathlib import Path

from benchmarks import lab

SOURCE = """
import time

def nothing(x):
    return None

def nap(x, seconds):
    time.sleep(seconds)
"""


def nothing(_: int) -> None:
    """The pool's no-op."""


def _pool(count: int, seconds: float) -> float:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(nothing, range(2))
        start = time.perf_counter()
        if seconds:
            pool.map(time.sleep, [seconds] * count, chunksize=1)
        else:
            pool.map(nothing, range(count), chunksize=1)
        return count / (time.perf_counter() - start)


def _workflow(folder: Path, count: int, seconds: float) -> Path:
    (folder / "calls.py").write_text(SOURCE)
    function, extra = ("nap", f", seconds: {seconds}") if seconds else ("nothing", "")
    path = folder / f"calls-{count}-{function}.yaml"
    path.write_text(
        f"name: calls\ntasks:\n  call:\n    python: calls:{function}\n"
        f'    args: {{x: "{{{{ item }}}}"{extra}}}\n    for_each: "{{{{ range({count}) }}}}"\n'
    )
    return path


def run(*, quick: bool) -> list[lab.Record]:
    """W4: no-ops and short callables."""
    rounds = 1 if quick else 5
    records: list[lab.Record] = []
    with lab.engine() as bench, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for question, count, seconds in (("W4 no-op", 10_000, 0.0), ("W4 1 ms", 2_000, 0.001), ("W4 10 ms", 400, 0.01)):
            amount = count // 5 if quick else count
            flow = _workflow(folder, amount, seconds)

            def ours(flow: Path = flow, amount: int = amount) -> float:
                return amount / lab.timed(lambda: bench.call("run", str(flow)))

            def pool(amount: int = amount, seconds: float = seconds) -> float:
                return _pool(amount, seconds)

            figures = lab.interleaved({"orchctl": ours, "multiprocessing.Pool": pool}, rounds)
            records += lab.compare(question, "tasks/s", figures, tasks=amount)
    return records
