"""What the server tells of trials: what was declared, and what each row's newest attempt measured."""

from typing import Any

import msgspec
import pytest

from engine.core.events import AttemptExited, Measured, Noise
from engine.model.campaign import Campaign, Metric
from engine.model.errors import NotFound, ValueFault
from engine.model.status import SUCCESS
from engine.model.workflow import Task, Workflow
from engine.protocol.messages import ListAttempts, ListMetrics, ListTrials
from engine.server.queries import answer
from tests.unit.server.house import TRUE, House

CAMPAIGN = Campaign(matrix=(("n", [1, 2]),), trials=2, warmups=1, metrics=(Metric("size", "B", "lower"),))
MEASURED = Measured(
    {"size": 5.0, "odd": 1.0, "duration": 0.25}, ("a note",), None, Noise(1.0, 0.5, 0.0), ("others used 0.50 CPUs",)
)


def rows(house: House, question: Any) -> list[dict[str, Any]]:
    return [msgspec.msgpack.decode(row.data) for row in answer(house.look, question, 0).rows]


def tried(measured: Measured | None = MEASURED) -> tuple[House, int]:
    """A run with a campaign, whose rows have all ended, and a task without one."""
    house = House()
    run = house.begin(Workflow("w", (Task("try", TRUE, campaign=CAMPAIGN), Task("plain", TRUE))))
    while live := house.live(run):
        house.start(live[0])
        house.step(AttemptExited(live[0].attempt, house.state.meta.now_ns, SUCCESS, measured=measured))
    house.look.shelf.begin(run)
    house.look.shelf.put(run, house.history.finished[run])
    return house, run


def test_metrics_are_those_declared_and_those_of_every_attempt() -> None:
    house, run = tried()
    found = [(row["task"], row["metric"], row["unit"], row["better"]) for row in rows(house, ListMetrics(run=run))]
    assert found[0] == ("try", "size", "B", "lower")
    assert [metric for _, metric, _, _ in found[1:]] == ["duration", "cpu", "max_rss"]
    assert {row["task"] for row in rows(house, ListMetrics(run=run, task="plain"))} == {"plain"}


def test_each_row_tells_its_cell_its_trial_and_what_it_measured() -> None:
    house, run = tried()
    found = rows(house, ListTrials(run=run))
    assert [(row["cell"], row["trial"]) for row in found] == [
        ({"n": n}, trial) for trial in (0, 1, 2) for n in (1, 2)
    ]  # fmt: skip
    first = found[0]
    assert (first["values"]["size"], first["values"]["duration"]) == (5.0, 0.25)
    assert {"cpu", "max_rss", "odd"} < set(first["values"])
    assert first["marks"] == ["others used 0.50 CPUs"]
    assert first["notes"] == ["a note"]
    assert first["noise"]["during"]["foreign_cpus"] == 0.5
    assert "before" not in first["noise"]
    (attempt,) = rows(house, ListAttempts(run=run, task="try", index=0))
    assert (attempt["values"]["odd"], attempt["marks"]) == (1.0, ["others used 0.50 CPUs"])


def test_pages_and_names_leave_out_what_is_not_asked_for() -> None:
    house, run = tried()
    whole = rows(house, ListTrials(run=run, metrics=("size",)))
    assert all(set(row["values"]) == {"size"} for row in whole)
    page = answer(house.look, ListTrials(run=run, offset=1, limit=2), 0)
    assert (len(page.rows), page.total, page.more, page.cursors[-1]) == (2, 6, True, "3")
    assert not answer(house.look, ListTrials(run=run, offset=4, limit=9), 0).more


def test_a_task_without_a_campaign_is_told_of_when_it_is_named() -> None:
    house, run = tried(None)
    (row,) = rows(house, ListTrials(run=run, task="plain"))
    assert (row["cell"], row["trial"], row["marks"]) == ({}, 1, [])
    assert set(row["values"]) == {"duration", "cpu", "max_rss"}


def test_unknown_tasks_and_bad_bounds_are_refused() -> None:
    house, run = tried()
    with pytest.raises(NotFound):
        rows(house, ListTrials(run=run, task="none"))
    for question in (
        ListTrials(run=run, limit=0),
        ListTrials(run=run, offset=-1),
        ListTrials(run=run, metrics=("x",) * 2000),
    ):
        with pytest.raises(ValueFault):
            rows(house, question)
