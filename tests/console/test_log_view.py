"""The log pane: its end first, following, both directions, search, and logs far larger than memory."""

from pathlib import Path

import pytest

from engine.protocol.messages import LOG_CHUNK_BYTES, LogChunk, ReadLog, Reply
from tests.support.console_engine import ConsoleEngine
from tests.support.console_pilot import Driver, console_on, until
from tests.support.console_world import ingest


async def _open_log(console: Driver) -> None:
    await console.shows("publish")
    await console.press("j", "L")
    await console.shows("fetch try 1")


@pytest.mark.asyncio
async def test_a_log_opens_at_its_end_and_follows_what_is_written(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await _open_log(console)
        await console.shows("line 4999 of the log", "follow on")
        console.engine.world.logs["fetch"] += b"and one more\n"
        await console.shows("and one more")


@pytest.mark.asyncio
async def test_going_up_stops_following_and_says_how_much_came_meanwhile(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), run=12) as console:
        await _open_log(console)
        await console.shows("line 4999")
        await console.press("k", "k", "k")
        await console.shows("follow off")
        before = [line for line in console.text().splitlines() if line.startswith("line")]
        console.engine.world.logs["fetch"] += b"x" * 5_000_000
        await console.shows("MiB more")
        assert [line for line in console.text().splitlines() if line.startswith("line")] == before
        await console.press("f")
        await console.shows("follow on", "xxxxxxx")


@pytest.mark.asyncio
async def test_both_ends_of_a_log_larger_than_the_buffer_are_one_key_away(tmp_path: Path) -> None:
    world = ingest()
    world.logs["fetch"] = b"".join(b"row %08d\n" % at for at in range(700_000))  # 9 MB
    async with console_on(tmp_path, world, run=12) as console:
        await _open_log(console)
        await console.shows("row 00699999")
        await console.press("g")
        await console.shows("row 00000000")
        await console.press("pagedown")
        await console.shows("row 00000036")
        await console.press("G")
        await console.shows("row 00699999")
        read = sum(min(ask.limit, LOG_CHUNK_BYTES) for ask in console.engine.requests if isinstance(ask, ReadLog))
        assert read < 40 * LOG_CHUNK_BYTES


@pytest.mark.asyncio
async def test_scrolling_up_fetches_what_came_before(tmp_path: Path) -> None:
    world = ingest()
    world.logs["fetch"] = b"".join(b"row %08d\n" % at for at in range(100_000))
    async with console_on(tmp_path, world, run=12) as console:
        await _open_log(console)
        await console.shows("row 00099999")
        shown = ""
        for _ in range(80):  # the first piece began at row 79,836
            console.console.screen.mover().move(-500)
            await console.pilot.pause()
            shown = console.text()
            if "row 00078" in shown:
                break
        assert "row 00078" in shown


@pytest.mark.asyncio
async def test_a_search_goes_on_in_what_is_not_loaded_and_both_ways(tmp_path: Path) -> None:
    world = ingest()
    rows = [b"row %08d" % at for at in range(200_000)]
    rows[150] = rows[180_000] = b"here is the needle"
    world.logs["fetch"] = b"\n".join(rows)
    async with console_on(tmp_path, world, run=12) as console:
        await _open_log(console)
        await console.shows("row 00199999")
        await console.press("g")
        await console.shows("row 00000000")
        await console.press("slash", *"need.e", "enter")
        await console.shows("row 00000149", "here is the needle")
        await console.press("n")
        await console.shows("row 00179999", "here is the needle")
        await console.press("N")
        await console.shows("row 00000149", "here is the needle")
        await console.press("N")
        await console.shows("no further match for need.e")


@pytest.mark.asyncio
async def test_a_pattern_that_is_no_expression_is_searched_as_it_is(tmp_path: Path) -> None:
    world = ingest()
    world.logs["fetch"] = b"a\nb (c\nd\n"
    async with console_on(tmp_path, world, run=12) as console:
        await _open_log(console)
        await console.press("slash", *"(c", "enter")
        await until(lambda: console.console.screen.log_view._match == 2)


@pytest.mark.asyncio
async def test_long_lines_wrap_or_are_cut_and_scroll_sideways(tmp_path: Path) -> None:
    world = ingest()
    world.logs["fetch"] = b"A" * 75 + b"B" * 75 + b"\n    end " + b"C" * 80 + b"\n"
    async with console_on(tmp_path, world, run=12) as console:
        await _open_log(console)
        shown = await console.shows("BBBB", "\n    end CC", "\nCCCCCCCC\n")
        assert "A" * 75 + "BBBBB\n" in shown
        await console.press("w")
        shown = await console.shows("wrap off", "…")
        assert "B" * 10 not in shown
        await console.press("greater_than_sign")
        await console.shows("A" * 59 + "B")
        await console.press("less_than_sign")
        await console.lacks("B" * 10)


@pytest.mark.asyncio
async def test_hostile_bytes_of_a_log_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    world = ingest()
    world.logs["fetch"] = b"\x1b]0;title\x07\x1b[6n[/x][bold]\xc2\x9b31m\n"
    async with console_on(tmp_path, world, run=12) as console:
        await _open_log(console)
        await console.shows("\\x1b]0;title\\x07\\x1b[6n[/x][bold]\\x9b31m")


@pytest.mark.asyncio
async def test_a_row_without_a_log_says_why(tmp_path: Path) -> None:
    world = ingest()
    del world.logs["fetch"]
    async with console_on(tmp_path, world, run=12) as console:
        await console.shows("publish")
        await console.press("j", "L")
        await console.shows("fetch has no log")


@pytest.mark.asyncio
async def test_a_log_that_has_ended_is_not_asked_for_any_more(tmp_path: Path) -> None:
    world = ingest()
    world.final_logs.add("fetch")
    async with console_on(tmp_path, world, run=12) as console:
        await _open_log(console)
        await console.shows("line 4999", "ended")
        await until(lambda: console.console.screen.log_view._reading.done())


@pytest.mark.asyncio
async def test_an_attempt_that_could_not_begin_says_so_where_its_log_would_be(tmp_path: Path) -> None:
    world = ingest()
    world.logs["fetch"] = b""
    world.final_logs.add("fetch")
    world.sentences["fetch"] = "not_started: no such file: ./fetch.sh"
    async with console_on(tmp_path, world, run=12) as console:
        await console.shows("publish")
        await console.press("j", "L")
        await console.shows("fetch try 1  not_started: no such file: ./fetch.sh", "nothing was written")


class _Vast(ConsoleEngine):
    """Ten gigabytes of log that exist only where they are read."""

    SIZE = 10 * 10**9

    def _log(self, request: ReadLog) -> Reply:
        start = max(0, self.SIZE + request.offset) if request.offset < 0 else request.offset
        stop = min(self.SIZE, start + request.limit)
        first, last = start // 20, -(-stop // 20)
        data = b"".join(b"%019d\n" % number for number in range(first, last))
        piece = data[start - first * 20 :][: stop - start]
        return LogChunk(data=piece, offset=start, size=self.SIZE, number=1, final=True)


@pytest.mark.asyncio
async def test_ten_gigabytes_open_at_once_and_jump_to_both_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.console_pilot.ConsoleEngine", _Vast)
    async with console_on(tmp_path, ingest(), run=12) as console:
        await _open_log(console)
        await console.shows(f"{500_000_000 - 1:019d}", "9.3 GiB")
        await console.press("g")
        await console.shows(f"{0:019d}")
        await console.press("G")
        await console.shows(f"{500_000_000 - 1:019d}")
        reads = [ask for ask in console.engine.requests if isinstance(ask, ReadLog)]
        assert len(reads) < 12
