"""The piece of a log in memory: lines by their bytes, both ends, bounded, and nothing alive in the text."""

import random

import pytest

from orchctl.console import logbuffer
from orchctl.console.logbuffer import LINE_BYTES, LogBuffer, readable


def _texts(buffer: LogBuffer) -> list[str]:
    return [buffer.text(line) for line in range(buffer.lines)]


def test_pieces_that_cut_lines_and_characters_give_the_same_text_as_the_whole() -> None:
    data = "".join(f"line {at} äöü ✓\n" for at in range(300)).encode()
    dice = random.Random(3)
    buffer = LogBuffer()
    at = 0
    while at < len(data):
        size = dice.randint(1, 400)
        buffer.take(at, data[at : at + size])
        at += size
    assert _texts(buffer) == data.decode().splitlines()
    assert buffer.end == len(data)


def test_pieces_before_are_put_before_and_whole_lines_move_down() -> None:
    data = b"".join(b"%05d\n" % at for at in range(1000))
    buffer = LogBuffer()
    buffer.take(3000, data[3000:])
    first = buffer.text(0)
    moved = buffer.take(1000, data[1000:3000])
    assert buffer.text(moved) == first
    assert buffer.offset_of(0) % 6 == 0, "the piece began inside a line"
    buffer.take(0, data[: buffer.start])
    assert _texts(buffer)[:3] == ["00000", "00001", "00002"]


def test_a_line_without_an_end_is_shown_in_pieces_and_never_inside_a_character() -> None:
    data = ("é" * 50_000).encode()
    buffer = LogBuffer()
    buffer.take(0, data)
    texts = _texts(buffer)
    assert "".join(texts) == "é" * 50_000
    assert max(len(text) for text in texts) <= LINE_BYTES


def test_memory_is_bounded_however_much_is_appended_or_put_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logbuffer, "BUFFER_BYTES", 10_000)
    data = b"".join(b"%07d\n" % at for at in range(10_000))
    buffer = LogBuffer()
    for at in range(0, len(data), 1000):
        buffer.take(at, data[at : at + 1000])
        assert buffer.end - buffer.start <= 10_000
    assert buffer.text(buffer.lines - 1) == "0009999"
    while buffer.start > 0:
        begin = max(0, buffer.start - 1000)
        buffer.take(begin, data[begin : buffer.start])
        assert buffer.end - buffer.start <= 10_000
    assert buffer.text(0) == "0000000"
    assert not buffer.at_end or buffer.end < len(data)


def test_pieces_that_overlap_what_is_here_add_only_what_is_new() -> None:
    data = b"".join(b"%05d\n" % at for at in range(100))
    buffer = LogBuffer()
    buffer.take(120, data[120:300])
    buffer.take(240, data[240:600])
    buffer.take(120, data[120:200])
    buffer.take(0, data[:180])
    assert _texts(buffer) == data.decode().splitlines()


def test_the_line_of_a_byte_is_found() -> None:
    buffer = LogBuffer()
    buffer.take(100, b"abc\ndef\nghi\n")
    assert [buffer.line_at(offset) for offset in (100, 103, 104, 111)] == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b[\x1b[0m31mx", "\\x1b[31mx"),
        (b"\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        (b"\x1b[6n", "\\x1b[6n"),
        (b"\xc2\x9b6n", "\\x9b6n"),
        (b"\x9b6n", "\\x9b6n"),
        ("a\u202eb".encode(), "a\\u{202e}b"),
        (b"a\tb\r\n", "a       b"),
        (b"[/red]", "[/red]"),
    ],
)
def test_escapes_are_visible_and_colours_are_left_out(data: bytes, shown: str) -> None:
    assert readable(data) == shown
