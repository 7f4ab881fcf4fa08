"""How many no-op processes a second: independent (W1), in a chain (W2), in layers with two parents each (W3)?"""

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import lab

SLOTS = 2
TRUE = "/bin/true"


def independent(count: int) -> list[list[int]]:
    """The parents of each task: none."""
    return [[] for _ in range(count)]


def chain(count: int) -> list[list[int]]:
    return [[i - 1] if i else [] for i in range(count)]


def layers(count: int) -> list[list[int]]:
    width = max(int(count**0.5), 2)
    return [
        [] if i < width else [i - width, (i // width - 1) * width + (i + 1) % width]
        for i in range(width * width)
    ]  # fmt: skip


def as_workflow(name: str, parents: list[list[int]], folder: Path) -> Path:
    lines = [f"name: {name}", "tasks:"]
    for i, ups in enumerate(parents):
        lines.append(f"  t{i}:\n    run: [{TRUE}]")
        if ups:
            lines.append(f"    needs: [{', '.join(f't{up}' for up in ups)}]")
    path = folder / f"{name}.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def as_makefile(parents: list[list[int]], folder: Path) -> Path:
    lines = [f".PHONY: all {' '.join(f't{i}' for i in range(len(parents)))}"]
    lines.append(f"all: {' '.join(f't{i}' for i in range(len(parents)))}")
    for i, ups in enumerate(parents):
        lines.append(f"t{i}: {' '.join(f't{up}' for up in ups)}\n\t@{TRUE}")
    path = folder / "Makefile"
    path.write_text("\n".join(lines) + "\n")
    return path


def as_ninja(parents: list[list[int]], folder: Path) -> Path:
    lines = [f"rule r\n  command = {TRUE}"]
    for i, ups in enumerate(parents):
        lines.append(f"build t{i}: r {' '.join(f't{up}' for up in ups)}")
    path = folder / "build.ninja"
    path.write_text("\n".join(lines) + "\n")
    return path


def _seconds(*argv: str, folder: Path) -> float:
    return lab.timed(lambda: subprocess.run(argv, cwd=folder, check=True, capture_output=True))


def _xargs(count: int, folder: Path) -> float:
    numbers = "\n".join(map(str, range(count))).encode()
    argv = ["xargs", "-P", str(SLOTS), "-n", "1", TRUE]
    return lab.timed(lambda: subprocess.run(argv, cwd=folder, check=True, input=numbers, capture_output=True))


def measure(question: str, parents: list[list[int]], rounds: int, bench: lab.Engine) -> list[lab.Record]:
    """One shape, ours and the peers, interleaved."""
    count = len(parents)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flow = as_workflow(question, parents, folder)
        as_makefile(parents, folder)
        as_ninja(parents, folder)
        cpu: list[float] = []

        def ours() -> float:
            before = bench.cpu_seconds()
            seconds = lab.timed(lambda: bench.call("run", str(flow)))
            cpu.append((bench.cpu_seconds() - before) / count * 1e6)
            return count / seconds

        contenders: dict[str, Callable[[], float]] = {"orchctl": ours}
        contenders["make"] = lambda: count / _seconds("make", "-s", f"-j{SLOTS}", folder=folder)
        ninja = lab.have("ninja")
        if ninja:
            contenders["ninja"] = lambda: count / _seconds(ninja, f"-j{SLOTS}", "--quiet", folder=folder)
        if question == "W1":
            contenders["xargs"] = lambda: count / _xargs(count, folder)
        figures = lab.interleaved(contenders, rounds)
        records = lab.compare(question, "tasks/s", figures, tasks=count)
        records += lab.compare(f"{question} CPU of our processes", "us/task", {"orchctl": cpu}, tasks=count)
        return records


def run(*, quick: bool) -> list[lab.Record]:
    """All three shapes."""
    rounds = 1 if quick else 5
    with lab.engine() as bench:
        return [
            *measure("W1", independent(500 if quick else 2000), rounds, bench),
            *measure("W2", chain(100 if quick else 500), rounds, bench),
            *measure("W3", layers(400 if quick else 2500), rounds, bench),
        ]
