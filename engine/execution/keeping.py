"""The engine's line to the keeper: it starts one where none lives, and follows what becomes of its processes."""

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import Any

import trio

from engine.execution import wire
from engine.execution.beginning import begun, keeper_listens, start_keeper
from engine.execution.places import Places

_START_S = 10.0
_PAUSE_S = 0.005
_AGAIN_S = 0.3


class KeeperLine:
    """`on_slots` is told the slots of the launchers, whenever the keeper names them."""

    def __init__(
        self, places: Places, instance: int, launchers: int, on_slots: Callable[[Iterable[int]], None]
    ) -> None:
        self.pid = 0
        self.meter_pid = 0
        self._places = places
        self._instance = instance
        self._launchers = launchers
        self._on_slots = on_slots
        self._child = begun(places)
        self._stream: trio.SocketStream | None = None
        self._sending = trio.Lock()
        self._inbox = wire.Inbox()
        self._leaving: trio.Event | None = None
        self._left = False
        self._compiled: dict[int, tuple[trio.Event, list[dict[str, Any]]]] = {}
        self._ticket = 0

    async def connect(self) -> list[int]:
        """The slots of its launchers. Raises OSError when no keeper comes up."""
        self._places.prepare()
        with trio.move_on_after(_START_S):
            while True:
                with contextlib.suppress(OSError, wire.WireError, trio.BrokenResourceError):
                    return await self._connect_once()
                await self._start_and_wait()
        raise OSError(f"no keeper answers; see {self._places.diary}")

    async def _connect_once(self) -> list[int]:
        sock = wire.connect(self._places.socket("keeper"))
        sock.settimeout(0)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._inbox = wire.Inbox()
        try:
            await stream.send_all(wire.pack(["hello", self._instance, self._launchers]))
            while data := await stream.receive_some(65536):
                for message in self._inbox.feed(bytes(data)):
                    self._heard(message)
                    if message[0] == "status":
                        self._stream = stream
                        return sorted(int(slot) for slot in message[1]["launchers"])
            raise ConnectionResetError("the keeper closed the connection")
        finally:
            if self._stream is not stream:
                await trio.aclose_forcefully(stream)

    async def _start_and_wait(self) -> None:
        """Start a keeper; one that finds another alive ends by itself. Wait until one listens."""
        self._reap()
        if self._child == 0:
            self._child = start_keeper(self._places, self._instance, self._launchers)
        with trio.move_on_after(_AGAIN_S):
            while not self._reap():
                await trio.sleep(_PAUSE_S)
                if keeper_listens(self._places):
                    return

    def _reap(self) -> bool:
        """Whether the keeper that this engine started has ended."""
        if self._child:
            try:
                done, _ = os.waitpid(self._child, os.WNOHANG)
            except ChildProcessError:
                done = self._child
            if done:
                self._child = 0
                return True
        return False

    async def follow(self) -> None:
        """Read what the keeper says; when it dies, start another, which adopts the launchers."""
        while not self._left:
            await self._read()
            if self._stream is not None:
                await trio.aclose_forcefully(self._stream)
            self._stream, self.pid = None, 0
            if self._left:
                return
            for event, _ in self._compiled.values():
                event.set()
            with contextlib.suppress(OSError):
                self._on_slots(await self.connect())

    async def _read(self) -> None:
        try:
            while self._stream is not None and (data := await self._stream.receive_some(65536)):
                for message in self._inbox.feed(bytes(data)):
                    self._heard(message)
        except (OSError, wire.WireError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    def _heard(self, message: wire.Message) -> None:
        if message[0] == "status":
            self.pid, self.meter_pid = message[1]["pid"], message[1]["meter"]
            self._on_slots(int(slot) for slot in message[1]["launchers"])
        elif message[0] == "compiled" and message[1] in self._compiled:
            event, answers = self._compiled[message[1]]
            answers.append(message[2])
            event.set()
        elif message[0] in ("bye", "busy") and self._leaving is not None:
            self._left = message[0] == "bye"
            self._leaving.set()

    async def compile(self, words: list[str], folder: str) -> dict[str, Any]:
        """Run a compiler of definitions under the keeper: {"status": wait status, "why", "path" of its output}. The
        caller removes the file. `status` is -1 when it could not be run, or the keeper died meanwhile."""
        self._ticket += 1
        ticket, event, answers = self._ticket, trio.Event(), list[dict[str, Any]]()
        self._compiled[ticket] = (event, answers)
        try:
            if await self._send(["compile", ticket, words, folder]):
                await event.wait()
        finally:
            del self._compiled[ticket]
        return answers[0] if answers else {"status": -1, "why": "the keeper is not there", "path": ""}

    async def complain(self, slot: int) -> None:
        """The launcher of the slot is there and does not answer."""
        await self._send(["silent", slot])

    async def _send(self, message: wire.Message) -> bool:
        """Whether there is a keeper who may read it."""
        async with self._sending:
            if self._stream is None:
                return False
            try:
                await self._stream.send_all(wire.pack(message))
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                return False
            return True

    async def shutdown(self, kill: bool) -> bool:
        """Whether everything has ended. `follow` must be running."""
        self._leaving = trio.Event()
        if not await self._send(["shutdown", kill]):
            return False
        await self._leaving.wait()
        self._leaving = None
        if self._left and self._child:
            await trio.to_thread.run_sync(os.waitpid, self._child, 0)
            self._child = 0
        return self._left

    async def aclose(self) -> None:
        if self._stream is not None:
            await trio.aclose_forcefully(self._stream)
            self._stream = None
