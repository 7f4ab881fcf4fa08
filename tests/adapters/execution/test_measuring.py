"""What real attempts report by a descriptor and by their log, and the noise that is seen around their trials."""

import os
import subprocess
import sys
from collections.abc import Generator
from typing import Any

import pytest

from engine.core.events import AttemptExited, Measured
from engine.model.campaign import Campaign, Metric, NoiseLimits
from engine.model.status import OutcomeKind

pytestmark = pytest.mark.trio
REPORTS = Campaign(metrics=(Metric("bytes"), Metric("rate", regex=r"rate (\S+)")))
TRIAL = Campaign(trials=1)
LOOK_S = NoiseLimits().look_ns / 1e9


@pytest.fixture
def burner() -> Generator[None]:
    """Somebody else who keeps one CPU busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def measured(world: Any, attempt: int) -> Measured:
    ended = await world.end(attempt)
    assert isinstance(ended, AttemptExited)
    assert ended.outcome.kind is OutcomeKind.SUCCEEDED
    assert ended.measured is not None
    assert list(world.home.glob(f"**/{attempt}.metrics")) == []
    return ended.measured


async def test_a_process_reports_by_the_descriptor_and_by_its_log(world: Any) -> None:
    script = "echo '{\"bytes\": 5}' >&$ORCHCTL_METRICS_FD; echo rate 2.5; (echo '{\"more\": 1}' >&$ORCHCTL_METRICS_FD)"
    found = await measured(world, world.start(script, campaign=REPORTS))
    assert found.values.pop("duration") > 0
    assert found.values == {"bytes": 5.0, "rate": 2.5, "more": 1.0}
    assert found.notes == ()
    assert found.during is None


async def test_a_task_without_a_campaign_is_given_no_descriptor(world: Any) -> None:
    ended = await world.end(world.start('test -z "$ORCHCTL_METRICS_FD"; ls /proc/self/fd'))
    assert ended.measured is None
    assert "64" not in world.log(ended).split()


@pytest.mark.parametrize("isolate", [False, True])
async def test_a_python_function_reports_row_after_row_by_a_descriptor_of_its_own(world: Any, isolate: bool) -> None:
    source = (
        "import json, os, subprocess, sys\n"
        "def f(n):\n"
        "    fd = int(os.environ['ORCHCTL_METRICS_FD'])\n"
        "    os.write(fd, json.dumps({'bytes': n}).encode() + b'\\n')\n"
        "    child = 'import os; os.write(int(os.environ[\\'ORCHCTL_METRICS_FD\\']), b\\'{\"child\": 1}\\\\n\\')'\n"
        "    subprocess.run([sys.executable, '-c', child], pass_fds=[fd], check=True)\n"
        "    print('rate', n / 2)\n"
        "    os.close(fd)\n"
        "def g(n):\n"
        "    assert 'ORCHCTL_METRICS_FD' not in os.environ\n"
    )
    for n in (4, 6):
        attempt = world.python("m:f", source, args={"n": n}, campaign=REPORTS, isolate=isolate)
        found = await measured(world, attempt)
        assert found.values.pop("duration") >= 0
        assert found.values == {"bytes": float(n), "rate": n / 2, "child": 1.0}
    ended = await world.end(world.python("m:g", args={"n": 0}, isolate=isolate))
    assert ended.outcome.kind is OutcomeKind.SUCCEEDED


HOSTILE = """
import glob, os
fd = int(os.environ["ORCHCTL_METRICS_FD"])
os.write(fd, bytes([255]) * 100 + b'\\n{"x": 1e999}\\n{"ok": 7}\\n' + b"[" * 300000)
if os.path.exists("take_it_away"):
    for path in glob.glob(os.path.dirname(os.environ["ORCHCTL_RESULT"]) + "/*.metrics"):
        os.unlink(path)
        os.symlink("/dev/zero", path)
"""


async def test_hostile_reports_never_fail_an_attempt_nor_its_launcher(world: Any) -> None:
    world.file("hostile.py").write_text(HOSTILE)
    found = await measured(world, world.start([sys.executable, "hostile.py"], campaign=REPORTS))
    assert found.values["ok"] == 7
    assert len(found.notes) == 4
    world.file("take_it_away").touch()
    found = await measured(world, world.start([sys.executable, "hostile.py"], campaign=Campaign()))
    assert set(found.values) == {"duration"}
    assert (await measured(world, world.start(["true"], campaign=Campaign()))).notes == ()


async def test_a_report_that_grows_without_end_is_cut_and_what_came_first_counts(world: Any) -> None:
    script = "echo '{\"first\": 1}' >&$ORCHCTL_METRICS_FD; head -c 3000000 /dev/zero >&$ORCHCTL_METRICS_FD; sleep 1.5"
    attempt = world.start(script, campaign=Campaign())
    await world.started(attempt)

    def size() -> int:
        return max((path.stat().st_size for path in world.home.glob("**/*.metrics")), default=0)

    await world.until(lambda: size() > 100_000, "the flood")
    await world.until(lambda: 0 < size() < 100_000, "the cut")
    found = await measured(world, attempt)
    assert found.values["first"] == 1
    assert "the report was cut at 64 KiB" in found.notes


async def test_an_expression_without_an_end_does_not_hold_the_launcher(world: Any) -> None:
    slow = Campaign(metrics=(Metric("slow", regex="((?:a+)+)$b"),))
    found = await measured(world, world.start("echo " + "a" * 60, campaign=slow))
    assert "took longer" in found.notes[0]


async def test_a_trial_beside_a_busy_neighbour_is_marked(world: Any, burner: None) -> None:
    found = await measured(world, world.start("sleep 0.6", campaign=TRIAL))
    assert found.before is not None
    assert found.during is not None
    assert found.during.seconds > 0.5
    assert found.during.foreign_cpus > 0.4
    assert any(mark.startswith("others used") for mark in found.marks)


async def test_what_a_trial_uses_itself_is_not_foreign(world: Any) -> None:
    """Together with what others use it cannot be more than the host has, however busy that is."""
    cpus = os.cpu_count() or 1
    loops = f"for i in $(seq {cpus}); do timeout 0.6 sh -c 'while :; do :; done' & done; wait"
    attempt = world.start(loops, campaign=TRIAL)
    found = await measured(world, attempt)
    used_s = (await world.end(attempt)).usage.cpu_ns / 1e9
    assert found.during is not None
    assert used_s > 0.05
    assert found.during.foreign_cpus + used_s / found.during.seconds < cpus + 0.15


async def test_a_short_trial_is_judged_together_with_the_look_before_it(world: Any) -> None:
    found = await measured(world, world.start(["true"], campaign=TRIAL))
    assert found.during is not None
    assert found.during.seconds > LOOK_S
    assert found.values["duration"] < LOOK_S


async def test_a_task_may_say_how_long_the_host_is_watched_and_what_is_forgiven(world: Any, burner: None) -> None:
    cpus = float(os.cpu_count() or 1)
    own = Campaign(trials=1, noise=(("forgiven", cpus), ("look_ns", 6e8), ("memory", 1), ("io", 1), ("stolen", 1)))
    found = await measured(world, world.start(["true"], campaign=own))
    assert found.before is not None
    assert found.during is not None
    assert found.before.seconds == 0.6
    assert found.during.seconds > 0.6
    assert found.during.foreign_cpus > 0.4
    assert [mark for mark in found.marks if "CPUs ran" not in mark] == []


async def test_a_trial_that_is_stopped_during_the_look_never_starts(world: Any) -> None:
    attempt = world.start("echo > began; sleep 600", campaign=TRIAL)
    world.stop(attempt)
    ended = await world.end(attempt)
    assert ended.outcome.kind is OutcomeKind.CANCELLED
    after = world.start(["true"], campaign=TRIAL)
    await measured(world, after)
    assert not world.file("began").exists()
