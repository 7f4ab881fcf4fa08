"""A warm Python process that runs `python:` attempts one after another, for one group of them.

Run as a file by the interpreter of the user's choice (Python 3.8 or newer, nothing installed), so it imports nothing
of ours. Descriptor 3 is a socket to the launcher: a length of four bytes, then a JSON list. Descriptor 4 is a page of
shared memory: the first number is the attempt that has begun, written before its code runs, so that a crash tells the
launcher what had not begun; then come a count and the numbers of attempts that must not begin any more.

Descriptors 1 and 2 are a log file that is appended to. What an attempt wrote lies between two sizes of that file.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import mmap
import os
import resource
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any, cast

RLIMIT_RTTIME = 15
PR_SET_CHILD_SUBREAPER = 36
SOCKET_FD = 3
MARK_FD = 4
PAGE_BYTES = 4096
SKIPS_MAX = (PAGE_BYTES - 16) // 8
RESULT_INLINE_BYTES = 4096
RESULT_BYTES_MAX = 2**20
TEXT_MAX = 2000
ITEMS_MAX = 10_000
GROWTH_BYTES_MAX = 512 * 2**20
LOOK_EVERY_ITEMS = 64

_LENGTH = struct.Struct(">I")
_NUMBER = struct.Struct("<Q")


if TYPE_CHECKING:
    Json = dict[str, Any]


class Channel:
    """The connection to the launcher and the shared page."""

    def __init__(self) -> None:
        for fd in (SOCKET_FD, MARK_FD):
            os.set_inheritable(fd, False)  # noqa: FBT003
        self._socket = socket.socket(fileno=SOCKET_FD)
        self._page = mmap.mmap(MARK_FD, PAGE_BYTES)
        self._input = self._socket.makefile("rb", 65536)

    def receive(self) -> list[Any] | None:
        """The next message, None when the launcher is gone."""
        head = self._input.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            return None
        body = self._input.read(_LENGTH.unpack(head)[0])
        return cast("list[Any]", json.loads(body.decode()))

    def send(self, message: list[Any]) -> None:
        body = json.dumps(message).encode()
        self._socket.sendall(_LENGTH.pack(len(body)) + body)

    def begin(self, number: int) -> bool:
        """Mark the attempt as begun. False when it must not begin."""
        _NUMBER.pack_into(self._page, 0, number)
        count = _NUMBER.unpack_from(self._page, 8)[0]
        if count and number in struct.unpack_from(f"<{min(count, SKIPS_MAX)}Q", self._page, 16):
            self.clear()
            return False
        return True

    def clear(self) -> None:
        _NUMBER.pack_into(self._page, 0, 0)


class Sources:
    """The files below the workflow's folder that were imported; when one changes, a fresh process must take over."""

    def __init__(self, folder: str) -> None:
        self._prefix = os.path.join(folder, "")
        self._seen: dict[str, tuple[int, int] | None] = {}
        self._modules = 0

    def note(self) -> None:
        """Take the fingerprints of files that were imported since the last time."""
        if len(sys.modules) == self._modules:
            return
        self._modules = len(sys.modules)
        for module in list(sys.modules.values()):
            path = getattr(module, "__file__", None)
            if isinstance(path, str) and path.startswith(self._prefix) and path not in self._seen:
                self._seen[path] = _fingerprint(path)

    def changed(self) -> bool:
        return any(_fingerprint(path) != seen for path, seen in self._seen.items())


def _fingerprint(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


class Worker:
    """Runs items one at a time; `single` ends after the first."""

    def __init__(self, folder: str, single: bool) -> None:
        self._channel = Channel()
        self._single = single
        self._pid = os.getpid()
        self._sources = Sources(folder)
        self._log = os.dup(1)
        self._segment: str | None = None
        self._names: tuple[str, ...] = ()
        self._count = 0
        self._first_rss = 0

    def serve(self) -> None:
        """Run what comes until the launcher hangs up, or this process should be replaced."""
        self._channel.send(["ready", _gather_orphans()])
        while True:
            message = self._channel.receive()
            if message is None:
                return
            for item in message[1]:
                if not self._channel.begin(item["attempt"]):
                    self._channel.send(["skipped", item["attempt"]])
                    continue
                if self._sources.changed():
                    self._channel.clear()
                    self._channel.send(["stale"])
                    return
                self._serve_one(item)
                if self._single or self._worn_out():
                    self._channel.clear()
                    return

    def _serve_one(self, item: Json) -> None:
        self._prepare(item)
        before = os.fstat(self._log).st_size
        used = _cpu_ns()
        outcome, value = run(item)
        if os.getpid() != self._pid:
            _flush()
            os._exit(0)
        if self._single:
            _join_threads()
        _flush()
        done: Json = {"attempt": item["attempt"]}
        outcome = self._keep_result(item, outcome, value, done)
        done["outcome"] = outcome
        done["cpu"] = _cpu_ns() - used
        done["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        done["log"] = [before, os.fstat(self._log).st_size - before]
        done["left"] = not self._single and _has_children()
        self._sources.note()
        self._channel.send(["done", done])
        if done["left"]:
            _wait_for_children()
            self._channel.send(["empty", item["attempt"]])

    def _prepare(self, item: Json) -> None:
        resource.setrlimit(RLIMIT_RTTIME, (item["cookie"], resource.RLIM_INFINITY))
        for name in self._names:
            if name not in item["env"]:
                os.environ.pop(name, None)
        os.environ.update(item["env"])
        self._names = tuple(item["env"])
        os.chdir(item["dir"])
        if item["segment"] != self._segment:
            self._segment = item["segment"]
            if self._segment:
                self._log = _redirect(self._segment, self._log)

    def _keep_result(self, item: Json, outcome: Json, value: Any, done: Json) -> Json:
        """Put the value into the message, or its file; a value that is no JSON makes the attempt fail."""
        if value is None or outcome["kind"] != "succeeded":
            return outcome
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            return failure(f"result is not JSON: {error}")
        size = len(text)
        if size > RESULT_BYTES_MAX:
            return failure(f"result of {size} bytes is longer than 1 MiB")
        if size <= RESULT_INLINE_BYTES:
            done["result"] = text
            return outcome
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            with os.fdopen(os.open(item["result"], flags, 0o600), "w") as file:
                file.write(text)
        except OSError as error:
            return failure(f"result cannot be written: {error}")
        done["file"] = item["result"]
        return outcome

    def _worn_out(self) -> bool:
        self._count += 1
        if self._count >= ITEMS_MAX:
            return True
        if self._count % LOOK_EVERY_ITEMS != 1:
            return False
        with open("/proc/self/statm") as file:
            rss = int(file.read().split()[1]) * mmap.PAGESIZE
        self._first_rss = self._first_rss or rss
        return rss > self._first_rss + GROWTH_BYTES_MAX


def _redirect(path: str, previous: int) -> int:
    """Both outputs go to another file from now on. The descriptor of that file which user code does not touch."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    log = os.open(path, flags, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(previous)
    return log


def run(item: Json) -> tuple[Json, Any]:
    """The outcome of the item's code, and the value that it returned."""
    try:
        if item["script"]:
            _run_script(item)
            return {"kind": "succeeded", "exit_code": 0}, None
        function = _find(item["target"])
        return {"kind": "succeeded", "exit_code": 0}, function(**item["args"])
    except SystemExit as error:
        return _exit_outcome(error), None
    except BaseException as error:
        return _report(error), None


def _find(target: str) -> Any:
    name, _, path = target.partition(":")
    found: Any = importlib.import_module(name)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def _run_script(item: Json) -> None:
    import runpy

    path = os.path.abspath(item["target"])
    sys.argv = [path]
    sys.path[0] = os.path.dirname(path)
    runpy.run_path(path, run_name="__main__")


def _exit_outcome(error: SystemExit) -> Json:
    code = error.code
    if code is None:
        code = 0
    elif not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    code &= 0xFF
    return {"kind": "failed" if code else "succeeded", "exit_code": code}


def failure(why: str, exception: str = "") -> Json:
    return {"kind": "failed", "exit_code": 1, "why": why[:TEXT_MAX], "exception": exception}


def _report(error: BaseException) -> Json:
    """Print the traceback without our own frames, and name the exception in full."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else kind.__module__ + "." + kind.__qualname__
    try:
        why = str(error)
    except Exception:
        why = "its text cannot be made"
    with contextlib.suppress(Exception):
        import traceback

        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        traceback.print_exception(kind, error, trace)
    return failure(why, name)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _join_threads() -> None:
    """A process of its own ends when its threads have ended, as any Python program does."""
    for thread in _threads():
        thread.join()


def _threads() -> list[Any]:
    """Threads that the interpreter would wait for before it ends."""
    threading = sys.modules.get("threading")
    if threading is None:
        return []
    main_thread = threading.main_thread()
    return [thread for thread in threading.enumerate() if thread is not main_thread and not thread.daemon]


def _cpu_ns() -> int:
    own = resource.getrusage(resource.RUSAGE_SELF)
    below = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round((own.ru_utime + own.ru_stime + below.ru_utime + below.ru_stime) * 1e9)


def _gather_orphans() -> bool:
    """Become the new parent of processes below whose parent died (prctl(2)), so that none that an attempt leaves behind
    is overlooked. Without ctypes the launcher looks for them."""
    try:
        import ctypes

        return ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    except (ImportError, OSError, AttributeError):
        return False


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _wait_for_children() -> None:
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def main() -> None:
    """`worker.py FOLDER single|shared`"""
    folder, manner = sys.argv[1:]
    sys.path[0] = folder
    sys.argv = [""]
    # A cached file is told from its source by whole seconds and size, which is too coarse for sources that are edited
    # while they are used; and the workflow's folder is watched.
    sys.dont_write_bytecode = True
    for stream in (sys.stdout, sys.stderr):
        cast(Any, stream).reconfigure(line_buffering=True)
    code = 1
    try:
        Worker(folder, manner == "single").serve()
        code = 0
    except Exception:  # an attempt closed our descriptors, or the launcher is gone
        with contextlib.suppress(Exception):
            import traceback

            traceback.print_exc()
    _flush()
    if code or _threads():  # threads that attempts left behind must not hold up the end
        os._exit(code)


if __name__ == "__main__":
    main()
