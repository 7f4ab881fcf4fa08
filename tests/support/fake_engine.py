"""An engine for tests of clients: a thread that serves the real wire on a real socket, and answers as it is
told.

Requests are decoded by `engine.protocol.framing`, so a client that sends what the wire does not know is
noticed. What is asked and was not told about is refused, as a test that forgets an answer should fail and not
hang.
"""

import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from engine.model.errors import ValueFault
from engine.protocol.framing import FrameBuffer, decode_request, frame
from engine.protocol.messages import (
    PROTOCOL,
    AnyRequest,
    Hello,
    Refused,
    Reply,
    Request,
    Rows,
    Snapshot,
    Subscribe,
    Unsubscribe,
    Welcome,
)
from engine.protocol.rows import EngineRow, Row

Answer = Reply | Callable[[Any], Reply | None]


def engine_row(home: Path, **changes: Any) -> EngineRow:
    """The row of an engine of this home."""
    known: dict[str, Any] = {
        "pid": os.getpid(),
        "state": "serving",
        "revision": 7,
        "version": "9.9",
        "protocol": PROTOCOL,
        "instance": "cafe",
        "epoch": 3,
        "started_at": "2026-11-23T12:00:00.000000Z",
        "home": str(home),
        "socket": str(home / "run" / "engine.sock"),
    }
    return EngineRow(**known | changes)


def rows_of(*rows: Row, total: int | None = None, cursor: str = "") -> Rows:
    """The answer that lists these rows."""
    maps = [msgspec.to_builtins(row) for row in rows]
    return Rows(revision=7, rows=maps, total=len(maps) if total is None else total, cursor=cursor)


def snapshot_of(*rows: Row, revision: int = 7) -> Snapshot:
    return Snapshot(revision=revision, rows=[msgspec.to_builtins(row) for row in rows], total=len(rows))


@dataclass
class _Client:
    socket: socket.socket
    buffer: FrameBuffer = field(default_factory=FrameBuffer)
    views: dict[str, int] = field(default_factory=dict)


class FakeEngine:
    """Serves a home while it is used in a `with`. `asked` holds every request in order, Hello too.

    `answers` maps a request's class to a reply, a function of the request, or a list of them that is used up
    to its last, which stays. A function that returns None breaks the connection instead. For a subscription
    the class is the view's, and the answer's rows are sent as a snapshot; `push` sends more.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.answers: dict[type[Request], Answer | list[Answer]] = {}
        self.subscriptions: dict[type[Request], Answer | list[Answer]] = {}
        self.asked: deque[AnyRequest] = deque()
        self.welcome = Welcome(protocol=PROTOCOL, engine=engine_row(home), role="admin")
        self.bad_frames: list[str] = []
        self._clients: list[_Client] = []
        self._listener: socket.socket | None = None
        self._wake_read, self._wake_write = os.pipe()
        self._work: deque[Callable[[], None]] = deque()
        self._done = False
        self._thread = threading.Thread(target=self._serve, name="fake engine")

    @property
    def path(self) -> Path:
        return self.home / "run" / "engine.sock"

    def __enter__(self) -> "FakeEngine":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._listen()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done = True
        os.write(self._wake_write, b"x")
        self._thread.join(10)
        assert not self._thread.is_alive()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def kinds(self) -> list[str]:
        """The names of what was asked, without Hello."""
        return [type(request).__name__ for request in self.asked if not isinstance(request, Hello)]

    def last(self, kind: type[Request]) -> Any:
        """The newest request of a kind."""
        return next(request for request in reversed(self.asked) if isinstance(request, kind))

    def push(self, view: type[Request], reply: Snapshot | Any) -> None:
        """Send a further piece to every subscription of a view."""
        self._do(lambda: self._push(view, reply))

    def drop(self) -> None:
        """Break all connections, as an engine that dies; new ones are accepted."""
        self._do(self._drop)

    def stop_listening(self) -> None:
        """Break all connections and refuse new ones."""
        self._do(lambda: (self._drop(), self._unlisten()))

    def listen_again(self) -> None:
        self._do(self._listen)

    # --- the thread -----------------------------------------------------------------------------------------

    def _do(self, work: Callable[[], Any]) -> None:
        done = threading.Event()
        self._work.append(lambda: (work(), done.set())[0])
        os.write(self._wake_write, b"x")
        if threading.current_thread() is not self._thread:
            assert done.wait(10)

    def _listen(self) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        folder = os.open(self.path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{self.path.name}")
        finally:
            os.close(folder)
        listener.listen(16)
        self._listener = listener

    def _unlisten(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self.path.unlink()

    def _drop(self) -> None:
        for client in self._clients:
            client.socket.close()
        self._clients.clear()

    def _serve(self) -> None:
        while not self._done:
            ready = [self._wake_read, *(client.socket for client in self._clients)]
            if self._listener is not None:
                ready.append(self._listener)
            for source in select.select(ready, [], [])[0]:
                if source == self._wake_read:
                    os.read(self._wake_read, 100)
                elif source is self._listener:
                    self._clients.append(_Client(self._listener.accept()[0]))
                else:
                    self._read(source)
            while self._work:
                self._work.popleft()()
        self._drop()
        self._unlisten()

    def _read(self, source: socket.socket) -> None:
        client = next((client for client in self._clients if client.socket is source), None)
        if client is None:  # broken by a request that came before this one
            return
        try:
            data = source.recv(1 << 20)
            bodies = client.buffer.feed(data)
            requests = [decode_request(body) for body in bodies]
        except ValueFault as fault:
            self.bad_frames.append(fault.sentence)
            data, requests = b"", []
        except OSError:
            data, requests = b"", []
        if not data:
            source.close()
            self._clients.remove(client)
            return
        for request in requests:
            self.asked.append(request)
            self._answer(client, request)

    def _answer(self, client: _Client, request: AnyRequest) -> None:
        if isinstance(request, Unsubscribe):
            return
        if isinstance(request, Hello):
            reply: Reply | None = self.welcome
        elif isinstance(request, Subscribe):
            client.views[type(request.view).__name__] = request.id
            found = self._find(self.subscriptions, request.view)
            reply = _as_snapshot(found) if isinstance(found, Rows) else found
        else:
            reply = self._find(self.answers, request)
        if reply is None:
            client.socket.close()
            self._clients = [other for other in self._clients if other is not client]
            return
        self._send(client, msgspec.structs.replace(reply, id=request.id))

    def _find(self, table: dict[type[Request], Answer | list[Answer]], request: Request) -> Reply | None:
        found = table.get(type(request))
        if found is None:
            return Refused(code="not_found", sentence=f"the test has no answer to {type(request).__name__}")
        answers = found if isinstance(found, list) else [found]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer if isinstance(answer, Reply) else answer(request)

    def _push(self, view: type[Request], reply: Reply) -> None:
        for client in self._clients:
            number = client.views.get(view.__name__)
            if number is not None:
                self._send(client, msgspec.structs.replace(reply, id=number))

    def _send(self, client: _Client, reply: Reply) -> None:
        try:
            client.socket.sendall(frame(reply))
        except OSError:
            client.socket.close()
            self._clients = [other for other in self._clients if other is not client]


def _as_snapshot(rows: Rows) -> Snapshot:
    return Snapshot(revision=rows.revision, rows=rows.rows, total=rows.total)
