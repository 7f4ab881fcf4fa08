"""run, submit, trigger, add, demo: definitions on their way to the engine."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.model.workflow import decode
from engine.protocol.messages import AddWorkflow, Done, GetRun, ListGroups, LogChunk, ReadLog, Refused, Submit
from tests.support.cli import on_terminal, orchctl
from tests.support.fake_engine import FakeEngine, rows_of, snapshot_of
from tests.support.rows import finished_run, group_row

GOOD = "name: orders\ntasks:\n  extract:\n    run: echo hello\n"
FAULTY = "name: orders\ntasks:\n  a:\n    run: echo\n    needs: [b]\n  c:\n    rum: echo\n"

MONTHLY = """
name: monthly
schedule:
  - {cron: 0 7 31 * *, timezone: Asia/Kolkata}
  - {cron: 15 2 * * *}
tasks:
  a: {run: "true"}
"""


@pytest.fixture
def engine(tmp_path: Path) -> Generator[FakeEngine]:
    with FakeEngine(tmp_path / "home") as fake:
        fake.answers[Submit] = Done(body={"run": "r12"})
        fake.answers[ListGroups] = rows_of(group_row())
        fake.subscriptions[ListGroups] = rows_of(group_row())
        fake.subscriptions[GetRun] = snapshot_of(finished_run())
        yield fake


@pytest.fixture
def good(tmp_path: Path) -> str:
    path = tmp_path / "orders.yaml"
    path.write_text(GOOD)
    return str(path)


def test_submit_sends_the_compiled_file_and_prints_the_run(engine: FakeEngine, good: str) -> None:
    result = orchctl(engine.home, "submit", good, "--param", "day=2026-11-23", "-p", "sql=a=b", "--note", "again")
    assert result == (0, "r12\n", "")
    sent = engine.last(Submit)
    assert (sent.params, sent.note, sent.workflow) == ({"day": "2026-11-23", "sql": "a=b"}, "again", "")
    workflow = decode(sent.definition)
    assert (workflow.name, [task.name for task in workflow.tasks]) == ("orders", ["extract"])


def test_submit_as_json_is_the_run(engine: FakeEngine, good: str) -> None:
    engine.answers[Submit] = Done(body={"run": 12})
    assert orchctl(engine.home, "submit", good, "--json").rows == [{"run": "r12"}]


@pytest.mark.parametrize("verb", ["submit", "trigger"])
def test_a_workflow_that_was_added_goes_by_its_name(engine: FakeEngine, verb: str) -> None:
    assert orchctl(engine.home, verb, "orders").out == "r12\n"
    assert (engine.last(Submit).workflow, engine.last(Submit).definition) == ("orders", b"")


def test_run_follows_to_the_end(engine: FakeEngine, good: str) -> None:
    result = orchctl(engine.home, "run", good)
    assert result.code == 0
    assert "r12 orders succeeded in 4.5s" in result.out


def test_run_detached_only_submits(engine: FakeEngine, good: str) -> None:
    assert orchctl(engine.home, "run", good, "--detach") == (0, "r12\n", "")
    assert engine.kinds() == ["Submit"]


def test_run_as_json_ends_with_the_summary(engine: FakeEngine, good: str) -> None:
    rows = orchctl(engine.home, "run", good, "--json").rows
    assert rows[-1] == {"run": "r12", "status": "succeeded", "tasks": {"succeeded": 14}, "seconds": 4.5}


@pytest.mark.parametrize("verb", ["run", "submit", "add"])
def test_a_faulty_file_shows_all_faults_and_reaches_no_engine(tmp_path: Path, verb: str) -> None:
    path = tmp_path / "faulty.yaml"
    path.write_text(FAULTY)
    result = orchctl(tmp_path / "home", verb, str(path))
    assert result.code == 2
    assert "faulty.yaml:5" in result.err
    assert "faulty.yaml:7" in result.err
    assert "run" in result.err
    assert not (tmp_path / "home").exists()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = orchctl(tmp_path / "home", "run", str(tmp_path / "nowhere.yaml"))
    assert result.code == 2
    assert "nowhere.yaml" in result.err


def test_a_definition_that_the_engine_refuses_ends_with_2(engine: FakeEngine, good: str) -> None:
    engine.answers[Submit] = Refused(
        code="invalid_definition", sentence="extract claims 99 cpus", faults=("extract: claim\x1b[2J", "second")
    )
    result = orchctl(engine.home, "submit", good)
    assert result.code == 2
    assert result.err == "orchctl: extract claims 99 cpus\nextract: claim\\x1b[2J\nsecond\n"


def test_add_says_what_became_current(engine: FakeEngine, good: str) -> None:
    engine.answers[AddWorkflow] = Done(body={"workflow": "orders", "version": "ab12", "changed": True})
    assert orchctl(engine.home, "add", good, "--paused").out == "added orders version ab12\n"
    assert engine.last(AddWorkflow).paused is True
    engine.answers[AddWorkflow] = Done(body={"workflow": "orders", "version": "ab12", "changed": False})
    assert orchctl(engine.home, "add", good).out == "unchanged: orders version ab12\n"
    assert orchctl(engine.home, "add", good, "--json").rows[0]["version"] == "ab12"


def test_validate_checks_every_file_and_needs_no_engine(tmp_path: Path, good: str) -> None:
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text(FAULTY)
    result = orchctl(tmp_path / "home", "validate", good, str(faulty))
    assert result.code == 2
    assert f"{good}: valid: orders, 1 task" in result.out
    assert f"{faulty}: 3 faults" in result.out
    rows = orchctl(tmp_path / "home", "validate", good, str(faulty), "--json").rows
    assert [(row["valid"], row["workflow"], row["tasks"]) for row in rows] == [(True, "orders", 1), (False, None, None)]
    assert {fault["line"] for fault in rows[1]["faults"]} >= {5, 7}
    assert orchctl(tmp_path / "home", "validate", good).code == 0


def test_validate_warns_of_a_schedule_that_may_surprise_and_says_when_it_is_due(tmp_path: Path) -> None:
    path = tmp_path / "monthly.yaml"
    path.write_text(MONTHLY)
    result = orchctl(tmp_path / "home", "validate", str(path))
    assert result.code == 0
    assert f"{path}: warning: schedule 0 7 31 * *: months that have no day 31 are left out" in result.out
    assert "due next (Asia/Kolkata): 20" in result.out
    assert f"{path}: valid: monthly, 1 task" in result.out
    assert "15 2 * * *" not in result.out
    ((warning,),) = (row["warnings"] for row in orchctl(tmp_path / "home", "validate", str(path), "--json").rows)
    assert (warning["schedule"], warning["timezone"]) == ("0 7 31 * *", "Asia/Kolkata")
    assert len(warning["messages"]) == 1
    times = [datetime.fromisoformat(text) for text in warning["next"]]
    assert [(time.day, time.hour, time.minute, time.utcoffset()) for time in times] == [
        (31, 7, 0, timedelta(hours=5, minutes=30))
    ] * 5
    assert times == sorted(set(times))
    assert datetime.now(UTC) < times[0] < datetime.now(UTC) + timedelta(days=63)


def test_validate_has_no_warnings_for_what_is_plain_or_faulty(tmp_path: Path, good: str) -> None:
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text(FAULTY)
    rows = orchctl(tmp_path / "home", "validate", good, str(faulty), "--json").rows
    assert [row["warnings"] for row in rows] == [[], []]
    assert set(rows[0]) == set(rows[1])


def test_hostile_bytes_of_a_file_reach_no_terminal(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text('name: "a\\e]52;c;eA==\\a"\ntasks: {"x\\e[2J": {run: ls}}\n')
    for verb in ("validate", "run"):
        with on_terminal(tmp_path / "home", verb, str(path)) as terminal:
            assert terminal.end() == 2
        assert b"\x1b]" not in terminal.seen
        assert b"\x1b[2J" not in terminal.seen
        assert b"\x07" not in terminal.seen


def test_the_schema_is_json_for_editors(tmp_path: Path) -> None:
    import json

    text = orchctl(tmp_path, "schema").out
    assert "tasks" in json.loads(text)["properties"]
    assert orchctl(tmp_path, "schema", "--json").rows[0] == json.loads(text)


def test_the_demo_without_a_terminal_prints_progress_and_its_report(engine: FakeEngine) -> None:
    report = b"The standard library\nall  1 \x1b[1m\n"
    engine.answers[ReadLog] = LogChunk(data=report, offset=0, size=len(report), number=1, final=True)
    result = orchctl(engine.home, "demo")
    assert result.code == 0
    assert "r12 orders succeeded" in result.out
    assert result.out.endswith("The standard library\nall  1 \\x1b[1m\n")
    sent = engine.last(Submit)
    assert decode(sent.definition).name == "demo"
    assert Path(sent.params["out"]).is_dir()
    assert Path(sent.params["out"]).parent == engine.home / "demo"
    assert engine.last(ReadLog).task == "report"


def test_a_failed_demo_fails(engine: FakeEngine) -> None:
    engine.subscriptions[GetRun] = snapshot_of(finished_run("failed", tasks={"succeeded": 1}))
    assert orchctl(engine.home, "demo", "--headless").code == 1
    assert "ReadLog" not in engine.kinds()
