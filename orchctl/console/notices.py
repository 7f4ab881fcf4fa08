"""What others do. The audit is read again whenever the engine's revision has moved on, and what another operator, or
another console or command of the same one, did meanwhile is told in one line.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress

import msgspec

from engine.model.errors import EngineError
from engine.protocol.messages import GetEngine, ListAudit, Rows
from engine.protocol.rows import AuditRow, EngineRow
from orchctl.console.feed import Feed
from orchctl.console.store import Change, Picture

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


class Notices:
    """Tells of acts that are not this console's own."""

    def __init__(self, feed: Feed, tell: Callable[[str, str], None]) -> None:
        self._feed = feed
        self._tell = tell
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
                self._take(msgspec.convert(answer.rows, list[AuditRow]))
            await asyncio.sleep(EVERY_S)

    def _take(self, rows: list[AuditRow]) -> None:
        """Lines of the audit, the newest first. Those that were there before this console are no news."""
        newest = max((row.revision for row in rows), default=0)
        before, self._seen = self._seen, max(newest, self._seen)
        if before < 0:
            return
        others = [row for row in reversed(rows) if row.revision > before and not self._is_own(row)]
        for row in others[-_SHOWN:]:
            more = f"  and {len(others) - _SHOWN} more acts" if len(others) > _SHOWN and row is others[-1] else ""
            self._tell(f"{audit_text(row)}{more}", "yellow")

    def _is_own(self, row: AuditRow) -> bool:
        return (row.uid, row.via, row.place) == (os.getuid(), "console", self._feed.place)
