"""Blocks of rows in real workers: what each row came to, whatever happens to worker, launcher and engine."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from engine.core.effects import StartAttempt, StopAttempt
from engine.core.events import AttemptExited, AttemptLost, AttemptStarted, BlockStarted, RowsReturned, RowsSucceeded
from engine.core.unfold import unfold
from engine.execution import proc
from engine.execution.executor import Rows
from engine.model.status import OutcomeKind
from engine.model.workflow import Python, Quota

pytestmark = pytest.mark.trio

ROOT = Path(__file__).parents[3]
SLEEPY = "import time\ndef f(x):\n    open(f'began{x}', 'w').write('x')\n    time.sleep(x)\n    return x\n"


class Rowwise:
    """A block that was started, and what became of its rows."""

    def __init__(self, world: Any, source: str, values: list[Any], **given: Any) -> None:
        self.world = world
        world.file("m.py").write_text(source)
        count = len(values)
        self.order: StartAttempt = world.order(
            Python("m:f"), task="t", index=0, count=count, columns=(("x", values),), **given
        )
        world._next += count
        world.executor.start([self.order])

    @property
    def number(self) -> int:
        return self.order.attempt

    def ends(self) -> dict[int, Any]:
        """By offset, the one end of each row."""
        found: dict[int, Any] = {}
        for event in self.world.events:
            if isinstance(event, RowsSucceeded) and event.attempt == self.number:
                ends = [one for one, _ in unfold(event, (1, 0, 0, 1)) if isinstance(one, AttemptExited)]
            elif isinstance(event, AttemptExited | AttemptLost) and event.block == self.number:
                ends = [event]
            else:
                continue
            for end in ends:
                assert end.attempt not in found, "a row ends once"
                found[end.attempt - self.number] = end
        return found

    def returned(self) -> int | None:
        """The offset from which on rows were given back."""
        told = [one for one in self.world.events if isinstance(one, RowsReturned)]
        return min((one.offset for one in told if one.attempt == self.number), default=None)

    async def over(self) -> dict[int, Any]:
        """Wait until every row has ended or was given back."""
        count = self.order.count
        await self.world.until(lambda: len(self.ends()) >= (count if self.returned() is None else self.returned()))
        return self.ends()

    def kinds(self) -> list[OutcomeKind | str]:
        ends = self.ends()
        return [
            ends[row].outcome.kind if isinstance(ends[row], AttemptExited) else "lost" for row in sorted(ends)
        ]  # fmt: skip


def _page(world: Any, block: Rowwise) -> bool:
    return (world.home / "execution" / "pages" / f"{block.number}.page").exists()


async def test_rows_run_one_after_another_in_one_worker_and_are_told_as_spans(world: Any) -> None:
    source = "import os\ndef f(x):\n    if x % 3 == 0:\n        print('row', x)\n    return [x, os.getpid()]\n"
    block = Rowwise(world, source, list(range(300)))
    ends = await block.over()
    results = [json.loads(ends[row].result) for row in range(300)]
    assert [x for x, _ in results] == list(range(300))
    assert len({pid for _, pid in results}) == 1
    assert [world.log(ends[row]) for row in (0, 1, 3)] == ["row 0\n", "", "row 3\n"]
    assert [ends[row].at_ns for row in range(300)] == sorted(ends[row].at_ns for row in range(300))
    assert len([one for one in world.events if isinstance(one, RowsSucceeded)]) < 100
    assert [type(one) for one in world.events if isinstance(one, AttemptStarted | BlockStarted)] == [BlockStarted]


async def test_a_block_says_where_its_output_begins_though_it_began_before_anybody_looked(world: Any) -> None:
    source = "def f(x):\n    print('row', x)\n"
    blocks = [Rowwise(world, source, list(range(50)))]
    for _ in range(5):
        blocks.append(Rowwise(world, source, list(range(50)), claim_from=blocks[-1].number))
    for block in blocks:
        ends = await block.over()
        begun = [one for one in world.events if isinstance(one, BlockStarted) and one.attempt == block.number]
        assert begun[0].log.offset == ends[0].log.offset


async def test_the_page_of_a_block_goes_when_its_end_is_acknowledged(world: Any) -> None:
    block = Rowwise(world, "def f(x):\n    pass\n", [1, 2, 3])
    await block.over()
    assert _page(world, block)
    world.executor.acknowledge([block.number])
    await world.until(lambda: not _page(world, block), "the end of the page")


async def test_a_row_that_raises_fails_alone(world: Any) -> None:
    block = Rowwise(world, "def f(x):\n    return 6 // x\n", [1, 2, 0, 3])
    ends = await block.over()
    kinds = [ends[row].outcome.kind.text for row in range(4)]
    assert kinds == ["succeeded", "succeeded", "failed", "succeeded"]
    assert ends[2].outcome.exception == "ZeroDivisionError"
    assert "ZeroDivisionError" in world.log(ends[2])
    assert ends[3].result == b"2"
    assert ends[2].began_ns <= ends[2].at_ns <= ends[3].at_ns


async def test_each_row_knows_its_index_and_the_row_before_cannot_move_it(world: Any) -> None:
    source = (
        "import os\ndef f(x):\n    here = os.getcwd()\n    os.chdir('/')\n"
        "    return [os.environ['ORCHCTL_INDEX'], here]\n"
    )
    ends = await Rowwise(world, source, [7, 8]).over()
    assert [json.loads(ends[row].result) for row in (0, 1)] == [["0", str(world.dir)], ["1", str(world.dir)]]


async def test_what_a_row_writes_to_its_result_file_is_its_result(world: Any) -> None:
    source = "import os\ndef f(x):\n    if x:\n        open(os.environ['ORCHCTL_RESULT'], 'w').write(f'[{x}]')\n"
    ends = await Rowwise(world, source, [0, 5, 0, 6]).over()
    assert [ends[row].result for row in range(4)] == [None, b"[5]", None, b"[6]"]


async def test_a_long_result_of_a_row_arrives_too(world: Any) -> None:
    ends = await Rowwise(world, "def f(x):\n    return 'y' * x\n", [10, 100_000, 2**20, 3]).over()
    assert [len(ends[row].result or b"") for row in (0, 1, 3)] == [12, 100_002, 5]
    assert "longer than 1 MiB" in ends[2].outcome.why


async def test_a_row_that_has_ended_is_told_while_the_next_one_takes_long(world: Any) -> None:
    block = Rowwise(world, SLEEPY, [0, 0.02, 600, 0])
    await world.file_there("began600")
    await world.until(lambda: set(block.ends()) == {0, 1}, "the ends of the first two rows")
    world.executor.recall([block.number])
    await world.until(lambda: block.returned() == 3, "the return of the last row")
    world.executor.stop([StopAttempt(block.number, kill=True, row=2)])
    await block.over()
    assert block.kinds() == [OutcomeKind.SUCCEEDED, OutcomeKind.SUCCEEDED, OutcomeKind.CANCELLED]
    assert not world.file("began0").stat().st_mtime_ns > world.file("began600").stat().st_mtime_ns


async def test_a_crash_ends_the_row_that_ran_and_gives_those_behind_it_back(world: Any) -> None:
    source = "import os\ndef f(x):\n    print('x', x, flush=True)\n    if x == 2:\n        os._exit(7)\n    return x\n"
    block = Rowwise(world, source, [0, 1, 2, 3, 4])
    ends = await block.over()
    assert [ends[row].outcome.text for row in range(3)] == ["succeeded", "succeeded", "failed"]
    assert (ends[2].outcome.exit_code, world.log(ends[2])) == (7, "x 2\n")
    assert block.returned() == 3
    world.executor.acknowledge([block.number])
    await world.until(lambda: not _page(world, block), "the end of the page")


async def test_a_row_that_is_stopped_politely_may_say_goodbye_and_the_rest_goes_on(world: Any) -> None:
    source = (
        "import signal, time\ndef f(x):\n    if x != 1:\n        return x\n"
        "    class Stop(Exception): pass\n"
        "    def heed(*_): raise Stop\n"
        "    signal.signal(signal.SIGTERM, heed)\n    open('up', 'w').write('x')\n"
        "    try:\n        time.sleep(600)\n    except Stop:\n        print('bye')\n"
        "    finally:\n        signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
    )
    block = Rowwise(world, source, [0, 1, 2])
    await world.file_there("up")
    world.executor.stop([StopAttempt(block.number, row=1)])
    ends = await block.over()
    assert block.kinds() == [OutcomeKind.SUCCEEDED, OutcomeKind.CANCELLED, OutcomeKind.SUCCEEDED]
    assert world.log(ends[1]) == "bye\n"


async def test_a_row_that_does_not_heed_is_killed_after_the_grace(world: Any) -> None:
    source = (
        "import signal, time\ndef f(x):\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    open('up', 'w').write('x')\n    time.sleep(600)\n"
    )
    block = Rowwise(world, source, [0, 1])
    await world.file_there("up")
    world.executor.stop([StopAttempt(block.number, row=0)])
    ends = await block.over()
    assert (ends[0].outcome.kind, ends[0].outcome.signal) == (OutcomeKind.CANCELLED, signal.SIGKILL)
    assert block.returned() == 1


async def test_a_row_that_has_not_begun_is_skipped_when_it_is_stopped(world: Any) -> None:
    block = Rowwise(world, SLEEPY, [0.3, 0.01, 0.02])
    await world.file_there("began0.3")
    world.executor.stop([StopAttempt(block.number, row=1)])
    await block.over()
    assert block.kinds() == [OutcomeKind.SUCCEEDED, OutcomeKind.CANCELLED, OutcomeKind.SUCCEEDED]
    assert not world.file("began0.01").exists()


async def test_the_wall_limit_is_that_of_each_row(world: Any) -> None:
    block = Rowwise(world, SLEEPY, [0.15, 0.16, 0.17, 600, 0], quota=Quota(wall_ns=400_000_000))
    ends = await block.over()
    kinds = [ends[row].outcome.kind for row in range(4)]
    assert kinds == [OutcomeKind.SUCCEEDED] * 3 + [OutcomeKind.TIMED_OUT]
    assert block.returned() == 4


async def test_children_that_a_row_leaves_behind_end_before_the_next_row_begins(world: Any) -> None:
    source = (
        "import subprocess, os\ndef f(x):\n    if x == 1:\n"
        "        subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "    return os.getpid()\n"
    )
    block = Rowwise(world, source, [0, 1, 2])
    ends = await block.over()
    assert block.kinds() == [OutcomeKind.SUCCEEDED] * 3
    assert len({ends[row].result for row in range(3)}) == 1, "the worker goes on"
    await world.until(lambda: not world.marked(), "the end of the children")


async def test_a_recalled_block_is_given_back_whole_and_never_runs(world: Any) -> None:
    first = Rowwise(world, SLEEPY, [0.4, 0])
    second = Rowwise(world, SLEEPY, [0.05, 0.06], claim_from=first.number)
    await world.file_there("began0.4")
    world.executor.recall([second.number])
    await world.until(lambda: second.returned() == 0, "the return of the block")
    await first.over()
    assert not world.file("began0.05").exists()
    world.executor.acknowledge([second.number])
    await world.until(lambda: not _page(world, second), "the end of the page")


async def test_blocks_that_follow_each_other_run_in_order(world: Any) -> None:
    source = "import os\ndef f(x):\n    return os.getpid()\n"
    blocks = [Rowwise(world, source, [1, 2, 3])]
    for _ in range(4):
        blocks.append(Rowwise(world, source, [1, 2, 3], claim_from=blocks[-1].number))
    ends = [await block.over() for block in blocks]
    assert len({end.result for found in ends for end in found.values()}) == 1
    moments = [found[row].at_ns for found in ends for row in range(3)]
    assert moments == sorted(moments)


async def test_a_new_engine_is_told_of_all_rows_again_and_takes_those_that_it_does_not_know(world: Any) -> None:
    block = Rowwise(world, SLEEPY, [0, 0.01, 0.02, 0.5, 0.03])
    await world.until(lambda: len(block.ends()) == 3, "the first rows")
    await world.leave()
    await world.enter(world.nursery, {block.number: Rows(2, 5, block=True)})
    await world.until(lambda: set(block.ends()) >= {2, 3, 4}, "the rows that are news")
    assert set(block.kinds()) == {OutcomeKind.SUCCEEDED}


async def test_a_block_that_nobody_expects_is_ended(world: Any) -> None:
    block = Rowwise(world, SLEEPY, [600, 601, 0])
    await world.file_there("began600")
    await world.leave()
    await world.enter(world.nursery)
    await world.until(lambda: not world.marked(), "the end of the block")
    await world.until(lambda: not _page(world, block), "the end of the page")
    assert not world.file("began601").exists()


async def test_a_launcher_that_dies_takes_only_the_row_that_ran_with_it(world: Any) -> None:
    block = Rowwise(world, SLEEPY, [0, 0.01, 600, 0.02])
    await world.file_there("began600")
    await world.until(lambda: len(block.ends()) == 2, "the first rows")
    worker = next(one.pid for one in world.events if isinstance(one, BlockStarted))
    launcher = proc.stat(worker).ppid
    os.kill(launcher, signal.SIGKILL)
    await block.over()
    assert block.kinds() == [OutcomeKind.SUCCEEDED, OutcomeKind.SUCCEEDED, "lost"]
    assert block.returned() == 3
    assert not world.file("began0.02").exists()


async def test_rows_that_ended_unheard_are_told_by_the_next_launcher(world: Any) -> None:
    block = Rowwise(world, "def f(x):\n    open(f'ran{x}', 'w').write('x')\n    return x\n", list(range(50)))
    await world.file_there("ran49")
    worker = (await world.until(lambda: [one for one in world.events if isinstance(one, BlockStarted)]))[0].pid
    os.kill(proc.stat(worker).ppid, signal.SIGKILL)
    await world.until(lambda: len(block.ends()) + int("lost" in block.kinds()) >= 50, "all rows")
    assert set(block.ends()) == set(range(50))
    assert sum(kind == "lost" for kind in block.kinds()) <= 1


async def test_single_python_attempts_that_had_not_begun_are_not_lost_with_their_launcher(world: Any) -> None:
    world.file("m.py").write_text(SLEEPY)
    slow = world.order(Python("m:f", args={"x": 600}))
    behind = world.order(Python("m:f", args={"x": 0.01}), claim_from=slow.attempt)
    world.executor.start([slow, behind])
    await world.file_there("began600")
    os.kill(proc.stat((await world.started(slow.attempt)).pid).ppid, signal.SIGKILL)
    assert isinstance(await world.end(slow.attempt), AttemptLost)
    with trio.fail_after(10):
        await world.until(lambda: any(getattr(one, "attempt", 0) == behind.attempt for one in world.events))
    assert not isinstance(world.events[-1], AttemptLost) or world.events[-1].attempt != behind.attempt
    page = world.home / "execution" / "pages" / f"{behind.attempt}.page"
    await world.until(lambda: not page.exists(), "the end of the page")


async def test_an_interpreter_that_does_not_start_fails_every_row_clearly(world: Any) -> None:
    world.file("m.py").write_text("def f(x): pass\n")
    order = world.order(
        Python("m:f", interpreter="/bin/false"), task="t", index=0, count=3, columns=(("x", [1, 2, 3]),)
    )
    world.executor.start([order])
    await world.until(lambda: len([one for one in world.events if isinstance(one, AttemptExited)]) == 3, "three ends")
    whys = {one.outcome.why for one in world.events if isinstance(one, AttemptExited)}
    assert len(whys) == 1
    assert "exit 1" in whys.pop()


async def test_rows_whose_workers_always_die_before_they_begin_are_not_tried_for_ever(world: Any) -> None:
    site = world.file("sitecustomize.py")
    site.write_text("import mmap, os\nopen('workers', 'a').write('.')\nmmap.mmap = lambda *_: os._exit(7)\n")
    block = Rowwise(world, "def f(x): pass\n", [1, 2, 3], env=(("PYTHONPATH", str(site.parent)),))
    ends = await block.over()
    assert [end.outcome.kind for end in ends.values()] == [OutcomeKind.NOT_STARTED] * 3
    assert "3 workers ended one after the other before it began; the last: exit 7" in ends[0].outcome.why
    assert world.file("workers").read_text() == "..."


async def test_an_interpreter_that_is_not_there_fails_every_row_clearly(world: Any) -> None:
    world.file("m.py").write_text("def f(x): pass\n")
    order = world.order(
        Python("m:f", interpreter="/no/such/python"), task="t", index=0, count=3, columns=(("x", [1, 2, 3]),)
    )
    world.executor.start([order])
    await world.until(lambda: len([one for one in world.events if isinstance(one, AttemptExited)]) == 3, "three ends")
    ends = [one for one in world.events if isinstance(one, AttemptExited)]
    assert [(end.attempt - order.attempt, end.block) for end in ends] == [(row, order.attempt) for row in range(3)]
    assert {end.outcome.kind for end in ends} == {OutcomeKind.NOT_STARTED}
    assert "/no/such/python" in ends[0].outcome.why


ORPHANED = """
import sys
from pathlib import Path
from engine.execution import launcher, loop, places, proc, spool
home = Path(sys.argv[1])
where = places.Places(home, home / "run", home / "logs")
where.prepare()
before = spool.Spool(where.spool(0), 7, proc.boot_id())
before.write([], [(40, 3), (50, 1)])
before.close()
made = launcher.Launcher(loop.Loop(), where, 0, 7)
print([block.everything() for block in made.kept.values()])
print([(found["a"], found["o"]["kind"]) for found in made.spool.exits.values()])
"""


async def test_a_launcher_that_died_before_it_made_a_page_gives_the_block_back(tmp_path: Path) -> None:
    done = await trio.run_process([sys.executable, "-c", ORPHANED, str(tmp_path)], capture_stdout=True, cwd=ROOT)
    rows, singles = done.stdout.decode().splitlines()
    assert rows == "[[['returned', 40, 0, 'its launcher died before it began']]]"
    assert singles == "[(50, 'lost')]", "of a process nobody knows whether it began"
