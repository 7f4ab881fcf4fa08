"""Groups of trials, their baselines, and what counts as a regression."""

from typing import Any

from engine.protocol.rows import MetricRow, TrialRow
from orchctl.campaign.comparing import Line, Measurements, Wishes, cell_text, compare_all

SIZE = MetricRow(task="t", metric="size", unit="B", better="lower")
RATE = MetricRow(task="t", metric="rate", better="higher")
NOISY = ("others used 0.90 CPUs",)


def trial(cell: dict[str, Any], number: int, marks: tuple[str, ...] = (), index: int = 0, **values: float) -> TrialRow:
    return TrialRow(
        task="t", index=index, cell=cell, trial=number, status="succeeded", attempts=1, values=values, marks=marks
    )


def run(number: int, *metrics: MetricRow, **sizes: float) -> Measurements:
    """Six trials of each of the cells a and b, one per cent apart; `a` and `b` say how large."""
    rows = [
        trial({"n": name}, at + 1, index=2 * at + (name == "b"), size=size * (1 + at / 1000), rate=1 / size)
        for at in range(6)
        for name, size in sizes.items()
    ]
    return Measurements(number, metrics or (SIZE,), rows)


def judged(*measured: Measurements, **wishes: Any) -> dict[tuple[str, str, int], Line]:
    lines = compare_all(measured, Wishes(**{"metrics": ("size",), **wishes}))
    return {(line.metric, cell_text(line.cell), line.run): line for line in lines}


def test_within_a_run_cells_are_compared_with_the_first_and_nothing_is_a_regression() -> None:
    found = judged(run(1, a=100, b=200))
    assert found["size", "n=a", 1].against is None
    line = found["size", "n=b", 1]
    assert line.against == (1, (("n", "a"),))
    assert line.comparison is not None
    assert line.comparison.speed_up == 0.5
    assert (line.verdict, line.regression) == ("worse", False)


def test_between_runs_the_same_cell_is_compared_and_what_is_worse_is_a_regression() -> None:
    found = judged(run(1, a=100, b=200), run(2, a=100, b=260), run(3, a=50, b=200))
    verdicts = {(cell, number): (line.verdict, line.regression) for (_, cell, number), line in found.items()}
    assert verdicts == {
        ("n=a", 1): ("", False), ("n=a", 2): ("same", False), ("n=a", 3): ("better", False),
        ("n=b", 1): ("", False), ("n=b", 2): ("worse", True), ("n=b", 3): ("same", False),
    }  # fmt: skip
    assert found["size", "n=b", 2].against == (1, (("n", "b"),))
    third = judged(run(1, a=100), run(2, a=260), baseline_run=2)
    assert (third["size", "n=a", 1].verdict, third["size", "n=a", 2].verdict) == ("better", "")


def test_a_baseline_of_parameters_leaves_the_others_as_they_are() -> None:
    rows = [
        trial({"tool": tool, "level": level}, at + 1, size=size * (1 + at / 1000))
        for at in range(6)
        for tool, level, size in (("x", 1, 10), ("x", 2, 20), ("y", 1, 30), ("y", 2, 10))
    ]
    found = judged(Measurements(1, (SIZE,), rows), baseline_cell=(("tool", "x"),))
    assert [(cell, line.verdict, line.regression) for (_, cell, _), line in found.items()] == [
        ("tool=x level=1", "", False), ("tool=x level=2", "", False), ("tool=y level=1", "worse", True),
        ("tool=y level=2", "better", False),
    ]  # fmt: skip
    assert (
        judged(Measurements(1, (SIZE,), rows), baseline_cell=(("tool", "z"),))["size", "tool=y level=1", 1].against
        is None
    )


def test_higher_is_better_where_it_was_declared_and_without_a_direction_nothing_is_judged() -> None:
    found = judged(run(1, RATE, a=100), run(2, RATE, a=50), metrics=("rate", "size"))
    assert found["rate", "n=a", 2].verdict == "better"
    line = found["size", "n=a", 2]
    assert (line.verdict, line.comparison) == ("", None)


def test_disturbed_trials_are_left_out_unless_they_are_wanted() -> None:
    calm = run(1, a=100)
    loud = Measurements(1, (SIZE,), [*calm.trials, *(trial({"n": "a"}, n, NOISY, size=900) for n in (7, 8))])
    line = judged(loud)["size", "n=a", 1]
    assert (line.summary.used, line.summary.noisy) == (6, 2)
    assert line.summary.high < 101
    assert judged(loud, with_noisy=True)["size", "n=a", 1].summary.used == 8


def test_a_run_that_was_disturbed_throughout_proves_nothing() -> None:
    disturbed = Measurements(2, (SIZE,), [trial({"n": "a"}, n, NOISY, size=900 + n) for n in range(1, 7)])
    line = judged(run(1, a=100), disturbed)["size", "n=a", 2]
    assert line.summary.all_noisy
    assert (line.verdict, line.regression) == ("unclear", False)
    assert judged(run(1, a=100), disturbed, with_noisy=True)["size", "n=a", 2].regression


def test_warm_ups_and_trials_that_failed_do_not_count() -> None:
    rows = [
        trial({}, 0, size=5), trial({}, 1, size=7), TrialRow(
            task="t", index=2, cell={}, trial=2, status="failed", attempts=1, values={"size": 1.0}
        ), trial({}, 3),
    ]  # fmt: skip
    (line,) = compare_all([Measurements(1, (SIZE,), rows)], Wishes())
    assert (line.summary.used, line.summary.median) == (1, 7)


def test_a_metric_of_zeros_has_no_ratio_and_is_still_judged_the_same() -> None:
    zeros = [trial({}, n, size=0) for n in range(1, 7)]
    ones = [trial({}, n, size=n) for n in range(1, 7)]
    found = judged(Measurements(1, (SIZE,), zeros), Measurements(2, (SIZE,), zeros), Measurements(3, (SIZE,), ones))
    assert found["size", "all", 2].verdict == "same"
    assert (found["size", "all", 3].verdict, found["size", "all", 3].comparison) == ("unclear", None)


def test_cells_stand_in_the_order_of_the_matrix_and_sorted_where_rounds_were_shuffled() -> None:
    def cells(*orders: tuple[Any, ...]) -> list[str]:
        rows = [
            trial({"n": n}, at, index=10 * at + place, size=1)
            for at, order in enumerate(orders, 1)
            for place, n in enumerate(order)
        ]
        return [cell_text(line.cell) for line in compare_all([Measurements(1, (SIZE,), rows)], Wishes())]

    assert cells((9, 1, "x"), (9, 1, "x")) == ["n=9", "n=1", "n=x"]
    assert cells((9, "x", 1, 10), (1, 10, 9, "x")) == ["n=1", "n=9", "n=10", "n=x"]


def test_what_is_shown_is_what_was_declared_or_reported_and_the_duration() -> None:
    rows = [trial({}, n, size=1, odd=2, duration=3, cpu=4, max_rss=5) for n in range(1, 4)]
    metrics = (SIZE, MetricRow(task="t", metric="duration", better="lower"), MetricRow(task="t", metric="cpu"))
    measured = [Measurements(1, metrics, rows)]
    assert [line.metric for line in compare_all(measured, Wishes())] == ["size", "duration", "odd"]
    assert [line.metric for line in compare_all(measured, Wishes(metrics=("cpu", "none")))] == ["cpu"]


def test_one_as_a_number_a_fraction_a_truth_and_a_text_are_four_cells() -> None:
    values: tuple[Any, ...] = (1, 1.0, True, "1")
    for shift in (0, 2):  # rounds in one order, and shuffled ones
        rows = [
            trial({"n": value, "of": of}, at + 1, index=0, size=100 * (number + 1) + at / 100)
            for at in range(6)
            for of in ("a", "b")
            for number, value in list(enumerate(values))[(at * shift) % 4 :]
            + list(enumerate(values))[: (at * shift) % 4]
        ]
        lines = compare_all([Measurements(1, (SIZE,), rows)], Wishes(metrics=("size",), baseline_cell=(("of", "a"),)))
        medians = {(type(dict(line.cell)["n"]), dict(line.cell)["of"]): line.summary.median for line in lines}
        assert [round(medians[type(value), "b"]) for value in values] == [100, 200, 300, 400]
        assert [line.summary.used for line in lines] == [6] * 8
        against = {type(dict(line.cell)["n"]): line.against for line in lines if line.against}
        assert {kind: type(dict(key[1])["n"]) for kind, key in against.items()} == {kind: kind for kind in against}
        assert len(against) == 4
