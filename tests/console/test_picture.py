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
from orchctl.console.picture import Form, picture, screen_names
from orchctl.console.settings import Settings
from tests.support.console_engine import ConsoleEngine
from tests.support.console_world import pipeline


@asynccontextmanager
async def _served(folder: Path) -> AsyncIterator[Path]:
    world = pipeline()
    world.logs["inventory"] = b"all there\n"
    engine = ConsoleEngine(folder, world)
    await engine.start()
    try:
        yield folder
    finally:
        await engine.stop()


async def _picture(home: Path, name: str, form: Form = "text", *, ascii_only: bool = False) -> str:
    return await picture(home, name, 12, (80, 24), form, Settings(), ascii_only=ascii_only)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("overview", "Attention"), ("graph", "─▶ · quarantine"), ("outline", "▸ ▶ load"), ("tasks", "count[3]"),
        ("gantt", "|0ms"), ("grid", "r10   r11   r12"), ("events", "AttemptStarted"), ("workflows", "Workflows"),
        ("schedules", "1 Schedules*"), ("backfills", "2 Backfills*"), ("audit", "Audit"), ("help", "Help"),
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
        with pytest.raises(Unavailable, match="no such run"):
            await picture(home, "graph", 99, (80, 24), "text", Settings())
    with pytest.raises(Unavailable, match="does not answer"):
        await asyncio.wait_for(_picture(tmp_path, "overview"), 20)


@pytest.mark.parametrize("text", ["80", "80x", "9x9", "80x9999", "-80x24"])
def test_a_size_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="80x24"):
        _size(text)
