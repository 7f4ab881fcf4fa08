"""Lanes, grids and figures over rows, as the server sums them up."""

from typing import Any

import pytest

from engine.model.errors import EngineError, ValueFault
from engine.model.status import SUCCESS
from engine.model.workflow import Workflow
from engine.protocol.messages import GetStats, ListGrid, ListGroups, ListLanes, Request
from engine.server import rows_of_figures
from engine.server.look import RunNeeded
from tests.unit.server.house import House, tasks_of
from tests.unit.server.test_queries import FAILED, names, page, rows

MAPPED = Workflow("mapped", tasks_of(("first", ""), ("each", "first", list(range(12))), ("last", "each")))


def half_way() -> tuple[House, int]:
    """`first` has ended; eight rows of `each` ran for 1 to 8 seconds, the third and the fifth failed."""
    house = House()
    run = house.begin(MAPPED)
    house.start(house.attempt_of(run, "first"))
    house.end(house.attempt_of(run, "first"))
    live = house.live(run)
    for attempt in live:
        house.start(attempt)
    for number, attempt in enumerate(live):
        house.end(attempt, FAILED if number in (2, 4) else SUCCESS)
    return house, run


def only(house: House, question: Request) -> dict[str, Any]:
    (row,) = rows(house, question)
    return row


def test_figures_of_a_task_tell_durations_and_group_failures_by_cause() -> None:
    house, run = half_way()
    row = only(house, GetStats(run=run, task="each"))
    assert row["tasks"]["failed"] == 2
    assert row["looked_at"] == 8
    assert 7.9 < row["seconds"]["max"] < 9
    assert row["seconds"]["p50"] < row["seconds"]["p90"] <= row["seconds"]["p99"]
    (cause,) = row["failures"]
    assert (cause["count"], cause["rows"]) == (2, ["each[2]", "each[4]"])
    assert "exit" in cause["why"]


def test_figures_of_a_run_are_over_all_its_rows() -> None:
    house, run = half_way()
    row = only(house, GetStats(run=run))
    assert (row["task"], row["looked_at"]) == ("", 9)
    assert row["failures"][0]["count"] == 2


def test_figures_look_at_a_bounded_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    house, run = half_way()
    monkeypatch.setattr(rows_of_figures, "_LOOKED_AT", 4)
    row = only(house, GetStats(run=run, task="each"))
    assert 0 < row["looked_at"] <= 4


def test_a_lane_has_a_span_for_each_attempt_and_a_mapped_task_is_as_busy_as_its_rows_were() -> None:
    house, run = half_way()
    first, each, last = rows(house, ListLanes(run=run))
    assert [how for *_, how in first["spans"]] == ["succeeded"]
    assert each["mapped"]
    assert each["rows"] == 12
    assert len(each["busy"]) == 60
    assert max(each["busy"]) == 8
    assert each["busy"][0] >= each["busy"][40]
    assert last["spans"] == []


def test_the_lanes_of_a_task_are_those_of_its_rows() -> None:
    house, run = half_way()
    lanes = rows(house, ListLanes(run=run, task="each", statuses=("failed",)))
    assert [(lane["index"], [how for *_, how in lane["spans"]]) for lane in lanes] == [(2, ["failed"]), (4, ["failed"])]
    assert page(house, ListLanes(run=run, task="each", offset=10, limit=1)).total == 12


def test_a_grid_shows_how_tasks_went_in_the_runs_before() -> None:
    house = House()
    before = house.begin(Workflow("w", tasks_of(("a", ""), ("b", "a"))))
    house.finish(before)
    other = house.begin(Workflow("other", tasks_of(("a", ""))))
    house.finish(other)
    run = house.begin(Workflow("w", tasks_of(("a", ""), ("b", "a"), ("new", ""))))
    with pytest.raises(RunNeeded):
        page(house, ListGrid(run=run))
    house.look.shelf.begin(before)
    house.look.shelf.put(before, house.history.finished[before])
    grid = {row["task"]: row["cells"] for row in rows(house, ListGrid(run=run))}
    assert grid["b"] == {f"r{before}": "succeeded", f"r{run}": "waiting"}
    assert grid["new"] == {f"r{run}": "running"}
    assert list(rows(house, ListGrid(run=run, runs=1))[0]["cells"]) == [f"r{run}"]
    with pytest.raises(ValueFault):
        page(house, ListGrid(run=run, runs=15))


def test_a_run_that_is_too_large_to_be_looked_into_is_said_to_be_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    flow = Workflow("w", tasks_of(("a", "")))
    before = house.begin(flow)
    house.finish(before)
    run = house.begin(flow)
    house.state.runs.pop(before, None)
    monkeypatch.setattr(rows_of_figures, "_GRID_ROWS_MAX", 0)
    assert rows(house, ListGrid(run=run))[0]["cells"][f"r{before}"] == "unknown"


def test_all_lists_of_tasks_take_the_same_filter() -> None:
    house, run = half_way()
    for question in (ListGroups, ListLanes, ListGrid):
        assert names(house, question(run=run, text="+each")) == ["first", "each"], question
        assert names(house, question(run=run, text="!~^(first|each)$")) == ["last"], question
        with pytest.raises(EngineError):
            page(house, question(run=run, text="~(a+)+"))
