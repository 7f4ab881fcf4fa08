"""Lines as pure functions: bars that add up, columns that fit, orders that put trouble first."""

import random
from typing import Any

import pytest

from engine.protocol.rows import EventRow, GroupRow, RunRow, TaskRow
from orchctl.console import drawing, runlines
from orchctl.console.theme import GLYPHS, Signs
from orchctl.text import cells
from tests.support.console_world import run

SIGNS = Signs()
PLAIN = Signs(ascii_only=True)


def _text(line: drawing.Line) -> str:
    return "".join(text for text, _ in line)


def test_lines_in_two_columns_fill_the_left_one_first_and_stand_side_by_side() -> None:
    lines = [[(f"line {at}", "plain")] for at in range(5)]
    assert [_text(line) for line in drawing.in_two_columns(lines, 3, 8)] == [
        "line 0   line 3", "line 1   line 4", "line 2"]  # fmt: skip
    assert [_text(line) for line in drawing.in_two_columns(lines, 2, 8)] == [
        "line 0   line 3", "line 1   line 4", "line 2"]  # fmt: skip
    assert [_text(line) for line in drawing.in_two_columns(lines[:2], 4, 8)] == ["line 0", "line 1"]


def test_a_bar_is_always_as_wide_as_asked_and_one_failure_in_a_million_is_seen() -> None:
    dice = random.Random(5)
    for _ in range(500):
        tasks = {status: dice.choice((0, 1, 7, 10**6)) for status in GLYPHS}
        assert cells(_text(drawing.stacked_bar(tasks, 14, SIGNS))) == 14
    assert "✗" in _text(drawing.stacked_bar({"succeeded": 10**6, "failed": 1}, 12, SIGNS))
    assert _text(drawing.stacked_bar({}, 3, PLAIN)) == "..."


def test_all_is_said_to_be_done_only_when_it_is() -> None:
    assert drawing.percent(drawing.done_share({"succeeded": 99_999, "running": 1})) == " 99%"
    assert drawing.percent(drawing.done_share({"succeeded": 5, "skipped": 5})) == "100%"
    assert drawing.done_share({}) == 0


def test_runs_that_fail_while_they_run_come_first_then_active_then_failed() -> None:
    rows = [
        run(5, "e", "succeeded", {}),
        run(4, "d", "failed", {"failed": 1}),
        run(3, "c", "paused", {}),
        run(2, "b", "running", {"failed": 1}),
        run(1, "a", "queued", {}),
    ]
    assert [row.run for row in sorted(rows, key=drawing.attention_key)] == ["r2", "r3", "r1", "r4", "r5"]


@pytest.mark.parametrize("width", [40, 60, 79, 80, 120, 200])
def test_no_line_is_wider_than_its_screen(width: int) -> None:
    long = "名" * 30
    tasks = dict.fromkeys(GLYPHS, 123456)
    group = GroupRow(task=long, status="running", mapped=True, rows=1_000_000, tasks=tasks, why=long)
    task = TaskRow(task=long, index=999_999, status="upstream_failed", why=long, attempts=12)
    whole: RunRow = run(123456, long, "cancelling", tasks)
    event = EventRow(revision=1, at="2026-11-23T08:00:00Z", event="AttemptExited", task=long, details={"why": long})
    for line in (
        drawing.run_line(whole, width, SIGNS, 0.0),
        drawing.runs_heading(width),
        runlines.root_line(whole, 1, width, SIGNS, 0.0),
        runlines.group_line(group, opened=True, width=width, signs=SIGNS, now_s=0.0),
        runlines.task_line(task, width, SIGNS, 0.0),
        runlines.event_line(event, width),
        *runlines.group_details(group, width, SIGNS, 0.0),
        *runlines.run_details(whole, width, SIGNS, 0.0),
        *runlines.task_details(task, width, SIGNS, 0.0),
    ):
        assert cells(_text(line)) <= width, _text(line)


def test_every_state_has_a_glyph_of_one_column_in_both_sets() -> None:
    for status in GLYPHS:
        assert cells(SIGNS.status(status)) == 1
        assert PLAIN.status(status).isascii()
        assert len(PLAIN.status(status)) == 1


def test_text_is_folded_at_spaces_for_people_and_anywhere_for_logs() -> None:
    assert runlines.folded("one two three", 8) == ["one two", "three"]
    assert drawing.folded_line([("   one", "red"), (" two", "plain")], 6) == [[("   one", "red")], [(" two", "plain")]]
    folded = drawing.folded_line([("名" * 9, "plain")], 4)
    assert [line[0][0] for line in folded] == ["名名"] * 4 + ["名"]


def test_a_reason_is_a_sentence_with_who_holds_what() -> None:
    reason = {"kind": "pool", "resource": "db", "asked": 1, "available": 0, "holders": ["a", "b", "c", "d", "e"]}
    assert runlines.reason_text(reason) == "pool db: asks 1, 0 free; held by a, b, c and 2 more"
    memory = {"kind": "capacity", "resource": "memory", "asked": 2**30, "available": 2**20}
    suspended = {"kind": "suspended", "resource": "cpu", "asked": 1.0, "available": 0, "holders": ["r7 train"]}
    assert runlines.reason_text(suspended) == "suspended for r7 train (higher priority)"
    assert runlines.reason_text(memory) == "capacity memory: asks 1.0 GiB, 1.0 MiB free"
    pressed = {"kind": "pressure", "resource": "cpu", "asked": 16.0, "available": 3.217, "holders": []}
    assert runlines.reason_text(pressed) == "pressure: cpu: others leave 3.22 free, the bound is 16"


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ({"kind": "upstream", "resource": "needs", "asked": 1, "available": 0, "holders": ["a"]}, "waits for a"),
        ({"kind": "upstream", "resource": "needs", "asked": 5, "available": 3, "holders": ["a", "b"]},
         "waits for a, b, 3 of 5 have ended"),
        ({"kind": "reservation", "resource": "host", "holders": ["r1 wide"]}, "room is set aside for r1 wide"),
        ({"kind": "behind", "resource": "queue", "asked": 9, "available": 1, "holders": ["r1"]},
         "behind r1 in the queue"),
        ({"kind": "max_parallel", "resource": "load", "asked": 1, "available": 0, "holders": ["load[1]", "load[2]"]},
         "max_parallel of load is reached: load[1], load[2] run"),
        ({"kind": "run_paused", "resource": "r3", "asked": 0, "available": 0}, "r3 is paused"),
        ({"kind": "if_running", "resource": "daily", "holders": ["r2"]}, "another run of daily goes on: r2"),
        ({"kind": "backing_off", "resource": "retry", "asked": 4.0, "available": 0}, "its next try comes in 4.0s"),
        ({"kind": "read_only", "resource": "disk"}, "the engine is read-only"),
    ],
)  # fmt: skip
def test_a_reason_says_what_is_waited_for_in_words_of_its_kind(reason: dict[str, Any], text: str) -> None:
    assert runlines.reason_text(reason) == text


def test_fields_of_an_event_are_flat_and_say_only_what_is_there() -> None:
    event = EventRow(
        revision=1, at="2026-11-23T08:00:00Z", event="AttemptExited", task="a", index=3, attempt=9,
        details={"at_ns": 5, "outcome": {"kind": "failed", "exit_code": 3, "why": ""}, "result": None},
    )  # fmt: skip
    assert _text(runlines.event_line(event, 100)).split()[1:] == [
        "AttemptExited",
        "a[3]",
        "#9",
        "kind=failed",
        "exit_code=3",
    ]


def test_how_a_row_ended_is_said_once() -> None:
    row = TaskRow(task="a", index=None, status="failed", exit_code=1, outcome="failed", why="failed: exit 1")
    assert runlines.why_text(row) == "failed: exit 1"
    row = TaskRow(task="a", index=None, status="failed", signal=9, outcome="signalled", why="out of memory")
    assert runlines.why_text(row) == "signal 9, out of memory"


def test_an_instant_that_is_none_has_no_duration() -> None:
    assert drawing.seconds_between("nonsense", None, 5.0) is None
    assert drawing.duration(None) == "-"
