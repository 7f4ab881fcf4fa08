"""Runs as they were: the journal folded up to a moment, a bounded piece for each question.

Who looks back asks until the moment is reached. What was gone through is kept, for the runs that were looked at last,
so that the next moment is near.
"""

from engine.core.replay import Replay, Replays
from engine.core.state import RunState
from engine.server.ports import History

EVENTS_A_QUESTION = 2_500
_RUNS = 4
_ROWS = 8_000_000


class Pasts:
    """One for all sessions."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._runs: dict[int, Replays] = {}

    def go(self, run: RunState, until: int, until_ns: int) -> tuple[Replay, bool]:
        """Go to the last change that is neither after the revision nor after the instant. Where it stands, and whether
        it is there."""
        past = self._runs.pop(run.run, None) or Replays(run.header, run.plan)
        self._runs[run.run] = past  # the newest last
        while len(self._runs) > 1 and (len(self._runs) > _RUNS or self._rows() > _ROWS):
            del self._runs[next(iter(self._runs))]
        past.rewind(until, until_ns)
        page = self._history.past_page(run.run, past.now.revision, until, until_ns, EVENTS_A_QUESTION)
        for batch in page.batches:
            past.take(batch)
        return past.now, not page.more

    def _rows(self) -> int:
        return sum(kept.rows for kept in self._runs.values())

    def clear(self) -> None:
        """Forget what was gone through."""
        self._runs.clear()
