"""Rows for tests of clients: sensible ones, of which a test changes what it is about."""

from typing import Any

from engine.protocol.rows import BackfillRow, GroupRow, RunRow, TaskRow


def run_row(**changes: Any) -> RunRow:
    """A run that is going on."""
    known: dict[str, Any] = {
        "run": "r12",
        "workflow": "orders",
        "version": "0123456789abcdef",
        "status": "running",
        "queued_at": "2026-11-23T12:00:00.000000Z",
        "started_at": "2026-11-23T12:00:01.000000Z",
        "tasks": {"succeeded": 12, "running": 2},
    }
    return RunRow(**known | changes)


def finished_run(status: str = "succeeded", **changes: Any) -> RunRow:
    """A run that took 4.5 s."""
    known: dict[str, Any] = {"status": status, "finished_at": "2026-11-23T12:00:05.500000Z", "tasks": {status: 14}}
    return run_row(**known | changes)


def group_row(**changes: Any) -> GroupRow:
    known: dict[str, Any] = {"task": "clean", "status": "running", "mapped": True, "rows": 64, "tasks": {}}
    return GroupRow(**known | changes)


def task_row(**changes: Any) -> TaskRow:
    known: dict[str, Any] = {"task": "clean", "index": 3, "status": "failed", "attempts": 1}
    return TaskRow(**known | changes)


def backfill_row(**changes: Any) -> BackfillRow:
    """A backfill that is half way."""
    known: dict[str, Any] = {
        "backfill": "b1", "workflow": "orders", "version": "v", "status": "running", "partitions": 18, "left_out": 2,
        "pending": 9, "active": ["r7", "r8", "r9", "r10"], "ended": {"succeeded": 4, "failed": 1},
        "since": "2026-11-01T00:00:00.000000Z", "until": "2026-11-20T23:59:59.999999Z", "order": "oldest",
        "reprocess": "none", "max_active": 4, "actor": "ann", "note": "late",
    }  # fmt: skip
    return BackfillRow(**known | changes)
