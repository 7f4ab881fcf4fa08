"""Every screen at every size, in colour, without colour and in ASCII: it is there, and it fits."""

from pathlib import Path

import pytest

from tests.console.test_schedules_and_backfills import backfilled
from tests.support.console_engine import World
from tests.support.console_pilot import console_on
from tests.support.console_world import pipeline

WALK = (
    ("W", "Workflows"), ("enter", "1 name: ingest-daily"), ("h", "OWNER"), ("t", "Make a run of"),
    ("escape", "nothing was done"), ("h", "Attention"), ("S", "last runs, old to new"), ("b", "What it would make"),
    ("escape", "nothing was done"), ("2", "20 partitions"), ("c", "Cancel:"), ("n", "nothing was done"),
    ("enter", "PARTITION"), ("h", "20 partitions"), ("question_mark", "Help"), ("h", "20 partitions"),
    ("h", "Attention"), ("A", "alice (uid 1)"), ("h", "Attention"), ("tab", "tab goes back"), ("tab", "tab goes there"),
    ("e", "Set r12"), ("escape", "nothing was done"), ("H", "HOLDS"), ("2", "WHY"), ("3", "WEIGHT"),
    ("h", "Attention"), ("enter", "quarantine"),
    ("2", "count[0]"), ("3", "|0ms"), ("4", "r10"), ("1", "quarantine"),
    ("o", "Outline*"), ("j", "inventory"),
    ("enter", "WHAT IT DOES"), ("2", "all there"), ("h", "WHAT IT DOES"), ("h", "Outline*"),
    ("L", "all there"), ("6", "AttemptStarted"), ("1", "quarantine"),
    ("x", "Why"), ("h", "quarantine"), ("question_mark", "Help"), ("h", "quarantine"), ("colon", "tab completes"),
    ("escape", "quarantine"), ("slash", "quarantine"), ("escape", "q leave"), ("c", "inventory is succeeded"),
    ("k", "quarantine"), ("c", "Cancel:"), ("n", "nothing was done"),
)  # fmt: skip
"""Keys through all screens, each with something that then is on the screen."""


def _world() -> World:
    world = pipeline()
    world.logs["inventory"] = b"all there\n"
    known = backfilled()
    world.workflows, world.schedules, world.audit = known.workflows, known.schedules, known.audit
    world.definitions, world.backfills, world.partitions = known.definitions, known.backfills, known.partitions
    world.runs[0] = known.runs[0]
    return world


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", ["colour", "no colour", "ascii"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_a_walk_through_all_screens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], mode: str
) -> None:
    if mode == "no colour":
        monkeypatch.setenv("NO_COLOR", "1")
    async with console_on(tmp_path, _world(), size=size, shape="", ascii_only=mode == "ascii") as console:
        await console.shows("ingest-daily")
        for key, part in WALK:
            await console.press(key)
            shown = await console.shows(part)
            lines = shown.splitlines()
            assert len(lines) <= size[1], key
            assert max(map(len, lines)) <= size[0], key
            assert shown.isascii() or mode != "ascii", key
