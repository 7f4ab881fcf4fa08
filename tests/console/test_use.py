"""What an attempt used over time, as charts."""

from pathlib import Path

import msgspec
import pytest

from engine.protocol.messages import ListSamples
from engine.protocol.rows import AttemptRow, SampleRow, SpecRow
from orchctl.console.drawing import width_of
from orchctl.console.layout.chart import Reading, chart, top_of
from orchctl.console.theme import Signs
from orchctl.console.uselines import use_lines
from tests.support.console_engine import World
from tests.support.console_pilot import Driver, console_on, until
from tests.support.console_world import NOW_S, ingest

MIB = 2**20
SPEC = SpecRow(task="fetch", kind="command", lines=["./fetch"], quota={"memory": 100.0 * MIB, "disk": 1000.0 * MIB})


def sample(second: int, memory: int, cpus: float = 0.5) -> SampleRow:
    return SampleRow(
        at=f"2026-11-23T10:33:{second:02d}Z", memory=memory * MIB, cpu_seconds=second * cpus, cpus=cpus, read=0,
        written=second * MIB, processes=2, threads=3,
    )  # fmt: skip


def attempt(number: int, *, running: bool) -> AttemptRow:
    return AttemptRow(
        task="fetch", index=None, number=number, attempt=number, status="running" if running else "exited",
        outcome=None if running else "failed", sentence="" if running else "failed: exit 1",
        started_at="2026-11-23T10:33:00Z", finished_at=None if running else "2026-11-23T10:33:10Z",
        enforced={"memory": "kernel"},
    )  # fmt: skip


def world_of_samples() -> World:
    world = ingest()
    world.specs["fetch"] = SPEC
    at = next(at for at, row in enumerate(world.tasks[12]) if row.task == "fetch")
    world.tasks[12][at] = msgspec.structs.replace(world.tasks[12][at], status="running", attempts=2)
    world.attempts = [attempt(1, running=False), attempt(2, running=True)]
    world.samples = {1: [sample(at, 20) for at in range(10)], 2: [sample(at, at * 5) for at in range(20)]}
    return world


async def _use(console: Driver) -> str:
    await console.shows("publish")
    await console.press("j", "enter")
    await console.shows("WHAT IT DOES")
    await console.press("3")
    return await console.shows("3 Use*", "MEMORY", "samples")


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", ["colour", "no colour", "ascii"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_memory_cpu_and_disk_are_drawn_with_limits_and_peaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], mode: str
) -> None:
    if mode == "no colour":
        monkeypatch.setenv("NO_COLOR", "1")
    plain = mode == "ascii"
    async with console_on(tmp_path, world_of_samples(), run=12, size=size, ascii_only=plain) as console:
        shown = await _use(console)
        assert "attempt 2  running, 20.0s   at most 2 processes, 3 threads   20 samples" in shown
        assert "MEMORY  95.0 MiB, peak 95.0 MiB   limit 100.0 MiB, by the kernel" in shown
        assert "CPU  0.50 CPUs now, 9.5s in all, peak 0.50 CPUs" in shown
        assert "DISK  19.0 MiB written, 0 B read   limit 1000.0 MiB (above)" in shown
        assert ("100.0 MiB |---" if plain else "100.0 MiB │───") in shown
        lines = shown.splitlines()
        assert max(map(len, lines)) <= size[0]
        assert any(line.split()[-3:] == ["0s", "10.0s", "20.0s"] for line in lines)
        assert shown.isascii() or not plain


@pytest.mark.asyncio
async def test_the_chart_of_a_running_attempt_grows_and_that_of_one_that_ended_is_asked_for_once(
    tmp_path: Path,
) -> None:
    world = world_of_samples()
    async with console_on(tmp_path, world, run=12) as console:
        await _use(console)
        world.samples[2].append(sample(20, 99))
        await console.shows("21 samples", "peak 99.0 MiB")
        await console.press("left_square_bracket")
        await console.shows("attempt 1  failed: exit 1, 10.0s", "peak 20.0 MiB")
        await until(lambda: _asked(console, 1) == 1)
        await console.press("left_square_bracket")
        await console.shows("there is no attempt before")
        await console.press("right_square_bracket")
        await console.shows("attempt 2  running")
        assert _asked(console, 1) == 1
        await console.press("h")
        await console.shows("WHAT IT DOES", "1 Task*")


def _asked(console: Driver, number: int) -> int:
    return sum(isinstance(request, ListSamples) and request.number == number for request in console.engine.requests)


@pytest.mark.asyncio
async def test_what_was_not_sampled_says_so(tmp_path: Path) -> None:
    world = world_of_samples()
    world.samples = {}
    async with console_on(tmp_path, world, run=12) as console:
        await console.shows("publish")
        await console.press("j", "enter")
        await console.press("G")
        await console.shows("memory 100.0 MiB")
        await console.press("3")
        await console.shows("attempt 2 has no sample yet")
        await console.press("left_square_bracket")
        await console.shows("attempt 1 is not sampled: what ends within a few seconds never is")


def test_a_chart_keeps_short_peaks_holds_values_and_draws_its_limit() -> None:
    readings = [Reading(0, 1), Reading(5, 8), Reading(5.01, 1), Reading(9, 4)]
    drawn = chart(readings, (0, 10), 8, 6, (10, 4), ascii_only=False)
    assert drawn.rows == ["─────█────", "     █    ", "     █   █", "▄▄▄▄▄█▄▄▄█"]
    assert drawn.limit_row == 0
    plain = chart(readings, (0, 10), 8, 6, (10, 4), ascii_only=True)
    assert all(row.isascii() for row in plain.rows)
    assert chart([], (0, 10), 0, 0, (10, 2), ascii_only=False).rows == [" " * 10] * 2
    assert chart([Reading(0, 5)], (0, 0), 5, 50, (3, 1), ascii_only=False).limit_row == -1


def test_the_axis_ends_at_a_limit_that_is_near_and_else_at_the_peak() -> None:
    assert top_of(90, 100) == pytest.approx(105)
    assert top_of(10, 100) == pytest.approx(10.5)
    assert top_of(120, 100) == pytest.approx(126)
    assert top_of(10, 0) == pytest.approx(10.5)


def test_charts_fit_any_size() -> None:
    samples = [sample(at, 50, 3.25) for at in range(30)]
    for size in ((40, 10), (78, 19), (118, 36), (300, 90)):
        lines = use_lines(attempt(1, running=False), samples, SPEC, size, Signs(), NOW_S)
        assert all(width_of(line) <= size[0] for line in lines)
        assert len(lines) <= size[1] or size[1] < 15
    assert use_lines(None, [], None, (80, 20), Signs(), NOW_S)[1] == [("  no attempt yet", "dim")]
