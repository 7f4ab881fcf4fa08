"""The socket's side of the engine: who is connected, and the few doors through which the daemon speaks to it.

The daemon calls `publish` after every batch, as soon as the batch is on disk and before the next one is stepped, and
`answer` for each Answer that the machine gave; both return at once.
"""

import errno
import logging
import socket
import time
from collections import Counter
from pathlib import Path

import trio
from msgspec.structs import replace

from engine.core.changes import AuditEntry, Changes
from engine.core.effects import Answer
from engine.core.events import Actor
from engine.core.state import EngineState
from engine.model.errors import EngineError, Forbidden, Unavailable
from engine.protocol.framing import frame
from engine.server.access import Access, Peer, login_name, peer_of
from engine.server.acting import Acts, Caller
from engine.server.desk import Desk
from engine.server.gate import Gate
from engine.server.limits import Limits
from engine.server.listener import Listener
from engine.server.look import Look
from engine.server.outbox import Outbox, OutSpace
from engine.server.ports import History, World
from engine.server.session import Session, refusal_of
from engine.server.subscriptions import Hub
from engine.server.tickets import Tickets
from engine.server.uploads import Uploads, UploadSpace

_TICKETS_MAX = 20_000
_EXPIRE_EVERY_S = 10.0
_SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_log = logging.getLogger(__name__)


class Server:
    """Made once in an engine's life, run once."""

    def __init__(
        self, path: Path, access: Access, state: EngineState, history: History, world: World, logs: Path,
        limits: Limits | None = None,
    ) -> None:  # fmt: skip
        """Listen at `path` for whom `access` lets in; `logs` is the absolute folder of the logs."""
        self._path = path
        self._access = access
        self._world = world
        self._limits = limits or Limits()
        self._look = Look(state, history, world, str(logs))
        self._gate = Gate(world.settled)
        self._desk = Desk(self._look, self._gate, lambda: len(self._sessions))
        self._tickets = Tickets(_TICKETS_MAX)
        self._acts = Acts(self._look, world, self._tickets, self.history_pruned)
        self._hub = Hub(self._desk, self._limits)
        self._out_space = OutSpace(self._limits)
        self._upload_space = UploadSpace(self._limits)
        self._sessions: dict[Session, Caller] = {}
        self._by_uid: Counter[int] = Counter()
        self._names: dict[int, str] = {}
        self._accepting = trio.CancelScope()
        self._all = trio.CancelScope()
        self._over = trio.Event()

    # --- what the daemon calls --------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled or drained. Raises Unavailable or OSError where it cannot listen."""
        listener = Listener(self._path, shared=self._access.shared)
        try:
            with self._all:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._hub.run)
                    nursery.start_soon(self._expire)
                    task_status.started()
                    with self._accepting:
                        await self._accept(trio.socket.from_stdlib_socket(listener.socket), nursery)
                    await trio.sleep_forever()
        finally:
            listener.close()
            self._over.set()

    def publish(self, changes: Changes) -> None:
        """The batch is on disk (or was empty): the state may be looked at, and this is what has changed."""
        self._look.forget(changes)
        self._hub.mark(changes)
        self._gate.opened()

    def answer(self, answer: Answer) -> None:
        """The machine's answer to a request, whose cause is on disk."""
        self._tickets.give(answer)

    def history_pruned(self) -> None:
        """Retention has removed records."""
        self._look.forget_history()
        self._hub.mark_all()

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._sessions)

    async def drain(self) -> None:
        """Take no new connection, let the last answers be read for a moment, then end."""
        self._accepting.cancel()
        with trio.move_on_after(self._limits.drain_s):
            await self._tickets.all_given()
            for session in list(self._sessions):
                await session.outbox.drained()
        self._all.cancel()
        await self._over.wait()

    # --- connections ------------------------------------------------------------------------------------------------

    async def _accept(self, listening: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        while True:
            try:
                connected, _ = await listening.accept()
            except OSError as error:
                if error.errno in _SCARCE:  # those who are in go on; the next one waits in the kernel's queue
                    await trio.sleep(self._limits.accept_pause_s)
                continue
            try:
                peer = peer_of(connected)  # pyright: ignore[reportArgumentType] - it has getsockopt
                self._admit(connected, peer, nursery)
            except EngineError as error:
                _turn_away(connected, error)
            except OSError:
                connected.close()

    def _admit(self, connected: trio.socket.SocketType, peer: Peer, nursery: trio.Nursery) -> None:
        """Begin a session. Raises EngineError for a peer that may not, or may not now, come in."""
        role = self._access.role_of(peer)
        if role is None:
            error = Forbidden("your user has no role here", "ask its owner for a line under [access] in config.toml")
            self._acts.audit(AuditEntry(Actor(peer.uid, str(peer.uid), "socket"), "connect", "", error.code))
            raise error
        if len(self._sessions) >= self._limits.connections:
            raise Unavailable(f"{self._limits.connections} clients are connected already", "close some of them")
        if self._by_uid[peer.uid] >= self._limits.connections_per_uid:
            raise Unavailable(
                f"your user has {self._limits.connections_per_uid} connections already", "close some of them"
            )
        stream = trio.SocketStream(connected)
        caller = Caller(Actor(peer.uid, str(peer.uid), "cli"), role, Uploads(self._upload_space))
        outbox = Outbox(stream, self._out_space)
        session = Session(stream, outbox, caller, self._desk, self._acts, self._hub, self._limits)
        self._sessions[session] = caller
        self._by_uid[peer.uid] += 1
        nursery.start_soon(self._serve, session, caller)

    async def _serve(self, session: Session, caller: Caller) -> None:
        uid = caller.actor.uid
        try:
            if uid not in self._names:
                self._names[uid] = await trio.to_thread.run_sync(login_name, uid)
            caller.actor = replace(caller.actor, name=self._names[uid])
            await session.run()
        except Exception:
            _log.exception("a session ended by a fault of ours")
        finally:
            del self._sessions[session]
            self._by_uid[uid] -= 1
            if not self._by_uid[uid]:
                del self._by_uid[uid]

    async def _expire(self) -> None:
        """Forget uploads that nobody continues."""
        while True:
            await trio.sleep(_EXPIRE_EVERY_S)
            for caller in self._sessions.values():
                caller.uploads.expire(time.monotonic())


def _turn_away(connected: trio.socket.SocketType, error: EngineError) -> None:
    """Say why, if that can be said at once, and close."""
    plain = socket.socket(fileno=connected.detach())
    try:
        plain.settimeout(0)
        plain.send(frame(refusal_of(0, error)))
    except OSError:
        pass
    finally:
        plain.close()
