"""compare: trials in, tables, plots, objects and exit codes out."""

import csv
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from engine.protocol.messages import ListMetrics, ListTrials, Rows
from engine.protocol.rows import MetricRow, TrialRow
from tests.support.cli import orchctl
from tests.support.fake_engine import FakeEngine, rows_of

EVIL = "\x1b]52;c;eA==\x07"


@pytest.fixture
def engine(tmp_path: Path) -> Generator[FakeEngine]:
    with FakeEngine(tmp_path) as fake:
        fake.answers[ListMetrics] = rows_of(
            MetricRow(task="pack", metric="size", unit="B", better="lower"),
            MetricRow(task="pack", metric="duration", unit="s", better="lower"),
        )
        fake.answers[ListTrials] = lambda asked: answers(asked)
        yield fake


def answers(asked: ListTrials) -> Rows:
    """Two cells with six trials each; run 2 takes twice as long, run 3 was disturbed, run 4 measured nothing."""
    slow = {1: 1.0, 2: 2.0, 3: 2.0}.get(asked.run)
    rows = [
        TrialRow(
            task="pack", index=2 * number + at, cell={"level": level}, trial=number + 1, status="succeeded",
            attempts=1 + (asked.run == 3), values={"size": 1000 * level, "duration": slow * level * (1 + number / 500)},
            marks=("others used 0.90 CPUs (limit 0.1)",) if asked.run == 3 else (),
            notes=("line 1 of the report is no JSON object",) if asked.run == 3 else (),
            noise={"during": {"foreign_cpus": 0.9}},
        )
        for number in range(6)
        for at, level in enumerate((1, 9))
        if slow
    ]  # fmt: skip
    page = rows[asked.offset : asked.offset + 5]
    more = asked.offset + 5 < len(rows)
    return rows_of(*page, total=len(rows), cursor=str(asked.offset + 5) if more else "")


def test_a_run_s_cells_stand_in_a_table_with_a_plot(engine: FakeEngine) -> None:
    result = orchctl(engine.home, "compare", "r1")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "pack: size, lower is better, against level=1"
    assert lines[1].split() == ["CELL", "N", "NOISY", "MEDIAN", "INTERVAL", "SPEED-UP", "VERDICT"]
    assert lines[2].split()[:2] == ["level=1", "6"]
    assert lines[3].split()[-1] == "worse"
    assert "0.111x (0.111 to 0.111)" in lines[3]
    assert lines[4].startswith("  level=1")
    assert "●" in lines[4]
    assert "pack: duration, lower is better, against level=1" in lines
    assert max(map(len, lines)) <= 80


def test_a_slower_run_is_a_regression_and_the_exit_code_says_so_where_it_is_asked(engine: FakeEngine) -> None:
    words = ("compare", "r1", "r2", "--metric", "duration")
    result = orchctl(engine.home, *words)
    assert (result.code, result.err) == (0, "2 regressions\n")
    assert result.out.count("REGRESSION") == 2
    assert orchctl(engine.home, *words, "--fail-on-regression").code == 1
    assert orchctl(engine.home, "compare", "r1", "r1", "--fail-on-regression").code == 0
    assert orchctl(engine.home, "compare", "r2", "r1", "--fail-on-regression").code == 0
    assert orchctl(engine.home, "compare", "r1", "--baseline", "r2", "--fail-on-regression").code == 0
    assert orchctl(engine.home, "compare", "r1", "--baseline", "level=1", "--fail-on-regression").code == 1
    assert orchctl(engine.home, *words, "--tolerance", "150%", "--fail-on-regression").code == 0


def test_a_disturbed_run_says_so_and_proves_nothing(engine: FakeEngine) -> None:
    result = orchctl(engine.home, "compare", "r1", "r3", "--metric", "duration", "--fail-on-regression")
    assert result.code == 0
    assert "6!" in result.out
    assert "unclear" in result.out
    said = "12 times others used N CPUs (limit 0.1); at most 0.90 CPUs were used by others"
    assert f"r3: the host disturbed 12 of 12 trials: {said}" in result.out.splitlines()
    assert "r3: 12 trials: line 1 of the report is no JSON object" in result.out
    assert "r3: 12 trials went again" in result.out
    assert orchctl(engine.home, "compare", "r1", "r3", "--with-noisy", "--fail-on-regression").code == 1


def test_objects_and_csv_hold_the_same_figures(engine: FakeEngine) -> None:
    words = ("compare", "r1", "r2", "--metric", "duration")
    objects: list[dict[str, Any]] = [
        json.loads(line) for line in orchctl(engine.home, *words, "--json").out.splitlines()
    ]
    table = list(csv.DictReader(orchctl(engine.home, *words, "--csv").out.splitlines()))
    assert len(objects) == len(table) == 4
    last = objects[-1]
    assert (last["task"], last["cell"], last["run"], last["n"]) == ("pack", {"level": 9}, "r2", 6)
    assert (last["baseline_run"], last["baseline_cell"], last["speed_up"]) == ("r1", "level=9", 0.5)
    assert (last["verdict"], last["regression"]) == ("worse", True)
    assert list(table[0]) == list(last)
    assert [float(row["median"]) for row in table] == [row["median"] for row in objects]
    assert table[-1]["cell"] == "level=9"


def test_what_others_wrote_is_never_alive(engine: FakeEngine) -> None:
    engine.answers[ListMetrics] = rows_of(MetricRow(task=EVIL, metric=EVIL, unit=EVIL))
    engine.answers[ListTrials] = rows_of(
        TrialRow(
            task=EVIL, index=0, cell={EVIL: EVIL}, trial=1, status="succeeded", attempts=1, values={EVIL: 1.0},
            marks=(EVIL,), notes=(EVIL,),
        )
    )  # fmt: skip
    for words in ((), ("--csv",), ("--json",)):
        result = orchctl(engine.home, "compare", "r1", *words)
        assert result.code == 0
        assert "\x1b" not in result.out
        assert "\x07" not in result.out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("r4",), "no trial of r4 has ended well yet, or nothing is measured there"),
        (("r1", "--metric", "none"), "no trial of r1 has measured none"),
        (("r1", "--csv", "--json"), "--csv and --json are two forms of one answer"),
        (("r1", "--baseline", "level=1,tool"), "'tool' is no parameter of a cell"),
        (("r1", "--baseline", "level=5"), "no cell has level=5\nthere are level="),
        (("r1", "--tolerance", "x"), "'x' is not a share such as 2%"),
        (tuple(f"r{number}" for number in range(1, 30)), "at most 20 runs can be compared at once"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_sentence(
    engine: FakeEngine, words: tuple[str, ...], sentence: str
) -> None:
    result = orchctl(engine.home, "compare", *words)
    assert result.code == 2
    assert sentence in result.err
