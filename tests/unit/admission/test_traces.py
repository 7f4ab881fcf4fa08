"""Recorded tasks of a cluster are read as they are written, and replayed without ever holding too much."""

import random
from pathlib import Path

import pytest

from engine.model.instants import SECOND
from engine.model.resources import Capacity, Claim
from tests.sim.admission import Arrival, Fifo, Greedy, Ours, busy, simulate, waits_ns
from tests.sim.traces import MIB, read_trace

GIB = 2**30
HOST = Capacity(64_000, 256 * GIB, gpus=tuple((f"GPU-{number}", number // 4) for number in range(8)))
HEAD = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
SAMPLE = HEAD + (
    "pod-3,4000,15258,1,220,,BE,Running,9679175,9973826,9679175\n"
    "pod-1,32000,131072,8,1000,,Burstable,Succeeded,9437497,9769854,9437500\n"
    "pod-2,88000,65536,8,1000,,Burstable,Succeeded,9437499,9769854,9437500\n"
    "pod-4,1000,1024,0,,,LS,Pending,9437600,,\n"
    "pod-5,2000,2048,0,0,,LS,Succeeded,9437700,9437800,9437750\n"
    "pod-6,8000,32768,2,1000,V100M16|V100M32,LS,Succeeded,9437800,9438800,9437800\n"
)


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "trace.csv").write_text(text)
    return tmp_path / "trace.csv"


def test_a_trace_is_read_in_order_with_what_it_leaves_out(tmp_path: Path):
    trace = read_trace(written(tmp_path, SAMPLE), HOST)
    assert (trace.unfinished, trace.too_wide, len(trace.tasks)) == (1, 1, 4)
    takes = (9769854 - 9437500) * SECOND
    assert trace.tasks[0] == Arrival(0, takes, Claim(32_000, 131_072 * MIB, gpu_milli=8000), takes, "Burstable")
    assert [task.claim.gpu_milli for task in trace.tasks] == [8000, 0, 2000, 220]


def test_a_column_of_durations_counts(tmp_path: Path):
    text = "cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,duration\n500,10,0,0,100,2.5\n"
    assert read_trace(written(tmp_path, text), HOST).tasks[0].takes_ns == 2_500_000_000


@pytest.mark.parametrize("text", ["a,b\n1,2\n", HEAD + "x,many,1,0,0,,,,1,2,1\n"])
def test_another_file_is_refused_with_the_line(tmp_path: Path, text: str):
    with pytest.raises(ValueError, match=r"trace.csv:2: not a line of a cluster trace"):
        read_trace(written(tmp_path, text), HOST)


def many(tmp_path: Path, pods: int) -> Path:
    """A file like the recorded ones: most ask for one GPU or a part of it, few for all; a burst now and then."""
    draw, created, lines = random.Random(11), 9_437_497, list[str]()
    for number in range(pods):
        created += draw.choice((0, 0, 1, 5, 30))
        gpus, milli = draw.choices(
            ((0, 0), (1, 250), (1, 500), (1, 1000), (2, 1000), (8, 1000)), (20, 20, 15, 35, 6, 4)
        )[0]
        cpu, memory = draw.choice((1000, 4000, 8000)) * max(gpus, 1), draw.choice((1024, 8192, 30_517)) * max(gpus, 1)
        began, takes = created + draw.randrange(3), int(draw.lognormvariate(4, 1)) + 1
        qos = draw.choice(("LS", "BE", "Burstable"))
        ends = f"{created},{began + takes},{began}"
        lines.append(f"pod-{number},{min(cpu, 64_000)},{memory},{gpus},{milli},,{qos},Succeeded,{ends}\n")
    return written(tmp_path, HEAD + "".join(lines))


def test_a_long_trace_is_replayed_without_holding_too_much_and_about_as_busy_as_can_be(tmp_path: Path):
    trace = read_trace(many(tmp_path, 1000), HOST)
    assert (trace.unfinished, trace.too_wide, len(trace.tasks)) == (0, 0, 1000)
    ours, greedy, fifo = (simulate(trace.tasks, policy(HOST), HOST) for policy in (Ours, Greedy, Fifo))
    held = [busy(trace.tasks, story, HOST) for story in (ours, greedy, fifo)]
    assert held[0] >= held[1] - 0.03
    assert ours.finished_ns <= greedy.finished_ns * 1.05
    widest = [number for number, task in enumerate(trace.tasks) if task.claim.gpu_milli == 8000]
    waits = [max(waits_ns(trace.tasks, story)[number] for number in widest) for story in (ours, greedy, fifo)]
    assert waits[0] < waits[1], "passing freely starves them, else this proves nothing"


def test_a_trace_is_replayed_whole(tmp_path: Path):
    lines = [SAMPLE.replace(",94", f",9{digit}").partition("\n")[2] for digit in range(5, 9)]
    trace = read_trace(written(tmp_path, SAMPLE + "".join(lines)), HOST)
    ours = simulate(trace.tasks, Ours(HOST), HOST)
    assert ours.finished_ns <= simulate(trace.tasks, Greedy(HOST), HOST).finished_ns * 1.05
