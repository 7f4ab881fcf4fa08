"""A form for a backfill: the stretch of the past, which partitions of it, how many runs at a time. While one types, the
engine says what it would make of that and what it would leave out; nothing goes on before it has said so.
"""

import asyncio
import re
from functools import partial

import msgspec
from textual.app import ComposeResult

from engine.model.errors import EngineError
from engine.protocol.messages import ListPartitions, Rows, StartBackfill
from engine.protocol.rows import PartitionRow, WorkflowRow
from orchctl.console.actions import Intent, on_start_backfill
from orchctl.console.drawing import Line, fitted
from orchctl.console.feed import Feed
from orchctl.console.screens.form import Field, FormScreen, one_of, whole
from orchctl.console.screens.trigger import NOTE, given_params, param_field
from orchctl.console.theme import Signs
from orchctl.console.widgets.lines import Bar
from orchctl.text import count_text, inert

_PREVIEW_LINES = 5
_TYPING_S = 0.2
_ACTIVE_MAX = 100
_PARTITIONS_MAX = 5_000
_RUN = re.compile(r"^r\d+ ")
_EXAMPLES = 2


def _given(text: str) -> str:
    return "" if text else "must be given"


def backfill_fields(row: WorkflowRow) -> list[Field]:
    """The lines of the form; those of the workflow's parameters and the note are the last."""
    schedules = len(row.schedules)
    fields = [
        Field("from", kind="first day", about="2026-11-01, or an instant", fault=_given),
        Field("to", kind="last day", about="included", fault=_given),
        Field("reprocess", "none", "none | failed | all", "run again", fault=one_of("none", "failed", "all")),
        Field("order", "oldest", "oldest | newest", "goes first", fault=one_of("oldest", "newest")),
        Field("at once", "1", f"1 to {_ACTIVE_MAX}", "runs at a time", fault=whole(1, _ACTIVE_MAX)),
        Field("at most", "1000", f"1 to {_PARTITIONS_MAX:,}", "partitions", fault=whole(1, _PARTITIONS_MAX)),
    ]
    if schedules > 1:
        fields.append(Field("schedule", "0", f"1 to {schedules}", "which; 0: all", fault=whole(0, schedules)))
    return [*fields, *map(param_field, row.params), NOTE]


def left_out_lines(partitions: list[PartitionRow]) -> list[str]:
    """Why partitions are left out: a line for each cause, with how many and a few of them."""
    causes: dict[str, list[PartitionRow]] = {}
    for row in partitions:
        if not row.runs:
            causes.setdefault(_RUN.sub("their run ", row.why), []).append(row)
    lines: list[str] = []
    for cause, rows in causes.items():
        named = ", ".join(" ".join(part for part in (row.partition, row.run) if part) for row in rows[:_EXAMPLES])
        more = f" and {len(rows) - _EXAMPLES:,} more" if len(rows) > _EXAMPLES else ""
        lines.append(f"{len(rows):,} left out, {cause}: {named}{more}")
    return lines


class BackfillScreen(FormScreen[Intent]):
    """Ends with what is to be confirmed, or None."""

    def __init__(self, row: WorkflowRow, feed: Feed, signs: Signs) -> None:
        about = ", ".join(row.schedules) or "it has no schedule"
        super().__init__(f"Backfill {row.workflow}", about, backfill_fields(row), signs)
        self._row = row
        self._feed = feed
        self._own = len(self.fields) - len(row.params) - 1
        """How many fields are the backfill's own; parameters and a note follow."""
        self._asked: StartBackfill | None = None
        """What `_partitions` or `_trouble` are the answer to."""
        self._partitions: list[PartitionRow] = []
        self._trouble = ""
        self._hurried: StartBackfill | None = None
        """What the operator wants to go on with as soon as the answer to it is there."""

    def below(self) -> ComposeResult:
        self._preview = Bar(self._draw_preview, _PREVIEW_LINES + 1)
        yield self._preview

    def request(self, values: list[str]) -> StartBackfill:
        """What the form asks for; its values make sense."""
        since, until, reprocess, order, active, most = values[:6]
        schedule = int(values[6]) if self._own > 6 else 0
        wanted = {
            "request_id": "", "workflow": self._row.workflow, "since": since, "until": until, "schedule": schedule,
            "order": order, "reprocess": reprocess, "most": int(most), "max_active": int(active), "note": values[-1],
            "params": given_params(self._row.params, values[self._own : -1]),
        }  # fmt: skip
        return msgspec.convert(wanted, StartBackfill)

    # --- preview --------------------------------------------------------------------------------------------------

    def changed(self) -> None:
        if not any(self.faults()[: self._own]):
            self.run_worker(partial(self._look, self.request(self.values())), exclusive=True)
        self._preview.update_lines()

    async def _look(self, wanted: StartBackfill) -> None:
        if self._known(wanted):
            return
        await asyncio.sleep(_TYPING_S)
        question = ListPartitions(
            workflow=wanted.workflow, since=wanted.since, until=wanted.until, schedule=wanted.schedule,
            order=wanted.order, reprocess=wanted.reprocess, most=wanted.most,
        )  # fmt: skip
        try:
            answer = await self._feed.ask(question, Rows)
            self._partitions = msgspec.convert(answer.rows, list[PartitionRow])
            self._trouble = ""
        except (EngineError, msgspec.ValidationError) as error:
            self._partitions = []
            self._trouble = str(error)
        self._asked = wanted
        self._preview.update_lines()
        if self._hurried == wanted:
            self.action_submit()

    def _known(self, wanted: StartBackfill) -> bool:
        """Whether the engine has said what this would make: limits, parameters and note change nothing of it."""
        asked = self._asked
        return asked is not None and wanted == msgspec.structs.replace(
            asked, max_active=wanted.max_active, params=wanted.params, note=wanted.note
        )

    def _draw_preview(self, width: int) -> list[Line]:
        if any(self.faults()[: self._own]):
            return [[], fitted([("What it would make is shown here.", "dim")], width)]
        if not self._known(self.request(self.values())):
            return [[], fitted([("asking the engine", "dim")], width)]
        if self._trouble:
            return [[], fitted([(f"{self.signs.status('failed')} {self._trouble}", "red")], width)]
        wanted = [row for row in self._partitions if row.runs]
        lines: list[Line] = [[]]
        if wanted:
            ends = wanted[0].partition if len(wanted) == 1 else f"{wanted[0].partition} to {wanted[-1].partition}"
            made = f"{count_text(len(wanted), 'run')} would be made"
            lines.append([(made, "strong"), (f", for {ends}", "plain")])
        else:
            lines.append([("nothing is left to run", "yellow"), ("; reprocess failed or all runs them again", "plain")])
        told = left_out_lines(self._partitions)
        lines += [[(inert(text), "dim")] for text in told[: _PREVIEW_LINES - 1]]
        return [fitted(line, width) for line in lines]

    def result(self, values: list[str]) -> Intent | None:
        """None until the engine has said what would be made, and where that is nothing."""
        wanted = self.request(values)
        if not self._known(wanted):
            self._hurried = wanted
            return None
        if not any(row.runs for row in self._partitions):
            return None
        return on_start_backfill(wanted, self._partitions)
