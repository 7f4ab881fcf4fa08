"""Orders in the launcher's words, and a launcher's words as facts."""

import subprocess
import sys
from array import array
from binascii import b2a_base64
from pathlib import Path
from typing import Any, cast

import pytest

from engine.core.effects import StartAttempt
from engine.core.events import AttemptExited, AttemptLost, LogSlice, RowsSucceeded, Usage
from engine.execution import proc
from engine.execution.attempt import Attempt, outcome_of, take_result
from engine.execution.environment import Environments, launcher_order, words_of
from engine.execution.facts import exited, succeeded
from engine.execution.places import log_path
from engine.execution.worker import failure
from engine.model.campaign import Campaign, NoiseLimits
from engine.model.resources import Claim
from engine.model.status import SUCCESS, Outcome, OutcomeKind
from engine.model.workflow import Command, Python, Quota, Shell, Stop


def order(**given: Any) -> StartAttempt:
    fields: dict[str, Any] = {
        "attempt": 1, "run": 2, "workflow": "w", "version": "v", "task": "t", "index": -1, "number": 1,
        "action": Command(("true",)), "dir": "/", "env": (), "pass_env": (), "claim": Claim(), "quota": Quota(),
        "stop": Stop(), "claim_from": 0,
    }  # fmt: skip
    return StartAttempt(**{**fields, **given})


def test_a_command_is_executed_as_it_is_and_a_script_by_its_shell() -> None:
    assert words_of(Command(("ls", "-l"))) == ["ls", "-l"]
    assert words_of(Shell("ls | wc")) == ["sh", "-e", "-c", "ls | wc"]
    assert words_of(Shell("ls | wc", bash=True)) == ["bash", "-e", "-o", "pipefail", "-c", "ls | wc"]


def test_the_shared_environment_leaves_out_what_belongs_to_one_attempt() -> None:
    own = {"PATH": "/bin", "LC_ALL": "C", "SECRET": "x", "AWS_KEY": "k", "AWS_ID": "i"}
    tables = Environments(own)
    given = order(env=(("MODE", "a"), ("PARAM_X", "1"), ("ORCHCTL_Y", "2")), pass_env=("AWS_*",))
    name, content = tables.table(given)
    assert content == {"PATH": "/bin", "LC_ALL": "C", "AWS_KEY": "k", "AWS_ID": "i", "MODE": "a"}
    assert tables.table(order(env=(("PARAM_X", "2"), ("MODE", "a")), pass_env=("AWS_*",)))[0] == name
    assert tables.table(order(env=(("MODE", "b"),), pass_env=("AWS_*",)))[0] != name
    assert launcher_order(given, (name, content), NoiseLimits())["extra"] == {"PARAM_X": "1", "ORCHCTL_Y": "2"}


def test_a_target_that_ends_in_py_is_a_script() -> None:
    table = ("x", {"PATH": "/bin"})
    assert launcher_order(order(action=Python("a/b.py")), table, NoiseLimits())["python"]["script"]
    assert not launcher_order(order(action=Python("a.b:c")), table, NoiseLimits())["python"]["script"]


def test_a_trial_is_given_the_host_s_limits_of_noise_but_for_those_of_its_own() -> None:
    limits = NoiseLimits(io=0.3, looks=7)
    own = Campaign(trials=2, noise=(("look_ns", 5e8), ("memory", 0.5)))
    given = launcher_order(order(campaign=own), ("x", {}), limits)["measure"]["noise"]
    assert given == {
        "foreign": 0.02, "forgiven": 0.1, "stolen": 0.01, "memory": 0.5, "io": 0.3, "frequency": 0.05,
        "look_ns": 500_000_000, "looks": 7,
    }  # fmt: skip
    assert launcher_order(order(campaign=Campaign()), ("x", {}), limits)["measure"]["noise"] is None


def test_logs_are_found_by_run_task_index_and_number() -> None:
    assert log_path(12, "clean", -1, 1) == "r12/clean.1.log"
    assert log_path(12, "clean", 3, 2) == "r12/clean.3.2.log"


def test_wait_statuses_become_outcomes() -> None:
    assert outcome_of(0) == {"kind": "succeeded", "exit_code": 0}
    assert outcome_of(3 << 8) == {"kind": "failed", "exit_code": 3}
    assert outcome_of(11) == {"kind": "signalled", "signal": 11}


def test_an_end_becomes_a_fact() -> None:
    over = {"kind": "over_quota", "which": "memory", "used": 2, "limit": 1}
    told = {"a": 4, "at": 9, "o": over, "log": ["r1/x", 5, 6], "cpu": 7, "rss": 8, "result": "[1]"}
    outcome = Outcome(OutcomeKind.OVER_QUOTA, which="memory", used=2, limit=1)
    assert exited(told) == AttemptExited(4, 9, outcome, Usage(7, 8), LogSlice("r1/x", 5, 6), None)
    assert exited({"a": 4, "at": 9, "o": {"kind": "lost", "why": "gone"}}) == AttemptLost(4, 9, "gone")


def test_a_kind_that_nobody_knows_is_never_success() -> None:
    assert isinstance(exited({"a": 4, "at": 9, "o": {"kind": "wonderful"}}), AttemptLost)


@pytest.mark.parametrize(
    "result", [{"result": "[1"}, {"result": "NaN"}, {"bad": "result is a pipe"}, {"file": "/none"}]
)
def test_a_result_that_cannot_be_taken_makes_a_success_a_failure(result: dict[str, str]) -> None:
    found = exited({"a": 1, "at": 2, "o": {"kind": "succeeded", "exit_code": 0}, **result})
    assert isinstance(found, AttemptExited)
    assert (found.outcome.kind, found.result) == (OutcomeKind.FAILED, None)
    assert found.outcome.why.startswith("result ")


def test_a_result_file_is_taken_once_or_named_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    assert take_result(str(path)) == {}
    path.write_text("[1]")
    assert take_result(str(path)) == {"result": "[1]"}
    assert not path.exists()
    path.write_text('"' + "x" * 5000 + '"')
    assert take_result(str(path)) == {"file": str(path)}
    path.unlink()
    path.symlink_to("/etc/hostname")
    assert "bad" in take_result(str(path))
    path.unlink()
    path.mkdir()
    assert take_result(str(path)) == {"bad": "result is not a regular file"}


def limited(memory: int) -> Attempt:
    return Attempt({"attempt": 1, "memory": memory, "log_bytes": 0, "grace_ns": 0, "processes": 0, "limits": {}})


def test_what_ended_an_attempt_comes_before_how_its_process_ended() -> None:
    attempt = limited(0)
    attempt.outcome = {"kind": "signalled", "signal": 15}
    assert attempt.final_outcome() == {"kind": "signalled", "signal": 15}
    attempt.ended_by = {"kind": "timed_out"}
    assert attempt.final_outcome() == {"kind": "timed_out", "signal": 15}


def test_a_kill_by_the_kernel_at_the_quota_is_over_quota() -> None:
    attempt = limited(1000)
    attempt.outcome = {"kind": "signalled", "signal": 9}
    attempt.rss_bytes = 100
    assert attempt.final_outcome()["kind"] == "signalled"
    attempt.rss_bytes = 990
    assert attempt.final_outcome()["kind"] == "over_quota"
    attempt.outcome = failure("", "MemoryError")
    attempt.rss_bytes = 0
    assert attempt.final_outcome()["which"] == "memory"


def test_a_cookie_names_instance_and_attempt_and_is_inherited() -> None:
    cookie = proc.cookie_of(2**61 + 77, 2**39 + 5)
    assert proc.attempt_of(cookie, 2**61 + 77) == 2**39 + 5
    assert proc.attempt_of(cookie, 78) is None
    assert proc.attempt_of(proc.INFINITY, 77) is None
    ask = "import resource; print(resource.getrlimit(15)[0])"
    script = (
        f"import resource, subprocess, sys; resource.setrlimit(15, ({cookie}, -1)); "
        f"subprocess.run(['env', '-i', 'setsid', sys.executable, '-c', {ask!r}])"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(told.stdout) == cookie


def test_the_start_of_a_process_can_be_told_from_the_clock() -> None:
    for _ in range(50):
        before = proc.ticks_now()
        child = subprocess.Popen(["sleep", "5"])
        after = proc.ticks_now()
        found = proc.start_ticks(child.pid)
        child.kill()
        child.wait()
        assert before <= found <= after


def _span(*results: str | None) -> list[Any]:
    """A span of rows that took 10 µs each, one right after the other, and wrote 3 bytes each."""
    count = len(results)
    columns = b"".join(array("I", [cell] * count).tobytes() for cell in (0, 10, 7, 3))
    return [40, 5, count, 1000, b2a_base64(columns, newline=False).decode(), ["r1/x", 100], 2**20, list(results)]


def test_a_span_stays_one_event():
    (event,) = succeeded(_span("1", None, "[2]"))
    assert isinstance(event, RowsSucceeded)
    assert (event.attempt, event.offset, event.count, event.results) == (40, 5, 3, (b"1", None, b"[2]"))


def test_a_span_with_a_result_that_is_no_json_is_told_row_by_row():
    ends = succeeded(_span("1", "{broken", None))
    assert [end.attempt for end in ends] == [45, 46, 47]
    assert all(isinstance(end, AttemptExited) and end.block == 40 for end in ends)
    one, two, three = cast("list[AttemptExited]", ends)
    assert (one.outcome, one.result) == (SUCCESS, b"1")
    assert two.outcome.kind is OutcomeKind.FAILED
    assert two.outcome.why.startswith("result is not JSON")
    assert (two.began_ns, two.at_ns, two.log) == (1_010_000, 1_020_000, LogSlice("r1/x", 103, 3))
    assert three.outcome == SUCCESS
