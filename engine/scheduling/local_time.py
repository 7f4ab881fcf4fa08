"""The stretches of real time in which a zone keeps one offset, and what a clock change leaves out or repeats.

zoneinfo answers only "which offset now", so the changes of a year are found by looking every six hours and
halving the interval to the second. A change is forward (a gap: local times that never come) or back (a
fold: local times that come twice). All values are integers: seconds since the epoch for instants, seconds
of the wall clock for local times.
"""

from datetime import UTC, datetime
from difflib import get_close_matches
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from engine.model.errors import ValueFault
from engine.model.workflow import Fold

_PROBE_SECONDS = 6 * 3600
YEAR_FIRST, YEAR_LAST = 2, 9_000


class Stretch(NamedTuple):
    """Real time [start_s, end_s) at one offset; local time = real time + offset.

    `gap_s` is the length of the gap just before `start_s`, 0 where no clock went forward. With the fold
    policies `first` and `last` the pass of a fold that does not count is already cut away.
    """

    start_s: int
    end_s: int
    offset_s: int
    gap_s: int


class _Change(NamedTuple):
    at_s: int
    before_s: int
    after_s: int


def zone(name: str) -> ZoneInfo:
    """The zone of an IANA name. Raises ValueFault, with the nearest names for a misspelt one."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = get_close_matches(name, available_timezones(), n=2, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else "use an IANA name such as Europe/Berlin"
        raise ValueFault(f"there is no time zone {name!r}", hint) from error


@lru_cache(maxsize=4096)
def stretches(name: str, year: int, fold: Fold) -> tuple[Stretch, ...]:
    """The stretches of a UTC year in order, without what the fold policy leaves out. Raises ValueFault."""
    start, end = _year_start(year), _year_start(year + 1)
    changes = [change for near in (year - 1, year, year + 1) for change in _changes(name, near)]
    cuts = [_excluded(change, fold) for change in changes if change.after_s < change.before_s]
    inside = [change for change in changes if start <= change.at_s < end]
    found: list[Stretch] = []
    begin, gap, offset = start, 0, _offset(zone(name), start) if not inside else inside[0].before_s
    for change in inside:
        if change.at_s > begin:
            found += _cut(Stretch(begin, change.at_s, offset, gap), cuts)
        begin, offset, gap = change.at_s, change.after_s, max(0, change.after_s - change.before_s)
    return (*found, *_cut(Stretch(begin, end, offset, gap), cuts))


def year_of(instant_s: int) -> int:
    """The UTC year of an instant, kept within the years that are computed."""
    first, last = _year_start(YEAR_FIRST), _year_start(YEAR_LAST)
    return datetime.fromtimestamp(min(max(instant_s, first), last), UTC).year


def _excluded(change: _Change, fold: Fold) -> tuple[int, int]:
    length = change.before_s - change.after_s
    if fold == "first":
        return change.at_s, change.at_s + length
    return (change.at_s - length, change.at_s) if fold == "last" else (change.at_s, change.at_s)


def _cut(stretch: Stretch, cuts: list[tuple[int, int]]) -> list[Stretch]:
    parts = [stretch]
    for low, high in cuts:
        kept: list[Stretch] = []
        for part in parts:
            if low >= high or high <= part.start_s or low >= part.end_s:
                kept.append(part)
                continue
            if part.start_s < low:
                kept.append(part._replace(end_s=low))
            if high < part.end_s:
                kept.append(part._replace(start_s=high, gap_s=0))
        parts = kept
    return parts


@lru_cache(maxsize=4096)
def _changes(name: str, year: int) -> tuple[_Change, ...]:
    where = zone(name)
    if name == "UTC":
        return ()
    found: list[_Change] = []
    instant = _year_start(year) - 1
    before = _offset(where, instant)
    end = _year_start(year + 1) - 1
    while instant < end:
        probe = min(instant + _PROBE_SECONDS, end)
        after = _offset(where, probe)
        if after != before:
            found.append(_Change(_first_after(where, instant, probe, before), before, after))
        instant, before = probe, after
    return tuple(found)


def _first_after(where: ZoneInfo, low_s: int, high_s: int, before_s: int) -> int:
    """The first second in (low_s, high_s] whose offset is no longer `before_s`."""
    while high_s - low_s > 1:
        middle = (low_s + high_s) // 2
        if _offset(where, middle) == before_s:
            low_s = middle
        else:
            high_s = middle
    return high_s


def _offset(where: ZoneInfo, instant_s: int) -> int:
    shift = datetime.fromtimestamp(instant_s, where).utcoffset()
    return round(shift.total_seconds()) if shift is not None else 0


def _year_start(year: int) -> int:
    return round(datetime(year, 1, 1, tzinfo=UTC).timestamp())
