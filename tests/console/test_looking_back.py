"""The past of a run: how keys lead there, what all panes show of it, and that nothing can be done in it."""

from pathlib import Path

import msgspec
import pytest

from engine.protocol.messages import ListAttempts, ListGroups, ListPast, Subscribe
from engine.protocol.rows import AttemptRow, ChangeRow, EventRow
from orchctl.console.drawing import width_of
from orchctl.console.past import attempts_then
from orchctl.console.pastlines import time_line
from orchctl.console.telling import told
from orchctl.console.theme import Signs
from tests.support.console_pilot import Driver, console_on, until
from tests.support.console_world import looked_back

BANNER = """\
 PAST  10:30:00.000  3m20s ago  0 now  [ ] change  { } trouble  ( ) far  @ time
 08:00:00 │───────│─────────────────────────────────────────────────●─ 10:33:20
 then  alice asked to cancel the run (too late); inventory succeeded; 37 rows o…"""


async def _in_the_past(console: Driver) -> str:
    await console.shows("quarantine")
    await console.press("[")
    return await console.shows("PAST  10:30:00")


@pytest.mark.asyncio
async def test_a_key_steps_back_through_the_changes_each_told_with_the_run_as_it_was(tmp_path: Path) -> None:
    async with console_on(tmp_path, looked_back(), run=12, shape="graph") as console:
        shown = await _in_the_past(console)
        assert BANNER in await console.shows("│───────│")
        await console.press("left_square_bracket")
        shown = await console.shows("PAST  08:20:00", "fetch is to be tried again: exit 7", "↻ fetch", "· load")
        assert "orchctl › ingest-daily › r12  ▶ running  12%  19m59s" in shown
        await console.press("left_square_bracket")
        await console.shows("PAST  08:10:00", "then  fetch started", "▶ fetch")
        await console.press("right_square_bracket", "right_square_bracket")
        await console.shows("PAST  10:30:00", "▶ load")


@pytest.mark.asyncio
async def test_now_comes_back_by_a_key_or_by_stepping_past_the_last_change_and_the_panes_live_again(
    tmp_path: Path,
) -> None:
    world = looked_back()
    async with console_on(tmp_path, world, run=12, shape="graph") as console:
        for key in ("0", "right_square_bracket", "h"):
            await _in_the_past(console)
            await until(lambda: not any(isinstance(view, ListGroups) for view in console.engine.subscriptions))
            await console.press(key)
            await console.lacks("PAST")
            await console.shows("● live", "load ×37", "quarantine")
        world.groups[12][7] = msgspec.structs.replace(world.groups[12][7], status="running", tasks={"running": 1})
        console.engine.publish()
        await console.shows("▶ report")
        await console.press("0")
        await console.shows("this is now")
        await console.press("right_square_bracket")
        await console.shows("nothing is later")


@pytest.mark.asyncio
async def test_larger_steps_lead_to_trouble_and_through_the_time_of_the_run(tmp_path: Path) -> None:
    async with console_on(tmp_path, looked_back(), run=12, shape="graph") as console:
        await console.shows("quarantine")
        await console.press("left_curly_bracket")
        await console.shows("PAST  08:20:00", "fetch is to be tried again")
        await console.press("left_curly_bracket")
        await console.shows("PAST  08:00:00", "◷ queued")
        await console.press("left_curly_bracket")
        await console.shows("nothing notable of this run is earlier", "PAST  08:00:00")
        await console.press("right_parenthesis", "right_parenthesis")
        await console.shows("PAST  08:15:20", "then  fetch started")
        await console.press("right_curly_bracket")
        await console.shows("PAST  08:20:00")
        await console.press("right_curly_bracket")
        await console.lacks("PAST")
        await console.press("left_parenthesis")
        await console.shows("PAST  10:25:40", "fetch is to be tried again")


@pytest.mark.asyncio
async def test_a_time_is_looked_at_by_writing_it_and_nonsense_is_refused(tmp_path: Path) -> None:
    async with console_on(tmp_path, looked_back(), run=12, shape="graph") as console:
        for written, part in (("8:12", "PAST  08:12:00"), ("20m", "PAST  10:13:20"), ("30", "PAST  08:20:00"),
                              ("2026-11-23T08:10:30Z", "PAST  08:10:30"), ("1:00", "PAST  08:00:00")):  # fmt: skip
            await console.shows("quarantine")
            await console.press("at")
            await until(lambda: bool(console.console.screen.query("Prompt")))
            await console.press(*written, "enter")
            await console.shows(part)
        await console.press("at")
        await until(lambda: bool(console.console.screen.query("Prompt")))
        await console.press(*"soon", "enter")
        await console.shows("not an RFC 3339 instant", "PAST  08:00:00")
        await console.press("at")
        await until(lambda: bool(console.console.screen.query("Prompt")))
        await console.press("escape", "slash")
        await until(lambda: bool(console.console.screen.query("Prompt")))
        await console.press(*"load", "enter")
        await console.shows("/load")


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", ["colour", "no colour"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_every_pane_shows_the_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], mode: str
) -> None:
    if mode == "no colour":
        monkeypatch.setenv("NO_COLOR", "1")
    async with console_on(tmp_path, looked_back(), run=12, shape="graph", size=size) as console:
        await _in_the_past(console)
        await console.press("left_square_bracket")
        await console.shows("PAST  08:20:00")
        await console.press("2")
        shown = await console.shows("8 rows", "backing off")
        assert "count[0]" not in shown
        await console.press("3")
        assert "▒" in (await console.shows("|0ms", "↻ fetch")).split("↻ fetch")[1].splitlines()[0]
        await console.press("4")
        await console.shows("r10   r11   r12", "↻ fetch                  ")
        await console.press("1", "o")
        shown = await console.shows("Outline*", "↻ fetch", "backing off")
        assert "×37" not in shown
        lines = shown.splitlines()
        assert len(lines) <= size[1]
        assert max(map(len, lines)) <= size[0]
        asked = [request for request in console.engine.requests if isinstance(request, ListPast)]
        assert {request.of for request in asked} == {"tasks", "rows", "lanes"}
        assert {request.revision for request in asked} == {40, 30}


@pytest.mark.asyncio
async def test_the_details_tell_the_attempts_that_there_were(tmp_path: Path) -> None:
    world = looked_back()
    world.attempts = [
        AttemptRow(
            task="fetch", index=None, number=number, attempt=number, status="exited", outcome="failed",
            sentence="failed: exit 7", ordered_at=f"2026-11-23T{began}:00Z", started_at=f"2026-11-23T{began}:01Z",
            finished_at=f"2026-11-23T{ended}:00Z",
        )
        for number, began, ended in ((1, "08:01", "08:20"), (2, "09:00", "09:30"))
    ]  # fmt: skip
    async with console_on(tmp_path, world, run=12, shape="graph", size=(120, 40)) as console:
        await _in_the_past(console)
        await console.press("left_square_bracket", "2", "j")
        await console.shows("ATTEMPTS", " 1 ✗ 18m59s  failed: exit 7")
        assert " 2 ✗" not in console.text()
        await console.press("left_square_bracket")
        await console.shows(" 1 ▶ 8m59s  running")
        assert console.engine.requests
        assert any(isinstance(request, ListAttempts) for request in console.engine.requests)


@pytest.mark.asyncio
async def test_nothing_can_be_done_in_the_past_and_it_says_so(tmp_path: Path) -> None:
    async with console_on(tmp_path, looked_back(), run=12, shape="graph") as console:
        shown = await _in_the_past(console)
        assert "c cancel" not in shown
        for key in ("c", "r", "p", "K", "R", "m", "space", "asterisk"):
            await console.press("j", key)
            await console.shows("this is the past, 10:30:00: nothing can be done in it; 0 comes back to now")
            console.console.screen.say("")
        assert not console.engine.acts
        assert not console.console.screen.selection
        await console.press("0")
        await console.lacks("PAST")
        await console.shows("c cancel")


@pytest.mark.asyncio
async def test_what_is_known_of_now_alone_says_so(tmp_path: Path) -> None:
    async with console_on(tmp_path, looked_back(), run=12, shape="graph") as console:
        await _in_the_past(console)
        await console.press("x")
        await console.shows("why something waits is known of now alone")
        await console.press("j", "enter")
        await console.shows("r12 › inventory", "as it is now, not as it was then")
        await console.press("h")
        await console.shows("PAST  10:30:00")


@pytest.mark.asyncio
async def test_a_pane_that_shows_now_while_the_past_is_looked_at_says_so(tmp_path: Path) -> None:
    async with console_on(tmp_path, looked_back(), run=12, shape="graph") as console:
        shown = await _in_the_past(console)
        assert "as it is now" not in shown
        assert "x why" not in shown
        await console.press("j", "L")
        await console.shows("PAST  10:30:00", "5 Log*", "the log as it is now")
        await console.press("0")
        await console.lacks("the log as it is now")


@pytest.mark.asyncio
async def test_an_entry_of_the_journal_opens_the_run_as_it_was_then(tmp_path: Path) -> None:
    async with console_on(tmp_path, looked_back(), run=12, shape="graph") as console:
        await console.shows("quarantine")
        await console.press("6")
        await console.shows("RetryScheduled")
        await console.press("j", "j", "enter")
        await console.shows("PAST  08:20:00")


@pytest.mark.asyncio
async def test_holding_a_key_asks_for_the_last_moment_only(tmp_path: Path) -> None:
    async with console_on(tmp_path, looked_back(), run=12, shape="graph") as console:
        await console.shows("quarantine")
        screen = console.console.screen
        for _ in range(3):
            screen.action_past("step", -1)
        await console.shows("PAST  08:10:00")
        await until(lambda: any(isinstance(request, ListPast) for request in console.engine.requests))
        asked = [request for request in console.engine.requests if isinstance(request, ListPast)]
        assert {request.revision for request in asked} == {20}


@pytest.mark.asyncio
async def test_the_moment_stays_while_the_engine_is_away_and_the_panes_are_asked_again(tmp_path: Path) -> None:
    async with console_on(tmp_path, looked_back(), run=12, shape="graph") as console:
        await _in_the_past(console)
        await console.engine.stop()
        await console.shows("stale")
        await console.press("2")
        await console.engine.start()
        await console.shows("8 rows", "PAST  10:30:00", "now 10:33:20")
        subscribed = [request for request in console.engine.requests if isinstance(request, Subscribe)]
        assert not any(isinstance(request.view, ListGroups) for request in subscribed[-3:])


@pytest.mark.asyncio
async def test_the_past_is_drawn_with_ascii_alone_where_that_is_all_there_is(tmp_path: Path) -> None:
    async with console_on(tmp_path, looked_back(), run=12, shape="graph", ascii_only=True) as console:
        await _in_the_past(console)
        await console.press("3")
        shown = await console.shows("PAST  10:30:00", "|0ms")
        assert shown.isascii()


def test_the_time_line_is_as_wide_as_the_screen_and_shows_days_where_there_are_several() -> None:
    marks = [ChangeRow(revision=1, at="2026-11-23T08:00:00Z"), ChangeRow(revision=2, at="2026-11-25T08:00:00Z")]
    day = 1_795_420_800.0
    for width in (40, 80, 200):
        line = time_line(day, (day, day + 3 * 86_400), marks, width, Signs())
        assert width_of(line) == width
    text = "".join(text for text, _ in line)
    assert text.startswith(" 11-23 08:00 ●")
    assert text.endswith(" 11-26 08:00 ")
    assert text.count("│") == 1


def test_events_that_are_alike_are_told_once_and_the_weightiest_first() -> None:
    rows = [
        EventRow(revision=1, at="t", event="AttemptStarted", task="load", index=at, details={"pid": at})
        for at in range(3)
    ]  # fmt: skip
    rows.append(EventRow(revision=1, at="t", event="TaskFinished", task="x", details={"status": "upstream_failed"}))
    rows.append(EventRow(revision=1, at="t", event="TaskFinished", task="y", details={"status": "failed", "why": "no"}))
    rows.append(EventRow(revision=1, at="t", event="RunFinished", details={"status": "failed"}))
    text = "".join(text for text, _ in told(rows, 200))
    assert text == "the run failed; y failed: no; x failed upstream; 3 rows of load started"
    assert width_of(told(rows, 20)) <= 20
    assert told([], 80) == [("nothing that a row shows", "dim")]


def test_attempts_are_as_they_were_at_the_instant() -> None:
    row = AttemptRow(
        task="a", index=None, number=1, attempt=1, status="exited", outcome="failed", ordered_at="2026-11-23T08:00:00Z",
        finished_at="2026-11-23T08:10:00Z",
    )  # fmt: skip
    assert attempts_then([row], "2026-11-23T07:00:00Z") == []
    (running,) = attempts_then([row], "2026-11-23T08:05:00Z")
    assert (running.status, running.outcome, running.finished_at) == ("running", None, None)
    assert attempts_then([row], "2026-11-23T09:00:00Z") == [row]
