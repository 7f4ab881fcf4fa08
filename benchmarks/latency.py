"""How long from submit to the first start, for a verb to start, and from nothing at all to a finished run?"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from benchmarks import lab
from engine.model.instants import from_text

ONE = "name: one\ntasks:\n  t:\n    run: [/bin/true]\n"


def _submit_to_start(bench: lab.Engine, flow: Path) -> float:
    """Milliseconds between the run's request and its first attempt's start, both on the engine's clock."""
    last = bench.call("run", str(flow), "--json").splitlines()[-1]
    run = msgspec.json.decode(last)["run"]
    queued = msgspec.json.decode(bench.call("show", run, "--json"))["queued_at"]
    task = msgspec.json.decode(bench.call("tasks", run, "--json").splitlines()[0])
    return (from_text(task["started_at"]) - from_text(queued)) / 1e6


def _verb(environment: dict[str, str], *words: str) -> float:
    argv = [*lab.ORCHCTL, *words]
    return lab.timed(lambda: subprocess.run(argv, env=environment, capture_output=True, check=True)) * 1e3


def _python() -> float:
    return lab.timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)) * 1e3


def _from_nothing(flow: Path) -> float:
    """Seconds of a whole `orchctl run` in a home where no engine runs."""
    home = Path(tempfile.mkdtemp(prefix="orchctl-bench-"))
    bench = lab.Engine(home)
    try:
        return lab.timed(lambda: bench.call("run", str(flow)))
    finally:
        bench.call("engine", "stop", "--kill", "--yes")
        shutil.rmtree(home, ignore_errors=True)


def run(*, quick: bool) -> list[lab.Record]:
    """Milliseconds, medians."""
    rounds = 5 if quick else 30
    with tempfile.TemporaryDirectory() as name, lab.engine() as bench:
        flow = Path(name) / "one.yaml"
        flow.write_text(ONE)
        starts = {"orchctl": [_submit_to_start(bench, flow) for _ in range(rounds)]}
        cold = lab.interleaved(
            {
                "orchctl runs": lambda: _verb(bench.environment, "runs"),
                "orchctl --help": lambda: _verb(bench.environment, "--help"),
                "python -c pass": _python,
            },
            rounds,
        )
        nothing = {"orchctl": [_from_nothing(flow) for _ in range(2 if quick else 5)]}
    return [
        *lab.compare("submit to first start", "ms", starts),
        *lab.compare("cold start of a verb", "ms", cold),
        *lab.compare("no engine running: run one task", "s", nothing),
    ]
