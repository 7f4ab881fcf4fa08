"""Schedules and backfills: what they show, how far they are, and acting on them."""

from pathlib import Path

import msgspec
import pytest

from engine.protocol.messages import ActOnBackfill, ListPartitions, PauseWorkflow, Refused, StartBackfill
from engine.protocol.rows import BackfillRow, PartitionRow
from orchctl.console.screens.backfill import left_out_lines
from tests.console.test_palette_and_standing import standing
from tests.support.console_engine import World
from tests.support.console_pilot import Driver, console_on, until
from tests.support.console_world import run

BACKFILL = BackfillRow(
    backfill="b1", workflow="ingest-daily", version="v1", status="running", partitions=20, left_out=3, pending=9,
    active=["r12"], ended={"succeeded": 8, "failed": 2}, since="2026-11-01T00:00:00Z", until="2026-11-23T23:59:59Z",
    order="oldest", reprocess="none", max_active=2, made_at="2026-11-23T08:00:00Z", next_partition="2026-11-12",
    params={"limit": 5}, actor="alice", note="the archive came late",
)  # fmt: skip


def backfilled() -> World:
    world = standing()
    ended = {"finished_at": "2026-11-23T10:00:00Z", "status": "done", "pending": 0, "active": []}
    old = msgspec.structs.replace(BACKFILL, backfill="b0", workflow="reindex", ended={"succeeded": 20}, **ended)
    world.backfills = [old, BACKFILL]
    world.runs[0] = msgspec.structs.replace(world.runs[0], backfill="b1", partition="2026-11-11")
    world.runs.append(
        run(9, "ingest-daily", "failed", {"failed": 1}, backfill="b1", partition="2026-11-10",
            finished_at="2026-11-23T08:10:00Z")
    )  # fmt: skip
    world.runs.append(run(8, "ingest-daily", "succeeded", {"succeeded": 1}, finished_at="2026-11-23T08:10:00Z"))
    world.partitions = [_partition(day) for day in range(1, 6)]
    return world


def _partition(day: int) -> PartitionRow:
    name = f"2026-11-{day:02d}"
    known = {2: ("r5 has succeeded", "r5"), 3: ("r6 has succeeded", "r6"), 5: ("it is not due yet", None)}
    why, made = known.get(day, ("", None))
    return PartitionRow(partition=name, due_at=f"{name}T02:15:00Z", runs=not why, why=why, run=made)


async def _on_backfills(console: Driver) -> str:
    await console.shows("ingest-daily")
    await console.press("B")
    return await console.shows("2 Backfills*", "b1")


@pytest.mark.asyncio
async def test_a_schedule_tells_its_rules_and_its_last_runs_and_is_paused_and_triggered(tmp_path: Path) -> None:
    async with console_on(tmp_path, backfilled()) as console:
        await console.shows("ingest-daily")
        await console.press("S")
        await console.shows("1 Schedules*", "in Europe/Berlin  active", "while the engine was away: left out",
                            "while one runs:", "the next is skipped", "✓✗▶  ██·")  # fmt: skip
        await console.press("p")
        await console.shows("paused: workflow ingest-daily; z undoes it")
        await console.press("t")
        await console.shows("Make a run of ingest-daily")
        await console.press("escape")
        await console.shows("nothing was done")
        await console.press("j")
        await console.shows("paused: it makes no runs until p")
        await console.press("enter")
        await console.shows("it has not made a run yet")
        assert [asked.workflow for asked in console.engine.asked(PauseWorkflow)] == ["ingest-daily"]


@pytest.mark.asyncio
async def test_a_backfill_shows_how_far_it_is_and_follows(tmp_path: Path) -> None:
    world = backfilled()
    async with console_on(tmp_path, world) as console:
        await _on_backfills(console)
        line = console.line("b1 ")
        assert all(part in line for part in ("ingest-daily", "running", " 50% ", "    10     2    10  alice")), line
        assert console.text().index("b1 ") < console.text().index("b0 ")
        await console.shows("20 partitions, 2026-11-01 to 2026-11-23", "at most 2 at once", "3 left out", "now r12",
                            "next 2026-11-12", "note: the archive came late  limit=5")  # fmt: skip
        world.backfills[1] = msgspec.structs.replace(BACKFILL, pending=0, active=[], ended={"succeeded": 20})
        console.engine.publish()
        await console.shows("100%")


@pytest.mark.asyncio
async def test_a_backfill_is_paused_resumed_and_undone_at_once(tmp_path: Path) -> None:
    world = backfilled()
    async with console_on(tmp_path, world) as console:
        await _on_backfills(console)
        await console.press("p")
        await console.shows("paused: backfill b1 of ingest-daily; z undoes it")
        await console.press("z")
        await console.shows("resumed: backfill b1")
        world.backfills[1] = msgspec.structs.replace(BACKFILL, status="paused")
        console.engine.publish()
        await until(lambda: "paused" in console.line("b1 "))
        await console.press("p")
        await until(lambda: len(console.engine.asked(ActOnBackfill)) == 3)
        assert [(asked.verb, asked.backfill, asked.seen) for asked in console.engine.asked(ActOnBackfill)] == [
            ("pause", 1, "running"), ("resume", 1, ""), ("resume", 1, "paused"),
        ]  # fmt: skip


@pytest.mark.asyncio
async def test_cancelling_a_backfill_says_what_goes_with_it_and_refusals_are_told(tmp_path: Path) -> None:
    async with console_on(tmp_path, backfilled()) as console:
        await _on_backfills(console)
        await console.press("c")
        await console.shows("Cancel: it makes no more runs", "b1 of ingest-daily, running: 9 to come, 1 unfinished run")
        await console.press("enter", "n")
        await console.shows("nothing was done")
        console.engine.answer_act = Refused(code="conflict", sentence="b1 is done now, it was running when you looked")
        await console.press("c")
        await console.shows("no (also esc)")
        await console.press("y")
        await console.shows("not done: b1 is done now, it was running when you looked")
        assert [(asked.verb, asked.seen) for asked in console.engine.asked(ActOnBackfill)] == [("cancel", "running")]
        await console.press("j", "c")
        await console.shows("b0 has ended: done")
        await console.press("k", "K")
        await console.shows("Kill: it makes no more runs", "Type yes")


@pytest.mark.asyncio
async def test_enter_opens_the_runs_of_a_backfill_by_partition(tmp_path: Path) -> None:
    async with console_on(tmp_path, backfilled()) as console:
        await _on_backfills(console)
        await console.press("enter")
        shown = await console.shows("Backfill b1 of ingest-daily", "PARTITION", "2026-11-11", "2026-11-10")
        assert "r8" not in shown
        await console.press("j", "c")
        await console.shows("r9 has ended: failed")
        await console.press("r")
        await console.shows("Retry:", "run r9 of ingest-daily")
        await console.press("n", "k", "enter")
        await console.shows("publish")


@pytest.mark.asyncio
async def test_all_runs_of_a_long_backfill_are_found_behind_newer_ones(tmp_path: Path) -> None:
    world = backfilled()
    old = [run(number, "ingest-daily", "succeeded", {"succeeded": 1}, backfill="b1", partition=f"day-{number}",
               queued_at="2026-11-23T08:30:00Z") for number in range(900, 400, -1)]  # fmt: skip
    world.runs = [run(number, "ingest-daily", "succeeded", {"succeeded": 1}) for number in range(1200, 900, -1)] + old
    world.runs.append(run(400, "ingest-daily", "succeeded", {"succeeded": 1}, queued_at="2026-11-01T00:00:00Z"))
    async with console_on(tmp_path, world) as console:
        await console.shows("ingest-daily")
        await console.press("B", "enter")
        await console.shows(" 500")
        await console.press("G")
        await console.shows("day-401")


@pytest.mark.asyncio
async def test_a_backfill_is_started_by_a_form_that_shows_what_it_would_make(tmp_path: Path) -> None:
    async with console_on(tmp_path, backfilled()) as console:
        await console.shows("ingest-daily")
        await console.press("b")
        await console.shows("Backfill ingest-daily  15 2 * * *", "✗ must be given", "What it would make is shown here.")
        await console.press("ctrl+s")
        assert not console.engine.asked(ListPartitions)
        await console.press(*"2026-11-01", "tab", *"2026-11-05")
        await console.shows("2 runs would be made, for 2026-11-01 to 2026-11-04",
                            "2 left out, their run has succeeded: 2026-11-02 r5, 2026-11-03 r6",
                            "1 left out, it is not due yet: 2026-11-05")  # fmt: skip
        await console.press("tab", "tab", "tab", "backspace", *"500")
        await console.shows("✗ 1 to 100")
        await console.press("backspace", "backspace")
        await console.press("tab", "tab", *"2026-11-22", "ctrl+s")
        await console.shows("make a run for each of these partitions", "2026-11-01 to 2026-11-04, the oldest first",
                            "at most 5 runs unfinished", "day = 2026-11-22", "3 partitions of the range left out",
                            "2 runs in all")  # fmt: skip
        assert not console.engine.asked(StartBackfill)
        await console.press("y")
        await console.shows("made: b2, 2 partitions, 3 left out; B shows how far it is")
        (asked,) = console.engine.asked(StartBackfill)
        assert (asked.workflow, asked.since, asked.until, asked.max_active) == (
            "ingest-daily", "2026-11-01", "2026-11-05", 5,
        )  # fmt: skip
        assert (asked.order, asked.reprocess, asked.most, asked.schedule, asked.params) == (
            "oldest", "none", 1000, 0, {"day": "2026-11-22"},
        )  # fmt: skip


@pytest.mark.asyncio
async def test_a_backfill_that_would_make_nothing_or_makes_no_sense_does_not_go_on(tmp_path: Path) -> None:
    world = backfilled()
    world.partitions = [msgspec.structs.replace(row, runs=False, why="r5 has succeeded") for row in world.partitions]
    async with console_on(tmp_path, world) as console:
        await console.shows("ingest-daily")
        await console.press("b")
        await console.shows("Backfill ingest-daily")
        await console.press(*"2026-11-01", "tab", *"2026-11-05", "ctrl+s")
        await console.shows("nothing is left to run", "5 left out, their run has succeeded", "and 3 more")
        await console.press("escape")
        await console.shows("nothing was done")
        assert not console.engine.asked(StartBackfill)


@pytest.mark.asyncio
async def test_more_than_a_hundred_runs_want_their_count_typed(tmp_path: Path) -> None:
    world = backfilled()
    world.partitions = [PartitionRow(partition=f"p{at}", due_at="2026-11-01T00:00:00Z", runs=True) for at in range(150)]
    async with console_on(tmp_path, world) as console:
        await console.shows("ingest-daily")
        await console.press("b")
        await console.shows("Backfill ingest-daily")
        await console.press(*"2026-11-01", "tab", *"2026-11-05", *["tab"] * 5, *"2026-11-22", "ctrl+s")
        await console.shows("p0 to p149", "Type 150 and Enter")
        await console.press("y", "enter")
        await console.shows("nothing was done")
        assert not console.engine.asked(StartBackfill)


@pytest.mark.asyncio
async def test_the_palette_backfills_a_workflow_by_its_name(tmp_path: Path) -> None:
    async with console_on(tmp_path, backfilled()) as console:
        await console.shows("ingest-daily")
        await console.press("colon", *"backfill ing")
        await console.shows("▌ backfill ingest-daily")
        await console.press("enter")
        await console.shows("Backfill ingest-daily  15 2 * * *")


@pytest.mark.asyncio
async def test_a_read_only_console_starts_and_stops_no_backfill(tmp_path: Path) -> None:
    async with console_on(tmp_path, backfilled(), read_only=True) as console:
        await _on_backfills(console)
        await console.press("c", "p", "K", "b", "S", "b", "t", "p")
        shown = await console.shows("1 Schedules*")
        assert "cancel" not in shown
        assert not console.engine.asked(ActOnBackfill)
        assert not console.engine.asked(PauseWorkflow)


def test_causes_are_told_once_with_a_few_partitions() -> None:
    rows = [msgspec.structs.replace(_partition(2), why=f"r{at} has succeeded", run=f"r{at}") for at in range(9)]
    (line,) = left_out_lines(rows)
    assert line.startswith("9 left out, their run has succeeded: 2026-11-02 r0, 2026-11-02 r1")
    assert line.endswith("and 7 more")
