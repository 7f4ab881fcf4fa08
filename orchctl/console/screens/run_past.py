"""The keys that lead through the past of a run. While it is in sight nothing can be acted on: the rows are not what
they are now, and what they were cannot be changed.
"""

from typing import TYPE_CHECKING

from engine.model.errors import ValueFault
from engine.model.instants import SECOND
from engine.protocol.messages import GetMoment
from orchctl.console.drawing import Line, clock, instant_s
from orchctl.console.lens import Lens
from orchctl.console.past import Kind, Past
from orchctl.console.pastlines import past_lines
from orchctl.console.screens.run_marks import MarkKeys
from orchctl.moments import FORMS, moment_named

if TYPE_CHECKING:
    from engine.protocol.rows import RunRow

HEAD_HEIGHT, PAST_HEIGHT = 3, 3
"""Lines of the head, and how many more it has in the past."""


class PastKeys(MarkKeys):
    """A screen of a run whose panes look through a lens."""

    run_number: int

    def begin_past(self) -> None:
        """Once the screen has its run."""
        self.lens = Lens(self.feed, lambda why: self.say(why, "red"))
        self.past = Past(self.feed, self.run_number, self.lens, self.run_span, self._moment_changed, self._told)
        self._asking_moment = False
        self._ended_s: float | None = None

    def run_row(self) -> "RunRow | None":
        """The run as it is in sight."""
        raise NotImplementedError

    def run_span(self) -> tuple[float, float]:
        """When the run was made, and when it ended or what time it is."""
        row = self.run_row()
        began = instant_s(row.queued_at) if row is not None else None
        if self.past.moment is None:
            self._ended_s = instant_s(row.finished_at) if row is not None else None
        until = super().now_s() if self._ended_s is None else self._ended_s
        began = until - 1 if began is None else began
        return began, max(began + 1e-3, until)

    def now_s(self) -> float:
        at_s = self.past.at_s
        return super().now_s() if at_s is None else at_s

    def why_not_act(self) -> str:
        at_s = self.past.at_s
        if at_s is None:
            return super().why_not_act()
        now = self.key_of("past.now")
        return f"this is the past, {clock(at_s)}: nothing can be done in it; {now} comes back to now"

    def clock_spans(self) -> Line:
        if self.past.moment is None or not self.feed.live:
            return super().clock_spans()
        return [(f"now {clock(self.console_app.now_s())} ", "dim")]

    def past_lines(self, width: int) -> list[Line]:
        """What the head says of the past; nothing now."""
        at_s = self.past.at_s
        if at_s is None:
            return []
        now_s, past = super().now_s(), self.past
        return past_lines(at_s, now_s, self.run_span(), past.marks, past.events, self.key_of, width, self.signs)

    def _moment_changed(self) -> None:
        if not self.is_mounted:
            return
        height = HEAD_HEIGHT + (PAST_HEIGHT if self.past.moment is not None else 0)
        head = self._bars["head"]
        if head.styles.height is None or head.styles.height.value != height:
            head.styles.height = height
        self.tick()

    def _told(self, text: str) -> None:
        self.say(text, "yellow")

    # --- keys -----------------------------------------------------------------------------------------------------

    def action_past(self, kind: Kind, count: int) -> None:
        self.past.move(kind, count)
        self._follow()

    def action_now(self) -> None:
        if self.past.moment is None:
            self.say("this is now")
        self.past.come_back()
        self._follow()

    def look_at(self, moment: GetMoment) -> None:
        """Show the run as it was then."""
        self.past.go(moment)
        self._follow()

    def _follow(self) -> None:
        if self.past.moment is None:
            self.run_span()
            self.run_worker(self.past.scan(), exit_on_error=True)
        if not self.past.busy:
            self.run_worker(self.past.follow(), exit_on_error=True)

    def action_moment(self) -> None:
        self._asking_moment = True
        self.ask("look at: 14:05, 10m (ago), an instant, a revision", "")

    def answered(self, text: str) -> None:
        if not self._asking_moment:
            super().answered(text)
            return
        self._asking_moment = False
        if not text.strip():
            return
        try:
            now_ns = round(super().now_s() * SECOND)
            self.look_at(moment_named(self.run_number, text, now_ns))
        except ValueFault as fault:
            self.say(f"{fault.sentence}: write {FORMS}", "yellow")

    def gave_up(self, before: str) -> None:
        self._asking_moment = False
        super().gave_up(before)
