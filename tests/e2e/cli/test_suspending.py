"""CPUs change hands while an attempt stands still, by real processes on a host with one CPU."""

import time
from collections.abc import Generator
from datetime import datetime

import pytest

from engine.execution import proc
from tests.support.home import Home, home, wait_for

pytestmark = pytest.mark.e2e

LOW = """
name: low
tasks:
  train:
    run: [python3, -c, "import os\\nwhile not os.path.exists('enough'): pass"]
    priority: -1
    preemption: suspend
    retry: 0
"""
HIGH = """
name: high
tasks:
  serve: {run: 'until test -e open; do sleep 0.02; done', priority: 5}
"""
QUIET_S = 0.3


@pytest.fixture
def place() -> Generator[Home]:
    with home("[host]\ncpus = 1\n") as found:
        found.start()
        found.file("low.yaml", LOW)
        found.file("high.yaml", HIGH)
        yield found


def used(pid: int) -> int:
    """Clock ticks of CPU that the process has used."""
    found = proc.stat(pid)
    return found.cpu_ticks if found is not None else -1


def spins(place: Home, run: str) -> int:
    """Wait until the run's task uses CPU; its process."""
    wait_for(lambda: place.rows("tasks", run)[0]["pid"], "the task to run")
    pid = place.rows("tasks", run)[0]["pid"]
    before = used(pid)
    wait_for(lambda: used(pid) > before, "the task to use CPU")
    return pid


def uses_nothing(pid: int) -> None:
    """Wait until a while passes in which the process uses no CPU."""
    seen, since = used(pid), time.monotonic()

    def quiet() -> bool:
        nonlocal seen, since
        if used(pid) != seen:
            seen, since = used(pid), time.monotonic()
        return time.monotonic() - since > QUIET_S

    wait_for(quiet, "the task to use no CPU")
    assert proc.stat(pid) is not None, "it is there, and stands still"


def seconds(first: str, second: str) -> float:
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()


def kinds(place: Home, run: str) -> list[str]:
    return [reason["kind"] for row in place.rows("explain", run) for reason in row["reasons"]]


def test_a_higher_class_gets_the_cpu_within_a_second_and_the_lower_one_goes_on_after(place: Home) -> None:
    low = place.rows("submit", "low.yaml")[0]["run"]
    pid = spins(place, low)
    high = place.rows("submit", "high.yaml")[0]["run"]
    wait_for(lambda: place.rows("tasks", high)[0]["started_at"], "the higher class to run")
    (run,) = place.rows("show", high)
    assert seconds(run["queued_at"], place.rows("tasks", high)[0]["started_at"]) < 1
    uses_nothing(pid)
    assert f"suspended for {high} serve (higher priority)" in place.ok("explain", low)
    assert f"suspended for {high} serve" in place.ok("tasks", low)
    assert "gave back cpu 1.0" in place.ok("resources")
    place.kill_engine()
    place.start()
    wait_for(lambda: kinds(place, low) == ["suspended", "capacity"], "the new engine to know of it")
    uses_nothing(pid)
    place.file("open", "")
    assert place.call("show", high, "-f").returncode == 0
    stood = used(pid)
    wait_for(lambda: used(pid) > stood, "the lower class to use CPU again")
    place.file("enough", "")
    assert place.call("show", low, "-f").returncode == 0
    (attempt,) = place.rows("tasks", low, "train", "--attempts")
    assert (attempt["outcome"], attempt["pid"]) == ("succeeded", pid)
    assert attempt["suspended_seconds"] > QUIET_S


def test_others_have_the_cpu_of_a_paused_task_and_it_waits_for_it_when_it_is_resumed(place: Home) -> None:
    low = place.rows("submit", "low.yaml")[0]["run"]
    pid = spins(place, low)
    place.ok("pause", low, "train")
    uses_nothing(pid)
    assert kinds(place, low) == ["paused"]
    place.file("high.yaml", HIGH.replace("priority: 5", "priority: -2"))
    other = place.rows("submit", "high.yaml")[0]["run"]
    wait_for(lambda: place.rows("tasks", other)[0]["status"] == "running", "the other to run")
    place.ok("resume", low, "train")
    assert kinds(place, low) == ["resuming", "capacity"]
    assert "goes on by itself" in place.call("resume", low, "train").stderr
    uses_nothing(pid)
    place.file("open", "")
    stood = used(pid)
    wait_for(lambda: used(pid) > stood, "the task to go on")
    place.file("enough", "")
    assert place.call("show", low, "-f").returncode == 0
    assert place.rows("tasks", low)[0]["attempts"] == 1
