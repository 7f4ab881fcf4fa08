"""Screens as pictures, without a terminal."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.model.errors import Unavailable, ValueFault
from orchctl.commands.console import _size
from orchctl.commands.kit import UsageError
from orchctl.console import picture as pictures
from orchctl.console.picture import Form, Wanted, picture, screen_names
from orchctl.console.settings import Settings
from tests.console.test_palette_and_standing import standing
from tests.console.test_use import world_of_samples
from tests.support.console_engine import ConsoleEngine, World
from tests.support.console_world import campaign, looked_back, pipeline


@asynccontextmanager
async def _served(folder: Path, world: World | None = None) -> AsyncIterator[Path]:
    if world is None:
        world = pipeline()
        world.logs["load[15]"] = b"all there\n"
        world.definitions["ingest-daily"] = standing().definitions["ingest-daily"]
    engine = ConsoleEngine(folder, world)
    await engine.start()
    try:
        yield folder
    finally:
        await engine.stop()


async def _picture(
    home: Path, name: str, form: Form = "text", *, row: str = "", at: str = "", ascii_only: bool = False
) -> str:
    return await picture(home, Wanted(name, 12, row, at), (80, 24), form, Settings(), ascii_only=ascii_only)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("overview", "Attention"), ("graph", "─▶ · quarantine"), ("outline", "▸ ▶ load"), ("tasks", "count[3]"),
        ("gantt", "|0ms"), ("grid", "r10   r11   r12"), ("events", "AttemptStarted"), ("workflows", "Workflows"),
        ("schedules", "1 Schedules*"), ("backfills", "2 Backfills*"), ("audit", "Audit"), ("help", "Help"),
        ("log", "all there"), ("resources", "HOLDS"),
        ("holders", "nobody holds"), ("queue", "nothing waits for room"), ("owners", "nobody has used"),
        ("explain", "Why"), ("definition", "1 name: ingest-daily"), ("task", "load[15]"), ("use", "3 Use*"),
    ],
)  # fmt: skip
async def test_every_screen_has_a_picture(tmp_path: Path, name: str, part: str) -> None:
    assert name in screen_names()
    async with _served(tmp_path) as home:
        shown = await _picture(home, name)
        assert part in shown
        assert len(shown.splitlines()) == 24
        assert max(map(len, shown.splitlines())) <= 80
        assert "\x1b" not in shown


@pytest.mark.asyncio
async def test_a_row_is_pictured_by_its_name(tmp_path: Path) -> None:
    async with _served(tmp_path, world_of_samples()) as home:
        assert "r12 › fetch" in await _picture(home, "task", row="fetch")
        assert "peak 95.0 MiB" in await _picture(home, "use", row="fetch")
        assert "out of memory" in await _picture(home, "log", row="parse[11]")
        assert "Why publish" in await _picture(home, "explain", row="publish")


@pytest.mark.asyncio
async def test_results_and_the_past_are_pictured(tmp_path: Path) -> None:
    async with _served(tmp_path, campaign()) as home:
        assert "against level=1 tool=gzip" in await _picture(home, "results")
    async with _served(tmp_path, looked_back()) as home:
        for name, part in (("graph", "↻ fetch"), ("tasks", "backing off"), ("gantt", "↻ fetch"), ("grid", "r12")):
            shown = await _picture(home, name, at="2026-11-23T08:21:00Z")
            assert "PAST  08:21:00" in shown
            assert part in shown


@pytest.mark.asyncio
async def test_a_picture_is_text_or_has_colours_or_is_a_drawing(tmp_path: Path) -> None:
    async with _served(tmp_path) as home:
        assert (await _picture(home, "graph", ascii_only=True)).isascii()
        coloured = await _picture(home, "graph", "ansi")
        assert "\x1b[" in coloured
        assert "quarantine" in coloured
        drawing = await _picture(home, "graph", "svg")
        assert drawing.startswith("<svg")
        assert "quarantine" in drawing


@pytest.mark.asyncio
async def test_what_cannot_be_pictured_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "WITHIN_S", 0.3)
    async with _served(tmp_path) as home:
        with pytest.raises(ValueFault, match="no screen 'gant'"):
            await _picture(home, "gant")
        with pytest.raises(Unavailable, match="run r99 is not known"):
            await picture(home, Wanted("graph", 99), (80, 24), "text", Settings())
        with pytest.raises(ValueFault, match="measures nothing"):
            await _picture(home, "results")
        with pytest.raises(ValueFault, match="has no row nobody"):
            await _picture(home, "task", row="nobody")
        with pytest.raises(ValueFault, match="not an RFC 3339 instant"):
            await _picture(home, "graph", at="soon")
    with pytest.raises(Unavailable, match="does not answer"):
        await asyncio.wait_for(_picture(tmp_path, "overview"), 20)


@pytest.mark.parametrize("text", ["80", "80x", "9x9", "80x9999", "-80x24"])
def test_a_size_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="80x24"):
        _size(text)
