"""Load that is not ours, by real processes: it holds attempts back, and every place says so."""

import os
import subprocess
import sys
from collections.abc import Generator

import pytest

from tests.support.home import Home, home, wait_for

pytestmark = pytest.mark.e2e

BURN = "while True: pass"
BOUND = 0.25 / len(os.sched_getaffinity(0))
ROWS = "name: rows\ntasks:\n  t: {run: sleep 600, for_each: '{{ range(3) }}', claim: {cpu: 0.1}, stop: {grace: 1s}}\n"


@pytest.fixture
def place() -> Generator[Home]:
    with home() as found:
        found.file("config.toml", f"[pressure]\nforeign_slow = {BOUND}\nforeign_closed = {BOUND}\n")
        yield found


def test_load_of_others_lets_one_attempt_through_and_is_told_as_the_reason(place: Home) -> None:
    place.start()
    others = subprocess.Popen([sys.executable, "-c", BURN])
    try:
        wait_for(lambda: place.rows("resources")[0]["admission"] == "closed", "the load to be seen")
        run = place.rows("submit", str(place.file("rows.yaml", ROWS)))[0]["run"]
        wait_for(lambda: place.rows("show", run)[0]["tasks"].get("running"), "one attempt to be let through")
        assert place.rows("show", run)[0]["tasks"] == {"running": 1, "ready": 2}
        assert "pressure: cpu: others leave" in place.ok("explain", run, "t[2]")
        assert "one attempt at a time" in place.ok("resources")
        assert "others leave" in place.ok("console", "--snapshot", "resources")
    finally:
        others.kill()
        others.wait()
