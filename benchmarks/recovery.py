"""The engine is killed in the middle of a large run. How soon does another serve, and take over what still runs?

What runs waits on two FIFOs. One is opened while no engine lives, so that half of the attempts end unseen: they are
adopted when their ends are on record. The others must run on, untouched, under the engine that follows.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import lab
from benchmarks.peers.kit import Work
from benchmarks.python_tasks import as_workflow as as_calls
from benchmarks.python_tasks import ours as python_ours
from engine.model.errors import EngineError
from engine.model.ids import parse_run
from engine.protocol.messages import GetRun, ListTasks
from engine.protocol.rows import RunRow
from orchctl.client.connection import open_connection
from orchctl.client.session import Session
from orchctl.paths import Home

LIVE = 64
CONFIG = f"[host]\ncpus = {LIVE}\n"
TOUCH_WITHIN_S = 60.0
EXPLICIT = """\
from orchctl import task, workflow

with workflow("explicit"):
    for i in range(COUNT):
        task(f"t{i}", run=["cat", f"FOLDER/fifo{i % 2}"])
"""


def rows_text(count: int, folder: Path) -> str:
    return (
        f"name: rows\ntasks:\n  wait:\n    run: 'cat {folder}/fifo$((ORCHCTL_INDEX % 2))'\n"
        f"    for_each: '{{{{ range({count}) }}}}'\n"
    )


def explicit_text(count: int, folder: Path) -> str:
    return EXPLICIT.replace("COUNT", str(count)).replace("FOLDER", str(folder))


def counts(session: Session, run: int) -> dict[str, int]:
    """The rows of a run by status."""
    return session.one(GetRun(run=run), RunRow)[0].tasks


def kill(bench: lab.Engine) -> None:
    """SIGKILL to the engine that we started, and wait until it is gone."""
    pid = bench.status().pid
    handle = os.pidfd_open(pid)
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    lab.until(lambda: not _alive(pid), "the engine to be gone", 10, every_s=0.001)
    os.close(handle)


def _alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def started_again(bench: lab.Engine, run: int) -> tuple[float, float, float]:
    """Start an engine: when it began (`perf_counter`), seconds until it answered, and until it listed the run."""
    begin = time.perf_counter()
    argv = [*lab.ORCHCTL, "engine", "start"]
    with subprocess.Popen(argv, env=bench.environment, stdout=subprocess.DEVNULL, start_new_session=True) as starter:
        lab.until(lambda: _answers(bench), "an answer", TOUCH_WITHIN_S, every_s=0.002)
        serving = time.perf_counter() - begin
        with bench.session() as session:
            session.rows(ListTasks(run=run))
        listed = time.perf_counter() - begin
        starter.wait()
    return begin, serving, listed


def _answers(bench: lab.Engine) -> bool:
    try:
        open_connection(Home(bench.home)).close()
    except EngineError:
        return False
    return True


def waiting(label: str, name: str, text: Callable[[int, Path], str], tasks: int) -> list[lab.Record]:
    """A run with attempts that wait, and the rest queued."""
    lab.say(f"recovery: {tasks:,} {label}")
    with lab.engine(CONFIG) as bench:
        for number in (0, 1):
            os.mkfifo(bench.files / f"fifo{number}")
        run = parse_run(bench.rows("submit", str(bench.file(name, text(tasks, bench.files))))[0]["run"])
        with bench.session() as session:
            lab.until(lambda: counts(session, run).get("running") == LIVE, f"{LIVE} attempts", 300)
            half = len([row for row in session.pages(ListTasks(run=run, statuses=("running",))) if _even(row)])
        time.sleep(1)  # so that all of them wait at their FIFO
        kill(bench)
        os.close(os.open(bench.files / "fifo0", os.O_WRONLY))
        begin, serving, listed = started_again(bench, run)
        with bench.session() as session:
            lab.until(lambda: counts(session, run).get("succeeded", 0) >= half, f"{half} ends", TOUCH_WITHIN_S)
            adopted = time.perf_counter() - begin
            found = counts(session, run)
    where = f"killed with {tasks:,} {label}"
    return [
        lab.one(f"{where}: serving again", "s", serving),
        lab.one(f"{where}: the run's rows listed", "s", listed),
        lab.one(f"{where}: {half} ends that nobody saw are on record", "s", adopted, live=LIVE, rows=found),
    ]


def _even(row: dict[str, object]) -> bool:
    index, task = row["index"], str(row["task"])
    return int(str(index) if index is not None else task[1:]) % 2 == 0


def at_full_speed(tasks: int) -> list[lab.Record]:
    """A run of Python no-ops, killed as it goes; then until the next row has succeeded."""
    lab.say(f"recovery: {tasks:,} Python rows at full speed")
    with lab.engine() as bench:
        python_ours(bench)(Work(calls=50))
        flow = bench.file("calls.yaml", as_calls(Work(calls=tasks)))
        run = parse_run(bench.rows("submit", str(flow))[0]["run"])
        with bench.session() as session:
            lab.until(lambda: counts(session, run).get("succeeded", 0) > tasks // 10, "a tenth of the rows", 300)
        kill(bench)
        begin, serving, _ = started_again(bench, run)
        with bench.session() as session:
            before = counts(session, run).get("succeeded", 0)
            lab.until(lambda: counts(session, run).get("succeeded", 0) > before or before == tasks, "progress")
            going = time.perf_counter() - begin
    where = f"killed with {tasks:,} Python rows at full speed"
    return [
        lab.one(f"{where}: serving again", "s", serving),
        lab.one(f"{where}: the next row has succeeded", "s", going),
    ]


def run(options: lab.Options) -> list[lab.Record]:
    """Rows, explicit tasks, and Python rows at full speed."""
    tasks = 3_000 if options.quick else 100_000
    return [
        *waiting("rows of a for_each", "rows.yaml", rows_text, tasks),
        *waiting("explicit tasks", "explicit.py", explicit_text, tasks),
        *at_full_speed(tasks),
    ]
