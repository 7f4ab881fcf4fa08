"""Changing settings of a run while it goes on, having what runs stand still, and taking both back."""

from pathlib import Path

import msgspec
import pytest
from textual import events

from engine.protocol.messages import Act, ChangeSettings, Done, Refused, Target
from tests.support.console_engine import World
from tests.support.console_pilot import console_on, until
from tests.support.console_world import ingest


def _world() -> World:
    world = ingest()
    parse = world.groups[12][1]
    world.groups[12][1] = msgspec.structs.replace(parse, max_parallel=8, priority=3, settings={"priority": 3})
    return world


@pytest.mark.asyncio
async def test_the_priority_of_a_run_is_set_from_the_overview_and_taken_back(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("ingest-daily")
        await console.press("e")
        await console.shows("Set r12", "priority  default", "as defined")
        await console.press("ctrl+s")
        await console.shows("nothing is changed yet")
        await console.press(*["backspace"] * 7, *"2000")
        await console.shows("✗ -1000 to 1000 or default")
        await console.press("backspace", "backspace", "backspace", "tab", *"urgent", "enter")
        await console.shows("set: r12 priority=2 (was default); z undoes it")
        await console.press("z")
        await console.shows("set: r12 priority=default")
        first, second = console.engine.asked(ChangeSettings)
        assert (first.run, first.task, first.settings, first.seen) == (12, "", {"priority": 2}, "running")
        assert first.note == "urgent"
        assert (second.run, second.task, second.settings, second.seen) == (12, "", {"priority": None}, "")


@pytest.mark.asyncio
async def test_a_tasks_limits_are_set_in_the_run_with_what_holds_now_beside_them(tmp_path: Path) -> None:
    async with console_on(tmp_path, _world(), run=12) as console:
        await console.shows("publish")
        await console.press("j", "j", "e")
        shown = await console.shows("Set r12 parse", "set for this run")
        assert "8" in next(line for line in shown.splitlines() if "max_parallel" in line)
        assert "3" in next(line for line in shown.splitlines() if "priority" in line)
        console.engine.answer_act = Done(body={"changed": 1, "was": {"max_parallel": 6}, "meant": {"max_parallel": 8}})
        await console.press("tab", "backspace", *"16", "ctrl+s")
        await console.shows("set: r12 parse max_parallel=16 (was 6); z undoes it")
        await console.press("z")
        await until(lambda: len(console.engine.asked(ChangeSettings)) == 2)
        assert [asked.settings for asked in console.engine.asked(ChangeSettings)] == [
            {"max_parallel": 16}, {"max_parallel": 6},
        ]  # fmt: skip


@pytest.mark.asyncio
async def test_a_task_without_rows_has_a_priority_only_and_one_that_has_ended_nothing(tmp_path: Path) -> None:
    async with console_on(tmp_path, _world(), run=12) as console:
        await console.shows("publish")
        await console.press("G", "e")
        shown = await console.shows("Set r12 publish", "priority")
        assert "max_parallel" not in shown
        await console.press("escape", "k", "k", "e")
        await console.shows("fetch has ended: nothing of it is to come")
        assert not console.engine.asked(ChangeSettings)


@pytest.mark.asyncio
async def test_a_task_is_set_from_the_screen_of_one_of_its_rows(tmp_path: Path) -> None:
    async with console_on(tmp_path, _world(), run=12) as console:
        await console.shows("publish")
        await console.press("2")
        await console.shows("parse[3]")
        await console.press("j", "enter")
        await console.shows("r12 › parse[0]")
        for key in "e5":  # at once: the 5 is for the form that is on its way
            console.console.post_message(events.Key(key, key))
        await console.shows("Set r12 parse", "35")
        await console.press("ctrl+s")
        await console.shows("set: r12 parse priority=35 (was default); z undoes it")
        assert [(asked.run, asked.task) for asked in console.engine.asked(ChangeSettings)] == [(12, "parse")]


@pytest.mark.asyncio
async def test_a_setting_that_was_refused_is_told_and_not_undone(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("ingest-daily")
        console.engine.answer_act = Refused(code="conflict", sentence="r12 is succeeded: nothing of it is to come")
        await console.press("e")
        await console.shows("Set r12")
        await console.press(*["backspace"] * 7, *"2", "ctrl+s")
        await console.shows("not done: r12 is succeeded")
        await console.press("z")
        await console.shows("nothing can be undone")
        await console.press("G", "e")
        await console.shows("r10 has ended: succeeded")


@pytest.mark.asyncio
async def test_what_runs_of_a_task_stands_still_and_goes_on_by_the_same_key(tmp_path: Path) -> None:
    world = ingest()
    async with console_on(tmp_path, world, run=12) as console:
        await console.shows("publish")
        await console.press("j", "P")
        await console.shows("none of these runs")
        await console.press("j", "P")
        await console.shows("paused: 8 rows; z undoes it")
        (act,) = console.engine.asked(Act)
        assert act.verb == "pause"
        assert act.targets[0] == Target(task="parse", index=61, status="running", attempts=1)
        assert len(act.targets) == 8
        world.tasks[12] = [msgspec.structs.replace(row, suspended=row.status == "running") for row in world.tasks[12]]
        console.engine.publish()
        await console.press("2", "s")
        await console.shows("stands still")
        await console.press("1", "P")
        await console.shows("resumed: 8 rows; z undoes it")
        await console.press("z")
        await console.shows("paused: 8 rows")
        assert [asked.verb for asked in console.engine.asked(Act)] == ["pause", "resume", "pause"]


@pytest.mark.asyncio
async def test_a_run_with_all_that_runs_of_it_stands_still(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        await console.press("P")
        await console.shows("paused: run r12 of ingest-daily; z undoes it")
        (act,) = console.engine.asked(Act)
        assert (act.verb, act.run, act.running, act.targets, act.seen) == ("pause", 12, True, (), "running")


@pytest.mark.asyncio
async def test_settings_are_a_word_of_the_palette_and_no_key_of_a_viewer(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("ingest-daily")
        await console.press("colon", *"set", "enter")
        await console.shows("Set r12")
    async with console_on(tmp_path, ingest(), read_only=True) as console:
        await console.shows("ingest-daily")
        await console.press("e", "colon", *"set")
        await console.shows("nothing of that name")
