"""Leaves of attempts: made, gathered, frozen, killed and removed in real control groups, absent where none can be."""

import subprocess
from collections.abc import Iterator

import pytest

from engine.execution import proc
from engine.execution.cgroups import Groups, Leaf, clear, own_group

INSTANCE = 0xF00D1E
here = pytest.mark.skipif(not own_group(), reason="no control group of version 2 can be made here")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sh", "-c", "sleep 60 & sleep 61"]) as child:
        yield child
        for pid in proc.descendants([child.pid]):
            proc.signal_same(pid, proc.start_ticks(pid), 9)
    clear([INSTANCE])


def until(condition: object) -> None:
    late = proc.ticks_now() + 500
    while not condition():  # type: ignore[operator]
        assert proc.ticks_now() < late


@here
def test_a_tree_is_gathered_in_a_leaf_and_killed_with_it(sleeper: subprocess.Popen[bytes]) -> None:
    until(lambda: len(proc.descendants([sleeper.pid])) == 3)
    groups = Groups(4)
    leaf = groups.make(INSTANCE, 12)
    assert leaf is not None
    assert groups.make(INSTANCE, 12) is None  # it is there already
    assert groups.gather(leaf, lambda: proc.descendants([sleeper.pid]))
    assert set(leaf.members()) == set(proc.descendants([sleeper.pid]))
    assert not leaf.remove()
    assert leaf.freeze(frozen=True)
    until(lambda: leaf.number("cgroup.events", "frozen") == 1)
    assert leaf.freeze(frozen=False)
    assert leaf.number("cpu.stat", "usage_usec") >= 0
    assert clear([INSTANCE], 5) == 0  # that is another launcher's slot
    assert len(leaf.members()) == 3
    until(lambda: clear([INSTANCE], 4) == 0)
    assert sleeper.wait(5) == -9
    assert leaf.members() == []


@here
def test_what_cannot_be_gathered_is_let_be(sleeper: subprocess.Popen[bytes]) -> None:
    groups = Groups(4)
    leaf = groups.make(INSTANCE, 13)
    assert leaf is not None
    groups._own = "/nowhere"
    assert not groups.gather(Leaf("/nowhere"), lambda: [sleeper.pid])
    assert not groups.gather(leaf, list)
    assert leaf.members() == []
    assert leaf.remove()
    assert sleeper.poll() is None


@here
def test_a_launcher_goes_into_a_leaf_and_comes_back() -> None:
    groups = Groups(4)
    leaf = groups.make(INSTANCE, 14)
    assert leaf is not None
    assert groups.enter(leaf)
    try:
        inside = subprocess.run(["cat", "/proc/self/cgroup"], capture_output=True, text=True, check=True).stdout
    finally:
        groups.leave()
    assert f"orchctl-{INSTANCE:x}/4-14" in inside
    assert leaf.remove()
    clear([INSTANCE])


def test_a_leaf_that_is_not_there_holds_nothing(tmp_path: object) -> None:
    leaf = Leaf(f"{tmp_path}/none")
    assert leaf.members() == []
    assert leaf.limit(1, 1, 1) == set()
    assert not leaf.freeze(frozen=True)
    assert leaf.number("memory.peak") == 0
    leaf.kill()
    assert leaf.remove()
