"""The inside of `compile_python`: the warden that outlives the user's code, and the runner that executes it.

Only this process and its children ever run user code. It is single-threaded, so it may fork.
"""

import ctypes
import gc
import os
import resource
import select
import signal
import sys
import time
import traceback
import types
from pathlib import Path

import msgspec

from engine.definition import registry
from engine.definition.compile_python import SIGNALLED, STARTED, TIMED_OUT, write_faults, write_workflow
from engine.definition.complaints import inert
from engine.definition.load import read_text
from engine.model.errors import DefinitionError, EngineError, Fault
from engine.model.workflow import Source, Workflow, encode

MEMORY_BYTES_MAX = 2**30
_FILES_BYTES_MAX = 2**30
_MODULE_NAME = "orchctl_definition"
_PR_SET_CHILD_SUBREAPER = 36
_SWEEP_SECONDS_MAX = 4.0
_COLLECT_FROM = 100_000


def main() -> int:
    """`FILE RESULT_FD SECONDS`; the exit code says whether the runner ended by itself."""
    path, result, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    os.set_inheritable(result, False)  # noqa: FBT003 - its only argument
    # Orphans of the code become children of this process, so it can find and end them all.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    runner = os.fork()
    if runner == 0:
        _run(path, result)
    os.close(result)
    code = _wait(runner, seconds)
    _sweep()
    return code


def _wait(runner: int, seconds: float) -> int:
    """Until the runner ends or its time is up; it is not reaped here, so its number stays its own."""
    handle = os.pidfd_open(runner)
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    ended = bool(poller.poll(seconds * 1000))
    if not ended:
        os.kill(runner, signal.SIGKILL)
    _, status = os.waitpid(runner, 0)
    os.close(handle)
    if not ended:
        return TIMED_OUT
    return SIGNALLED if os.WIFSIGNALED(status) else 0


def _sweep() -> None:
    """Kill what is left until there is no child any more: every descendant has become ours by now."""
    deadline = time.monotonic() + _SWEEP_SECONDS_MAX
    while time.monotonic() < deadline:
        for child in _children():
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            reaped, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if reaped == 0:
            time.sleep(0.002)


def _children() -> list[int]:
    own = os.getpid()
    try:
        return [int(child) for child in Path(f"/proc/self/task/{own}/children").read_text().split()]
    except OSError:
        return []


def _run(path: Path, result: int) -> None:
    """Execute the file and write the result; never returns."""
    code = 1
    try:
        os.write(result, STARTED)
        _limit(resource.RLIMIT_AS, MEMORY_BYTES_MAX)
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_FSIZE, _FILES_BYTES_MAX)
        owner = os.getpid()
        answer = _answer(path)
        if os.getpid() == owner:
            sys.stdout.flush()
            sys.stderr.flush()
            _write(result, answer)
            code = 0
    finally:
        # A copy of the runner that the code forked ends here too, without a result of its own.
        os._exit(code)


def _limit(which: int, most: int) -> None:
    """At most so much; a lower limit that holds already (a shell's, the keeper's) stays: it cannot be raised."""
    hard = resource.getrlimit(which)[1]
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (limit, limit))


def _write(result: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(result, view) :]


def _answer(path: Path) -> bytes:
    try:
        return write_workflow(encode(_workflow(path)))
    except DefinitionError as error:
        faults = error.faults
    except MemoryError:
        faults = [Fault(f"the definition needs more than {MEMORY_BYTES_MAX // 2**30} GiB of memory", str(path))]
    except SyntaxError as error:
        column = error.offset or 0
        faults = [Fault(f"this is not Python: {error.msg}", error.filename or str(path), error.lineno or 0, column)]
    except BaseException as error:
        faults = [_raised(error, path)]
    return write_faults(faults)


def _workflow(path: Path) -> Workflow:
    gc.set_threshold(_COLLECT_FROM, 20, 100)  # a definition makes many small objects, and hardly a cycle among them
    text = read_text(path)
    sys.path.insert(0, str(path.parent))
    sys.argv = [str(path)]
    module = types.ModuleType(_MODULE_NAME)
    module.__file__ = str(path)
    sys.modules[_MODULE_NAME] = module
    exec(compile(text, str(path), "exec"), module.__dict__)  # noqa: S102 - this process exists to run it
    defined = registry.take()
    if not defined:
        hint = "begin it with `with workflow(...):`"
        raise DefinitionError([Fault("the file defines no workflow", str(path), hint=hint)])
    if len(defined) > 1:
        names = ", ".join(one.workflow.name for one in defined[:20])
        message = f"the file defines {len(defined)} workflows ({names}); one is allowed"
        raise DefinitionError([Fault(message, str(path), defined[1].line, hint="give each a file of its own")])
    return msgspec.structs.replace(defined[0].workflow, source=Source(str(path), str(path.parent), text))


def _raised(error: BaseException, path: Path) -> Fault:
    """The fault at the innermost line of the user's file."""
    line = 0
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(path):
            line = frame.lineno or 0
    if isinstance(error, SystemExit):
        return Fault(f"the definition called sys.exit({inert(repr(error.code)[:60])})", str(path), line)
    if isinstance(error, EngineError):
        return Fault(error.sentence, str(path), line, hint=error.hint)
    return Fault(inert(f"{type(error).__name__}: {str(error)[:1_000]}".rstrip(": ")), str(path), line)


if __name__ == "__main__":
    sys.exit(main())
