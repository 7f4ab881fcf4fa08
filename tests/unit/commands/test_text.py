"""Nothing alive reaches a terminal, and what is harmless stays as it is."""

import json
import unicodedata

import msgspec
import pytest

from orchctl.text import LogText, Palette, cells, counts_text, cut, inert, inert_lines, instant_text, json_inert, table

HOSTILE = [
    "\x1b]52;c;aGVsbG8=\x07",
    "\x1b]0;title\x07",
    "\x1b[6n",
    "\x1b[2J",
    "\x1bP$qm\x1b\\",
    "\x9b31m",
    "\x9d52;c;x\x9c",
    "\x90",
    "a\rb",
    "a\x08b",
    "\x00",
    "\x7f",
    "\u202ename\u202c",
    "\u2066x\u2069",
    "a\u200bb",
    "a\u200db",
    "\ufeff",
    "\u2028",
    "\U000e0041",
    "\udcff",
    "\ud800",
    "\u115f",
    "\U000e0101",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_becomes_visible(text: str) -> None:
    shown = inert(text)
    assert shown != text
    assert shown.isprintable()
    assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for c in shown)
    shown.encode("utf-8")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_escaped_in_json_and_means_the_same(text: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        return  # no UTF-8 can hold it; Output makes it visible first
    shown = json_inert(msgspec.json.encode({"name": text}))
    assert shown.isprintable()
    assert text not in shown
    assert json.loads(shown) == {"name": text}


@pytest.mark.parametrize("code", [*range(0x20), 0x7F, *range(0x80, 0xA0)])
def test_no_control_character_passes(code: int) -> None:
    assert inert(chr(code)) == f"\\x{code:02x}"


@pytest.mark.parametrize("text", ["", "clean[3]", "straße", "名前　x", "🙂", "a\u0301", "25\u00a0%", "[/oops]"])
def test_harmless_text_stays(text: str) -> None:
    assert inert(text) == text


def test_lines_keep_line_ends_and_tabs_only() -> None:
    assert inert_lines("a\tb\nc\x1b[1m\r") == "a\tb\nc\\x1b[1m\\x0d"


def test_a_log_in_pieces_reads_as_in_one() -> None:
    data = "héllo\r\nwörld\x1b[31m\r".encode() + b"\xff\xc3"
    whole = LogText()
    expected = whole.feed(data) + whole.feed(b"", final=True)
    for size in (1, 2, 3, 7):
        log = LogText()
        text = "".join(log.feed(data[at : at + size]) for at in range(0, len(data), size)) + log.feed(b"", final=True)
        assert text == expected
    assert expected == "héllo\nwörld\x1b[31m\r\udcff\udcc3"
    assert inert_lines(expected) == "héllo\nwörld\\x1b[31m\\x0d\\xff\\xc3"


def test_wide_and_combining_characters_are_measured() -> None:
    assert cells("名前") == 4
    assert cells("a\u0301") == 1
    assert cut("名前名前", 5) == "名前…"
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdef", 0) == ""


def test_a_table_fits_a_width() -> None:
    lines = table(("NAME", "NOTE"), [("a" * 40, "b" * 60), ("c", "d")], Palette(colour=False), width=50)
    assert max(cells(line) for line in lines) <= 50
    assert "…" in lines[1]


def test_a_table_of_many_columns_fits_a_terminal() -> None:
    lines = table(["HEADING"] * 11, [["2026-11-23 02:15:00Z"] * 11], Palette(colour=False), width=80)
    assert max(cells(line) for line in lines) <= 80


def test_a_table_aligns_right_what_is_asked_for() -> None:
    lines = table(("N", "X"), [("1", "a"), ("100", "b")], Palette(colour=False), right="N")
    assert lines == ["  N  X", "  1  a", "100  b"]


def test_colours_are_off_without_a_terminal() -> None:
    assert Palette(colour=False).paint("failed", "failed") == "failed"
    assert Palette(colour=True).paint("failed", "failed") == "\x1b[31mfailed\x1b[0m"
    assert Palette(colour=True).paint("x", "no such style") == "x"


def test_counts_come_in_the_order_of_a_task_s_life() -> None:
    assert counts_text({"waiting": 3, "running": 2, "succeeded": 1000, "failed": 0}) == (
        "1,000 succeeded, 2 running, 3 waiting"
    )


def test_an_instant_is_shown_to_the_second() -> None:
    assert instant_text("2026-11-23T02:15:00.123456Z") == "2026-11-23 02:15:00Z"
    assert instant_text(None) == ""
