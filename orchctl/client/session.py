"""What a verb asks of an engine, across a restart of it. Questions are asked again after the connection
broke; acts too, because they carry a request id under which the engine does them once. Nothing else is
repeated.
"""

import os
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from engine.protocol.messages import (
    CHUNK_BYTES,
    ActRequest,
    AddWorkflow,
    Backup,
    CollectGarbage,
    Done,
    ListAudit,
    ListRuns,
    ListTasks,
    ListTrials,
    Reply,
    Request,
    Rows,
    StopEngine,
    Submit,
    Upload,
    Welcome,
)  # fmt: skip
from engine.protocol.rows import Row, TaskRow
from orchctl.client.connection import ANSWER_TIMEOUT_S, Connection, EngineGone, NoEngine, open_connection
from orchctl.paths import Home

REPEAT_WITHIN_S = 15.0
AWAY_MAX_S = 600.0
"""How long whoever follows something waits for an engine to come back."""
_ONCE = (StopEngine, Backup, CollectGarbage, Upload)
_BACKOFF_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
_PAGE_ROWS = 1000

R = TypeVar("R", bound=Reply)
RowT = TypeVar("RowT", bound=Row)
T = TypeVar("T")


def new_request_id() -> str:
    """A name for one act, so that sending it again does nothing twice."""
    return os.urandom(12).hex()


def typed(rows: list[dict[str, Any]], kind: type[RowT]) -> list[RowT]:
    """The rows as structs of a kind. Raises EngineGone where an engine sent something else."""
    try:
        return msgspec.convert(rows, list[kind])
    except msgspec.ValidationError as error:
        raise EngineGone(f"the engine sent rows that are no {kind.__name__}: {error}") from error


class Session:
    """An engine as a verb sees it. Connects at the first question; use it in a `with`. `on_wait` is called when an
    answer takes more than a second.
    """

    def __init__(self, home: Home, *, read_only: bool = False, on_wait: Callable[[], None] | None = None) -> None:
        self.home = home
        self._on_wait = on_wait
        self._read_only = read_only
        self._connection: Connection | None = None

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def connection(self) -> Connection:
        """The open connection, made where there is none. Raises as `open_connection`."""
        if self._connection is None:
            self._connection = open_connection(self.home, read_only=self._read_only)
            self._connection.on_wait = self._on_wait
        return self._connection

    def welcome(self) -> Welcome:
        """What the engine said of itself when the connection was made."""
        welcome = self.connection().welcome
        assert welcome is not None
        return welcome

    def ask(self, request: Request, kind: type[R], timeout_s: float = ANSWER_TIMEOUT_S) -> R:
        """The answer; asked again over a new connection where that is safe. Raises EngineError."""
        if isinstance(request, _ONCE):
            return self.connection().ask(request, kind, timeout_s)
        return self._repeating(lambda: self.connection().ask(request, kind, timeout_s))

    def rows(self, request: Request) -> Rows:
        return self.ask(request, Rows)

    def one(self, request: Request, kind: type[RowT]) -> tuple[RowT, dict[str, Any]]:
        """The only row of an answer, typed and as it came."""
        rows = self.rows(request).rows
        if len(rows) != 1:
            raise EngineGone(f"the engine sent {len(rows)} rows where one was asked for")
        return typed(rows, kind)[0], rows[0]

    def act(self, request: ActRequest) -> dict[str, Any]:
        """Do something, once. What became of it. Raises EngineError."""
        return self.ask(request, Done).body

    def send_definition(self, request: Submit | AddWorkflow, definition: bytes) -> dict[str, Any]:
        """Submit or add a workflow that is sent along, in pieces where it is long. Raises EngineError."""
        if len(definition) <= CHUNK_BYTES:
            return self.ask(msgspec.structs.replace(request, definition=definition), Done).body

        def whole() -> dict[str, Any]:  # an upload ends with its connection, so a repeat sends it again
            name = new_request_id()
            for offset in range(0, len(definition), CHUNK_BYTES):
                piece = definition[offset : offset + CHUNK_BYTES]
                self.connection().ask(Upload(upload=name, offset=offset, data=piece), Done)
            return self.connection().ask(msgspec.structs.replace(request, upload=name), Done).body

        return self._repeating(whole)

    def pages(self, request: ListTasks | ListTrials, most: int = 0) -> Iterator[dict[str, Any]]:
        """All rows of a run that match, page by page; at most `most` of them unless it is 0."""
        sent = 0
        while True:
            reply = self.rows(msgspec.structs.replace(request, offset=request.offset + sent))
            for row in reply.rows:
                yield row
                sent += 1
                if most and sent >= most:
                    return
            if not reply.cursor:  # a page may hold fewer rows than were asked for: what fits a frame
                return

    def newest(self, request: ListRuns | ListAudit, most: int) -> list[dict[str, Any]]:
        """The newest rows that match, at most so many, page by page."""
        found: list[dict[str, Any]] = []
        while len(found) < most:
            reply = self.rows(msgspec.structs.replace(request, limit=min(_PAGE_ROWS, most - len(found))))
            found += reply.rows
            if not reply.cursor:
                break
            request = msgspec.structs.replace(request, before=int(reply.cursor))
        return found

    def failed_rows(self, run: int, most: int) -> list[TaskRow]:
        """The first rows of a run that failed."""
        return typed(self.rows(ListTasks(run=run, statuses=("failed",), limit=most)).rows, TaskRow)

    def _repeating(self, attempt: Callable[[], T]) -> T:
        """The result of `attempt`, made again while the engine is away, for a bounded time.

        An engine that was never there is not waited for: only what broke after it had begun.
        """
        began = False
        deadline = time.monotonic() + REPEAT_WITHIN_S
        for wait_s in backoff():
            try:
                self.connection()
                began = True
                return attempt()
            except EngineGone:
                self.close()
                if time.monotonic() + wait_s > deadline:
                    raise
            except NoEngine:
                self.close()
                if not began or time.monotonic() + wait_s > deadline:
                    raise
            time.sleep(wait_s)
        raise AssertionError("backoff is endless")

    def reconnect(self, within_s: float) -> None:
        """Wait until the engine answers again. Raises NoEngine or EngineGone when it does not in time."""
        self.close()
        deadline = time.monotonic() + within_s
        for wait_s in backoff():
            try:
                self.connection()
                return
            except (NoEngine, EngineGone):
                self.close()
                if time.monotonic() + wait_s > deadline:
                    raise
            time.sleep(wait_s)


def backoff() -> Iterator[float]:
    """Seconds to wait between attempts to reach an engine: short first, then a second each."""
    yield from _BACKOFF_S
    while True:
        yield _BACKOFF_S[-1]
