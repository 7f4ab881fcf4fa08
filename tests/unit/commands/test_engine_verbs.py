"""engine start, stop, status, and the verbs that keep the state. Instead of the real engine a small program
starts: one that serves the wire's first exchange, or one that fails as engines do.
"""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Generator
from pathlib import Path

import pytest

from engine.protocol.messages import Backup, CollectGarbage, Done, GetEngine, Refused, StopEngine
from orchctl.client import starting
from orchctl.client.starting import engine_command, engine_environment, ensure_engine, log_tail
from orchctl.paths import Home
from tests.support.cli import on_terminal, orchctl
from tests.support.fake_engine import FakeEngine, engine_row, rows_of

ROOT = Path(__file__).parents[3]

SERVES = """
    import signal, sys
    from pathlib import Path
    from tests.support.fake_engine import FakeEngine
    print("serving", flush=True)
    with FakeEngine(Path(sys.argv[1])):
        signal.sigwait({signal.SIGTERM})
"""
FAILS = """
    print("cannot \\x1b[2J read config.toml: line 3")
    raise SystemExit(2)
"""
HANGS = "import signal; signal.sigwait({signal.SIGTERM})"


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[list[subprocess.Popen[bytes]]]:
    """The processes that a test's verbs have started; they are ended after it."""
    processes: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def remembered(*words: object, **options: object) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = real(*words, **options)  # pyright: ignore[reportCallIssue, reportArgumentType]
        processes.append(process)
        return process

    monkeypatch.setattr(starting.subprocess, "Popen", remembered)
    yield processes
    for process in processes:
        process.returncode = None
        if process.poll() is None:
            process.terminate()
        process.wait(10)


def instead(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    def command(home: Home, *words: str) -> list[str]:
        return [sys.executable, "-c", textwrap.dedent(program), home.folder, *words]

    monkeypatch.setattr(starting, "engine_command", command)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_start_waits_until_the_engine_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    instead(monkeypatch, SERVES)
    home = tmp_path / "deep" / "home"
    result = orchctl(home, "engine", "start", "--json")
    (process,) = started
    assert (result.code, result.rows) == (0, [{"pid": process.pid, "state": "serving", "started": True}])
    assert os.getsid(process.pid) == process.pid
    assert os.readlink(f"/proc/{process.pid}/fd/0") == "/dev/null"
    assert os.readlink(f"/proc/{process.pid}/fd/1") == str(home / "engine.log")
    assert home.stat().st_mode & 0o077 == 0
    again = orchctl(home, "engine", "start")
    assert (again.code, len(started)) == (0, 1)
    assert f"runs already: pid {process.pid}" in again.out


def test_an_engine_that_ends_at_once_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    instead(monkeypatch, FAILS)
    monkeypatch.setattr(starting, "_LINGER_S", 0.05)
    (tmp_path / "engine.log").write_text("old complaint\n")
    result = orchctl(tmp_path, "submit", "orders")
    assert result.code == 3
    assert "the engine ended with exit code 2" in result.err
    assert "cannot \\x1b[2J read config.toml: line 3" in result.err
    assert "old complaint" not in result.err
    assert str(tmp_path / "engine.log") in result.err


def test_an_engine_that_does_not_answer_in_time_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    instead(monkeypatch, HANGS)
    with pytest.raises(Exception, match="did not answer within 0 s"):
        ensure_engine(Home(tmp_path), within_s=0.2)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = orchctl(tmp_path / "file" / "home", "engine", "start")
    assert result.code == 3
    assert "cannot be used: Not a directory" in result.err


def test_the_engine_s_program_is_found_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "__init__.py").write_text("raise SystemExit('the wrong engine')")
    words = [*engine_command(Home(tmp_path))[:2], "-c", "import engine.protocol; print(engine.__file__)"]
    done = subprocess.run(words, cwd=tmp_path, env=engine_environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(ROOT / "engine" / "__init__.py")


def test_the_tail_of_a_log_is_short_and_inert(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_bytes(b"".join(b"line %d \x1b[1m\n" % n for n in range(1000)))
    assert log_tail(log, 2) == ["line 998 \\x1b[1m", "line 999 \\x1b[1m"]
    assert log_tail(log, 5, log.stat().st_size) == []
    assert log_tail(log, 1, log.stat().st_size + 1) == ["line 999 \\x1b[1m"], "it began anew after the engine had"
    assert log_tail(tmp_path / "none", 2) == []


def test_lines_of_the_diary_are_told_in_words(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text('{"at":"2026-11-23T02:15:00Z","what":"cannot run","sentence":"a: no\\nb: no","code":2}\n[1]\n')
    assert log_tail(log, 5) == ["cannot run: a: no", "b: no", "[1]"]


@pytest.fixture
def engine(tmp_path: Path) -> Generator[FakeEngine]:
    with FakeEngine(tmp_path) as fake:
        yield fake


def test_status_shows_the_engine_and_its_processes(engine: FakeEngine) -> None:
    row = engine_row(engine.home, keeper=11, launchers=[12, 13], meter=14, problems=["disk \x1b[2J full"])
    engine.answers[GetEngine] = rows_of(row)
    out = orchctl(engine.home, "engine", "status").out
    assert "keeper     11\n" in out
    assert "launchers  12 13\n" in out
    assert "problem: disk \\x1b[2J full" in out
    (as_json,) = orchctl(engine.home, "engine", "status", "--json").rows
    assert {"pid", "state", "revision", "keeper", "launchers", "workers", "meter"} <= set(as_json)


def test_status_without_an_engine_ends_with_3(tmp_path: Path) -> None:
    result = orchctl(tmp_path, "engine", "status")
    assert (result.code, result.out) == (3, "")
    as_json = orchctl(tmp_path, "engine", "status", "--json")
    assert as_json.code == 3
    assert as_json.rows == [{"pid": None, "state": "stopped", "revision": None, "home": str(tmp_path)}]


@pytest.mark.parametrize(
    ("words", "kill", "drain"), [([], False, False), (["--kill"], True, False), (["--drain"], False, True)]
)
def test_stop_waits_until_the_process_has_ended(engine: FakeEngine, words: list[str], kill: bool, drain: bool) -> None:
    with subprocess.Popen([sys.executable, "-c", HANGS]) as process:
        engine.welcome = type(engine.welcome)(
            protocol=1, engine=engine_row(engine.home, pid=process.pid, attempts=3), role="admin"
        )

        def stopped(_: StopEngine) -> Done:
            process.send_signal(signal.SIGKILL)
            return Done()

        engine.answers[StopEngine] = stopped
        result = orchctl(engine.home, "engine", "stop", *words)
        assert result.code == 0
        assert result.out == f"the engine, pid {process.pid}, has stopped\n"
    assert (engine.last(StopEngine).kill, engine.last(StopEngine).drain) == (kill, drain)


def test_stopping_and_killing_is_asked_about_on_a_terminal(engine: FakeEngine) -> None:
    engine.welcome = type(engine.welcome)(protocol=1, engine=engine_row(engine.home, attempts=3), role="admin")
    with on_terminal(engine.home, "engine", "stop", "--kill") as terminal:
        terminal.read_until(lambda seen: b"kill 3 live attempts? [y/N]" in seen)
        terminal.type("n\n")
        assert terminal.end() == 3
    assert engine.kinds() == []


def test_drain_and_kill_exclude_each_other(engine: FakeEngine) -> None:
    assert orchctl(engine.home, "engine", "stop", "--drain", "--kill").code == 2


def test_stop_start_and_run_say_what_there_is(engine: FakeEngine, tmp_path: Path) -> None:
    assert orchctl(tmp_path / "none", "engine", "stop").code == 3
    result = orchctl(engine.home, "engine", "run")
    assert result.code == 3
    assert "an engine runs in" in result.err


LEFT_BEHIND = "import sys; assert sys.argv[2] == 'sweep'; print(71); print(82)"
ATTEMPTS_RUN = """
    import sys
    if "--kill" not in sys.argv:
        sys.stderr.write("attempts \\x1b[2J still run\\nend them with --kill\\n")
        raise SystemExit(3)
    print(71)
"""


def test_stop_without_an_engine_ends_what_one_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, LEFT_BEHIND)
    result = orchctl(tmp_path, "engine", "stop")
    assert result == (0, "no engine runs; ended what one had left behind: pid 71 82\n", "")
    rows = orchctl(tmp_path, "engine", "stop", "--json").rows
    assert rows == [{"pid": None, "state": "stopped", "ended": [71, 82]}]


def test_stop_without_an_engine_says_that_nothing_runs(tmp_path: Path) -> None:
    (tmp_path / "execution").mkdir()
    result = orchctl(tmp_path, "engine", "stop", "--kill", "--yes")
    assert (result.code, result.out) == (3, "")
    assert f"no engine runs in {tmp_path}" in result.err


def test_attempts_without_an_engine_are_ended_only_when_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead(monkeypatch, ATTEMPTS_RUN)
    refused = orchctl(tmp_path, "engine", "stop")
    assert refused == (3, "", "orchctl: attempts \\x1b[2J still run\nend them with --kill\n")
    assert orchctl(tmp_path, "engine", "stop", "--kill").out.endswith("pid 71\n")


def test_killing_what_an_engine_left_behind_is_asked_about_on_a_terminal(tmp_path: Path) -> None:
    with on_terminal(tmp_path, "engine", "stop", "--kill") as terminal:
        terminal.read_until(lambda seen: b"attempts too? [y/N]" in seen)
        terminal.type("n\n")
        assert terminal.end() == 3
    assert b"nothing was done" in terminal.seen


def test_nothing_is_swept_while_an_engine_holds_the_state(tmp_path: Path) -> None:
    from engine.store.files import FolderLock

    (tmp_path / "execution").mkdir()
    lock = FolderLock(tmp_path / "state")  # as an engine that begins and has no socket yet
    try:
        result = orchctl(tmp_path, "engine", "stop", "--kill", "--yes")
    finally:
        lock.release()
    assert result.code == 3
    assert str(os.getpid()) in result.err
    assert "Traceback" not in result.err


def test_backup_takes_an_absolute_folder(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(engine.home)
    engine.answers[Backup] = Done(body={"folder": "/b\x1b[2J", "revision": 9, "bytes": 2048})
    result = orchctl(engine.home, "backup", "mine")
    assert engine.last(Backup).folder == str(engine.home / "mine")
    assert result.out == "/b\\x1b[2J: 2.0 KiB, revision 9\n"


def test_garbage_is_counted_or_collected(engine: FakeEngine) -> None:
    engine.answers[CollectGarbage] = Done(body={"runs": 3, "records": 1204})
    assert orchctl(engine.home, "gc", "--dry-run").out == "would delete 3 runs, 1,204 records\n"
    assert engine.last(CollectGarbage).dry_run is True
    assert orchctl(engine.home, "gc", "--json").rows == [{"runs": 3, "records": 1204}]
    assert engine.last(CollectGarbage).dry_run is False


def test_a_viewer_is_told_that_his_role_does_not_allow_it(engine: FakeEngine) -> None:
    engine.answers[CollectGarbage] = Refused(code="forbidden", sentence="a viewer cannot do this")
    assert orchctl(engine.home, "gc") == (3, "", "orchctl: a viewer cannot do this\n")


def test_restore_is_refused_while_an_engine_runs(engine: FakeEngine) -> None:
    result = orchctl(engine.home, "restore", "/b")
    assert result.code == 3
    assert "orchctl engine stop" in result.err


@pytest.mark.parametrize(
    ("program", "code"), [("import sys; print(sys.argv[2:])", 0), ("raise SystemExit('no backup')", 3)]
)
def test_restore_is_done_by_the_engine_s_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, code: int
) -> None:
    instead(monkeypatch, program)
    result = orchctl(tmp_path, "restore", str(tmp_path / "b"))
    assert result.code == code
    assert ("restored" if code == 0 else "no backup") in result.out + result.err


def test_version_names_the_engine_that_runs(engine: FakeEngine, tmp_path: Path) -> None:
    assert orchctl(engine.home, "version", "--json").rows[0]["engine"] == "9.9"
    assert orchctl(tmp_path / "none", "version", "--json").rows[0]["engine"] is None
    assert orchctl(tmp_path / "none", "version").out.startswith("orchctl ")


def test_the_doctor_looks_at_everything(engine: FakeEngine) -> None:
    engine.answers[GetEngine] = rows_of(engine_row(engine.home, problems=["the disk is \x1b[2J full"]))
    result = orchctl(engine.home, "doctor", "--json")
    found = {row["check"]: row for row in result.rows}
    assert {
        "kernel",
        "python",
        "packages",
        "home",
        "disk",
        "file system",
        "open files",
        "clock",
        "cgroup",
        "engine",
    } <= set(found)
    assert result.code == 1
    assert found["engine"] == {
        "check": "engine",
        "level": "problem",
        "sentence": "the disk is \x1b[2J full",
        "hint": "",
    }
    assert "\\x1b[2J" in orchctl(engine.home, "doctor").out


def test_the_doctor_sees_a_home_that_others_may_write_to(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o777)
    (home / "engine.log").write_text("the last words\n")
    result = orchctl(home, "doctor")
    assert result.code == 1
    assert "others may write to" in result.out
    assert "the last words" in result.out
    home.chmod(0o700)
    assert orchctl(home, "doctor").code == 0
    assert orchctl(tmp_path / "none", "doctor").code == 0
