"""Recorded tasks of a cluster as arrivals on one host.

The format is that of the lists of pods of Alibaba's GPU cluster trace of 2023 (`openb_pod_list_*.csv`, Weng et al.,
USENIX ATC 2023): `cpu_milli`, `memory_mib`, `num_gpu`, `gpu_milli` of each GPU (below 1000 only where `num_gpu` is 1),
`creation_time`, `deletion_time` and `scheduled_time` in seconds, `qos`. A column `duration` counts instead of the times
at which a task began and ended. Classes of service become owners.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from engine.admission.ledger import Ledger
from engine.model.instants import SECOND
from engine.model.resources import Capacity, Claim
from tests.sim.admission import Arrival

MIB = 2**20


class Trace(NamedTuple):
    """Arrivals in order, and how many lines told of none: times missing, or wider than the host."""

    tasks: list[Arrival]
    unfinished: int
    too_wide: int


def read_trace(path: Path, host: Capacity) -> Trace:
    """Raises ValueError for a line that is not of the format, with its number."""
    book, tasks = Ledger(host), list[Arrival]()
    unfinished = too_wide = 0
    for number, row in _rows(path):
        try:
            task = _arrival(row)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path}:{number}: not a line of a cluster trace: {error}") from error
        if task is None:
            unfinished += 1
        elif book.impossible(task.claim, {}):
            too_wide += 1
        else:
            tasks.append(task)
    first = min((task.at_ns for task in tasks), default=0)
    tasks = [task._replace(at_ns=task.at_ns - first) for task in tasks]
    return Trace(sorted(tasks, key=lambda task: task.at_ns), unfinished, too_wide)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from enumerate(csv.DictReader(file), 2)


def _arrival(row: dict[str, str]) -> Arrival | None:
    claim = Claim(
        int(row["cpu_milli"]), int(row["memory_mib"]) * MIB, gpu_milli=int(row["num_gpu"]) * int(row["gpu_milli"] or 0)
    )
    created = float(row["creation_time"])
    if row.get("duration"):
        seconds = float(row["duration"])
    elif row.get("deletion_time"):
        seconds = float(row["deletion_time"]) - float(row.get("scheduled_time") or created)
    else:
        return None
    if seconds <= 0:
        return None
    takes = int(seconds * SECOND)
    return Arrival(int(created * SECOND), takes, claim, takes, row.get("qos") or "")
