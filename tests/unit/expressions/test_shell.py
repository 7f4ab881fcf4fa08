"""Values in scripts stay one word, checked against the real shells."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.expressions import ExpressionFault, compile_shell

SHELLS = [[shutil.which("sh") or "/bin/sh", "-c"], *([[bash, "-c"]] if (bash := shutil.which("bash")) else [])]
HOSTILE = '$(: > canary)`: > canary`\'; : > canary; "$(: > canary)" \\\n: > canary\nE\n: > canary #'

ACCEPTED = [
    "printf %s {{ item }}",
    'printf %s ""{{ item }}',
    "printf %s ''{{ item }}",
    'x=$(printf %s {{ item }}); printf %s "$x"',
    "cat <<E >/dev/null\nx\nE\nprintf %s {{ item }}",
    "cat <<-'E F' >/dev/null\nit's\n\tE F\nprintf %s {{ item }}",
    "x=${y:-z}; printf %s {{ item }}",
    "case a in a) printf %s {{ item }};; esac",
    "f() { printf %s {{ item }}; }; f",
    "echo a#b >/dev/null; printf %s {{ item }}",
    "echo $# ${#x} >/dev/null; printf %s {{ item }}",
    "# it's a comment\nprintf %s {{ item }}",
    'printf "%s" "$(echo ")")" >/dev/null; printf %s {{ item }}',
    "x=$(( (1 + 2) * 3 )); printf %s {{ item }}",
    "printf %s {{ item }} \\\n ''",
    "[ {{ item }} != [x] ] && printf %s {{ item }}",
]


@pytest.mark.parametrize("script", ACCEPTED)
def test_a_value_is_one_word_whatever_it_holds(script: str, tmp_path: Path) -> None:
    text = compile_shell(script).render_text({"item": HOSTILE})
    for shell in SHELLS:
        done = subprocess.run([*shell, text], cwd=tmp_path, capture_output=True, text=True, timeout=10)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.rstrip("\n") == HOSTILE.rstrip("\n")
    assert list(tmp_path.iterdir()) == []


REFUSED = [
    ("echo '{{ item }}'", "single quotes"),
    ('echo "{{ item }}"', "double quotes"),
    ('echo "$(echo {{ item }})"', "double quotes"),
    ("true # {{ item }}", "comment"),
    ("cat <<E\n{{ item }}\nE\n", "here-document"),
    ("cat <<'E'\nx\n  E\n{{ item }}\nE\n", "here-document"),
    ("cat <<{{ item }}\n", "here-document"),
    ("echo \\{{ item }}", "backslash"),
    ("echo ${{ item }}", "dollar"),
    ("echo $(({{ item }} + 1))", "arithmetic"),
    ("(({{ item }} + 1))", "arithmetic"),
    ("echo ${x:-{{ item }}}", "${ }"),
    ("echo `echo {{ item }}`", "backquote"),
    ("x=$'a\\'; {{ item }}", "read differently"),
    ("echo $[ {{ item }} ]", "read differently"),
    ("a[{{ item }}]=1", "subscript"),
    ("a[ {{ item }} ]=1", "subscript"),
    ("a=( [ {{ item }} ]=1 )", "subscript"),
    ('echo "$(case x in x) echo " {{ item }}" ;; esac)"', "case"),
]


@pytest.mark.parametrize(("script", "reason"), REFUSED)
def test_a_value_where_quoting_would_not_hold_is_a_fault_with_its_place(script: str, reason: str) -> None:
    with pytest.raises(ExpressionFault) as caught:
        compile_shell(script)
    assert reason in caught.value.sentence
    assert script[caught.value.position :].startswith("{{")
    assert "PARAM_" in caught.value.hint


def test_a_nul_in_a_value_is_a_fault() -> None:
    with pytest.raises(ExpressionFault, match="NUL"):
        compile_shell("echo {{ item }}").render_text({"item": "a\0b"})


def test_a_script_without_expressions_is_left_alone() -> None:
    assert compile_shell("echo '$x' \"").render_text({}) == "echo '$x' \""


FRAGMENTS = [
    "'", '"', "\\", "$(", ")", "${x:-", "}", "`", "#", " ", "\n", "<<E\n", "<<-E\n", "E\n", "echo ", "((", "$((", "))",
    "$'", '$"', "case x in x) ", ";;", "esac", ";", "$", "{{ item }}", "{{ item }}", " {{ item }} ", "a", "((1 <<2))",
    "$[", "a[", "[", "[ ", "[[ ", "]", "]=1", "=(",
]  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=12))
def test_no_script_that_is_accepted_lets_a_value_run(pieces: list[str], tmp_path: Path) -> None:
    try:
        template = compile_shell("".join(pieces))
    except ExpressionFault:
        return
    if template.constant:
        return
    for value in (HOSTILE, ")" + HOSTILE, "'" + HOSTILE, "}))\n" + HOSTILE):
        text = template.render_text({"item": value})
        for shell in SHELLS:
            subprocess.run([*shell, text], cwd=tmp_path, capture_output=True, timeout=10, stdin=subprocess.DEVNULL)
            assert not (tmp_path / "canary").exists(), text
