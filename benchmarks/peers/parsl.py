"""parsl with its high throughput executor on this host, a worker for each slot."""

import contextlib
from collections.abc import Callable, Iterator

from benchmarks.peers.calls import call
from benchmarks.peers.kit import Service, Work

PEER = Service("parsl", {"no-op": 600, "lasting": 500}, "parsl")


@contextlib.contextmanager
def started(slots: int) -> Iterator[Callable[[Work], None]]:
    import parsl
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.providers import LocalProvider
    from parsl.usage_tracking.levels import DISABLED

    executor = HighThroughputExecutor(
        label="htex", max_workers_per_node=slots, address="127.0.0.1", cores_per_worker=1, encrypted=False,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
    )  # fmt: skip
    config = Config(executors=[executor], usage_tracking=DISABLED, initialize_logging=False, run_dir="parsl")
    with parsl.load(config):
        app = parsl.python_app(call)

        def run(work: Work) -> None:
            for future in [app(i, work.seconds) for i in range(work.calls)]:
                future.result()

        run(Work(calls=20))
        yield run
