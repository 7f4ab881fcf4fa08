"""HyperQueue from its wheel: server and worker in one process, no journal. Its client looks once a second whether a job
has ended, so it gets more tasks than its pace would ask for.
"""

import contextlib
import os
from collections.abc import Callable, Iterator

from benchmarks.peers.kit import Service, Work

PEER = Service("hyperqueue", {"independent": 800, "shell": 800, "chain": 60, "layers": 900}, "hyperqueue")


@contextlib.contextmanager
def started(slots: int) -> Iterator[Callable[[Work], None]]:
    from hyperqueue import Job, LocalCluster
    from hyperqueue.cluster import WorkerConfig

    with LocalCluster(os.path.abspath("hq"), WorkerConfig(cores=slots)) as cluster:
        client = cluster.client()

        def run(work: Work) -> None:
            job = Job(max_fails=0)
            tasks = []
            for i, ups in enumerate(work.parents):
                deps = [tasks[up] for up in ups]
                tasks.append(job.program(work.argv(i), deps=deps, stdout=None, stderr=None))
            client.wait_for_jobs([client.submit(job)])

        run(Work(parents=[[]]))
        yield run
