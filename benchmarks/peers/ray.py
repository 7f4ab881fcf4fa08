"""ray: remote functions; parents are passed as references, so that the order is ray's own."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.peers.calls import call
from benchmarks.peers.kit import Service, Work

PEER = Service(
    "ray", {"independent": 700, "shell": 700, "chain": 300, "layers": 700, "no-op": 1600, "lasting": 1000}, "ray"
)


def process(argv: list[str], *_: Any) -> None:
    subprocess.run(argv, check=True)


@contextlib.contextmanager
def started(slots: int) -> Iterator[Callable[[Work], None]]:
    import ray

    ray.init(num_cpus=slots, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    calling, starting = ray.remote(call), ray.remote(process)

    def run(work: Work) -> None:
        if work.calls:
            ray.get([calling.remote(i, work.seconds) for i in range(work.calls)])
            return
        refs: list[Any] = []
        for i, ups in enumerate(work.parents):
            refs.append(starting.remote(work.argv(i), *(refs[up] for up in ups)))
        ray.get(refs)

    run(Work(calls=50))
    run(Work(parents=[[]] * 10))
    try:
        yield run
    finally:
        ray.shutdown()
