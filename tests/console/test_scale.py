"""A list of any length costs a screenful: rows drawn, rows asked for, rows sent again."""

from pathlib import Path

import msgspec
import pytest

from engine.protocol.messages import ListGroups, ListTasks
from engine.protocol.rows import GroupRow, TaskRow
from orchctl.console.screens import sources
from orchctl.console.store import WINDOW_ROWS
from orchctl.console.widgets.lines import LineView
from tests.support.console_pilot import console_on, until
from tests.support.console_world import ingest

ROWS = 100_000


def _count_calls(monkeypatch: pytest.MonkeyPatch, holder: object, name: str) -> list[int]:
    """Counts the calls of a function in a list of one number."""
    calls = [0]
    original = getattr(holder, name)

    def counted(*words: object, **named: object) -> object:
        calls[0] += 1
        return original(*words, **named)

    monkeypatch.setattr(holder, name, counted)
    return calls


@pytest.mark.asyncio
async def test_a_hundred_thousand_rows_cost_a_screenful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = ingest()
    world.tasks[12] = [TaskRow(task="big", index=at, status="waiting") for at in range(ROWS)]
    async with console_on(tmp_path, world, run=12) as console:
        await console.shows("publish")
        drawn = _count_calls(monkeypatch, sources, "task_line")
        await console.press("2")
        await console.shows("100,000 rows", "big[18]")
        await console.press("G")
        await console.shows("big[99999]")
        await console.press(*["pageup"] * 3)
        await console.shows("big[99945]")
        await console.press("g")
        await console.shows("big[0]")
        assert drawn[0] < 2_000
        asked = [view for view in console.engine.subscriptions if isinstance(view, ListTasks)]
        assert [view.limit for view in asked] == [WINDOW_ROWS], "windows that are left are given up"


@pytest.mark.asyncio
async def test_ten_thousand_tasks_are_an_outline_of_windows(tmp_path: Path) -> None:
    world = ingest()
    world.groups[12] = [
        GroupRow(task=f"t{at:05d}", status="waiting", mapped=at % 2 == 1, rows=3, tasks={"waiting": 3})
        for at in range(10_000)
    ]
    world.tasks[12] = [TaskRow(task="t00001", index=at, status="waiting") for at in range(3)]
    async with console_on(tmp_path, world, run=12) as console:
        await console.shows("t00000")
        await console.press("j", "j", "enter")
        await console.shows("t00001[2]")
        await console.press("G")
        await console.shows("t09999")
        assert "▌" in console.line("t09999")
        await console.press("k")
        await until(lambda: "▌" in console.line("t09998"))
        windows = [view for view in console.engine.subscriptions if isinstance(view, ListGroups)]
        assert [view.limit for view in windows] == [WINDOW_ROWS]
        await console.press("g")
        await console.shows("t00001[2]", "t00000")


@pytest.mark.asyncio
async def test_only_rows_that_look_different_are_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("waits for parse")
        await console.pilot.pause()
        sent = _count_calls(monkeypatch, LineView, "render_line")
        groups = console.engine.world.groups[12]
        groups[2] = msgspec.structs.replace(groups[2], status="running", why="now")
        console.engine.publish()
        await console.shows("now")
        console.engine.publish()
        console.engine.publish()
        await until(lambda: console.console.screen.outline._groups.revision == console.engine.revision)
        await console.pilot.pause()
        assert sent[0] == 1
