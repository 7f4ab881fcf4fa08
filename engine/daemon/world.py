"""What the server asks of the daemon: the other rooms behind one door."""

import os
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import trio

from engine.core.changes import AuditEntry
from engine.core.events import BackfillRequested, External, RunRequested
from engine.core.explain import Explainer
from engine.daemon.catalogue import Catalogue
from engine.daemon.folders import Folders
from engine.daemon.loop import Loop
from engine.execution.executor import Executor
from engine.execution.host_gpus import gpu_use
from engine.model.errors import Unavailable
from engine.model.host import GpuUse
from engine.model.instants import to_text
from engine.protocol.messages import PROTOCOL
from engine.protocol.rows import EngineRow
from engine.scheduling.fair_queue import Entry
from engine.server.ports import HostUse, Installed, Standing
from engine.server.standing import standing, waiting
from engine.store.environment import engine_version

HOST_FRESH_S = 2.0


class DaemonWorld:
    """Implements `server.ports.World`. `backup`, `collect` and `verify` are the store's; `on_stop` begins the end;
    `damage` is what was found when the state was loaded.
    """

    def __init__(
        self, *, home: Path, loop: Loop, catalogue: Catalogue, executor: Executor, folders: Folders,
        backup: Callable[[str], Awaitable[dict[str, Any]]], collect: Callable[..., Awaitable[dict[str, Any]]],
        verify: Callable[[], Awaitable[dict[str, Any]]],
        store_bytes: Callable[[], int], on_stop: Callable[[bool, bool], None], damage: Sequence[str],
    ) -> None:  # fmt: skip
        self._home = home
        self._loop = loop
        self._catalogue = catalogue
        self._executor = executor
        self._folders = folders
        self._backup = backup
        self._collect = collect
        self._verify = verify
        self._store_bytes = store_bytes
        self._on_stop = on_stop
        self._started_ns = loop.clock.now_ns()
        self._host = HostUse()
        self._host_wanted = 0.0
        self._disk_free = 0
        self._disk_seen = 0.0
        self.stopping = False
        self._damage = damage

    def settled(self) -> bool:
        """Whether no batch is on its way to disk."""
        return not self._loop.settled.locked()

    def wall_ns(self) -> int:
        """What the wall clock shows."""
        return self._loop.clock.wall_ns()

    async def submit(self, event: External) -> None:
        """Hand an event to the loop."""
        if self.stopping and isinstance(event, RunRequested | BackfillRequested):
            raise Unavailable("the engine is stopping", "try again when it runs again")
        self._loop.post([event])

    async def install_workflow(self, data: bytes) -> Installed:
        """Check a definition and make its plan known."""
        plan = await self._catalogue.install(data)
        return Installed(plan.workflow.name, plan.version)

    def fault_of(self, workflow: str) -> str:
        """Why the newest text of a workflow's file was not taken."""
        entry = self._loop.machine.state.workflows.get(workflow)
        if entry is None:
            return ""
        plan = self._loop.machine.state.plans.get(entry.version)
        return self._folders.faults.get(plan.workflow.source.file, "") if plan else ""

    def engine_row(self) -> EngineRow:
        """The engine as it is now."""
        state = self._loop.machine.state
        processes = self._executor.processes()
        counts: dict[str, int] = {}
        for run in state.runs.values():
            if not run.header.status.finished:
                name = run.header.status.text
                counts[name] = counts.get(name, 0) + 1
        condition = "stopping" if self.stopping else "read_only" if state.meta.read_only else "serving"
        return EngineRow(
            pid=os.getpid(), state=condition, revision=state.meta.revision, version=engine_version(),
            protocol=PROTOCOL, instance=f"{state.meta.instance:016x}", epoch=state.meta.epoch,
            started_at=to_text(self._started_ns), home=str(self._home), socket=str(self._home / "run" / "engine.sock"),
            keeper=processes["keeper"] or None, launchers=[pid for pid in processes["launchers"] if pid],
            workers=processes["workers"], meter=processes["meter"] or None, runs=counts, attempts=len(state.attempts),
            disk_free=self._free(), store_bytes=self._store_bytes(), problems=self._problems(),
        )  # fmt: skip

    def _free(self) -> int:
        if time.monotonic() - self._disk_seen > HOST_FRESH_S:
            self._disk_seen = time.monotonic()
            self._disk_free = shutil.disk_usage(self._home).free
        return self._disk_free

    def _problems(self) -> list[str]:
        return [*self._damage, *(_first_line(*found) for found in self._folders.faults.items())][:20]

    def host_use(self) -> HostUse:
        """The newest sample; asking keeps samples coming."""
        self._host_wanted = time.monotonic()
        return self._host

    async def sample_host(self) -> None:
        """Ask the meter, if anybody has looked lately."""
        if time.monotonic() - self._host_wanted > 2 * HOST_FRESH_S:
            return
        use = await self._executor.host_use()
        if use is None:
            self._host = HostUse()
            return
        rss = await self._executor.memory_of(sorted(self._loop.machine.state.attempts)[:100])
        cpus = use["cpu_percent"] / 100 * (os.cpu_count() or 1)
        available = use["memory_available_bytes"]
        used = use["memory_total_bytes"] - available
        gpus: tuple[GpuUse, ...] = ()
        if self._loop.machine.state.capacity.gpus:  # its driver may take its time
            gpus = await trio.to_thread.run_sync(gpu_use, abandon_on_cancel=True)
        self._host = HostUse(cpus, available, used, use["load"][0], rss, self._free(), gpus)

    def explainer(self) -> Explainer:
        """For the state as it is now."""
        return Explainer(self._loop.machine.cx)

    def standing(self) -> Standing:
        """How admission stands now."""
        return standing(self._loop.machine.cx)

    def waiting(self, count: int) -> tuple[Sequence[Entry], int]:
        """The first of what is ready and waits, in order, and how many there are."""
        return waiting(self._loop.machine.cx, count)

    def audit(self, entry: AuditEntry) -> None:
        """Write down something that no event stands for."""
        self._loop.note_audit(entry)

    async def backup(self, folder: str) -> dict[str, Any]:
        """Copy the state into a new folder."""
        return await self._backup(folder)

    async def collect_garbage(self, *, dry_run: bool) -> dict[str, Any]:
        """Apply retention now."""
        return await self._collect(dry_run=dry_run)

    async def verify_audit(self) -> dict[str, Any]:
        """Follow the chain of the audit."""
        return await self._verify()

    def stop(self, *, kill: bool, drain: bool) -> None:
        """Begin to stop the engine."""
        self.stopping = True
        self._on_stop(kill, drain)


def _first_line(file: str, fault: str) -> str:
    """The first fault of a file; most name the file themselves."""
    line = (fault.splitlines() or [""])[0]
    return line if line.startswith(file) else f"{file}: {line}"
