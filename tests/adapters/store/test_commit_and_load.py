"""Stories of the real machine on the real store: after every step the loaded state equals the one in memory."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.events import WorkflowAdded
from engine.model.ids import row_text
from engine.model.status import RunStatus, TaskStatus
from engine.model.workflow import Command, Retry
from tests.adapters.store.conftest import Play
from tests.adapters.store.world import player_on, two_tasks
from tests.support.builders import flow, task
from tests.support.stories import Player, Refused


def test_a_run_goes_on_after_a_restart_in_the_middle(play: Play) -> None:
    player, disk = play(two_tasks())
    player.submit()
    disk.reopen()
    player.restart()
    player.ok("a")
    disk.reopen()
    player.restart()
    player.ok("b")
    assert disk.load().runs == {}
    assert disk.load_run(1).header.status is RunStatus.SUCCEEDED


def test_rows_of_an_expansion_come_back_with_their_items(play: Play) -> None:
    rows = task("many", "a", for_each="{{ range(700) }}")
    player, disk = play(flow(task("a"), rows), cpus=20)
    player.submit()
    player.ok("a")
    for index in range(300):
        player.ok(f"many[{index}]")
    disk.reopen()
    loaded = disk.load().runs[1]
    assert loaded.items[1] == range(700)
    assert loaded.header.counts[TaskStatus.SUCCEEDED] == 301


def test_long_lists_of_items_come_back_from_several_records(play: Play) -> None:
    items = [{"name": "x" * 90, "number": n, "none": None, "real": n / 7} for n in range(2_000)]
    player, disk = play(flow(task("many", for_each=items)), cpus=1)
    player.submit()
    disk.reopen()
    assert disk.load().runs[1].items[0] == items


def test_results_with_huge_integers_become_items_and_come_back(play: Play) -> None:
    huge = 10**30
    player, disk = play(flow(task("list"), task("each", "list", for_each="{{ needs.list.result }}")))
    player.submit()
    player.ok("list", result=b'[%d, {"a": [1, null, "\xc3\xa9"]}]' % huge)
    disk.reopen()
    loaded = disk.load().runs[1]
    assert loaded.items[1] == [huge, {"a": [1, None, "é"]}]
    assert loaded.results[0, -1] == [huge, {"a": [1, None, "é"]}]


def test_a_repeated_request_gets_the_same_answer_after_a_restart(play: Play) -> None:
    player, disk = play(two_tasks())
    first = player.submit(request_id="twice")
    disk.reopen()
    player.restart()
    assert player.submit(request_id="twice") == first
    assert len(disk.load().runs) == 1


def test_removed_workflows_stay_removed_and_added_ones_stay(play: Play) -> None:
    player, disk = play()
    player.add(two_tasks("one"))
    player.add(two_tasks("two"))
    player.remove("one")
    disk.reopen()
    loaded = disk.load()
    assert list(loaded.workflows) == ["two"]
    assert loaded.plans[loaded.workflows["two"].version].names == ("a", "b")


def test_a_finished_run_that_is_loaded_can_be_reopened(play: Play) -> None:
    player, disk = play(two_tasks())
    player.submit()
    player.fail("a")
    disk.reopen()
    player.restart()
    assert player.state.runs == {}
    run = disk.load_run(1)
    player.machine.install_plan(run.plan)
    player.machine.install_run(run)
    player.retry()
    assert disk.load().runs[1].header.status is RunStatus.RUNNING
    player.ok("a", "b")
    assert disk.load_run(1).header.status is RunStatus.SUCCEEDED


def test_adding_a_workflow_twice_writes_its_version_once(play: Play) -> None:
    player, disk = play()
    player.add(two_tasks())
    again = player.plans["w"]
    player.ask(WorkflowAdded, workflow="w", version=again.version)
    assert list(disk.load().plans) == [again.version]


WORKFLOW = flow(
    task("start", retry=Retry(limit=2)),
    task("many", "start", for_each="{{ range(5) }}", max_parallel=3, tolerate=1, retry=Retry(limit=1, delay_ns=10**9)),
    task("pairs", "many[i]", for_each="{{ range(5) }}", trigger_rule="all_done"),
    task("end", "pairs", trigger_rule="all_done", action=Command(("true", "{{ needs.pairs.status }}"))),
)


def _act(player: Player, pick: int, act: str) -> None:
    running = [(start.run, row_text(start.task, start.index)) for start in player.live.values()]
    if act == "submit":
        player.submit()
    elif act == "advance":
        player.advance(2)
    elif act == "restart":
        player.restart()
    elif act in _ROW_ACTS:
        if running:
            run, row = running[pick % len(running)]
            _ROW_ACTS[act](player, row, run)
    elif player.state.runs:
        run = sorted(player.state.runs)[pick % len(player.state.runs)]
        _RUN_ACTS[act](player, run)


_ROW_ACTS: dict[str, Callable[[Player, str, int], object]] = {
    "ok": lambda player, row, run: player.ok(row, result=b"[1, 2]", run=run),
    "fail": lambda player, row, run: player.fail(row, run=run),
    "lose": lambda player, row, run: player.lose(row, run=run),
    "never": lambda player, row, run: player.never(row, run=run),
}
_RUN_ACTS: dict[str, Callable[[Player, int], object]] = {
    "pause": lambda player, run: player.pause(run),
    "resume": lambda player, run: player.resume(run),
    "cancel": lambda player, run: player.cancel(run=run),
    "retry": lambda player, run: player.retry(run=run),
    "rerun": lambda player, run: player.rerun("start", run=run),
}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 7),
            st.sampled_from(["submit", "advance", "restart", "ok", "ok", "ok", *_ROW_ACTS, *_RUN_ACTS]),
        ),
        max_size=40,
    )
)
def test_whatever_happens_a_restart_finds_the_state_as_it_was(acts: list[tuple[int, str]]) -> None:
    with TemporaryDirectory() as folder:
        player, disk = player_on(Path(folder) / "state", WORKFLOW, cpus=4)
        try:
            player.add()
            player.submit()
            for pick, act in acts:
                try:
                    _act(player, pick, act)
                except Refused:
                    continue
        finally:
            disk.close()


@pytest.mark.parametrize("rows", [1, 127, 128, 129, 1000])
def test_runs_of_any_length_come_back(play: Play, rows: int) -> None:
    player, disk = play(flow(*[task(f"t{n}") for n in range(rows)]), cpus=3)
    player.submit()
    player.ok("t0")
    disk.reopen()
    assert len(disk.load_run(1).status) == rows
