"""Subscriptions: deltas in step are applied, anything else leads to a new snapshot."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.model.errors import Unavailable
from engine.protocol.messages import Delta, GetRun, Gone, ListGroups, Snapshot, Subscribe, Unsubscribe
from orchctl.client.connection import EngineGone, RefusalError
from orchctl.client.session import Session
from orchctl.client.watch import Watch
from orchctl.paths import Home
from orchctl.views import OutOfStepError, ViewState
from tests.support.fake_engine import FakeEngine, snapshot_of
from tests.support.rows import group_row, run_row


@pytest.fixture
def engine(tmp_path: Path) -> Generator[FakeEngine]:
    with FakeEngine(tmp_path) as fake:
        yield fake


def groups(*names: str) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(group_row(task=name)) for name in names]


def test_a_delta_changes_adds_removes_and_moves_rows() -> None:
    state = ViewState()
    state.apply(Snapshot(revision=5, rows=groups("a", "b", "c"), total=3))
    changed = msgspec.to_builtins(group_row(task="b", status="failed"))
    keys = state.apply(Delta(since=5, revision=8, rows=[changed, *groups("d")], order=["d", "b", "a"], total=3))
    assert keys == ["b", "d"]
    assert [row["task"] for row in state.rows] == ["d", "b", "a"]
    assert (state.get("b") or {})["status"] == "failed"
    assert (state.revision, state.total, state.known) == (8, 3, True)


def test_a_delta_from_another_revision_changes_nothing() -> None:
    state = ViewState()
    state.apply(Snapshot(revision=5, rows=groups("a"), total=1))
    with pytest.raises(OutOfStepError):
        state.apply(Delta(since=6, revision=8, rows=groups("b"), order=["b"]))
    with pytest.raises(OutOfStepError):
        state.apply(Delta(since=5, revision=8, rows=[], order=["a", "never sent"]))
    assert [row["task"] for row in state.rows] == ["a"]
    assert state.revision == 5


def test_views_of_one_connection_are_kept_apart(engine: FakeEngine) -> None:
    engine.subscriptions[GetRun] = snapshot_of(run_row())
    engine.subscriptions[ListGroups] = snapshot_of(group_row())
    with Session(Home(engine.home)) as session:
        watch = Watch(session, {"run": (GetRun(run=12), 20.0), "groups": (ListGroups(run=12), 1.0)})
        seen: set[str] = set()
        while len(seen) < 2:
            seen.update(watch.next(10))
        row = msgspec.to_builtins(run_row(status="failed"))
        engine.push(GetRun, Delta(since=7, revision=9, rows=[row], total=1))
        assert watch.next(10) == ["run"]
    assert watch.states["run"].rows[0]["status"] == "failed"
    assert watch.states["groups"].rows[0]["task"] == "clean"
    assert [request.rate for request in engine.asked if isinstance(request, Subscribe)] == [20.0, 1.0]


def test_a_missed_delta_leads_to_a_new_subscription(engine: FakeEngine) -> None:
    engine.subscriptions[GetRun] = [snapshot_of(run_row()), snapshot_of(run_row(status="paused"), revision=30)]
    with Session(Home(engine.home)) as session:
        watch = Watch(session, {"run": (GetRun(run=12), 10.0)})
        watch.next(10)
        engine.push(GetRun, Delta(since=20, revision=21, rows=[], total=1))
        assert watch.next(10) == ["run"]
        assert watch.states["run"].rows[0]["status"] == "paused"
    assert engine.last(Unsubscribe).subscription == 2


def test_nothing_new_is_no_error(engine: FakeEngine) -> None:
    engine.subscriptions[GetRun] = snapshot_of(run_row())
    with Session(Home(engine.home)) as session:
        watch = Watch(session, {"run": (GetRun(run=12), 10.0)})
        watch.next(10)
        assert watch.next(0.01) == []


def test_the_end_of_a_subject_and_of_the_engine_are_told(engine: FakeEngine) -> None:
    engine.subscriptions[GetRun] = Gone(why="run r12 was deleted")
    with Session(Home(engine.home)) as session:
        with pytest.raises(Unavailable, match="deleted"):
            Watch(session, {"run": (GetRun(run=12), 10.0)}).next(10)
        del engine.subscriptions[GetRun]
        with pytest.raises(RefusalError):
            Watch(session, {"run": (GetRun(run=12), 10.0)}).next(10)
        engine.subscriptions[GetRun] = snapshot_of(run_row())
        watch = Watch(session, {"run": (GetRun(run=12), 10.0)})
        watch.next(10)
        engine.drop()
        with pytest.raises(EngineGone):
            watch.next(10)
