"""Recorded workflows of others, their time scaled down: how long do they take against what a schedule could reach?

Each trace is imported by `orchctl import wfcommons`; each task sleeps for its time and takes one of so many cores that
the critical path and the work bound it alike: with more, or fewer, any order would do. The bound is the longer of
critical path and work / cores. The simulated lists know the durations beforehand, as nobody does at a first run. make
runs the same commands under the same dependences, with as many slots.
"""

import os
from pathlib import Path

import yaml

from benchmarks import lab, peers
from benchmarks.cpu import Sample
from benchmarks.peers.kit import ROOT, Settings, Work
from benchmarks.schedules import LISTS, Trace, best_of_lists_s

INSTANCES = Path(os.environ.get("ORCHCTL_WFINSTANCES", ROOT.parent / "shared" / "inputs" / "wfinstances"))
CORES_MAX = 32
LEAST_TASKS = 50
"""Of a smaller workflow any order is right."""


def read_trace(bench: lab.Engine, path: Path) -> Trace:
    """The recorded workflow as our importer understands it, at its full duration."""
    out = bench.files / f"{path.name.split('.')[0]}.yaml"
    bench.call("import", "wfcommons", str(path), "-o", str(out), "--time-scale", "1")
    tasks = yaml.load(out.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))["tasks"]
    order = _parents_first({name: task.get("needs", []) for name, task in tasks.items()})
    place = {name: i for i, name in enumerate(order)}
    seconds = [float(tasks[name]["run"][1]) for name in order]
    return Trace(out.stem, seconds, [[place[up] for up in tasks[name].get("needs", [])] for name in order])


def _parents_first(needs: dict[str, list[str]]) -> list[str]:
    missing = {name: len(ups) for name, ups in needs.items()}
    children: dict[str, list[str]] = {name: [] for name in needs}
    for name, ups in needs.items():
        for up in ups:
            children[up].append(name)
    order = [name for name, count in missing.items() if count == 0]
    for name in order:
        for child in children[name]:
            missing[child] -= 1
            if missing[child] == 0:
                order.append(child)
    return order


def as_workflow(trace: Trace) -> str:
    lines = [f"name: '{trace.name}'", "tasks:"]
    for i, ups in enumerate(trace.parents):
        lines.append(f"  t{i}:\n    run: [sleep, '{trace.seconds[i]:.6f}']")
        if ups:
            lines.append(f"    needs: [{', '.join(f't{up}' for up in ups)}]")
    return "\n".join(lines) + "\n"


def measure(trace: Trace, cores: int, options: lab.Options, rounds: int) -> list[lab.Record]:
    """Ours and make in turns, and what was possible."""
    bound = max(trace.critical_s(), trace.work_s / cores)
    best = best_of_lists_s(trace, cores)
    work = Work(trace.parents, commands=[f"sleep {seconds:.6f}" for seconds in trace.seconds])
    settings = Settings(cores, options.python)
    makes, missing = peers.find([name for name in options.peers if name == "make"], "traces", settings)
    for sentence in missing:
        lab.say(sentence)
    versions = {peer.name: peer.version(settings) for peer in makes}
    figures: dict[str, list[float]] = {"orchctl": []}
    with lab.engine(f"[host]\ncpus = {cores}\n") as bench:
        flow = bench.file("trace.yaml", as_workflow(trace))
        bench.call("run", str(bench.file("warm.yaml", as_workflow(Trace("warm", [0.0] * cores, [[]] * cores)))))
        for _ in range(rounds):
            figures["orchctl"].append(bench.sample("run", str(flow))[0].seconds)
            for peer in makes:
                with peer.opened(settings) as run:
                    sample: Sample = run(work)
                figures.setdefault(peer.name, []).append(sample.seconds)
    figures[f"best of {LISTS} lists, simulated"] = [best]
    figures["bound"] = [bound]
    label = f"makespan of {trace.name[:40]}"
    return lab.compare(label, "s", figures, tasks=len(trace.seconds), cores=cores, versions=versions)


def run(options: lab.Options) -> list[lab.Record]:
    """Every trace that is large enough."""
    paths = sorted(INSTANCES.glob("*.json*"))
    if not paths:
        lab.say(f"makespan: there are no WfInstances in {INSTANCES}; ORCHCTL_WFINSTANCES names another folder")
    target_s, rounds = (4.0, 1) if options.quick else (20.0, 3)
    found: list[lab.Record] = []
    with lab.home() as place:
        traces = [read_trace(place, path) for path in paths]
    for trace in traces:
        if len(trace.seconds) < LEAST_TASKS:
            continue
        critical = trace.critical_s()
        cores = max(2, min(CORES_MAX, round(trace.work_s / critical)))
        scaled = trace.scaled(target_s / max(critical, trace.work_s / cores))
        lab.say(f"makespan: {trace.name}, {len(trace.seconds)} tasks on {cores} cores")
        found += measure(scaled, cores, options, rounds)
    return found
