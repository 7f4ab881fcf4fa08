"""Python definitions: whatever the code does, there is a workflow or a clear fault, and nothing is left behind."""

import os
import time
from pathlib import Path

import pytest

from engine.definition.compile_python import (
    checked,
    compile_file,
    definition_in,
    encode_file,
    write_faults,
    write_workflow,
)
from engine.model.errors import DefinitionError, Fault
from engine.model.workflow import Command, Python, Source, Task, Workflow, decode, encode

GOOD = "with workflow('w'):\n    task('a', run=['x'])\n"
HEADER = "from orchctl import workflow, task\n"


def written(folder: Path, code: str) -> Path:
    path = folder / "flow.py"
    path.write_text(code)
    return path


def fault_of(folder: Path, code: str, limit_seconds: float = 20, grace_seconds: float = 5) -> Fault:
    with pytest.raises(DefinitionError) as caught:
        compile_file(written(folder, code), limit_seconds=limit_seconds, grace_seconds=grace_seconds)
    assert len(caught.value.faults) == 1
    fault = caught.value.faults[0]
    assert fault.file == str(folder / "flow.py")
    return fault


def test_a_file_becomes_the_workflow_that_it_writes(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text("NAMES = ['a', 'b']\n")
    code = HEADER + (
        "from helpers import NAMES\n"
        "if __name__ == '__main__':\n    raise SystemExit\n"
        "print('noise', flush=True)\n"
        "with workflow('orders', schedule='15 2 * * *') as wf:\n"
        "    up = [task(name, run=['./x', name]) for name in NAMES]\n"
        "    task('c', python='m:f', needs=up, for_each=range(64))\n"
    )
    workflow = compile_file(written(tmp_path, code))
    assert [task.name for task in workflow.tasks] == ["a", "b", "c"]
    assert workflow.tasks[2].action == Python("m:f")
    assert workflow.source == Source(str(tmp_path / "flow.py"), str(tmp_path), code)


@pytest.mark.parametrize(
    ("code", "line", "words"),
    [
        ("import json\ndef f():\n    return json.loads('{')\nf()\n", 3, "JSONDecodeError: Expecting property name"),
        ("x = (\n", 1, "not Python"),
        ("\nimport sys\nsys.exit(3)\n", 3, "sys.exit(3)"),
        ("import os\nos._exit(0)\n", 0, "ended before it was complete"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", 0, "killed by a signal"),
        ("x = bytearray(3 * 2**30)\n", 0, "more than 1 GiB of memory"),
        ("def f(): f()\nf()\n", 1, "RecursionError"),
        ("pass\n", 0, "defines no workflow"),
        (HEADER + GOOD + GOOD, 4, "defines 2 workflows (w, w)"),
        (HEADER + "task('a', run='x')\n", 2, "belongs to no workflow"),
        (HEADER + "with workflow('w'):\n    task('a', run='x',\n         needs=['b'])\n", 3, "no task 'b'"),
        (HEADER + "with workflow('w', pools={'p': 0}):\n    task('a', run='x')\n", 2, "a whole number from 1"),
        ("raise ValueError('x\\ud800')\n", 1, "ValueError"),
        ("raise ValueError('\\x1b[31m')\n", 1, "\\x1b[31m"),
        ("class E(BaseException): pass\nraise E\n", 2, "E"),
    ],
)
def test_code_that_goes_wrong_is_a_fault_at_its_line(code: str, line: int, words: str, tmp_path: Path) -> None:
    fault = fault_of(tmp_path, code)
    assert words in fault.message
    assert fault.line == line


def test_all_faults_of_a_python_definition_come_at_once(tmp_path: Path) -> None:
    code = HEADER + "with workflow('w'):\n    task('a', rnu='x')\n    task('b', run='x', retry={'limt': 3})\n"
    with pytest.raises(DefinitionError) as caught:
        compile_file(written(tmp_path, code))
    found = {(fault.line, fault.field) for fault in caught.value.faults}
    assert found == {(3, "tasks.a.rnu"), (3, "tasks.a"), (4, "tasks.b.retry.limt")}


def test_code_that_never_ends_is_stopped_at_the_limit(tmp_path: Path) -> None:
    began = time.monotonic()
    assert "did not come to an end within 1 s" in fault_of(tmp_path, "while True:\n    pass\n", 1).message
    assert time.monotonic() - began < 5


def test_code_that_stops_its_warden_is_ended_from_outside(tmp_path: Path) -> None:
    code = "import os, signal, time\nos.kill(os.getppid(), signal.SIGSTOP)\ntime.sleep(1000)\n"
    assert "did not come to an end" in fault_of(tmp_path, code, 0.5, grace_seconds=0.2).message


def test_what_the_code_prints_is_bounded_and_never_mistaken_for_the_result(tmp_path: Path) -> None:
    code = (
        HEADER + "import sys\nfor _ in range(200):\n    sys.stdout.write('W' * 2**20)\nsys.stderr.write('S')\n" + GOOD
    )
    assert compile_file(written(tmp_path, code)).name == "w"
    fault = fault_of(tmp_path, "import os, sys\nprint('so far\\x1b[31m', flush=True)\nos._exit(1)\n")
    assert "so far\\x1b[31m" in fault.hint
    assert fault.render().isprintable()


def test_daemons_of_the_code_do_not_outlive_it(tmp_path: Path) -> None:
    daemon = (
        "import os, time\n"
        "read, write = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        open('pid', 'w').write(str(os.getpid()))\n"
        "        os.write(write, b'x')\n"
        "        time.sleep(1000)\n"
        "    os._exit(0)\n"
        "os.read(read, 1)\n"
    )
    assert compile_file(written(tmp_path, HEADER + daemon + GOOD)).name == "w"
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()
    assert "did not come" in fault_of(tmp_path, daemon + "time.sleep(1000)\n", 1).message
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()


def test_a_fork_that_falls_off_the_end_gives_no_second_result(tmp_path: Path) -> None:
    assert compile_file(written(tmp_path, HEADER + "import os\nos.fork()\n" + GOOD)).name == "w"


def test_the_process_that_compiles_keeps_its_own_environment_and_descriptors(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    compile_file(written(tmp_path, HEADER + GOOD))
    fault_of(tmp_path, "x = (\n")
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_interpreter_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="cannot be started"):
        compile_file(written(tmp_path, GOOD), interpreter="/nowhere/python")
    with pytest.raises(DefinitionError, match="could not load"):
        compile_file(written(tmp_path, GOOD), interpreter="/bin/true")


def test_an_answer_is_decoded_by_type_and_checked() -> None:
    good = Workflow("w", (Task("a", Command(("x",))),), source=Source("/f.py", "/"))
    assert checked(definition_in(write_workflow(encode(good)), "f.py"), "f.py") == good
    for answer in (b"", b"W", b"Wxyz", b"Z", b"F\xff", write_faults([]), write_workflow(encode(Workflow("../w", ())))):
        with pytest.raises(DefinitionError):
            checked(definition_in(answer, "f.py"), "f.py")
    with pytest.raises(DefinitionError, match=r"f\.py:3: why"):
        definition_in(write_faults([Fault("why", "f.py", 3)]), "f.py")


def test_an_encoding_goes_on_as_the_process_gave_it(tmp_path: Path) -> None:
    file = written(tmp_path, HEADER + GOOD)
    assert decode(encode_file(file)) == compile_file(file)
    with pytest.raises(DefinitionError, match="there is no task"):
        encode_file(written(tmp_path, HEADER + GOOD.replace("run=['x']", "run=['x'], needs='b'")))
