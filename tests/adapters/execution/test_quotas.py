"""Quotas on whole trees: each outcome names the quota, what was used and the limit, and nothing survives."""

import os
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.execution import cgroups, proc
from engine.execution.samples import read
from engine.model.samples import samples_path
from engine.model.status import OutcomeKind
from engine.model.workflow import Quota, Stop

pytestmark = pytest.mark.trio
MIB = 2**20
SECOND = 10**9
GROUPS = bool(cgroups.own_group())


def python(source: str) -> list[str]:
    return [sys.executable, "-c", source]


async def over(world: Any, which: str, action: str | list[str], **quota: Any) -> Any:
    """The end of an attempt that goes over that quota; its tree is gone."""
    ended = await world.end(world.start(action, quota=Quota(**quota)))
    assert (ended.outcome.kind, ended.outcome.which) == (OutcomeKind.OVER_QUOTA, which), ended.outcome
    assert ended.outcome.used >= ended.outcome.limit > 0
    assert world.marked() == {}
    return ended


async def test_shared_memory_counts_once_however_many_map_it(world: Any) -> None:
    source = (
        "import mmap, os, time; m = mmap.mmap(-1, 60 * 2**20); m.write(bytes(60 * 2**20))\n"
        "for _ in range(3):\n    if not os.fork(): sum(m[::4096]); time.sleep(1.5); os._exit(0)\n"
        "time.sleep(1.5)"
    )
    ended = await world.end(world.start(python(source), quota=Quota(memory_bytes=150 * MIB)))
    assert ended.outcome.kind is OutcomeKind.SUCCEEDED
    await over(world, "memory", python(source.replace("60 *", "200 *")), memory_bytes=150 * MIB)


async def test_memory_that_grows_over_its_quota_says_how_fast_and_how_closely_it_was_looked_at(world: Any) -> None:
    grow = (
        "import os, time\nfor _ in range(2): os.fork()\nkept = []\nwhile 1: kept.append(b'x' * 2**20); time.sleep(0.02)"
    )
    ended = await over(world, "memory", python(grow), memory_bytes=120 * MIB)
    assert "MiB/s and was looked at" in ended.outcome.why
    assert ended.outcome.used < 240 * MIB
    assert "used 1" in ended.outcome.sentence()


async def test_a_fork_bomb_ends_at_its_quota_of_processes(world: Any) -> None:
    bomb = python("import os, time\nfor _ in range(40):\n    if not os.fork(): time.sleep(60)\ntime.sleep(60)")
    ended = await over(world, "processes", bomb, processes=10)
    assert ended.outcome.limit == 10


async def test_zombies_are_processes(world: Any) -> None:
    zombies = python("import os, time\nfor _ in range(30):\n    if not os.fork(): os._exit(0)\ntime.sleep(60)")
    await over(world, "processes", zombies, processes=20)


async def test_a_thread_bomb_ends_at_its_quota_of_threads(world: Any) -> None:
    bomb = python("import threading, time\nfor _ in range(60): threading.Thread(target=time.sleep, args=(60,)).start()")
    await over(world, "threads", bomb, threads=30)


async def test_cpu_time_counts_for_the_whole_tree_and_for_those_that_were_waited_for(world: Any) -> None:
    spin = python("import os\nfor _ in range(2): os.fork()\nwhile 1: pass")
    await over(world, "cpu_time", spin, cpu_ns=SECOND // 2)
    turns = "for i in 1 2 3 4 5 6 7 8 9; do python3 -c 'while sum(__import__(\"os\").times()[:2]) < 0.2: pass'; done"
    await over(world, "cpu_time", turns, cpu_ns=SECOND)


async def test_open_files_are_summed_up_over_the_tree_and_a_process_can_open_no_more_than_all(world: Any) -> None:
    many = (
        "import os, time\nfor _ in range(3): os.fork()\nkept = [open('/dev/null') for _ in range(20)]\ntime.sleep(60)"
    )
    await over(world, "open_files", python(many), open_files=100)
    alone = "kept = [open('/dev/null') for _ in range(200)]"
    ended = await over(world, "open_files", python(alone), open_files=50)
    assert ended.outcome.exit_code == 1


async def test_what_is_added_to_the_folder_is_held_to_the_quota_of_disk(world: Any) -> None:
    flood = "while :; do head -c 1000000 /dev/zero >> flood; sleep 0.01; done"
    ended = await over(world, "disk", flood, disk_bytes=8 * MIB)
    assert ended.outcome.used < 100 * MIB
    world.file("flood").unlink()
    again = "for i in $(seq 30); do head -c 1000000 /dev/zero > same; done"
    ended = await world.end(world.start(again, quota=Quota(disk_bytes=8 * MIB)))
    assert ended.outcome.kind is OutcomeKind.SUCCEEDED


async def test_a_flood_of_a_log_is_beyond_its_limit_by_what_was_written_between_two_looks_and_says_so(
    world: Any,
) -> None:
    ended = await over(world, "log", "yes", log_bytes=MIB, on_log="stop")
    told = re.fullmatch(r"it grew by (\S+) MiB/s and was looked at (\d+) ms before", ended.outcome.why)
    assert told is not None
    assert int(told[2]) < 500  # 20 ms where nobody else keeps the launcher waiting
    assert ended.outcome.used - MIB <= (float(told[1]) * (int(told[2]) + 1) / 1000 + 1) * MIB
    assert ended.log.length < 2 * MIB


async def test_a_log_that_is_too_long_ends_the_attempt_where_the_definition_says_so(world: Any) -> None:
    ended = await over(world, "log", "yes", log_bytes=50_000, on_log="stop")
    assert "[orchctl: log cut at 50000 bytes]" in world.log(ended)
    short = await over(world, "log", "head -c 60000 /dev/zero", log_bytes=50_000, on_log="stop")
    assert short.outcome.why == "it had ended before that was seen"
    assert short.outcome.used == 60_000


async def test_silence_ends_an_attempt_and_every_word_puts_it_off(world: Any) -> None:
    talks = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done; sleep 60"
    attempt = world.start(talks, quota=Quota(silence_ns=400_000_000))
    ended = await world.end(attempt)
    assert (ended.outcome.which, world.log(ended).split()[-1]) == ("silence", "6")
    assert ended.at_ns - world.begun(attempt).at_ns > 800_000_000


async def test_a_polite_end_comes_first_where_growth_is_slow(world: Any) -> None:
    polite = "trap 'echo bye; exit 0' TERM; while :; do :; done"
    ended = await over(world, "cpu_time", polite, cpu_ns=SECOND // 5)
    assert "bye" in world.log(ended)
    deaf = world.start("trap '' TERM; while :; do :; done", quota=Quota(cpu_ns=SECOND // 5), stop=Stop(grace_ns=10**8))
    assert (await world.end(deaf)).outcome.which == "cpu_time"


async def test_a_share_of_the_cpu_binds_the_attempt_to_as_few_cores(world: Any) -> None:
    show = "import os; print(len(os.sched_getaffinity(0)), os.getpriority(os.PRIO_PROCESS, 0))"
    late = f"import time; time.sleep(0.3); {show}"
    ended = await world.end(world.start(python(late), quota=Quota(cpu_milli=500)))
    assert world.log(ended).split() == ["1", "5"]
    ended = await world.end(world.start(python(late), quota=Quota(cpu_milli=1000)))
    assert world.log(ended).split() == ["1", "0"]


async def test_a_part_of_a_cpu_is_told_to_be_rounded_up_where_only_whole_ones_can_be_held(world: Any) -> None:
    for milli, level in ((1500, "rounded"), (500, "rounded"), (1000, "kernel")):
        attempt = world.start("sleep 60", quota=Quota(cpu_milli=milli))
        assert dict((await world.started(attempt)).levels) == {"cpu": level}
        world.stop(attempt, kill=True)
        await world.end(attempt)


async def test_each_quota_says_how_it_is_enforced(world: Any) -> None:
    attempt = world.start("sleep 60", quota=Quota(memory_bytes=2**30, processes=9, cpu_milli=1000, silence_ns=10**12))
    levels = dict((await world.started(attempt)).levels)
    assert levels == {"memory": "sampled", "processes": "sampled", "cpu": "kernel", "silence": "sampled"}
    plain = world.start("sleep 60")
    assert (await world.started(plain)).levels == ()
    await world.leave()
    await world.enter(world.nursery, [attempt, plain])
    assert dict((await world.started(attempt)).levels) == levels
    for number in (attempt, plain):
        world.stop(number, kill=True)
        await world.end(number)


@pytest.mark.skipif(not GROUPS, reason="no control group of version 2 can be made here")
async def test_an_attempt_with_a_quota_has_a_group_of_its_own_that_holds_all_its_daemons(world: Any) -> None:
    daemons = "setsid sleep 60 & (setsid sleep 61 &) & env -i setsid sleep 62 & echo ready > ready; sleep 63"
    attempt = world.start(daemons, quota=Quota(processes=50))
    await world.file_there("ready")
    parent = Path(cgroups.own_group()) / f"orchctl-{world.instance:x}"
    leaves = await world.until(lambda: [path for path in parent.iterdir() if path.is_dir()], "its group")
    assert [path.name.partition("-")[2] for path in leaves] == [str(attempt)]
    await world.until(lambda: len(cgroups.Leaf(str(leaves[0])).members()) >= 5, "all processes")
    world.stop(attempt)
    await world.end(attempt)
    await world.until(lambda: not leaves[0].exists(), "the end of the group")


@pytest.mark.skipif(not GROUPS, reason="no control group of version 2 can be made here")
async def test_the_groups_of_a_launcher_that_died_are_removed_with_their_processes(world: Any) -> None:
    attempt = world.start("sleep 60 & sleep 61", quota=Quota(processes=50))
    await world.started(attempt)
    await world.until(lambda: list(Path(cgroups.own_group()).glob(f"orchctl-{world.instance:x}/*-*")), "its group")
    parent = Path(cgroups.own_group()) / f"orchctl-{world.instance:x}"
    victim = proc.stat(world.begun(attempt).pid).ppid  # pyright: ignore[reportOptionalMemberAccess]
    os.kill(victim, 9)
    assert "died" in (await world.end(attempt)).why
    assert [path for path in parent.iterdir() if path.is_dir()] == []


async def test_what_a_lasting_attempt_used_is_kept_beside_its_log(world: Any) -> None:
    work = python(
        "import time\nkept = b'x' * (30 * 2**20)\nuntil = time.time() + 1\n"
        "while time.time() < until: pass\ntime.sleep(2.5)"
    )
    attempt = world.start(work, quota=Quota(memory_bytes=2**30))
    ended = await world.end(attempt)
    assert ended.outcome.kind is OutcomeKind.SUCCEEDED
    samples = read(str(world.logs / samples_path(1, f"t{attempt}", -1, 1)))
    assert len(samples) >= 3
    assert max(sample.memory_bytes for sample in samples) > 30 * MIB
    assert 0.3 * SECOND < samples[-1].cpu_ns < 3 * SECOND
    assert samples[-1].processes == samples[-1].threads == 1
    assert all(before.at_ns < after.at_ns for before, after in pairwise(samples))


async def test_a_short_attempt_leaves_no_samples_and_one_over_its_quota_does(world: Any) -> None:
    attempt = world.start("sleep 0.1", quota=Quota(processes=5))
    await world.end(attempt)
    assert not (world.logs / samples_path(1, f"t{attempt}", -1, 1)).exists()
    bomb = python("import os, time\nfor _ in range(9):\n    if not os.fork(): time.sleep(60)\ntime.sleep(60)")
    ended = await over(world, "processes", bomb, processes=5)
    path = world.logs / samples_path(1, f"t{ended.attempt}", -1, 1)
    assert read(str(path))[-1].processes > 5


async def test_a_python_task_with_a_quota_runs_in_a_process_of_its_own(world: Any) -> None:
    start = "threading.Thread(target=time.sleep, args=(60,)).start()"
    source = f"import threading, time\ndef f():\n    for _ in range(50): {start}"
    ended = await world.end(world.python("m:f", source, quota=Quota(threads=20)))
    assert (ended.outcome.text, ended.outcome.limit) == ("over_quota.threads", 20)
