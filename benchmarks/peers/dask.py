"""dask.distributed: a local cluster with a process for each slot; parents are passed as futures."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.peers.calls import call
from benchmarks.peers.kit import Service, Work

PEER = Service(
    "dask", {"independent": 250, "shell": 250, "chain": 150, "layers": 300, "no-op": 450, "lasting": 400}, "distributed"
)


def process(argv: list[str], *_: Any) -> None:
    subprocess.run(argv, check=True)


@contextlib.contextmanager
def started(slots: int) -> Iterator[Callable[[Work], None]]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=slots, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):

        def run(work: Work) -> None:
            if work.calls:
                client.gather(client.map(call, range(work.calls), seconds=work.seconds, pure=False))
                return
            futures: list[Any] = []
            for i, ups in enumerate(work.parents):
                futures.append(client.submit(process, work.argv(i), *(futures[up] for up in ups), pure=False))
            client.gather(futures)

        run(Work(calls=50))
        run(Work(parents=[[]] * 10))
        yield run
