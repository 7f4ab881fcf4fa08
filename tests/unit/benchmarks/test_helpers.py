"""What the benchmarks reckon with must be right before their figures can be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import contest, lab, watchers
from benchmarks.__main__ import table
from benchmarks.cpu import Sample, run_command, tree, used_by
from benchmarks.peers import NAMES, find
from benchmarks.peers.kit import Command, Settings, Work
from benchmarks.peers.make import PEER as MAKE
from benchmarks.peers.make import write as write_makefile
from benchmarks.process_tasks import chain, independent, layers
from benchmarks.schedules import Trace, best_of_lists_s, makespan_s

BURN = "import time\nwhile time.process_time() < 0.2: pass\n"


def test_the_cpu_of_a_command_is_counted_with_that_of_its_children(tmp_path: Path):
    argv = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])"]
    sample, _ = run_command(argv, tmp_path, dict(os.environ))
    assert sample.own_s is not None
    assert sample.cpu_s - sample.own_s >= 0.2
    assert sample.own_s < sample.cpu_s / 2


def test_a_live_process_is_seen_with_what_it_used_and_one_that_is_gone_counts_nothing():
    code = BURN + "print('done', flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        assert used_by(process.pid).own_s >= 0.2
        assert process.pid in tree(os.getpid())
    assert used_by(process.pid).all_s == 0


def test_a_command_that_fails_is_told_with_what_it_said(tmp_path: Path):
    with pytest.raises(RuntimeError, match=r"ended with 3: oh no"):
        run_command(["sh", "-c", "echo oh no; exit 3"], tmp_path, dict(os.environ))


def test_half_do_not_exceed_the_median_and_99_percent_not_the_last_but_one():
    values = list(range(100, 0, -1))
    assert lab.percentile(values, 50) == 50
    assert lab.percentile(values, 99) == 99
    assert lab.percentile([7.0], 99) == 7.0


def test_shapes_have_the_parents_that_they_are_named_for():
    assert independent(3) == [[], [], []]
    assert chain(3) == [[], [0], [1]]
    shape = layers(9)
    assert shape[:3] == [[], [], []]
    assert shape[3:6] == [[0, 1], [1, 2], [2, 0]]
    assert all(len(set(ups)) == 2 and max(ups) < i for i, ups in enumerate(layers(2500)) if i >= 50)


def test_a_list_schedule_takes_what_can_be_reckoned_by_hand():
    trace = Trace("t", [2.0, 1.0, 1.0, 3.0], [[], [], [1], [2]])
    assert trace.critical_s() == 5.0
    assert makespan_s(trace, 1, [0, 1, 2, 3]) == 7.0
    assert makespan_s(trace, 1, [3, 2, 1, 0]) == 7.0
    assert makespan_s(trace, 2, [-way for way in trace.ways_s()]) == 5.0


def test_the_order_of_a_list_matters_and_the_best_is_found():
    long_last = Trace("t", [1.0, 1.0, 2.0], [[], [], []])
    assert makespan_s(long_last, 2, [0, 1, 2]) == 3.0
    assert best_of_lists_s(long_last, 2) == 2.0


def test_a_delay_runs_from_an_end_to_the_first_count_that_includes_it():
    ends = [1_000_000, 2_000_000, 3_000_000]
    assert watchers.delays_ms(ends, [(0, 0), (2_500_000, 2), (4_000_000, 3)]) == [1.5, 0.5, 1.0]
    assert watchers.delays_ms(ends, [(5_000_000, 3)]) == []


def test_a_slow_peer_gets_fewer_tasks_and_no_peer_more_than_there_are():
    question = contest.Question("W", "chain", 1000, lambda count: Work(chain(count)))
    slow = Command("slow", {"chain": 50}, write_makefile)
    fast = Command("fast", {"chain": 10_000}, write_makefile)
    assert question.share(slow, 2.0).count == 100
    assert question.share(fast, 2.0).count == 1000


def test_a_peer_that_fails_is_left_out_and_the_others_go_on(capsys: pytest.CaptureFixture[str]):
    question = contest.Question("W", "independent", 3, lambda count: Work(independent(count), "/bin/false"))
    ours = contest.Ours("orchctl", question, lambda work: Sample(1.0, 0.1))
    turns = contest.hold([question], [ours], lab.Options(peers=("xargs",)), 2, 1.0)
    assert [turn.contender for turn in turns] == ["orchctl", "orchctl"]
    assert capsys.readouterr().err.count("xargs is left out from here on") == 1


def test_rates_are_compared_with_ours_and_cpu_without_tasks_only_where_it_is_known():
    question = contest.Question("W", "independent", 10, lambda count: Work(independent(count)))
    turns = [
        contest.Turn(question, "orchctl", 10, Sample(1.0, 0.01, 0.005)),
        contest.Turn(question, "peer", 10, Sample(0.5, 0.02)),
    ]
    found = {(record.question, record.contender): record for record in contest.records(turns, question)}
    assert found["W", "peer"].value == 20
    assert found["W", "peer"].ratio == 2
    assert found["W: CPU, tasks included", "peer"].value == 2000
    assert found["W: CPU, tasks left out", "orchctl"].value == 500
    assert ("W: CPU, tasks left out", "peer") not in found


def test_the_table_compares_by_bars_and_stays_within_the_width():
    records = lab.compare("rate", "tasks/s", {"orchctl": [50.0, 50.0], "peer": [100.0, 100.0]})
    lines = table(records, 100).splitlines()
    assert lines[1].count("█") * 2 == lines[2].count("█")
    assert "x 2.00" in lines[2]
    assert all(len(line) <= 60 for line in table(records, 60).splitlines())


def test_a_peer_that_is_not_installed_is_left_out_with_a_sentence(tmp_path: Path):
    there, missing = find(NAMES, "no-op", Settings(2, "/bin/false"))
    assert [peer.name for peer in there] == ["pool"]
    assert any(sentence.startswith("ray is left out") for sentence in missing)


def test_make_runs_the_work_with_its_children_after_their_parents(tmp_path: Path):
    out = tmp_path / "out"
    work = Work(chain(4), commands=[f"sh -c 'echo {i} >> {out}'" for i in range(4)])
    settings = Settings(2)
    there, missing = find(["make"], "chain", settings)
    if not there:
        pytest.skip(missing[0])
    with MAKE.opened(settings) as run:
        sample = run(work)
    assert out.read_text().split() == ["0", "1", "2", "3"]
    assert sample.cpu_s > 0
