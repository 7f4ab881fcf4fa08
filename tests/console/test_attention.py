"""What needs an operator, and the way from there to where it happened."""

from pathlib import Path

import msgspec
import pytest

from engine.model.instants import SECOND, to_text
from engine.protocol.rows import StatsRow
from orchctl.console.attention import STUCK_S, Item, Watch, items
from tests.support.console_engine import World, engine_row
from tests.support.console_pilot import console_on
from tests.support.console_world import NOW_S, ingest, run


def _ago(seconds: float) -> str:
    return to_text(int((NOW_S - seconds) * SECOND))


def _said(found: list[Item]) -> list[tuple[str, int, str]]:
    return [(item.said, item.run, item.row) for item in found]


def test_troubles_of_the_engine_and_the_host_come_first() -> None:
    world = ingest()
    engine = engine_row(state="read_only", problems=["orders.yaml: line 3"], disk_free=300 * 2**20)
    host = msgspec.structs.replace(
        world.resources, pressure=["starts are slowed, memory: 1.2G available, the bound is 2.3G"],
        reservation={"run": "r12", "row": "parse[70]", "since": _ago(240), "due": None},
    )  # fmt: skip
    found = items(engine, host, {row.run: row for row in world.runs}, Watch(), NOW_S)
    assert _said(found) == [
        ("the engine is read-only: its disk or its store is nearly full, new work is refused", 0, ""),
        ("300.0 MiB of disk are free where the state lies", 0, ""),
        ("orders.yaml: line 3", 0, ""),
        ("starts are slowed, memory: 1.2G available, the bound is 2.3G", 0, ""),
        ("is next, and has waited 4m00s for room", 12, "parse[70]"),
        ("is paused with 5 rows to go", 11, ""),
    ]


def test_a_run_of_which_nothing_runs_is_told_once_it_has_lasted() -> None:
    watch, still = Watch(), run(7, "orders", "running", {"ready": 4})
    watch.see([still], NOW_S)
    assert items(None, None, {"r7": still}, watch, NOW_S + STUCK_S - 1) == []
    watch.why_still["r7"] = "load[0]: pool disk: asks 1, 0 free"
    told = items(None, None, {"r7": still}, watch, NOW_S + STUCK_S)
    assert _said(told) == [("nothing of it has run for 30.0s: load[0]: pool disk: asks 1, 0 free", 7, "")]
    moving = run(7, "orders", "running", {"ready": 3, "running": 1})
    watch.see([moving], NOW_S + STUCK_S)
    assert items(None, None, {"r7": moving}, watch, NOW_S + 2 * STUCK_S) == []
    assert not watch.why_still


@pytest.mark.asyncio
async def test_an_attempt_that_takes_far_longer_than_others_of_its_task_is_told(tmp_path: Path) -> None:
    world = ingest()
    holders = [
        {"run": "r12", "row": "parse[61]", "since": _ago(600)}, {"run": "r12", "row": "parse[62]", "since": _ago(30)},
    ]  # fmt: skip
    world.resources = msgspec.structs.replace(world.resources, holders=holders)
    stats = StatsRow(task="parse", rows=100, tasks={"succeeded": 59}, seconds={"p50": 40.0, "max": 90.0})
    world.stats = [stats]
    async with console_on(tmp_path, world, size=(120, 40)) as console:
        shown = await console.shows("parse[61]  runs for 10m00s, others took 1m30s at most")
        assert "parse[62]" not in shown


@pytest.mark.asyncio
async def test_tab_goes_to_the_list_and_enter_to_where_it_happened(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("Attention  3", "tab goes there", "parse[11]")
        assert console.line("ingest-daily").startswith("▌")
        await console.press("tab", "j")
        await console.shows("tab goes back to the runs")
        assert console.line("parse[11]").startswith("▌")
        assert not console.line("44%").startswith("▌")
        await console.press("enter")
        await console.shows("r12 › parse[11]")
        await console.press("h", "j", "enter")
        await console.shows("› reindex › r11")
        await console.press("h", "tab")
        await console.shows("tab goes there")
        assert console.line(" 60%").startswith("▌")


@pytest.mark.asyncio
async def test_an_empty_list_takes_no_keys(tmp_path: Path) -> None:
    async with console_on(tmp_path, World()) as console:
        await console.shows("nothing failed lately, nothing is stuck")
        await console.press("tab", "enter", "c")
        shown = await console.shows("no runs yet")
        assert "tab goes" not in shown


@pytest.mark.asyncio
async def test_the_strip_asks_for_runs_that_are_not_in_the_table(tmp_path: Path) -> None:
    world = ingest()
    world.runs = [run(900 - at, "busy", "succeeded", {"succeeded": 1}) for at in range(199)]
    begun = {"started_at": "2026-11-23T08:00:01Z", "finished_at": "2026-11-23T08:10:01Z"}
    ended = ("succeeded", "failed", "succeeded", "succeeded", "succeeded")
    world.runs += [run(90 - at, "rare", status, {"succeeded": 1}, **begun) for at, status in enumerate(ended)]
    async with console_on(tmp_path, world) as console:
        await console.shows("busy")
        await console.press("G")
        await console.shows("Last runs of rare  ✓✓✓✗✓  █████  median 10m00s")
