"""The palette, the catalogue, schedules, the audit, and making a run by a form."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual import events

from engine.protocol.messages import Definition, PauseWorkflow, Submit
from engine.protocol.rows import AuditRow, BackfillRow, ScheduleRow, WorkflowRow
from orchctl.console.screens.trigger import param_fault
from tests.support.console_engine import World
from tests.support.console_pilot import console_on, until
from tests.support.console_world import ingest, pipeline

PARAMS: list[dict[str, Any]] = [
    {"name": "day", "type": "date", "choices": [], "description": "which day"},
    {"name": "limit", "type": "integer", "choices": [], "description": "", "default": 10},
    {"name": "mode", "type": "string", "choices": ["full", "quick"], "description": "", "default": "quick"},
]


def standing() -> World:
    world = ingest()
    world.workflows = [
        WorkflowRow(
            workflow="ingest-daily", version="v1", paused=False, tasks=3, owner="data", description="all of it",
            schedules=("15 2 * * *",), next_at="2026-11-24T02:15:00Z", last_run="r12", last_status="running",
            file="/srv/ingest.yaml", params=PARAMS,
        ),
        WorkflowRow(workflow="reindex", version="v7", paused=True, tasks=2, owner="search",
                    fault="line 3: no such key"),
    ]  # fmt: skip
    world.schedules = [
        ScheduleRow(workflow="reindex", schedule="every 1h", timezone="UTC", paused=True),
        ScheduleRow(
            workflow="ingest-daily", schedule="15 2 * * *", timezone="Europe/Berlin", paused=False,
            next_at="2026-11-24T02:15:00Z", last_at="2026-11-23T02:15:00Z", last_run="r12",
        ),
    ]  # fmt: skip
    world.audit = [
        AuditRow(revision=9, at="2026-11-23T09:00:00Z", uid=1, actor="alice", via="cli", verb="retry",
                 target="r12 parse", result="accepted", note="disk was full"),
        AuditRow(revision=8, at="2026-11-23T08:00:00Z", uid=2, actor="bob", via="console", verb="kill", target="r11",
                 result="forbidden"),
    ]  # fmt: skip
    world.definitions["reindex"] = Definition(
        workflow="reindex", version="v7", file="/srv/reindex.yaml", text="name: reindex\n"
    )
    world.definitions["ingest-daily"] = Definition(
        workflow="ingest-daily", version="v1", file="/srv/ingest.yaml",
        text="name: ingest-daily   # all of it\ntasks:\n  fetch: {run: 'true'}\n# " + "long " * 30 + "end\n",
    )  # fmt: skip
    return world


@pytest.mark.asyncio
async def test_the_palette_goes_to_screens_runs_and_tasks(tmp_path: Path) -> None:
    world = pipeline()
    async with console_on(tmp_path, world) as console:
        await console.shows("ingest-daily")
        await console.press("colon", *"run r12", "enter")
        await console.shows("quarantine")
        await console.press("colon", *"task tot")
        await console.shows("task totals")
        await console.press("tab", "enter")
        await console.shows("▌  ✓ totals")
        await console.press("colon", *"audit", "enter")
        await console.shows("› Audit")
        await console.press("h")
        await console.shows("Attention")


@pytest.mark.asyncio
async def test_the_palette_does_what_keys_do_and_esc_leaves_it(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("ingest-daily")
        await console.press("colon", *"cancel", "enter")
        await console.shows("Cancel:", "run r12")
        await console.press("n", "colon", *"nonsense")
        await console.shows("nothing of that name")
        await console.press("enter")
        await console.press("colon", "escape")
        await console.lacks("tab completes")
        assert not console.engine.acts


@pytest.mark.asyncio
async def test_what_is_typed_at_once_with_the_key_of_the_palette_is_for_it(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("ingest-daily")
        for key in ("colon", *"set"):
            console.console.post_message(events.Key(key, key if len(key) == 1 else ":"))
        await console.shows("▌ set  ")
        await console.press("enter")
        await console.shows("Set r12")


@pytest.mark.asyncio
async def test_the_palette_of_a_read_only_console_offers_no_acts(tmp_path: Path) -> None:
    async with console_on(tmp_path, standing(), read_only=True) as console:
        await console.shows("ingest-daily")
        await console.press("colon", *"cancel")
        await console.shows("nothing of that name")
        await console.press(*["backspace"] * 6, *"trigger")
        await console.shows("nothing of that name")


@pytest.mark.asyncio
async def test_a_theme_is_worn_and_remembered(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("ingest-daily")
        await console.press("colon", *"theme nord", "enter")
        await until(lambda: console.console.theme == "nord")
        assert console.console.memory.theme == "nord"


@pytest.mark.asyncio
async def test_the_catalogue_shows_workflows_their_last_runs_and_their_definition(tmp_path: Path) -> None:
    async with console_on(tmp_path, standing()) as console:
        await console.shows("ingest-daily")
        await console.press("W")
        shown = await console.shows("› Workflows", "all of it", "parameters  day: date, limit: integer", "line 3")
        assert "paused" in console.line("reindex")
        assert all(len(line) <= 80 for line in shown.splitlines())
        await console.press("enter")
        await console.shows(
            "1 name: ingest-daily   # all of it", "3   fetch: {run: 'true'}", "version v1", "long long", " end"
        )
        await console.press("h", "slash", *"search", "enter")
        await console.shows("1 of 2", "/search", "reindex")
        await console.press("p")
        await until(
            lambda: any(isinstance(asked, PauseWorkflow) and not asked.paused for asked in console.engine.requests)
        )
        await console.shows("resumed: workflow reindex")


@pytest.mark.asyncio
async def test_schedules_come_by_when_they_are_due(tmp_path: Path) -> None:
    async with console_on(tmp_path, standing()) as console:
        await console.shows("ingest-daily")
        await console.press("S")
        shown = await console.shows("› Schedules", "15 2 * * *", "15h41m")
        assert shown.index("ingest-daily") < shown.index("reindex")
        await console.press("enter")
        await console.shows("r12", "publish")


@pytest.mark.asyncio
async def test_the_audit_tells_who_did_what_and_what_was_refused(tmp_path: Path) -> None:
    async with console_on(tmp_path, standing()) as console:
        await console.shows("ingest-daily")
        await console.press("A")
        await console.shows("alice", "retry", "r12 parse", "disk was full", "bob", "refused: forbidden")
        await console.press("slash", *"bob", "enter")
        await console.shows("1 of 2")


@pytest.mark.asyncio
async def test_what_an_act_was_about_is_opened_from_the_audit(tmp_path: Path) -> None:
    world = standing()
    at = world.audit[0].at
    about = ("backfill", "b1 ingest-daily"), ("add", "reindex"), ("stop", "engine"), ("retry", "r12 parse")
    world.audit = [
        AuditRow(
            revision=90 - place, at=at, uid=1, actor="alice", via="cli", verb=verb, target=target, result="accepted"
        )
        for place, (verb, target) in enumerate(about)
    ]
    world.backfills = [BackfillRow(
        backfill="b1", workflow="ingest-daily", version="v1", status="done", partitions=2, left_out=0, pending=0,
        since=at, until=at, order="oldest", reprocess="none", max_active=1, made_at=at,
    )]  # fmt: skip
    async with console_on(tmp_path, world) as console:
        await console.shows("ingest-daily")
        await console.press("A")
        await console.shows("4 acts", "b1 ingest-daily")
        await console.press("enter")
        await console.shows("Backfill b1 of ingest-daily")
        await console.press("h", "j", "enter")
        await console.shows("reindex  version")
        await console.press("h", "j", "enter")
        await console.shows("about nothing that could be opened")
        await console.press("j", "enter")
        await console.shows("ingest-daily › r12")


@pytest.mark.asyncio
async def test_acts_of_others_are_told_and_ones_own_are_not(tmp_path: Path) -> None:
    world = standing()
    async with console_on(tmp_path, world) as console:
        await console.shows("ingest-daily")
        notices = console.console.notices
        await until(lambda: notices._seen == 9)
        notices.read_s = 1.0
        row = world.audit[0]
        world.audit.insert(0, AuditRow(
            revision=10, at=row.at, uid=1, actor="alice", via="cli", verb="cancel", target="r11", result="accepted",
        ))  # fmt: skip
        console.engine.publish()
        await console.shows("alice by cli: cancel r11")
        await console.press("c", "y")
        await console.shows("cancelled: run r12")
        own = AuditRow(
            revision=11, at=row.at, uid=os.getuid(), actor="me", via="console", verb="cancel", target="r12",
            result="accepted", place=console.console.feed.place,
        )  # fmt: skip
        world.audit.insert(0, own)
        console.engine.publish()
        await until(lambda: notices._seen == 11)
        assert "me by console" not in console.text()
        world.audit.insert(0, msgspec.structs.replace(own, revision=12, place="pts/77"))
        console.engine.publish()
        answered_at = console.console.screen.said_at
        await console.shows("me by console pts/77: cancel r12")
        assert console.console.screen.said_at >= answered_at + notices.read_s, "an own answer is read first"


@pytest.mark.asyncio
async def test_a_run_is_made_by_a_form_that_checks_what_is_typed(tmp_path: Path) -> None:
    async with console_on(tmp_path, standing()) as console:
        await console.shows("ingest-daily")
        await console.press("W")
        await console.shows("› Workflows")
        await console.press("t")
        await console.shows("Make a run of ingest-daily", "✗ must be given", "full | quick")
        assert "✗ must be given" in console.line("day ")
        await console.press(*"tomorrow")
        await console.shows("a date such as")
        await console.press("ctrl+s", *["backspace"] * 8, *"2026-11-22", "tab", "tab", *["backspace"] * 5, *"full")
        await console.press("tab", *"again", "enter")
        await console.shows("Trigger: make a run now", "day = 2026-11-22", "mode = full")
        assert "limit" not in console.line("Trigger")
        await console.press("y")
        await console.shows("made a run: r13")
        (made,) = [asked for asked in console.engine.requests if isinstance(asked, Submit)]
        assert (made.workflow, made.params, made.note) == (
            "ingest-daily", {"day": "2026-11-22", "mode": "full"}, "again",
        )  # fmt: skip


@pytest.mark.asyncio
async def test_a_run_of_a_file_cannot_be_triggered_and_says_why(tmp_path: Path) -> None:
    async with console_on(tmp_path, standing()) as console:
        await console.shows("orders")
        await console.press("G", "t")
        await console.shows("orders was not added", "orchctl add FILE")


def test_what_a_form_says_of_a_value() -> None:
    assert param_fault({"name": "a", "type": "integer"}, "x")
    assert not param_fault({"name": "a", "type": "integer"}, "12")
    assert param_fault({"name": "a", "type": "boolean"}, "yes")
    assert not param_fault({"name": "a", "type": "list"}, "[1, 2]")
    assert param_fault({"name": "a", "type": "string", "choices": ["x", "y"]}, "z") == "one of x, y"
    assert not param_fault({"name": "a", "type": "date", "default": "{{ partition }}"}, "{{ partition }}")
