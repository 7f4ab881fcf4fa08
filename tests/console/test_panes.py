"""Gantt, grid and details: time, the runs before, and figures."""

from pathlib import Path

import msgspec
import pytest

from engine.protocol.messages import GetStats, ListLanes
from engine.protocol.rows import LaneRow, StatsRow
from orchctl.console.theme import Signs
from orchctl.console.timelines import Axis, axis_line, lane_line, strip_line
from tests.support.console_pilot import console_on, until
from tests.support.console_world import NOW_S, pipeline, run

GANTT = """\
   TASK                |0ms        |32m16s     |1h04m      |1h36m      |2h09m
▌✓ inventory          ███████████
 ✓ fetch              1✗✗✗✗✗✗2██████████████
 ▶ load ×37                          ▁▁▂▂▃▃▄▄▅▆▆▆▇███████████████████████▂▂▂▂▂▂▂
 · check"""

GRID = """\
   TASK                  r10   r11   r12
▌✓ inventory              ✓     ✗     ✓
 ✓ fetch                  ✓     ✗     ✓"""


@pytest.mark.asyncio
@pytest.mark.parametrize("ascii_only", [False, True])
async def test_the_gantt_chart_has_a_segment_for_each_attempt_and_says_how_busy_many_rows_were(
    tmp_path: Path, ascii_only: bool
) -> None:
    async with console_on(tmp_path, pipeline(), run=12, ascii_only=ascii_only) as console:
        await console.shows("quarantine")
        await console.press("3")
        shown = await console.shows("2h09m", "check")
        if ascii_only:
            assert shown.isascii()
            assert "1xxxxxx2#############" in shown
        else:
            assert shown.splitlines()[2:7] == GANTT.splitlines()


@pytest.mark.asyncio
async def test_zoom_shows_less_time_and_moves_along_it(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12) as console:
        await console.shows("quarantine")
        await console.press("3")
        await console.shows("2h09m")
        await console.press("plus", "plus")
        shown = await console.lacks("2h09m")
        assert "|0ms" not in shown
        await console.press(*["less_than_sign"] * 3)
        await console.shows("|0ms")
        await console.press("minus", "minus")
        await console.shows("|0ms", "2h09m")


@pytest.mark.asyncio
async def test_enter_on_a_mapped_lane_shows_those_of_its_rows(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12) as console:
        await console.shows("quarantine")
        await console.press("3")
        await console.shows("load ×37")
        await console.press("j", "j", "enter")
        await console.shows("load[16]", "rows of load")
        await console.press("h")
        await console.shows("▌▶ load ×37", "inventory")
        assert all(view.limit <= 200 for view in console.engine.subscriptions if isinstance(view, ListLanes))


@pytest.mark.asyncio
async def test_the_grid_shows_how_tasks_went_before(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12) as console:
        await console.shows("quarantine")
        await console.press("4")
        shown = await console.shows("r10   r11   r12", "report")
        assert shown.splitlines()[2:5] == GRID.splitlines()
        assert console.line("report").split() == ["·", "report", "·"]


@pytest.mark.asyncio
async def test_the_cursor_stays_on_its_task_from_pane_to_pane(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12) as console:
        await console.shows("quarantine")
        await console.press(*"jjjjj")
        await console.shows("▌▸ ▶ load")
        await console.press("3")
        await console.shows("▌▶ load ×37")
        await console.press("4")
        await console.shows("▌▶ load")
        await console.press("1")
        await console.shows("▌▸ ▶ load")


@pytest.mark.asyncio
async def test_panes_that_are_not_in_sight_are_not_subscribed(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12) as console:
        await console.shows("quarantine")
        await console.press("3")
        await console.shows("load ×37")
        await console.press("1")
        await until(lambda: not any(isinstance(view, ListLanes) for view in console.engine.subscriptions))


@pytest.mark.asyncio
async def test_details_tell_percentiles_and_group_failures_by_cause(tmp_path: Path) -> None:
    world = pipeline()
    world.stats = [
        StatsRow(
            task="load", rows=37, tasks={"failed": 37}, seconds={"p50": 41.0, "p90": 190.0, "p99": 200.0, "max": 300.0},
            max_rss={"p50": 6 * 2**30, "p90": 9 * 2**30, "max": 16 * 2**30},
            failures=[{"why": "exit 137 (out of memory)", "count": 36, "rows": ["load[4]", "load[7]"]},
                      {"why": "exit 1", "count": 1, "rows": ["load[9]"]}],
        )
    ]  # fmt: skip
    async with console_on(tmp_path, world, run=12, size=(120, 40)) as console:
        await console.shows("quarantine")
        await console.press(*"jjjjj")
        shown = await console.shows("FAILED (37) by cause", "p50 41.0s", "×36 exit 137", "load[4], load[7]")
        assert "took      p50 41.0s    p90 3m10s" in shown
        assert "          p99 3m20s    max 5m00s" in shown
        assert "memory    p50 6.0 GiB  p90 9.0 GiB" in shown
        assert "          max 16.0 GiB" in shown
        assert any(isinstance(asked, GetStats) and asked.task == "load" for asked in console.engine.requests)


@pytest.mark.asyncio
async def test_details_tell_what_was_set_for_this_run(tmp_path: Path) -> None:
    world = pipeline()
    load = msgspec.structs.replace(world.groups[12][4], max_parallel=16, priority=2, settings={"max_parallel": 16})
    world.groups[12][4] = load
    world.runs[0] = msgspec.structs.replace(world.runs[0], settings={"": {"priority": 7}}, backfill="b3")
    async with console_on(tmp_path, world, run=12, size=(120, 40)) as console:
        await console.shows("quarantine", "backfill  b3", "set here  priority=7")
        await console.press(*"jjjjj")
        await console.shows("parallel  16", "priority  2", "set here  max_parallel=16")


def test_lanes_outside_of_the_time_in_sight_are_empty() -> None:
    lane = LaneRow(task="a", index=3, status="succeeded",
                   spans=[("2026-11-23T08:00:00Z", "2026-11-23T08:10:00Z", "succeeded")])  # fmt: skip
    line = lane_line(lane, Axis(NOW_S, NOW_S + 10), 80, Signs(), NOW_S)
    assert "".join(text for text, _ in line).split() == ["✓", "a[3]"]
    assert axis_line(Axis(NOW_S, NOW_S + 10), NOW_S, 40)


def test_a_strip_of_runs_shows_how_they_ended_and_how_long_they_took() -> None:
    rows = [
        run(1, "w", "succeeded", {}, finished_at="2026-11-23T08:10:01Z"),
        run(2, "w", "failed", {}, finished_at="2026-11-23T08:20:01Z"),
        run(3, "w", "running", {}),
    ]
    assert "".join(text for text, _ in strip_line(rows, 80, Signs())) == "✓✗▶  ▅█·  median 20m00s"
