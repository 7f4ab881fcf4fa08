"""The graph pane: what it shows at each width, how the cursor walks it, and when the outline takes its place."""

from pathlib import Path

import msgspec
import pytest

from engine.protocol.messages import ListGroups
from engine.protocol.rows import GroupRow
from orchctl.console.memory import Memory
from tests.support.console_engine import World
from tests.support.console_pilot import console_on, until
from tests.support.console_world import pipeline

GRAPH = """\
▌▶ running  ingest-daily r12  ███████✗▒░░░ 60%  ✓60 ✗2 ▶8 ·32              2h33m

 ✓ inventory ─┬─▶ ✓ count ×37 ──▶ ✓ totals ─┐            ┌─▶ · quarantine
              │     ████████████            ├─▶ · check ─┤
 ✓ fetch ─────└─▶ ✗ load ×37 ───────────────┘            └─▶ · report
                    █████✗░░░░░░"""

GRAPH_ASCII = """\
>> running  ingest-daily r12  #######x=... 60%  +60 x2 >8 .32              2h33m

 + inventory -+-> + count x37 --> + totals -+            +-> . quarantine
              |     ############            +-> . check -+
 + fetch -----+-> x load x37 ---------------+            +-> . report
                    #####x......"""


def _body(shown: str) -> str:
    return "\n".join(shown.splitlines()[3:9])


@pytest.mark.asyncio
async def test_a_small_run_is_a_graph_with_states_and_bars(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12, shape="") as console:
        assert _body(await console.shows("quarantine", "1 Graph*")) == GRAPH


@pytest.mark.asyncio
async def test_the_graph_in_ascii(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12, shape="", ascii_only=True) as console:
        shown = await console.shows("quarantine")
        assert shown.isascii()
        assert _body(shown) == GRAPH_ASCII


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [(120, 40), (200, 60)])
async def test_the_graph_keeps_its_shape_on_a_wide_screen_beside_the_details(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async with console_on(tmp_path, pipeline(), run=12, shape="", size=size) as console:
        shown = await console.shows("quarantine", "note      nightly")
        graph = [line[:76].rstrip() for line in shown.splitlines()[5:9]]
        assert graph == GRAPH.splitlines()[2:]


@pytest.mark.asyncio
async def test_details_lie_below_the_graph_on_a_narrow_screen_that_has_the_lines(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12, shape="") as console:
        shown = await console.shows("quarantine", "version ", "note      nightly")
        assert _body(shown).startswith(GRAPH)
        assert max(len(line) for line in shown.splitlines()) <= 80
        await console.press("j", "j", "j")
        await console.shows("▌✓ count", "×37 rows")
        await console.press("i")
        await console.lacks("×37 rows")
        await console.press("i", "2", "1")
        shown = await console.shows("▌✓ count", "×37 rows")
        assert shown.splitlines()[4:9] == ["", *GRAPH.replace(" ✓ count", "▌✓ count").splitlines()[2:]]


@pytest.mark.asyncio
async def test_a_graph_that_needs_the_lines_has_them_to_itself(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12, shape="", size=(80, 16)) as console:
        shown = await console.shows("quarantine")
        assert "note      nightly" not in shown
        await console.pilot.resize_terminal(80, 24)
        await console.shows("note      nightly")
        await console.pilot.resize_terminal(80, 16)
        await console.lacks("note      nightly")


@pytest.mark.asyncio
async def test_no_color_shows_the_same_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with console_on(tmp_path, pipeline(), run=12, shape="") as console:
        assert _body(await console.shows("quarantine")) == GRAPH
        await console.press("j", "space", "u")
        await console.shows("◆✓ inventory", "/+fetch")


@pytest.mark.asyncio
async def test_the_cursor_walks_column_by_column_and_by_arrows_to_the_sides(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12, shape="") as console:
        await console.shows("quarantine")
        await console.press("j", "j")
        await console.shows("▌✓ fetch")
        await console.press("right")
        await console.shows("▌✗ load")
        await console.press("right", "right", "right")
        await console.shows("▌· quarantine")
        await console.press("left", "G")
        await console.shows("▌· report")
        await console.press("g")
        await console.shows("▌▶ running")


@pytest.mark.asyncio
async def test_states_change_without_moving_anything(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12, shape="") as console:
        before = await console.shows("· check")
        groups = console.engine.world.groups[12]
        groups[5] = msgspec.structs.replace(groups[5], status="running", tasks={"running": 1})
        console.engine.publish()
        shown = await console.shows("▶ check")
        assert shown.replace("▶ check", "· check") == before


@pytest.mark.asyncio
async def test_upstream_and_downstream_are_lit_and_the_filter_says_so(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12, shape="") as console:
        await console.shows("quarantine")
        await console.press("j", "j", "right", "u")
        await console.shows("/+load", "quarantine")
        assert console.console.screen.graph._lit == {"inventory", "fetch", "load"}
        await console.press("2")
        shown = await console.shows("39 rows, /+load")
        assert "count[" not in shown
        await console.press("1", "d")
        await console.shows("/load+")
        assert console.console.screen.graph._lit == {"load", "check", "quarantine", "report"}
        await console.press("d")
        await until(lambda: console.console.screen.graph._lit is None)


@pytest.mark.asyncio
async def test_enter_opens_the_rows_of_a_mapped_task_and_the_screen_of_another(tmp_path: Path) -> None:
    world = pipeline()
    async with console_on(tmp_path, world, run=12, shape="") as console:
        await console.shows("quarantine")
        await console.press("j", "enter")
        await console.shows("r12 › inventory", "WHAT IT DOES")
        await console.press("h", "right", "enter")
        await console.shows("37 rows of count")
        await console.press("h")
        await console.shows("▌✓ count")


@pytest.mark.asyncio
async def test_a_graph_that_does_not_fit_is_an_outline_and_back_when_there_is_room(tmp_path: Path) -> None:
    world = pipeline()
    last = world.groups[12][-1]
    needs = ["report", *(f"stage_number_{at}" for at in range(5))]
    more = [msgspec.structs.replace(last, task=f"stage_number_{at}", needs=(needs[at],)) for at in range(4)]
    world.groups[12] += more
    async with console_on(tmp_path, world, run=12, memory=Memory(details=False)) as console:
        await console.shows("1 Outline*", "stage_number_3")
        await console.press("o")
        await console.shows("the graph does not fit here")
        await console.pilot.resize_terminal(200, 60)
        await console.shows("1 Graph*", "stage_number_3")
        await console.pilot.resize_terminal(80, 24)
        await console.shows("1 Outline*")


def _large() -> World:
    world = pipeline()
    world.groups[12] = [
        GroupRow(task=f"t{at}", status="waiting", mapped=False, rows=1, tasks={"waiting": 1},
                 needs=(f"t{(at - 1) // 3}",) if at else ())
        for at in range(200)
    ]  # fmt: skip
    return world


@pytest.mark.asyncio
async def test_the_neighbourhood_of_a_task_is_a_graph_however_large_the_run_is(tmp_path: Path) -> None:
    async with console_on(tmp_path, _large(), run=12, shape="") as console:
        await console.shows("1 Outline*", "t0 ")
        await console.press(*"jjjjjj", "n")
        shown = await console.shows("around t5: 1 step", "─▶▌· t5")
        assert {"t1", "t16", "t17", "t18"} <= set(shown.replace("─", " ").split())
        assert "t4" not in shown.split()
        await console.press("n")
        await console.shows("around t5: 2 steps", "t0", "t52")
        await console.press("n")
        await console.shows("1 Outline*")
        asked = [view for view in console.engine.subscriptions if isinstance(view, ListGroups)]
        assert max(view.limit for view in asked) <= 200, "never the whole run"


@pytest.mark.asyncio
async def test_the_shape_that_was_chosen_is_remembered(tmp_path: Path) -> None:
    async with console_on(tmp_path, pipeline(), run=12, shape="") as console:
        await console.shows("1 Graph*")
        await console.press("o")
        await console.shows("1 Outline*")
        assert console.console.memory.shape == "outline"
        await console.press("o")
        await console.shows("1 Graph*")
        assert console.console.memory.shape == "graph"
