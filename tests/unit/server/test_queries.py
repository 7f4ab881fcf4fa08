"""Every question, answered from a machine that was really stepped."""

import time
from array import array
from typing import Any

import msgspec
import pytest

from engine.core.events import Ask, LogSlice, RunRequested, WorkflowPauseRequested
from engine.core.state import RunHeader, RunState
from engine.model.errors import NotFound, ValueFault
from engine.model.instants import SECOND
from engine.model.resources import Claim
from engine.model.status import Outcome, OutcomeKind, TaskStatus
from engine.model.workflow import Command, Need, Param, Policy, Quota, Retry, Schedule, Shell, Task, Workflow
from engine.planning.plan import make_plan
from engine.protocol.messages import (
    ExplainRun,
    GetEngine,
    GetRun,
    GetTask,
    GetWorkflow,
    ListAttempts,
    ListAudit,
    ListEvents,
    ListGroups,
    ListRuns,
    ListSchedules,
    ListTasks,
    ListWorkflows,
    Request,
    key_of,
)
from engine.server.desk import Desk
from engine.server.gate import Gate
from engine.server.look import RunNeeded
from engine.server.packing import Page, fitting, rows_frame, short_value
from engine.server.queries import answer, definition_of
from tests.support.builders import flow, task
from tests.unit.server.house import TRUE, House, tasks_of

FAILED = Outcome(OutcomeKind.FAILED, exit_code=3)
DIAMOND = Workflow("diamond", tasks_of(("a", ""), ("b", "a"), ("c", "a"), ("d", "b c")))
FAN = Workflow("fan", tasks_of(("first", ""), ("each", "first", ["x", "y", "z"]), ("last", "each")))


def page(house: House, question: Request) -> Page:
    return answer(house.look, question, clients=3)


def rows(house: House, question: Request) -> list[dict[str, Any]]:
    return [msgspec.msgpack.decode(row.data) for row in page(house, question).rows]


def names(house: House, question: Request) -> list[str]:
    return [key_of(row) for row in rows(house, question)]


# --- runs -----------------------------------------------------------------------------------------------------------


def test_runs_come_newest_first_whether_live_or_finished() -> None:
    house = House()
    first, second, third = (house.begin(DIAMOND) for _ in range(3))
    house.finish(second)
    assert second not in house.state.runs
    found = rows(house, ListRuns())
    assert [row["run"] for row in found] == [f"r{third}", f"r{second}", f"r{first}"]
    assert [row["status"] for row in found] == ["running", "succeeded", "running"]


def test_runs_are_filtered_and_paged_without_gap_or_repeat() -> None:
    house = House(cpus=1)
    for number in range(7):
        run = house.begin(DIAMOND if number % 2 else FAN)
        if number < 3:
            house.finish(run)
    assert names(house, ListRuns(workflow="fan")) == ["r7", "r5", "r3", "r1"]
    assert names(house, ListRuns(statuses=("succeeded",))) == ["r3", "r2", "r1"]
    seen: list[str] = []
    before = 0
    while True:
        found = page(house, ListRuns(limit=2, before=before))
        seen += [row.key for row in found.rows]
        if not found.more:
            break
        before = int(found.cursors[-1])
    assert seen == ["r7", "r6", "r5", "r4", "r3", "r2", "r1"]


def test_a_run_row_counts_rows_by_status_and_an_unknown_expansion_as_one() -> None:
    house = House()
    run = house.begin(FAN)
    assert rows(house, GetRun(run=run))[0]["tasks"] == {"waiting": 2, "running": 1}
    house.start(house.live(run)[0])
    house.end(house.live(run)[0])
    assert rows(house, GetRun(run=run))[0]["tasks"] == {"waiting": 1, "running": 3, "succeeded": 1}


def test_run_zero_is_the_newest() -> None:
    house = House()
    house.begin(DIAMOND)
    newest = house.begin(FAN)
    house.finish(newest)
    assert rows(house, GetRun(run=0))[0]["run"] == f"r{newest}"
    with pytest.raises(NotFound, match="r99"):
        page(house, GetRun(run=99))
    with pytest.raises(NotFound, match="no runs yet"):
        page(House(), GetRun(run=0))


def test_a_long_parameter_is_shown_by_its_beginning() -> None:
    house = House()
    flow = Workflow("big", tasks_of(("a", "")), params=(Param("text"),))
    run = house.begin(flow, text="x" * 100_000)
    shown = rows(house, GetRun(run=run))[0]["params"]["text"]
    assert shown.startswith('"xxx')
    assert len(shown) < 300


# --- groups ---------------------------------------------------------------------------------------------------------


def test_groups_show_depth_needs_counts_and_a_few_names() -> None:
    house = House()
    run = house.begin(FAN)
    house.start(house.live(run)[0])
    house.end(house.live(run)[0])
    for attempt in house.live(run)[:2]:
        house.start(attempt)
    house.end(house.attempt_of(run, "each", 1), FAILED)
    first, each, last = rows(house, ListGroups(run=run))
    assert [row["depth"] for row in (first, each, last)] == [0, 1, 2]
    assert each["needs"] == ["first"]
    assert each["mapped"] is True
    assert each["tasks"] == {"running": 2, "failed": 1}
    assert set(each["running"]) == {"each[0]", "each[2]"}
    assert each["failed"] == ["each[1]"]
    assert each["started_at"] is not None
    assert each["finished_at"] is None
    assert first["finished_at"] is not None
    assert last["tasks"] == {"waiting": 1}


def test_a_task_without_rows_says_how_often_it_was_tried_and_why_it_failed() -> None:
    house = House()
    run = house.begin(
        Workflow("w", tasks_of(("a", ""), ("b", ""), ("c", "a")), policies=(Policy(retry=Retry(limit=1)),))
    )
    for _ in range(2):
        house.start(house.attempt_of(run, "a"))
        house.end(house.attempt_of(run, "a"), FAILED)
    found = {row["task"]: (row["status"], row["attempts"], row["why"]) for row in rows(house, ListGroups(run=run))}
    assert found == {
        "a": ("failed", 2, "failed: exit 3"), "b": ("running", 1, ""), "c": ("upstream_failed", 0, ""),
    }  # fmt: skip


def test_a_result_that_could_not_be_read_is_said_though_the_exit_code_was_zero() -> None:
    house = House()
    run = house.begin(Workflow("w", tasks_of(("a", ""), ("b", ""))))
    house.start(house.attempt_of(run, "a"))
    house.end(house.attempt_of(run, "a"), Outcome(OutcomeKind.FAILED, exit_code=0, why="result is not JSON"))
    assert rows(house, ListTasks(run=run, task="a"))[0]["why"] == "failed: result is not JSON"
    assert rows(house, ListGroups(run=run))[0]["why"] == "failed: result is not JSON"


def test_a_group_forgets_its_first_start_when_that_row_goes_again() -> None:
    house = House()
    run = house.begin(Workflow("w", tasks_of(("each", "", [1, 2]))))
    state = house.state.runs[run]
    for attempt in house.live(run):
        house.start(attempt)
        house.now_ns += SECOND
    started = sorted(state.started)[1:]
    before = rows(house, ListGroups(run=run))[0]["started_at"]
    state.started[1] = started[1] + SECOND
    house.look.forget(house.step())
    after = rows(house, ListGroups(run=run))[0]["started_at"]
    assert after > before


def test_groups_are_filtered_by_name_and_status() -> None:
    house = House()
    run = house.begin(DIAMOND)
    assert names(house, ListGroups(run=run, text="B")) == ["b"]
    assert names(house, ListGroups(run=run, statuses=("running",))) == ["a"]
    found = page(house, ListGroups(run=run, offset=1, limit=2))
    assert [row.key for row in found.rows] == ["b", "c"]
    assert (found.total, found.cursors[-1], found.more) == (4, "3", True)


# --- rows -----------------------------------------------------------------------------------------------------------


def test_task_rows_tell_everything_about_the_newest_attempt() -> None:
    house = House()
    flow = Workflow("w", (Task("a", TRUE),), policies=(Policy(retry=Retry(limit=1)),))
    run = house.begin(flow)
    house.start(house.live(run)[0], pid=77)
    running = rows(house, ListTasks(run=run))[0]
    assert (running["status"], running["pid"], running["outcome"]) == ("running", 77, None)
    house.end(house.live(run)[0], FAILED)
    house.start(house.live(run)[0], pid=78)
    house.end(house.live(run)[0], FAILED, LogSlice("r1/a.2.log", 5, 9))
    row = rows(house, ListTasks(run=run)) if run in house.state.runs else None
    if row is None:
        with pytest.raises(RunNeeded):
            page(house, ListTasks(run=run))
        house.look.shelf.begin(run)
        house.look.shelf.put(run, house.history.finished[run])
        row = rows(house, ListTasks(run=run))
    assert row[0] | {"started_at": 0, "finished_at": 0} == {
        "task": "a", "index": None, "status": "failed", "attempts": 2, "outcome": "failed", "exit_code": 3,
        "signal": None, "why": "failed: exit 3", "pid": 78, "max_rss": 2**20, "cpu_seconds": 0.5,
        "log": {"path": "/logs/r1/a.2.log", "offset": 5, "length": 9}, "item": None, "started_at": 0, "finished_at": 0,
        "suspended": False, "enforced": {},
        "settings": {},
    }  # fmt: skip
    assert row[0]["finished_at"] > row[0]["started_at"]


def test_a_row_that_did_not_change_is_not_read_again() -> None:
    house = House()
    run = house.begin(FAN)
    house.start(house.live(run)[0])
    house.end(house.live(run)[0])
    first = page(house, ListTasks(run=run))
    reads = house.history.reads
    again = page(house, ListTasks(run=run))
    assert house.history.reads == reads
    assert all(one.data is other.data for one, other in zip(first.rows, again.rows, strict=True) if "[" in one.key)
    house.start(house.attempt_of(run, "each", 1), pid=9)
    changed = {row["task"] + str(row["index"]): row["pid"] for row in rows(house, ListTasks(run=run))}
    assert changed["each1"] == 9


def test_a_live_attempts_log_shows_as_soon_as_it_is_known() -> None:
    house = House()
    run = house.begin(DIAMOND)
    attempt = house.live(run)[0]
    assert rows(house, ListTasks(run=run, task="a"))[0]["log"] is None
    attempt.log = LogSlice("r1/a.1.log")
    assert rows(house, ListTasks(run=run, task="a"))[0]["log"]["path"] == "/logs/r1/a.1.log"


def test_a_value_that_no_message_can_hold_is_shown_in_words() -> None:
    assert "not shown" in short_value({"result": 10**40})
    assert short_value({"result": 2**64 - 1}) == {"result": 2**64 - 1}


def test_items_show_with_their_rows_and_an_unexpanded_task_takes_one_line() -> None:
    house = House()
    run = house.begin(FAN)
    assert names(house, ListTasks(run=run)) == ["first", "each", "last"]
    house.finish(run)
    house.look.shelf.begin(run)
    house.look.shelf.put(run, house.history.finished[run])
    found = rows(house, ListTasks(run=run))
    assert [key_of(row) for row in found] == ["first", "each[0]", "each[1]", "each[2]", "last"]
    assert [row["item"] for row in found] == [None, "x", "y", "z", None]


def test_windows_sorts_and_filters_agree_with_a_plain_listing() -> None:
    house = House(cpus=3)
    flow = Workflow(
        "w",
        tasks_of(
            ("a", ""), ("m1", "a", list(range(5))), ("b", "m1"), ("m2", "a", []), ("m3", "b", list(range(9))), ("c", "")
        ),
    )
    run = house.begin(flow)
    for _ in range(5):
        attempt = house.live(run)[0]
        house.start(attempt)
        house.end(attempt, FAILED if attempt.task == 1 and attempt.index == 2 else Outcome(OutcomeKind.SUCCEEDED, 0))
    everything = rows(house, ListTasks(run=run, limit=5000))
    keys = [key_of(row) for row in everything]
    assert len(set(keys)) == len(keys)
    for offset in range(len(keys) + 2):
        for limit in (1, 3, 50):
            found = page(house, ListTasks(run=run, offset=offset, limit=limit))
            assert [row.key for row in found.rows] == keys[offset : offset + limit]
            assert found.total == len(keys)
    for status in ("failed", "succeeded", "waiting", "running", "upstream_failed", "skipped"):
        expected = [key_of(row) for row in everything if row["status"] == status]
        found = page(house, ListTasks(run=run, statuses=(status,), limit=5000))
        assert [row.key for row in found.rows] == expected
        assert found.total == len(expected)
        assert names(house, ListTasks(run=run, statuses=(status,), offset=1, limit=2)) == expected[1:3]
    assert names(house, ListTasks(run=run, task="m1", offset=1, limit=2)) == ["m1[1]", "m1[2]"]
    assert names(house, ListTasks(run=run, text="M1", limit=50)) == [f"m1[{index}]" for index in range(5)]
    assert names(house, ListTasks(run=run, task="m1", index=4)) == ["m1[4]"]
    urgent = names(house, ListTasks(run=run, sort="attention", limit=5000))
    assert sorted(urgent) == sorted(keys)
    assert urgent[0] == "m1[2]"
    for offset in range(len(keys)):
        assert names(house, ListTasks(run=run, sort="attention", offset=offset, limit=4)) == urgent[offset : offset + 4]
    longest = rows(house, ListTasks(run=run, sort="duration", limit=5000))
    begun = [row["started_at"] is not None for row in longest]
    assert begun == sorted(begun, reverse=True)
    for offset in range(len(keys)):
        shown = names(house, ListTasks(run=run, sort="duration", offset=offset, limit=4))
        assert shown == [key_of(row) for row in longest[offset : offset + 4]]


def test_a_window_of_a_run_of_a_million_rows_costs_what_the_window_holds() -> None:
    house = House()
    plan = make_plan(Workflow("huge", tasks_of(("a", ""), ("m", "a", "{{ range(1000000) }}"), ("z", "m"))))
    run = RunState(RunHeader(run=1, workflow="huge", version=plan.version, params={}), plan)
    run.append_rows(1, 1_000_000)
    run.started = array("q", range(1, len(run.started) + 1))
    house.state.runs[1] = run
    house.state.meta.next_run = 2
    began = time.perf_counter()
    found = page(house, ListTasks(run=1, offset=999_990, limit=50))
    assert time.perf_counter() - began < 0.05
    assert [row.key for row in found.rows][-2:] == ["m[999999]", "z"]
    assert found.total == 1_000_002
    page(house, ListGroups(run=1))
    began = time.perf_counter()
    page(house, ListGroups(run=1))
    assert time.perf_counter() - began < 0.05


def test_bad_bounds_and_names_are_refused_with_a_sentence() -> None:
    house = House()
    run = house.begin(FAN)
    house.start(house.live(run)[0])
    house.end(house.live(run)[0])
    for question in (
        ListTasks(run=run, limit=0), ListTasks(run=run, limit=10**9), ListTasks(run=run, offset=-1),
        ListTasks(run=run, statuses=("done",)), ListTasks(run=run, index=1), ListTasks(run=run, text="x" * 1000),
        ListTasks(run=-5), ListAttempts(run=run, task="each"), ListRuns(workflow="../x"), ListRuns(before=-1),
        ListTasks(run=run, task="each", index=-7), ListRuns(statuses=("running",) * 50), ListEvents(cursor="x" * 999),
    ):  # fmt: skip
        with pytest.raises(ValueFault):
            page(house, question)
    for question in (
        ListTasks(run=run, task="nope"), ListTasks(run=run, task="each", index=3), ListTasks(run=99),
        ListTasks(run=run, task="first", index=0), ListEvents(run=99), ListTasks(run=2**63),
    ):  # fmt: skip
        with pytest.raises((NotFound, ValueFault)):
            page(house, question)


def test_attempts_of_a_row_come_oldest_first_the_live_one_as_it_is() -> None:
    house = House()
    run = house.begin(Workflow("w", (Task("a", TRUE),), policies=(Policy(retry=Retry(limit=2)),)))
    house.start(house.live(run)[0])
    house.end(house.live(run)[0], FAILED)
    house.start(house.live(run)[0], pid=99)
    found = rows(house, ListAttempts(run=run, task="a"))
    assert [(row["number"], row["status"], row["outcome"]) for row in found] == [
        (1, "exited", "failed"),
        (2, "running", None),
    ]
    assert found[0]["sentence"] == "failed: exit 3"
    assert found[1]["pid"] == 99


def test_explain_names_what_is_missing_and_who_holds_it() -> None:
    house = House(cpus=1)
    run = house.begin(Workflow("w", tasks_of(("a", ""), ("b", ""), ("c", "a"))))
    found = {row["task"]: row for row in rows(house, ExplainRun(run=run))}
    assert set(found) == {"b", "c"}
    reason = found["b"]["reasons"][0]
    assert set(reason) == {"kind", "resource", "asked", "available", "holders"}
    assert (reason["kind"], reason["resource"]) == ("capacity", "cpu")
    assert found["b"]["rank"] == 1
    assert found["c"]["reasons"][0]["kind"] == "upstream"
    assert rows(house, ExplainRun(run=run, task="c")) == [found["c"]]
    assert rows(house, ExplainRun(run=run, task="a")) == []


# --- the engine and its history -------------------------------------------------------------------------------------


def test_events_carry_names_and_their_further_fields() -> None:
    house = House()
    run = house.begin(FAN)
    house.start(house.live(run)[0])
    house.end(house.live(run)[0], log=LogSlice("x", 1, 2))
    found = rows(house, ListEvents(run=run))
    assert [row["event"] for row in found][:4] == ["RunQueued", "RunStarted", "RowsReleased", "AttemptOrdered"]
    exited = next(row for row in found if row["event"] == "AttemptExited")
    assert (exited["run"], exited["task"], exited["index"]) == (f"r{run}", "first", None)
    assert exited["details"]["outcome"]["outcome"] == "succeeded"
    assert exited["details"]["log"] == {"path": "x", "offset": 1, "length": 2}
    ordered = [row for row in found if row["event"] == "AttemptOrdered"]
    assert [(row["task"], row["index"]) for row in ordered[1:]] == [("each", 0), ("each", 1), ("each", 2)]
    assert rows(house, ListEvents())[0]["event"] == "RunRequested"


def test_the_journal_is_paged_without_gap_even_where_a_page_does_not_fit_a_frame() -> None:
    house = House()
    for _ in range(400):
        house.step(WorkflowPauseRequested(Ask(), "x", paused=True))
    installed = house.install(Workflow("w", tasks_of(("a", "")), params=tuple(Param(f"p{i}") for i in range(60))))
    for _ in range(30):
        values = {f"p{i}": "y" * 8_000 for i in range(60)}
        house.step(RunRequested(Ask(), installed.workflow, installed.version, values))
    expected = len(house.history.journal)
    seen, cursor = 0, ""
    while True:
        found = page(house, ListEvents(cursor=cursor, limit=5000))
        assert fitting(found.rows) == len(found.rows)
        seen += len(found.rows)
        if not found.more:
            break
        cursor = found.cursors[-1]
    assert seen == expected


def test_audit_lines_come_newest_first_and_pages_end_between_revisions() -> None:
    house = House()
    run = house.begin(DIAMOND)
    house.finish(run)
    installed = house.install(FAN)
    for _ in range(5):
        house.step(*[RunRequested(Ask(), installed.workflow, installed.version) for _ in range(3)])
    seen: list[int] = []
    before = 0
    while True:
        found = page(house, ListAudit(before=before, limit=4))
        decoded = [msgspec.msgpack.decode(row.data) for row in found.rows]
        seen += [row["revision"] for row in decoded]
        if not found.more:
            break
        before = int(found.cursors[-1])
    assert len(seen) == len(house.history.lines)
    assert seen == sorted(seen, reverse=True)


def test_workflows_and_schedules_show_their_newest_run_and_next_instant() -> None:
    house = House()
    flow = Workflow(
        "nightly", tasks_of(("a", "")), schedules=(Schedule(cron="15 2 * * *"), Schedule(interval_ns=3600 * SECOND)),
        params=(Param("day", "date"), Param("n", "integer", default=3)), owner="me", tags=("x",),
    )  # fmt: skip
    house.add(flow)
    house.faults["nightly"] = "line 3: no"
    row = rows(house, ListWorkflows())[0]
    assert (row["workflow"], row["tasks"], row["owner"], row["fault"]) == ("nightly", 1, "me", "line 3: no")
    assert row["schedules"] == ["15 2 * * *", "every 1h00m"]
    assert "default" not in row["params"][0]
    assert row["params"][1]["default"] == 3
    assert row["last_run"] is None
    plans = rows(house, ListSchedules())
    assert [plan["schedule"] for plan in plans] == row["schedules"]
    assert min(plan["next_at"] for plan in plans) == row["next_at"]
    run = house.begin(flow, day="2026-01-01")
    assert rows(house, ListWorkflows())[0]["last_run"] == f"r{run}"
    assert rows(house, ListWorkflows())[0]["last_status"] == "running"
    house.finish(run)
    assert rows(house, ListWorkflows())[0]["last_status"] == "succeeded"
    house.step(WorkflowPauseRequested(Ask(), "nightly", paused=True))
    assert [plan["next_at"] for plan in rows(house, ListSchedules())] == [None, None]


def test_tasks_that_are_named_alike_are_one_row_with_their_counts() -> None:
    house = House(cpus=3)
    loads = [(f"load_{number:03d}", "begin") for number in range(12)]
    parts = [(f"daily.{letter}", "begin") for letter in "abcdefghij"]
    few = [(f"few_{number}", "begin") for number in range(3)]
    run = house.begin(Workflow("w", tasks_of(("begin", ""), *loads, *parts, *few)))
    house.end(house.attempt_of(run, "begin"))
    assert names(house, ListGroups(run=run, fold=True)) == ["begin", "load_*", "daily.*", "few_0", "few_1", "few_2"]
    house.start(house.live(run)[0])
    load = rows(house, ListGroups(run=run, fold=True))[1]
    assert (load["rows"], load["status"], load["running"][0]) == (12, "running", "load_000")
    assert sum(load["tasks"].values()) == 12
    members = names(house, ListTasks(run=run, text=load["fold"]))
    assert members == [name for name, _ in loads]
    assert names(house, ListTasks(run=run, text=rows(house, ListGroups(run=run, fold=True))[2]["fold"])) == [
        name for name, _ in parts
    ]
    assert names(house, ListGroups(run=run, fold=True, text="load_00")) == ["load_*"]
    assert names(house, ListGroups(run=run, fold=True, text="~^load_00[1-3]$")) == ["load_001", "load_002", "load_003"]
    assert page(house, ListGroups(run=run, fold=True, offset=4, limit=1)).total == 6


def test_a_task_is_told_whole_but_for_its_secrets() -> None:
    house = House()
    policy = Policy(
        claim=Claim(2000, 2**20),
        quota=Quota(wall_ns=90 * SECOND, memory_bytes=2**30),
        retry=Retry(limit=2),
        env=(("API_TOKEN", "abc"), ("db_password", "abc"), ("MODE", "fast"), ("SSH_KEY", "abc")),
    )
    tasks = (
        Task("a", TRUE),
        Task("b", Command(("run", "two words", "x")), 1, needs=(Need("a"),)),
        Task("c", Shell("echo 1\necho 2"), needs=(Need("b"),)),
    )
    run = house.begin(Workflow("w", tasks, (Policy(), policy)))
    row = rows(house, GetTask(run=run, task="b"))[0]
    assert row["lines"] == ["run 'two words' x"]
    assert row["env"] == {"API_TOKEN": "(hidden)", "db_password": "(hidden)", "MODE": "fast", "SSH_KEY": "(hidden)"}
    assert (row["quota"], row["claim"]["cpu"]) == ({"wall": 90.0, "memory": 2**30}, 2.0)
    assert row["upstream"] == [{"task": "a", "status": "running", "mapped": False, "paired": False}]
    assert row["downstream"] == [{"task": "c", "status": "waiting", "mapped": False, "paired": False}]
    assert rows(house, GetTask(run=run, task="c"))[0]["lines"] == ["echo 1", "echo 2"]
    with pytest.raises(NotFound, match="no task"):
        rows(house, GetTask(run=run, task="nowhere"))


def test_a_neighbour_says_whether_it_has_rows_and_whether_they_are_paired() -> None:
    house = House()
    tasks = (task("a", for_each=[1, 2]), task("b", "a[i]", for_each=[1, 2]), task("c", "b"))
    run = house.begin(flow(*tasks))
    row = rows(house, GetTask(run=run, task="b"))[0]
    assert [(side["task"], side["mapped"], side["paired"]) for side in row["upstream"]] == [("a", True, True)]
    assert [(side["task"], side["mapped"], side["paired"]) for side in row["downstream"]] == [("c", False, False)]
    assert rows(house, GetTask(run=run, task="a"))[0]["downstream"][0]["paired"]


def test_the_engine_row_knows_its_clients_and_revision() -> None:
    house = House()
    house.begin(DIAMOND)
    row = rows(house, GetEngine())[0]
    assert (row["clients"], row["revision"]) == (3, house.state.meta.revision)


def test_a_definition_is_found_by_name_and_by_version() -> None:
    house = House()
    version = house.add(DIAMOND).version
    assert definition_of(house.look, GetWorkflow(workflow="diamond"))[:2] == ("diamond", version)
    assert definition_of(house.look, GetWorkflow(workflow="", version=version))[0] == "diamond"
    for wrong in (GetWorkflow(workflow="nope"), GetWorkflow(workflow="nope", version=version)):
        with pytest.raises(NotFound):
            definition_of(house.look, wrong)


def test_an_answer_that_does_not_fit_a_frame_is_cut_and_says_where_it_goes_on() -> None:
    house = House()
    run = house.begin(Workflow("w", tasks_of(("m", "", ["y" * 8_000] * 300))))
    found = page(house, ListTasks(run=run, limit=300))
    frame = rows_frame(5, 9, found)
    assert len(frame) <= 2**20
    reply = msgspec.msgpack.decode(frame[4:])
    assert 100 < len(reply["rows"]) < 300
    assert reply["cursor"] == str(len(reply["rows"]))
    rest = page(house, ListTasks(run=run, offset=int(reply["cursor"]), limit=1))
    assert rest.rows[0].key == f"m[{len(reply['rows'])}]"


# --- finished runs --------------------------------------------------------------------------------------------------


@pytest.mark.trio
async def test_a_finished_run_is_loaded_once_and_again_after_it_changed() -> None:
    house = House()
    run = house.begin(DIAMOND)
    house.finish(run)
    gate = Gate(house.settled)
    desk = Desk(house.look, gate, lambda: 0)
    for _ in range(3):
        reply = msgspec.msgpack.decode((await desk.answer(ListTasks(id=4, run=run)))[4:])
        assert [row["status"] for row in reply["rows"]] == ["succeeded"] * 4
    assert house.history.loads == 1
    changes = house.step()
    changes.runs.add(run)
    house.look.forget(changes)
    await desk.answer(ListTasks(run=run))
    assert house.history.loads == 2
    del house.history.finished[run]
    house.look.forget_history()
    with pytest.raises(NotFound):
        await desk.answer(ListTasks(run=run))


def test_statuses_of_the_model_all_have_a_place_in_the_attention_order() -> None:
    house = House()
    run = house.begin(Workflow("w", tasks_of(*[(f"t{number}", "") for number in range(len(TaskStatus))])))
    state = house.state.runs[run]
    for status in TaskStatus:
        state.set_status(int(status), int(status), status)
    assert len(rows(house, ListTasks(run=run, sort="attention"))) == len(TaskStatus)
