"""What does an engine cost that has nothing to do: CPU and memory of all its processes?"""

import time

from benchmarks import lab
from benchmarks.cpu import pss_bytes, used_by_all

SETTLE_S = 2.0


def run(options: lab.Options) -> list[lab.Record]:
    """Percent of one core over the span, and MiB of proportional memory. Nobody asks anything meanwhile."""
    seconds = 5 if options.quick else 30
    with lab.engine() as bench:
        pids = bench.pids()
        time.sleep(SETTLE_S)
        before = used_by_all(pids)
        time.sleep(seconds)
        used = used_by_all(pids) - before
        memory = pss_bytes(pids)
    return [
        lab.one("idle CPU", "% of a core", 100 * used.own_s / seconds, processes=len(pids), seconds=seconds),
        lab.one("idle memory", "MiB PSS", memory / 2**20, processes=len(pids)),
    ]
