"""One client's connection, from its first byte to its last. Whatever it sends, only this session can end by it.

A reader takes frames in and starts a task for each request, at most so many at once; a writer empties the outbox. The
first frame must be `Hello`. Requests of one session may be answered in any order, but for the pieces of an upload and
subscriptions, which are taken in as they come.
"""

import logging
import time

import trio
from msgspec.structs import replace

from engine.model.errors import Conflict, DefinitionError, EngineError, Unavailable, ValueFault
from engine.protocol.framing import FrameBuffer, decode_request, frame
from engine.protocol.messages import (
    PROTOCOL,
    Done,
    Hello,
    Refused,
    Reply,
    Request,
    Subscribe,
    Unsubscribe,
    Upload,
    Welcome,
)  # fmt: skip
from engine.server.access import Role
from engine.server.acting import Acts, Caller
from engine.server.desk import Desk
from engine.server.limits import Limits
from engine.server.outbox import Outbox
from engine.server.requests import acts
from engine.server.rows_of_host import engine_row
from engine.server.subscriptions import Hub, Subscriber

_READ_BYTES = 64 * 2**10
_FAULTS_SHOWN = 200
_SENTENCE_MAX = 4_000
_PLACE_MAX = 40
_log = logging.getLogger(__name__)


class _FarewellError(Exception):
    """The session ends, with this as its last word."""

    def __init__(self, error: EngineError) -> None:
        super().__init__(error.sentence)
        self.error = error


class Session:
    """A connection whose other end may come in."""

    def __init__(
        self, stream: trio.SocketStream, outbox: Outbox, caller: Caller, desk: Desk, acting: Acts, hub: Hub,
        limits: Limits,
    ) -> None:  # fmt: skip
        self.outbox = outbox
        self._stream = stream
        self._caller = caller
        self._desk = desk
        self._acting = acting
        self._hub = hub
        self._limits = limits
        self._buffer = FrameBuffer(limits.frame_bytes)
        self._slots = trio.Semaphore(limits.in_flight)
        self._turn = trio.Lock()
        self._subscribers: dict[int, Subscriber] = {}
        self._welcomed = False
        self._born_s = trio.current_time()
        self._began_s: float | None = None

    async def run(self) -> None:
        """Serve until the client goes, or does what ends a session. Raises nothing but a cancellation."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, nursery.cancel_scope)
                async with trio.open_nursery() as handlers:
                    try:
                        await self._read(handlers)
                    except _FarewellError as farewell:
                        self._refuse(0, farewell.error)
                    # what is being answered may still be answered, and what is written be read, for a moment
                    handlers.cancel_scope.deadline = trio.current_time() + self._limits.drain_s
                with trio.move_on_after(self._limits.drain_s):
                    await self.outbox.drained()
                nursery.cancel_scope.cancel()
        except Exception:
            _log.exception("a session ended by a fault of ours")
        finally:
            self.outbox.close()
            for subscriber in self._subscribers.values():
                self._hub.unsubscribe(subscriber)
            self._caller.uploads.clear()
            await trio.aclose_forcefully(self._stream)

    async def _write(self, session: trio.CancelScope) -> None:
        await self.outbox.write()
        session.cancel()

    # --- reading ----------------------------------------------------------------------------------------------------

    async def _read(self, nursery: trio.Nursery) -> None:
        while True:
            frames = await self._receive()
            if frames is None:
                return
            for body in frames:
                try:
                    request = decode_request(body)
                except ValueFault as fault:
                    raise _FarewellError(fault) from fault
                await self._take(request, nursery)

    async def _receive(self) -> list[bytes] | None:
        """The frames that have come; None at the end. A client that is too slow is sent away."""
        now_s = trio.current_time()
        deadline_s = float("inf") if self._welcomed else self._born_s + self._limits.hello_s
        if self._buffer.partial:
            self._began_s = self._began_s if self._began_s is not None else now_s
            deadline_s = min(deadline_s, self._began_s + self._limits.frame_s)
        data: bytes | None = None
        with trio.move_on_at(deadline_s):
            try:
                data = await self._stream.socket.recv(_READ_BYTES)
            except OSError:
                return None
        if data is None:
            what = "a frame was not finished" if self._buffer.partial else "no Hello came"
            raise _FarewellError(Unavailable(f"{what} in time"))
        if not data:
            return None
        try:
            frames = self._buffer.feed(data)
        except ValueFault as fault:
            raise _FarewellError(fault) from fault
        if frames:
            self._began_s = None
        return frames

    async def _take(self, request: Request, nursery: trio.Nursery) -> None:
        """One request: what must keep its order is done here, the rest in a task of its own."""
        if not self._welcomed:
            await self._hello(request)
            return
        await self._slots.acquire()
        if isinstance(request, Hello | Upload | Unsubscribe):
            await self._guarded(request)
        else:
            nursery.start_soon(self._guarded, request)

    async def _hello(self, request: Request) -> None:
        if not isinstance(request, Hello):
            raise _FarewellError(ValueFault("the first message must be Hello"))
        if request.protocol != PROTOCOL:
            raise _FarewellError(
                Unavailable(
                    f"the engine speaks protocol {PROTOCOL}, the client {request.protocol}",
                    "restart the engine with the client's version: `orchctl engine stop`, then start",
                )
            )
        caller = self._caller
        caller.actor = replace(caller.actor, via=request.via, place=request.place[:_PLACE_MAX])
        if request.read_only:
            caller.role = Role.VIEWER
        self._welcomed = True
        desk = self._desk
        row = engine_row(desk.look, desk.clients())  # not kept waiting: the engine may be busy with a full disk
        self._send(Welcome(id=request.id, protocol=PROTOCOL, engine=row, role=caller.role.text))

    # --- answering --------------------------------------------------------------------------------------------------

    async def _guarded(self, request: Request) -> None:
        """Answer one request, by a refusal if need be."""
        try:
            await self._answer(request)
        except EngineError as error:
            self._refuse(request.id, error)
        except Exception:
            _log.exception("%s could not be answered", type(request).__name__)
            self._refuse(request.id, EngineError("the engine could not do this: see its log"))
        finally:
            self._slots.release()

    async def _answer(self, request: Request) -> None:
        self._acting.allow(self._caller, request)
        if isinstance(request, Hello):
            raise Conflict("this session has begun already")
        if isinstance(request, Upload):
            size = self._caller.uploads.add(request.upload, request.offset, request.data, time.monotonic())
            self._send(Done(id=request.id, body={"bytes": size}))
        elif isinstance(request, Subscribe):
            await self._subscribe(request)
        elif isinstance(request, Unsubscribe):
            subscriber = self._subscribers.pop(request.subscription, None)
            if subscriber is not None:
                self._hub.unsubscribe(subscriber)
            self._send(Done(id=request.id))
        elif acts(request):
            self._send(Done(id=request.id, body=await self._acting.do(self._caller, request)))
        else:
            async with self._turn:  # one large answer at a time
                await self.outbox.room()
                self.outbox.put(await self._desk.answer(request))

    async def _subscribe(self, request: Subscribe) -> None:
        known = self._subscribers.get(request.id)
        if known is not None and known in known.view.subscribers:
            raise Conflict(f"subscription {request.id} is open already", "give it a number of its own")
        open_ones = {number: kept for number, kept in self._subscribers.items() if kept in kept.view.subscribers}
        self._subscribers = open_ones
        if len(open_ones) >= self._limits.subscriptions_per_session:
            raise Unavailable("this session has too many subscriptions", "give up some of them")
        self._subscribers[request.id] = self._hub.subscribe(request.id, self.outbox, request.view, request.rate)

    def _send(self, reply: Reply) -> None:
        self.outbox.put(frame(reply))

    def _refuse(self, number: int, error: EngineError) -> None:
        self._send(refusal_of(number, error))


def refusal_of(number: int, error: EngineError) -> Refused:
    """An error as it goes over the wire; the faults of a definition one by one."""
    faults: tuple[str, ...] = ()
    sentence = error.sentence
    if isinstance(error, DefinitionError):
        faults = tuple(fault.render()[:_SENTENCE_MAX] for fault in error.faults[:_FAULTS_SHOWN])
        count = len(error.faults)
        sentence = "the definition has a fault" if count == 1 else f"the definition has {count} faults"
    sentence = sentence[:_SENTENCE_MAX].encode(errors="backslashreplace").decode()  # it may name a file
    return Refused(id=number, code=error.code, sentence=sentence, hint=error.hint, faults=faults)
