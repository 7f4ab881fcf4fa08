"""Chains under fire: short tasks that are ordered ahead, each to follow the success of the one before, while the engine
and its launchers are killed at random moments.

    python -m tests.campaigns.chains [--tasks 2000] [--kills 60] [--seed 1] [--launchers]

Every task appends its number to one file; every 50th fails at its first attempt, every third is Python, and every 20th
leaves a result. Afterwards each number must be there, none before the one that it needs, and, unless launchers were
killed too (`--launchers`), none twice.
"""

import argparse
import random
import sys
import time
from pathlib import Path

from tests.campaigns.verdict import leaks, tell
from tests.support.home import Home, home, kill_pid, wait_for

PYTHON = """
import os

def call(n, file):
    fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, b"%d\\n" % n)
    os.close(fd)
"""


def write_flow(place: Home, count: int) -> Path:
    """`t0`, `t1`, ...: each needs the one before."""
    (place.root / "chain.py").write_text(PYTHON)
    file = place.root / "order"
    lines = ["name: chain", "defaults: {retry: {limit: 1}, claim: {cpu: 1}}", "tasks:"]
    for number in range(count):
        needs = f"needs: [t{number - 1}], " if number else ""
        if number % 3 == 2:
            action = f'python: "chain:call", args: {{n: {number}, file: "{file}"}}'
        else:
            words = [f"echo {number} >> {file}"]
            if number % 50 == 0:
                words.insert(0, "test $ORCHCTL_ATTEMPT -gt 1")
            if number % 20 == 0:
                words.append('echo 1 > "$ORCHCTL_RESULT"')
            action = f"run: '{'; '.join(words)}'"
        lines.append(f"  t{number}: {{{needs}{action}}}")
    return place.file("chain.yaml", "\n".join(lines) + "\n")


def check(place: Home, run: str, count: int, *, once: bool) -> list[str]:
    """Everything that is not as it must be."""
    found = [
        f"{row['task']} is {row['status']}: {row['outcome']} {row['why']}"
        for row in place.rows("tasks", run)
        if row["status"] != "succeeded"
    ]
    numbers = [int(line) for line in (place.root / "order").read_text().split()]
    seen: set[int] = set()
    for number in numbers:
        if number and number - 1 not in seen:
            found.append(f"t{number} ran before t{number - 1}")
        if once and number in seen:
            found.append(f"t{number} ran twice")
        seen.add(number)
    if seen != set(range(count)):
        found.append(f"{len(seen)} of {count} ran")
    return found + leaks(place)


def main() -> int:
    """0 if all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--launchers", action="store_true")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with home() as place:
        place.start()
        run = place.rows("submit", str(write_flow(place, options.tasks)))[0]["run"]
        kills = 0
        while kills < options.kills and not place.rows("show", run)[0]["finished_at"]:
            time.sleep(chance.uniform(0, 0.25))
            status = place.status()
            if options.launchers and chance.random() < 0.4:
                kill_pid(chance.choice(status["launchers"]))
            else:
                kill_pid(status["pid"])
                place.start()
            kills += 1
        wait_for(lambda: place.rows("show", run)[0]["finished_at"], "the run to finish", 600)
        ahead = sum(1 for event in place.rows("events", run) if "on_success" in str(event["details"]))
        found = check(place, run, options.tasks, once=not options.launchers)
        return tell(f"kills {kills}, ordered on success {ahead}, violations {len(found)}", found)


if __name__ == "__main__":
    sys.exit(main())
