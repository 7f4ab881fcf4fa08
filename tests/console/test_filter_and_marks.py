"""One filter and one selection for all panes of a run, and acts on what is marked."""

from pathlib import Path

import msgspec
import pytest

from engine.model.errors import ValueFault
from engine.protocol.messages import ListTasks, Target
from engine.protocol.rows import GroupRow, TaskRow
from orchctl.console import actions
from orchctl.console.filtering import read_filter
from tests.support.console_pilot import console_on, until
from tests.support.console_world import ingest, pipeline


def test_states_are_taken_out_of_a_filter_and_the_rest_is_for_the_engine() -> None:
    chosen = read_filter("  load   is:faults !~x$ ")
    assert (chosen.written, chosen.text) == ("load is:faults !~x$", "load !~x$")
    assert chosen.statuses == ("failed", "upstream_failed")
    assert "succeeded" not in read_filter("!is:succeeded").statuses
    assert read_filter("is:open !is:waiting").statuses == ("ready", "running", "backing_off")
    assert not read_filter("")


@pytest.mark.parametrize("written", ["is:nothing", "is:failed is:running", "~(", "is:"])
def test_a_filter_that_makes_no_sense_is_refused_with_words(written: str) -> None:
    with pytest.raises(ValueFault):
        read_filter(written)


@pytest.mark.asyncio
async def test_a_filter_holds_in_all_panes(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12) as console:
        await console.shows("quarantine")
        await console.press("slash", *"~^l.*d$", "enter")
        await console.lacks("quarantine")
        await console.press("2")
        await console.shows("37 rows, /~^l.*d$", "load[0]")
        await console.press("3")
        await console.lacks("fetch")
        await console.press("4")
        await console.shows("r10", "load")
        assert "fetch" not in console.text()
        await console.press("1", "slash", *["backspace"] * 9, *"!?ld", "enter")
        shown = await console.shows("/!?ld", "report")
        assert "load" not in shown


@pytest.mark.asyncio
async def test_a_wrong_filter_says_why_and_changes_nothing(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12) as console:
        await console.shows("quarantine")
        await console.press("slash", *"~(a+)+", "enter")
        await console.shows("no groups that repeat", "quarantine")
        await console.press("slash", *"is:fine", "enter")
        await console.shows("is:fine is no state", "quarantine")


@pytest.mark.asyncio
async def test_filters_that_were_typed_before_come_back_with_the_arrow_keys(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12) as console:
        await console.shows("quarantine")
        for text in ("load", "check"):
            await console.press("slash", *["backspace"] * 5, *text, "enter")
            await console.shows(f"/{text}")
        await console.press("slash", "up", "up", "enter")
        await console.shows("/load")
        await console.press("slash", "up", "down", "down", "enter")
        await console.shows("/load")
        assert console.console.memory.filters == ["check", "load"]


@pytest.mark.asyncio
async def test_a_mark_set_in_one_pane_is_seen_in_the_others(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12) as console:
        await console.shows("quarantine")
        await console.press("j", "j", "space")
        await console.shows("1 marked", "◆  ✓ fetch")
        await console.press("3")
        await console.shows("1 marked", "◆✓ fetch")
        await console.press("4")
        await console.shows("◆✓ fetch")
        await console.press("2")
        await console.shows("◆✓ fetch")
        await console.press("ctrl+backslash")
        await console.lacks("◆")


@pytest.mark.asyncio
async def test_everything_that_the_filter_lets_through_is_marked_and_named_row_by_row(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        await console.press("slash", *"is:failed", "enter", "2")
        await console.shows("2 rows, /is:failed")
        await console.press("asterisk")
        await console.shows("all 2 marked", "◆✗ parse[42]")
        await console.press("r")
        await console.shows("parse[11], failed", "parse[42], failed", "and 1 task downstream", "2 rows in all")
        await console.press("y")
        await console.shows("retried: 2 rows")
        (act,) = console.engine.acts
        assert act.targets == tuple(
            Target(task="parse", index=index, status="failed", attempts=3) for index in (11, 42)
        )
        await console.lacks("◆")


@pytest.mark.asyncio
async def test_many_rows_want_their_count_typed_and_only_those_that_can_be_touched_are_named(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        world = console.engine.world
        world.tasks[12] = [
            msgspec.structs.replace(row, status="running" if row.index is not None else row.status)
            for row in world.tasks[12] * 2
        ]
        await console.shows("publish")
        await console.press("2")
        await console.shows("204 rows")
        await console.press("asterisk", "c")
        await console.shows("202 rows in all", "Type 202")
        await console.press(*"201", "enter")
        await console.shows("nothing was done")
        assert not console.engine.acts


@pytest.mark.asyncio
async def test_what_is_marked_is_fetched_by_pages_however_many_rows_there_are(tmp_path: Path) -> None:
    world = ingest()
    world.tasks[12] = [TaskRow(task="parse", index=at, status="failed", attempts=1) for at in range(12_000)]
    async with console_on(tmp_path, world, run=12) as console:
        await console.shows("publish")
        await console.press("2")
        await console.shows("12,000 rows")
        await console.press("asterisk", "r")
        await console.shows("are too many at once: filter, or act on the run or on whole tasks")
        pages = [
            asked.offset for asked in console.engine.requests if isinstance(asked, ListTasks) and asked.limit > 200
        ]
        assert pages == [0, 5_000, 10_000]


@pytest.mark.asyncio
async def test_rerun_and_marks_name_what_is_downstream_and_carry_the_outcome(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12) as console:
        await console.shows("quarantine")
        await console.press("j", "R")
        await console.shows("Rerun:", "inventory, succeeded", "and 6 tasks downstream")
        await console.press("y")
        await console.shows("run again: inventory")
        await console.press("G", "m")
        await console.shows("Mark succeeded:", "report, waiting")
        await console.press("y")
        await console.shows("marked succeeded: report")
        acts = [(act.verb, act.mark, act.targets[0].task) for act in console.engine.acts]
        assert acts == [("rerun", "", "inventory"), ("mark", "succeeded", "report")]


@pytest.mark.asyncio
async def test_a_run_cannot_be_marked(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12) as console:
        await console.shows("quarantine")
        await console.press("M")
        await console.shows("is for tasks and rows")
        assert not console.engine.acts


def test_of_many_marked_rows_those_are_acted_on_for_which_it_makes_sense() -> None:
    failed = TaskRow(task="a", index=1, status="failed")
    done = TaskRow(task="a", index=2, status="succeeded")
    group = GroupRow(task="b", status="running", mapped=True, rows=2, tasks={"running": 2})
    assert actions.acted_on("retry", [failed, done, group]) == [failed]
    assert actions.acted_on("cancel", [failed, done, group]) == [group]


@pytest.mark.asyncio
async def test_the_outline_counts_a_running_task_with_failed_rows_among_the_failed(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12) as console:
        await console.shows("quarantine")
        await console.press("F")
        await console.shows("/is:faults", "▸ ▶ load")
        assert "fetch" not in console.text()
        await console.press("F")
        await until(lambda: "quarantine" in console.text())


@pytest.mark.asyncio
async def test_a_range_is_marked_from_one_row_to_another_also_beyond_what_is_here(tmp_path: Path) -> None:
    world = ingest()
    world.tasks[12] = [TaskRow(task="parse", index=at, status="failed", attempts=1) for at in range(1_000)]
    async with console_on(tmp_path, world, run=12) as console:
        await console.shows("publish")
        await console.press("2")
        await console.shows("1,000 rows")
        await console.press("j", "V")
        await console.shows("V ends the range")
        await console.press("G")
        await console.shows("parse[999]")
        await console.press("k", "V")
        await console.shows("998 marked")
        await console.press("ctrl+backslash")
        await console.lacks("998 marked")


@pytest.mark.asyncio
async def test_a_range_of_tasks_is_marked_in_the_outline(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        await console.press("j", "V", "j", "j", "V")
        await console.shows("3 marked")


@pytest.mark.asyncio
async def test_a_filter_that_is_given_up_is_what_it_was(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("reindex", "orders")
        await console.press("slash", *"reind")
        await console.lacks("orders")
        await console.press("escape")
        await console.shows("orders")


@pytest.mark.asyncio
async def test_what_is_typed_before_the_prompt_is_there_goes_to_the_prompt(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("reindex", "orders")
        for key in ("slash", *"reindq", "backspace", "enter"):
            console.console.simulate_key(key)
        await console.shows("/reind", "reindex")
        await console.lacks("orders")
        assert console.console.is_running


@pytest.mark.asyncio
async def test_the_names_of_panes_give_way_to_what_limits_the_rows(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        await console.press("2", "slash", *"parse is:failed !publish !fetch", "enter")
        shown = await console.shows("rows, /parse is:failed !publish !fetch", "2 Tasks*")
        assert "1 Graph" not in shown
        await console.press("slash", "ctrl+u", "enter")
        await console.shows("1 Graph  2 Tasks* 3 Gantt")
