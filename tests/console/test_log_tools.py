"""What can be done with a log: search both ways, first error, colours, copy and save."""

import base64
import re
from pathlib import Path

import pytest

from engine.protocol.messages import LOG_CHUNK_BYTES, ReadLog
from engine.protocol.rows import AttemptRow
from orchctl.console.logsource import LogSource
from orchctl.console.sgr import coloured, without_colours
from tests.support.console_engine import ConsoleEngine
from tests.support.console_pilot import Driver, console_on, until
from tests.support.console_world import ingest


async def _open_log(console: Driver) -> None:
    await console.shows("publish")
    await console.press("j", "L")
    await console.shows("fetch try 1")


# --- search ---------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_search_back_from_the_end_finds_the_last_match(tmp_path: Path) -> None:
    world = ingest()
    rows = [b"row %08d" % at for at in range(120_000)]
    rows[100] = rows[60_000] = b"the needle"
    world.logs["fetch"] = b"\n".join(rows) + b"\n"
    async with console_on(tmp_path, world, run=12) as console:
        await _open_log(console)
        await console.shows("row 00119999")
        await console.press("ctrl+r", *"needle", "enter")
        await console.shows("row 00059999", "the needle")
        await console.press("N")
        await console.shows("row 00000099", "the needle")
        await console.press("N")
        await console.shows("no further match for needle")
        await console.press("n")
        await console.shows("row 00059999")
        assert console.console.memory.searches == ["needle"]


@pytest.mark.asyncio
async def test_a_long_search_shows_how_far_it_is_and_can_be_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = ingest()
    world.logs["fetch"] = b"x" * 99 + b"\n" + b"nothing here\n" * 200_000
    reads = 0

    def counted(engine: ConsoleEngine, request: ReadLog, log=ConsoleEngine._log) -> object:
        nonlocal reads
        reads += 1
        if reads > 5:  # it hangs here: what was found so far and the way out are what is shown
            engine.silent = True
        return log(engine, request)

    async with console_on(tmp_path, world, run=12) as console:
        await _open_log(console)
        await console.press("g")
        await console.shows("xxxxxxxx")
        reads = 0
        monkeypatch.setattr(ConsoleEngine, "_log", counted)
        await console.press("slash", *"needle", "enter")
        await console.shows("searching at", "%, esc gives up")
        await console.press("escape")
        await console.shows("search given up", "xxxxxxxx")
        monkeypatch.undo()
        console.engine.silent = False


@pytest.mark.asyncio
async def test_the_first_error_is_one_key_away(tmp_path: Path) -> None:
    world = ingest()
    world.logs["fetch"] = b"all well\n" * 50_000 + b"Traceback (most recent call last):\n" + b"more\n" * 50_000
    async with console_on(tmp_path, world, run=12) as console:
        await _open_log(console)
        await console.press("e")
        await console.shows("Traceback (most recent call last):", "all well", "more")
        await console.press("n")
        await console.shows("no further match for an error")


async def _found(console: Driver, pattern: str, offset: int, direction: int) -> int | None:
    source = LogSource(console.console.feed, 12, "fetch", -1)
    return await source.find(re.compile(pattern), offset, direction, lambda place: None)


@pytest.mark.asyncio
async def test_a_match_is_found_wherever_pieces_are_cut(tmp_path: Path) -> None:
    world = ingest()
    before = b"a" * 50 + b"\n"
    log = before * (LOG_CHUNK_BYTES // len(before)) + b"a needle across two pieces\n" + before * 3_000
    place = log.index(b"a needle")
    assert place < LOG_CHUNK_BYTES < place + 26
    world.logs["fetch"] = log
    async with console_on(tmp_path, world, run=12) as console:
        await console.shows("publish")
        for pattern in ("needle across two", "^a needle", "pieces$", r"needle\s", "[^a]eedle"):
            assert await _found(console, pattern, 0, 1) == place, pattern
            assert await _found(console, pattern, len(log), -1) == place, pattern
            assert await _found(console, pattern, place + 27, 1) is None, pattern
            assert await _found(console, pattern, place, -1) is None, pattern


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("log", "pattern"),
    [
        ("un café noir\n", r"caf\w noir"),
        ("one\r\ntwo\r\n", "one$"),
        ("a\tb\n", "a       b"),
        ("a\x1b[31mred\x1b[0m\n", "ared$"),
        ("bell\x07\n", r"bell\\x07"),
        ("first\nsecond\n", r"\Asecond"),
    ],
)
async def test_what_is_searched_is_what_is_shown(tmp_path: Path, log: str, pattern: str) -> None:
    world = ingest()
    world.logs["fetch"] = log.encode()
    async with console_on(tmp_path, world, run=12) as console:
        await console.shows("publish")
        assert await _found(console, pattern, 0, 1) is not None


@pytest.mark.asyncio
async def test_one_line_without_an_end_is_searched_in_bounded_pieces(tmp_path: Path) -> None:
    world = ingest()
    world.logs["fetch"] = b"x" * (5 * LOG_CHUNK_BYTES) + b"needle" + b"x" * (5 * LOG_CHUNK_BYTES)
    async with console_on(tmp_path, world, run=12) as console:
        await console.shows("publish")
        assert await _found(console, "needle", 0, 1) is not None
        assert await _found(console, "needle", 10 * LOG_CHUNK_BYTES, -1) is not None
        assert await _found(console, "nowhere", 0, 1) is None


# --- colours --------------------------------------------------------------------------------------------------------


def test_colours_become_names_of_styles_and_every_other_escape_stays_visible() -> None:
    line = coloured("a\x1b[1;31mb\x1b[0mc\x1b[38;5;46md\x1b[48;2;0;0;255me\x1b[39;49mf\x1b]0;t\x07\x1b[2K")
    assert line == [
        ("a", "plain"), ("b", "sgr bold red"), ("c", "plain"), ("d", "sgr bright_green"),
        ("e", "sgr bright_green on bright_blue"), ("f\\x1b]0;t\\x07\\x1b[2K", "plain"),
    ]  # fmt: skip
    assert without_colours("a\x1b[31mb\x1b[m\x1b[1K") == "ab\x1b[1K"


@pytest.mark.parametrize("codes", ["", "38", "38;5", "38;2;1", "999", "1;;1", "38;5;255;1", "48:5:3"])
def test_no_sequence_is_too_strange(codes: str) -> None:
    assert "".join(text for text, _ in coloured(f"\x1b[{codes}mx")) == "x"


@pytest.mark.asyncio
async def test_colours_are_shown_when_asked_for(tmp_path: Path) -> None:
    world = ingest()
    world.logs["fetch"] = b"\x1b[31mred\x1b[0m and \x1b[6nplain\n"
    async with console_on(tmp_path, world, run=12) as console:
        await _open_log(console)
        await console.shows("red and \\x1b[6nplain")
        assert not _is_red(console, "red")
        await console.press("C")
        await until(lambda: _is_red(console, "red"))
        assert "\x1b" not in console.text()
        assert console.console.memory.colours


def _is_red(console: Driver, text: str) -> bool:
    """Whether there is a piece of just that text whose colour is a red one."""
    strips = console.console.screen._compositor.render_strips()
    found = [piece for strip in strips for piece in strip if piece.text == text]
    colours = [piece.style.color.get_truecolor() for piece in found if piece.style and piece.style.color]
    return any(colour.red > 2 * colour.blue and colour.red > 1.5 * colour.green for colour in colours)


# --- copy, save, attempts -------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_what_is_in_sight_is_copied_through_tmux_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMUX", "/tmp/tmux,1,0")
    world = ingest()
    world.logs["fetch"] = b"one\ntwo \x1b[6n\n"
    async with console_on(tmp_path, world, run=12) as console:
        await _open_log(console)
        written: list[str] = []
        monkeypatch.setattr(console.console._driver, "write", written.append)
        await console.press("y")
        await console.shows("2 lines sent to the terminal's clipboard")
        encoded = base64.b64encode(b"one\ntwo \\x1b[6n\n").decode()
        sent = "".join(written)
        assert f"\x1b]52;c;{encoded}\a" in sent
        assert f"\x1bPtmux;\x1b\x1b]52;c;{encoded}\x07\x1b\\" in sent


@pytest.mark.asyncio
async def test_a_log_is_saved_as_it_was_written_and_nothing_is_overwritten(tmp_path: Path) -> None:
    world = ingest()
    world.logs["fetch"] = b"\x1b[31mred\n" * 100_000
    target = tmp_path / "kept.log"
    async with console_on(tmp_path, world, run=12) as console:
        await _open_log(console)
        for said in ("saved 878.9 KiB", "not saved: it is there already"):
            await console.press("Y")
            await until(lambda: bool(console.console.screen.query("Prompt")))
            console.console.screen.query_one("Prompt").value = str(target)
            await console.press("enter")
            await console.shows(said)
        assert target.read_bytes() == world.logs["fetch"]
        await console.press("Y", "escape", "slash", *"red", "enter")
        await until(lambda: console.console.memory.searches == ["red"])


@pytest.mark.asyncio
async def test_the_logs_of_other_attempts_are_beside(tmp_path: Path) -> None:
    world = ingest()
    assert [row.number for row in world.attempts if isinstance(row, AttemptRow)] == [1, 2, 3]
    async with console_on(tmp_path, world, run=12) as console:
        await _open_log(console)
        await console.press("right_square_bracket")
        await console.shows("fetch try 2")
        await console.press("left_square_bracket")
        await console.shows("fetch try 1")
        await console.press("left_square_bracket")
        await console.shows("fetch try 1")
