"""multiprocessing.Pool, a task at a time: no order, no state, no logs; what Python itself can do."""

import contextlib
import functools
import multiprocessing
from collections.abc import Callable, Iterator

from benchmarks.peers.calls import call
from benchmarks.peers.kit import Service, Work

PEER = Service("pool", {"no-op": 30_000, "lasting": 2000}, "")


@contextlib.contextmanager
def started(slots: int) -> Iterator[Callable[[Work], None]]:
    with multiprocessing.get_context("spawn").Pool(slots) as pool:

        def run(work: Work) -> None:
            for _ in pool.imap(functools.partial(call, seconds=work.seconds), range(work.calls), chunksize=1):
                pass

        run(Work(calls=20))
        yield run
