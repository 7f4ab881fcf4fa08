"""What each screen shows, at 80x24 and wider, and how the operator gets from one to the other."""

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from engine.protocol.messages import ListTasks
from orchctl.console.drawing import width_of
from orchctl.console.keymap import ACTIONS, Place, clash
from orchctl.console.screens.help import help_lines
from orchctl.console.theme import Signs
from tests.support.console_engine import World, engine_row
from tests.support.console_pilot import console_on, until
from tests.support.console_world import ingest, run

OVERVIEW = """\
 cpu ▕████░░░░░░▏ 12/32 claimed, 9.5 used  mem ▕██░░░░░░░░▏ 16.0/64.0 GiB used
 ▶ 12 running  ◷ 40 ready  1 run running  load 7.2  warehouse 3/4
────────────────────────────────────────────────────────────────────────────────
 Runs  3   sort: attention
   WORKFLOW              RUN     STATE      PROGRESS              FAIL     TIME
▌▶ ingest-daily          r12     running    ████████✗▒░░░░  60%      2    2h33m
 ‖ reindex               r11     paused     ██████░░░░░░░░  44%      0    2h33m
 ✓ orders                r10     succeeded  ██████████████ 100%      0   10m00s"""

OUTLINE = """\
▌▶ running  ingest-daily r12  ███████✗▒░░░ 60%  ✓60 ✗2 ▶8 ·32              2h33m
   ✓ fetch                   succeeded                                      9.0s
 ▸ ▶ parse                   ×100    ███████✗▒░░░ ✓59 ✗2 ▶8 ·31 running
   · publish                 waiting  waits for parse"""

OUTLINE_ASCII = """\
>> running  ingest-daily r12  #######x=... 60%  +60 x2 >8 .32              2h33m
   + fetch                   succeeded                                      9.0s
 + > parse                   x100    #######x=... +59 x2 >8 .31 running
   . publish                 waiting  waits for parse"""


@pytest.mark.asyncio
async def test_the_overview_shows_host_runs_by_attention_and_what_failed(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        shown = await console.shows("parse[42]  exit 137  try 3", "parse[11]")
        assert OVERVIEW in shown
        await console.shows(" Last runs of ingest-daily  ▶  ·")
        lines = shown.splitlines()
        assert len(lines) == 24
        assert "engine serving" in lines[0]
        assert "● live  10:33:20" in lines[0]
        assert all(len(line) <= 80 for line in lines)


@pytest.mark.asyncio
async def test_no_key_leads_out_of_the_overview_but_the_one_that_leaves(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("ingest-daily")
        await console.press("left", "h", "backspace", "escape")
        await console.shows("ingest-daily", "Attention")


@pytest.mark.asyncio
async def test_what_is_typed_after_leaving_does_nothing_any_more(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("ingest-daily")
        screen = console.console.screen
        assert screen.check_action("act", ("retry",))
        await console.press("q")
        assert screen.check_action("act", ("retry",)) is False


@pytest.mark.asyncio
async def test_the_cursor_goes_to_a_run_that_was_just_made(tmp_path: Path) -> None:
    world = ingest()
    async with console_on(tmp_path, world) as console:
        await console.shows("ingest-daily")
        made = msgspec.structs.replace(world.runs[0], run="r13", tasks={"waiting": 3})
        console.console.screen.made_run("r13")
        world.runs.append(made)
        console.engine.publish()
        await until(lambda: "r13" in console.text() and console.line("r13").startswith("▌"))


@pytest.mark.asyncio
async def test_pools_that_are_held_are_named_first_and_those_without_room_are_counted(tmp_path: Path) -> None:
    world = ingest()
    free = {f"workflow-{number}/database": {"slots": 4, "claimed": 0} for number in range(4)}
    pools = {**free, "held": {"slots": 4, "claimed": 3}}
    world.resources = msgspec.structs.replace(world.resources, pools=pools)
    async with console_on(tmp_path, world) as console:
        await console.shows("held 3/4", "more")
        assert console.line("held 3/4").split("held 3/4")[1].strip().endswith("more")


@pytest.mark.asyncio
async def test_an_empty_engine_says_how_to_begin(tmp_path: Path) -> None:
    async with console_on(tmp_path, World()) as console:
        await console.shows("no runs yet", "nothing failed lately, nothing is stuck")


@pytest.mark.asyncio
async def test_problems_of_the_engine_are_in_the_attention_list(tmp_path: Path) -> None:
    world = ingest()
    world.engine = engine_row(problems=["the disk has 200 MiB left"], state="read_only")
    async with console_on(tmp_path, world) as console:
        await console.shows("! the disk has 200 MiB left", "engine read-only")


@pytest.mark.asyncio
async def test_the_sort_key_puts_the_newest_first_and_the_cursor_stays_on_its_run(tmp_path: Path) -> None:
    world = ingest()
    world.runs = [run(13, "late", "succeeded", {"succeeded": 1}), *world.runs]
    async with console_on(tmp_path, world) as console:
        await console.shows("late")
        assert console.line("ingest-daily").startswith("▌")
        shown = console.text()
        assert shown.index("ingest-daily  ") < shown.index("late")
        await console.press("s")
        shown = await console.shows("sort: newest")
        assert shown.index("late") < shown.index("ingest-daily  ")
        assert console.line("ingest-daily").startswith("▌")


@pytest.mark.asyncio
async def test_a_filter_narrows_the_runs_while_it_is_typed_and_escape_closes_the_prompt(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("reindex")
        await console.press("slash", "r", "e", "i")
        await console.lacks("orders ")
        await console.press("enter")
        await console.shows("/rei", "1 of 3")
        await console.press("slash")
        await until(lambda: bool(console.console.screen.query("Prompt")))
        await console.press("escape")
        await until(lambda: not console.console.screen.query("Prompt"))
        await console.press("q")
        await until(lambda: console.console.return_value == 0)


@pytest.mark.asyncio
async def test_the_outline_shows_the_run_and_its_tasks_in_order(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("ingest-daily")
        await console.press("enter")
        shown = await console.shows("publish")
        assert OUTLINE in shown
        assert shown.splitlines()[0].startswith(" orchctl › ingest-daily › r12  ▶ running  60%")


@pytest.mark.asyncio
@pytest.mark.parametrize("key", ["h", "backspace", "left", "escape"])
async def test_four_keys_lead_back(tmp_path: Path, key: str) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        await console.press(key)
        await console.shows("Attention")


@pytest.mark.asyncio
async def test_without_utf8_only_ascii_is_drawn(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12, ascii_only=True) as console:
        shown = await console.shows("publish")
        assert OUTLINE_ASCII in shown
        assert shown.isascii()
        for key in ("j", "j", "enter"):
            await console.press(key)
        assert (await console.shows("90 more")).isascii()
        await console.press("2")
        assert (await console.shows("102 rows")).isascii()
        await console.press("question_mark", "G")
        assert (await console.shows("Signs")).isascii()
        await console.press("h", "1", "h")
        assert (await console.shows("Attention")).isascii()


@pytest.mark.asyncio
async def test_opening_a_mapped_task_shows_what_needs_attention_first_and_never_all(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        await console.press("j", "j", "enter")
        shown = await console.shows("… 90 more")
        rows = [line for line in shown.splitlines() if "parse[" in line]
        assert len(rows) == 10
        assert all("failed" in row for row in rows[:2])
        assert all("running" in row for row in rows[2:])
        assert max(view.limit for view in console.engine.subscriptions if isinstance(view, ListTasks)) <= 200
        await console.press("enter")
        await console.lacks("90 more")
        assert console.line("parse ").startswith("▌")


@pytest.mark.asyncio
async def test_the_line_of_what_is_not_shown_leads_to_the_list_of_rows(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        await console.press("j", "j", "enter")
        await console.shows("90 more")
        await console.press(*["j"] * 11, "enter")
        shown = await console.shows("100 rows of parse")
        assert "parse[11]" in shown.splitlines()[3]
        await console.press("h")
        await console.shows("90 more")


@pytest.mark.asyncio
async def test_states_change_in_place_while_the_operator_looks(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("waits for parse")
        groups = console.engine.world.groups[12]
        groups[2] = msgspec.structs.replace(groups[2], status="running", why="", started_at="2026-11-23T10:33:00Z")
        console.engine.publish()
        await console.lacks("waits for parse")
        assert "▶ publish" in console.line("publish")
        assert "20.0s" in console.line("publish")


@pytest.mark.asyncio
async def test_the_outline_says_why_a_task_failed_and_how_often_it_was_tried(tmp_path: Path) -> None:
    world = ingest()
    failed = msgspec.structs.replace(world.groups[12][0], status="failed", attempts=3, why="failed: exit 2")
    world.groups[12][0] = failed
    async with console_on(tmp_path, world, run=12) as console:
        await console.shows("✗ fetch                   failed  try 3  exit 2")


@pytest.mark.asyncio
async def test_beside_a_scrollbar_the_end_of_a_line_is_still_there(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12, size=(80, 9)) as console:
        await console.shows("publish", "2h33m")
        await console.press("j", "j", "enter", "g")
        await console.shows("▾ ▶ parse", "2h33m")
        assert console.line("ingest-daily r12  ██").rstrip("▁▂▃▄▅▆▇█ ").endswith("2h33m")


@pytest.mark.parametrize("place", get_args(Place))
def test_no_line_of_the_help_is_cut_at_80_columns(place: Place) -> None:
    for line in help_lines(place, Signs(), may_act=True):
        assert width_of(line) <= 80 - 2, line  # beside the cursor's column and a scrollbar


@pytest.mark.asyncio
async def test_details_stand_beside_the_outline_where_there_is_room(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12, size=(120, 40)) as console:
        await console.shows("note      nightly")
        await console.press("j", "j")
        await console.shows("needs     fetch", "×100 rows", "does      etl:parse")
        await console.press("j")
        await console.shows("WHY IT WAITS", "pool warehouse: asks 1, 0 free;", "by r11 load")
        await console.press("i")
        await console.lacks("WHY IT WAITS")


@pytest.mark.asyncio
async def test_details_give_no_reason_to_wait_for_what_goes_on_meanwhile(tmp_path: Path) -> None:
    world = ingest()
    async with console_on(tmp_path, world, run=12, size=(120, 40)) as console:
        await console.shows("note      nightly")
        await console.press("j", "j", "j")
        await console.shows("WHY IT WAITS", "pool warehouse: asks 1, 0 free;")
        publish = world.groups[12][-1]
        world.groups[12][-1] = msgspec.structs.replace(publish, status="running", tasks={"running": 1})
        console.engine.publish()
        await console.lacks("WHY IT WAITS")


@pytest.mark.asyncio
async def test_details_come_by_key_on_a_narrow_screen_and_show_the_attempts_of_a_row(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        assert "needs" not in console.text()
        await console.press("j", "j", "enter")
        await console.shows("90 more")
        await console.press("j", "i")
        shown = await console.shows("outcome   exit 137", "ATTEMPTS", "failed: exit 137")
        assert all(len(line) <= 80 for line in shown.splitlines())


@pytest.mark.asyncio
async def test_the_tasks_pane_filters_by_name_and_by_failure(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        await console.press("2")
        await console.shows("102 rows", "parse[3]")
        await console.press("F")
        shown = await console.shows("2 rows, /is:faults")
        assert all("failed" in line for line in shown.splitlines() if "parse[" in line)
        assert "parse[11]" in shown
        assert "parse[42]" in shown
        await console.press("F", "slash", *"publ", "enter")
        await console.shows("1 row, /publ")


@pytest.mark.asyncio
async def test_the_outline_filters_by_name(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        await console.press("slash", *"par", "enter")
        shown = await console.lacks("fetch")
        assert "▸ ▶ parse" in shown
        assert "/par" in shown


@pytest.mark.asyncio
async def test_the_journal_is_read_page_by_page_to_its_end(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        await console.press("6")
        await console.shows("AttemptStarted", "parse[0] #0 pid=4000")
        await console.press("G")
        await console.shows("parse[1199] #1199")
        last = console.engine.world.events[-1]
        console.engine.world.events.append(msgspec.structs.replace(last, event="AttemptExited"))
        await console.shows("AttemptExited")
        assert console.text().count("#1199") == 2


@pytest.mark.asyncio
async def test_why_a_run_waits_is_told_row_by_row(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("ingest-daily")
        await console.press("x")
        shown = await console.shows("Why r12 waits", "publish  waiting  rank 2 in the queue")
        assert "    pool warehouse: asks 1, 0 free; held by r11 load" in shown
        await console.press("h")
        await console.shows("Attention")


@pytest.mark.asyncio
@pytest.mark.parametrize("place", ["overview", "run"])
async def test_help_names_every_key_of_the_screen(tmp_path: Path, place: str) -> None:
    async with console_on(tmp_path, ingest(), run=12 if place == "run" else 0, size=(120, 120)) as console:
        await console.shows("ingest-daily")
        await console.press("question_mark")
        shown = await console.shows("Signs")
        for action in ACTIONS:
            assert (action.help in shown) == (place in action.places), action.id
        await console.press("h")
        await console.lacks("Signs")


@pytest.mark.asyncio
async def test_the_foot_names_only_keys_that_do_something_here(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        foot = console.text().splitlines()[-1]
        assert "L log" in foot
        assert "r retry" in foot
        await console.press("5")
        await console.shows("f follow")
        foot = console.text().splitlines()[-1]
        assert "L log" not in foot
        assert "mark" not in foot
        assert foot.endswith("q leave")


def test_every_action_of_the_keymap_is_a_method_of_its_screens() -> None:
    from orchctl.console.program import Console
    from orchctl.console.screens.definition import DefinitionScreen
    from orchctl.console.screens.explain import ExplainScreen
    from orchctl.console.screens.help import HelpScreen
    from orchctl.console.screens.overview import OverviewScreen
    from orchctl.console.screens.registry import SCREENS
    from orchctl.console.screens.run import RunScreen
    from orchctl.console.screens.schedules import BackfillRunsScreen
    from orchctl.console.screens.task import TaskScreen

    screens = {
        "overview": OverviewScreen, "run": RunScreen, "explain": ExplainScreen, "help": HelpScreen,
        "task": TaskScreen, "definition": DefinitionScreen, "backfill": BackfillRunsScreen, **SCREENS,
    }  # fmt: skip
    for action in ACTIONS:
        for place in action.places:
            method = f"action_{action.name.split('(')[0]}"
            assert hasattr(screens[place], method) or hasattr(Console, method), (action.id, place)


def test_no_key_of_a_pane_does_two_things() -> None:
    assert clash(ACTIONS) is None
    assert clash([*ACTIONS, msgspec.structs.replace(ACTIONS[0], id="other")]) == ("open", "other", "enter")


@pytest.mark.asyncio
async def test_a_run_that_is_removed_says_so(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        console.engine.world.runs = console.engine.world.runs[1:]
        console.engine.publish()
        await console.shows("the run was removed")


@pytest.mark.asyncio
async def test_when_the_engine_goes_away_the_picture_stays_grey_with_its_age_until_it_is_back(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("ingest-daily")
        await console.engine.stop()
        shown = await console.shows("stale", "ingest-daily", "trying again")
        assert "cancel" not in shown.splitlines()[-1]
        await console.press("c")
        await console.shows("the engine is away")
        console.engine.world.runs[0] = msgspec.structs.replace(console.engine.world.runs[0], status="succeeded")
        await console.engine.start()
        await console.shows("● live", "✓ ingest-daily")
        assert not console.engine.acts


@pytest.mark.asyncio
async def test_a_resize_keeps_the_cursor_in_sight(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12, size=(120, 40)) as console:
        await console.shows("publish")
        await console.press("2")
        await console.shows("parse[3]")
        await console.press(*["j"] * 30)
        await console.pilot.resize_terminal(80, 24)
        await until(lambda: "▌" in console.text() and len(console.text().splitlines()) == 24)
        assert "parse[29]" in console.line("▌")
