"""The console on a real terminal, attached to a real engine: what it costs, how soon it answers, and its manners.

    python -m tests.campaigns.console [PART...]

Parts are large_run, far_link, long_log, terminal, engine_restart, many, two_operators and cold_start; without any, all
of them run. Each figure is a JSON line with its bar: {"part", "what", "value", "unit", "bar", "met"}. CPU is CPU time
of the process, so that other load on the machine counts little; times are wall clock and suffer from it.
"""

import argparse
import os
import re
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import psutil

from tests.support.home import Home, home, kill_pid, wait_for
from tests.support.operator import Operator, operator

ROWS = 100_000
HOST = "[host]\ncpus = 28\nmemory = '64GiB'\n"
SSH = {"SSH_CONNECTION": "10.0.0.1 22 10.0.0.2 22"}
CURSOR = "▌"
NAPS = """import time


def nap(seconds):
    time.sleep(seconds)
"""
LARGE = f"""name: large
tasks:
  nap:
    python: naps:nap
    args: {{seconds: 0.055}}
    for_each: "{{{{ range({ROWS}) }}}}"
"""
SMALL = """name: small
tasks:
  wait:
    run: sleep 600
    for_each: "{{ range(30) }}"
    claim: {cpu: 0.1}
"""
LOG_BYTES = 10 * 2**30
LOG_TEXT_BYTES = 200 * 2**20
LONG_LOG = """name: long
tasks:
  write:
    run: ["python3", "write.py"]
    quota: {log: 12GiB}
"""
WRITER = f"""import os
os.truncate(1, {LOG_BYTES - LOG_TEXT_BYTES})
lines = b"".join(b"2026-11-23T08:00:00Z line %07d of a very long log that says little\\n" % at for at in range(10_000))
left = {LOG_TEXT_BYTES} - 30
while left > 0:
    left -= os.write(1, lines[:left])
os.write(1, b"\\nthe needle in the haystack\\n")
"""


class Bars:
    """Prints figures and remembers what missed its bar."""

    def __init__(self, part: str) -> None:
        self.part = part
        self.missed: list[str] = []

    def at_most(self, what: str, value: float, bar: float, unit: str) -> None:
        self._say(what, round(value, 4), unit, bar=bar, met=value <= bar)

    def holds(self, what: str, *, held: bool) -> None:
        self._say(what, held, "", bar=True, met=held)

    def figure(self, what: str, value: float, unit: str) -> None:
        """A figure without a bar, to read the others by."""
        self._say(what, round(value, 4), unit, bar=None, met=True)

    def _say(self, what: str, value: object, unit: str, *, bar: object, met: bool) -> None:
        row = {"part": self.part, "what": what, "value": value, "unit": unit, "bar": bar, "met": met}
        sys.stdout.write(msgspec.json.encode(row).decode() + "\n")
        sys.stdout.flush()
        if not met:
            self.missed.append(what)


@contextmanager
def engine(*flows: tuple[str, str]) -> Iterator[Home]:
    """A home with an engine and files."""
    with home(HOST) as place:
        for name, text in flows:
            place.file(name, text)
        place.start()
        yield place


def submit(place: Home, flow: str) -> str:
    return place.rows("submit", str(place.root / flow))[0]["run"]


def cpu_of(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def cursor_line(lines: list[str]) -> int:
    """Where the cursor is, -1 where it is not in sight."""
    return next((at for at, line in enumerate(lines) if line.startswith(CURSOR)), -1)


def paints_ms(person: Operator, count: int, *, pause_s: float = 0.05, within_s: float = 20.0) -> list[float]:
    """From a key to the cursor's new place on the screen, so many times, in order of size (ms)."""
    found: list[float] = []
    for at in range(count):
        key = b"j" if at // 8 % 2 == 0 else b"k"
        before = cursor_line(person.lines())
        pressed = person.press(key)
        painted = person.until(
            lambda lines, b=before: cursor_line(lines) not in (b, -1), "the cursor to move", within_s
        )
        found.append((painted - pressed) * 1000)
        time.sleep(pause_s)
    return sorted(found)


def at_share(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def watched(person: Operator, seconds: float) -> tuple[float, float]:
    """(CPU % of a core, bytes a second) of a console that is looked at."""
    cpu, read, began = person.cpu_s(), person.bytes_read, time.perf_counter()
    time.sleep(seconds)
    spent = time.perf_counter() - began
    return (person.cpu_s() - cpu) / spent * 100, (person.bytes_read - read) / spent


def finished_rows(place: Home, run: str) -> int:
    return place.rows("show", run)[0]["tasks"].get("succeeded", 0)


# --- parts ----------------------------------------------------------------------------------------------------------


def large_run(bars: Bars) -> None:
    """100,000 rows with about 1,000 changes a second."""
    with engine(("large.yaml", LARGE), ("naps.py", NAPS)) as place:
        run = submit(place, "large.yaml")
        wait_for(lambda: finished_rows(place, run) > 1_000, "the run to be under way", 60)
        rate = _changes_a_second(place, run)
        bars.figure("changes a second", rate, "/s")
        with operator(place, **SSH) as person:
            person.shows("large")
            time.sleep(2)
            _watched_bars(bars, "overview", watched(person, 8))
            pressed = person.press(b"\r")
            bars.at_most("opening the run", person.shows("×100k") - pressed, 0.5, "s")
            _watched_bars(bars, "graph", watched(person, 8))
            for key, name, seen in (
                (b"o", "outline", "Outline"),
                (b"2", "tasks", "OUTCOME"),
                (b"3", "gantt", "TASK"),
                (b"6", "events", "Attempt"),
            ):
                person.press(key)
                person.shows(seen)
                time.sleep(1)
                _watched_bars(bars, name, watched(person, 8))
            person.press(b"2")
            person.shows("OUTCOME")
            painted = paints_ms(person, 300)
            bars.figure("key to paint p50", at_share(painted, 0.5), "ms")
            bars.at_most("key to paint p99", at_share(painted, 0.99), 100, "ms")
            bars.at_most("memory", person.memory_mib(), 120, "MiB")
        _engine_cost(bars, place, run)


def _watched_bars(bars: Bars, name: str, found: tuple[float, float]) -> None:
    bars.at_most(f"{name}: console CPU", found[0], 10, "% of a core")
    bars.at_most(f"{name}: to the terminal", found[1] / 1000, 15, "kB/s")


def _changes_a_second(place: Home, run: str) -> float:
    """Starts and ends of rows."""
    began, before = time.perf_counter(), finished_rows(place, run)
    time.sleep(5)
    return 2 * (finished_rows(place, run) - before) / (time.perf_counter() - began)


def _engine_cost(bars: Bars, place: Home, run: str) -> None:
    """What the engine spends on a console: its CPU for each row that ends, with one and without, in turns."""
    pid = place.status()["pid"]
    spent: dict[bool, list[float]] = {True: [], False: []}

    def turn(watching: bool) -> None:
        rows, cpu = finished_rows(place, run), cpu_of(pid)
        time.sleep(6)
        used, ended = cpu_of(pid) - cpu, finished_rows(place, run) - rows
        spent[watching].append(used / max(ended, 1))

    for _ in range(4):
        turn(watching=False)
        with operator(place, run, **SSH) as person:
            person.shows("×100k")
            time.sleep(1)
            turn(watching=True)
    with_one, without = statistics.median(spent[True]), statistics.median(spent[False])
    bars.figure("engine CPU a row, nobody looks", without * 1e6, "µs")
    bars.figure("engine CPU a row, a console looks", with_one * 1e6, "µs")
    bars.at_most(
        "engine CPU for a console at 1,000 changes a second", (with_one - without) * 500 * 100, 5, "% of a core"
    )


def far_link(bars: Bars) -> None:
    """20 kB/s and 150 ms in each direction, on a run that goes on."""
    with engine(("large.yaml", LARGE), ("naps.py", NAPS)) as place:
        run = submit(place, "large.yaml")
        wait_for(lambda: finished_rows(place, run) > 1_000, "the run to be under way", 60)
        with operator(place, run, rate=20_000, delay_s=0.15, **SSH) as person:
            person.shows("×100k")
            person.press(b"2")
            person.shows("OUTCOME")
            time.sleep(2)
            painted = paints_ms(person, 100, pause_s=0.2)
            bars.figure("key to paint p50", at_share(painted, 0.5), "ms")
            bars.at_most("key to paint p95", at_share(painted, 0.95), 600, "ms")


def long_log(bars: Bars) -> None:
    """10 GiB, of which 200 MiB are text."""
    with engine(("long.yaml", LONG_LOG), ("write.py", WRITER)) as place:
        run = submit(place, "long.yaml")
        wait_for(lambda: place.rows("show", run)[0]["finished_at"], "the log to be written", 120)
        row = place.rows("tasks", run)[0]
        bars.figure("log", row["log"]["length"] / 2**30, "GiB")
        with operator(place, run) as person:
            person.shows("write")
            person.press(b"j")
            time.sleep(0.3)
            pressed = person.press(b"L")
            bars.at_most("open, at its end", person.shows("the needle in the haystack") - pressed, 0.3, "s")
            person.press(b"\x1b[5~" * 3)
            person.until(lambda lines: not any("needle" in line for line in lines), "pages up")
            pressed = person.press(b"G")
            bars.at_most("jump to the end", person.shows("the needle in the haystack") - pressed, 0.3, "s")
            _search(bars, person)


def _search(bars: Bars, person: Operator) -> None:
    """Back from the end over text without a match: progress is seen, and Esc ends it; then over what has one."""
    before = person.cpu_s()
    pressed = person.press(b"\x12nowhere to be found\r")
    seen = person.until(lambda lines: any("searching" in line for line in lines), "the progress of a search")
    bars.at_most("search: progress is seen", seen - pressed, 1.0, "s")
    pressed = person.press(b"h")
    gone = person.until(lambda lines: not any("searching" in line for line in lines), "the search to end")
    bars.at_most("search: cancelled", gone - pressed, 0.3, "s")
    pressed = person.press(b"\x12nowhere to be found\r")
    person.until(lambda lines: any("searching" in line for line in lines), "the search to begin")
    reached = person.until(lambda lines: _share(lines) < 99, "the last 1 % (102 MiB) to be searched", 60)
    bars.figure("search of the last 100 MiB", reached - pressed, "s")
    bars.figure("search of the last 100 MiB: console CPU", person.cpu_s() - before, "s")
    person.press(b"h")
    person.until(lambda lines: not any("searching" in line for line in lines), "the search to end")


def _share(lines: list[str]) -> float:
    """The percents of `searching at 98 %`; 100 where there are none."""
    said = re.search(r"searching at (\d+) %", "\n".join(lines))
    return float(said[1]) if said else 100.0


def terminal(bars: Bars) -> None:
    """Stalled, hung up, told to end, stopped, resized."""
    with engine(("small.yaml", SMALL)) as place:
        run = submit(place, "small.yaml")
        _stalled(bars, place, run)
        for number in (signal.SIGHUP, signal.SIGTERM):
            with operator(place, run) as person:
                person.shows("wait")
                person.signal(number)
                code = person.ended()
                time.sleep(0.3)
                name = signal.Signals(number).name
                bars.holds(f"{name}: ends with {128 + number}", held=code == 128 + number)
                bars.holds(f"{name}: the terminal is left clean", held=person.left_clean())
        with operator(place, run) as person:
            person.shows("wait")
            person.hang_up()
            bars.holds("terminal closed: the console ends", held=person.ended(15) is not None)
        with operator(place, run) as person:
            person.shows("wait")
            person.signal(signal.SIGSTOP)
            time.sleep(3)
            person.signal(signal.SIGCONT)
            resumed = time.perf_counter()
            before = person.bytes_read
            person.until(lambda _: person.bytes_read > before, "frames after SIGCONT")
            bars.at_most("SIGSTOP, SIGCONT: the next frame", time.perf_counter() - resumed, 2.0, "s")
            bars.at_most("SIGSTOP, SIGCONT: a key", max(paints_ms(person, 4)), 1000, "ms") if _in_tasks(
                person
            ) else None
        with operator(place, run) as person:
            _resized(bars, person)
        bars.holds("the engine serves on", held=place.rows("show", run)[0]["status"] == "running")


def _in_tasks(person: Operator) -> bool:
    person.press(b"2")
    person.shows("OUTCOME")
    time.sleep(0.5)
    return True


def _stalled(bars: Bars, place: Home, run: str) -> None:
    with operator(place, run) as person:
        person.shows("wait")
        _in_tasks(person)
        person.stall()
        cpu = person.cpu_s()
        for _ in range(100):
            person.press(b"j")
            time.sleep(0.05)
            person.press(b"k")
            time.sleep(0.05)
        bars.at_most("stalled for 10 s: console CPU", (person.cpu_s() - cpu) * 10, 10, "% of a core")
        before = person.bytes_read
        went_on = time.perf_counter()
        person.go_on()
        time.sleep(1)
        bars.at_most("stalled for 10 s: sent afterwards", (person.bytes_read - before) / 1000, 40, "kB")
        bars.at_most("stalled for 10 s: a key afterwards", max(paints_ms(person, 8)), 1000, "ms")
        bars.figure("stalled for 10 s: back after", time.perf_counter() - went_on, "s")


def _resized(bars: Bars, person: Operator) -> None:
    _in_tasks(person)
    cpu = person.cpu_s()
    for at in range(100):
        person.resize(20 + at % 7 * 30, 6 + at % 5 * 11)
        time.sleep(0.02)
    person.resize(80, 24)
    resized = time.perf_counter()
    person.until(lambda lines: "OUTCOME" in "\n".join(lines) and "help" in lines[-1], "the screen at its size")
    bars.at_most("100 sizes in 2 s: right again after", time.perf_counter() - resized, 1.0, "s")
    bars.figure("100 sizes in 2 s: console CPU", person.cpu_s() - cpu, "s")


def engine_restart(bars: Bars) -> None:
    """The engine is killed under a console, and started again."""
    with engine(("small.yaml", SMALL)) as place:
        run = submit(place, "small.yaml")
        with operator(place, run) as person:
            person.shows("live")
            killed = time.perf_counter()
            kill_pid(place.status()["pid"])
            bars.at_most("killed: said after", person.shows("stale") - killed, 2.0, "s")
            started = time.perf_counter()
            place.start()
            serving = time.perf_counter()
            bars.figure("started again within", serving - started, "s")
            bars.at_most("live again after it serves", max(0.0, person.shows("live") - serving), 1.5, "s")
            _in_tasks(person)
            bars.at_most("a key afterwards", max(paints_ms(person, 8)), 1000, "ms")


def many(bars: Bars) -> None:
    """20 consoles on one run, one of them frozen: the engine and the others go on."""
    with engine(("large.yaml", LARGE), ("naps.py", NAPS)) as place:
        run = submit(place, "large.yaml")
        wait_for(lambda: finished_rows(place, run) > 1_000, "the run to be under way", 60)
        pid = place.status()["pid"]
        people: list[Operator] = []
        try:
            for _ in range(20):
                people.append(Operator(place, run, **SSH))
                people[-1].shows("×100k", 60)
            people[0].signal(signal.SIGSTOP)
            rate, cpu, began = _changes_a_second(place, run), cpu_of(pid), time.perf_counter()
            rss = psutil.Process(pid).memory_info().rss
            time.sleep(10)
            bars.figure("changes a second meanwhile", rate, "/s")
            bars.figure("engine CPU", (cpu_of(pid) - cpu) / (time.perf_counter() - began) * 100, "% of a core")
            grown = (psutil.Process(pid).memory_info().rss - rss) / 2**20
            bars.at_most("the engine grows", grown, 20, "MiB")
            pressed = people[5].press(b"2")
            bars.at_most("another console answers a key", people[5].shows("OUTCOME") - pressed, 2.0, "s")
            people[0].signal(signal.SIGCONT)
            resumed = time.perf_counter()
            before = people[0].bytes_read
            people[0].until(
                lambda lines: people[0].bytes_read > before and "live" in lines[0], "the frozen one to live"
            )
            bars.at_most("the frozen one is live again", time.perf_counter() - resumed, 5.0, "s")
            for person in people:
                person.press(b"q")
            for person in people:
                person.until(lambda _, p=person: p.process.poll() is not None, "a console to leave", 60)
            bars.holds("all leave with 0", held={person.process.returncode for person in people} == {0})
        finally:
            for person in people:
                person.close()


def two_operators(bars: Bars) -> None:
    """Two consoles cancel the same run at the same time: one wins, the other is told, the audit has both."""
    with engine(("small.yaml", SMALL)) as place:
        run = submit(place, "small.yaml")
        with operator(place, run) as one, operator(place, run) as two:
            for person in (one, two):
                person.shows("live")
                person.shows("wait")
                person.press(b"c")
                person.shows("yes")
            one.press(b"y")
            two.press(b"y")
            for person in (one, two):
                person.until(lambda lines: "cancelled:" in lines[-2] or _refusal(lines[-2]), "an answer", 10)
            said = [" ".join(person.lines()[-2:-1]) for person in (one, two)]
            bars.figure("told that it was refused", sum(_refusal(line) for line in said), "of 2")
            results = [row["result"] for row in place.rows("audit") if row["verb"] == "cancel"]
            bars.holds("the audit has both", held=len(results) == 2)
            bars.holds("one won", held=results.count("accepted") == 1 and sum(_refusal(line) for line in said) == 1)


def _refusal(line: str) -> bool:
    return "refused" in line or "not done" in line


def cold_start(bars: Bars) -> None:
    """From the command to the first paint, and to the first picture of the engine."""
    with engine(("small.yaml", SMALL)) as place:
        submit(place, "small.yaml")
        first: list[float] = []
        live: list[float] = []
        cpu: list[float] = []
        for _ in range(10):
            with operator(place) as person:
                first.append(person.shows("orchctl") - person.began)
                live.append(person.shows("small") - person.began)
                cpu.append(person.cpu_s())
                person.press(b"q")
                person.ended()
        bars.figure("CPU until then, median", statistics.median(cpu), "s")
        bars.figure("first rows, median", statistics.median(live), "s")
        bars.at_most("first paint, median", statistics.median(first), 0.6, "s")


PARTS: dict[str, Callable[[Bars], None]] = {
    part.__name__: part
    for part in (large_run, far_link, long_log, terminal, engine_restart, many, two_operators, cold_start)
}


def main() -> int:
    """0 if every bar was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", metavar="PART", nargs="*", choices=[*PARTS, []], help="which, else all")
    options = parser.parse_args()
    missed: list[str] = []
    for name in options.parts or PARTS:
        bars = Bars(name)
        try:
            PARTS[name](bars)
        except AssertionError as error:
            sys.stderr.write(f"{name}: {error}\n")
            bars.holds("came to its end", held=False)
        missed += bars.missed
    return 1 if missed else 0


if __name__ == "__main__":
    os.environ.pop("NO_COLOR", None)
    sys.exit(main())
