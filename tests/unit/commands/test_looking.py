"""runs, show, tasks, explain, resources, events, audit, workflows, schedules: rows in, lines and objects out."""

from collections.abc import Generator
from pathlib import Path

import pytest

from engine.protocol.messages import (
    Definition,
    Done,
    ExplainRun,
    GetResources,
    GetRun,
    GetWorkflow,
    ListAttempts,
    ListAudit,
    ListEvents,
    ListGroups,
    ListRuns,
    ListSchedules,
    ListTasks,
    ListWorkflows,
    Rows,
    VerifyAudit,
)  # fmt: skip
from engine.protocol.rows import (
    AttemptRow,
    AuditRow,
    EventRow,
    ReasonRow,
    ResourcesRow,
    RunRow,
    ScheduleRow,
    TaskRow,
    WorkflowRow,
)  # fmt: skip
from tests.support.cli import orchctl
from tests.support.fake_engine import FakeEngine, rows_of
from tests.support.rows import finished_run, group_row, run_row, task_row

EVIL = "\x1b]52;c;eA==\x07\u202eevil"
SHOWN = "\\x1b]52;c;eA==\\x07\\u{202e}evil"


@pytest.fixture
def engine(tmp_path: Path) -> Generator[FakeEngine]:
    with FakeEngine(tmp_path) as fake:
        yield fake


def test_runs_are_listed_as_a_table(engine: FakeEngine) -> None:
    engine.answers[ListRuns] = rows_of(finished_run("failed"), run_row(run="r11", note=EVIL))
    result = orchctl(engine.home, "runs", "--status", "failed", "--status", "running", "--workflow", "orders")
    assert result.code == 0
    head, first, second = result.out.splitlines()
    assert head.split() == ["RUN", "WORKFLOW", "STATUS", "QUEUED", "TOOK", "TASKS", "NOTE"]
    assert first.split() == ["r12", "orders", "failed", "2026-11-23", "12:00:00Z", "4.5s", "14", "failed"]
    assert second.endswith(SHOWN)
    asked = engine.last(ListRuns)
    assert (asked.workflow, asked.statuses, asked.limit) == ("orders", ("failed", "running"), 20)


def test_runs_as_json_have_the_fields_of_the_row(engine: FakeEngine) -> None:
    engine.answers[ListRuns] = rows_of(run_row(note=EVIL))
    result = orchctl(engine.home, "runs", "--json")
    (row,) = result.rows
    assert set(row) == set(RunRow.__struct_fields__)
    assert row["note"] == EVIL
    assert "\x1b" not in result.out
    assert "\u202e" not in result.out


def test_more_runs_than_a_page_are_asked_for_page_by_page(engine: FakeEngine) -> None:
    def page(request: ListRuns) -> Rows:
        newest = min(450, request.before - 1) if request.before else 450
        numbers = range(newest, max(0, newest - min(200, request.limit)), -1)
        cursor = str(numbers[-1]) if numbers[-1] > 1 else ""
        return rows_of(*(run_row(run=f"r{number}") for number in numbers), cursor=cursor)

    engine.answers[ListRuns] = page
    result = orchctl(engine.home, "runs", "--limit", "1000", "--json")
    assert [row["run"] for row in result.rows] == [f"r{number}" for number in range(450, 0, -1)]


def test_no_runs_are_a_remark_and_no_output(engine: FakeEngine) -> None:
    engine.answers[ListRuns] = rows_of()
    result = orchctl(engine.home, "runs")
    assert (result.code, result.out) == (0, "")
    assert "no runs" in result.err
    assert orchctl(engine.home, "runs", "--json") == (0, "", "")


def test_show_prints_the_run_its_tasks_and_what_failed(engine: FakeEngine) -> None:
    engine.answers[GetRun] = rows_of(finished_run("failed", tasks={"succeeded": 63, "failed": 1}, params={"day": EVIL}))
    engine.answers[ListGroups] = rows_of(
        group_row(task="extract", mapped=False, rows=1, status="succeeded", tasks={"succeeded": 1}),
        group_row(depth=1, status="failed", tasks={"succeeded": 62, "failed": 1}, why=EVIL),
        total=5,
    )
    engine.answers[ListTasks] = rows_of(task_row(exit_code=3, outcome="failed", attempts=3))
    result = orchctl(engine.home, "show", "12")
    assert result.code == 0
    assert result.out.splitlines()[0] == "r12 orders failed"
    assert f"day =      {SHOWN}" in result.out
    assert "  clean" in result.out
    assert "63/64" in result.out
    assert "and 3 tasks more" in result.out
    assert "clean[3] failed: exit 3 after 3 attempts (orchctl logs r12 'clean[3]')" in result.out
    assert engine.last(GetRun).run == 12


@pytest.mark.parametrize("word", ["latest", "-"])
def test_latest_names_the_newest_run(engine: FakeEngine, word: str) -> None:
    engine.answers[GetRun] = rows_of(run_row(run="r77"))
    result = orchctl(engine.home, "show", word, "--json")
    assert result.rows[0]["run"] == "r77"
    assert [request.run for request in engine.asked if isinstance(request, GetRun)] == [0, 77]


def test_tasks_are_filtered_by_the_engine_and_printed(engine: FakeEngine) -> None:
    log = {"path": "/h/logs/r12/clean.3.1.log", "offset": 0, "length": 5}
    engine.answers[ListTasks] = rows_of(
        task_row(exit_code=3, cpu_seconds=1.5, max_rss=3 << 20, log=log, why=EVIL), task_row(index=None, task="a")
    )
    words = ["tasks", "r12", "clean[3]", "--status", "failed", "--sort", "attention"]
    result = orchctl(engine.home, *words)
    line = result.out.splitlines()[1]
    assert line.split() == ["clean[3]", "failed", "1", "3", "1.5s", "3.0", "MiB", SHOWN]
    asked = engine.last(ListTasks)
    assert (asked.run, asked.task, asked.index, asked.statuses, asked.sort) == (
        12,
        "clean",
        3,
        ("failed",),
        "attention",
    )
    as_json = orchctl(engine.home, *words, "--json").rows
    assert set(as_json[0]) == set(TaskRow.__struct_fields__)
    assert as_json[0]["log"] == log


def test_how_quotas_are_enforced_is_told_of_rows_and_attempts_that_have_some(engine: FakeEngine) -> None:
    enforced = {"cpu": "rounded", "memory": "sampled", "threads": "kernel", "disk": "none", EVIL: EVIL}
    said = f"cpu rounded up to whole cores, memory sampled, threads kernel, disk not enforced, {SHOWN} {SHOWN}"
    engine.answers[ListTasks] = rows_of(task_row(enforced=enforced), task_row(index=None, task="a"))
    assert said in orchctl(engine.home, "tasks", "r12").out
    attempt = AttemptRow(task="a", index=None, number=1, attempt=90, status="exited", enforced=enforced)
    engine.answers[ListAttempts] = rows_of(attempt)
    assert said in orchctl(engine.home, "tasks", "r12", "a", "--attempts").out


def test_a_task_without_an_index_means_all_its_rows(engine: FakeEngine) -> None:
    engine.answers[ListTasks] = rows_of()
    orchctl(engine.home, "tasks", "r12", "clean")
    assert engine.last(ListTasks).index is None


def test_attempts_of_a_row_are_listed(engine: FakeEngine) -> None:
    engine.answers[ListAttempts] = rows_of(
        AttemptRow(
            task="a", index=None, number=1, attempt=90, status="exited", outcome="failed", sentence="failed: exit 3"
        )
    )
    result = orchctl(engine.home, "tasks", "r12", "a", "--attempts")
    assert result.out.splitlines()[1].split() == ["1", "exited", "failed:", "exit", "3"]
    assert engine.last(ListAttempts).index == -1
    assert orchctl(engine.home, "tasks", "r12", "--attempts").code == 2


def test_explain_says_why_in_a_sentence(engine: FakeEngine) -> None:
    reasons = [
        {
            "kind": "pool_full",
            "resource": "warehouse",
            "asked": 1,
            "available": 0,
            "holders": [EVIL, "b", "c", "d", "e"],
        },
        {"kind": "memory", "resource": "memory", "asked": 1 << 30, "available": 1 << 29, "holders": []},
        {
            "kind": "waits_for",
            "resource": None,
            "asked": None,
            "available": None,
            "holders": [{"run": "r1", "row": "x"}],
        },
        {"kind": "pressure", "resource": "memory", "asked": 1 << 30, "available": 1 << 29, "holders": []},
    ]
    engine.answers[ExplainRun] = rows_of(
        ReasonRow(
            task="load", index=3, status="ready", rank=2, predicted_start="2026-11-23T12:00:00Z", reasons=reasons
        ),
        total=9,
    )
    result = orchctl(engine.home, "explain", "r12", "load[3]")
    assert result.out.splitlines() == [
        "load[3] ready, rank 2 in the queue, expected to start at 2026-11-23 12:00:00Z",
        f"  pool full warehouse: asks for 1, available 0, held by {SHOWN}, b, c, d and 1 more",
        "  memory memory: asks for 1.0 GiB, available 512.0 MiB",
        "  waits for: held by r1 x",
        "  pressure: memory: 512M available, the bound is 1.00G",
    ]
    assert "8 rows more" in result.err
    assert engine.last(ExplainRun).index == 3
    (row,) = orchctl(engine.home, "explain", "r12", "--json").rows
    assert set(row) == {"task", "index", "status", "rank", "predicted_start", "reasons"}


def test_explain_says_for_whom_a_task_stands_still(engine: FakeEngine) -> None:
    kinds = ("suspended", 2.0, [EVIL]), ("resuming", 2.0, []), ("paused", 2.0, []), ("paused", 0, [])
    reasons = [
        {"kind": kind, "resource": "cpu", "asked": asked, "available": 0, "holders": holders}
        for kind, asked, holders in kinds
    ]
    engine.answers[ExplainRun] = rows_of(ReasonRow(task="load", index=None, status="running", rank=1, reasons=reasons))
    assert orchctl(engine.home, "explain", "r12").out.splitlines() == [
        "load running, rank 1 in the queue",
        f"  suspended for {SHOWN} (higher priority)",
        "  waits for its 2.0 CPUs, to go on",
        "  paused by an operator; others may have its 2.0 CPUs",
        "  paused by an operator",
    ]


def test_nothing_that_waits_is_said_so(engine: FakeEngine) -> None:
    engine.answers[ExplainRun] = rows_of()
    assert orchctl(engine.home, "explain", "r12").out == "nothing waits\n"
    engine.answers[ListTasks] = rows_of(TaskRow(task="load", index=None, status="upstream_failed"))
    assert orchctl(engine.home, "explain", "r12", "load").out == "nothing waits: load is upstream_failed\n"
    engine.answers[ListTasks] = rows_of(TaskRow(task="load", index=2, status="failed", why="failed: exit 3"))
    assert orchctl(engine.home, "explain", "r12", "load[2]").out == "nothing waits: load[2] is failed (exit 3)\n"


def test_resources_show_capacity_claims_and_holders(engine: FakeEngine) -> None:
    holder = {"row": "clean[3]", "run": "r12", "cpu": 2, "memory": 1 << 30, "pools": {"warehouse": 1}, "rss": None,
              "mutexes": ["lock"], "cpus": [4, 5], "released": 1.0, "still": "paused",
              "enforced": {"cpu": "rounded", "memory": "sampled"}}  # fmt: skip
    engine.answers[GetResources] = rows_of(
        ResourcesRow(
            cpus=32, cpus_claimed=2.5, cpus_used=1.25, memory=64 << 30, memory_claimed=1 << 30, load=0.5,
            pools={"warehouse": {"slots": 4, "claimed": 1}}, running=1, ready=3, holders=[holder],
            scratch=1 << 40, scratch_claimed=1 << 30, mutexes={"lock": "r12 clean[3]"},
            gpus={"GPU-5d2a": 0.5, "MIG-1": 0.0},
            gpus_used={"GPU-5d2a": {"busy": 87, "memory": 3 << 30}, "MIG-1": {"busy": None, "memory": 0}},
            reservation={"run": "r13", "row": "wide", "since": None, "due": "2026-11-23T12:00:00.000001Z"},
            owners=[{"owner": "data", "weight": 2.0, "share": 0.25, "used": 90.0},
                    {"owner": "ops", "weight": 1.0, "share": 0.0, "used": 0.0}],
        )
    )  # fmt: skip
    out = orchctl(engine.home, "resources").out
    assert "pool warehouse         4        1" in out
    assert "1 running, 3 ready, load 0.5" in out
    assert "r12  clean[3]  2    1.0 GiB  warehouse:1" in out
    assert "gpu GPU-5d2a           1      0.5  87% busy, 3.0 GiB used" in out
    assert "gpu MIG-1              1        0  0 B used" in out
    assert "mutex lock             1        1  r12 clean[3]" in out
    assert "room is set aside for r13 wide, may start 2026-11-23 12:00:00" in out
    assert "data        2    25%" in out
    assert "lock cpus 4,5 gave back cpu 1.0 paused quotas: cpu rounded up to whole cores, memory sampled" in out


def test_resources_tell_what_the_host_is_short_of_and_what_that_means(engine: FakeEngine) -> None:
    engine.answers[GetResources] = rows_of(
        ResourcesRow(
            cpus=32, cpus_claimed=2.5, cpus_used=30.0, memory=64 << 30, memory_claimed=0, admission="closed",
            cpus_others=29.5, pressure=[f"cpu: others leave 2.5: {EVIL}"],
        )
    )  # fmt: skip
    out = orchctl(engine.home, "resources").out
    assert "30.0 used, 29.5 by others" in out
    assert f"admission is closed\n  cpu: others leave 2.5: {SHOWN}\n" in out


def test_events_are_read_in_pages_until_the_end(engine: FakeEngine) -> None:
    first = [EventRow(revision=n, at="2026-11-23T12:00:00.000001Z", event="AttemptStarted") for n in range(500)]
    last = EventRow(
        revision=500, at="2026-11-23T12:00:01.000000Z", event="AttemptExited", run="r12", task="clean", index=3,
        attempt=9, details={"outcome": EVIL},
    )  # fmt: skip
    engine.answers[ListEvents] = [rows_of(*first, cursor="c1"), rows_of(last, cursor="")]
    result = orchctl(engine.home, "events", "r12")
    lines = result.out.splitlines()
    assert len(lines) == 501
    assert lines[-1].strip() == (
        f"500  2026-11-23 12:00:01.000000Z  AttemptExited  r12 clean[3] attempt 9  outcome={SHOWN}"
    )
    assert [request.cursor for request in engine.asked if isinstance(request, ListEvents)] == ["", "c1"]


def test_events_as_json_have_the_contract_s_fields(engine: FakeEngine) -> None:
    engine.answers[ListEvents] = rows_of(EventRow(revision=1, at="2026-11-23T12:00:00.000001Z", event="RunRequested"))
    (row,) = orchctl(engine.home, "events", "--json").rows
    assert {"revision", "at", "event", "task", "index", "attempt"} <= set(row)
    assert engine.last(ListEvents).run == 0


def test_the_audit_is_a_table_newest_first(engine: FakeEngine) -> None:
    engine.answers[ListAudit] = rows_of(
        AuditRow(revision=9, at="2026-11-23T12:00:00.000000Z", uid=1000, actor="op", via="cli", verb="cancel",
                 target="r12", result="accepted", note=EVIL)
    )  # fmt: skip
    line = orchctl(engine.home, "audit").out.splitlines()[1]
    assert line.split() == ["9", "2026-11-23", "12:00:00Z", "op", "(1000)", "cli", "cancel", "r12", "accepted", SHOWN]


@pytest.mark.parametrize(
    ("body", "code", "shown"),
    [
        ({"intact": True, "entries": 1200, "fault": ""}, 0, "the audit is intact: 1,200 lines\n"),
        (
            {"intact": False, "entries": None, "fault": f"broken at {EVIL}"},
            1,
            f"the audit is broken: broken at {SHOWN}\n",
        ),
    ],
)
def test_the_chain_of_the_audit_is_verified(engine: FakeEngine, body: dict[str, object], code: int, shown: str) -> None:
    engine.answers[VerifyAudit] = Done(body=body)
    told, listed = orchctl(engine.home, "audit", "--verify"), orchctl(engine.home, "audit", "--verify", "--json")
    assert (told.code, told.out) == (code, shown)
    assert (listed.code, listed.rows[0]["intact"]) == (code, body["intact"])
    assert orchctl(engine.home, "audit", "--verify", "--limit", "3").code == 2


def workflow(name: str = "orders", **changes: object) -> WorkflowRow:
    known: dict[str, object] = {"version": "ab", "paused": False, "tasks": 3, "description": EVIL, "file": "/w/o.yaml"}
    return WorkflowRow(workflow=name, **known | changes)  # pyright: ignore[reportArgumentType]


def test_workflows_are_listed_and_one_is_shown_in_full(engine: FakeEngine) -> None:
    params = [{"name": "day", "type": "date", "default": "{{ partition }}"}]
    engine.answers[ListWorkflows] = rows_of(
        workflow(params=params), workflow("stock", paused=True, fault="line 3: no\nline 4: no")
    )
    listed = orchctl(engine.home, "workflows").out.splitlines()
    assert listed[1].split() == ["orders", "3"]
    assert listed[2].split() == ["stock", "3", "paused", "faulty", "file"]
    faulty = orchctl(engine.home, "workflows", "stock").out
    assert "  fault        line 3: no\n  fault        line 4: no\n" in faulty
    shown = orchctl(engine.home, "workflows", "orders").out
    assert f"description  {SHOWN}" in shown
    assert "param        day: date = {{ partition }}" in shown
    assert orchctl(engine.home, "workflows", "orders", "--json").rows[0]["workflow"] == "orders"


def test_an_unknown_workflow_is_told_with_the_nearest(engine: FakeEngine) -> None:
    engine.answers[ListWorkflows] = rows_of(workflow())
    result = orchctl(engine.home, "workflows", "oders")
    assert result.code == 3
    assert "no workflow 'oders' was added; did you mean orders?" in result.err


def test_the_definition_of_a_workflow_is_printed_inert(engine: FakeEngine) -> None:
    engine.answers[ListWorkflows] = rows_of(workflow())
    engine.answers[GetWorkflow] = Definition(
        workflow="orders", version="ab", file="o.yaml", text=f"name: orders\n# {EVIL}\n", truncated=True
    )
    result = orchctl(engine.home, "workflows", "orders", "--definition")
    assert result.out == f"name: orders\n# {SHOWN}\n"
    assert "cut off" in result.err


def test_schedules_show_when_they_are_due(engine: FakeEngine) -> None:
    engine.answers[ListSchedules] = rows_of(
        ScheduleRow(workflow="orders", schedule="15 2 * * *", timezone="Europe/Berlin", paused=False,
                    next_at="2026-11-24T01:15:00.000000Z")
    )  # fmt: skip
    assert "2026-11-24 01:15:00Z" in orchctl(engine.home, "schedules").out
    assert orchctl(engine.home, "schedules", "--json").rows[0]["schedule"] == "15 2 * * *"
