"""The last runs of the workflow under a cursor, kept current while it stays there."""

from collections.abc import Callable

from textual.timer import Timer

from engine.protocol.messages import ListRuns
from engine.protocol.rows import RunRow
from orchctl.console.drawing import Line
from orchctl.console.feed import Subscription
from orchctl.console.screens.base import BaseScreen
from orchctl.console.store import Picture
from orchctl.console.timelines import strip_line

_RUNS = 60
_RATE = 0.5
_REST_S = 0.15
"""How long the cursor stays on a row before the engine is asked about it."""


class LastRuns:
    """`show` says which workflow is meant; `on_change` is called when there is something else to draw."""

    def __init__(self, screen: BaseScreen, on_change: Callable[[], None]) -> None:
        self._screen = screen
        self._on_change = on_change
        self._workflow = ""
        self._picture: Picture[RunRow] | None = None
        self._subscription: Subscription | None = None
        self._timer: Timer | None = None

    @property
    def rows(self) -> list[RunRow]:
        """Old to new."""
        return self._picture.rows[::-1] if self._picture is not None else []

    def show(self, workflow: str) -> None:
        """The cursor is on a row of this workflow now; empty: on none."""
        if workflow == self._workflow:
            return
        self.stop()
        self._workflow = workflow
        if workflow:
            self._timer = self._screen.set_timer(_REST_S, self._ask)

    def stop(self) -> None:
        """Look at none any more."""
        if self._timer is not None:
            self._timer.stop()
        if self._subscription is not None:
            self._subscription.cancel()
        self._timer = self._subscription = self._picture = None
        self._workflow = ""

    def _ask(self) -> None:
        self._picture = Picture(RunRow, lambda change: self._on_change())
        view = ListRuns(workflow=self._workflow, limit=_RUNS)
        self._subscription = self._screen.feed.subscribe(view, self._picture, _RATE)

    def line(self, width: int) -> Line:
        """How each ended and how long it took, old to new."""
        if self._picture is None or not self._picture.known:
            return []
        return strip_line(self.rows, width, self._screen.signs) if self.rows else [("no runs yet", "dim")]
