"""Pausing real processes: they use no CPU, their limits of time do not count, and they go on as if nothing had been."""

import os
import signal
import sys
from typing import Any

import pytest

from engine.core.effects import ResumeAttempt, SuspendAttempt
from engine.core.events import AttemptResumed, AttemptSuspended, BlockStarted, RowsReturned, RowsSucceeded
from engine.execution import cgroups, proc
from engine.model.resources import Binding
from engine.model.status import OutcomeKind
from engine.model.workflow import Python, Quota, Stop

pytestmark = pytest.mark.trio
SECOND = 10**9
SPIN = [
    sys.executable,
    "-c",
    "import os\nos.fork()\nopen('spins', 'w').write('x')\nwhile not os.path.exists('go'): pass",
]
WAYS = [pytest.param(Quota(), id="stopped one by one")]
if cgroups.own_group():
    WAYS.append(pytest.param(Quota(processes=50), id="frozen by the kernel"))


def told(world: Any, attempt: int, kind: type) -> list[Any]:
    return [event for event in world.events if isinstance(event, kind) and event.attempt == attempt]


async def pause(world: Any, attempt: int) -> None:
    before = len(told(world, attempt, AttemptSuspended))
    world.executor.freeze([SuspendAttempt(attempt)])
    await world.until(lambda: len(told(world, attempt, AttemptSuspended)) > before, "the pause")


async def resume(world: Any, attempt: int) -> None:
    before = len(told(world, attempt, AttemptResumed))
    world.executor.freeze([ResumeAttempt(attempt)])
    await world.until(lambda: len(told(world, attempt, AttemptResumed)) > before, "the end of the pause")


def used(pid: int) -> int:
    """Clock ticks of CPU that the tree has used."""
    return sum(found.cpu_ticks for one in proc.descendants([pid]) if (found := proc.stat(one)) is not None)


async def quiet(world: Any, pid: int) -> int:
    """Wait until a while passes in which the tree uses no CPU; what it has used then."""
    seen: list[int] = []
    ticks = proc.ticks_now()

    def still() -> bool:
        nonlocal ticks
        if not seen or used(pid) != seen[-1]:
            seen.append(used(pid))
            ticks = proc.ticks_now()
        return proc.ticks_now() - ticks > 30

    await world.until(still, "a time without CPU use")
    return seen[-1]


@pytest.mark.parametrize("quota", WAYS)
async def test_a_paused_tree_uses_no_cpu_and_finishes_right_when_it_is_resumed(world: Any, quota: Quota) -> None:
    attempt = world.start(SPIN, quota=quota)
    pid = (await world.started(attempt)).pid
    await world.file_there("spins")
    await pause(world, attempt)
    ticks = await quiet(world, pid)
    assert ticks > 0
    await resume(world, attempt)
    await world.until(lambda: used(pid) > ticks, "further use of CPU")
    world.file("go").touch()
    assert (await world.end(attempt)).outcome.kind is OutcomeKind.SUCCEEDED


@pytest.mark.parametrize("quota", WAYS)
async def test_what_an_attempt_had_stopped_itself_stays_stopped(world: Any, quota: Quota) -> None:
    script = "sleep 60 & kill -STOP $!; echo $! > stopped; sleep 61 & echo $! > other; wait"
    attempt = world.start(script, quota=quota, stop=Stop(grace_ns=SECOND // 10))
    other, stopped = int(await world.file_there("other")), int(await world.file_there("stopped"))
    await world.until(lambda: proc.stat(stopped).state == "T", "the signal to arrive")
    await pause(world, attempt)
    await resume(world, attempt)
    await world.until(lambda: proc.stat(other).state == "S", "the other to go on")
    await world.until(lambda: proc.stat(stopped).state == "T", "it to stand still as it did, once the kernel lets it")
    world.stop(attempt)
    assert (await world.end(attempt)).outcome.kind is OutcomeKind.CANCELLED


@pytest.mark.parametrize("quota", WAYS)
@pytest.mark.parametrize("kill", [False, True])
async def test_a_paused_attempt_can_be_stopped_and_killed(world: Any, quota: Quota, kill: bool) -> None:
    attempt = world.start("trap 'echo bye; exit 3' TERM; touch up; while :; do sleep 0.05; done", quota=quota)
    await world.until(lambda: world.file("up").exists())
    await pause(world, attempt)
    world.stop(attempt, kill=kill)
    ended = await world.end(attempt)
    assert ended.outcome.kind is OutcomeKind.CANCELLED
    assert ("bye" in world.log(ended)) is not kill
    assert world.marked() == {}


async def test_daemons_stand_still_too_however_they_left(world: Any) -> None:
    spin = "while :; do :; done"
    script = f"(setsid sh -c '{spin}' &) & env -i setsid sh -c '{spin}' & echo up > up; {spin}"
    attempt = world.start(script, stop=Stop(grace_ns=SECOND // 10))
    await world.file_there("up")
    await world.until(lambda: len(world.marked()) == 3, "the daemons")
    await pause(world, attempt)
    await world.until(lambda: all(proc.stat(pid).state == "T" for pid in world.marked()), "all to stand still")
    assert len(world.marked()) == 3
    await resume(world, attempt)
    await world.until(lambda: all(proc.stat(pid).state == "R" for pid in world.marked()), "all to go on")
    world.stop(attempt)
    await world.end(attempt)


async def test_time_that_an_attempt_stands_still_counts_for_no_limit(world: Any) -> None:
    quota = Quota(wall_ns=SECOND, silence_ns=SECOND * 7 // 10)
    attempt = world.start("for i in 1 2 3 4; do echo $i; sleep 0.2; done", quota=quota)
    begun = await world.started(attempt)
    await world.until(lambda: any(path.stat().st_size for path in world.logs.rglob("*.log")), "its first word")
    await pause(world, attempt)
    late = proc.ticks_now() + 150
    await world.until(lambda: proc.ticks_now() > late, "more time than it has")
    await resume(world, attempt)
    ended = await world.end(attempt)
    assert ended.outcome.kind is OutcomeKind.SUCCEEDED
    assert ended.at_ns - begun.at_ns > 2 * SECOND
    slow = world.start("sleep 60", quota=Quota(wall_ns=SECOND // 2))
    await world.started(slow)
    await pause(world, slow)
    await resume(world, slow)
    assert (await world.end(slow)).outcome.kind is OutcomeKind.TIMED_OUT


async def test_a_pause_outlives_the_engine(world: Any) -> None:
    attempt = world.start(SPIN)
    pid = (await world.started(attempt)).pid
    await world.file_there("spins")
    await pause(world, attempt)
    await world.leave()
    await world.enter(world.nursery, [attempt])
    await world.started(attempt)
    assert len(told(world, attempt, AttemptSuspended)) == 1
    ticks = await quiet(world, pid)
    await resume(world, attempt)
    await world.until(lambda: used(pid) > ticks, "further use of CPU")
    world.file("go").touch()
    assert (await world.end(attempt)).outcome.kind is OutcomeKind.SUCCEEDED


async def test_a_launcher_that_dies_takes_what_it_paused_with_it(world: Any) -> None:
    attempt = world.start("sleep 60 & setsid sleep 61")
    pid = (await world.started(attempt)).pid
    await pause(world, attempt)
    os.kill(proc.stat(pid).ppid, signal.SIGKILL)  # pyright: ignore[reportOptionalMemberAccess]
    assert "died" in (await world.end(attempt)).why
    assert world.marked() == {}


async def test_a_block_stands_still_with_its_worker_and_its_rows_go_on(world: Any) -> None:
    world.file("m.py").write_text("import time\ndef f(s):\n    open('up', 'w').write('x')\n    time.sleep(s)\n")
    columns = (("s", [0.3] * 6),)
    order = world.order(Python("m:f"), index=0, count=6, columns=columns, quota=Quota(wall_ns=SECOND))
    world.executor.start([order])
    await world.file_there("up")
    await pause(world, order.attempt)
    late = proc.ticks_now() + 120
    await world.until(lambda: proc.ticks_now() > late, "more time than a row has")
    world.executor.recall([order.attempt])  # what is done to the worker meanwhile does not wake it
    rows = lambda: sum(event.count for event in told(world, order.attempt, RowsSucceeded))  # noqa: E731
    assert rows() <= 1
    await resume(world, order.attempt)
    await world.until(lambda: rows() == 1, "the row that had begun")


async def test_a_block_that_was_paused_before_its_first_row_can_be_taken_back(world: Any) -> None:
    """Its worker goes on, for others."""
    world.file("m.py").write_text("import time\ntime.sleep(0.3)\ndef f(s):\n    pass\n")
    order = world.order(Python("m:f"), index=0, count=6, columns=(("s", [1] * 6),))
    world.executor.start([order])
    await world.until(lambda: told(world, order.attempt, BlockStarted), "the start of the block")
    await pause(world, order.attempt)
    world.executor.recall([order.attempt])
    returned = await world.until(lambda: told(world, order.attempt, RowsReturned), "the rows")
    if returned[0].offset == 0:
        again = world.order(Python("m:f"), index=0, count=6, columns=(("s", [1] * 6),))
        world.executor.start([again])
        await world.until(lambda: told(world, again.attempt, RowsSucceeded), "the rows of another block")
    else:
        await resume(world, order.attempt)
        await world.until(lambda: told(world, order.attempt, RowsSucceeded), "the row that had begun")


async def test_an_answer_names_its_order_and_says_how_much_memory_stands_still(world: Any) -> None:
    script = "import os\nkept = b'x' * 50_000_000\nopen('up', 'w').write('x')\nwhile not os.path.exists('go'): pass"
    attempt = world.start([sys.executable, "-c", script])
    await world.file_there("up")
    world.executor.freeze([SuspendAttempt(attempt, 7), ResumeAttempt(attempt, 8), SuspendAttempt(attempt, 9)])
    await world.until(lambda: len(told(world, attempt, AttemptSuspended)) == 2, "both pauses")
    first, second = told(world, attempt, AttemptSuspended)
    assert (first.turn, told(world, attempt, AttemptResumed)[0].turn, second.turn) == (7, 8, 9)
    assert 50_000_000 < second.memory_bytes < 100_000_000
    await world.leave()
    await world.enter(world.nursery, [attempt])
    (again,) = await world.until(lambda: told(world, attempt, AttemptSuspended), "what stands still to be told again")
    assert (again.turn, again.memory_bytes) == (9, second.memory_bytes)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one CPU only")
async def test_a_pinned_attempt_goes_on_on_the_cpus_that_are_its_own_then_and_ends_on_the_shared_ones(
    world: Any,
) -> None:
    first, second = sorted(os.sched_getaffinity(0))[:2]
    world.executor.share([second])
    attempt = world.start(
        "echo up > up; trap 'echo bye > bye; sleep 0.5; exit' TERM; while :; do sleep 0.05; done",
        binding=Binding((first,)),
    )
    pid = (await world.started(attempt)).pid
    await world.file_there("up")
    await world.until(lambda: os.sched_getaffinity(pid) == {first}, "its own CPU")
    await pause(world, attempt)
    world.executor.share([first])
    world.executor.freeze([ResumeAttempt(attempt, 2, (second,))])
    await world.until(lambda: os.sched_getaffinity(pid) == {second}, "its new CPU")
    await pause(world, attempt)
    world.stop(attempt)
    await world.file_there("bye")
    assert os.sched_getaffinity(pid) == {first}, "the shared one"
    await world.end(attempt)


async def test_pausing_what_does_not_run_is_harmless(world: Any) -> None:
    attempt = world.start("true")
    await world.end(attempt)
    world.executor.freeze([SuspendAttempt(attempt), SuspendAttempt(5)])
    again = world.start("true")
    assert (await world.end(again)).outcome.kind is OutcomeKind.SUCCEEDED
