"""What does an engine cost that has nothing to do: CPU and memory of all its processes?"""

import time
from pathlib import Path

from benchmarks import lab


def _pss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def run(*, quick: bool) -> list[lab.Record]:
    """Percent of one core over the span, and MiB of proportional memory."""
    seconds = 5 if quick else 30
    with lab.engine() as bench:
        time.sleep(2)
        processes = bench.processes()
        before = sum(sum(process.cpu_times()[:2]) for process in processes)
        time.sleep(seconds)
        used = sum(sum(process.cpu_times()[:2]) for process in processes) - before
        memory = sum(_pss_mib(process.pid) for process in processes)
    return [
        *lab.compare("idle CPU", "% of a core", {"orchctl": [100 * used / seconds]}, processes=len(processes)),
        *lab.compare("idle memory", "MiB PSS", {"orchctl": [memory]}, processes=len(processes)),
    ]
