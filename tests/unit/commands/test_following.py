"""run and show -f: following a run to its end, on a terminal and elsewhere, across restarts, until Ctrl+C."""

import os
import re
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.protocol.messages import Delta, GetRun, ListGroups, ListTasks, Subscribe
from engine.protocol.rows import GroupRow
from orchctl.commands.live import bar, group_line, picture, progress_line
from orchctl.text import Palette, cells
from tests.support.cli import command, on_terminal, orchctl
from tests.support.fake_engine import FakeEngine, rows_of, snapshot_of
from tests.support.rows import finished_run, group_row, run_row, task_row

PLAIN = Palette(colour=False)


@pytest.fixture
def engine(tmp_path: Path) -> Generator[FakeEngine]:
    with FakeEngine(tmp_path) as fake:
        fake.answers[ListGroups] = rows_of(group_row(tasks={"succeeded": 12, "running": 2, "waiting": 50}))
        fake.subscriptions[ListGroups] = fake.answers[ListGroups]
        yield fake


def ends(engine: FakeEngine, status: str, **changes: Any) -> None:
    """Let the run be found finished."""
    engine.subscriptions[GetRun] = snapshot_of(finished_run(status, **changes))
    engine.answers[ListTasks] = rows_of(task_row(exit_code=3, outcome="failed"))


@pytest.mark.parametrize(("status", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 4)])
def test_the_exit_code_is_the_run_s(engine: FakeEngine, status: str, code: int) -> None:
    ends(engine, status)
    result = orchctl(engine.home, "show", "r12", "-f")
    assert result.code == code
    assert f"r12 orders {status} in 4.5s: 14 {status}" in result.out


def test_elsewhere_each_change_is_a_line(engine: FakeEngine) -> None:
    ends(engine, "failed", tasks={"succeeded": 63, "failed": 12})
    result = orchctl(engine.home, "show", "r12", "-f")
    lines = result.out.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\dZ r12 orders failed", lines[0])
    assert re.fullmatch(r"\d\d:\d\d:\d\dZ clean 12/64 running 2", lines[1])
    assert lines[-2] == "  clean[3] failed: exit 3 (orchctl logs r12 'clean[3]')"
    assert lines[-1] == "  and 11 rows more: orchctl tasks r12 --status failed"


def test_json_ends_with_one_object(engine: FakeEngine) -> None:
    ends(engine, "failed", tasks={"succeeded": 63, "failed": 1})
    result = orchctl(engine.home, "show", "r12", "-f", "--json")
    assert result.rows == [{"run": "r12", "status": "failed", "tasks": {"succeeded": 63, "failed": 1}, "seconds": 4.5}]
    assert result.code == 1


def test_a_run_with_very_many_tasks_is_followed_by_what_moves(engine: FakeEngine) -> None:
    engine.answers[ListGroups] = rows_of(group_row(), total=3000)
    ends(engine, "succeeded")
    orchctl(engine.home, "show", "r12", "-f")
    view = next(r.view for r in engine.asked if isinstance(r, Subscribe) and isinstance(r.view, ListGroups))
    assert set(view.statuses) == {"running", "failed", "backing_off", "ready"}


def test_of_many_tasks_only_those_that_failed_have_a_line_elsewhere(engine: FakeEngine) -> None:
    moving = [group_row(task=f"t{n}", mapped=False, status="running", tasks={"running": 1}) for n in range(60)]
    broken = group_row(task="bad", mapped=False, status="failed", tasks={"failed": 1})
    engine.answers[ListGroups] = rows_of(broken, *moving)
    engine.subscriptions[ListGroups] = engine.answers[ListGroups]
    engine.subscriptions[GetRun] = snapshot_of(run_row(tasks={"succeeded": 1200, "failed": 1, "running": 60}))
    words = command("--home", str(engine.home), "show", "r12", "-f")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(3)]
        run = msgspec.to_builtins(finished_run(tasks={"succeeded": 1260, "failed": 1}))
        engine.push(GetRun, Delta(since=7, revision=9, rows=[run], total=1))
        told += process.stdout.read().splitlines()[:1]
    assert [line.strip().partition("Z ")[2] for line in told] == [
        "r12 orders running", "bad failed", "1,200 succeeded, 1 failed, 60 running", "r12 orders succeeded",
    ]  # fmt: skip


def test_a_restart_of_the_engine_is_survived_and_said(engine: FakeEngine) -> None:
    engine.subscriptions[GetRun] = [snapshot_of(run_row()), snapshot_of(finished_run())]
    process = subprocess.Popen(
        command("--home", str(engine.home), "show", "r12", "-f"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    said = ""
    while "clean 12/64" not in said:
        line = process.stdout.readline()
        assert line
        said += line
    engine.stop_listening()
    while "waiting for an engine" not in said:
        line = process.stdout.readline()
        assert line
        said += line
    engine.listen_again()
    rest, complaints = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "the engine is back" in rest
    assert "r12 orders succeeded" in rest
    assert complaints == ""


def test_ctrl_c_leaves_the_run_and_says_how_to_come_back(engine: FakeEngine) -> None:
    engine.subscriptions[GetRun] = snapshot_of(run_row())
    with on_terminal(engine.home, "show", "r12", "-f") as terminal:
        terminal.read_until(lambda seen: b"12/64" in seen)
        os.kill(terminal.process.pid, signal.SIGINT)
        assert terminal.end() == 130
    assert b"x0a" not in terminal.seen
    assert b"\nleft r12, which goes on" in terminal.seen.replace(b"\r", b"")
    assert b"`orchctl show r12 -f` comes back to it" in terminal.seen
    assert terminal.seen.count(b"\x1b[?7h") >= terminal.seen.count(b"\x1b[?7l")
    assert terminal.seen.rindex(b"\x1b[?25h") > terminal.seen.rindex(b"\x1b[?25l")


def test_on_a_terminal_the_picture_is_redrawn_in_place(engine: FakeEngine) -> None:
    engine.subscriptions[GetRun] = snapshot_of(run_row())
    with on_terminal(engine.home, "show", "r12", "-f") as terminal:
        terminal.read_until(lambda seen: b"12/64" in seen)
        group = msgspec.to_builtins(group_row(tasks={"succeeded": 40, "running": 2, "waiting": 22}))
        engine.push(ListGroups, Delta(since=7, revision=8, rows=[group], total=1))
        terminal.read_until(lambda seen: b"40/64" in seen)
        assert b"\x1b[2F" in terminal.seen
        engine.answers[ListGroups] = rows_of(group_row(status="succeeded", tasks={"succeeded": 64}))
        run = msgspec.to_builtins(finished_run(tasks={"succeeded": 64}))
        engine.push(GetRun, Delta(since=7, revision=9, rows=[run], total=1))
        assert terminal.end() == 0
    assert b"64/64" in terminal.seen
    assert terminal.seen.endswith(b"in 4.5s: 64 succeeded\r\n")


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_are_left_out_where_they_are_not_wanted(engine: FakeEngine, name: str, value: str) -> None:
    ends(engine, "succeeded")
    with on_terminal(engine.home, "show", "r12", "-f", **{name: value}) as terminal:
        assert terminal.end() == 0
    assert not re.search(rb"\x1b\[\d+m", terminal.seen)
    if name == "TERM":
        assert b"\x1b" not in terminal.seen


def test_hostile_names_are_inert_in_the_live_picture(engine: FakeEngine) -> None:
    evil = "\x1b]0;x\x07\x9b6n"
    engine.answers[ListGroups] = rows_of(group_row(why=evil, running=(evil,), tasks={"running": 1}))
    ends(engine, "succeeded", workflow=evil)
    with on_terminal(engine.home, "show", "r12", "-f") as terminal:
        assert terminal.end() == 0
    assert b"\x07" not in terminal.seen
    assert b"\x9b" not in terminal.seen
    assert b"\x1b]" not in terminal.seen
    assert b"\\x1b]0;x\\x07" in terminal.seen


def test_a_run_that_is_not_there_is_told(engine: FakeEngine) -> None:
    del engine.answers[ListGroups]
    result = orchctl(engine.home, "show", "r99", "-f")
    assert result.code == 3
    assert result.err.startswith("orchctl: ")


# --- the picture --------------------------------------------------------------------------------------------


def many(count: int) -> list[GroupRow]:
    return [
        group_row(task=f"task-{n:03}", status="running" if n == 90 else "failed" if n == 70 else "waiting", tasks={})
        for n in range(count)
    ]


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (20, 5), (200, 50), (9, 2), (1, 1)])
def test_the_picture_fits_any_terminal(size: tuple[int, int]) -> None:
    groups = [*many(100), group_row(task="名前" * 20, tasks={"running": 3}, running=("x" * 100,))]
    lines = picture(run_row(), groups, 12.0, size, PLAIN)
    assert len(lines) <= max(1, size[1] - 1)
    assert max(map(cells, lines)) <= size[0]


def test_what_failed_and_what_runs_is_shown_when_not_all_fits() -> None:
    shown = "\n".join(picture(run_row(), many(100), 12.0, (80, 10), PLAIN))
    assert "task-070" in shown
    assert "task-090" in shown
    assert "and 93 more tasks" in shown


def test_a_bar_is_as_wide_as_every_other() -> None:
    for counts in ({}, {"succeeded": 64}, {"succeeded": 1, "failed": 1, "running": 1}, {"failed": 1000}):
        assert len(bar(counts, 64, PLAIN, unicode=True)) == 16
    assert bar({"succeeded": 32, "running": 16}, 64, PLAIN, unicode=False) == "########++++...."


def test_a_failed_row_among_very_many_is_seen_in_the_bar() -> None:
    coloured = bar({"succeeded": 99_999, "failed": 1}, 100_000, Palette(colour=True), unicode=True)
    assert "\x1b[31m" in coloured


def test_a_group_line_names_what_runs() -> None:
    group = group_row(tasks={"succeeded": 10, "running": 2, "failed": 1}, running=("clean[3]",), failed=("clean[1]",))
    line = group_line(group, 8, 90, PLAIN)
    assert line.startswith("clean ")
    assert line.endswith("11/64      running 2, failed 1: clean[1] clean[3]")


def test_plain_progress_is_in_words() -> None:
    assert progress_line(group_row(tasks={"succeeded": 12, "running": 2, "waiting": 50})) == "clean 12/64 running 2"
    assert (
        progress_line(group_row(mapped=False, rows=1, status="failed", why="failed: exit 3")) == "clean failed exit 3"
    )
