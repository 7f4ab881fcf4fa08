"""When a schedule is due: exact instants from a cron expression or an interval, a zone and a clock-change policy.

The expression speaks of local times (`engine.scheduling.cron_expression`), the zone maps them to real time
(`engine.scheduling.local_time`), and the schedule says what a clock change does. Debian's cron is the
model:

- An expression **follows elapsed time** when its minute or hour field begins with `*` or covers its whole
  range, such as `*/5 * * * *`, `0 */2 * * *`, `0 0-23 * * *`. It is due at every instant at which the wall
  clock reads a matching time: in both passes of a fold, and not within a gap. So five minutes stay five
  minutes across every clock change; `gap` and `fold` do not apply.
- Any other expression **names times of the day**, such as `30 2 * * *` or `0 1-5 * * *`. Each of its local
  times is due once: one that a gap leaves out falls away (`skip`) or is due at the instant at which the gap
  ends (`run_after`; several of them, or one that is due there anyway, are due once); one that comes twice
  is due in the first pass, the last, or both, as `fold` says.

Looking forward and backward cost the same, a few microseconds: neither walks over instants that are not
due. Expressions and the stretches of a zone are compiled once and kept.
"""

from collections.abc import Iterator

from engine.model.errors import ValueFault
from engine.model.instants import SECOND
from engine.model.workflow import SCHEDULE_INTERVAL_MIN_NS, Schedule
from engine.scheduling.cron_expression import DAY_SECONDS, Calendar, compile_expression
from engine.scheduling.local_time import YEAR_FIRST, YEAR_LAST, Stretch, stretches, year_of, zone

_YEARS_AHEAD = 60  # the rarest date that comes at all, a leap day on a given weekday, comes within 40 years
_MARGIN_SECONDS = 3 * DAY_SECONDS  # more than any offset plus any gap


def next_after(schedule: Schedule, after_ns: int) -> int | None:
    """The first due instant strictly after `after_ns`, None: never. Raises ValueFault (see `validate`)."""
    if schedule.interval_ns:
        steps = max(0, (after_ns - schedule.anchor_ns) // schedule.interval_ns + 1)
        return schedule.anchor_ns + steps * schedule.interval_ns
    found = _Walk(schedule).at_or_after(after_ns // SECOND + 1)
    return None if found is None else found * SECOND


def last_at_or_before(schedule: Schedule, until_ns: int) -> int | None:
    """The last due instant not after `until_ns`, None: none. Raises ValueFault (see `validate`)."""
    if schedule.interval_ns:
        steps = (until_ns - schedule.anchor_ns) // schedule.interval_ns
        return schedule.anchor_ns + steps * schedule.interval_ns if steps >= 0 else None
    found = _Walk(schedule).at_or_before(until_ns // SECOND)
    return None if found is None else found * SECOND


def due_between(schedule: Schedule, after_ns: int, until_ns: int, limit: int) -> tuple[list[int], bool]:
    """The due instants in (after_ns, until_ns], ascending, and whether earlier ones were left out.

    At most `limit` are given, the most recent ones; the work is bounded by `limit`, not by the span.
    Raises ValueFault for a faulty schedule.
    """
    found: list[int] = []
    instant = last_at_or_before(schedule, until_ns)
    while instant is not None and instant > after_ns:
        if len(found) >= limit:
            return found[::-1], True
        found.append(instant)
        instant = last_at_or_before(schedule, instant - 1)
    return found[::-1], False


def validate(schedule: Schedule) -> list[str]:
    """What is wrong with a schedule, a sentence each; empty when it can be used."""
    faults: list[str] = []
    if bool(schedule.cron) == bool(schedule.interval_ns):
        return ["a schedule has either a cron expression or an interval"]
    if schedule.interval_ns and schedule.interval_ns < SCHEDULE_INTERVAL_MIN_NS:
        faults.append("an interval is at least one second")
    try:
        zone(schedule.timezone)
    except ValueFault as fault:
        faults.append(f"{fault.sentence} ({fault.hint})")
    if schedule.cron:
        try:
            if compile_expression(schedule.cron).never():
                faults.append(f"cron {schedule.cron!r} names a day that never comes")
        except ValueFault as fault:
            faults.append(fault.sentence)
    return faults


def warnings(schedule: Schedule) -> list[str]:
    """What may surprise in a valid schedule, a sentence each; show it with the next five times."""
    return list(compile_expression(schedule.cron).warnings) if schedule.cron and not validate(schedule) else []


class _Walk:
    """The due instants of a cron schedule, in whole seconds, in both directions."""

    def __init__(self, schedule: Schedule) -> None:
        self._calendar: Calendar = compile_expression(schedule.cron)
        self._zone = schedule.timezone
        self._fold = "both" if self._calendar.wildcard else schedule.fold
        self._run_after = schedule.gap == "run_after" and not self._calendar.wildcard

    def at_or_after(self, instant_s: int) -> int | None:
        day = self._calendar.day_at_or_after((instant_s - _MARGIN_SECONDS) // DAY_SECONDS)
        if day is None:
            return None
        nearest_s = max(instant_s, day * DAY_SECONDS - _MARGIN_SECONDS)
        for stretch in self._forward(nearest_s):
            found = self._first_in(stretch, instant_s)
            if found is not None:
                return found
        return None

    def at_or_before(self, instant_s: int) -> int | None:
        day = self._calendar.day_at_or_before((instant_s + _MARGIN_SECONDS) // DAY_SECONDS)
        if day is None:
            return None
        nearest_s = min(instant_s, (day + 1) * DAY_SECONDS + _MARGIN_SECONDS)
        for stretch in self._backward(nearest_s):
            found = self._last_in(stretch, instant_s)
            if found is not None:
                return found
        return None

    def _first_in(self, stretch: Stretch, instant_s: int) -> int | None:
        start_s, end_s, offset_s, _ = stretch
        if start_s >= instant_s and self._owed(stretch):
            return start_s
        local = self._calendar.at_or_after(max(instant_s, start_s) + offset_s, end_s + offset_s)
        return None if local is None else local - offset_s

    def _last_in(self, stretch: Stretch, instant_s: int) -> int | None:
        start_s, end_s, offset_s, _ = stretch
        local = self._calendar.at_or_before(min(instant_s, end_s - 1) + offset_s, start_s + offset_s)
        if local is not None:
            return local - offset_s
        return start_s if self._owed(stretch) else None

    def _owed(self, stretch: Stretch) -> bool:
        """Whether a named time fell into the gap before the stretch and is made up for at its start."""
        if not stretch.gap_s or not self._run_after:
            return False
        local = stretch.start_s + stretch.offset_s
        return self._calendar.at_or_after(local - stretch.gap_s, local) is not None

    def _forward(self, instant_s: int) -> Iterator[Stretch]:
        first = year_of(instant_s)
        for year in range(first, min(first + _YEARS_AHEAD, YEAR_LAST)):
            for stretch in stretches(self._zone, year, self._fold):
                if stretch.end_s > instant_s:
                    yield stretch

    def _backward(self, instant_s: int) -> Iterator[Stretch]:
        first = year_of(instant_s)
        for year in range(first, max(first - _YEARS_AHEAD, YEAR_FIRST), -1):
            for stretch in reversed(stretches(self._zone, year, self._fold)):
                if stretch.start_s <= instant_s:
                    yield stretch
