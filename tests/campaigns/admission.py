"""Admission for longer: `python -m tests.campaigns.admission [CSV] [--mixes N] [--tasks N] [--waiting N]`.

Without a file: random mixes on a simulated host, then the time of a decision with very many waiting. With a CSV in the
format of Alibaba's GPU cluster trace (`openb_pod_list_*.csv`): its tasks on one host of the given size. Prints JSON
lines: for each policy how busy the host was, the makespan and the waits; the exit code is 1 if more was ever held than
there is.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.model.instants import SECOND
from engine.model.resources import Capacity, Claim
from tests.sim.admission import Arrival, Fifo, Greedy, Ours, Overdrawn, Policy, busy, simulate, waits_ns
from tests.sim.mixes import HOST, usual, wild
from tests.sim.traces import read_trace

POLICIES: dict[str, Callable[[Capacity], Policy]] = {"ours": Ours, "greedy": Greedy, "fifo": Fifo}


def say(**facts: object) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def compare(name: str, tasks: Sequence[Arrival], host: Capacity) -> None:
    """The same tasks under each policy."""
    widest = sorted(range(len(tasks)), key=lambda number: -tasks[number].claim.cpu_milli)[: max(len(tasks) // 20, 1)]
    for policy, make in POLICIES.items():
        story = simulate(tasks, make(host), host)
        waits = waits_ns(tasks, story)
        say(
            tasks=name, policy=policy, busy=round(busy(tasks, story, host), 4),
            makespan_s=round(story.finished_ns / SECOND, 1), wait_median_s=round(statistics.median(waits) / SECOND, 1),
            wait_max_s=round(max(waits) / SECOND, 1),
            widest_wait_median_s=round(statistics.median(waits[number] for number in widest) / SECOND, 1),
        )  # fmt: skip


def mixes(count: int, size: int) -> None:
    """Many wild mixes under our policy alone, then a few usual ones under all."""
    began = time.monotonic()
    for seed in range(count):
        simulate(wild(seed, size), Ours(HOST), HOST)
    say(mixes=count, tasks=size, overdrawn=0, seconds=round(time.monotonic() - began, 1))
    for seed in range(5):
        compare(f"usual {seed}", usual(seed, 1000), HOST)


def cost(waiting: int, kinds: int, owners: int, ends: int, starts: int = 10_000) -> None:
    """CPU time of a decision (queue, gate, ledger and shares, per start) with so many waiting, where a batch brings so
    many ends."""
    draw = random.Random(1)
    claims = [Claim(500 * (kind % 8 + 1), kind) for kind in range(kinds)]
    policy = Ours(Capacity(64 * sum(claim.cpu_milli for claim in claims) // kinds, 10**9))
    for number in range(waiting):
        task = Arrival(0, 1, draw.choice(claims), 10 * SECOND, str(draw.randrange(owners)), 0, draw.randrange(50))
        policy.arrived(number, task, 0)
    running = [number for number, _ in policy.starts(0)]
    now = started = 0
    spent = 0.0
    while started < starts:
        now += SECOND // 100
        draw.shuffle(running)
        began = time.process_time()
        for number in running[-ends:]:
            policy.ended(number, now)
        fresh = [number for number, _ in policy.starts(now)]
        spent += time.process_time() - began
        running = running[:-ends] + fresh
        started += len(fresh)
    say(waiting=waiting, kinds=kinds, owners=owners, ends=ends, us_a_start=round(spent / started * 1e6, 1))


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.admission", description=__doc__)
    parser.add_argument("csv", nargs="?", type=Path, help="a cluster trace")
    parser.add_argument("--mixes", type=int, default=10_000)
    parser.add_argument("--tasks", type=int, default=40, help="tasks of a mix (40)")
    parser.add_argument("--waiting", type=int, default=100_000, help="tasks that wait while a decision is timed")
    parser.add_argument("--cpus", type=int, default=128, help="of the host on which a trace is replayed")
    parser.add_argument("--memory-gib", type=int, default=1024)
    parser.add_argument("--gpus", type=int, default=8)
    options = parser.parse_args()
    try:
        if options.csv is None:
            mixes(options.mixes, options.tasks)
            for kinds, owners in ((1, 1), (4, 4), (20, 10), (100, 10)):
                for ends in (1, 8):
                    cost(options.waiting, kinds, owners, ends)
            return 0
        gpus = tuple((f"GPU-{number}", 2 * number // options.gpus) for number in range(options.gpus))
        host = Capacity(options.cpus * 1000, options.memory_gib * 2**30, gpus=gpus)
        trace = read_trace(options.csv, host)
    except Overdrawn as error:
        say(overdrawn=str(error))
        return 1
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    say(trace=options.csv.name, tasks=len(trace.tasks), unfinished=trace.unfinished, too_wide=trace.too_wide)
    if trace.tasks:
        compare(options.csv.name, trace.tasks, host)
    return 0


if __name__ == "__main__":
    sys.exit(main())
