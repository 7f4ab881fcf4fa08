"""Recorded workflows of others: each instance is imported, run on a host of 32 CPUs, and its journal checked.

    python -m tests.campaigns.instances [--seconds 30]

The checker knows only the imported file and `events --json`: no attempt starts before all its parents have succeeded,
every task runs exactly once, and at no instant is more claimed than there is.
"""

import argparse
import gzip
import json
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from tests.support.home import ROOT, Home, home

INSTANCES = ROOT.parent / "shared" / "inputs" / "wfinstances"
CPUS = 32


def recorded_seconds(path: Path) -> float:
    """The critical path or the work on 32 cores of an instance, whichever is longer."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    execution = json.loads(raw)["workflow"]["execution"]
    seconds = [float(task.get("runtimeInSeconds", 0)) for task in execution["tasks"]]
    return max(sum(seconds) / CPUS, float(execution.get("makespanInSeconds") or 0), max(seconds), 0.001)


def violations(flow: dict[str, Any], events: list[dict[str, Any]]) -> list[str]:
    """What the journal says against the definition."""
    found: list[str] = []
    tasks = flow["tasks"]
    started: dict[str, list[str]] = {name: [] for name in tasks}
    ended: dict[str, str] = {}
    moments: list[tuple[str, int, str]] = []
    place = {event["attempt"]: event["task"] for event in events if event["event"] == "AttemptOrdered"}
    for event in events:
        if event["event"] == "AttemptStarted":
            name = place[event["attempt"]]
            started[name].append(event["at"])
            moments.append((event["at"], 1, name))
            for parent in tasks[name].get("needs", []):
                if parent not in ended or ended[parent] > event["at"]:
                    found.append(f"{name} started at {event['at']} before {parent} had succeeded")
        elif event["event"] == "AttemptExited":
            name = place[event["attempt"]]
            ended[name] = event["at"]
            moments.append((event["at"], 0, name))
    found += [f"{name} started {len(times)} times" for name, times in started.items() if len(times) != 1]
    used = 0.0
    for at, begins, name in sorted(moments):
        cpu = float(tasks[name].get("claim", {}).get("cpu", 1))
        used += cpu if begins else -cpu
        if used > CPUS + 1e-9:
            found.append(f"{used} CPUs claimed at {at}")
    return found


def run_one(place: Home, path: Path, seconds: float) -> list[str]:
    """Import, run, check; prints a line."""
    scale = min(seconds / recorded_seconds(path), 1.0)
    out = place.root / f"{path.name.split('.')[0]}.yaml"
    place.ok("import", "wfcommons", str(path), "-o", str(out), "--time-scale", f"{scale:.6f}", "--work", "sleep")
    flow = yaml.safe_load(out.read_text())
    start = time.monotonic()
    last = place.rows("run", str(out))[-1]
    took = time.monotonic() - start
    events = place.rows("events", last["run"])
    found = violations(flow, events) if last["status"] == "succeeded" else [f"the run is {last['status']}"]
    sys.stdout.write(f"{path.name}: {len(flow['tasks'])} tasks, {took:.1f} s, {len(found)} violations\n")
    return found


def main() -> int:
    """0 if all instances run to success without a violation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    found: list[str] = []
    with home(f"[host]\ncpus = {CPUS}\nmemory = '1024GiB'\n") as place:
        place.start()
        for path in sorted(INSTANCES.glob("*.json*")):
            found += run_one(place, path, options.seconds)
    for sentence in found[:20]:
        sys.stdout.write(sentence + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
