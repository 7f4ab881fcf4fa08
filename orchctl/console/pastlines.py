"""The lines that say that what is in sight is the past: when, how to move and come back, where that is in the run's
time, and what happened then. Pure functions of what is known and a width.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from engine.protocol.rows import ChangeRow, EventRow
from orchctl.console.drawing import Line, Span, clock, duration, ends, fitted, instant_s, joined
from orchctl.console.telling import told
from orchctl.console.theme import Signs

_DAY_S = 86_400.0
_AXIS_MIN = 10


def past_lines(
    at_s: float, now_s: float, span: tuple[float, float], marks: Sequence[ChangeRow], events: Sequence[EventRow],
    key: Callable[[str], str], width: int, signs: Signs,
) -> list[Line]:  # fmt: skip
    """Three lines. `key` gives the key of an action by its id."""
    ago = duration(max(0.0, round(now_s - at_s, 1)))
    when = f"{clock(at_s)}.{int(at_s * 1000) % 1000:03d}"
    left: Line = [(" PAST ", "chosen"), (f" {when}", "strong"), (f"  {ago} ago", "plain")]
    keys = (
        (key("past.now"), "now"), (f"{key('past.back')} {key('past.on')}", "change"),
        (f"{key('past.leap_back')} {key('past.leap_on')}", "trouble"),
        (f"{key('past.sweep_back')} {key('past.sweep_on')}", "far"), (key("past.at"), "time"),
    )  # fmt: skip
    right: Line = []
    for keyed, word in keys:
        right += [("  " if right else "", "plain"), (keyed, "key"), (f" {word}", "plain")]
    room = width - 7
    return [
        ends(left, [*right, (" ", "plain")], width),
        time_line(at_s, span, marks, width, signs),
        fitted([(" then  ", "dim"), *told(events, room)], width),
    ]


def time_line(at_s: float, span: tuple[float, float], marks: Sequence[ChangeRow], width: int, signs: Signs) -> Line:
    """The run's time from one end to the other, with what was notable, and where we look."""
    began, until = span
    left, right = f" {_end_text(began, span)} ", f" {_end_text(until, span)} "
    room = max(_AXIS_MIN, width - len(left) - len(right))
    here = _column(at_s, span, room)
    cells: list[Span] = [(signs.rule, "plain" if at <= here else "faint") for at in range(room)]
    for mark in marks:
        at = _column(instant_s(mark.at) or began, span, room)
        cells[at] = (signs.upright, "yellow" if at <= here else "dim")
    cells[here] = (signs.dot, "cyan")
    return fitted([(left, "dim"), *joined(cells), (right, "dim")], width)


def _end_text(at_s: float, span: tuple[float, float]) -> str:
    """The time of the day; in a run of several days, the day as well."""
    if span[1] - span[0] < _DAY_S:
        return clock(at_s)
    return datetime.fromtimestamp(at_s, UTC).astimezone().strftime("%m-%d %H:%M")


def _column(at_s: float, span: tuple[float, float], width: int) -> int:
    share = (at_s - span[0]) / max(1e-6, span[1] - span[0])
    return max(0, min(int(share * (width - 1) + 0.5), width - 1))
