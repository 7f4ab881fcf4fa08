"""Two operators at two consoles, on real terminals before a real engine, who act on the same things at once."""

from collections.abc import Generator

import pytest

from tests.support.home import Home, home, wait_for
from tests.support.operator import Operator, operator

pytestmark = pytest.mark.e2e

FAILING = """
name: failing
tasks:
  load: {run: 'test -e again || exit 3; until test -e open; do sleep 0.05; done'}
"""
DAILY = """
name: daily
schedule: "0 6 * * *"
tasks:
  load: {run: 'until test -e open; do sleep 0.05; done'}
"""


@pytest.fixture
def place() -> Generator[Home]:
    with home() as found:
        yield found


def _asked(person: Operator, keys: bytes, *parts: str) -> None:
    """Press a key and see the question that comes."""
    person.press(keys)
    for part in (*parts, "no (also esc)"):
        person.shows(part)


def test_one_wins_the_other_is_told_and_the_audit_shows_both(place: Home) -> None:
    place.file("failing.yaml", FAILING)
    place.ok("engine", "start")
    assert place.call("run", "failing.yaml").returncode == 1
    place.file("again", "")
    with operator(place, "r1") as alice, operator(place, "r1") as bob:
        for person in (alice, bob):
            person.shows("✗ 1")
            person.press(b"j")
        for person in (alice, bob):
            _asked(person, b"r", "Retry:", "load, failed")
        alice.press(b"y")
        alice.shows("retried: load")
        bob.shows(": retry r1 load")  # the other's act is told while the question is open
        wait_for(lambda: place.rows("tasks", "r1")[0]["status"] == "running", "the second attempt")
        bob.press(b"y")
        bob.shows("not done: r1 has nothing to retry: load is running now, it was failed when you")
        assert place.rows("tasks", "r1")[0]["attempts"] == 2
        acts = [row for row in place.rows("audit") if row["verb"] == "retry"]
        assert {row["via"] for row in acts} == {"console"}
        assert len(acts) == 2
        assert len({row["place"] for row in acts}) == 2, "the audit tells the consoles apart"
        assert all(row["target"].startswith("r1") for row in acts)
        for person in (alice, bob):
            person.press(b"A")
            person.shows("FROM")
            person.until(lambda lines: sum("retry" in line for line in lines) >= 2, "both acts in the audit")
        place.file("open", "")
        wait_for(lambda: place.rows("show", "r1")[0]["status"] == "succeeded", "the end of the run")


def test_a_backfill_is_seen_and_stopped_by_whoever_comes_first(place: Home) -> None:
    place.file("daily.yaml", DAILY)
    place.ok("engine", "start")
    place.ok("add", "daily.yaml")
    with operator(place) as alice, operator(place) as bob:
        alice.shows("no runs yet")
        alice.press(b"W")
        alice.shows("OWNER")
        alice.shows("daily")
        alice.press(b"b")
        alice.shows("Backfill daily")
        alice.press(b"2025-01-01\t2025-01-04\x13")
        alice.shows("a run for each of these partitions")
        alice.press(b"y")
        alice.shows("made: b1, 4 partitions")
        for person in (alice, bob):
            person.press(b"B")
            person.shows("2 Backfills*")
            person.shows("at most 1 at once")
            _asked(person, b"c", "Cancel:", "b1 of daily, running: 3 to come, 1 unfinished run")
        alice.press(b"y")
        alice.shows("cancelled: backfill b1 of daily, with 1 run of it")
        bob.press(b"y")
        bob.shows("not done: b1 is cancelled now, it was running when you looked")
        results = [row["result"] for row in place.rows("audit") if row["verb"] == "cancel"]
        assert sorted(results) == ["accepted", "conflict"]
