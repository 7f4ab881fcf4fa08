"""A backfill by real processes: the engine is killed on the way, and a run is looked at as it was."""

from collections.abc import Generator

import pytest

from tests.support.home import Home, home, wait_for

pytestmark = pytest.mark.e2e

DAILY = """
name: daily
schedule: "0 6 * * *"
params:
  day: {type: date, default: "{{ partition }}"}
tasks:
  load: {run: 'echo {{ params.day }}; until test -e open; do sleep 0.05; done'}
  sum: {needs: [load], run: 'true'}
"""
DATES = ("--from", "2025-01-01", "--to", "2025-01-03")


@pytest.fixture
def place() -> Generator[Home]:
    with home() as found:
        yield found


def test_a_backfill_goes_on_after_the_engine_was_killed(place: Home) -> None:
    place.file("daily.yaml", DAILY)
    place.ok("engine", "start")
    place.ok("add", "daily.yaml")
    assert [row["runs"] for row in place.rows("backfill", "daily", *DATES, "--dry-run")] == [True] * 3
    (made,) = place.rows("backfill", "daily", *DATES)
    assert (made["backfill"], made["partitions"]) == ("b1", 3)
    wait_for(lambda: place.rows("tasks", "r1")[0]["status"] == "running", "the first run")
    place.kill_engine()
    place.ok("engine", "start")
    assert place.rows("backfills")[0]["active"] == ["r1"]
    assert place.call("backfill", "daily", *DATES).returncode == 3
    place.file("open", "")
    wait_for(lambda: place.rows("backfills")[0]["status"] == "done", "the end of the backfill")
    (row,) = place.rows("backfills")
    assert (row["ended"], row["pending"], row["active"]) == ({"succeeded": 3}, 0, [])
    runs = place.rows("runs")
    assert [run["params"]["day"] for run in runs] == ["2025-01-03", "2025-01-02", "2025-01-01"]
    again = place.rows("backfill", "daily", *DATES, "--dry-run")
    assert [entry["why"] for entry in again] == ["r1 has succeeded", "r2 has succeeded", "r3 has succeeded"]
    began = next(event for event in place.rows("events", "r1") if event["event"] == "AttemptOrdered")
    (moment,) = place.rows("show", "r1", "--at", str(began["revision"]))
    assert (moment["status"], moment["tasks"]) == ("running", {"running": 1, "waiting": 1})
    place.ok("engine", "stop")
