"""What needs an operator: the engine's own troubles, pressure on the host, rows that failed, runs of which nothing
moves, attempts that take far longer than others of their task, runs that somebody paused. The worst first.

`items` is pure. `Watch` keeps what has to be asked for or seen over time: since when nothing of a run has moved, why,
and how long rows of a task take.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec

from engine.protocol.messages import ExplainRun, GetStats, ListTasks, Rows
from engine.protocol.rows import EngineRow, ReasonRow, ResourcesRow, RunRow, StatsRow, TaskRow
from orchctl.console.drawing import BAD, Line, duration, fitted, instant_s, newest_key, run_number, time_of
from orchctl.console.feed import Feed
from orchctl.console.runlines import reason_text, row_name, why_text
from orchctl.console.theme import Signs, status_style
from orchctl.text import count_text, inert, size_text

DISK_LOW_BYTES = 2**30
STUCK_S = 30.0
LONG_S = 60.0
LONG_TIMES = 3.0
"""An attempt takes too long from so many times the longest of its task on."""
_ENDED_MIN = 5
_RUNS_ASKED = 5
_ROWS_EACH = 5
_EACH = 8
"""Of each kind at most so many are told."""


class Item(msgspec.Struct, frozen=True):
    """One line. `status` is the glyph and colour; `run` and `row` are where it happened, 0 and empty where nowhere."""

    status: str
    said: str
    at: str = ""
    workflow: str = ""
    run: int = 0
    row: str = ""
    tries: int = 0

    @property
    def key(self) -> str:
        return f"{self.run} {self.row} {self.said if not self.run else self.status}"


def item_line(item: Item, width: int, signs: Signs) -> Line:
    """When, where and what."""
    glyph = "!" if item.status == "warning" else signs.status(item.status)
    style = "yellow" if item.status == "warning" else status_style(item.status)
    where = " ".join(part for part in (item.workflow, f"r{item.run}" if item.run else "") if part)
    return fitted(
        [
            (f"{glyph} ", style), (f"{time_of(item.at)} " if item.at else "", "dim"),
            (f"{where}  " if where else "", "plain"), (f"{item.row}  " if item.row else "", "strong"),
            (f"{item.said}  ", style), (f"try {item.tries}" if item.tries > 1 else "", "dim"),
        ],
        width,
    )  # fmt: skip


class Watch:
    """What is seen over time. `look` asks the engine, a little each time."""

    def __init__(self) -> None:
        self.failed: dict[str, tuple[int, list[TaskRow]]] = {}
        """By run: how many rows had failed when it was asked, and the newest of them."""
        self.still_since_s: dict[str, float] = {}
        """By run: since when nothing of it has run, as far as this console has seen."""
        self.why_still: dict[str, str] = {}
        self.longest_s: dict[tuple[int, str], float] = {}
        """By run and task: how long the longest of its rows took, where enough have ended."""

    def see(self, runs: Iterable[RunRow], now_s: float) -> None:
        """Note of which runs nothing moves."""
        still = {row.run for row in runs if row.status == "running" and not row.tasks.get("running")}
        self.still_since_s = {run: self.still_since_s.get(run, now_s) for run in still}
        self.why_still = {run: why for run, why in self.why_still.items() if run in still}

    def stuck(self, now_s: float) -> list[str]:
        """Runs of which nothing has run for long."""
        return [run for run, since_s in self.still_since_s.items() if now_s - since_s >= STUCK_S][:_EACH]

    async def look(self, feed: Feed, runs: Sequence[RunRow], host: ResourcesRow | None, now_s: float) -> None:
        """Ask for what is told of these, now and then. Raises EngineError, and ValidationError for rows that make no
        sense."""
        await self.look_at_failures(feed, runs)
        for run in self.stuck(now_s):
            request = ExplainRun(run=run_number(run), limit=1)
            rows = msgspec.convert((await feed.ask(request, Rows)).rows, list[ReasonRow])
            self.why_still[run] = _why(rows[0]) if rows else ""
        for run, task in {(run, row.partition("[")[0]) for run, row in _long_held(host, now_s)}:
            stats = (await feed.ask(GetStats(run=run, task=task), Rows)).rows
            if stats:
                self._learn(run, msgspec.convert(stats[0], StatsRow))

    def _learn(self, run: int, stats: StatsRow) -> None:
        ended = sum(stats.tasks.get(status, 0) for status in ("succeeded", "failed"))
        if ended >= _ENDED_MIN and "max" in stats.seconds:
            self.longest_s[run, stats.task] = stats.seconds["max"]

    async def look_at_failures(self, feed: Feed, runs: Sequence[RunRow]) -> None:
        """Ask for the failed rows of the newest runs that have any, where their number has changed. Raises as `look`
        does."""
        newest = sorted(runs, key=newest_key)
        failing = [row for row in newest if any(row.tasks.get(status) for status in BAD)][:_RUNS_ASKED]
        self.failed = {row.run: self.failed[row.run] for row in failing if row.run in self.failed}
        for run in failing:
            count = run.tasks.get("failed", 0)
            if self.failed.get(run.run, (-1, []))[0] != count:
                request = ListTasks(run=run_number(run.run), statuses=("failed",), sort="attention", limit=_ROWS_EACH)
                rows = (await feed.ask(request, Rows)).rows
                self.failed[run.run] = (count, msgspec.convert(rows, list[TaskRow]))


def _why(row: ReasonRow) -> str:
    first = reason_text(row.reasons[0]) if row.reasons else row.status.replace("_", " ")
    return f"{row_name(row.task, row.index)}: {first}"


def _long_held(host: ResourcesRow | None, now_s: float) -> list[tuple[int, str]]:
    """Rows that have run for long."""
    found: list[tuple[int, str]] = []
    for holder in host.holders if host is not None else []:
        since_s = instant_s(cast("str | None", holder.get("since")))
        if since_s is not None and now_s - since_s >= LONG_S:
            found.append((run_number(inert(holder.get("run"))), inert(holder.get("row"))))
    return found[:_EACH]


# --- items ----------------------------------------------------------------------------------------------------------


def items(
    engine: EngineRow | None, host: ResourcesRow | None, runs: Mapping[str, RunRow], watch: Watch, now_s: float
) -> list[Item]:
    """All that needs attention, the worst first."""
    return [
        *_of_engine(engine),
        *(Item("warning", text) for text in (host.pressure if host is not None else [])),
        *_of_failures(runs, watch),
        *_of_reservation(host, runs, now_s),
        *_of_stuck(runs, watch, now_s),
        *_of_long(host, runs, watch, now_s),
        *_of_paused(runs),
    ]


def _of_engine(engine: EngineRow | None) -> list[Item]:
    if engine is None:
        return []
    said = [f"the engine is {engine.state.replace('_', '-')}"] if engine.state != "serving" else []
    if engine.state == "read_only":
        said[0] += ": its disk or its store is nearly full, new work is refused"
    if engine.disk_free is not None and engine.disk_free < DISK_LOW_BYTES:
        said.append(f"{size_text(engine.disk_free)} of disk are free where the state lies")
    return [Item("warning", text) for text in (*said, *engine.problems)]


def _of_reservation(host: ResourcesRow | None, runs: Mapping[str, RunRow], now_s: float) -> list[Item]:
    """Who has room set aside, and has waited for long."""
    held: dict[str, Any] = (host.reservation if host is not None else None) or {}
    since_s = instant_s(cast("str | None", held.get("since")))
    if since_s is None or now_s - since_s < LONG_S:
        return []
    run = inert(held.get("run"))
    said = f"is next, and has waited {duration(float(int(now_s - since_s)))} for room"
    return [Item("ready", said, "", _workflow(runs, run), run_number(run), inert(held.get("row")))]


def _workflow(runs: Mapping[str, RunRow], run: str) -> str:
    return runs[run].workflow if run in runs else ""


def _of_failures(runs: Mapping[str, RunRow], watch: Watch) -> list[Item]:
    found = [(row, run) for run, (_, rows) in watch.failed.items() for row in rows if run in runs]
    found.sort(key=lambda pair: pair[0].finished_at or "", reverse=True)
    return [
        Item(
            row.status, why_text(row), row.finished_at or "", runs[run].workflow, run_number(run),
            row_name(row.task, row.index), row.attempts,
        )
        for row, run in found
    ]  # fmt: skip


def _of_stuck(runs: Mapping[str, RunRow], watch: Watch, now_s: float) -> list[Item]:
    found: list[Item] = []
    for run in watch.stuck(now_s):
        if run in runs:
            why = watch.why_still.get(run, "")
            spent = duration(float(int(now_s - watch.still_since_s[run])))
            said = f"nothing of it has run for {spent}{f': {why}' if why else ''}"
            found.append(Item("backing_off", said, "", runs[run].workflow, run_number(run)))
    return found


def _of_long(host: ResourcesRow | None, runs: Mapping[str, RunRow], watch: Watch, now_s: float) -> list[Item]:
    found: list[Item] = []
    holders = {f"{inert(held.get('run'))} {inert(held.get('row'))}": held for held in (host.holders if host else [])}
    for run, row in _long_held(host, now_s):
        longest_s = watch.longest_s.get((run, row.partition("[")[0]))
        since_s = instant_s(cast("str | None", holders[f"r{run} {row}"].get("since")))
        if longest_s is None or since_s is None or now_s - since_s < LONG_TIMES * longest_s:
            continue
        said = f"runs for {duration(float(int(now_s - since_s)))}, others took {duration(longest_s)} at most"
        found.append(Item("running", said, "", _workflow(runs, f"r{run}"), run, row))
    return found


def _of_paused(runs: Mapping[str, RunRow]) -> list[Item]:
    paused = sorted((row for row in runs.values() if row.status == "paused"), key=newest_key)[:_EACH]
    return [
        Item(
            "paused", f"is paused with {count_text(_left(row), 'row')} to go", "", row.workflow, run_number(row.run)
        )
        for row in paused
    ]  # fmt: skip


def _left(row: RunRow) -> int:
    return sum(row.tasks.get(status, 0) for status in ("waiting", "ready", "backing_off"))
