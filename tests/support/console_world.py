"""A small world that has one of everything a console must show: a failing mapped task, a paused run, waiting rows."""

from typing import Any

import msgspec

from engine.model.instants import SECOND, from_text
from engine.protocol.rows import (
    AttemptRow,
    EventRow,
    GridRow,
    GroupRow,
    LaneRow,
    MetricRow,
    ReasonRow,
    RunRow,
    TaskRow,
    TrialRow,
)
from tests.support.console_engine import Then, World

NOW_S = from_text("2026-11-23T10:33:20Z") / SECOND
"""The wall clock of the tests."""


def run(number: int, workflow: str, status: str, tasks: dict[str, int], **more: object) -> RunRow:
    begun = {"queued_at": "2026-11-23T08:00:00Z", "started_at": "2026-11-23T08:00:01Z", **more}
    fixed = {"run": f"r{number}", "workflow": workflow, "version": "v1", "status": status, "tasks": tasks}
    return msgspec.convert({**fixed, **begun}, RunRow)


def ingest() -> World:
    """r12 runs with failures, r11 is paused, r10 has succeeded."""
    world = World()
    world.runs = [
        run(12, "ingest-daily", "running", {"succeeded": 60, "failed": 2, "running": 8, "waiting": 32}, note="nightly"),
        run(11, "reindex", "paused", {"succeeded": 4, "waiting": 5}),
        run(
            10, "orders", "succeeded", {"succeeded": 9}, finished_at="2026-11-23T08:10:01Z"
        ),
    ]  # fmt: skip
    rows = [TaskRow(task="fetch", index=None, status="succeeded", attempts=1, **_times(9))]
    for index in range(100):
        status = "failed" if index in (11, 42) else "running" if 60 < index < 69 else "succeeded"
        status = "waiting" if index >= 69 else status
        code = 137 if status == "failed" else None
        rows.append(
            TaskRow(
                task="parse",
                index=index,
                status=status,
                attempts=3 if status == "failed" else 1,
                exit_code=code,
                outcome="failed" if code else None,
                **_times(40 + index),
            )
        )
    rows.append(TaskRow(task="publish", index=None, status="waiting"))
    world.tasks[12] = rows
    world.groups[12] = [
        GroupRow(
            task="fetch", status="succeeded", mapped=False, rows=1, tasks={"succeeded": 1}, action="./fetch.sh",
            started_at="2026-11-23T08:00:01Z", finished_at="2026-11-23T08:00:10Z",
        ),
        GroupRow(
            task="parse", status="running", mapped=True, rows=100, needs=("fetch",), depth=1, action="etl:parse",
            tasks={"succeeded": 59, "failed": 2, "running": 8, "waiting": 31}, failed=("parse[42]", "parse[11]"),
            started_at="2026-11-23T08:00:10Z", max_parallel=8,
        ),
        GroupRow(
            task="publish", status="waiting", mapped=False, rows=1, tasks={"waiting": 1}, needs=("parse",), depth=2,
            why="waits for parse",
        ),
    ]  # fmt: skip
    world.attempts = [
        AttemptRow(
            task="parse", index=11, number=number, attempt=100 + number, status="exited", outcome="failed",
            exit_code=137, sentence="failed: exit 137", **_times(number),
        )
        for number in (1, 2, 3)
    ]  # fmt: skip
    world.reasons = [
        ReasonRow(
            task="publish", index=None, status="waiting", rank=2,
            reasons=[
                {"kind": "upstream", "resource": "parse"},
                {"kind": "pool", "resource": "warehouse", "asked": 1, "available": 0,
                 "holders": [{"run": "r11", "row": "load"}]},
            ],
        )
    ]  # fmt: skip
    world.events = [
        EventRow(revision=at, at="2026-11-23T08:00:01Z", event="AttemptStarted", run="r12", task="parse", index=at,
                 attempt=at, details={"pid": 4000 + at})
        for at in range(1200)
    ]  # fmt: skip
    world.logs = {
        "fetch": b"".join(b"line %d of the log\n" % at for at in range(5000)),
        "parse[11]": b"out of memory\n",
    }
    world.final_logs = {"parse[11]"}
    return world


def _times(second: int) -> dict[str, str]:
    minute, second = divmod(second, 60)
    return {"started_at": "2026-11-23T08:00:10Z", "finished_at": f"2026-11-23T08:{minute + 1:02d}:{second:02d}Z"}


def pipeline() -> World:
    """r12 as a graph of eight tasks that fork and join, with what ran when and how it went in r10 and r11."""
    world = ingest()
    specs = [
        ("inventory", "", "succeeded", {"succeeded": 1}),
        ("fetch", "", "succeeded", {"succeeded": 1}),
        ("count", "inventory", "succeeded", {"succeeded": 37}),
        ("totals", "count", "succeeded", {"succeeded": 1}),
        ("load", "inventory fetch", "running", {"succeeded": 15, "failed": 1, "running": 1, "ready": 20}),
        ("check", "load totals", "waiting", {"waiting": 1}),
        ("quarantine", "check", "waiting", {"waiting": 1}),
        ("report", "check", "waiting", {"waiting": 1}),
    ]
    world.groups[12] = [
        GroupRow(
            task=task, status=status, mapped=sum(tasks.values()) > 1, rows=sum(tasks.values()), tasks=tasks,
            needs=tuple(needs.split()),
        )
        for task, needs, status, tasks in specs
    ]  # fmt: skip
    world.tasks[12] = [
        TaskRow(task=task, index=at if sum(tasks.values()) > 1 else None, status=status, attempts=1)
        for task, _, _, tasks in specs
        for at, status in enumerate(status for status, count in tasks.items() for _ in range(count))
    ]
    world.lanes = [
        LaneRow(task="inventory", index=None, status="succeeded", spans=[_span("08:00:01", "08:30:00", "succeeded")]),
        LaneRow(
            task="fetch", index=None, status="succeeded",
            spans=[_span("08:00:01", "08:20:00", "failed"), _span("08:21:00", "09:00:00", "succeeded")],
        ),
        LaneRow(
            task="load", index=None, status="running", mapped=True, rows=37, tasks={"succeeded": 15, "failed": 1},
            started_at="2026-11-23T08:40:00Z", until="2026-11-23T10:33:20Z",
            busy=[*range(1, 21), *[20] * 30, *[4] * 10],
        ),
        LaneRow(task="check", index=None, status="waiting"),
        LaneRow(task="load", index=0, status="succeeded", spans=[_span("08:40:00", "08:50:00", "succeeded")]),
        LaneRow(task="load", index=16, status="running", spans=[_span("10:00:00", None, "running")]),
    ]  # fmt: skip
    world.grid = [
        GridRow(task=row.task, cells={"r10": "succeeded", "r11": "failed", "r12": row.status})
        for row in world.groups[12]
    ]
    world.grid[-1] = GridRow(task="report", cells={"r12": "waiting"})
    return world


def campaign() -> World:
    """r12 tries two programs at two levels, six of eight trials each so far; r11 of the same workflow was slower."""
    world = pipeline()
    world.metrics = [
        MetricRow(task="pack", metric="bytes", unit="B", better="lower"),
        MetricRow(task="pack", metric="duration", unit="s", better="lower"),
    ]  # fmt: skip
    seconds = {(1, "gzip"): 0.1, (9, "gzip"): 0.4, (1, "xz"): 0.5, (9, "xz"): 2.0}
    for number, factor in ((12, 1.0), (11, 1.5)):
        world.trials[number] = [
            TrialRow(
                task="pack", index=None, cell={"level": level, "tool": tool}, trial=trial, status="succeeded",
                attempts=1, values={"bytes": 9e6 / level, "duration": base * factor * (1 + trial / 100), "cpu": 0.1},
                marks=("others used 0.91 CPUs",) if (level, tool, trial) == (9, "gzip", 6) else (),
                noise={"during": {"foreign_cpus": 0.91}},
            )
            for trial in range(1, 7)
            for (level, tool), base in seconds.items()
        ]  # fmt: skip
    world.runs[1] = msgspec.structs.replace(world.runs[1], workflow="ingest-daily", status="succeeded")
    return world


def looked_back() -> World:
    """The pipeline with four moments: before it began, `fetch` at work, its failure, and the last change so far."""
    world = pipeline()

    def then(revision: int, at: str, status: str, states: str, said: list[EventRow], *, notable: bool = False) -> Then:
        names = [row.task for row in world.groups[12]]
        known = dict(zip(("inventory", "fetch", "load"), states.split(), strict=True))
        of = [known.get(name, "waiting") for name in names]
        return Then(
            revision=revision, at=f"2026-11-23T{at}Z", status=status, events=said, notable=notable,
            groups=[
                msgspec.structs.replace(row, status=state, mapped=False, rows=1, tasks={state: 1})
                for row, state in zip(world.groups[12], of, strict=True)
            ],
            tasks=[TaskRow(task=name, index=None, status=state) for name, state in zip(names, of, strict=True)],
            lanes=[
                LaneRow(task="inventory", index=None, status=of[0]),
                LaneRow(task="fetch", index=None, status=of[1], spans=[_span("08:00:01", None, "running")]),
            ],
        )  # fmt: skip

    def event(revision: int, kind: str, task: str | None = None, **details: Any) -> EventRow:
        return EventRow(
            revision=revision, at="2026-11-23T08:20:00Z", event=kind, run="r12", task=task, details=details
        )  # fmt: skip

    failed = {"outcome": "failed", "exit_code": 7, "signal": None, "why": ""}
    world.past = [
        then(5, "08:00:00", "queued", "waiting waiting waiting", [event(5, "RunQueued", workflow="w")], notable=True),
        then(20, "08:10:00", "running", "succeeded running waiting", [event(20, "AttemptStarted", "fetch", pid=41)]),
        then(
            30, "08:20:00", "running", "succeeded backing_off waiting",
            [event(30, "AttemptExited", "fetch", outcome=failed), event(30, "RetryScheduled", "fetch", due_ns=1)],
            notable=True,
        ),
        then(
            40, "10:30:00", "running", "succeeded succeeded running",
            [event(40, "CancelRequested", None, actor="alice", via="cli", note="too late", rows=[]),
             event(40, "TaskFinished", "inventory", status="succeeded", why=""),
             event(40, "RowsReleased", "load", index=0, count=37)],
        ),
    ]  # fmt: skip
    world.events = [row for moment in world.past for row in moment.events]
    return world


def _span(began: str, ended: str | None, how: str) -> tuple[str, str | None, str]:
    return f"2026-11-23T{began}Z", f"2026-11-23T{ended}Z" if ended else None, how
