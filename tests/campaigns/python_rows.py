"""Engine, launchers and workers killed under rows of a Python function that crash, fail, hang on and leave daemons.

    python -m tests.campaigns.python_rows [--rows 10000] [--kills 25] [--seed 1]

At the end: has every row succeeded, has each left its mark, has one that left two marks a lost attempt to account for
it, does each log hold what its own row printed and nothing else, is the host's ledger empty, is every worker's page
given back?
"""

import argparse
import collections
import contextlib
import os
import random
import signal
import sys
import time
from pathlib import Path

from tests.campaigns.verdict import leaks, tell
from tests.support.home import Home, home

MODULE = '''import os, random, subprocess, time

MARKS = "MARKS"


def _first(what, row):
    """Whether this is the first time that this happens to the row."""
    try:
        os.close(os.open(f"{MARKS}.{what}{row}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def work(row):
    chance = random.random()
    if chance < 0.3:
        time.sleep(0.3 if chance < 0.01 else 0.002)
    if row % 113 == 5 and _first("crash", row):
        os._exit(9)
    if row % 127 == 6:
        subprocess.Popen(["sleep", "300"], start_new_session=True)
    if row % 131 == 7 and _first("fail", row):
        raise RuntimeError("once")
    file = os.open(MARKS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b"%d\\n" % row)
    os.close(file)
    print("row", row)
    return "y" * 6000 if row % 200 == 3 else row
'''
FLOW = """name: rows
tasks:
  work:
    python: rows_of_campaign:work
    args: {row: "{{ item }}"}
    for_each: "{{ range(COUNT) }}"
    claim: {cpu: 0.5}
    retry: {limit: 3, delay: 50ms}
"""
LOGS_READ = 60


def _kill_one(place: Home, chance: random.Random, kills: collections.Counter[str]) -> None:
    """SIGKILL to the engine, a launcher or a worker; an engine is started again."""
    status = place.status()
    what = chance.choice(["engine", "launcher", "worker"])
    pids = {
        "engine": [status["pid"]],
        "launcher": [pid for pid in status["launchers"] if pid],
        "worker": status["workers"],
    }[what]
    if pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(pids), signal.SIGKILL)
            kills[what] += 1
    if what == "engine":
        place.start()


def _check(place: Home, run: str, count: int, chance: random.Random) -> list[str]:
    """What is wrong, as sentences."""
    rows = place.rows("tasks", run)
    marks = collections.Counter(int(line) for line in (place.root / "marks").read_text().split())
    found = [f"row {row['index']} is {row['status']}" for row in rows if row["status"] != "succeeded"]
    if len(rows) != count:
        found.append(f"{len(rows)} rows are told of, {count} were ordered")
    found += [f"row {index} left no mark" for index in range(count) if not marks[index]]
    found += [
        f"row {row['index']} ran {marks[row['index']]} times in {row['attempts']} attempts"
        for row in rows
        if marks[row["index"]] > row["attempts"]
    ]
    for index in chance.sample(range(count), min(LOGS_READ, count)):
        log = place.ok("logs", run, f"work[{index}]")
        if f"row {index}\n" not in log or log.count("row ") != marks[index]:
            found.append(f"the log of row {index} is {log[:80]!r}")
    found += leaks(place)
    pages = list((place.root / "execution" / "pages").iterdir())
    if pages:
        found.append(f"{len(pages)} pages of workers were not given back")
    return found


def main() -> int:
    """0 if all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with home() as place:
        place.file("rows_of_campaign.py", MODULE.replace('"MARKS"', repr(str(place.root / "marks"))))
        flow: Path = place.file("rows.yaml", FLOW.replace("COUNT", str(options.rows)))
        place.start()
        run = place.rows("submit", str(flow))[0]["run"]
        kills: collections.Counter[str] = collections.Counter()
        end = time.monotonic() + 600
        while not place.rows("show", run)[0]["finished_at"]:
            if time.monotonic() > end:
                sys.stdout.write(f"run {run} has not finished within 600 s\n")
                return 1
            time.sleep(chance.uniform(0, 0.2))
            if kills.total() < options.kills:
                _kill_one(place, chance, kills)
        found = _check(place, run, options.rows, chance)
        return tell(f"{options.rows} rows, kills {dict(kills)}, violations {len(found)}", found)


if __name__ == "__main__":
    sys.exit(main())
