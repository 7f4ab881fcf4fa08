"""Words that make sense, and what is said about those that make none."""

import shlex
import subprocess
from pathlib import Path

import pytest

from engine.protocol.messages import ListRuns
from orchctl.commands import dispatch
from orchctl.commands.dispatch import find_verb, guarded, load
from orchctl.commands.kit import Place, Words
from orchctl.commands.table import VERBS, overview
from tests.support.cli import command, orchctl
from tests.support.fake_engine import FakeEngine, rows_of
from tests.support.rows import run_row


@pytest.mark.parametrize("name", VERBS)
def test_each_verb_has_help_with_examples_that_parse(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded([*name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: orchctl {name}")
    _, _, after = shown.partition("\nexamples:\n")
    examples = [line.strip() for line in after.splitlines() if line.strip()]
    assert examples
    for example in examples:
        words = shlex.split(example.removeprefix('eval "$(').replace(')"', ""), comments=True)
        assert words[0] == "orchctl"
        words = words[1 : words.index(">")] if ">" in words else words[1:]
        if words[0] == "--home":
            words = words[2:]
        entry, rest = find_verb(words)
        assert entry.name == name
        load(entry)[1].read(rest)


@pytest.mark.parametrize("words", [[], *(name.split() for name in VERBS)])
def test_help_fits_a_terminal_of_80_columns(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert guarded([*words, "--help"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("name", VERBS)
def test_each_verb_takes_json_and_stands_in_the_overview(name: str) -> None:
    assert "--json" in load(VERBS[name])[1].options()
    assert f"  {name} " in overview()


def test_the_overview_names_no_verb_that_there_is_not() -> None:
    lines = [line for line in overview().splitlines() if line.startswith("  orchctl ")]
    for line in lines:
        entry, rest = find_verb(shlex.split(line)[1:])
        load(entry)[1].read(rest)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rns"], "there is no verb 'rns'; did you mean runs?"),
        (["cancle", "r12"], "did you mean cancel?"),
        (["engine", "stat"], "there is no verb engine 'stat'; did you mean start?"),
        (["engine"], "engine needs a verb"),
        (["import"], "orchctl import wfcommons"),
        (["--hlep"], "unknown option '--hlep'; did you mean --help?"),
        (["runs", "--jsn"], "unknown option '--jsn'; did you mean --json?"),
        (["runs", "--js"], "unknown option '--js'; did you mean --json?"),
        (["runs", "--status", "runing"], "'runing' is not known; did you mean running?"),
        (["runs", "--limit", "many"], "'many' is not a whole number from 1"),
        (["runs", "--limit", "0"], "'0' is not a whole number from 1"),
        (["runs", "extra"], "'extra' is one word too many"),
        (["logs", "r12"], "the following arguments are required: TASK"),
        (["run", "orders", "--param", "day"], "'day' is not written like name=value"),
        (["rerun", "r12"], "required: TASK"),
        (["mark", "r12", "clean", "--as", "success"], "did you mean succeeded?"),
        (["logs", "x y", "clean"], "'x y' is not a run"),
        (["cancel", "r12", ""], "TASK is empty"),
        (["run", ""], "FILE|WORKFLOW is empty"),
        (["show", "r12\x1b[2J"], "is not a run"),
        (["--home"], "--home needs a folder"),
        (["zzz\x1b[31m"], "there is no verb 'zzz\\x1b[31m'"),
        (["demo", "--headless", "--headles"], "did you mean --headless?"),
        (["console"], "the console needs a terminal"),
        (["completion", "tcsh"], "'tcsh' is not known"),
        (["import", "wfcommons", "a.json", "-o", "b", "--time-scale", "nan"], "is not a factor"),
    ],
)
def test_what_makes_no_sense_gets_a_sentence(tmp_path: Path, words: list[str], said: str) -> None:
    result = orchctl_bare(words) if words[0].startswith("--") else orchctl(tmp_path, *words)
    assert result[0] == 2
    assert said in result[2]
    assert "Traceback" not in result[2]
    assert "\x1b" not in result[2]


def orchctl_bare(words: list[str]) -> tuple[int, str, str]:
    import contextlib
    import io

    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        code = guarded(words)
    return code, "", err.getvalue()


def test_without_a_verb_and_without_a_terminal_the_way_to_help_is_told(tmp_path: Path) -> None:
    result = orchctl(tmp_path)
    assert result.code == 2
    assert "the console needs a terminal" in result.err


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_lists_all_verbs(tmp_path: Path, words: list[str]) -> None:
    result = orchctl(tmp_path, *words)
    assert result.code == 0
    assert "Exit codes: 0 succeeded" in result.out


def test_an_unexpected_error_is_a_sentence_and_shows_its_place_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(words: Words, place: Place) -> int:
        raise ZeroDivisionError("an \x1b[2J accident")

    command, _ = load(VERBS["version"])
    from orchctl.commands import about

    monkeypatch.setitem(about.COMMANDS, "version", command._replace(run=broken))
    result = orchctl(tmp_path, "version")
    assert result.code == 3
    assert result.err.splitlines()[0] == "orchctl: ZeroDivisionError: an \\x1b[2J accident"
    assert "Traceback" not in result.err
    monkeypatch.setenv("ORCHCTL_DEBUG", "1")
    assert "Traceback" in orchctl(tmp_path, "version").err


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (PermissionError(13, "no", "/x"), 2)])
def test_interruptions_and_the_system_s_errors_have_their_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def interrupted(words: list[str]) -> int:
        raise error

    monkeypatch.setattr(dispatch, "dispatch", interrupted)
    assert orchctl(tmp_path, "version").code == code


def test_data_that_the_output_cannot_encode_is_escaped(tmp_path: Path) -> None:
    with FakeEngine(tmp_path) as engine:
        engine.answers[ListRuns] = rows_of(run_row(note="名前"))
        done = subprocess.run(
            command("--home", str(tmp_path), "runs"), env={"PYTHONIOENCODING": "ascii"}, capture_output=True, check=True
        )
    assert b"\\u540d\\u524d" in done.stdout


@pytest.mark.parametrize(
    ("words", "where", "code", "said"),
    [
        (["--help"], ">/dev/full", 2, "orchctl: the output: No space left on device\n"),
        (["--help"], ">&-", 0, ""),
        (["nope"], ">&- <&-", 2, "orchctl: there is no verb 'nope'\n`orchctl --help` lists the verbs\n"),
        (["nope"], "2>/dev/full", 2, ""),
        (["nope"], "2>&-", 2, ""),
        (["trigger", "\udcff"], "", 2, "orchctl: \\xff is not UTF-8\n"),
    ],
)
def test_streams_and_words_that_are_of_no_use_cost_no_traceback(
    tmp_path: Path, words: list[str], where: str, code: int, said: str
) -> None:
    with FakeEngine(tmp_path):
        script = ["sh", "-c", f'exec "$@" {where}', "sh", *command("--home", str(tmp_path), *words)]
        done = subprocess.run(script, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == code
    assert done.stderr.startswith(said) if words[0] == "trigger" else done.stderr == said
