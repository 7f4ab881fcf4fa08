"""Ending the world of processes when there is no engine to do it; synchronous, standard library only."""

import contextlib
import os
import signal
import time
from pathlib import Path

from engine.execution import cgroups, proc, spool, trees, wire
from engine.execution.places import Places
from engine.execution.resident import holder_of

_ANSWER_S = 30.0
_GONE_S = 5.0
_PAUSE_S = 0.01


class StillRunning(Exception):
    """Attempts run, and were not to be killed; `count` of them are of the launcher that said so first."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} attempts still run")
        self.count = count


def stop_all(home: Path, run_dir: Path, kill: bool) -> list[int]:
    """End keeper, launchers, workers and meter of a state folder, with or without an engine. The pids that ended.

    Attempts that run are ended too with `kill`; without it they make this raise StillRunning, and all goes on.
    """
    places = Places(home.absolute(), run_dir.absolute(), home.absolute())
    living = _holders(places)
    before = {pid: proc.start_ticks(pid) for pid in proc.descendants(living)}
    if "keeper" in _names(places):
        _ask_keeper(places, kill)
    _end_rest(places, kill)
    return sorted(pid for pid, ticks in before.items() if not proc.lives(pid, ticks))


def _names(places: Places) -> dict[str, tuple[int, int]]:
    """Who lives: name -> (pid, start). What a lock file says counts only while that very process is there."""
    found: dict[str, tuple[int, int]] = {}
    for path in places.state.glob("*.lock"):
        pid, ticks = holder_of(path.read_bytes())
        if pid and proc.lives(pid, ticks):
            found[path.stem] = (pid, ticks)
    return found


def _holders(places: Places) -> list[int]:
    return [pid for pid, _ in _names(places).values()]


def _ask_keeper(places: Places, kill: bool) -> None:
    with contextlib.suppress(OSError, wire.WireError):
        answer = wire.request(places.socket("keeper"), ["shutdown", kill], _ANSWER_S)
        if answer[0] == "busy":
            raise StillRunning(int(answer[1]))
    _wait_for_end(places, {"keeper"})


def _end_rest(places: Places, kill: bool) -> None:
    """Without a keeper: launchers are asked one by one, the meter is killed, and cookies show what is left."""
    for name, (pid, ticks) in _names(places).items():
        if name.startswith("launcher-"):
            with contextlib.suppress(OSError, wire.WireError):
                answer = wire.request(places.socket(name), ["shutdown", kill], _ANSWER_S)
                if answer[0] == "busy":
                    raise StillRunning(int(answer[1]))
        else:
            proc.signal_same(pid, ticks, signal.SIGKILL)
    _wait_for_end(places, set(_names(places)))
    instances = {spool.instance_of(places.spool(slot)) for slot in places.slots()} - {0}
    for instance in instances:
        deadline = time.monotonic() + _GONE_S
        while time.monotonic() < deadline:
            left = trees.sweep(instance, proc.marked(instance), set(), {os.getpid()})
            if not left + cgroups.clear([instance]):
                break
            time.sleep(_PAUSE_S)


def _wait_for_end(places: Places, names: set[str]) -> None:
    deadline = time.monotonic() + _GONE_S
    while names & _names(places).keys() and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
    for name in names & _names(places).keys():
        pid, ticks = _names(places)[name]
        proc.signal_same(pid, ticks, signal.SIGKILL)
