"""What trials have come to, in the console: live, by metric, against a baseline, beside an earlier run."""

from pathlib import Path

import msgspec
import pytest

from engine.protocol.messages import ListTrials
from engine.protocol.rows import TrialRow
from orchctl.campaign.comparing import Measurements, Wishes, compare_all
from orchctl.console.drawing import width_of
from orchctl.console.resultlines import result_rows, results_heading
from orchctl.console.theme import Signs
from tests.support.console_pilot import Driver, console_on, until
from tests.support.console_world import campaign, pipeline, run

TABLE = """\
   CELL                  N ~NOISY MEDIAN    SPEED-UP                 VERDICT
▌pack: duration, lower is better, against level=1 tool=gzip
   level=1 tool=gzip     6        103.5ms
 ✗ level=9 tool=gzip     5 ~1     412ms     0.251x (0.245 to 0.259)  worse
 ✗ level=1 tool=xz       6        517.5ms   0.2x (0.194 to 0.205)    worse
 ✗ level=9 tool=xz       6        2.07s     0.05x (0.0486 to 0.0512) worse"""


async def _results(console: Driver) -> str:
    await console.shows("quarantine", "7 Results")
    await console.press("7")
    return await console.shows("against level=1 tool=gzip")


@pytest.mark.asyncio
async def test_results_have_medians_intervals_speed_ups_noise_and_a_plot(tmp_path: Path) -> None:
    async with console_on(tmp_path, campaign(), run=12, shape="graph") as console:
        shown = await _results(console)
        assert "7 Results*" in shown
        assert "pack: bytes, lower is better" in shown
        await console.press("m")
        shown = await console.shows("pack: duration")
        assert TABLE in shown
        assert "├●" in shown or "●┤" in shown
        assert "the host disturbed 1 of 24 trials: once others used N CPUs" in shown
        assert "m metric  b baseline  e earlier run" in shown
        await console.press("m")
        await console.shows("pack: cpu", "cpu 3/3")
        await console.press("M", "M")
        await console.shows("pack: bytes")


@pytest.mark.asyncio
async def test_the_cell_under_the_cursor_becomes_the_baseline_and_the_cursor_stays_on_it(tmp_path: Path) -> None:
    async with console_on(tmp_path, campaign(), run=12, shape="graph") as console:
        await _results(console)
        await console.press("b")
        await console.shows("put the cursor on a cell first")
        await console.press("m")
        await console.shows("pack: duration")
        await console.press("j", "j", "j", "b")
        await console.shows("against level=1 tool=xz", "✓ level=1 tool=gzip", "5x (4.86 to 5.12)")
        assert console.line("▌").split()[1:3] == ["level=1", "tool=xz"]
        await console.press("b")
        await console.shows("pack: duration, lower is better, against level=1 tool=gzip", "the first cell again")


@pytest.mark.asyncio
async def test_an_earlier_run_stands_beside_this_one_and_regressions_are_told(tmp_path: Path) -> None:
    world = campaign()
    world.trials[11] = [
        msgspec.structs.replace(row, values={**row.values, "duration": row.values["duration"] / 3})
        for row in world.trials[11]
    ]
    async with console_on(tmp_path, world, run=12, shape="graph") as console:
        await _results(console)
        await console.press("m", "e")
        shown = await console.shows("compared with r11", "against r11", "REGRESSION", "RUN")
        assert "level=9 tool=xz r11" in shown
        assert "duration 2/3" in shown
        asked = sum(isinstance(request, ListTrials) and request.run == 11 for request in console.engine.requests)
        await console.press("m")
        await console.shows("pack: cpu")
        assert sum(isinstance(ask, ListTrials) and ask.run == 11 for ask in console.engine.requests) == asked
        await console.press("E")
        await console.shows("compared within this run", "against level=1 tool=gzip")


@pytest.mark.asyncio
async def test_results_grow_while_the_run_goes_on(tmp_path: Path) -> None:
    world = campaign()
    every, world.trials[12] = world.trials[12], world.trials[12][:4]
    async with console_on(tmp_path, world, run=12, shape="graph") as console:
        await console.shows("quarantine", "7 Results")
        await console.press("7")
        await console.shows("with fewer than 4 trials on each side")
        world.trials[12] = every
        world.runs[0] = run(12, "ingest-daily", "running", {"succeeded": 61, "running": 7})
        console.engine.publish()
        await console.lacks("with fewer than 4 trials")
        await console.press("1")
        asked = len(console.engine.requests)
        world.runs[0] = run(12, "ingest-daily", "running", {"succeeded": 62, "running": 6})
        console.engine.publish()
        await console.shows("91%")
        assert not any(isinstance(request, ListTrials) for request in console.engine.requests[asked:])


@pytest.mark.asyncio
async def test_disturbed_trials_can_be_counted(tmp_path: Path) -> None:
    async with console_on(tmp_path, campaign(), run=12, shape="graph") as console:
        await _results(console)
        await console.press("N")
        await console.shows("trials that the host disturbed count too", " 6 ")
        await until(lambda: "~1" not in console.text())


@pytest.mark.asyncio
async def test_a_run_that_measures_nothing_has_no_such_pane_and_says_so(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12, shape="graph") as console:
        await console.shows("quarantine")
        await console.press("7")
        await console.shows("this run measures nothing", "1 Graph*")
        assert "7 Results" not in console.text()


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", ["colour", "no colour", "ascii"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_results_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], mode: str) -> None:
    if mode == "no colour":
        monkeypatch.setenv("NO_COLOR", "1")
    async with console_on(
        tmp_path, campaign(), run=12, shape="graph", size=size, ascii_only=mode == "ascii"
    ) as console:
        await _results(console)
        await console.press("m", "e")
        shown = await console.shows("against r11")
        assert max(map(len, shown.splitlines())) <= size[0]
        assert ("INTERVAL" in shown) == (size[0] >= 100)
        assert shown.isascii() or mode != "ascii"


def test_no_line_is_wider_than_it_may_be_whatever_the_names() -> None:
    rows = [
        TrialRow(
            task="t", index=None, cell={"a": "長い" * 30, "b": letter}, trial=trial, status="succeeded", attempts=1,
            values={"m": 1e12 * trial},
        )
        for trial in range(1, 4)
        for letter in "xy"
    ]  # fmt: skip
    measured = [Measurements(1, [], rows)]
    lines = compare_all(measured, Wishes())
    for width in (60, 79, 119, 199):
        for row in result_rows(lines, measured, False, width, Signs()):  # noqa: FBT003
            assert width_of(row.line) <= width
        assert width_of(results_heading(False, width)) <= width  # noqa: FBT003
