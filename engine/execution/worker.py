"""A warm Python process that runs `python:` attempts one after another, for one group of them.

Run as a file by the interpreter of the user's choice (Python 3.8 or newer, nothing installed), so it imports nothing
of ours. Descriptor 3 is a socket to the launcher: a length of four bytes, then a JSON list. Orders come in *blocks*:
rows of one task that run one after another. Block and launcher share a file, the *page*: the worker writes there which
row has begun, before its code runs, and how each row ended, so nothing is sent for a row, and a crash of the worker or
of the launcher leaves behind what had begun, what had ended, and what had not begun.

Descriptors 1 and 2 are a log file that is appended to. What a row wrote lies between two sizes of that file.
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
import time
from typing import TYPE_CHECKING, Any, cast

RLIMIT_RTTIME = 15
PR_SET_CHILD_SUBREAPER = 36
SOCKET_FD = 3
RESULT_INLINE_BYTES = 4096
RESULT_BYTES_MAX = 2**20
TEXT_MAX = 2000
ROWS_A_LIFE = 250_000
GROWTH_BYTES_MAX = 512 * 2**20
TICK_US = 5_000
"""A row that ends so long after the launcher was told to look has it told again; sooner ends it finds by itself."""
BRIEF_US = 1_000
"""Of rows that take less, CPU time and the peak of memory are measured together with that of their neighbours."""

_LENGTH = struct.Struct(">I")
_NUMBER = struct.Struct("<Q")
_BEGIN = struct.Struct("<QQQ")
_CELLS = struct.Struct("<IIII")
_TEXT = struct.Struct("<II")
_HEAD_BYTES = 512
_SEGMENT_AT = 128
CELLS_BYTES = _CELLS.size
CELL_MAX = 2**32 - 1


if TYPE_CHECKING:
    from collections.abc import Generator

    Json = dict[str, Any]

SUCCESS: Json = {"kind": "succeeded", "exit_code": 0}


class Page:
    """What launcher and worker share of one block: a head of numbers, a column of states and one of skips (a byte a
    row), four numbers of 32 bits a row (the gap before it, its duration, its CPU time, all in microseconds, and the
    bytes that it wrote), and behind them the texts of the rows that have one, in the order of the rows.

    The worker writes `begun` before it looks at `limit` and `skips`; the launcher writes these, stops the worker, and
    then reads `begun`: so both know whether a row has begun.
    """

    COUNT, BEGAN_US, ROW_LOG, BEGUN, DONE, LIMIT, FIRST_US, LOG_BASE, RSS_KIB, TEXT_END = range(0, 80, 8)
    """`FIRST_US`: the instant before the gap of the first row. `BEGUN` is an offset plus one."""
    NONE, SUCCEEDED, RESULT, TEXT, SKIPPED = range(5)
    """States of a row: not ended; ended well, without a result, with one in its text; ended as its text says; not begun
    because it was skipped."""

    def __init__(self, path: str, count: int = 0) -> None:
        """Make the page of `count` rows, or (0) open the one that is there. Raises OSError."""
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        self.fd = os.open(path, flags | (os.O_CREAT | os.O_TRUNC if count else 0), 0o600)
        try:
            size = count or _NUMBER.unpack(os.pread(self.fd, 8, 0))[0]
            self.count = size
            self.states = _HEAD_BYTES
            self.skips = self.states + size
            self.cells = self.skips + size + -2 * size % 4
            end = self.cells + _CELLS.size * size
            if count:
                os.ftruncate(self.fd, end)
            self.map = mmap.mmap(self.fd, end)
        except (OSError, ValueError, struct.error) as error:
            os.close(self.fd)
            raise OSError(str(error)) from error
        self.first_text = end
        if count:
            self.set(self.LIMIT, size)
            self.set(self.TEXT_END, end)
            self.set(self.COUNT, size)

    def close(self) -> None:
        self.map.close()
        os.close(self.fd)

    def get(self, field: int) -> int:
        return cast(int, _NUMBER.unpack_from(self.map, field)[0])

    def set(self, field: int, value: int) -> None:
        _NUMBER.pack_into(self.map, field, value)

    @property
    def segment(self) -> str:
        """The log file that the rows write to, below the log folder."""
        (length,) = _NUMBER.unpack_from(self.map, _SEGMENT_AT)
        return bytes(self.map[_SEGMENT_AT + 8 : _SEGMENT_AT + 8 + length]).decode()

    @segment.setter
    def segment(self, path: str) -> None:
        data = path.encode()[: _HEAD_BYTES - _SEGMENT_AT - 8]
        self.map[_SEGMENT_AT + 8 : _SEGMENT_AT + 8 + len(data)] = data
        _NUMBER.pack_into(self.map, _SEGMENT_AT, len(data))

    def begin(self, offset: int, now_us: int, log: int) -> bool:
        """Mark the row as begun. False when it must not begin, nor any after it."""
        _BEGIN.pack_into(self.map, self.BEGAN_US, now_us, log, offset + 1)
        if offset >= self.get(self.LIMIT):
            self.set(self.BEGUN, offset)
            return False
        return True

    def end(self, offset: int, state: int, cells: tuple[int, int, int, int]) -> None:
        """The row is over; `cells` are gap, duration, CPU time and bytes of output."""
        if max(cells) > CELL_MAX:
            cells = cast("tuple[int, int, int, int]", tuple(min(cell, CELL_MAX) for cell in cells))
        _CELLS.pack_into(self.map, self.cells + _CELLS.size * offset, *cells)
        self.map[self.states + offset] = state
        self.set(self.DONE, offset + 1)

    def add_text(self, offset: int, text: str) -> None:
        """Keep a text for the row, which ends next. A later one for the same row counts instead."""
        data = text.encode()
        at = self.get(self.TEXT_END)
        os.pwrite(self.fd, _TEXT.pack(offset, len(data)) + data, at)
        self.set(self.TEXT_END, at + _TEXT.size + len(data))

    def texts(self, at: int) -> tuple[list[tuple[int, str]], int]:
        """(row, text) of what was added from `at` on, and where the next text will be."""
        end = self.get(self.TEXT_END)
        data = os.pread(self.fd, end - at, at)
        found: list[tuple[int, str]] = []
        place = 0
        while place < len(data):
            offset, length = _TEXT.unpack_from(data, place)
            place += _TEXT.size + length
            found.append((offset, data[place - length : place].decode()))
        return found, end


class Cpu:
    """The CPU time of rows. The clock costs as much as a short row, so rows that take less than BRIEF_US share what was
    measured since the last look, each by its duration.
    """

    def __init__(self) -> None:
        self._looked_us = 0
        self._used_ns = 0
        self._share = 1.0

    def begin(self, now_us: int) -> None:
        """A block begins: what was used before is nobody's."""
        self._looked_us, self._used_ns = now_us, _cpu_ns()

    def of_row(self, now_us: int, took_us: int) -> int:
        """Microseconds of a row that ended now and took so long."""
        span_us = now_us - self._looked_us
        if span_us >= BRIEF_US:
            used_ns = _cpu_ns()
            self._share = (used_ns - self._used_ns) / 1000 / span_us
            self._looked_us, self._used_ns = now_us, used_ns
        return round(self._share * took_us)


class Channel:
    """The connection to the launcher."""

    def __init__(self) -> None:
        os.set_inheritable(SOCKET_FD, False)  # noqa: FBT003
        self._socket = socket.socket(fileno=SOCKET_FD)
        self._input = self._socket.makefile("rb", 65536)

    def receive(self) -> list[Any] | None:
        """The next message, None when the launcher is gone."""
        head = self._input.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            return None
        body = self._input.read(_LENGTH.unpack(head)[0])
        return cast("list[Any]", json.loads(body.decode()))

    def send(self, *message: Any) -> None:
        body = json.dumps(message).encode()
        self._socket.sendall(_LENGTH.pack(len(body)) + body)


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
    """Runs blocks one after the other, and their rows one at a time; `single` ends after the first."""

    def __init__(self, folder: str, single: bool) -> None:
        self._channel = Channel()
        self._single = single
        self._pid = os.getpid()
        self._sources = Sources(folder)
        self._log = os.dup(1)
        self._segment: str | None = None
        self._names: tuple[str, ...] = ()
        self._rows = 0
        self._first_rss = 0
        self._ticked_us = 0
        self._cpu = Cpu()

    def serve(self) -> None:
        """Run what comes until the launcher hangs up, or this process should be replaced."""
        self._channel.send("ready", _gather_orphans())
        while True:
            message = self._channel.receive()
            if message is None:
                return
            for block in message[1]:
                if self._sources.changed():
                    self._channel.send("stale")
                    return
                try:
                    page = Page(block["page"])
                except OSError:  # it was taken back whole
                    self._channel.send("end", block["attempt"])
                    continue
                with _metrics_file(block["metrics"]):
                    self._serve_block(block, page)
                page.close()
                self._channel.send("end", block["attempt"])
                if self._single or self._worn_out():
                    return

    def _serve_block(self, block: Json, page: Page) -> None:
        self._prepare(block)
        call = Call(block)
        log = os.fstat(self._log).st_size
        last_us = time.time_ns() // 1000
        page.set(page.LOG_BASE, log)
        page.set(page.FIRST_US, last_us)
        self._cpu.begin(last_us)
        for offset in range(page.count):
            began_us = time.time_ns() // 1000
            if not page.begin(offset, began_us, log):
                return
            if page.map[page.skips + offset]:
                page.end(offset, page.SKIPPED, (max(began_us - last_us, 0), 0, 0, 0))
                last_us = began_us
                continue
            outcome, value = call.run(offset)
            if os.getpid() != self._pid:
                _flush()
                os._exit(0)
            if self._single:
                _join_threads()
            _flush()
            done = _to_say(block, offset, outcome, value)
            if not self._single and _has_children():
                self._channel.send("left", block["attempt"])
                _wait_for_children()
                self._channel.send("empty", block["attempt"])
            before, log = log, os.fstat(self._log).st_size
            now_us = max(time.time_ns() // 1000, began_us)
            took_us = now_us - began_us
            if took_us >= BRIEF_US or offset == 0:
                page.set(page.RSS_KIB, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
            cpu_us = self._cpu.of_row(now_us, took_us)
            _write_down(page, offset, done, (max(began_us - last_us, 0), took_us, cpu_us, max(log - before, 0)))
            last_us = now_us
            if now_us - self._ticked_us >= TICK_US:
                self._ticked_us = now_us
                self._channel.send("tick", block["attempt"])
        self._rows += page.count
        self._sources.note()

    def _prepare(self, block: Json) -> None:
        """What all rows of the block share."""
        resource.setrlimit(RLIMIT_RTTIME, (block["cookie"], resource.RLIM_INFINITY))
        for name in self._names:
            if name not in block["env"]:
                os.environ.pop(name, None)
        os.environ.update(block["env"])
        self._names = tuple(block["env"])
        if block["segment"] != self._segment:
            self._segment = block["segment"]
            if self._segment:
                self._log = _redirect(self._segment, self._log)

    def _worn_out(self) -> bool:
        if self._rows >= ROWS_A_LIFE:
            return True
        with open("/proc/self/statm") as file:
            rss = int(file.read().split()[1]) * mmap.PAGESIZE
        self._first_rss = self._first_rss or rss
        return rss > self._first_rss + GROWTH_BYTES_MAX


@contextlib.contextmanager
def _metrics_file(path: str) -> Generator[None, None, None]:
    """Let ORCHCTL_METRICS_FD name a descriptor of the report, if there is one. User code may have closed it, and its
    number may stand for another file by now, which is not ours to close."""
    if not path:
        yield
        return
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    os.set_inheritable(fd, True)  # noqa: FBT003
    opened = os.fstat(fd)
    os.environ["ORCHCTL_METRICS_FD"] = str(fd)
    yield
    os.environ.pop("ORCHCTL_METRICS_FD", None)
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(fd), opened):
            os.close(fd)


def _keep_result(path: str, value: Any, done: Json) -> Json:
    """The value as a text, or in the file when it is long; one that is no JSON makes the attempt fail."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return failure(f"result is not JSON: {error}")
    size = len(text)
    if size > RESULT_BYTES_MAX:
        return failure(f"result of {size} bytes is longer than 1 MiB")
    if size <= RESULT_INLINE_BYTES:
        done["result"] = text
        return SUCCESS
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "w") as file:
            file.write(text)
    except OSError as error:
        return failure(f"result cannot be written: {error}")
    done["file"] = path
    return SUCCESS


def _to_say(block: Json, offset: int, outcome: Json, value: Any) -> Json:
    """What there is to say of how the row ended, beside that it succeeded: a result, or the outcome."""
    done: Json = {}
    shared = block["result"]  # the file that all rows of the block are told to write to
    if value is not None and outcome is SUCCESS:
        outcome = _keep_result(_own_result(block, offset), value, done)
    elif os.access(shared, os.F_OK):
        with contextlib.suppress(OSError):
            os.replace(shared, _own_result(block, offset))
            done["look"] = True
    if outcome is not SUCCESS or done.keys() - {"result"}:
        done["outcome"] = outcome
    return done


def _own_result(block: Json, offset: int) -> str:
    return os.path.join(os.path.dirname(block["result"]), f"{block['attempt'] + offset}.json")


def _write_down(page: Page, offset: int, done: Json, cells: tuple[int, int, int, int]) -> None:
    if max(cells) >= CELL_MAX:
        done = {"outcome": SUCCESS, **done, "cells": cells}
    if "outcome" in done:
        page.add_text(offset, json.dumps(done))
    elif done:
        page.add_text(offset, done["result"])
    page.end(offset, page.TEXT if "outcome" in done else page.RESULT if done else page.SUCCEEDED, cells)


def _redirect(path: str, previous: int) -> int:
    """Both outputs go to another file from now on. The descriptor of that file which user code does not touch."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    log = os.open(path, flags, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(previous)
    return log


class Call:
    """What the rows of a block run. The function is looked up once, by the first row that finds it."""

    def __init__(self, block: Json) -> None:
        self._block = block
        self._columns = block["columns"]
        self._function: Any = None

    def run(self, offset: int) -> tuple[Json, Any]:
        """The outcome of a row's code, and the value that it returned."""
        block = self._block
        try:
            if block["index"] >= 0:
                os.environ["ORCHCTL_INDEX"] = str(block["index"] + offset)
            os.chdir(block["dir"])
        except OSError as error:
            return failure(f"its folder cannot be entered: {error}"), None
        try:
            if block["script"]:
                _run_script(block["target"])
                return SUCCESS, None
            if self._function is None:
                self._function = _find(block["target"])
            if self._columns:
                row = {name: column[offset] for name, column in self._columns.items()}
                return SUCCESS, self._function(**block["args"], **row)
            return SUCCESS, self._function(**block["args"])
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


def _run_script(target: str) -> None:
    import runpy

    path = os.path.abspath(target)
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
        try:
            stream.flush()
        except Exception:  # noqa: S112 - user code may have put anything there
            continue


def _cpu_ns() -> int:
    """Of this process, and of those below it that it has waited for."""
    below = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time_ns() + round((below.ru_utime + below.ru_stime) * 1e9)


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
