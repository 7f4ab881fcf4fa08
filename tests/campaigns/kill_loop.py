"""The kill loop: a run of process tasks and Python rows, the engine killed with SIGKILL at random moments and started
again.

    python -m tests.campaigns.kill_loop [--tasks 2000] [--kills 100] [--seed 1] [--fast]

Each task appends one line to a file of its own; some exit with codes, some die by signals, and their outcomes are known
beforehand. There are ten Python rows for each process, so that they go as blocks; each adds its number to one file, and
some raise. Afterwards every line must be there once, every outcome right, no slot held, no process left. With --fast
the tasks take no time, so that orders go ahead of time.
"""

import argparse
import random
import sys
import time
from pathlib import Path

from tests.campaigns.verdict import leaks, tell
from tests.support.home import Home, home, kill_pid, wait_for


def write_flow(place: Home, count: int, pause: str) -> Path:
    """`plain` must all succeed; `mixed` ends by code or signal, by index; every 97th of `calls` raises."""
    out = place.root / "out"
    out.mkdir()
    (place.root / "calls.py").write_text(CALLS)
    mixed = max(count // 10, 1)
    return place.file(
        "kills.yaml",
        f"""name: kills
tasks:
  plain:
    run: |
      echo line >> {out}/"$ORCHCTL_INDEX"; {pause}
    for_each: "{{{{ range({count}) }}}}"
    claim: {{cpu: 0.2}}
  mixed:
    run: |
      echo line >> {out}/m"$ORCHCTL_INDEX"
      case $(( ORCHCTL_INDEX % 4 )) in
        0) exit 0 ;;
        1) exit 7 ;;
        2) kill -SEGV $$ ;;
        3) kill -USR1 $$ ;;
      esac
    for_each: "{{{{ range({mixed}) }}}}"
    claim: {{cpu: 0.2}}
  calls:
    python: calls:call
    args: {{x: "{{{{ item }}}}", file: "{out}/calls"}}
    for_each: "{{{{ range({10 * count}) }}}}"
    claim: {{cpu: 0.2}}
""",
    )


CALLS = r"""
import os
import time

def call(x, file):
    time.sleep(0.004)
    fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, b"%d\n" % x)
    os.close(fd)
    if x % 97 == 96:
        raise ValueError(x)
    return x if x % 5 == 0 else None
"""


EXPECTED = {0: ("succeeded", 0, None), 1: ("failed", 7, None), 2: ("signalled", None, 11), 3: ("signalled", None, 10)}


def check(place: Home, run: str, count: int) -> list[str]:
    """Everything that is not as it must be."""
    found: list[str] = []
    rows = place.rows("tasks", run)
    plain = [row for row in rows if row["task"] == "plain"]
    mixed = [row for row in rows if row["task"] == "mixed"]
    if len(plain) != count:
        found.append(f"{len(plain)} rows of plain, {count} wanted")
    found += [
        f"plain[{row['index']}] is {row['status']}: {row['outcome']} {row['why']}"
        for row in plain
        if row["status"] != "succeeded"
    ]
    for row in mixed:
        outcome, code, signal = EXPECTED[row["index"] % 4]
        if (row["outcome"], row["exit_code"], row["signal"]) != (outcome, code, signal):
            found.append(
                f"mixed[{row['index']}] ended {row['outcome']} {row['exit_code']} {row['signal']}, not {outcome}"
            )
    calls = [row for row in rows if row["task"] == "calls"]
    numbers = sorted(int(line) for line in (place.root / "out" / "calls").read_text().split())
    if numbers != list(range(10 * count)):
        found.append(f"{len(numbers)} calls were made, {len(set(numbers))} different ones, {10 * count} wanted")
    for row in calls:
        wanted = "failed" if row["index"] % 97 == 96 else "succeeded"
        if row["status"] != wanted:
            found.append(f"calls[{row['index']}] is {row['status']}, {wanted} wanted: {row['why']}")
    for row in [*plain, *mixed]:
        name = f"{'m' if row['task'] == 'mixed' else ''}{row['index']}"
        path = place.root / "out" / name
        text = path.read_text() if path.exists() else ""
        if text != "line\n":
            found.append(f"{row['task']}[{row['index']}] wrote {text!r} (attempts {row['attempts']})")
    return found + leaks(place)


def main() -> int:
    """0 if all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with home() as place:
        place.start()
        pause = ":" if options.fast else "sleep 0.$(( ORCHCTL_INDEX % 7 ))"
        run = place.rows("submit", str(write_flow(place, options.tasks, pause)))[0]["run"]
        adoption: list[float] = []
        kills = 0
        while kills < options.kills:
            time.sleep(chance.uniform(0, 0.25))
            kill_pid(place.status()["pid"])
            kills += 1
            start = time.monotonic()
            place.start()
            adoption.append(time.monotonic() - start)
            if place.rows("show", run)[0]["finished_at"]:
                break
        wait_for(lambda: place.rows("show", run)[0]["finished_at"], "the run to finish", 600)
        found = check(place, run, options.tasks)
        adoption.sort()
        return tell(
            f"kills {kills}, restart to serving median {adoption[len(adoption) // 2]:.2f} s, max {adoption[-1]:.2f} s, "
            f"violations {len(found)}",
            found,
        )


if __name__ == "__main__":
    sys.exit(main())
