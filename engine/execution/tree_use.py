"""What a tree of processes uses, read from /proc.

Members are those of the attempt's leaf where it has one; else what descends from its first process, and those children
of its launcher that carry its cookie, whose parents have died. Many trees are read from one `Sweep` over /proc, few by
descent. CPU time and bytes written are those of the living and of all they have waited for; what a process had used
that the launcher waited for is remembered here, so that the sums never go back.
"""

import os
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import psutil

from engine.execution import proc
from engine.execution.cgroups import Leaf

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
_FILES_MAX = 50_000
_LOOK_S = 0.1
_BLOCK_BYTES = 512


class Sweep:
    """Reads processes; with `whole`, all of the host at once and only once."""

    def __init__(self, *, whole: bool) -> None:
        self._known: dict[int, proc.Stat | None] = {}
        self._children: dict[int, list[int]] | None = None
        self._strays: dict[int, dict[int, list[int]]] = {}
        if whole:
            self._children = {}
            for pid in proc.pids():
                found = self._known[pid] = proc.stat(pid)
                if found is not None:
                    self._children.setdefault(found.ppid, []).append(pid)

    def stat(self, pid: int) -> proc.Stat | None:
        if pid not in self._known:
            self._known[pid] = proc.stat(pid)
        return self._known[pid]

    def _below(self, pid: int) -> list[int]:
        return proc.children(pid) if self._children is None else self._children.get(pid, [])

    def tree(self, roots: Iterable[int]) -> list[int]:
        """The roots and all that is below them."""
        found: list[int] = []
        waiting = list(roots)
        while waiting:
            found += waiting
            waiting = [child for pid in waiting for child in self._below(pid)]
        return found

    def with_children(self, pids: Iterable[int]) -> list[int]:
        """The processes and their children, each once."""
        found = dict.fromkeys(pids)
        for pid in list(found):
            found.update(dict.fromkeys(self._below(pid)))
        return list(found)

    def strays(self, parent: int, cookie: int, root: int) -> list[int]:
        """The children of a launcher that carry the cookie, but for the attempt's first process."""
        by_cookie = self._strays.get(parent)
        if by_cookie is None:
            by_cookie = self._strays[parent] = {}
            for pid in self._below(parent):
                by_cookie.setdefault(proc.read_cookie(pid), []).append(pid)
        return [pid for pid in by_cookie.get(cookie, ()) if pid != root]


class Use(NamedTuple):
    """What a tree uses now, or (CPU, bytes) has used so far."""

    memory: int = 0
    processes: int = 0
    threads: int = 0
    cpu_time: int = 0
    open_files: int = 0
    disk: int = 0
    read_bytes: int = 0
    written_bytes: int = 0


class Tree:
    """One attempt's tree; `entry` is what the launcher says of it (see `metering`)."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self.entry = entry
        self._leaf = Leaf(entry["leaf"]) if entry["leaf"] else None
        self._seen: dict[int, tuple[int, int, int, int]] = {}
        self._gone = [0, 0, 0]
        self._base: list[int] | None = None

    def measure(self, sweep: Sweep, *, io: bool) -> Use:
        """With `io` also what was read and written, which costs one more look at each process."""
        pid, limits = self.entry["pid"], self.entry["limits"]
        members = self._leaf.members() if self._leaf is not None else []
        if members and "processes" in limits:
            members = sweep.with_children(members)  # the dead that nobody waited for are not in the group any more
        members = members or sweep.tree([pid, *sweep.strays(self.entry["parent"], self.entry["cookie"], pid)])
        known = [(member, found) for member in members if (found := sweep.stat(member)) is not None]
        io = io or "disk" in limits
        seen: dict[int, tuple[int, int, int, int]] = {}
        for member, found in known:
            moved = _io(member) if io else self._seen.get(member, _NONE)[2:]
            seen[member] = (found.ppid, found.cpu_ticks * _TICK_NS, *moved)
        cpu_ns, read, written = self._sums(seen)
        if self._leaf is not None:
            cpu_ns = max(cpu_ns, self._leaf.number("cpu.stat", "usage_usec") * 1000)
        return Use(
            memory=self._memory(known),
            processes=len(known),
            threads=sum(found.threads for _, found in known),
            cpu_time=cpu_ns,
            open_files=sum(_open_files(member) for member, _ in known) if "open_files" in limits else 0,
            disk=self._disk(written),
            read_bytes=read,
            written_bytes=written,
        )

    def _sums(self, seen: dict[int, tuple[int, int, int, int]]) -> list[int]:
        """CPU time and bytes since the first look, or since the start of a process that is the attempt's own."""
        for pid, (ppid, *used) in self._seen.items():
            if pid not in seen and ppid == self.entry["parent"]:
                self._gone = [before + more for before, more in zip(self._gone, used, strict=True)]
        self._seen = seen
        sums = [gone + sum(one[at + 1] for one in seen.values()) for at, gone in enumerate(self._gone)]
        if self._base is None:
            self._base = sums if self.entry["shared"] else [0, 0, 0]
        return [max(0, value - base) for value, base in zip(sums, self._base, strict=True)]

    def _memory(self, known: list[tuple[int, proc.Stat]]) -> int:
        """Resident sizes count shared pages once for each process, so beyond the limit proportional sizes decide."""
        limit = self.entry["limits"].get("memory", 0)
        resident = sum(found.rss_pages for _, found in known) * _PAGE_BYTES
        if limit and resident > limit and len(known) > 1:
            resident = sum(_proportional(pid, found.rss_pages * _PAGE_BYTES) for pid, found in known)
        return resident

    def _disk(self, written: int) -> int:
        """What was added to the attempt's folder, and at most what the attempt has written itself; only the latter
        while that is within the quota."""
        limit = self.entry["limits"].get("disk", 0)
        return min(written, grown_since(self.entry["dir"], self.entry["at"])) if limit and written > limit else 0


_NONE = (0, 0, 0, 0)


def _io(pid: int) -> tuple[int, int]:
    """Bytes read, and written to anything, so far; of the process and of those below it that it has waited for."""
    try:
        with open(f"/proc/{pid}/io", "rb", buffering=0) as file:
            values = [int(line.split()[1]) for line in file.read(512).splitlines()]
    except (OSError, ValueError, IndexError):
        return 0, 0
    return (values[0], max(values[1], values[5])) if len(values) > 5 else (0, 0)


def _open_files(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def _proportional(pid: int, resident: int) -> int:
    """Shared pages divided among those who share them; the resident size where it cannot be read."""
    try:
        return int(psutil.Process(pid).memory_full_info().pss)
    except (psutil.Error, OSError):
        return resident


def grown_since(folder: str, since_ns: int) -> int:
    """Bytes on disk of the files below a folder that were changed since then, as far as a tenth of a second reaches."""
    until = time.monotonic() + _LOOK_S
    total = seen = 0
    waiting = [folder]
    while waiting and seen < _FILES_MAX and time.monotonic() < until:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    seen += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                        continue
                    found = entry.stat(follow_symlinks=False)
                    if found.st_ctime_ns >= since_ns:
                        total += found.st_blocks * _BLOCK_BYTES
        except OSError:
            continue
    return total


def cpu_of(pids: Iterable[int], sweep: Sweep) -> int:
    """CPU time in ns that the trees below these processes have used so far, with what they have waited for."""
    members = set(sweep.tree(pids))
    return sum(found.cpu_ticks for one in members if (found := sweep.stat(one))) * _TICK_NS


def memory_of(pid: int) -> int:
    """Resident bytes of the tree below a process; 0 when it is gone."""
    sweep = Sweep(whole=False)
    return sum(found.rss_pages for one in sweep.tree([pid]) if (found := sweep.stat(one))) * _PAGE_BYTES
