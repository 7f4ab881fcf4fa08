"""The meter: watches the trees of attempts, tells their launchers which are over a quota, and keeps what they used.

Each tree has its own time of the next look: half of what it would need to reach a limit at the rate at which it grows,
or at the rate that is feared of such a thing, less often while it stays as it is. So a quota is overshot by at most the
rate of growth times the time between two looks, and the outcome says both. Trees that are due together are read in one
sweep. All of this takes at most a twentieth of a core; beyond that the looks come later. With nothing to watch the
meter sleeps.
"""

import os
import time
from pathlib import Path
from typing import Any, NoReturn

import psutil

from engine.execution.attempt import looked_text
from engine.execution.loop import Alarm, Loop, Peer
from engine.execution.places import Places
from engine.execution.resident import begin, serve_until_stopped
from engine.execution.samples import History
from engine.execution.tree_use import Sweep, Tree, Use, cpu_of, memory_of
from engine.execution.wire import Message
from engine.model.samples import Sample

_SHARE_OF_CORE = 0.045
"""For the looks; the loop around them takes some of the twentieth too."""
_FIRST_S = 0.02
_LEAST_S = 0.02
_MOST_S = 1.0
_TOGETHER = 8
"""From so many trees on one sweep over all processes is cheaper than a descent for each."""
_CALM = 0.02
"""Growth between two looks, as a part of the limit, that counts as none."""
_CALM_MOST = 8.0
"""What has not grown for seconds is feared less by as many times."""
_MIB = 2**20
_FEARED = {
    "memory": 2**30, "processes": 1_000, "threads": 5_000, "open_files": 10_000, "disk": 2**30,
    "cpu_time": (os.cpu_count() or 1) * 10**9,
}  # fmt: skip
"""How fast each may grow in a second, before it is known how fast it does."""
_AT_ONCE = ("processes", "threads")
_SOON = 0.1
"""What grows by more than this part of its limit in a second is ended at once, and what is beyond it by as much."""


class Watched:
    """One attempt that is measured."""

    def __init__(self, peer: Peer, entry: dict[str, Any]) -> None:
        self.peer = peer
        self.number: int = entry["number"]
        self.limits: dict[str, int] = {name: limit for name, limit in entry["limits"].items() if name in _FEARED}
        self.history = History(entry["samples"])
        self.due = time.monotonic() + _FIRST_S
        self._tree = Tree(entry)
        self._use = Use()
        self._at = entry["at"]
        self._grew = time.monotonic()
        self._told: set[tuple[str, bool]] = set()

    def look(self, sweep: Sweep, now: float, at_ns: int) -> None:
        """Measure it, keep a sample, tell what is over its limit, and set the time of the next look."""
        sampled = self.history.due(now)
        use = self._tree.measure(sweep, io=sampled)
        if not use.processes:
            self.due = now + _MOST_S  # it has ended, and its launcher is about to say so
            return
        past_s = max((at_ns - self._at) / 1e9, 1e-3)
        over = [name for name, limit in self.limits.items() if getattr(use, name) > limit]
        if sampled or over:
            self.history.add(_sample(use, at_ns), now)
        for name in over:
            self._tell(name, use, past_s)
        self.due = now + self._pause(use, past_s, now)
        self._use, self._at = use, at_ns

    def _tell(self, name: str, use: Use, past_s: float) -> None:
        used, limit = getattr(use, name), self.limits[name]
        rate = max(0.0, self._growth(name, use) / past_s)
        fast = name != "cpu_time" and (rate > limit * _SOON or used > limit * (1 + _SOON))
        at_once = name in _AT_ONCE or fast
        if (name, at_once) not in self._told:
            self._told.add((name, at_once))
            self.history.save()
            self.peer.send(["over", self.number, name, used, limit, _why(name, rate, past_s), at_once])

    def _growth(self, name: str, use: Use) -> int:
        return getattr(use, name) - getattr(self._use, name)

    def _pause(self, use: Use, past_s: float, now: float) -> float:
        """Until the next look."""
        nearest = _MOST_S
        if any(self._growth(name, use) > limit * _CALM for name, limit in self.limits.items()):
            self._grew = now
        calm = min(max(now - self._grew, 1.0), _CALM_MOST)
        for name, limit in self.limits.items():
            feared = max(self._growth(name, use) / past_s, _FEARED[name] / calm)
            nearest = min(nearest, max(limit - getattr(use, name), 0) / feared / 2)
        return min(max(nearest, _LEAST_S), self.history.period_s)


def _why(name: str, rate: float, past_s: float) -> str:
    """How far beyond the limit it may have come between two looks."""
    grew = f"{rate / _MIB:.3g} MiB/s" if name in ("memory", "disk") else f"{rate:.3g}/s"
    return "" if name == "cpu_time" else looked_text(grew, past_s)


def _sample(use: Use, at_ns: int) -> Sample:
    return Sample(at_ns, use.memory, use.cpu_time, use.read_bytes, use.written_bytes, use.processes, use.threads)


class Meter:
    """What each launcher wants watched, and the looks at all of it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._watched: dict[Peer, dict[int, Watched]] = {}
        self._alarm = Alarm(loop, self._look)
        self._owed_s = 0.0
        psutil.cpu_percent(None)

    def on_message(self, peer: Peer, message: Message) -> None:
        """`watch` and `forget` from launchers; `host`, `memory` and `cpu` from engines; `shutdown` from the keeper."""
        kind = message[0]
        if kind == "watch":
            mine = self._watched.setdefault(peer, {})
            for entry in message[1]:
                mine[entry["number"]] = Watched(peer, entry)
            self._alarm.within(_FIRST_S)
        elif kind == "forget":
            self._watched.get(peer, {}).pop(message[1], None)
        elif kind == "host":
            peer.send(["host", host_use()])
        elif kind == "memory":
            peer.send(["memory", [[number, memory_of(pid)] for number, pid in message[1]]])
        elif kind == "cpu":
            peer.send(["cpu", self._cpu_of(message[1])])
        elif kind == "shutdown":
            peer.send(["bye"])
            self._loop.stop()

    def on_close(self, peer: Peer) -> None:
        self._watched.pop(peer, None)

    def _cpu_of(self, pids: list[int]) -> int:
        """It is a look as well: the next one comes as much later."""
        began = time.thread_time()
        used_ns = cpu_of(pids, Sweep(whole=sum(map(len, self._watched.values())) >= _TOGETHER))
        self._owed_s += time.thread_time() - began
        return used_ns

    def _look(self) -> None:
        now, began = time.monotonic(), time.thread_time()
        watched = [one for mine in self._watched.values() for one in mine.values()]
        ripe = [one for one in watched if one.due <= now + _LEAST_S / 4]
        sweep = Sweep(whole=len(ripe) >= _TOGETHER)
        for one in ripe:
            one.look(sweep, time.monotonic(), time.time_ns())
        if watched:
            rest_s = (time.thread_time() - began + self._owed_s) * (1 / _SHARE_OF_CORE - 1)
            self._owed_s = 0.0
            self._alarm.within(max(min(one.due for one in watched) - time.monotonic(), rest_s, 0.001))


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
