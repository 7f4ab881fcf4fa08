"""Acts: what is asked before, what the engine is told, and what the operator is told after."""

from pathlib import Path

import msgspec
import pytest

from engine.protocol.messages import Done, Refused, Target
from engine.protocol.rows import GroupRow, TaskRow
from orchctl.console import actions
from tests.support.console_pilot import Driver, console_on, until
from tests.support.console_world import ingest


async def _asked(console: Driver, *parts: str) -> str:
    return await console.shows(*parts, "no (also esc)")


@pytest.mark.asyncio
async def test_cancelling_a_run_names_it_and_tells_the_engine_what_was_seen(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("ingest-daily")
        await console.press("c")
        await _asked(console, "Cancel:", "run r12 of ingest-daily, running, 40 rows")
        await console.press("y")
        await console.shows("cancelled: run r12")
        (act,) = console.engine.acts
        assert (act.verb, act.run, act.seen, act.targets) == ("cancel", 12, "running", ())
        assert act.request_id


@pytest.mark.asyncio
@pytest.mark.parametrize("key", ["enter", "c", "n", "escape", "q"])
async def test_no_other_key_than_y_does_it(tmp_path: Path, key: str) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("ingest-daily")
        await console.press("c")
        await _asked(console, "Cancel:")
        await console.press(key)
        if key in ("enter", "c"):
            await console.press("n")
        await console.shows("nothing was done")
        assert not console.engine.acts


@pytest.mark.asyncio
async def test_the_pause_key_pauses_what_runs_and_resumes_what_is_paused(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("reindex")
        await console.press("p")
        await console.shows("paused: run r12 of ingest-daily; z undoes it")
        await console.press("j", "p")
        await console.shows("resumed: run r11 of reindex; z undoes it")
        assert [(act.verb, act.run, act.seen) for act in console.engine.acts] == [
            ("pause", 12, "running"),
            ("resume", 11, "paused"),
        ]


@pytest.mark.asyncio
async def test_a_pause_is_done_at_once_and_undone_by_a_key(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("reindex")
        await console.press("p")
        await console.shows("paused: run r12 of ingest-daily; z undoes it")
        await console.press("z")
        await console.shows("resumed: run r12")
        assert [(act.verb, act.run) for act in console.engine.acts] == [("pause", 12), ("resume", 12)]
        assert len({act.request_id for act in console.engine.acts}) == 2
        await console.press("z")
        await until(lambda: [act.verb for act in console.engine.acts] == ["pause", "resume", "pause"])


@pytest.mark.asyncio
async def test_acts_that_make_no_sense_are_told_and_not_asked(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("orders")
        await console.press("G", "c")
        await console.shows("r10 has ended: succeeded")
        await console.press("r")
        await console.shows("r10 has nothing that failed or was cancelled")
        assert not console.engine.acts


@pytest.mark.asyncio
async def test_killing_a_run_wants_a_word_typed(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("ingest-daily")
        await console.press("K")
        await console.shows("Kill:", "Type yes and Enter")
        await console.press("y", "enter")
        await console.shows("nothing was done")
        await console.press("K")
        await console.shows("Type yes and Enter")
        await console.press(*"yes", "enter")
        await console.shows("killed: run r12")
        assert [act.verb for act in console.engine.acts] == ["kill"]


@pytest.mark.asyncio
async def test_retrying_a_failed_row_carries_its_status_and_attempts(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        await console.press("j", "j", "enter")
        await console.shows("90 more")
        await console.press("j", "r")
        await _asked(console, "Retry:", "parse[11], failed")
        await console.press("y")
        await console.shows("retried: parse[11]")
        (act,) = console.engine.acts
        assert act.targets == (Target(task="parse", index=11, status="failed", attempts=3),)


@pytest.mark.asyncio
async def test_an_act_on_the_first_line_is_for_the_whole_run(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        await console.press("r")
        await _asked(console, "run r12 of ingest-daily, running, 2 rows")
        await console.press("y")
        await console.shows("retried: run r12")
        assert console.engine.acts[0].targets == ()


@pytest.mark.asyncio
async def test_marked_rows_are_acted_on_together_and_counted(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        await console.press("2", "s")
        await console.shows("by attention")
        await until(lambda: "parse[42]" in console.text().splitlines()[4])
        await console.press("space", "space", "r")
        await _asked(console, "parse[11], failed", "parse[42], failed", "2 rows in all")
        await console.press("y")
        await console.shows("retried: 2 rows")
        assert {target.index for target in console.engine.acts[0].targets} == {11, 42}
        await console.lacks("◆")


@pytest.mark.asyncio
async def test_a_whole_mapped_task_of_many_rows_wants_its_count_typed(tmp_path: Path) -> None:
    world = ingest()
    group = world.groups[12][1]
    counts = {"succeeded": 27104, "running": 201, "waiting": 12695}
    world.groups[12][1] = msgspec.structs.replace(group, rows=40000, tasks=counts)
    async with console_on(tmp_path, world, run=12) as console:
        await console.shows("×40,000")
        await console.press("j", "j", "c")
        await console.shows("12,896 rows in all", "Type 12896")
        await console.press(*"12896", "enter")
        await console.shows("cancelled: parse")
        assert console.engine.acts[0].targets == (Target(task="parse", index=None),)


@pytest.mark.asyncio
async def test_marking_says_what_hangs_on_it_and_carries_the_mark(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        await console.press("j", "m")
        await _asked(console, "Mark succeeded:", "fetch, succeeded", "and 2 tasks downstream")
        await console.press("n", "M")
        await _asked(console, "Mark failed:")
        await console.press("y")
        await console.shows("marked failed: fetch")
        (act,) = console.engine.acts
        assert (act.verb, act.mark, act.targets) == ("mark", "failed", (Target(task="fetch", status="succeeded"),))


@pytest.mark.asyncio
async def test_every_act_is_a_word_of_the_palette(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        await console.press("j", "j")
        for said, asked in (
            ("retry", "Retry:"), ("rerun", "Rerun:"), ("cancel", "Cancel:"), ("kill", "Kill:"),
            ("set", "Set r12 parse"), ("mark_succeeded", "Mark succeeded:"), ("mark_failed", "Mark failed:"),
            ("pause_rows", "paused: 8 rows"), ("undo", "resumed: 8 rows"), ("pause", "paused: run r12"),
            ("mark_all", "all 3 marked"),
        ):  # fmt: skip
            await console.press("colon", *said)
            await console.shows(f"▌ {said} ")
            await console.press("enter")
            await console.shows(asked)
            if asked.endswith(":") or asked.startswith("Set"):
                await console.press("escape")
                await console.shows("nothing was done")


@pytest.mark.asyncio
async def test_a_refusal_is_shown_in_the_engines_words(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("ingest-daily")
        console.engine.answer_act = Refused(code="conflict", sentence="r12 has succeeded meanwhile", hint="look again")
        await console.press("c")
        await _asked(console)
        await console.press("y")
        await console.shows("not done: r12 has succeeded meanwhile (look again)")


@pytest.mark.asyncio
async def test_targets_that_moved_on_are_listed(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await console.shows("publish")
        console.engine.answer_act = Done(body={"changed": 0, "refused": [{"row": "parse[11]", "why": "is running"}]})
        await console.press("r")
        await _asked(console)
        await console.press("y")
        await console.shows("1 refused: parse[11] is running")


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["option", "role"])
async def test_a_read_only_console_has_no_acting_keys(tmp_path: Path, how: str) -> None:
    world = ingest()
    world.role = "viewer" if how == "role" else "admin"
    async with console_on(tmp_path, world, read_only=how == "option", size=(80, 60)) as console:
        shown = await console.shows("ingest-daily", "read-only")
        assert "cancel" not in shown
        await console.press("c", "K", "r", "p", "question_mark")
        shown = await console.shows("Signs")
        assert "cancel, politely" not in shown
        assert not console.engine.acts
        await console.press("h", "enter")
        await console.shows("publish", "read-only")
        await console.press("c", "space")
        await console.press("2")
        shown = await console.shows("102 rows")
        assert "◆" not in shown
        assert "Cancel:" not in shown


@pytest.mark.asyncio
async def test_while_the_question_is_open_the_row_may_change_and_what_was_seen_is_what_is_sent(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest()) as console:
        await console.shows("ingest-daily")
        await console.press("c")
        await _asked(console, "r12")
        runs = console.engine.world.runs
        runs[0] = msgspec.structs.replace(runs[0], status="cancelling")
        console.engine.publish()
        await console.press("y")
        await until(lambda: bool(console.engine.acts))
        assert console.engine.acts[0].seen == "running"


def test_a_task_without_failures_is_not_offered_a_retry() -> None:
    group = GroupRow(task="a", status="running", mapped=True, rows=9, tasks={"running": 9})
    row = TaskRow(task="b", index=None, status="succeeded")
    assert "none of these" in actions.why_not_rows("retry", [group, row])
    assert actions.why_not_rows("cancel", [group, row]) == ""
