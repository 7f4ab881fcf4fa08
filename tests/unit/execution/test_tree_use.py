"""Reading trees from /proc, keeping samples, and how often a tree is looked at."""

import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from engine.execution import proc
from engine.execution.meter import Watched
from engine.execution.samples import History, read
from engine.execution.tree_use import Sweep, Tree, grown_since
from engine.model.samples import SAMPLES_MOST, Sample, packed, samples_path, unpacked

MIB = 2**20


def entry(pid: int, **limits: int) -> dict[str, Any]:
    return {
        "number": 1, "pid": pid, "parent": os.getpid(), "at": time.time_ns(), "cookie": 7, "leaf": "",
        "limits": limits, "dir": "/nowhere", "samples": "/nowhere/x.samples", "shared": False,
    }  # fmt: skip


class Ear:
    def __init__(self) -> None:
        self.heard: list[list[Any]] = []

    def send(self, message: list[Any]) -> None:
        self.heard.append(message)


@pytest.mark.parametrize("whole", [False, True])
def test_a_sweep_and_a_descent_find_the_same_tree(whole: bool) -> None:
    script = "import os, sys\nos.fork()\nos.fork()\nsys.stdout.write('x'); sys.stdout.flush(); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.read(4) == b"xxxx"
        use = Tree(entry(child.pid)).measure(Sweep(whole=whole), io=True)
        assert (use.processes, use.threads) == (4, 4)
        assert use.memory > 4 * MIB
        assert use.written_bytes >= 4
        child.communicate(b"")
    assert Tree(entry(child.pid)).measure(Sweep(whole=whole), io=True).processes == 0


def test_what_a_vanished_child_of_the_launcher_had_used_is_not_forgotten() -> None:
    tree = Tree(entry(1))
    parent = os.getpid()
    assert tree._sums({5: (parent, 100, 10, 1), 6: (5, 50, 5, 1)}) == [150, 15, 2]
    assert tree._sums({6: (parent, 60, 5, 1)}) == [160, 15, 2]
    assert tree._sums({}) == [160, 15, 2]


def test_of_a_worker_that_others_used_before_only_the_difference_counts() -> None:
    tree = Tree({**entry(1), "shared": True})
    assert tree._sums({5: (1, 1000, 10, 7)}) == [0, 0, 0]
    assert tree._sums({5: (1, 1400, 11, 9)}) == [400, 1, 2]


def test_a_folder_has_grown_by_what_was_changed_since(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(bytes(5 * MIB))
    since = time.time_ns() + 50_000_000
    while time.time_ns() < since + 50_000_000:
        pass
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "new").write_bytes(b"x" * 2 * MIB)
    (tmp_path / "link").symlink_to("/")
    assert 2 * MIB <= grown_since(str(tmp_path), since) < 3 * MIB
    assert grown_since(str(tmp_path / "nothing"), 0) == 0


def look(watched: Watched, use: Any, past_s: float) -> float:
    """A look at a tree that uses so much, so long after the last; the pause until the next."""
    watched._tree = cast(Any, _Uses(use))
    now = time.monotonic()
    watched.look(Sweep(whole=False), now, watched._at + round(past_s * 1e9))
    return watched.due - now


class _Uses:
    def __init__(self, use: Any) -> None:
        self.use = use

    def measure(self, _sweep: Sweep, *, io: bool) -> Any:
        return self.use


def test_a_tree_is_looked_at_sooner_the_faster_it_comes_near_its_limit(tmp_path: Path) -> None:
    from engine.execution.tree_use import Use

    ear = Ear()
    given = {**entry(1, memory=1000 * MIB), "samples": str(tmp_path / "x")}
    watched = Watched(cast(Any, ear), given)
    pauses = [look(watched, Use(memory=used * MIB, processes=1), 0.1) for used in (100, 500, 800, 990)]
    assert all(later < sooner for sooner, later in pairwise(pauses))
    assert pauses[0] < 0.5
    assert pauses[-1] < 0.03
    assert ear.heard == []
    watched._grew -= 5  # seconds pass in which it stays as it is
    assert look(watched, Use(memory=900 * MIB, processes=1), 1.0) > 0.2


def test_what_grows_fast_is_ended_at_once_and_what_grows_slowly_is_asked_first(tmp_path: Path) -> None:
    from engine.execution.tree_use import Use

    ear = Ear()
    watched = Watched(cast(Any, ear), {**entry(1, memory=1000 * MIB), "samples": str(tmp_path / "x")})
    look(watched, Use(memory=999 * MIB, processes=1), 1.0)
    look(watched, Use(memory=1001 * MIB, processes=1), 1.0)
    look(watched, Use(memory=1002 * MIB, processes=1), 1.0)
    assert [(message[2], message[-1]) for message in ear.heard] == [("memory", False)]
    look(watched, Use(memory=1500 * MIB, processes=1), 1.0)
    assert ear.heard[-1][:5] == ["over", 1, "memory", 1500 * MIB, 1000 * MIB]
    assert ear.heard[-1][-1] is True
    assert "grew by 498 MiB/s and was looked at 1000 ms before" in ear.heard[-1][5]
    bomb = Watched(cast(Any, ear), {**entry(1, processes=10), "samples": str(tmp_path / "y")})
    look(bomb, Use(processes=11), 1.0)
    assert ear.heard[-1][-1] is True


def sample(at: int) -> Sample:
    return Sample(at, at * 10, at, 0, 0, 1, 1)


def test_samples_are_thinned_out_evenly_however_long_it_takes(tmp_path: Path) -> None:
    path = str(tmp_path / samples_path(1, "a", 3, 2))
    os.makedirs(os.path.dirname(path))
    history = History(path)
    for at in range(1, 3):
        history.add(sample(at), at)
    assert read(path) == []  # it may still be a short one
    for at in range(3, 2000):
        if history.due(at):
            history.add(sample(at), at)
    kept = [one.at_ns for one in read(path)]
    assert SAMPLES_MOST / 2 <= len(kept) <= SAMPLES_MOST
    assert (history.period_s, kept[-1] > 1990, kept[0] < 20) == (4.0, True, True)
    assert {after - before for before, after in pairwise(kept)} <= {2, 3, 4}
    again = History(path)
    again.add(sample(3000), 3000)
    assert read(path)[-1].at_ns == 3000


def test_a_sample_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    assert unpacked(packed([sample(1), sample(2)])[:-1]) == [sample(1)]
    assert read(str(tmp_path / "none")) == []


def test_the_cpu_time_and_threads_of_a_process_are_in_its_stat() -> None:
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    found = proc.stat(os.getpid())
    assert found is not None
    assert found.threads >= 1
    assert found.cpu_ticks >= 5
