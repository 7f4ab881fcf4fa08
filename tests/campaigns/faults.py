"""Launchers, keeper and engine killed under load, while attempts leave daemons behind.

    python -m tests.campaigns.faults [--rounds 3]

Each scenario starts a run of tasks that leave daemons by setsid, by a double fork and by `env -i setsid`, kills what it
names with SIGKILL, and then asks: does every tree of the dead one end within two seconds, is everything that was lost
run again without costing a retry, is nothing else disturbed, does the run succeed, is no process left? A launcher that
is only stopped is continued, and loses nothing.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

import psutil

from tests.support.home import Home, alive, home, kill_pid, wait_for

FLOW = """name: faults
defaults: {claim: {cpu: 0.1}}
tasks:
  work:
    run: |
      echo $$ >> PIDS/$ORCHCTL_INDEX
      setsid sh -c 'echo $$ >> PIDS/'$ORCHCTL_INDEX'; exec sleep 300' &
      (sh -c 'echo $$ >> PIDS/'$ORCHCTL_INDEX'; exec sleep 300' &) &
      env -i setsid sh -c 'echo $$ >> PIDS/'$ORCHCTL_INDEX'; exec sleep 300' &
      sleep 1.5
    for_each: "{{ range(40) }}"
    stop: {grace: 500ms}
"""
TREES_GONE_S = 2.0
HOPELESS = """name: hopeless
tasks:
  killer:
    run: kill -9 $PPID; sleep 60
    retry: {limit: 5}
"""


def _pids(folder: Path) -> set[int]:
    return {int(line) for path in folder.iterdir() for line in path.read_text().split()}


def _victims(status: dict[str, object], what: str) -> list[int]:
    launchers = [pid for pid in status["launchers"] if pid]  # type: ignore[attr-defined]
    return {
        "launcher": launchers[:1],
        "keeper": [status["keeper"]],
        "keeper and launcher": [status["keeper"], launchers[0]],
        "keeper and engine": [status["keeper"], status["pid"]],
        "all": [status["keeper"], *launchers, status["pid"]],
    }[what]  # type: ignore[return-value]


def _below(pids: list[int]) -> set[int]:
    """All processes below these."""
    return {child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)}


def scenario(place: Home, what: str, number: int) -> list[str]:
    """One killing; everything that is not as it must be."""
    folder = place.root / f"pids-{number}"
    folder.mkdir()
    flow = place.file(f"faults-{number}.yaml", FLOW.replace("PIDS", str(folder)))
    run = place.rows("submit", str(flow))[0]["run"]
    wait_for(lambda: len(list(folder.iterdir())) >= 10, "tasks to run")
    status = place.status()
    victims = _victims(status, what)
    dying = _below([pid for pid in victims if pid in status["launchers"]])
    for pid in victims:
        kill_pid(pid)
    start = time.monotonic()
    if status["pid"] in victims:
        place.start()
    found: list[str] = []
    wait_for(lambda: not any(alive(pid) for pid in dying), "the trees of the dead launchers to end", 10)
    took = time.monotonic() - start
    if took > TREES_GONE_S:
        found.append(f"{what}: the {len(dying)} processes of dead launchers ended after {took:.1f} s")
    wait_for(lambda: place.rows("show", run)[0]["finished_at"], "the run to finish", 120)
    show = place.rows("show", run)[0]
    rows = place.rows("tasks", run)
    lost = sum(row["attempts"] - 1 for row in rows)
    if show["status"] != "succeeded":
        found.append(
            f"{what}: the run is {show['status']}: {[row for row in rows if row['status'] != 'succeeded'][:3]}"
        )
    if what == "keeper" and lost:
        found.append(f"{what}: {lost} attempts were disturbed")
    wait_for(lambda: not any(alive(pid) for pid in _pids(folder)), "all daemons to be gone", 10)
    trees = f"{len(dying)} processes of dead launchers gone after {took:.2f} s"
    sys.stdout.write(f"{what}: {show['status']}, {lost} attempts again, {trees}, {len(found)} violations\n")
    return found


def stopped(place: Home) -> list[str]:
    """A launcher that gets SIGSTOP under load goes on by itself."""
    folder = place.root / "pids-stopped"
    folder.mkdir()
    flow = place.file("stopped.yaml", FLOW.replace("PIDS", str(folder)))
    run = place.rows("submit", str(flow))[0]["run"]
    wait_for(lambda: len(list(folder.iterdir())) >= 10, "tasks to run")
    victim = next(pid for pid in place.status()["launchers"] if pid)
    os.kill(victim, signal.SIGSTOP)
    wait_for(lambda: psutil.Process(victim).status() == psutil.STATUS_STOPPED, "the launcher to be stopped")
    start = time.monotonic()
    wait_for(lambda: psutil.Process(victim).status() != psutil.STATUS_STOPPED, "the launcher to be continued", 30)
    took = time.monotonic() - start
    wait_for(lambda: place.rows("show", run)[0]["finished_at"], "the run to finish", 120)
    show, lost = place.rows("show", run)[0], sum(row["attempts"] - 1 for row in place.rows("tasks", run))
    sys.stdout.write(f"a stopped launcher: continued after {took:.1f} s, {show['status']}, {lost} attempts again\n")
    return [] if show["status"] == "succeeded" and lost == 0 else [f"stopped launcher: {show['status']}, {lost} lost"]


def hopeless(place: Home) -> list[str]:
    """A task that always kills its launcher fails after the third loss."""
    last = place.call("run", str(place.file("hopeless.yaml", HOPELESS)), "--json")
    rows = place.rows("tasks", "latest")
    found = []
    if last.returncode != 1 or rows[0]["attempts"] != 3 or "lost" not in rows[0]["why"] + str(rows[0]["outcome"]):
        found.append(f"hopeless: exit {last.returncode}, {rows[0]}")
    sys.stdout.write(f"a task that kills its launcher: {rows[0]['status']} after {rows[0]['attempts']} attempts\n")
    return found


def main() -> int:
    """0 if all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    found: list[str] = []
    with home("[host]\ncpus = 2\n") as place:
        place.start()
        number = 0
        for _ in range(options.rounds):
            for what in ("launcher", "keeper", "keeper and launcher", "keeper and engine", "all"):
                number += 1
                found += scenario(place, what, number)
        found += stopped(place)
        found += hopeless(place)
        status = place.status()
        ours = [pid for pid in [status["keeper"], *status["launchers"], *status["workers"], status["meter"]] if pid]
        place.ok("engine", "stop", "--kill", "--yes")
        found += [f"process {pid} is left" for pid in [status["pid"], *ours] if alive(pid)]
    for sentence in found:
        sys.stdout.write(sentence + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
