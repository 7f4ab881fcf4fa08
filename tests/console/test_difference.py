"""Only the cells that differ are sent."""

import io

import pyte
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from orchctl.console.difference import Difference, Shown

RED = Style(color="red")


class Screen:
    """A terminal that is told differences."""

    def __init__(self) -> None:
        self.shown = Shown()
        self._screen = pyte.Screen(40, 4)
        self._stream = pyte.Stream(self._screen)
        self._console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=40)

    def show(self, *lines: str, style: Style = RED, x: int = 0) -> str:
        """What was sent to show the lines, after the terminal has taken it."""
        strips = [[Strip([Segment(line, style)])] for line in lines]
        sent = Difference(LayoutUpdate(strips, Region(x, 0, 40, len(lines))), self.shown).render_segments(self._console)
        self._stream.feed(sent)
        return sent

    def text(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]


def test_what_is_there_already_is_not_sent_again() -> None:
    screen = Screen()
    assert screen.show("at 12:41:07 all is well", "and here")
    assert screen.show("at 12:41:07 all is well", "and here") == ""
    sent = screen.show("at 12:41:08 all is well", "and here")
    assert "8" in sent
    assert "12" not in sent.replace("\x1b[1;11H", "")
    assert screen.text()[:2] == ["at 12:41:08 all is well", "and here"]


def test_runs_that_are_far_apart_are_sent_apart() -> None:
    screen = Screen()
    screen.show("a" + "." * 30 + "b")
    sent = screen.show("A" + "." * 30 + "B")
    assert sent.count("H") == 2
    assert "..." not in sent
    assert screen.text()[0] == "A" + "." * 30 + "B"


def test_another_style_is_a_difference() -> None:
    screen = Screen()
    screen.show("same")
    assert "same" in screen.show("same", style=Style(bold=True))


def test_wide_characters_are_written_whole() -> None:
    screen = Screen()
    screen.show("a世b")
    screen.show("a界b")
    assert screen.text()[0].replace(" ", "") == "a界b"
    screen.show("axyb")
    assert screen.text()[0] == "axyb"
    screen.show("a世b")
    assert screen.text()[0].replace(" ", "") == "a世b"


def test_a_screen_that_may_show_anything_is_sent_whole() -> None:
    screen = Screen()
    screen.show("all of it")
    screen.shown.forget()
    assert "all of it" in screen.show("all of it")
