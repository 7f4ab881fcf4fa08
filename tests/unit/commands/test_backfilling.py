"""backfill, backfills, set, and show --at: what is asked, and what is printed."""

from collections.abc import Generator
from pathlib import Path

import pytest

from engine.protocol.messages import (
    ActOnBackfill,
    ChangeSettings,
    Done,
    GetMoment,
    ListBackfills,
    ListMoments,
    ListPartitions,
    ListPast,
    PauseWorkflow,
    Refused,
    Rows,
    StartBackfill,
)  # fmt: skip
from engine.protocol.rows import BackfillRow, ChangeRow, MomentRow, PartitionRow
from tests.support.cli import on_terminal, orchctl
from tests.support.fake_engine import FakeEngine, rows_of
from tests.support.rows import backfill_row, group_row

EVIL = "\x1b]52;c;eA==\x07evil"
SHOWN = "\\x1b]52;c;eA==\\x07evil"
DATES = ("--from", "2026-11-01", "--to", "2026-11-20")


@pytest.fixture
def engine(tmp_path: Path) -> Generator[FakeEngine]:
    with FakeEngine(tmp_path) as fake:
        body = {"backfill": "b1", "workflow": "orders", "version": "v", "partitions": 18, "left_out": 2}
        fake.answers[StartBackfill] = Done(body=body)
        yield fake


def test_a_backfill_is_asked_for_with_all_its_options(engine: FakeEngine) -> None:
    words = (
        "--schedule", "2", "--order", "newest", "--max-active", "4", "--reprocess", "failed", "--max", "50",
        "--param", "source=archive", "--note", "late data",
    )  # fmt: skip
    result = orchctl(engine.home, "backfill", "orders", *DATES, *words)
    assert (result.code, result.out) == (0, "b1 orders: 18 partitions, 2 left out\n")
    asked = engine.last(StartBackfill)
    assert (asked.workflow, asked.since, asked.until) == ("orders", "2026-11-01", "2026-11-20")
    assert (asked.schedule, asked.order, asked.max_active) == (2, "newest", 4)
    assert (asked.reprocess, asked.most) == ("failed", 50)
    assert (asked.params, asked.note) == ({"source": "archive"}, "late data")


def test_a_backfill_as_json_is_what_the_engine_said(engine: FakeEngine) -> None:
    (row,) = orchctl(engine.home, "backfill", "orders", *DATES, "--json").rows
    assert row == {"backfill": "b1", "workflow": "orders", "version": "v", "partitions": 18, "left_out": 2}


def test_a_dry_run_asks_and_does_nothing(engine: FakeEngine) -> None:
    engine.answers[ListPartitions] = rows_of(
        PartitionRow(partition="2026-11-01", due_at="2026-11-01T06:00:00Z", runs=True),
        PartitionRow(partition="2026-11-02", due_at="2026-11-02T06:00:00Z", runs=False, why=EVIL, run="r3"),
    )
    result = orchctl(engine.home, "backfill", "orders", *DATES, "--dry-run", "--reprocess", "all")
    assert result.code == 0
    _, first, second = result.out.splitlines()
    assert first.split() == ["2026-11-01", "2026-11-01", "06:00:00Z", "would", "run"]
    assert second.split()[3:] == ["left", "out", "r3", SHOWN]
    assert "1 partition would run, 1 are left out; nothing was done" in result.err
    assert engine.kinds() == ["ListPartitions"]
    assert engine.last(ListPartitions).reprocess == "all"
    assert [row["runs"] for row in orchctl(engine.home, "backfill", "orders", *DATES, "--dry-run", "--json").rows] == [
        True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--from", "2026-11-01"), "--to"),
        ((*DATES, "--order", "random"), "oldest, newest"),
        ((*DATES, "--reprocess", "fialed"), "did you mean failed?"),
        ((*DATES, "--max-active", "0"), "from 1 to 100"),
        ((*DATES, "--param", "x"), "name=value"),
    ],
)
def test_bad_words_are_refused_before_anything_is_asked(
    engine: FakeEngine, words: tuple[str, ...], sentence: str
) -> None:
    result = orchctl(engine.home, "backfill", "orders", *words)
    assert result.code == 2
    assert sentence in result.err
    assert engine.kinds() == []


def test_a_refusal_of_the_engine_is_a_sentence_and_exit_code_3(engine: FakeEngine) -> None:
    engine.answers[StartBackfill] = Refused(code="conflict", sentence="nothing is left to run", hint="reprocess failed")
    result = orchctl(engine.home, "backfill", "orders", *DATES)
    assert result == (3, "", "orchctl: nothing is left to run\nreprocess failed\n")


def test_backfills_are_listed_with_how_far_they_are(engine: FakeEngine) -> None:
    engine.answers[ListBackfills] = rows_of(backfill_row(note=EVIL))
    result = orchctl(engine.home, "backfills")
    line = result.out.splitlines()[1]
    assert "4 succeeded, 1 failed" in line
    assert "r7 r8 r9 +1" in line
    assert line.endswith(SHOWN)
    assert set(orchctl(engine.home, "backfills", "--json").rows[0]) == set(BackfillRow.__struct_fields__)
    engine.answers[ListBackfills] = rows_of()
    assert "no backfills" in orchctl(engine.home, "backfills").err


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "kill"])
def test_b1_is_a_backfill_to_the_verbs_that_act(engine: FakeEngine, verb: str) -> None:
    ends = verb in ("cancel", "kill")
    engine.answers[ActOnBackfill] = Done(body={"changed": 5, "dropped": 3, "runs": 2} if ends else {"changed": 1})
    result = orchctl(engine.home, verb, "b1", "--note", "enough")
    assert result.out == (f"{verb} b1: 3 to come dropped, 2 runs cancelled\n" if ends else f"{verb} b1: done\n")
    act = engine.last(ActOnBackfill)
    assert (act.verb, act.backfill, act.note, act.seen) == (verb, 1, "enough", "")
    assert orchctl(engine.home, verb, "b1", "--json").rows[0]["backfill"] == "b1"


def test_a_workflow_that_is_called_like_a_backfill_can_be_named(engine: FakeEngine) -> None:
    engine.answers[PauseWorkflow] = Done()
    orchctl(engine.home, "pause", "b1", "--workflow")
    assert engine.last(PauseWorkflow).workflow == "b1"


def test_a_backfill_has_no_tasks(engine: FakeEngine) -> None:
    result = orchctl(engine.home, "cancel", "b1", "clean")
    assert (result.code, "a backfill has no task 'clean'" in result.err) == (2, True)


def test_on_a_terminal_the_end_of_a_backfill_is_asked_about(engine: FakeEngine) -> None:
    engine.answers[ListBackfills] = rows_of(backfill_row(note=EVIL))
    engine.answers[ActOnBackfill] = Done(body={"changed": 13, "dropped": 9, "runs": 4})
    with on_terminal(engine.home, "cancel", "b1") as terminal:
        terminal.read_until(lambda seen: b"[y/N]" in seen)
        terminal.type("y\n")
        assert terminal.end() == 0
    assert b"cancel b1 orders (running: 9 to come, 4 runs unfinished)? [y/N]" in terminal.seen
    assert engine.last(ActOnBackfill).seen == "running"


def test_settings_are_sent_and_the_way_back_is_told(engine: FakeEngine) -> None:
    engine.answers[ChangeSettings] = Done(
        body={"changed": 1, "was": {"max_parallel": None, "tolerate": 1}, "meant": {"max_parallel": 8, "tolerate": 1}}
    )
    result = orchctl(engine.home, "set", "r12", "clean", "max_parallel=16", "tolerate=default")
    assert result.out.splitlines() == [
        "set r12 clean max_parallel=16 (was default: 8)", "set r12 clean tolerate=default (was 1)",
    ]  # fmt: skip
    assert "to undo: orchctl set r12 clean max_parallel=default" in result.err
    asked = engine.last(ChangeSettings)
    assert (asked.run, asked.task, asked.settings) == (12, "clean", {"max_parallel": 16, "tolerate": None})
    (row,) = orchctl(engine.home, "set", "r12", "priority=-5", "--json").rows
    assert (row["run"], row["task"], row["settings"], row["changed"]) == ("r12", None, {"priority": -5}, 1)
    assert engine.last(ChangeSettings).task == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("clean[3]", "max_parallel=2"), "clean[3] is one row"),
        (("priority",), "nothing is to be set"),
        (("prio=5",), "did you mean priority?"),
        (("priority=high",), "'high' is not a whole number"),
        (("priority=1", "clean"), "'clean' is not written like name=value"),
        (("clean", "load", "priority=1"), "'load' is not written like name=value"),
        (("../x", "priority=1"), "is not a task"),
    ],
)
def test_settings_that_make_no_sense_are_not_sent(engine: FakeEngine, words: tuple[str, ...], sentence: str) -> None:
    result = orchctl(engine.home, "set", "r12", *words)
    assert (result.code, sentence in result.err) == (2, True)
    assert engine.kinds() == []


def moment(**fields: object) -> MomentRow:
    known: dict[str, object] = {
        "run": "r12", "workflow": "orders", "revision": 40, "at": "2026-11-23T12:00:01.000000Z", "status": "running",
        "tasks": {"succeeded": 2, "running": 1},
    }  # fmt: skip
    return MomentRow(**known | fields)  # type: ignore[arg-type]


def test_a_past_moment_is_asked_for_until_it_is_reached(engine: FakeEngine) -> None:
    engine.answers[GetMoment] = [rows_of(moment(revision=9, reached=False)), rows_of(moment())]
    engine.answers[ListPast] = rows_of(group_row(tasks={"succeeded": 2, "running": 1}, rows=3), total=4)

    def change(request: ListMoments) -> Rows:
        number = 39 if request.before else 44
        return rows_of(ChangeRow(revision=number, at="2026-11-23T12:00:00.000000Z"))

    engine.answers[ListMoments] = change
    result = orchctl(engine.home, "show", "r12", "--at", "2026-11-23T12:00:02Z")
    lines = result.out.splitlines()
    assert lines[0] == "r12 orders running"
    assert "(--at 40)" in lines[1]
    assert "2 succeeded, 1 running" in lines[2]
    assert "(--at 39)" in lines[3]
    assert "(--at 44)" in lines[4]
    assert lines[-2].split() == ["clean", "running", "2/3"]
    assert lines[-1] == "and 3 tasks more"
    assert engine.kinds().count("GetMoment") == 2
    assert engine.last(GetMoment).at == "2026-11-23T12:00:02.000000Z"
    assert engine.last(ListPast).revision == 40


def test_a_moment_may_be_a_revision_or_so_long_ago(engine: FakeEngine) -> None:
    engine.answers[GetMoment] = rows_of(moment(at=None, status="queued", revision=0))
    engine.answers[ListMoments] = rows_of()
    assert orchctl(engine.home, "show", "r12", "--at", "17").out == "r12 orders was not there yet\n"
    assert (engine.last(GetMoment).revision, engine.last(GetMoment).at) == (17, "")
    (row,) = orchctl(engine.home, "show", "r12", "--at", "1h30m", "--json").rows
    assert set(row) == set(MomentRow.__struct_fields__)
    assert engine.last(GetMoment).at.endswith("Z")


@pytest.mark.parametrize("words", ["soon", "2026-11-23T02:15:00", "0", "5m -f"])
def test_a_moment_that_makes_no_sense_is_refused(engine: FakeEngine, words: str) -> None:
    result = orchctl(engine.home, "show", "r12", "--at", *words.split())
    assert result.code == 2
    assert engine.kinds() == []
