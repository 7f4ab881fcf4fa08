"""The meter: measures the trees of attempts that have quotas, and the host when somebody asks.

Launchers name attempts with a memory or processes quota; one sweep measures them all and answers `over` for those that
exceed one, and the launcher ends them. The pause between sweeps follows the attempt that is nearest to its limit, so
that memory can be overshot by at most its growth rate times the pause; each process is also bound by RLIMIT_DATA from
the start. With nothing to watch the meter sleeps. Resident sizes count shared pages once per process, so near the
limit the proportional size decides.
"""

import os
from pathlib import Path
from typing import Any, NoReturn

import psutil

from engine.execution import proc
from engine.execution.loop import Loop, Peer
from engine.execution.places import Places
from engine.execution.resident import begin, serve_until_stopped
from engine.execution.wire import Message

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_FIRST_S = 0.05
_PAUSES = ((0.7, 0.1), (0.4, 0.25), (0.0, 1.0))


class Meter:
    """What each launcher wants watched, and the sweeps over all of it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._watched: dict[Peer, dict[int, list[Any]]] = {}
        self._timer_set = False
        self._over: set[tuple[int, int]] = set()
        psutil.cpu_percent(None)

    def on_message(self, peer: Peer, message: Message) -> None:
        """`watch` and `forget` from launchers; `host` and `memory` from engines; `shutdown` from the keeper."""
        kind = message[0]
        if kind == "watch":
            mine = self._watched.setdefault(peer, {})
            mine.update({entry[0]: entry for entry in message[1]})
            self._sweep_in(_FIRST_S)
        elif kind == "forget":
            self._watched.get(peer, {}).pop(message[1], None)
        elif kind == "host":
            peer.send(["host", host_use()])
        elif kind == "memory":
            peer.send(["memory", [[number, measure(pid, 0)[0]] for number, pid in message[1]]])
        elif kind == "shutdown":
            peer.send(["bye"])
            self._loop.stop()

    def on_close(self, peer: Peer) -> None:
        self._watched.pop(peer, None)

    def _sweep_in(self, pause_s: float) -> None:
        if not self._timer_set:
            self._timer_set = True
            self._loop.later(pause_s, self._sweep)

    def _sweep(self) -> None:
        self._timer_set = False
        nearest = 0.0
        for peer, entries in list(self._watched.items()):
            strays = _strays_by_cookie(entries)
            for number, pid, cookie, memory, processes in list(entries.values()):
                used, count = measure(pid, memory, strays.get(cookie, ()))
                nearest = max(nearest, used / memory if memory else 0.0, count / processes if processes else 0.0)
                if memory and used > memory:
                    peer.send(["over", number, "memory", used, memory])
                elif processes and count > processes:
                    peer.send(["over", number, "processes", count, processes])
        if any(self._watched.values()):
            self._sweep_in(next(pause for share, pause in _PAUSES if nearest >= share))


def _strays_by_cookie(entries: dict[int, list[Any]]) -> dict[int, list[int]]:
    """Processes whose parent died are children of the attempts' launcher: the parent of their first processes."""
    found: dict[int, list[int]] = {}
    parents = {entry[1]: proc.stat(entry[1]) for entry in entries.values()}
    launchers = {known.ppid for known in parents.values() if known is not None and known.ppid > 1}
    for launcher in launchers:
        for pid in proc.children(launcher):
            if pid not in parents:
                found.setdefault(proc.read_cookie(pid), []).append(pid)
    return found


def measure(pid: int, limit_bytes: int, strays: Any = ()) -> tuple[int, int]:
    """Bytes of memory that the tree below the pid uses, and the number of its processes; (0, 0) when it is gone."""
    members = proc.descendants([pid, *strays])
    known = [(member, found.rss_pages * _PAGE_BYTES) for member in members if (found := proc.stat(member))]
    resident = sum(size for _, size in known)
    if limit_bytes and resident > limit_bytes:
        resident = sum(_proportional(member, size) for member, size in known)
    return resident, len(known)


def _proportional(pid: int, resident: int) -> int:
    """Shared pages divided among those who share them; the resident size where it cannot be read."""
    try:
        return int(psutil.Process(pid).memory_full_info().pss)
    except (psutil.Error, OSError):
        return resident


def host_use() -> dict[str, Any]:
    """CPU in percent of the whole host since the last call, memory in bytes, the three load averages."""
    memory = psutil.virtual_memory()
    return {
        "cpu_percent": psutil.cpu_percent(None),
        "cpus": psutil.cpu_count() or 1,
        "memory_total_bytes": memory.total,
        "memory_available_bytes": memory.available,
        "load": list(os.getloadavg()),
    }


def main(words: list[str]) -> NoReturn:
    """`meter HOME RUN_DIR LOGS`: serve until told to end; exit 3 when another meter lives."""
    places = Places(Path(words[0]), Path(words[1]), Path(words[2]))
    begin(places.lock("meter"))
    loop = Loop()
    meter = Meter(loop)
    serve_until_stopped(loop, places.socket("meter"), meter.on_message, meter.on_close)
