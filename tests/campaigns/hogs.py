"""Hogs, each in a real run: how each ends, how far beyond its limit it came, how soon, and whether anything is left.

    python -m tests.campaigns.hogs [NAME...] [--trees 200]

Every hog is bounded by itself too, so that a quota that does not hold costs a failure here and not the host. A
neighbour that computes all the time says how much slower it was meanwhile. At the end as many trees as asked for are
watched for ten seconds, and what that cost the meter is told.
"""

import argparse
import re
import sys
import threading
import time
from statistics import median
from typing import Any, NamedTuple

import psutil

from engine.execution import proc
from engine.model.instants import from_text
from tests.support.home import Home, home, wait_for

MIB = 2**20
COST_MAX = 0.05
COST_S = 10.0
_LOOKED = re.compile(r"grew by ([\d.e+]+) MiB/s and was looked at (\d+) ms before")


class Hog(NamedTuple):
    """`ends` is the outcome that it must have, within so many seconds."""

    quota: str
    ends: str
    within_s: float
    source: str


_FORKED = "import os, time, threading\nfor _ in range(%d):\n    if not os.fork(): break\n"
_GROW = "kept = []\nuntil = time.time() + %d\nwhile time.time() < until: kept.append(b'x' * %d); time.sleep(%g)\n"
HOGS = {
    "memory at 1 GB/s": Hog(
        "{memory: 600MiB}", "over_quota.memory", 6, _FORKED % 2 + _GROW % (6, 16 * MIB, 0.03) + "time.sleep(60)"
    ),
    "memory at 1 MB/s": Hog("{memory: 80MiB}", "over_quota.memory", 60, _FORKED % 1 + _GROW % (60, MIB // 2, 0.5)),
    "shared memory": Hog(
        "{memory: 300MiB}", "over_quota.memory", 8,
        _FORKED % 3 + "import mmap\nm = mmap.mmap(-1, 2**30)\nfor at in range(0, 2**30, 2**22):\n"
        "    m[at:at + 2**22] = bytes(2**22); time.sleep(0.01)\ntime.sleep(60)",
    ),
    "fork bomb": Hog(
        "{processes: 50}", "over_quota.processes", 6,
        "import os, time\nfor _ in range(8):\n    os.fork()\ntime.sleep(60)",
    ),
    "thread bomb": Hog(
        "{threads: 100}", "over_quota.threads", 6,
        "import threading, time\nfor _ in range(600): threading.Thread(target=time.sleep, args=(60,)).start()",
    ),
    "10,000 files": Hog(
        "{open_files: 4000}", "over_quota.open_files", 8,
        _FORKED % 9 + "me = os.getpid()\nkept = [open(f'file-{me}-{n}', 'w') for n in range(1000)]\ntime.sleep(60)",
    ),
    "CPU on more threads than claimed": Hog(
        "{cpu: 1, cpu_time: 3s}", "over_quota.cpu_time", 12, _FORKED % 3 + "while 1: pass"
    ),
    "disk flood": Hog(
        "{disk: 200MiB}", "over_quota.disk", 10,
        "import time\nwith open('flood', 'wb') as f:\n    for _ in range(1500): f.write(bytes(2**20))\ntime.sleep(60)",
    ),
    "log flood": Hog(
        "{log: {limit: 1MiB, on_exceed: stop}}", "over_quota.log", 6,
        "import time\nfor _ in range(400): print('x' * 2**20)\ntime.sleep(60)",
    ),
    "ignores SIGTERM": Hog(
        "{wall: 1s}", "timed_out", 4,
        "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nfor _ in range(600): time.sleep(0.1)",
    ),
    "daemons": Hog(
        "{wall: 1s}", "timed_out", 4,
        "import os, time\nfor _ in range(20):\n    if not os.fork():\n        os.setsid()\n"
        "        if not os.fork():\n"
        "            os.closerange(0, 99)\n"
        "            os.execvpe('sleep', ['sleep', '60'], {'PATH': '/bin:/usr/bin'})\n"
        "        os._exit(0)\ntime.sleep(60)",
    ),
    "zombies": Hog(
        "{processes: 50}", "over_quota.processes", 6,
        "import os, time\nfor _ in range(300):\n    if not os.fork(): os._exit(0)\ntime.sleep(60)",
    ),
    "stopped": Hog("{wall: 1s}", "timed_out", 4, "import os\nos.kill(os.getpid(), 19)"),
    "silent": Hog("{silence: 1s}", "over_quota.silence", 4, "import time\nprint('one')\ntime.sleep(60)"),
}  # fmt: skip


class Neighbour(threading.Thread):
    """Computes a little, all the time, and notes how long it takes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.took: list[float] = []

    def run(self) -> None:
        while True:
            began = time.perf_counter()
            sum(range(100_000))
            self.took.append(time.perf_counter() - began)
            time.sleep(0.002)

    def since_last(self) -> float:
        """The median of what it took since this was asked last."""
        took, self.took = self.took, []
        return median(took) if took else 0.0


def survivors(place: Home) -> list[int]:
    """Processes of attempts that are still there."""
    status = place.status()
    own = {*status["launchers"], *status["workers"]}
    marked = proc.marked(int(status["instance"], 16))
    return [pid for pid in marked if pid not in own and proc.lives(pid, proc.start_ticks(pid))]


def feed(place: Home, name: str, neighbour: Neighbour) -> list[str]:
    """One hog in a run of its own; what was not as it must be."""
    hog = HOGS[name]
    script = place.file("hog/hog.py", hog.source)
    flow = place.file(
        "hog/flow.yaml",
        f"name: hog\ntasks:\n  hog:\n    run: [{sys.executable}, {script}]\n"
        f"    quota: {hog.quota}\n    stop: {{grace: 1s}}\n",
    )
    alone = neighbour.since_last()
    place.call("run", str(flow))
    beside = neighbour.since_last()
    row = place.rows("tasks", "latest")[0]
    took = (from_text(row["finished_at"]) - from_text(row["started_at"])) / 1e9
    left = survivors(place)
    slower = beside / alone if alone else 0.0
    sys.stdout.write(f"{name}: {row['why']}; {took:.1f} s, neighbour x{slower:.2f}, {len(left)} left\n")
    found: list[str] = []
    if row["outcome"] != hog.ends:
        found.append(f"{name}: it ended as {row['outcome']} ({row['why']}), not as {hog.ends}")
    if took > hog.within_s:
        found.append(f"{name}: it took {took:.1f} s, more than {hog.within_s} s")
    if left:
        found.append(f"{name}: {len(left)} processes are left")
    return found + _overshoot(place, name, row["why"])


def _overshoot(place: Home, name: str, why: str) -> list[str]:
    """Memory, disk and log may be beyond the limit by no more than grew between two looks."""
    looked = _LOOKED.search(why)
    if looked is None:
        return []
    exits = [row for row in place.rows("events", "latest") if row["event"] == "AttemptExited"]
    outcome: dict[str, Any] = exits[-1]["details"]["outcome"]
    beyond = (outcome["used"] - outcome["limit"]) / MIB
    most = float(looked[1]) * int(looked[2]) / 1000 + 1
    return [] if beyond <= most else [f"{name}: {beyond:.0f} MiB beyond its limit, {most:.0f} were possible"]


def cost(place: Home, trees: int) -> list[str]:
    """What the meter uses of a core while it watches so many trees of two processes."""
    flow = place.file(
        "many.yaml",
        f"name: many\ndefaults: {{claim: {{cpu: 0}}}}\ntasks:\n  tree:\n    run: sleep 60 & sleep 60\n"
        f"    quota: {{memory: 1GiB, processes: 100}}\n    for_each: '{{{{ range({trees}) }}}}'\n",
    )
    run = place.rows("submit", str(flow))[0]["run"]
    wait_for(lambda: place.rows("show", run)[0]["tasks"].get("running") == trees, f"{trees} trees", 120)
    meter = psutil.Process(place.status()["meter"])
    time.sleep(5.0)  # how it looks once it knows them
    before = sum(meter.cpu_times()[:2])
    time.sleep(COST_S)
    share = (sum(meter.cpu_times()[:2]) - before) / COST_S
    place.ok("kill", run, "--yes")
    wait_for(lambda: place.rows("show", run)[0]["finished_at"], "the end of the trees", 60)
    sys.stdout.write(f"{trees} trees: the meter uses {100 * share:.1f} % of a core\n")
    return [f"metering {trees} trees costs {100 * share:.1f} % of a core"] if share > COST_MAX else []


def main() -> int:
    """0 if all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="NAME", nargs="*", help=", ".join(HOGS))
    parser.add_argument("--trees", type=int, default=200, help="how many trees to watch at the end (200; 0: none)")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in HOGS]:
        parser.error(f"no hog is called {unknown[0]!r}; there are {', '.join(HOGS)}")
    found: list[str] = []
    neighbour = Neighbour()
    with home("[host]\ncpus = 2\n") as place:
        place.start()
        neighbour.start()
        for name in options.names or HOGS:
            time.sleep(0.5)  # the neighbour alone
            found += feed(place, name, neighbour)
        if options.trees:
            found += cost(place, options.trees)
    for sentence in found:
        sys.stdout.write(sentence + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
