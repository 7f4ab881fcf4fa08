"""The store's housekeeping: retention in small steps between the batches, backup, and an eye on the room there is."""

from collections.abc import Callable, Container
from functools import partial
from pathlib import Path
from typing import Any

import trio

from engine.daemon.config import Config
from engine.daemon.log import say
from engine.model.errors import ValueFault
from engine.model.instants import DAY
from engine.model.resources import parse_size
from engine.store.backup import backup
from engine.store.environment import Environment
from engine.store.errors import StoreDamage, StoreFull
from engine.store.folders import remove_folder
from engine.store.queries import verify_audit
from engine.store.retention import Retention, RetentionSettings, Step, logs_removed
from engine.store.transaction import Edit
from engine.store.writer import Space, SpaceLimits, Writer, space

REST_S = 60.0
BETWEEN_STEPS_S = 0.02
COUNTED_MAX = 1_000_000


class Tending:
    """`in_memory` holds the runs that must not be pulled away from under the machine, and none comes there while
    `forgetting` is held; `now_ns` reads engine time.
    """

    def __init__(
        self, home: Path, environment: Environment, writer: Writer, config: Config, in_memory: Container[int],
        forgetting: trio.Lock, now_ns: Callable[[], int],
    ) -> None:  # fmt: skip
        self._home = home
        self._environment = environment
        self._writer = writer
        self._in_memory = in_memory
        self._forgetting = forgetting
        self._now_ns = now_ns
        self._collecting = trio.Lock()
        kept = config.retention
        self._retention = Retention(
            RetentionSettings(
                journal_age_ns=int(kept.days * DAY),
                journal_bytes=parse_size(kept.journal_bytes),
                runs_age_ns=int(kept.days * DAY),
                runs_count=kept.runs,
            )
        )

    def space(self, limits: SpaceLimits) -> Space:
        """What room there is."""
        return space(self._environment, limits)

    async def run(self) -> None:
        """For ever: apply retention, then rest."""
        while True:
            await trio.sleep(REST_S)
            self._environment.reap_readers()
            await self.collect(dry_run=False)

    async def collect(self, *, dry_run: bool) -> dict[str, Any]:
        """Forget what may be forgotten (or only count the runs): {"runs", "records"}."""
        now_ns = self._now_ns()
        if dry_run:
            with self._environment.read() as view:
                return {"runs": len(self._retention.due(view, now_ns, self._in_memory, COUNTED_MAX)), "records": 0}
        runs = records = 0
        async with self._collecting:  # who asks for it while it goes on must not delete the same folders beside it
            while True:
                try:
                    async with self._forgetting:
                        step: Step = await self._writer.run(partial(self._step, now_ns=now_ns))
                except (StoreDamage, StoreFull) as error:
                    say("retention waits", why=error.sentence)
                    break
                runs += step.runs
                records += step.deleted
                await self._remove_logs(step.logs)
                if not step.more:
                    break
                await trio.sleep(BETWEEN_STEPS_S)
        return {"runs": runs, "records": records}

    def _step(self, edit: Edit, now_ns: int) -> Step:
        return self._retention.step(edit, now_ns, self._in_memory)

    async def _remove_logs(self, runs: list[int]) -> None:
        """A folder that does not go is tried again with the next step, and its run is not forgotten before."""
        gone: list[int] = []
        for run in runs:
            whole = False
            try:
                while not whole:
                    whole = await trio.to_thread.run_sync(remove_folder, self._home / "logs", f"r{run}")
                    await trio.sleep(0 if whole else BETWEEN_STEPS_S)
                gone.append(run)
            except OSError as error:
                say("a log folder stays", run=run, why=error)
        if gone:
            await self._writer.run(partial(logs_removed, runs=gone))

    async def verify(self) -> dict[str, Any]:
        """Follow the chain of the audit, away from the loop: {"intact", "entries", "fault"}."""
        try:
            entries = await trio.to_thread.run_sync(verify_audit, self._environment)
        except StoreDamage as damage:
            return {"intact": False, "entries": None, "fault": damage.sentence}
        return {"intact": True, "entries": entries, "fault": ""}

    async def backup(self, folder: str) -> dict[str, Any]:
        """A copy of the state: {"folder", "revision", "bytes"}."""
        target = Path(folder)
        if not target.is_absolute():
            raise ValueFault(f"{folder!r} is not an absolute path")
        manifest = await trio.to_thread.run_sync(backup, self._environment, target)
        return {"folder": str(target), "revision": manifest.revision, "bytes": manifest.bytes}
