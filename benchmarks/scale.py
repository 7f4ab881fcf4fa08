"""What becomes of time, memory and disk as a run grows from a thousand to a million tasks?

Flat runs are a `for_each` of Python no-ops, layered ones explicit process tasks. Memory is measured of runs that wait
for a pool whose only slot is taken, so that nothing but the queue grows.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import lab
from benchmarks.cpu import pss_bytes, used_by_all
from benchmarks.peers.kit import Work
from benchmarks.process_tasks import as_workflow, layers
from benchmarks.python_tasks import as_workflow as as_calls
from benchmarks.python_tasks import ours as python_ours
from engine.model.ids import parse_run, run_text
from engine.model.instants import from_text
from engine.protocol.messages import GetEngine, ListTasks
from engine.protocol.rows import EngineRow, TaskRow
from orchctl.client.session import Session, typed
from orchctl.commands.submitting import definition_of, submit_run

FIRST_ROWS = 32
QUERY_ROUNDS = 5
WHOLE = ((1_000, 10_000, 100_000, 1_000_000), (1_000, 10_000, 100_000), 100_000, 1_000_000, 10_000)
QUICK = ((200, 1_000), (100, 400), 2_000, 20_000, 200)
"""Sizes: flat runs, layered runs, explicit tasks that are queued, rows that are queued, runs in history."""
SETTLE_S = 1.0
GATE = f"{lab.HOST}[pools]\ngate = 1\n"
HOLDER = "name: holder\ntasks:\n  hold:\n    run: [sleep, '86400']\n    claim: {cpu: 0, pools: {gate: 1}}\n"
EXPLICIT = """\
from orchctl import task, workflow

with workflow("explicit"):
    for i in range(COUNT):
        task(f"t{i}", run=["/bin/true"], claim={"pools": {"gate": 1}})
"""


def explicit_python(count: int) -> str:
    """A definition in Python of so many tasks, all of which wait for the gate."""
    return EXPLICIT.replace("COUNT", str(count))


def explicit_yaml(count: int) -> str:
    lines = [f"  t{i}:\n    run: [/bin/true]\n    claim: {{pools: {{gate: 1}}}}" for i in range(count)]
    return "\n".join(["name: explicit", "tasks:", *lines]) + "\n"


def gated_rows(count: int) -> str:
    return (
        f"name: rows\ntasks:\n  row:\n    run: [/bin/true]\n    for_each: '{{{{ range({count}) }}}}'\n"
        "    claim: {pools: {gate: 1}}\n"
    )


def first_start_ns(session: Session, run: int) -> int:
    """When the first of a run's first rows started; 0 if none has."""
    rows = typed(session.rows(ListTasks(run=run, limit=FIRST_ROWS)).rows, TaskRow)
    return min((from_text(row.started_at) for row in rows if row.started_at), default=0)


def grow(bench: lab.Engine, flow: Path, tasks: int) -> dict[tuple[str, str], float]:
    """A whole run: its parts in seconds, and CPU, disk and memory of the engine for each task; by name and unit."""
    compiled = lab.timed(lambda: bench.call("validate", str(flow)))
    before, store, logs = bench.used(), bench.status().store_bytes or 0, log_bytes(bench)
    engine = bench.status().pid
    memory, engine_before = pss_bytes([engine]), used_by_all([engine])
    began_ns, begin = time.time_ns(), time.perf_counter()
    run = parse_run(bench.rows("submit", str(flow))[0]["run"])
    submitted = time.perf_counter() - begin
    with bench.session() as session:
        lab.until(lambda: first_start_ns(session, run), "the first start", 600, every_s=0.01)
        started_ns = first_start_ns(session, run)
        row = lab.finished(session, run)
    assert row.status == "succeeded", f"{flow.name} is {row.status}: {row.tasks}"
    assert row.finished_at is not None
    whole = (from_text(row.finished_at) - began_ns) / 1e9
    used = bench.used() - before
    engine_used = used_by_all([engine]) - engine_before
    return {
        ("validate", "s"): compiled,
        ("submit", "s"): submitted,
        ("submit to first start", "s"): (started_ns - began_ns) / 1e9,
        ("submit to finished", "s"): whole,
        ("rate", "tasks/s"): tasks / whole,
        ("CPU of all our processes", "us/task"): used.own_s / tasks * 1e6,
        ("CPU of the engine alone", "us/task"): engine_used.own_s / tasks * 1e6,
        ("store", "bytes/task"): ((bench.status().store_bytes or 0) - store) / tasks,
        ("logs", "bytes/task"): (log_bytes(bench) - logs) / tasks,
        ("engine memory left behind", "bytes/task"): (pss_bytes([engine]) - memory) / tasks,
    }


def by_size(label: str, sizes: dict[int, dict[tuple[str, str], float]]) -> list[lab.Record]:
    """What each size took, compared with the smallest; and the cost of a task in the largest against the one before."""
    found: list[lab.Record] = []
    for what, unit in next(iter(sizes.values())):
        values = {f"{size:,} tasks": figures[what, unit] for size, figures in sizes.items()}
        found += lab.series(f"{label}: {what}", unit, values)
    *_, (less, before), (more, last) = sizes.items()
    for what in ("CPU of all our processes", "CPU of the engine alone"):
        ratio = last[what, "us/task"] / before[what, "us/task"]
        found.append(lab.one(f"{label}: {what} a task, {more:,} against {less:,}", "ratio", ratio))
    return found


def log_bytes(bench: lab.Engine) -> int:
    """What all logs take of the disk."""
    return sum(path.stat().st_size for path in (bench.home / "logs").rglob("*") if path.is_file())


@contextlib.contextmanager
def gated() -> Iterator[lab.Engine]:
    """An engine whose pool `gate` is taken."""
    with lab.engine(GATE) as bench:
        run = bench.rows("submit", str(bench.file("holder.yaml", HOLDER)))[0]["run"]
        with bench.session() as session:
            lab.until(lambda: first_start_ns(session, parse_run(run)), "the holder of the gate")
        yield bench


def queued(label: str, name: str, text: Callable[[int], str], tasks: int) -> list[lab.Record]:
    """Submit, and what the engine's memory grows by, for a run of which nothing may start."""
    with gated() as bench:
        bench.call("submit", str(bench.file(f"few-{name}", text(10))))  # so that what comes with the first is there
        flow = bench.file(name, text(tasks))
        engine = [bench.status().pid]
        time.sleep(SETTLE_S)
        memory, used = pss_bytes(engine), used_by_all(engine)
        seconds = lab.timed(lambda: bench.call("submit", str(flow)))
        time.sleep(SETTLE_S)
        grown, cpu = pss_bytes(engine) - memory, (used_by_all(engine) - used).own_s
    where = f"queued {label}, {tasks:,}"
    return [
        lab.one(f"{where}: submit", "s", seconds, definition_bytes=len(text(tasks))),
        lab.one(f"{where}: engine CPU to plan and queue", "us/task", cpu / tasks * 1e6),
        lab.one(f"{where}: engine memory", "bytes/task", grown / tasks),
    ]


def first_start(label: str, name: str, text: str, tasks: int) -> lab.Record:
    """Whole time from the verb's start to the first attempt's, of a run that is then killed."""
    with lab.engine(GATE) as bench, bench.session() as session:
        flow = bench.file(name, text)
        bench.call("run", str(bench.file("one.yaml", as_workflow("one", Work(parents=[[]])))))
        began_ns = time.time_ns()
        run = parse_run(bench.rows("submit", str(flow))[0]["run"])
        lab.until(lambda: first_start_ns(session, run), "the first start", 600, every_s=0.01)
        seconds = (first_start_ns(session, run) - began_ns) / 1e9
    return lab.one(f"{label}, {tasks:,}: submit to first start", "s", seconds, definition_bytes=len(text))


def history(runs: int) -> list[lab.Record]:
    """Many finished runs: how long they took, then a start of the engine and every question again."""
    with lab.engine() as bench:
        one = definition_of(str(bench.file("one.yaml", as_workflow("one", Work(parents=[[]])))))
        pid = bench.status().pid
        begin = time.perf_counter()
        with bench.session() as session:
            for _ in range(runs):
                number = submit_run(session, "", one, {})
            lab.finished(session, number)
            lab.until(lambda: session.one(GetEngine(), EngineRow)[0].attempts == 0, "the last attempt")
        took = time.perf_counter() - begin
        store, grown = bench.status().store_bytes or 0, pss_bytes([pid])
        bench.call("engine", "stop")
        start_s = lab.timed(lambda: bench.call("engine", "start"))
        label = f"history of {runs:,} runs"
        found = [
            lab.one(f"{label}: made, one after the other", "runs/s", runs / took),
            lab.one(f"{label}: store", "bytes/run", store / runs),
            lab.one(f"{label}: engine memory before the restart", "MiB PSS", grown / 2**20),
            lab.one(f"{label}: engine memory after it", "MiB PSS", pss_bytes([bench.status().pid]) / 2**20),
            lab.one(f"{label}: engine start, the whole verb", "s", start_s),
        ]
        middle = run_text(runs // 2)
        for words in (["runs"], ["show", middle], ["tasks", middle], ["events", middle], ["audit"]):
            times = [lab.timed(lambda words=words: bench.call(*words)) * 1e3 for _ in range(QUERY_ROUNDS)]
            found += lab.compare(f"{label}: {' '.join(words)}", "ms", {"orchctl": times})
        return found


def run(options: lab.Options) -> list[lab.Record]:
    """Flat and layered runs as they grow; what is queued; history."""
    flat, layered, explicit, rows, runs = QUICK if options.quick else WHOLE
    found: list[lab.Record] = []
    with lab.engine() as bench:
        call = python_ours(bench)
        call(Work(calls=50))
        grown: dict[int, dict[tuple[str, str], float]] = {}
        for count in flat:
            lab.say(f"scale: a for_each of {count:,}")
            grown[count] = grow(bench, bench.file("flat.yaml", as_calls(Work(calls=count))), count)
        found += by_size("for_each of Python no-ops", grown)
    with lab.engine() as bench:
        grown = {}
        for count in layered:
            lab.say(f"scale: {count:,} explicit tasks in layers")
            work = Work(parents=layers(count))
            grown[work.count] = grow(bench, bench.file("layers.yaml", as_workflow("layers", work)), work.count)
        found += by_size("explicit processes in layers", grown)
    lab.say("scale: queued tasks, and first starts")
    found += queued("rows of a for_each", "rows.yaml", gated_rows, rows)
    found += queued("explicit tasks from Python", "explicit.py", explicit_python, explicit)
    found += queued("explicit tasks as YAML", "explicit.yaml", explicit_yaml, explicit)
    for label, name, text in (
        ("for_each", "rows.yaml", gated_rows), ("explicit tasks from Python", "explicit.py", explicit_python),
        ("explicit tasks as YAML", "explicit.yaml", explicit_yaml),
    ):  # fmt: skip
        found.append(first_start(label, name, text(explicit), explicit))
    lab.say(f"scale: a history of {runs:,} runs")
    return [*found, *history(runs)]
