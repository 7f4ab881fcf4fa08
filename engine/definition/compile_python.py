"""A workflow written in Python, compiled in a process of its own, so that user code never runs in ours.

    parent  starts `python -m engine.definition.compile_child FILE`, reads the result from one pipe and what the code
            printed from another, both bounded, and ends the process group after the limit plus a grace
    warden  the process that was started: a subreaper that forks the runner, waits until the limit, and afterwards
            kills whatever the code left behind, daemons in sessions of their own included
    runner  has an address space of 1 GiB, runs the code, and writes one result: a workflow, or faults

The result is decoded by type and checked like anything from outside. Nothing is unpickled.
"""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from engine.definition.complaints import inert, shown
from engine.model.errors import DefinitionError, Fault
from engine.model.workflow import DEFINITION_BYTES_MAX, Workflow, decode

COMPILE_SECONDS_MAX = 30.0
GRACE_SECONDS = 5.0
_OUTPUT_BYTES_MAX = 16_384
_TAIL_CHARS = 300
TIMED_OUT, SIGNALLED, STARTED = 124, 125, b"S"
_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])
_faults_decoder = msgspec.msgpack.Decoder(list[Fault])


def compile_file(
    path: str | Path,
    interpreter: str = sys.executable,
    limit_seconds: float = COMPILE_SECONDS_MAX,
    grace_seconds: float = GRACE_SECONDS,
) -> Workflow:
    """The checked workflow that a Python file defines. Blocks for at most the limit and the grace.

    Raises DefinitionError: with the line in the user's file where the code raised, or saying that it ended without a
    result, took too long, used too much memory, or defined none or several workflows.
    """
    return checked(encode_file(path, interpreter, limit_seconds, grace_seconds), str(path))


def encode_file(
    path: str | Path,
    interpreter: str = sys.executable,
    limit_seconds: float = COMPILE_SECONDS_MAX,
    grace_seconds: float = GRACE_SECONDS,
) -> bytes:
    """As `compile_file`, but encoded, and to be checked by whoever takes it: the process that gave it ran user code."""
    file = Path(path).absolute()
    outer, inner = os.pipe()
    try:
        process = _start(file, interpreter, limit_seconds, inner)
    except OSError as error:
        os.close(outer)
        raise DefinitionError([Fault(f"{interpreter} cannot be started: {error.strerror}", str(file))]) from None
    finally:
        os.close(inner)
    try:
        result, output = _collect(process, outer, time.monotonic() + limit_seconds + grace_seconds)
    finally:
        os.close(outer)
        _end(process)
    return _definition_of(result, output, process.returncode, file, limit_seconds)


def _start(file: Path, interpreter: str, limit_seconds: float, result: int) -> "subprocess.Popen[bytes]":
    # -P keeps the folder that we happen to be in out of the import path; the package must be found all the same.
    search = [_PACKAGE_ROOT, *filter(None, [os.environ.get("PYTHONPATH", "")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(search)}
    command = [interpreter, "-P", "-m", "engine.definition.compile_child", str(file), str(result), str(limit_seconds)]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(result,),
        cwd=file.parent if file.parent.is_dir() else "/",
        env=environment,
        start_new_session=True,
    )


def _collect(process: "subprocess.Popen[bytes]", result: int, deadline: float) -> tuple[bytes, bytes]:
    """What came over the two pipes until both are closed or the deadline has passed; output keeps its end only."""
    printed = process.stdout.fileno() if process.stdout else -1
    poller = select.poll()
    open_pipes = {result, printed}
    for pipe in open_pipes:
        poller.register(pipe, select.POLLIN)
    parts: list[bytes] = []
    size, output = 0, b""
    while open_pipes and (left := deadline - time.monotonic()) > 0:
        for pipe, _ in poller.poll(left * 1000):
            data = os.read(pipe, 1 << 16)
            if not data:
                poller.unregister(pipe)
                open_pipes.discard(pipe)
            elif pipe == printed:
                output = (output + data)[-_OUTPUT_BYTES_MAX:]
            elif (size := size + len(data)) <= DEFINITION_BYTES_MAX + 1:
                parts.append(data)
    return b"".join(parts), output


def _end(process: "subprocess.Popen[bytes]") -> None:
    """The warden is gone, or too late: then its whole group is killed."""
    try:
        process.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout:
        process.stdout.close()


def _definition_of(result: bytes, output: bytes, code: int, file: Path, limit_seconds: float) -> bytes:
    started, answer = result[:1] == STARTED, result[1:]
    if len(result) > DEFINITION_BYTES_MAX:
        fault = Fault(f"the workflow has more than {DEFINITION_BYTES_MAX // 2**20} MiB", str(file))
    elif code == TIMED_OUT or code < 0:
        hint = "a definition only describes tasks; the work belongs into them"
        fault = Fault(f"the definition did not come to an end within {limit_seconds:g} s", str(file), hint=hint)
    elif answer:
        return definition_in(answer, str(file))
    elif started:
        fault = _silent(output, code, file)
    else:
        hint = shown(_tail(output)[-60:])
        fault = Fault("the interpreter could not load the engine's library", str(file), hint=hint)
    raise DefinitionError([fault])


def definition_in(answer: bytes, file: str) -> bytes:
    """The encoded workflow in what a runner, or `python -m engine.definition`, wrote; whoever takes it checks it.

    Raises DefinitionError with the faults that the answer tells.
    """
    if answer[:1] == b"W":
        return answer[1:]
    faults: list[Fault] = []
    if answer[:1] == b"F":
        try:
            faults = _faults_decoder.decode(answer[1:])
        except ValueError as error:
            faults = [Fault(f"the definition gave a result that cannot be read: {error}", file)]
    raise DefinitionError(faults or [Fault("the definition gave no result that can be read", file)])


def checked(definition: bytes, file: str) -> Workflow:
    """The workflow of what `definition_in` gave. Raises DefinitionError."""
    from engine.definition.check import check  # whoever only passes a definition on loads no checker

    try:
        workflow = decode(definition)
        faults = check(workflow)
    except ValueError as error:
        faults = [Fault(f"the definition gave a result that cannot be read: {error}", file)]
    else:
        if not faults:
            return workflow
    raise DefinitionError(faults)


def write_faults(faults: list[Fault]) -> bytes:
    """The answer of a definition with faults, for `definition_in`."""
    return b"F" + msgspec.msgpack.encode(faults)


def write_workflow(definition: bytes) -> bytes:
    """The answer of an encoded definition without faults, for `definition_in`."""
    return b"W" + definition


def _silent(output: bytes, code: int, file: Path) -> Fault:
    how = "was killed by a signal" if code == SIGNALLED else "ended"
    tail = _tail(output)
    return Fault(f"the definition {how} before it was complete", str(file), hint=f"it printed: {tail}" if tail else "")


def _tail(output: bytes) -> str:
    text = output.decode(errors="replace").strip()[-_TAIL_CHARS:]
    return " / ".join(inert(line) for line in text.splitlines())
