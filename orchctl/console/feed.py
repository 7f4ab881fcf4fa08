"""The console's line to the engine: one connection on the event loop, with questions, acts and subscriptions.

The feed never gives up. When the engine goes away it says since when (`stale`), tries again with growing pauses, and
subscribes anew, so that every sink gets a fresh snapshot. A delta that does not follow what a sink knows makes it
subscribe anew too. An engine that is there but answers nothing counts as away after `SILENCE_S`.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, Protocol, TypeVar

from msgspec.structs import replace

from engine.model.errors import EngineError, ValueFault
from engine.protocol.framing import FrameBuffer, decode_reply, frame
from engine.protocol.messages import (
    PROTOCOL,
    AnyReply,
    Delta,
    Done,
    GetEngine,
    Gone,
    Hello,
    Refused,
    Reply,
    Request,
    Rows,
    Snapshot,
    Subscribe,
    Unsubscribe,
    View,
    Welcome,
)
from orchctl.client.connection import (
    REPLY_BYTES_MAX,
    EngineGone,
    NoEngine,
    RefusalError,
    no_engine,
    speaking_from,
)  # fmt: skip
from orchctl.client.session import new_request_id
from orchctl.console import actions
from orchctl.console.decode import clean
from orchctl.paths import Home, socket_address
from orchctl.views import OutOfStepError

ANSWER_TIMEOUT_S = 10.0
ACT_WITHIN_S = 15.0
HEARTBEAT_S = 5.0
SILENCE_S = 10.0
_BACKOFF_S = (0.1, 0.2, 0.4, 0.8, 1.0)
_REFUSED_AGAIN_S = 5.0
_READ_BYTES = 256 * 2**10

Link = Literal["connecting", "live", "stale", "refused"]
R = TypeVar("R", bound=Reply)


class Sink(Protocol):
    """Who takes the replies of a subscription."""

    def apply(self, reply: Snapshot | Delta) -> None:
        """Take a reply in. Raises OutOfStepError where it does not follow, ValueFault where it makes no sense."""
        ...

    def settled(self) -> None:
        """All replies that had arrived are taken in: draw now."""
        ...

    def ended(self, why: str) -> None:
        """Nothing will come any more: the subject is gone, or the engine refused."""
        ...


class Subscription:
    """One view that is kept current. `cancel` ends it; it may be cancelled twice."""

    def __init__(self, feed: "Feed", view: View, sink: Sink, rate: float) -> None:
        self._feed = feed
        self.view = view
        self.sink = sink
        self.rate = rate
        self.number = 0

    def cancel(self) -> None:
        self._feed.forget(self)


class Feed:
    """The line to one home's engine. `run` is its life; everything else is called from the same loop."""

    def __init__(
        self,
        home: Home,
        *,
        read_only: bool = False,
        on_link: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._read_only = read_only
        self._on_link = on_link
        self._clock = clock
        self._writer: asyncio.StreamWriter | None = None
        self._last_id = 0
        self._asked: dict[int, asyncio.Future[AnyReply]] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._wanted: list[Subscription] = []
        self._live = asyncio.Event()
        self._heard_at = clock()
        self.place = speaking_from() or f"pid {os.getpid()}"
        """From where this console speaks, as the audit tells it."""
        self.link: Link = "connecting"
        self.welcome: Welcome | None = None
        self.trouble = ""

    @property
    def live(self) -> bool:
        return self.link == "live"

    @property
    def may_act(self) -> bool:
        """Whether acts make sense now: connected, and neither the operator nor the role forbids it."""
        return self.live and not self.viewer

    @property
    def viewer(self) -> bool:
        """Whether this console only looks: asked for, or all that the role allows."""
        return self._read_only or (self.welcome is not None and self.welcome.role == "viewer")

    def stale_s(self) -> float:
        """Seconds since the engine was last heard; 0 while it is live."""
        return 0.0 if self.live else max(0.0, self._clock() - self._heard_at)

    # --- life -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, listen, and connect again, until cancelled."""
        failures = 0
        try:
            while True:
                try:
                    reader, writer = await self._connect()
                    try:
                        failures = 0
                        await self._serve(reader)
                    finally:
                        await self._hang_up(writer)
                except RefusalError as refusal:
                    self._lost("refused", f"{refusal.sentence} {refusal.hint}".strip())
                    await asyncio.sleep(_REFUSED_AGAIN_S)
                    continue
                except (EngineError, OSError) as error:
                    self._lost("stale" if self.welcome is not None else "connecting", str(error))
                await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
                failures += 1
        finally:
            self._lost("stale", "this console has left")

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connected.setblocking(False)  # noqa: FBT003
            try:
                with socket_address(self._home.socket) as address:
                    connected.connect(address)
            except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
                raise no_engine(self._home) from error
            except OSError as error:  # BlockingIOError: its queue of new connections is full
                why = os.strerror(error.errno or 0)
                raise NoEngine(f"the engine's socket {self._home.socket} cannot be used: {why}") from error
            reader, writer = await asyncio.open_unix_connection(sock=connected)
        except BaseException:
            connected.close()
            raise
        self._writer = writer
        self._last_id += 1
        hello = Hello(id=self._last_id, protocol=PROTOCOL, via="console", place=self.place, read_only=self._read_only)
        writer.write(frame(hello))
        return reader, writer

    async def _serve(self, reader: asyncio.StreamReader) -> None:
        hello = self._last_id
        buffer = FrameBuffer(REPLY_BYTES_MAX)
        self._heard_at = self._clock()
        heartbeat: asyncio.Task[None] | None = None
        try:
            while True:
                async with asyncio.timeout(SILENCE_S):
                    data = await reader.read(_READ_BYTES)
                if not data:
                    raise EngineGone("the engine closed the connection")
                self._heard_at = self._clock()
                replies = [clean(decode_reply(body)) for body in buffer.feed(data)]
                if not self.live:
                    replies = self._greet(replies, hello)
                    heartbeat = asyncio.create_task(self._beat()) if self.live else None
                self._take(replies)
        except TimeoutError as error:
            raise EngineGone(f"the engine said nothing for {SILENCE_S:.0f} s") from error
        except ValueFault as fault:
            raise EngineGone(f"the engine sent what is no reply: {fault.sentence}") from fault
        finally:
            if heartbeat is not None:
                heartbeat.cancel()
                with suppress(asyncio.CancelledError):
                    await heartbeat

    def _greet(self, replies: list[AnyReply], hello: int) -> list[AnyReply]:
        if not replies:
            return replies
        first = replies[0]
        if isinstance(first, Refused) and first.id in (hello, 0):
            raise RefusalError(first)
        if not isinstance(first, Welcome) or first.protocol != PROTOCOL:
            spoken = first.protocol if isinstance(first, Welcome) else "another language"
            raise RefusalError(
                Refused(
                    code="unavailable",
                    sentence=f"the engine speaks protocol {spoken}, this console {PROTOCOL}",
                    hint="restart the engine",
                )
            )
        self.welcome = first
        self.link = "live"
        self.trouble = ""
        for subscription in self._wanted:
            self._open(subscription)
        self._live.set()
        self._on_link()
        return replies[1:]

    async def _beat(self) -> None:
        """Ask something small now and then, so that an engine that hangs is told from one with no news."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            with suppress(EngineError):
                await self.ask(GetEngine(), Rows, timeout_s=SILENCE_S)

    async def _hang_up(self, writer: asyncio.StreamWriter) -> None:
        self._writer = None
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def _lost(self, link: Link, trouble: str) -> None:
        self.link = link
        self.trouble = trouble
        self._live.clear()
        self._subscriptions.clear()
        asked, self._asked = self._asked, {}
        for answer in asked.values():
            if not answer.done():
                answer.set_exception(EngineGone("the connection to the engine broke"))
        self._on_link()

    # --- replies --------------------------------------------------------------------------------------------------

    def _take(self, replies: list[AnyReply]) -> None:
        touched: dict[int, Subscription] = {}
        for reply in replies:
            answer = self._asked.pop(reply.id, None)
            if answer is not None:
                if not answer.done():
                    answer.set_result(reply)
                continue
            subscription = self._subscriptions.get(reply.id)
            if subscription is not None and self._deliver(subscription, reply):
                touched[id(subscription)] = subscription
        for subscription in touched.values():
            subscription.sink.settled()

    def _deliver(self, subscription: Subscription, reply: AnyReply) -> bool:
        """Hand a reply to a sink. Whether its picture changed."""
        if isinstance(reply, Snapshot | Delta):
            try:
                subscription.sink.apply(reply)
            except OutOfStepError:
                self._close(subscription)
                self._open(subscription)
                return False
            except ValueFault as fault:  # asking again would bring the same
                self.forget(subscription)
                subscription.sink.ended(fault.sentence)
                return False
            return True
        why = reply.why if isinstance(reply, Gone) else "the engine sent no view"
        if isinstance(reply, Refused):
            why = reply.sentence
        self.forget(subscription)
        subscription.sink.ended(why)
        return False

    # --- requests -------------------------------------------------------------------------------------------------

    def _send(self, request: Request) -> int:
        if self._writer is None or self._writer.is_closing():
            raise EngineGone("the engine is not connected")
        self._last_id += 1
        self._writer.write(frame(replace(request, id=self._last_id)))
        return self._last_id

    async def ask(self, request: Request, kind: type[R], timeout_s: float = ANSWER_TIMEOUT_S) -> R:
        """The answer to a question. Raises RefusalError, or EngineGone when none of that kind comes in time."""
        if not self.live:
            raise EngineGone("the engine is not connected")
        number = self._send(request)
        answer: asyncio.Future[AnyReply] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            async with asyncio.timeout(timeout_s):
                reply = await answer
        except TimeoutError as error:
            raise EngineGone(f"the engine did not answer within {timeout_s:.0f} s") from error
        finally:
            self._asked.pop(number, None)
        if isinstance(reply, Refused):
            raise RefusalError(reply)
        if not isinstance(reply, kind):
            raise EngineGone(f"the engine answered {type(request).__name__} with {type(reply).__name__}")
        return reply

    async def act(self, request: actions.Request) -> Done:
        """Have something done, once: sent again under the same name where the connection broke meanwhile.

        Raises RefusalError, or EngineGone when the engine did not come back in time.
        """
        named = replace(request, request_id=request.request_id or new_request_id())
        deadline = asyncio.get_running_loop().time() + ACT_WITHIN_S
        while True:
            try:
                return await self.ask(named, Done)
            except EngineGone as gone:
                try:
                    async with asyncio.timeout_at(deadline):
                        await self._live.wait()
                        await asyncio.sleep(_BACKOFF_S[0])
                except TimeoutError:
                    raise EngineGone(f"whether it was done is not known: {gone.sentence}") from gone

    def subscribe(self, view: View, sink: Sink, rate: float = 10.0) -> Subscription:
        """Keep a view current in a sink, across restarts of the engine. `rate`: updates a second, 0.2 to 20."""
        subscription = Subscription(self, view, sink, rate)
        self._wanted.append(subscription)
        if self.live:
            self._open(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        if subscription in self._wanted:
            self._wanted.remove(subscription)
        if self._subscriptions.get(subscription.number) is subscription:
            self._close(subscription)

    def _open(self, subscription: Subscription) -> None:
        with suppress(EngineGone):  # then the reader notices too, and all are opened again
            subscription.number = self._send(Subscribe(view=subscription.view, rate=subscription.rate))
            self._subscriptions[subscription.number] = subscription

    def _close(self, subscription: Subscription) -> None:
        self._subscriptions.pop(subscription.number, None)
        with suppress(EngineGone):
            self._send(Unsubscribe(subscription=subscription.number))
