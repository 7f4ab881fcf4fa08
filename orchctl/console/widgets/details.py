"""What is known of the thing under the cursor: its counts, percentiles of its durations and memory, failures by cause,
its attempts, and why it waits. All of it is asked for while the pane is in sight, and again every two seconds while the
thing can still change; the engine sums up.
"""

from collections.abc import Callable

import msgspec
from textual import events

from engine.model.errors import EngineError
from engine.protocol.messages import ExplainRun, GetStats, ListAttempts, Rows
from engine.protocol.rows import AttemptRow, GroupRow, MomentRow, ReasonRow, RunRow, StatsRow, TaskRow
from orchctl.console.drawing import FINISHED, Line, in_two_columns, rule
from orchctl.console.feed import Feed
from orchctl.console.past import attempts_then
from orchctl.console.runlines import (
    attempts_details,
    folded,
    group_details,
    reason_text,
    row_name,
    run_details,
    stats_details,
    task_details,
)
from orchctl.console.theme import Signs
from orchctl.console.widgets.lines import TextView

EVERY_S = 2.0
_WAITS = frozenset(("waiting", "ready", "backing_off"))


class Details(TextView):
    """Details of a run, a task or a row."""

    DEFAULT_CSS = """
    Details { width: 38; padding: 0 0 0 1; background: $surface; scrollbar-gutter: stable; }
    Details.below { dock: bottom; width: 100%; }
    """

    def __init__(
        self,
        signs: Signs,
        feed: Feed,
        run: int,
        now: Callable[[], float],
        moment: Callable[[], MomentRow | None],
        *,
        widget_id: str | None = None,
    ) -> None:
        """`moment` is the one of the past that is in sight, None now."""
        super().__init__(signs, widget_id=widget_id)
        self._feed = feed
        self._run = run
        self._now = now
        self._moment = moment
        self._asked_at = 0
        self._subject: RunRow | GroupRow | TaskRow | None = None
        self._attempts: list[AttemptRow] = []
        self._reasons: list[ReasonRow] = []
        self._stats: StatsRow | None = None
        self._asking = False
        self.below = 0
        """How many lines it has at the foot of the screen; 0 where it stands beside what it tells of."""

    def lie_below(self, lines: int) -> None:
        """Take so many lines at the foot of the screen; 0: stand beside."""
        if lines != self.below:
            self.below = lines
            self.set_class(lines > 0, "below")
            self.styles.height = lines or "1fr"

    def on_mount(self) -> None:
        self.set_interval(EVERY_S, self._ask_again)

    def on_resize(self, event: events.Resize) -> None:
        self.redraw()

    def show(self, subject: RunRow | GroupRow | TaskRow | None) -> None:
        """Show this from now on."""
        moment = self._moment()
        revision = 0 if moment is None else moment.revision
        other = _name(subject) != _name(self._subject) or revision != self._asked_at
        stands = None if self._subject is None else self._subject.status
        self._subject = subject
        self._asked_at = revision
        if other:
            self._attempts = []
            self._reasons = []
            self._stats = None
            self.top()
        if other or (subject is not None and subject.status != stands):
            self._ask()
        self.redraw()

    def redraw(self) -> None:
        """Make the lines anew: times go on."""
        subject = self._subject
        width = max(10, self.size.width - 1)
        if self.below:
            width = (width - 3) // 2
        now_s = self._now()
        match subject:
            case RunRow():
                lines = run_details(subject, width, self.signs, now_s)
            case GroupRow():
                lines = group_details(subject, width, self.signs, now_s)
            case TaskRow():
                lines = task_details(subject, width, self.signs, now_s)
            case None:
                lines = []
        lines += stats_details(self._stats, width, self.signs)
        lines += [*self._waits(width), *attempts_details(self._attempts, width, self.signs, now_s)]
        if self.below:
            lines = [rule(self.signs, 2 * width + 1), *in_two_columns(lines, self.below - 1, width)]
        self.set_lines(lines)

    def _waits(self, width: int) -> list[Line]:
        if not self._reasons or not _stands_waiting(self._subject):
            return []
        lines: list[Line] = [[], [("WHY IT WAITS", "heading")]]
        for row in self._reasons[:3]:
            lines.append([(row_name(row.task, row.index), "strong")])
            for reason in row.reasons[:5]:
                lines += [[(f" {piece}", "plain")] for piece in folded(reason_text(reason), max(8, width - 2))]
        return lines

    def _ask_again(self) -> None:
        if self._subject is not None and self._subject.status not in FINISHED and self._moment() is None:
            self._ask()

    def _ask(self) -> None:
        folded = isinstance(self._subject, GroupRow) and self._subject.fold
        if self.display and self._feed.live and not self._asking and self._subject is not None and not folded:
            self._asking = True
            self.run_worker(self._fetch(self._subject, self._moment()), exit_on_error=True)

    async def _fetch(self, subject: RunRow | GroupRow | TaskRow, moment: MomentRow | None) -> None:
        attempts: list[AttemptRow] = []
        reasons: list[ReasonRow] = []
        stats: StatsRow | None = None
        try:
            if isinstance(subject, TaskRow) and (subject.attempts or moment is not None):
                index = -1 if subject.index is None else subject.index
                answer = await self._feed.ask(ListAttempts(run=self._run, task=subject.task, index=index), Rows)
                attempts = msgspec.convert(answer.rows, list[AttemptRow])
            if moment is not None:  # figures and reasons are known of now alone
                attempts = attempts_then(attempts, moment.at or "")
            else:
                stats = await self._stats_of(subject)
                reasons = await self._reasons_of(subject)
        except (EngineError, msgspec.ValidationError):
            return  # the pane says nothing of them; the next tick asks again
        finally:
            self._asking = False
        if _name(subject) == _name(self._subject) and moment is self._moment():
            self._attempts = attempts
            self._reasons = reasons
            self._stats = stats
            self.redraw()
        else:
            self._ask()

    async def _stats_of(self, subject: RunRow | GroupRow | TaskRow) -> StatsRow | None:
        if isinstance(subject, TaskRow):
            return None
        task = subject.task if isinstance(subject, GroupRow) else ""
        found = (await self._feed.ask(GetStats(run=self._run, task=task), Rows)).rows
        return msgspec.convert(found[0], StatsRow) if found else None

    async def _reasons_of(self, subject: RunRow | GroupRow | TaskRow) -> list[ReasonRow]:
        if isinstance(subject, RunRow) or not _stands_waiting(subject):
            return []
        index = subject.index if isinstance(subject, TaskRow) else None
        request = ExplainRun(run=self._run, task=subject.task, index=index, limit=3)
        return msgspec.convert((await self._feed.ask(request, Rows)).rows, list[ReasonRow])


def _stands_waiting(subject: RunRow | GroupRow | TaskRow | None) -> bool:
    """Whether there is a reason why a task or a row does not go on."""
    stands_still = isinstance(subject, TaskRow) and subject.suspended
    return isinstance(subject, GroupRow | TaskRow) and (subject.status in _WAITS or stands_still)


def _name(subject: RunRow | GroupRow | TaskRow | None) -> tuple[str, str, int | None]:
    match subject:
        case RunRow():
            return ("run", subject.run, None)
        case GroupRow():
            return ("task", subject.task, None)
        case TaskRow():
            return ("row", subject.task, subject.index)
        case None:
            return ("", "", None)
