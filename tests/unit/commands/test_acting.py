"""Acts: what is sent, what is refused, and who is asked first."""

from collections.abc import Generator
from pathlib import Path

import pytest

from engine.protocol.messages import Act, Done, GetRun, ListTasks, ListWorkflows, PauseWorkflow, Refused, RemoveWorkflow
from engine.protocol.rows import WorkflowRow
from tests.support.cli import on_terminal, orchctl
from tests.support.fake_engine import FakeEngine, rows_of
from tests.support.rows import run_row, task_row


@pytest.fixture
def engine(tmp_path: Path) -> Generator[FakeEngine]:
    with FakeEngine(tmp_path) as fake:
        fake.answers[Act] = Done(body={"changed": 1, "refused": []})
        yield fake


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "kill", "retry"])
def test_an_act_on_a_run_is_sent_once_with_its_note(engine: FakeEngine, verb: str) -> None:
    result = orchctl(engine.home, verb, "r12", "--note", "disk full")
    assert (result.code, result.out) == (0, f"{verb} r12: 1 row\n")
    act = engine.last(Act)
    assert (act.verb, act.run, act.targets, act.note) == (verb, 12, (), "disk full")
    assert len(act.request_id) == 24
    assert engine.kinds() == ["Act"]


def test_each_act_has_a_request_id_of_its_own(engine: FakeEngine) -> None:
    orchctl(engine.home, "cancel", "r12")
    orchctl(engine.home, "cancel", "r12")
    first, second = (request.request_id for request in engine.asked if isinstance(request, Act))
    assert first != second


def test_targets_are_rows_or_whole_tasks(engine: FakeEngine) -> None:
    orchctl(engine.home, "retry", "12", "clean[3]", "load")
    targets = engine.last(Act).targets
    assert [(target.task, target.index, target.status, target.attempts) for target in targets] == [
        ("clean", 3, "", -1),
        ("load", None, "", -1),
    ]


def test_options_may_stand_anywhere(engine: FakeEngine) -> None:
    assert orchctl(engine.home, "cancel", "r12", "--note", "late", "clean[3]", "--yes", "load").code == 0
    assert [target.task for target in engine.last(Act).targets] == ["clean", "load"]


def test_mark_says_as_what(engine: FakeEngine) -> None:
    assert orchctl(engine.home, "mark", "r12", "extract", "--as", "failed").code == 0
    act = engine.last(Act)
    assert (act.verb, act.mark) == ("mark", "failed")


def test_targets_that_were_refused_are_listed_and_the_exit_code_is_3(engine: FakeEngine) -> None:
    body = {"changed": 1, "refused": [{"row": "clean[3]", "why": "it is \x1b[2Jrunning"}]}
    engine.answers[Act] = Done(body=body)
    result = orchctl(engine.home, "retry", "r12", "clean[3]", "clean[4]")
    assert (result.code, result.err) == (3, "refused: clean[3]: it is \\x1b[2Jrunning\n")
    as_json = orchctl(engine.home, "retry", "r12", "clean[3]", "clean[4]", "--json")
    assert as_json.rows == [{"run": "r12", "verb": "retry", **body}]


def test_a_refusal_of_the_engine_is_a_sentence(engine: FakeEngine) -> None:
    engine.answers[Act] = Refused(code="conflict", sentence="r12 has finished", hint="retry reopens it")
    result = orchctl(engine.home, "cancel", "r12")
    assert result == (3, "", "orchctl: r12 has finished\nretry reopens it\n")


@pytest.mark.parametrize("target", ["clean[", "../x", " ", "clean[-1]"])
def test_a_target_that_is_no_name_is_not_sent(engine: FakeEngine, target: str) -> None:
    result = orchctl(engine.home, "cancel", "r12", target)
    assert result.code == 2
    assert "is not a task" in result.err
    assert engine.kinds() == []


def test_pause_and_resume_take_tasks_and_pause_what_runs_of_a_run(engine: FakeEngine) -> None:
    engine.answers[Act] = Done(body={"changed": 2, "refused": []})
    assert orchctl(engine.home, "pause", "r12", "clean[3]", "load").out == "pause r12: 2 rows\n"
    sent = engine.last(Act)
    assert [(target.task, target.index) for target in sent.targets] == [("clean", 3), ("load", None)]
    assert (sent.verb, sent.running) == ("pause", False)
    orchctl(engine.home, "pause", "r12", "--running")
    assert (engine.last(Act).targets, engine.last(Act).running) == ((), True)
    orchctl(engine.home, "resume", "r12", "load")
    assert (engine.last(Act).verb, engine.last(Act).targets[0].task) == ("resume", "load")
    result = orchctl(engine.home, "pause", "orders", "--running")
    assert (result.code, result.out) == (2, "")
    assert "'orders' is no run" in result.err


def test_pause_takes_the_name_of_a_workflow_too(engine: FakeEngine) -> None:
    engine.answers[PauseWorkflow] = Done()
    assert orchctl(engine.home, "pause", "orders") == (0, "pause orders: done\n", "")
    assert (engine.last(PauseWorkflow).workflow, engine.last(PauseWorkflow).paused) == ("orders", True)
    orchctl(engine.home, "resume", "orders")
    assert engine.last(PauseWorkflow).paused is False
    orchctl(engine.home, "pause", "r12", "--workflow")
    assert engine.last(PauseWorkflow).workflow == "r12"


def test_without_a_terminal_nothing_is_asked(engine: FakeEngine) -> None:
    engine.answers[ListWorkflows] = rows_of(WorkflowRow(workflow="orders", version="a", paused=False, tasks=1))
    engine.answers[RemoveWorkflow] = Done()
    assert orchctl(engine.home, "remove", "orders").out == "removed orders\n"
    assert orchctl(engine.home, "cancel", "r12").code == 0


def test_on_a_terminal_a_cancel_is_asked_about_and_no_is_the_default(engine: FakeEngine) -> None:
    engine.answers[GetRun] = rows_of(run_row(workflow="orders\x1b[31m"))
    with on_terminal(engine.home, "cancel", "r12") as terminal:
        terminal.read_until(lambda seen: b"[y/N]" in seen)
        terminal.type("\n")
        assert terminal.end() == 3
    assert b"cancel r12 orders\\x1b[31m (running: 12 succeeded, 2 running)? [y/N]" in terminal.seen
    assert b"nothing was done" in terminal.seen
    assert "Act" not in engine.kinds()


def test_what_the_operator_saw_is_sent_along_after_a_yes(engine: FakeEngine) -> None:
    engine.answers[GetRun] = rows_of(run_row())
    engine.answers[ListTasks] = rows_of(task_row(status="running", attempts=2))
    with on_terminal(engine.home, "kill", "r12", "clean[3]") as terminal:
        terminal.read_until(lambda seen: b"[y/N]" in seen)
        terminal.type("y\n")
        assert terminal.end() == 0
    (target,) = engine.last(Act).targets
    assert (target.task, target.index, target.status, target.attempts) == ("clean", 3, "running", 2)


def test_with_yes_nothing_is_asked_on_a_terminal(engine: FakeEngine) -> None:
    with on_terminal(engine.home, "cancel", "r12", "--yes") as terminal:
        assert terminal.end() == 0
    assert engine.last(Act).seen == ""
