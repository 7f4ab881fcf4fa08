"""One connection to the engine: connect, shake hands, ask, subscribe. It never reconnects by itself.

Answers carry the number of their request, so pieces of a subscription that arrive while a question waits are
kept for whoever reads the subscription.
"""

import os
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from msgspec.structs import replace

from engine.model.errors import (
    Conflict,
    DefinitionError,
    EngineError,
    Forbidden,
    IllegalTransition,
    NotFound,
    Unavailable,
    ValueFault,
)  # fmt: skip
from engine.protocol.framing import FrameBuffer, decode_reply, frame
from engine.protocol.messages import PROTOCOL, AnyReply, Hello, Refused, Reply, Request, Welcome
from orchctl.paths import Home, socket_address

ANSWER_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5.0
PATIENCE_S = 1.0
REPLY_BYTES_MAX = 16 * 2**20
_READ_BYTES = 256 * 2**10
_KINDS = (
    EngineError,
    ValueFault,
    NotFound,
    Conflict,
    Unavailable,
    Forbidden,
    IllegalTransition,
    DefinitionError,
)
EXIT_CODES = {kind.code: kind.exit_code for kind in _KINDS}

R = TypeVar("R", bound=Reply)


class NoEngine(Unavailable):
    """Nothing answers at the home's socket."""


class EngineGone(Unavailable):
    """The connection broke, or the engine stopped answering. Whether the last request was done is not known."""


class RefusalError(EngineError):
    """The engine's `Refused`, with its code and the exit code that belongs to it."""

    def __init__(self, reply: Refused) -> None:
        super().__init__(reply.sentence, reply.hint)
        self.code = reply.code
        self.exit_code = EXIT_CODES.get(reply.code, 3)
        self.faults = reply.faults


def no_engine(home: Home) -> NoEngine:
    return NoEngine(f"no engine runs in {home}", "start it with `orchctl engine start`")


class Connection:
    """A socket whose other end is an engine of our protocol. Made by `open_connection`."""

    def __init__(self, connected: socket.socket) -> None:
        self.on_wait: Callable[[], None] | None = None
        """Called once for a question whose answer has not come within a second."""
        self._socket = connected
        self._buffer = FrameBuffer(REPLY_BYTES_MAX)
        self._arrived: deque[AnyReply] = deque()
        self._kept: deque[AnyReply] = deque()
        self._last_id = 0
        self.welcome: Welcome | None = None

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, request: Request) -> int:
        """Send a request; the number that its answers carry. Raises EngineGone."""
        self._last_id += 1
        try:
            self._socket.settimeout(ANSWER_TIMEOUT_S)
            self._socket.sendall(frame(replace(request, id=self._last_id)))
        except OSError as error:
            raise EngineGone(f"the engine closed the connection ({error})") from error
        return self._last_id

    def receive(self, timeout_s: float) -> AnyReply | None:
        """The next reply, kept ones first; None when none came in time. Raises EngineGone."""
        if self._kept:
            return self._kept.popleft()
        return self._read(timeout_s)

    def ask(self, request: Request, kind: type[R], timeout_s: float = ANSWER_TIMEOUT_S) -> R:
        """The answer to a request. Raises RefusalError, or EngineGone when no answer of that kind came."""
        number = self.send(request)
        deadline = time.monotonic() + timeout_s
        patience_s = PATIENCE_S if self.on_wait is not None else timeout_s
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            reply = self._read(min(left_s, patience_s))
            if reply is None and self.on_wait is not None and patience_s < left_s:
                self.on_wait()
                patience_s = timeout_s
                continue
            if reply is None:
                raise EngineGone(f"the engine did not answer within {timeout_s:.0f} s", "see `orchctl doctor`")
            if reply.id == number:
                break
            self._kept.append(reply)
        if isinstance(reply, Refused):
            raise RefusalError(reply)
        if not isinstance(reply, kind):
            raise EngineGone(f"the engine answered {type(request).__name__} with {type(reply).__name__}")
        return reply

    def _read(self, timeout_s: float) -> AnyReply | None:
        deadline = time.monotonic() + timeout_s
        while not self._arrived:
            try:
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                data = self._socket.recv(_READ_BYTES)
            except TimeoutError:
                return None
            except OSError as error:
                raise EngineGone(f"the connection to the engine broke ({error})") from error
            if not data:
                raise EngineGone("the engine closed the connection")
            try:
                self._arrived.extend(decode_reply(body) for body in self._buffer.feed(data))
            except ValueFault as fault:
                raise EngineGone(f"the engine sent what is no reply: {fault.sentence}") from fault
        return self._arrived.popleft()


def speaking_from() -> str:
    """The terminal that this process speaks from, `pts/3`; empty without one."""
    for descriptor in range(3):
        with suppress(OSError):
            return os.ttyname(descriptor).removeprefix("/dev/")
    return ""


def open_connection(home: Home, *, read_only: bool = False, timeout_s: float = CONNECT_TIMEOUT_S) -> Connection:
    """Connect and shake hands. Raises NoEngine, EngineGone, RefusalError, or Unavailable for another protocol."""
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    connection = Connection(connected)
    try:
        connected.settimeout(timeout_s)
        try:
            with socket_address(home.socket_text) as address:
                connected.connect(address)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise no_engine(home) from error
        except TimeoutError as error:
            raise EngineGone(f"the engine in {home} did not accept a connection") from error
        except OSError as error:
            raise NoEngine(f"the engine's socket {home.socket_text} cannot be used: {error.strerror}") from error
        hello = Hello(protocol=PROTOCOL, via="cli", place=speaking_from(), read_only=read_only)
        welcome = connection.ask(hello, Welcome, timeout_s)
        if welcome.protocol != PROTOCOL:
            raise Unavailable(
                f"the engine speaks protocol {welcome.protocol}, this orchctl {PROTOCOL}",
                "restart the engine: `orchctl engine stop`, then `orchctl engine start`",
            )
    except BaseException:
        connection.close()
        raise
    connection.welcome = welcome
    return connection
