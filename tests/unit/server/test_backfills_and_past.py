"""Dry runs, backfills, settings and past moments, as clients see them."""

from typing import Any

import pytest

from engine.core.events import Ask, BackfillRequested, BackfillScope, RetryRequested, SettingsChangeRequested
from engine.model.errors import EngineError, Unavailable, ValueFault
from engine.model.instants import DAY, from_text, to_text
from engine.model.workflow import Schedule, Workflow
from engine.protocol.messages import (
    ActOnBackfill,
    ChangeSettings,
    GetMoment,
    GetRun,
    ListBackfills,
    ListEvents,
    ListGroups,
    ListLanes,
    ListMoments,
    ListPartitions,
    ListPast,
    ListTasks,
    StartBackfill,
    key_of,
)
from engine.server import past as past_module
from engine.server.backfilling import scope_of
from engine.server.requests import event_of, role_for, verb_and_target
from tests.unit.server.house import House, tasks_of
from tests.unit.server.test_queries import names, rows

DAILY = Workflow(
    "daily", tasks_of(("a", ""), ("b", "a", [1, 2, 3])), schedules=(Schedule(cron="0 6 * * *", timezone="Asia/Tokyo"),)
)


def added() -> House:
    house = House()
    house.add(DAILY)
    return house


def span(since: str, until: str, **fields: Any) -> ListPartitions:
    return ListPartitions(workflow="daily", since=since, until=until, **fields)


def begin(house: House, since: str, until: str, **fields: Any) -> None:
    entry, _, scope = scope_of(house.look, span(since, until))
    house.step(BackfillRequested(Ask(), entry.name, entry.version, scope, **fields))


def test_dates_are_days_of_the_zone_of_the_schedule_and_both_are_included() -> None:
    house = added()
    found = rows(house, span("2026-11-01", "2026-11-03"))
    assert [row["partition"] for row in found] == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert found[0]["due_at"] == "2026-10-31T21:00:00.000000Z"
    assert all(row["runs"] and not row["why"] and row["run"] is None for row in found)
    assert len(rows(house, span("2026-10-31T21:00:00Z", "2026-11-01T21:00:00Z"))) == 2


def test_a_dry_run_says_why_partitions_are_left_out_and_changes_nothing() -> None:
    house = added()
    begin(house, "2026-11-01", "2026-11-02")
    house.finish(1)
    before = house.state.meta.revision
    found = rows(house, span("2026-11-01", "2026-11-04", order="newest"))
    assert [(row["partition"][-2:], row["runs"], row["why"], row["run"]) for row in found] == [
        ("04", True, "", None), ("03", True, "", None), ("02", False, "r2 is running", "r2"),
        ("01", False, "r1 has succeeded", "r1"),
    ]  # fmt: skip
    assert [row["runs"] for row in rows(house, span("2026-11-01", "2026-11-01", reprocess="all"))] == [True]
    assert house.state.meta.revision == before


@pytest.mark.parametrize(
    ("since", "until", "fields", "sentence"),
    [
        ("2026-13-01", "2026-11-03", {}, "is no date"),
        ("soon", "2026-11-03", {}, "not an RFC 3339 instant"),
        ("2026-11-01T00:00:00", "2026-11-03", {}, "has no offset"),
        ("0001-01-01", "2026-11-03", {}, "is not between the years"),
        ("2026-11-01", "9999-12-31", {}, "is not between the years"),
        ("2026-11-01", "9999-12-31T23:59:59Z", {}, "is not between the years"),
        ("2026-11-03", "2026-11-01", {}, "is after"),
        ("2020-01-01", "2026-11-01", {}, "more than 1000 partitions"),
        ("2026-11-01", "2026-11-02", {"most": 10**9}, "a backfill is about 1 to 5000"),
        ("2026-11-01", "2026-11-02", {"schedule": -1}, "has no schedule -1"),
    ],
)
def test_what_makes_no_sense_is_refused(since: str, until: str, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueFault, match=sentence):
        rows(added(), span(since, until, **fields))


def test_unknown_workflows_are_refused() -> None:
    for name in ("nobody", "../x", ""):
        with pytest.raises(EngineError):
            rows(added(), ListPartitions(workflow=name, since="2026-11-01", until="2026-11-02"))


def test_backfills_are_listed_newest_first_with_their_counts() -> None:
    house = added()
    begin(house, "2026-11-01", "2026-11-05", max_active=2, params={}, note="late")
    begin(house, "2026-11-06", "2026-11-07")
    house.finish(1)
    second, first = rows(house, ListBackfills())
    assert names(house, ListBackfills()) == ["b2", "b1"]
    assert (first["partitions"], first["pending"], first["active"], first["ended"]) == (
        5, 2, ["r2", "r4"], {"succeeded": 1},
    )  # fmt: skip
    assert (first["status"], first["next_partition"], first["max_active"], first["note"]) == (
        "running", "2026-11-04", 2, "late",
    )  # fmt: skip
    assert second["since"] == "2026-11-05T15:00:00.000000Z"
    run = rows(house, GetRun(run=2))[0]
    assert (run["trigger"], run["backfill"], run["partition"]) == ("backfill", "b1", "2026-11-02")


def test_what_was_set_is_shown_with_the_run_its_tasks_and_its_rows() -> None:
    house = House(cpus=1)
    house.add(DAILY)
    run = house.begin(DAILY)
    assert rows(house, GetRun(run=run))[0]["settings"] == {}
    first = rows(house, ListTasks(run=run, task="a"))[0]
    house.step(
        SettingsChangeRequested(Ask(), run, {"max_parallel": 2, "priority": 3}, "b"),
        SettingsChangeRequested(Ask(), run, {"priority": 9}),
    )
    assert rows(house, GetRun(run=run))[0]["settings"] == {"b": {"priority": 3, "max_parallel": 2}, "": {"priority": 9}}
    groups = {row["task"]: row for row in rows(house, ListGroups(run=run))}
    assert (groups["a"]["priority"], groups["a"]["settings"]) == (9, {})
    assert (groups["b"]["priority"], groups["b"]["max_parallel"]) == (3, 2)
    house.finish_one(run)
    shown = rows(house, ListTasks(run=run, task="b"))
    assert [row["settings"] for row in shown] == [{"priority": 3, "max_parallel": 2}] * 3
    assert first["settings"] == {}


def lived(house: House) -> int:
    run = house.begin(DAILY)
    house.finish_one(run)
    house.keep_finished = True
    house.finish(run)
    return run


def test_a_run_can_be_seen_at_each_of_its_revisions() -> None:
    house = added()
    run = lived(house)
    revisions = [row["revision"] for row in rows(house, ListMoments(run=run))]
    assert revisions == sorted(revisions)
    assert len(revisions) >= 6
    for revision in (*revisions, *revisions[::-1]):
        moment = rows(house, GetMoment(run=run, revision=revision))[0]
        assert (moment["revision"], moment["reached"]) == (revision, True)
        groups = rows(house, ListPast(run=run, revision=revision))
        counts: dict[str, int] = {}
        for group in groups:
            for status, count in group["tasks"].items():
                counts[status] = counts.get(status, 0) + count
        assert counts == moment["tasks"]
    first = rows(house, GetMoment(run=run, revision=revisions[0]))[0]
    assert (first["status"], first["tasks"]) == ("running", {"running": 1, "waiting": 1})
    last = rows(house, GetMoment(run=run))[0]
    assert (last["status"], last["tasks"]) == ("succeeded", {"succeeded": 4})


def test_a_moment_can_be_named_by_its_instant() -> None:
    house = added()
    run = lived(house)
    changes = rows(house, ListMoments(run=run))
    between = to_text((from_text(changes[1]["at"]) + from_text(changes[2]["at"])) // 2)
    assert rows(house, GetMoment(run=run, at=between))[0]["revision"] == changes[1]["revision"]
    before = rows(house, GetMoment(run=run, at="2020-01-01T00:00:00Z"))[0]
    assert (before["at"], before["status"]) == (None, "queued")
    with pytest.raises(ValueFault, match="not both"):
        rows(house, GetMoment(run=run, at=between, revision=4))


def test_the_moments_before_and_after_one_are_listed() -> None:
    house = added()
    run = lived(house)
    revisions = [row["revision"] for row in rows(house, ListMoments(run=run))]
    middle = revisions[3]
    assert [row["revision"] for row in rows(house, ListMoments(run=run, before=middle, limit=1))] == [revisions[2]]
    assert [row["revision"] for row in rows(house, ListMoments(run=run, after=middle, limit=2))] == revisions[4:6]


def test_the_rows_of_a_past_moment_are_filtered_and_paged() -> None:
    house = added()
    run = house.begin(DAILY)
    house.finish_one(run)
    house.finish_one(run)
    revision = house.state.meta.revision
    house.finish(run)
    house.look.shelf.begin(run)
    house.look.shelf.put(run, house.history.finished[run])
    shown = rows(house, ListPast(run=run, revision=revision, task="b"))
    assert [(row["index"], row["status"]) for row in shown] == [(0, "succeeded"), (1, "running"), (2, "running")]
    assert [key_of(row) for row in rows(house, ListPast(run=run, revision=revision, task="b", offset=1, limit=1))] == [
        "b[1]"
    ]
    only = ListPast(run=run, revision=revision, task="b", statuses=("succeeded",))
    assert [key_of(row) for row in rows(house, only)] == ["b[0]"]
    assert names(house, ListPast(run=run, revision=revision, text="b")) == ["b"]


def test_the_past_has_rows_of_all_tasks_what_needs_a_look_first_and_lanes_that_end_at_the_moment() -> None:
    house = added()
    run = house.begin(DAILY)
    house.finish_one(run)
    house.finish_one(run)
    house.start(house.live(run)[0])
    house.step(SettingsChangeRequested(Ask(), run, {"priority": 1}), seconds=0.005)
    revision, then = house.state.meta.revision, to_text(house.state.meta.now_ns)
    house.keep_finished = True
    house.finish(run)
    past = ListPast(run=run, revision=revision, of="rows")
    assert names(house, past) == ["a", "b[0]", "b[1]", "b[2]"]
    attention = ListPast(run=run, revision=revision, of="rows", sort="attention")
    assert names(house, attention) == ["b[1]", "b[2]", "a", "b[0]"]
    assert names(house, ListPast(run=run, revision=revision, of="rows", text="b", statuses=("running",))) == [
        "b[1]", "b[2]",
    ]  # fmt: skip
    for row in rows(house, past):
        assert (row["started_at"] or "") <= then
        assert (row["finished_at"] is None) == (row["status"] == "running")
        assert (row["finished_at"] or "") <= then
    lanes = {key_of(row): row for row in rows(house, ListPast(run=run, revision=revision, of="lanes", task="b"))}
    assert lanes["b[1]"]["spans"][0][1:] == [None, "running"]
    assert lanes["b[2]"]["spans"] == []
    assert lanes["b[0]"]["spans"][0][2] == "succeeded"
    lane = rows(house, ListPast(run=run, revision=revision, of="lanes"))[1]
    assert (lane["rows"], lane["tasks"]) == (3, {"succeeded": 1, "running": 2})
    whole = rows(house, ListLanes(run=run))[1]
    assert lane["until"] <= whole["until"]
    assert lane["busy"] == whole["busy"][: len(lane["busy"])]
    groups = rows(house, ListPast(run=run, revision=revision))
    assert (groups[1]["running"], groups[1]["failed"]) == (["b[1]", "b[2]"], [])
    assert groups[0]["finished_at"] <= then


def test_tasks_that_are_named_alike_are_one_in_the_past_too() -> None:
    house = House()
    run = house.begin(Workflow("many", tasks_of(*((f"load_{at:02d}", "") for at in range(12)), ("z", ""))))
    house.finish_one(run)
    revision = house.state.meta.revision
    assert names(house, ListPast(run=run, revision=revision, fold=True)) == names(house, ListGroups(run=run, fold=True))
    assert len(rows(house, ListPast(run=run, revision=revision))) == 13


def test_the_notable_moments_are_those_at_which_something_failed_or_somebody_asked() -> None:
    house = added()
    run = lived(house)
    changes = rows(house, ListMoments(run=run))
    notable = rows(house, ListMoments(run=run, notable=True))
    assert [row["revision"] for row in notable] == [changes[0]["revision"], changes[-1]["revision"]]
    assert all(row["notable"] for row in notable)
    house.step(RetryRequested(Ask(), run))
    before = rows(house, ListMoments(run=run, notable=True, before=10**6, limit=1))
    assert before[0]["revision"] == changes[-1]["revision"]


def test_the_journal_can_be_read_from_a_revision_on() -> None:
    house = added()
    run = lived(house)
    every = rows(house, ListEvents(run=run))
    middle = every[len(every) // 2]["revision"]
    assert rows(house, ListEvents(run=run, since=middle)) == [row for row in every if row["revision"] >= middle]


def test_a_long_journal_is_read_by_bounded_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_module, "EVENTS_A_QUESTION", 3)
    house = added()
    run = lived(house)
    with pytest.raises(Unavailable, match="has been read up to revision"):
        rows(house, ListPast(run=run, revision=10**6))
    house.look.pasts.clear()
    asked = 1
    while not (moment := rows(house, GetMoment(run=run))[0])["reached"]:
        asked += 1
    assert asked > 3
    assert moment["tasks"] == {"succeeded": 4}
    assert rows(house, ListPast(run=run, revision=moment["revision"]))


def test_acts_are_named_in_the_audit_and_need_an_operator() -> None:
    backfill = StartBackfill(request_id="x", workflow="daily", since="2026-11-01", until="2026-11-02")
    acts = [ActOnBackfill(request_id="x", verb="pause", backfill=3), ChangeSettings(request_id="x", run=4, settings={})]
    told = [verb_and_target(act) for act in (backfill, *acts)]
    assert told == [("backfill", "daily"), ("pause", "b3"), ("set", "r4")]
    assert {role_for(act).text for act in (backfill, *acts)} == {"operator"}


@pytest.mark.parametrize(
    "act",
    [
        ActOnBackfill(request_id="x", verb="pause", backfill=0),
        ActOnBackfill(request_id="x", verb="pause", backfill=1, seen="asleep"),
        ActOnBackfill(request_id="x", verb="pause", backfill=1, note="n" * 2_000),
        ChangeSettings(request_id="x", run=-1, settings={"priority": 1}),
        ChangeSettings(request_id="x", run=1, settings={"priority": 1}, task="../x"),
        ChangeSettings(request_id="x", run=1, settings={str(n): n for n in range(99)}),
    ],
)
def test_acts_that_make_no_sense_do_not_reach_the_machine(act: ActOnBackfill | ChangeSettings) -> None:
    with pytest.raises(ValueFault):
        event_of(act, Ask())


def test_a_scope_spans_whole_days() -> None:
    house = added()
    _, _, scope = scope_of(house.look, span("2026-11-01", "2026-11-01", schedule=1))
    assert scope == BackfillScope(from_text("2026-10-31T15:00:00Z"), from_text("2026-11-01T15:00:00Z") - 1, 1)
    assert scope.last_ns - scope.first_ns == DAY - 1
