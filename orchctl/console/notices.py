"""What others do. The audit is read again whenever the engine's revision has moved on, and what another operator, or
another console or command of the same one, did meanwhile is told in one line. It waits until what stands there was
read: an answer to an own act outranks it.
"""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from engine.model.errors import EngineError
from engine.protocol.messages import GetEngine, ListAudit, Rows
from engine.protocol.rows import AuditRow, EngineRow
from orchctl.console.feed import Feed
from orchctl.console.store import Change, Picture
from orchctl.text import count_text

EVERY_S = 2.0
_LINES = 20
_SHOWN = 2


def audit_text(row: AuditRow) -> str:
    """`alice cancelled r12 parse`, in the audit's own words."""
    refused = "" if row.result == "accepted" else f" (refused: {row.result})"
    return f"{row.actor or row.uid} by {from_text(row)}: {row.verb} {row.target}{refused}"


def from_text(row: AuditRow) -> str:
    """`console pts/3`: by which means, from where."""
    return f"{row.via} {row.place}".strip()


def told(rows: list[AuditRow]) -> str:
    """The newest of some acts in one sentence, and how many there were before."""
    newest = "; ".join(audit_text(row) for row in rows[-_SHOWN:])
    return f"{newest}; and {count_text(len(rows) - _SHOWN, 'act')} before" if len(rows) > _SHOWN else newest


class Notices:
    """Tells of acts that are not this console's own. `said_at` gives the instant of the newest sentence of all, by the
    monotonic clock.
    """

    def __init__(self, feed: Feed, tell: Callable[[str, str], None], said_at: Callable[[], float]) -> None:
        self._feed = feed
        self._tell = tell
        self._said_at = said_at
        self.read_s = 5.0
        """What is told now stands at least so long."""
        self._engine: Picture[EngineRow] = Picture(EngineRow, self._changed)
        self._seen = -1
        self._news = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch from now on."""
        self._feed.subscribe(GetEngine(), self._engine, 0.5)
        self._reading = asyncio.create_task(self._read_on())

    def stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    def _changed(self, change: Change) -> None:
        self._news.set()

    async def _read_on(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            with suppress(EngineError, msgspec.ValidationError):
                answer = await self._feed.ask(ListAudit(limit=_LINES), Rows)
                others = self._news_of(msgspec.convert(answer.rows, list[AuditRow]))
                if others:
                    await asyncio.sleep(self._said_at() + self.read_s - time.monotonic())
                    self._tell(told(others), "yellow")
            await asyncio.sleep(EVERY_S)

    def _news_of(self, rows: list[AuditRow]) -> list[AuditRow]:
        """What others did since the last look, the oldest first, of lines of the audit, the newest first. Those that
        were there before this console are no news."""
        newest = max((row.revision for row in rows), default=0)
        before, self._seen = self._seen, max(newest, self._seen)
        return [row for row in reversed(rows) if row.revision > before >= 0 and not self._is_own(row)]

    def _is_own(self, row: AuditRow) -> bool:
        return (row.uid, row.via, row.place) == (os.getuid(), "console", self._feed.place)
