"""What happens when an engine, a launcher, the keeper, the meter or several of them die or are replaced."""

import os
import random
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from engine.core.events import AttemptExited, AttemptLost, AttemptNeverStarted, AttemptStarted
from engine.execution import proc, wire
from engine.execution.link import Refused
from engine.execution.places import Places
from engine.execution.sweep import StillRunning, stop_all
from engine.model.errors import Unavailable
from engine.model.status import OutcomeKind
from engine.model.workflow import Python, Quota

pytestmark = [pytest.mark.trio, pytest.mark.crash]

DAEMON = "setsid sh -c 'sleep 600' & env -i setsid sleep 600 & (setsid sleep 600 &) ; sleep 600"


def alive(pid: int) -> bool:
    found = proc.stat(pid)
    return found is not None and found.state not in "ZX"


def launcher_of(world: Any, attempt: int) -> int:
    """The pid of the launcher that runs the attempt: the parent of its process."""
    found = proc.stat(world.begun(attempt).pid)
    assert found is not None
    return found.ppid


async def running_with_daemons(world: Any) -> int:
    attempt = world.start(DAEMON)
    await world.started(attempt)
    await world.until(lambda: sum(1 for number in world.marked().values() if number == attempt) >= 4, "the daemons")
    return attempt


async def test_a_new_engine_adopts_what_runs_and_takes_each_exit_once(world: Any) -> None:
    staying, ending = world.start("sleep 600"), world.start("sleep 0.2; exit 4")
    pid = (await world.started(staying)).pid
    other = (await world.started(ending)).pid
    await world.leave()
    await world.until(lambda: proc.start_ticks(other) == 0, "the exit without an engine")
    found = await world.enter(world.nursery, [staying, ending])
    kinds = {event.attempt: type(event) for event in found}
    assert kinds == {staying: AttemptStarted, ending: AttemptExited}
    assert world.begun(staying).pid == pid
    assert world.ends(ending)[0].outcome.exit_code == 4
    world.executor.acknowledge([ending])
    await world.end(world.start(["true"]))
    await world.end(world.start(["true"]))
    await world.leave()
    assert [event.attempt for event in await world.enter(world.nursery, [staying])] == [staying]


async def test_an_exit_that_was_not_acknowledged_is_told_again(world: Any) -> None:
    attempt = world.start("exit 3")
    await world.end(attempt)
    await world.leave()
    found = await world.enter(world.nursery, [attempt])
    assert [(event.attempt, event.outcome.exit_code) for event in found] == [(attempt, 3)]


async def test_what_no_launcher_began_never_started(world: Any) -> None:
    await world.leave()
    found = await world.enter(world.nursery, [77, 78])
    assert [(type(event), event.attempt) for event in found] == [(AttemptNeverStarted, 77), (AttemptNeverStarted, 78)]


async def test_what_the_state_does_not_know_is_killed(world: Any) -> None:
    attempt = await running_with_daemons(world)
    await world.leave()
    assert await world.enter(world.nursery, []) == []
    await world.until(lambda: attempt not in world.marked().values(), "the end of the tree")
    assert world.ends(attempt) == []


async def test_an_older_epoch_is_refused_and_a_newer_one_takes_over(world: Any) -> None:
    path = Places(world.home, world.run_dir, world.logs).socket("launcher-0")
    answer = wire.request(path, ["hello", {"instance": world.instance, "epoch": 0}], 5.0)
    assert answer[0] == "refused"
    attempt = world.start("sleep 600")
    await world.started(attempt)
    world.epoch -= 2
    with pytest.raises(BaseExceptionGroup) as caught:
        await world.enter(world.nursery, [attempt])
    assert caught.group_contains(Refused)
    world.epoch = 5
    await world.leave()
    assert len(await world.enter(world.nursery, [attempt])) == 1


async def test_another_instance_finds_nothing_of_the_old_one(world: Any) -> None:
    await running_with_daemons(world)
    old = world.instance
    await world.leave()
    world.instance += 1
    assert await world.enter(world.nursery, []) == []
    assert not any(alive(pid) for pid in proc.marked(old))
    assert (await world.end(world.start("exit 2"))).outcome.exit_code == 2


async def test_a_launcher_that_was_stopped_is_continued_and_loses_nothing(world: Any) -> None:
    attempt = world.start("sleep 600")
    pid = (await world.started(attempt)).pid
    victim = launcher_of(world, attempt)
    await world.leave()
    os.kill(victim, signal.SIGSTOP)
    found = await world.enter(world.nursery, [attempt])
    assert [(type(event), event.pid) for event in found] == [(AttemptStarted, pid)]
    assert world.executor.processes()["launchers"].count(victim) == 1


async def test_a_launcher_that_is_complained_about_again_and_again_is_replaced(world: Any) -> None:
    attempt = world.start("sleep 600")
    await world.started(attempt)
    victim = launcher_of(world, attempt)
    slot = world.executor.processes()["launchers"].index(victim)
    with wire.connect(Places(world.home, world.run_dir, world.logs).socket("keeper")) as keeper:
        keeper.sendall(4 * wire.pack(["silent", slot]))
        await world.end(world.start(["true"]))
        assert alive(victim)
        keeper.sendall(wire.pack(["silent", slot]))
        assert isinstance(await world.end(attempt), AttemptLost)
    assert not alive(victim)


async def test_a_killed_launcher_loses_its_attempts_and_disturbs_no_other(world: Any) -> None:
    first, second = await running_with_daemons(world), await running_with_daemons(world)
    victim, other = launcher_of(world, first), launcher_of(world, second)
    assert victim != other
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    ended = await world.end(first)
    assert isinstance(ended, AttemptLost)
    assert time.monotonic() - began < 2.0
    assert first not in world.marked().values()
    assert world.ends(second) == []
    assert len([1 for number in world.marked().values() if number == second]) >= 4
    assert (await world.end(world.start("exit 6"))).outcome.exit_code == 6
    assert victim not in world.executor.processes()["launchers"]


async def test_orders_that_a_dead_launcher_had_not_begun_go_to_another(world: Any) -> None:
    running = world.order("sleep 600")
    held = world.order("echo done > held", claim_from=running.attempt)
    world.executor.start([running, held])
    await world.started(running.attempt)
    os.kill(launcher_of(world, running.attempt), signal.SIGKILL)
    assert isinstance(await world.end(running.attempt), AttemptLost)
    assert (await world.end(held.attempt)).outcome.kind is OutcomeKind.SUCCEEDED


async def test_a_killed_keeper_is_replaced_and_the_new_one_adopts_the_launchers(world: Any) -> None:
    attempt = await running_with_daemons(world)
    before = world.executor.processes()
    os.kill(before["keeper"], signal.SIGKILL)
    await world.until(lambda: world.executor.processes()["keeper"] not in (0, before["keeper"]), "a new keeper")
    await world.until(lambda: world.executor.processes()["meter"] == before["meter"], "the adopted meter")
    assert world.executor.processes()["launchers"] == before["launchers"]
    assert world.ends(attempt) == []
    os.kill(launcher_of(world, attempt), signal.SIGKILL)
    assert isinstance(await world.end(attempt), AttemptLost)
    assert attempt not in world.marked().values()


async def test_keeper_and_launcher_killed_together_leave_nothing(world: Any) -> None:
    first, second = await running_with_daemons(world), await running_with_daemons(world)
    keeper = world.executor.processes()["keeper"]
    for pid in (keeper, launcher_of(world, first)):
        os.kill(pid, signal.SIGKILL)
    assert isinstance(await world.end(first), AttemptLost)
    assert first not in world.marked().values()
    assert world.ends(second) == []


async def test_everything_killed_with_the_engine_is_lost_at_its_return(world: Any) -> None:
    first, second = await running_with_daemons(world), await running_with_daemons(world)
    processes = world.executor.processes()
    await world.leave()
    for pid in (processes["keeper"], *processes["launchers"], processes["meter"]):
        os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    found = await world.enter(world.nursery, [first, second])
    assert {event.attempt: type(event) for event in found} == {first: AttemptLost, second: AttemptLost}
    assert time.monotonic() - began < 2.0
    assert world.marked() == {}


async def test_a_task_that_kills_its_launcher_is_lost_every_time(world: Any) -> None:
    for _ in range(3):
        ended = await world.end(world.start("kill -9 $PPID; sleep 600"))
        assert isinstance(ended, AttemptLost)
    assert (await world.end(world.start(["true"]))).outcome.kind is OutcomeKind.SUCCEEDED


async def test_a_worker_dies_with_its_launcher(world: Any) -> None:
    world.file("m.py").write_text("import time\ndef f():\n    open('up', 'w').write('x')\n    time.sleep(600)\n")
    order = world.order(Python("m:f"))
    world.executor.start([order])
    await world.file_there("up")
    worker = world.begun(order.attempt).pid
    os.kill(launcher_of(world, order.attempt), signal.SIGKILL)
    assert isinstance(await world.end(order.attempt), AttemptLost)
    assert not alive(worker)


async def test_a_damaged_spool_proves_nothing(world: Any) -> None:
    attempt = world.start("exit 1")
    await world.end(attempt)
    processes = world.executor.processes()
    await world.leave()
    for pid in (processes["keeper"], *processes["launchers"]):
        os.kill(pid, signal.SIGKILL)
    for slot in (0, 1):
        path = Places(world.home, world.run_dir, world.logs).spool(slot)
        data = bytearray(path.read_bytes())
        data[data.index(b'"i"') if b'"i"' in data else 40] ^= 0xFF
        path.write_bytes(data)
    found = await world.enter(world.nursery, [attempt, 900])
    by_attempt = {event.attempt: event for event in found}
    assert isinstance(by_attempt[900], AttemptLost)
    assert "damaged" in by_attempt[900].why
    world.executor.acknowledge([attempt, 900])
    assert (await world.end(world.start(["true"]))).outcome.kind is OutcomeKind.SUCCEEDED
    await world.leave()
    assert isinstance((await world.enter(world.nursery, [901]))[0], AttemptNeverStarted)


async def test_a_full_disk_starts_nothing_and_tells_ends_when_there_is_room_again(world: Any) -> None:
    running = world.start("while ! test -e go; do sleep 0.02; done; exit 8")
    await world.started(running)
    for pid in world.executor.processes()["launchers"]:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
    refused = await world.end(world.start(["true"]))
    assert refused.outcome.kind is OutcomeKind.NOT_STARTED
    assert "spool is full" in refused.outcome.why
    world.file("go").touch()
    launchers = world.executor.processes()["launchers"]
    await world.until(lambda: not alive(world.begun(running).pid), "the exit")
    assert world.ends(running) == []
    for pid in launchers:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert (await world.end(running)).outcome.exit_code == 8
    assert world.executor.processes()["launchers"] == launchers


async def test_a_dead_meter_is_replaced_and_quotas_hold(world: Any) -> None:
    meter = world.executor.processes()["meter"]
    os.kill(meter, signal.SIGKILL)
    attempt = world.start("sleep 600 & sleep 600 & sleep 600 & sleep 600 & wait", quota=Quota(processes=3))
    ended = await world.end(attempt)
    assert ended.outcome.text == "over_quota.processes"
    assert ended.outcome.used > ended.outcome.limit == 3
    assert world.executor.processes()["meter"] not in (0, meter)


async def test_memory_of_the_whole_tree_is_held_to_its_quota(world: Any) -> None:
    eat = "python3 -c 'import time; x = bytearray(60000000); time.sleep(600)' & "
    attempt = world.start(eat * 3 + "wait", quota=Quota(memory_bytes=120 * 2**20))
    ended = await world.end(attempt)
    assert ended.outcome.text == "over_quota.memory"
    assert ended.outcome.used > 120 * 2**20


async def test_the_meter_tells_host_use_and_memory_of_attempts(world: Any) -> None:
    attempt = world.start("sleep 600")
    await world.started(attempt)
    use = await world.executor.host_use()
    assert use["memory_total_bytes"] > use["memory_available_bytes"] > 0
    assert len(use["load"]) == 3
    assert (await world.executor.memory_of([attempt, 5]))[attempt] > 100_000


async def test_the_meter_adds_up_what_the_engine_and_all_that_it_runs_have_used(world: Any) -> None:
    before = await world.executor.cpu_of_ours()
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    await world.end(world.start([sys.executable, "-c", burn]))
    living = world.start([sys.executable, "-c", burn + "\nprint('done', flush=True)\ntime.sleep(600)"])
    await world.started(living)
    with trio.fail_after(10):
        while await world.executor.cpu_of_ours() - before < 0.55e9:
            await trio.lowlevel.checkpoint()


async def test_shutdown_is_refused_while_attempts_run_unless_they_are_to_be_killed(world: Any) -> None:
    attempt = await running_with_daemons(world)
    assert not await world.executor.shutdown(kill=False)
    assert world.ends(attempt) == []
    assert (await world.end(world.start(["true"]))).outcome.kind is OutcomeKind.SUCCEEDED
    processes = world.executor.processes()
    assert await world.executor.shutdown(kill=True)
    for pid in (processes["keeper"], *processes["launchers"], processes["meter"]):
        assert not alive(pid)


async def test_everything_can_be_ended_without_an_engine_and_without_a_keeper(world: Any) -> None:
    await running_with_daemons(world)
    processes = world.executor.processes()
    await world.leave()
    with pytest.raises(StillRunning):
        stop_all(world.home, world.run_dir, kill=False)
    os.kill(processes["keeper"], signal.SIGKILL)
    ended = stop_all(world.home, world.run_dir, kill=True)
    assert {*processes["launchers"], processes["meter"]} <= set(ended)
    assert not any(alive(pid) for pid in proc.marked(world.instance))


async def test_a_run_folder_with_a_long_name_works(world: Any) -> None:
    await world.executor.shutdown(kill=True)
    await world.leave()
    world.run_dir = world.home / ("x" * 100) / ("y" * 100)
    await world.enter(world.nursery)
    assert (await world.end(world.start(["true"]))).outcome.kind is OutcomeKind.SUCCEEDED


def wakings(pid: int) -> int:
    """How often the process was given a processor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[2])


async def test_idle_processes_use_no_time(world: Any) -> None:
    await world.end(world.start(["true"]))
    await world.end(world.python("m:f", "def f(): pass\n"))
    found = world.executor.processes()
    pids = [found["keeper"], found["meter"], *found["launchers"], *found["workers"]]
    began = time.monotonic()
    await world.until(lambda: time.monotonic() - began > 1.1)  # each launcher looks at its logs once more after 1 s
    before = [wakings(pid) for pid in pids]
    await world.until(lambda: time.monotonic() - began > 2.0)
    assert sum(wakings(pid) for pid in pids) - sum(before) <= 2


async def test_under_a_hail_of_kills_no_attempt_runs_twice_and_no_end_is_wrong(world: Any) -> None:
    """Launchers, keeper and engine die again and again; what was lost is ordered anew, as the machine would."""
    dice = random.Random(7)
    orders: dict[int, int] = {}
    ends: dict[int, Any] = {}

    def submit(code: int) -> None:
        attempt = world.start(
            f"echo $$ >> ran.$MARK; sleep 0.02; exit {code}", env=(("MARK", str(world.next_attempt)),)
        )
        orders[attempt] = code

    for n in range(120):
        submit(n % 3)
    began = time.monotonic()
    for _ in range(12):
        await trio.sleep(dice.uniform(0.02, 0.15))
        victim = dice.choice(("launcher", "launcher", "keeper", "engine"))
        processes = world.executor.processes()
        if victim == "engine":
            take(world, orders, ends)
            await world.leave()
            await world.enter(world.nursery, set(orders) - set(ends))
        else:
            pids = [pid for pid in (processes["launchers"] if victim == "launcher" else [processes["keeper"]]) if pid]
            for pid in pids[:1]:
                os.kill(pid, signal.SIGKILL)
        take(world, orders, ends)
    await world.until(lambda: take(world, orders, ends) == len(orders), "the end of all")
    assert time.monotonic() - began < 20
    assert world.marked() == {}
    for attempt, code in orders.items():
        path = world.file(f"ran.{attempt}")
        lines = path.read_text().splitlines() if path.exists() else []
        end = ends[attempt]
        assert len(lines) <= 1
        if isinstance(end, AttemptExited):
            assert (end.outcome.exit_code, len(lines)) == (code, 1)
        elif isinstance(end, AttemptNeverStarted):
            assert lines == []


def take(world: Any, orders: dict[int, int], ends: dict[int, Any]) -> int:
    """Note each end, which must come once, and acknowledge it."""
    fresh = [event for event in world.events if not isinstance(event, AttemptStarted)]
    world.events.clear()
    for event in fresh:
        assert event.attempt in orders
        assert event.attempt not in ends
        ends[event.attempt] = event
    world.executor.acknowledge([event.attempt for event in fresh])
    return len(ends)


async def test_a_compiler_of_definitions_runs_under_the_keeper(world: Any) -> None:
    words = [sys.executable, "-c", "import os; print('compiled', os.getppid(), os.getcwd())"]
    output = await world.executor.compile(words, str(world.dir))
    keeper = world.executor.processes()["keeper"]
    assert output.decode() == f"compiled {keeper} {world.dir}\n"
    with pytest.raises(Unavailable):
        await world.executor.compile(["/no/such/program"], str(world.dir))
    forks = "import os, time; print('x', flush=True)\nif os.fork() == 0: os.setsid(); time.sleep(600)"
    assert await world.executor.compile([sys.executable, "-c", forks], str(world.dir)) == b"x\n"
    await world.until(lambda: not world.marked(), "the end of what the compiler left")
