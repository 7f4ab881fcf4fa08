"""The pane of what an attempt used over time. While it is in sight and the attempt runs, it asks again every second."""

from collections.abc import Callable, Sequence

import msgspec
from textual import events

from engine.model.errors import EngineError
from engine.protocol.messages import ListSamples, Rows
from engine.protocol.rows import AttemptRow, SampleRow, SpecRow
from orchctl.console.feed import Feed
from orchctl.console.theme import Signs
from orchctl.console.uselines import use_lines
from orchctl.console.widgets.lines import TextView

EVERY_S = 1.0


class UseView(TextView):
    """Charts of one attempt of a row (`index` negative: of a task that has no others): the newest unless another was
    chosen."""

    def __init__(
        self,
        signs: Signs,
        feed: Feed,
        row: tuple[int, str, int],
        attempts: Callable[[], Sequence[AttemptRow]],
        spec: Callable[[], SpecRow | None],
        now: Callable[[], float],
        *,
        widget_id: str,
    ) -> None:
        """`row` is (run, task, index)."""
        super().__init__(signs, widget_id=widget_id)
        self._feed = feed
        self._row = row
        self._attempts = attempts
        self._spec = spec
        self._now = now
        self._samples: list[SampleRow] = []
        self._sampled = 0
        self._chosen = 0
        self._active = False
        self._asking = False
        self._complete = False

    def on_mount(self) -> None:
        self.set_interval(EVERY_S, self.see)

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.redraw()

    def start(self) -> None:
        """The pane comes into sight."""
        self._active, self._complete = True, False
        self.see()

    def stop(self) -> None:
        self._active = False

    def attempt(self) -> AttemptRow | None:
        """The one that is shown."""
        rows = self._attempts()
        newest = max(rows, key=lambda row: row.number, default=None)
        return next((row for row in rows if row.number == self._chosen), newest)

    def other_attempt(self, direction: int) -> str:
        """Show the attempt before or after. What to tell where there is none."""
        numbers = sorted(row.number for row in self._attempts())
        shown = self.attempt()
        at = numbers.index(shown.number) + direction if shown is not None else -1
        if not 0 <= at < len(numbers):
            return "there is no attempt before" if direction < 0 else "there is no attempt after"
        self._chosen = numbers[at] if at < len(numbers) - 1 else 0
        self._complete = False
        self.see()
        return ""

    def see(self) -> None:
        """Ask for samples where there may be more of them."""
        shown = self.attempt()
        if shown is not None and shown.number != self._sampled:
            self._complete = False
        if self._active and self._feed.live and not self._asking and not self._complete and shown is not None:
            self._asking = True
            self.run_worker(self._fetch(shown), exit_on_error=True)
        self.redraw()

    async def _fetch(self, attempt: AttemptRow) -> None:
        run, task, index = self._row
        try:
            request = ListSamples(run=run, task=task, index=index, number=attempt.number)
            rows = (await self._feed.ask(request, Rows)).rows
            self._samples, self._sampled = msgspec.convert(rows, list[SampleRow]), attempt.number
            self._complete = attempt.finished_at is not None
        except (EngineError, msgspec.ValidationError):
            return  # the next second asks again
        finally:
            self._asking = False
        self.redraw()

    def redraw(self) -> None:
        """Make the lines anew: time goes on."""
        if not self._active or self.size.width < 2:
            return
        shown = self.attempt()
        samples = self._samples if shown is not None and shown.number == self._sampled else []
        size = (self.size.width - 2, self.size.height)
        self.set_lines(use_lines(shown, samples, self._spec(), size, self.signs, self._now()))
