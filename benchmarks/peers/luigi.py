"""luigi with its local scheduler and processes as workers: a task has run if its file is there."""

import contextlib
import logging
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers.kit import Service, Work

PEER = Service("luigi", {"independent": 180, "shell": 180, "chain": 150, "layers": 50}, "luigi")


@contextlib.contextmanager
def started(slots: int) -> Iterator[Callable[[Work], None]]:
    import luigi

    logging.disable(logging.CRITICAL)
    works: dict[str, Work] = {}

    class One(luigi.Task):
        place = luigi.Parameter()
        number = luigi.IntParameter()

        def requires(self) -> list[Any]:
            return [One(place=self.place, number=up) for up in works[self.place].parents[self.number]]

        def output(self) -> Any:
            return luigi.LocalTarget(f"{self.place}/{self.number}")

        def run(self) -> None:
            subprocess.run(works[self.place].argv(self.number), check=True)
            Path(self.output().path).touch()

    def run(work: Work) -> None:
        with tempfile.TemporaryDirectory() as place:
            works[place] = work
            tasks = [One(place=place, number=i) for i in range(work.count)]
            if not luigi.build(tasks, workers=slots, local_scheduler=True, log_level="CRITICAL", no_lock=True):
                raise RuntimeError("luigi failed")

    run(Work(parents=[[]]))
    yield run
