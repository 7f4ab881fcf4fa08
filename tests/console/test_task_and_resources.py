"""The screens of one row and of the host."""

from pathlib import Path

import msgspec
import pytest

from engine.protocol.messages import Act, ListQueue
from engine.protocol.rows import AttemptRow, GroupRow, QueueRow, SpecRow, TaskRow
from orchctl.console.hostlines import Use, host_lines
from orchctl.console.screens.task import TaskScreen
from orchctl.console.tasklines import task_page
from orchctl.console.theme import Signs
from tests.support.console_engine import World
from tests.support.console_pilot import console_on, until
from tests.support.console_world import NOW_S, ingest

SPEC = SpecRow(
    task="parse", kind="shell", lines=["for n in 1 2; do", "    echo one", "done"], dir="/srv/etl",
    env={"MODE": "fast", "API_TOKEN": "(hidden)"}, pass_env=("AWS_*",),
    claim={"cpu": 2.0, "memory": 2**30, "pools": {"disk": 1}},
    quota={"wall": 1800.0, "memory": 2 * 2**30}, retry={"limit": 2, "delay": 10.0, "on": ["failed"]},
    trigger_rule="all_success", owner="data", mapped=True, max_parallel=8,
    upstream=[{"task": "fetch", "status": "succeeded"}], upstream_total=1,
    downstream=[{"task": "publish", "status": "waiting"}], downstream_total=1,
)  # fmt: skip


def world_of_a_row() -> World:
    world = ingest()
    world.specs["parse"] = SPEC
    levels = {"memory": "sampled", "cpu": "rounded"}
    world.tasks[12] = [msgspec.structs.replace(row, enforced=levels) for row in world.tasks[12]]
    return world


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_screen_of_a_row_tells_its_attempts_log_command_limits_and_neighbours(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async with console_on(tmp_path, world_of_a_row(), run=12, size=size) as console:
        await console.shows("publish")
        await console.press("2", "F")
        await console.shows("parse[11]")
        await console.press("enter")
        shown = await console.shows(
            "r12 › parse[11]  ✗ failed",
            "TRY",
            "out of memory",
            "WHAT IT DOES",
            "   for n in 1 2; do",
            "       echo one",
        )
        assert shown.index(" 3 ✗") < shown.index(" 2 ✗") < shown.index(" 1 ✗")
        assert all(len(line) <= size[0] for line in shown.splitlines())
        await console.press("G")
        shown = await console.shows(
            "disk:1", "wall 30m00s", "at most 8 rows at a time", "✓ fetch", "· publish", "API_TOKEN=(hidden)"
        )
        assert "2 more, after 10.0s, on failed" in shown
        assert "memory sampled, cpu rounded up to whole cores" in shown


@pytest.mark.asyncio
async def test_a_row_is_retried_from_its_screen_and_its_log_is_a_key_away(tmp_path: Path) -> None:
    async with console_on(tmp_path, world_of_a_row(), run=12) as console:
        await console.shows("publish")
        await console.press("2", "F")
        await console.shows("parse[11]")
        await console.press("enter")
        await console.shows("WHAT IT DOES")
        await console.press("L")
        await console.shows("2 Log*", "out of memory", "ended")
        await console.press("h")
        await console.shows("1 Task*", "WHAT IT DOES")
        await console.press("r")
        await console.shows("parse[11], failed")
        await console.press("y")
        await until(lambda: bool(console.engine.acts))
        (act,) = console.engine.acts
        assert isinstance(act, Act)
        assert (act.verb, [(target.task, target.index, target.attempts) for target in act.targets]) == (
            "retry", [("parse", 11, 3)],
        )  # fmt: skip
        await console.press("h")
        await console.shows("rows", "is:faults")


@pytest.mark.asyncio
async def test_a_row_that_changes_is_seen_to(tmp_path: Path) -> None:
    world = world_of_a_row()
    async with console_on(tmp_path, world, run=12, read_only=True) as console:
        await console.shows("publish")
        await console.press("2", "F")
        await console.shows("parse[11]")
        await console.press("enter")
        await console.shows("read-only", "3 ✗")
        at = next(at for at, row in enumerate(world.tasks[12]) if row.index == 11)
        world.tasks[12][at] = msgspec.structs.replace(world.tasks[12][at], status="running", attempts=4)
        world.attempts.append(AttemptRow(task="parse", index=11, number=4, attempt=104, status="running"))
        console.engine.publish()
        await console.shows("parse[11]  ▶ running", "4 ▶")
        await console.press("r")
        assert not console.engine.acts


@pytest.mark.asyncio
async def test_the_neighbours_of_a_task_are_opened_from_its_screen_and_back_again(tmp_path: Path) -> None:
    world = world_of_a_row()
    beside = [{"task": "parse", "status": "failed", "mapped": True, "paired": False}]
    world.specs["fetch"] = msgspec.structs.replace(
        SPEC, task="fetch", mapped=False, upstream=[], upstream_total=0, downstream=beside, downstream_total=1
    )
    async with console_on(tmp_path, world, run=12) as console:
        await console.shows("publish")
        console.console.open_task(12, "parse[11]")
        await console.shows("parse[11]  ✗ failed", "WHAT IT DOES", "tab neighbours")
        await console.press("tab")
        await console.shows("▌  needs       ✓ fetch")
        await console.press("j")
        await console.shows("▌  needed by   · publish")
        await console.press("tab", "enter")
        await console.shows("r12 › fetch  ✓ succeeded", "tab neighbours")
        await console.press("enter")
        await console.shows("needs       nothing", "▌  needed by   ✗ parse  its rows")
        await console.press("enter")
        await console.shows("2 Tasks*", "rows of parse", "parse[11]")
        console.console.open_task(12, "parse[11]")
        await console.shows("parse[11]  ✗ failed", "tab neighbours")
        stack = len(console.console.screen_stack)
        console.console.open_task(12, "fetch")
        await console.shows("r12 › fetch")
        console.console.open_task(12, "parse[11]")
        await console.shows("parse[11]  ✗ failed")
        assert len(console.console.screen_stack) == stack


@pytest.mark.asyncio
async def test_the_chosen_neighbour_stays_in_sight_while_the_page_grows_above_it(tmp_path: Path) -> None:
    world = world_of_a_row()
    async with console_on(tmp_path, world, run=12) as console:
        await console.shows("publish")
        console.console.open_task(12, "parse[11]")
        await console.shows("parse[11]  ✗ failed", "tab neighbours", "out of memory")
        await console.press("tab")
        await console.shows("▌  needs       ✓ fetch")
        world.attempts += [
            AttemptRow(task="parse", index=11, number=number, attempt=100 + number, status="running")
            for number in range(4, 9)
        ]
        console.engine.publish()
        screen = console.console.screen
        assert isinstance(screen, TaskScreen)
        await until(lambda: len(screen._attempts.rows) == 8)
        await console.shows("▌  needs       ✓ fetch")


@pytest.mark.asyncio
async def test_the_rows_of_a_neighbour_are_listed_where_no_screen_of_the_run_is_open(tmp_path: Path) -> None:
    async with console_on(tmp_path, world_of_a_row()) as console:
        await console.shows("ingest-daily")
        console.console.open_rows(12, "parse")
        await console.shows("2 Tasks*", "rows of parse", "parse[11]")


def test_a_neighbour_that_is_paired_opens_its_own_row_and_others_their_list() -> None:
    paired = {"task": "load", "status": "waiting", "mapped": True, "paired": True}
    spec = msgspec.structs.replace(SPEC, downstream=[paired, *SPEC.downstream, {**paired, "paired": False}])
    row = TaskRow(task="parse", index=3, status="failed", attempts=1, why="failed: exit 3", item="x.csv")
    page = task_page(row, spec, [], [], 80, Signs(), NOW_S)
    assert [tuple(neighbour) for neighbour in page.neighbours.values()] == [
        ("fetch", None, False), ("load", 3, True), ("publish", None, False), ("load", None, True),
    ]  # fmt: skip
    texts = ["".join(text for text, _ in line) for line in page.lines]
    assert [texts[line].split()[-1] for line in page.neighbours] == ["fetch", "it", "publish", "rows"]
    assert texts[0].split() == ["✗", "failed", "exit", "3"]
    assert texts[2].split() == ["item", "x.csv"]


@pytest.mark.asyncio
async def test_the_foot_names_only_what_makes_sense_for_the_row(tmp_path: Path) -> None:
    async with console_on(tmp_path, world_of_a_row(), run=12) as console:
        await console.shows("publish")
        console.console.open_task(12, "parse[11]")
        shown = await console.shows("parse[11]  ✗ failed", "r retry")
        assert "c cancel" not in shown
        await console.press("c")
        await console.shows("parse[11] is failed: nothing to cancel")


@pytest.mark.asyncio
async def test_why_says_how_a_row_ended_that_waits_for_nothing(tmp_path: Path) -> None:
    async with console_on(tmp_path, world_of_a_row(), run=12) as console:
        await console.shows("publish")
        console.console.open_task(12, "parse[11]")
        await console.shows("parse[11]  ✗ failed")
        await console.press("x")
        await console.shows("Why parse[11] is failed", "✗ failed", "3 attempts", "exit 137")


def host_world() -> World:
    world = ingest()
    world.resources = msgspec.structs.replace(
        world.resources,
        holders=[{"run": "r12", "row": "parse[61]", "owner": "data", "since": "2026-11-23T10:30:20Z", "cpu": 8.0,
                  "memory": 2**30, "pools": {"warehouse": 1}, "rss": 2**29, "cpus": [4, 5]}],
        scratch=2**40, scratch_claimed=2**39, gpus={"GPU-5d2a": 0.5}, mutexes={"lock": "r12 parse[61]"}, cores=16,
        cores_bound=1, reservation={"run": "r11", "row": "wide", "since": "2026-11-23T10:32:20Z", "due": None},
        owners=[{"owner": "data", "weight": 2.0, "share": 0.375, "used": 7200.0}], admission="slow",
        pressure=["cpu: others leave 12 free, the bound is 16: what others use counts as claimed"],
    )  # fmt: skip
    world.queue = [
        QueueRow(run="r11", task="wide", index=None, rows=1, rank=1, owner="ops", reserved=True, claim={"cpu": 32.0},
                 reasons=[{"kind": "capacity", "resource": "cpu", "asked": 32.0, "available": 20.0}]),
        QueueRow(run="r12", task="parse", index=70, rows=30, rank=2, owner="data", claim={"cpu": 1.0}),
    ]  # fmt: skip
    return world


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_the_host_is_shown_with_who_holds_it_what_waits_and_whose_it_is(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async with console_on(tmp_path, host_world(), size=size) as console:
        await console.shows("ingest-daily")
        await console.press("H")
        shown = await console.shows(
            "Resources", "12/32", "9.5 used", "warehouse 3/4", "lock by r12 parse[61]", "GPU-5d2a 50%", "1/16",
            "slow     cpu: others leave 12 free, the bound is 16",
            "r11 wide is next, has waited 1m00s", "1 Holders", "r12 parse[61]", "3m00s", "512.0 MiB",
        )  # fmt: skip
        assert all(len(line) <= size[0] for line in shown.splitlines())
        await console.press("2")
        await console.shows("r11 wide", "r12 parse[70] ×30", "reserved", "wide: capacity cpu: asks 32, 20 free")
        await console.press("j", "x")
        await console.shows("Why")
        await console.press("h", "3")
        shown = await console.shows("data", "38%", "2.00", "USED: CPU-share hours")
        assert "enter open" not in shown
        await console.press("1", "enter")
        await console.shows("r12 › parse[61]")


@pytest.mark.asyncio
async def test_the_queue_is_subscribed_only_while_the_host_is_in_sight(tmp_path: Path) -> None:
    async with console_on(tmp_path, host_world()) as console:
        await console.press("H")
        await until(lambda: any(isinstance(view, ListQueue) for view in console.engine.subscriptions))
        await console.press("h")
        await until(lambda: not any(isinstance(view, ListQueue) for view in console.engine.subscriptions))


def test_use_is_kept_a_sample_a_second_and_drawn_the_newest_at_the_right() -> None:
    use, row = Use(), host_world().resources
    for second in range(6):
        use.take(msgspec.structs.replace(row, cpus_used=32.0 * second / 5), NOW_S + second)
        use.take(row, NOW_S + second + 0.5)
    assert [round(sample.cpu_used or 0, 1) for sample in use.samples] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    first = "".join(text for text, _ in host_lines(row, use, 120, Signs(), NOW_S)[0])
    assert first.endswith(" ▂▃▅▆█")
    plain = host_lines(row, use, 120, Signs(ascii_only=True), NOW_S)
    assert all(text.isascii() for line in plain for text, _ in line)


@pytest.mark.asyncio
async def test_tasks_that_are_named_alike_open_act_and_list_as_one(tmp_path: Path) -> None:
    world = ingest()
    fold = "~^load_[0-9]*$"
    world.groups[12].append(
        GroupRow(task="load_*", status="running", mapped=True, rows=12, tasks={"failed": 12}, fold=fold,
                 failed=("load_003",))
    )  # fmt: skip
    world.tasks[12] += [
        TaskRow(task=f"load_{at:03d}", index=None, status="failed", attempts=1) for at in range(12)
    ]  # fmt: skip
    world.groups[12] += [
        GroupRow(task=f"load_{at:03d}", status="failed", mapped=False, rows=1, tasks={"failed": 1}) for at in range(12)
    ]
    world.logs["load_003"] = b"the third has failed\n"
    async with console_on(tmp_path, world, run=12) as console:
        await console.shows("▸ ▶ load_*", "×12")
        await console.press("j", "j", "j", "j", "enter")
        await console.shows("▾ ▶ load_*")
        await console.press("r")
        await console.shows("Retry", "12 rows in all")
        await console.press("y")
        await until(lambda: bool(console.engine.acts))
        assert {target.task for target in console.engine.acts[0].targets} == {f"load_{at:03d}" for at in range(12)}
        await console.press("L")
        await console.shows("the third has failed")
