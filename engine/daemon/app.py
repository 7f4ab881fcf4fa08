"""The engine as a program: everything is opened here in order, runs in one nursery, and is closed in reverse.

The order of a start matters. The state is opened (a second engine is refused) and a keeper is started where none is,
by `main`; the new epoch is committed, and only then the keeper and launchers are contacted, so that no two lives of an
engine can ever use the same epoch. What became of attempts while no engine ran is known to the loop before the socket
opens.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio

from engine.core.changes import Changes
from engine.core.events import Actor, Ask, ClockAdvanced, EngineStarted, External, SpaceChanged, WorkflowAdded
from engine.core.machine import Machine, sample_of
from engine.daemon.catalogue import Catalogue
from engine.daemon.clock import EngineClock, boot_id
from engine.daemon.config import Config, launchers_of, noise_of
from engine.daemon.folders import Folders
from engine.daemon.history import StoredHistory
from engine.daemon.log import say
from engine.daemon.loop import Loop
from engine.daemon.tending import Tending
from engine.daemon.world import DaemonWorld
from engine.definition.compile_python import definition_in
from engine.execution.executor import Executor, Rows
from engine.execution.pressure import HostWatch
from engine.model.errors import Unavailable
from engine.model.resources import parse_size
from engine.planning.plan import Plan
from engine.server.access import access_of
from engine.server.server import Server
from engine.store.environment import Environment
from engine.store.errors import StoreFull
from engine.store.load import Loaded
from engine.store.records import Batch, encode_batch
from engine.store.writer import SpaceLimits, Writer

FULL_DISK_S = 5.0
FULL_DISK_PAUSE_S = 0.5


class App:
    """One life of the engine in a home. `run` returns the exit code."""

    def __init__(self, home: Path, config: Config, environment: Environment, loaded: Loaded) -> None:
        self._home = home
        self._config = config
        self._environment = environment
        self._loaded = loaded
        self._stop = trio.Event()
        self._kill = False
        self._drain = False

    async def run(self) -> int:
        """Until somebody stops it. Raises EngineError where it cannot start, and what makes it unable to go on."""
        environment, loaded = self._environment, self._loaded
        for sentence in loaded.damage:
            say("damage", sentence=sentence)
        state = loaded.state
        state.meta.epoch += 1
        clock = EngineClock(state.meta.now_ns)
        machine = Machine(state, self._config.pressure)
        history = StoredHistory(environment)
        async with Writer(environment, state.meta.revision) as writer:

            async def commit(changes: Changes) -> None:
                await self._commit(writer, environment, encode_batch(state, changes))

            loop = Loop(machine, clock, commit, history.read_run)
            machine.drain()  # nothing is ordered before there is somebody to order it from
            loop.post([EngineStarted(state.meta.epoch, state.capacity, boot_id())])
            await loop.turn()
            executor = self._executor(state.meta.instance, state.meta.epoch, loop)
            try:
                orders = {number: Rows(one.done, one.limit, one.is_block) for number, one in state.attempts.items()}
                loop.post([*await executor.connect(orders), ClockAdvanced()])
                machine.drain(on=False)
                return await self._serve(environment, writer, loop, executor, history)
            finally:
                with trio.CancelScope(shield=True):
                    await executor.aclose()

    async def _commit(self, writer: Writer, environment: Environment, batch: Batch) -> None:
        """Write a batch; a full disk gets the ballast and a little time before it ends the engine."""
        until = trio.current_time() + FULL_DISK_S
        while True:
            try:
                await writer.commit(batch)
            except StoreFull as error:
                if trio.current_time() > until:
                    raise
                freed = environment.ballast.release()
                say("the disk is full", why=error.sentence, ballast_released=freed)
                await trio.sleep(FULL_DISK_PAUSE_S)
            else:
                return

    def _executor(self, instance: int, epoch: int, loop: Loop) -> Executor:
        def report(events: Sequence[External]) -> None:
            loop.post(events)

        return Executor(
            home=self._home, run_dir=self._home / "run", logs=self._home / "logs", instance=instance, epoch=epoch,
            launchers=launchers_of(self._config), report=report, noise=noise_of(self._config),
        )  # fmt: skip

    async def _serve(
        self, environment: Environment, writer: Writer, loop: Loop, executor: Executor, history: StoredHistory
    ) -> int:
        catalogue = Catalogue(loop.machine)
        folders = self._watched_folders(executor, catalogue, loop)
        tending = Tending(self._home, environment, writer, self._config, loop, loop.forgetting, loop.clock.now_ns)
        world = DaemonWorld(
            home=self._home, loop=loop, catalogue=catalogue, executor=executor, folders=folders,
            backup=tending.backup, collect=tending.collect, verify=tending.verify,
            store_bytes=lambda: environment.file_bytes, on_stop=self._begin_stop, damage=self._loaded.damage,
        )  # fmt: skip
        roles: dict[str, Any] = {}
        if self._config.access is not None:
            access = self._config.access
            roles = {"viewer": access.viewer, "operator": access.operator, "admin": access.admin}
        server = Server(
            self._home / "run" / "engine.sock", access_of(roles, os.getuid()), loop.machine.state, history, world,
            self._home / "logs",
        )  # fmt: skip
        loop.world = executor
        loop.audience = server
        async with trio.open_nursery() as nursery:
            await nursery.start(executor.run)
            await nursery.start(server.run)
            nursery.start_soon(self._run_loop, loop, server)
            nursery.start_soon(folders.run)
            nursery.start_soon(tending.run)
            nursery.start_soon(self._watch_host, world)
            nursery.start_soon(self._watch_space, tending, loop)
            nursery.start_soon(self._watch_pressure, loop, executor)
            nursery.start_soon(self._watch_signals)
            say("serving", home=self._home, revision=loop.machine.state.meta.revision)
            await self._stop.wait()
            world.stopping = True
            if self._drain:
                loop.machine.drain()
                await loop.attempts_ended()
            async with loop.settled:  # nothing is on its way to disk, and nothing more is taken
                if self._kill or not loop.machine.state.attempts:
                    await executor.shutdown(self._kill)
                nursery.cancel_scope.cancel()
        say("stopped")
        return 0

    # --- what goes on beside the loop -------------------------------------------------------------------------------

    def _begin_stop(self, kill: bool, drain: bool) -> None:
        self._kill = self._kill or kill
        self._drain = drain and not self._kill
        self._stop.set()

    async def _run_loop(self, loop: Loop, server: Server) -> None:
        """The loop ends only by a fault of the store; those who were told of a full disk get to read it."""
        try:
            await loop.run()
        except Unavailable:
            await server.drain()
            raise

    async def _watch_signals(self) -> None:
        """SIGTERM and SIGINT end the engine, not what it runs."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for number in signals:
                if number != signal.SIGHUP:
                    self._begin_stop(kill=False, drain=False)

    async def _watch_host(self, world: DaemonWorld) -> None:
        while True:
            await world.sample_host()
            await trio.sleep(1)

    async def _watch_pressure(self, loop: Loop, executor: Executor) -> None:
        """The machine hears of the host where it is short of something, and until it no longer is."""
        pressure = loop.machine.cx.pressure
        watch = HostWatch(executor.cpu_of_ours, pressure.foreign_worth)
        while True:
            sample = await watch.look(loop.clock.now_ns())
            if pressure.concerned(sample_of(sample)):
                loop.post([sample])
            await trio.sleep(1)

    async def _watch_space(self, tending: Tending, loop: Loop) -> None:
        """Go read-only before there is no room to record what ends, and come back when there is again."""
        limits = SpaceLimits(disk_free_min_bytes=parse_size(self._config.store.free_bytes_min))
        while True:
            found = tending.space(limits)
            if found.low != loop.machine.state.meta.read_only:
                say("read-only" if found.low else "room again", why=found.why)
                loop.post([SpaceChanged(found.low)])
            await trio.sleep(1)

    # --- definitions in watched folders -----------------------------------------------------------------------------

    def _watched_folders(self, executor: Executor, catalogue: Catalogue, loop: Loop) -> Folders:
        async def compiled(path: Path) -> Plan:
            words = [sys.executable, "-m", "engine.definition", str(path)]
            return await catalogue.install(definition_in(await executor.compile(words, str(path.parent)), str(path)))

        def add(plan: Plan) -> None:
            actor = Actor(os.getuid(), "folder", "folder")
            loop.post([WorkflowAdded(Ask(actor=actor), plan.workflow.name, plan.version)])

        state = loop.machine.state
        known = [state.plans[entry.version] for entry in state.workflows.values() if entry.version in state.plans]
        defines = {Path(plan.workflow.source.file): plan.workflow.name for plan in known}
        named = [Path(os.path.expanduser(folder)) for folder in self._config.engine.workflows]
        return Folders([self._home / "workflows", *named], compiled, add, defines)
