"""The console on a real terminal: what bytes reach it, and how it leaves."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import psutil
import pytest

from engine.protocol.messages import Definition, Subscribe
from engine.protocol.rows import (
    AuditRow,
    BackfillRow,
    GridRow,
    LaneRow,
    PartitionRow,
    QueueRow,
    ScheduleRow,
    SpecRow,
    StatsRow,
    WorkflowRow,
)
from orchctl.console.program import _LEAVE_S
from orchctl.console.terminal import backlog, prepare, speaks_utf8
from orchctl.text import inert
from tests.support.console_engine import ConsoleEngine, World, engine_row
from tests.support.console_pilot import until
from tests.support.console_terminal import Terminal, terminal_on
from tests.support.console_world import ingest

RESTORED = (b"\x1b[?1049l", b"\x1b[?25h")
POINTER = b"\x1b]22;default\x07"  # textual asks for the usual mouse pointer
HOSTILE = "\x1b]52;c;SGVsbG8=\x07\x1b[6n\x9b31m\x1b]0;owned\x07\u202egpj.exe[/x][bold]\x7f\x00"


@contextlib.asynccontextmanager
async def engine_on(home: Path, world: World) -> AsyncIterator[ConsoleEngine]:
    engine = ConsoleEngine(home, world)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


def hostile_world() -> World:
    """Every text that a user or a task can write holds everything that a terminal obeys."""
    world = ingest()
    world.engine = engine_row(problems=[HOSTILE])
    world.runs = [
        msgspec.structs.replace(
            row, workflow=row.workflow + HOSTILE, note=HOSTILE, actor=HOSTILE, params={HOSTILE: HOSTILE}
        )
        for row in world.runs
    ]
    world.groups[12] = [
        msgspec.structs.replace(row, why=HOSTILE, action=HOSTILE, description=HOSTILE, failed=(HOSTILE,))
        for row in world.groups[12]
    ]
    world.tasks[12] = [msgspec.structs.replace(row, why=HOSTILE, item=HOSTILE) for row in world.tasks[12]]
    world.reasons[0].reasons.append({"kind": HOSTILE, "resource": HOSTILE, "holders": [HOSTILE]})
    world.events = [msgspec.structs.replace(world.events[0], event=HOSTILE, details={HOSTILE: HOSTILE})]
    world.stats = [StatsRow(task="parse", rows=9, failures=[{"why": HOSTILE, "count": 2, "rows": [HOSTILE]}])]
    world.lanes = [LaneRow(task=HOSTILE, index=None, status=HOSTILE)]
    world.grid = [GridRow(task=HOSTILE, cells={HOSTILE: HOSTILE, "r12": "failed"})]
    params = [{"name": HOSTILE, "type": HOSTILE, "description": HOSTILE, "default": HOSTILE, "choices": [HOSTILE]}]
    world.workflows = [
        WorkflowRow(workflow=HOSTILE, version=HOSTILE, paused=False, tasks=1, owner=HOSTILE, description=HOSTILE,
                    tags=(HOSTILE,), schedules=(HOSTILE,), file=HOSTILE, fault=HOSTILE, params=params)
    ]  # fmt: skip
    shown = Definition(workflow=HOSTILE, version=HOSTILE, file=HOSTILE, text=f"a: {HOSTILE}\n# {HOSTILE}")
    world.definitions = {inert(HOSTILE): shown}
    world.schedules = [ScheduleRow(workflow=HOSTILE, schedule=HOSTILE, timezone=HOSTILE, paused=True)]
    world.backfills = [
        BackfillRow(
            backfill=HOSTILE, workflow=HOSTILE, version=HOSTILE, status="running", partitions=1, left_out=0, pending=1,
            active=[HOSTILE], ended={HOSTILE: 1}, since=HOSTILE, until=HOSTILE, order=HOSTILE, reprocess=HOSTILE,
            max_active=1, made_at=HOSTILE, next_partition=HOSTILE, params={HOSTILE: HOSTILE}, actor=HOSTILE,
            note=HOSTILE,
        )
    ]  # fmt: skip
    world.partitions = [
        PartitionRow(partition=HOSTILE, due_at=HOSTILE, runs=runs, why=HOSTILE, run=HOSTILE) for runs in (True, False)
    ]
    world.audit = [
        AuditRow(
            revision=1, at=HOSTILE, uid=1, actor=HOSTILE, via=HOSTILE, verb=HOSTILE, target=HOSTILE, result=HOSTILE,
            note=HOSTILE, place=HOSTILE,
        )
    ]  # fmt: skip
    world.specs["fetch"] = SpecRow(
        task="fetch", kind=HOSTILE, lines=[HOSTILE], args={HOSTILE: HOSTILE}, dir=HOSTILE, env={HOSTILE: HOSTILE},
        pass_env=(HOSTILE,), claim={"pools": {HOSTILE: HOSTILE}, "mutexes": [HOSTILE], "pin": HOSTILE},
        quota={HOSTILE: 1.0}, retry={"limit": HOSTILE, "on": [HOSTILE]}, trigger_rule=HOSTILE, when=HOSTILE,
        owner=HOSTILE, upstream=[{"task": HOSTILE, "status": HOSTILE}], upstream_total=1,
    )  # fmt: skip
    world.queue = [QueueRow(run=HOSTILE, task=HOSTILE, index=None, rows=2, owner=HOSTILE, claim={"pin": HOSTILE},
                            reasons=[{"kind": HOSTILE}])]  # fmt: skip
    world.resources = msgspec.structs.replace(
        world.resources, holders=[{"run": HOSTILE, "row": HOSTILE, "owner": HOSTILE}], gpus={HOSTILE: 1.0},
        mutexes={HOSTILE: HOSTILE}, reservation={"run": HOSTILE, "row": HOSTILE}, owners=[{"owner": HOSTILE}],
        pressure=[HOSTILE],
    )  # fmt: skip
    world.logs["fetch"] = HOSTILE.encode() + b"\xff\n" * 5
    return world


def assert_inert(terminal: Terminal) -> None:
    output = bytes(terminal.output).replace(POINTER, b"")
    for alive in (b"\x1b]52", b"\x1b[6n", b"\x1b]0;", b"\xc2\x9b", "\u202e".encode(), b"\x7f", b"\x00", b"\x07"):
        assert alive not in output, alive


@pytest.mark.asyncio
@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}, {"LANG": "C"}, {"TERM": "xterm"}])
async def test_nothing_that_is_alive_reaches_the_terminal(tmp_path: Path, environment: dict[str, str]) -> None:
    async with engine_on(tmp_path, hostile_world()), terminal_on(tmp_path, **environment) as terminal:
        await terminal.shows("ingest-daily\\x1b]52")
        await terminal.shows("! \\x1b]52")
        for keys, shown in (
            (b"\r", "publish"), (b"j", "fetch"), (b"jj", "publish"), (b"2", "102 rows"),
            (b"6", "6 Events*"), (b"3", "3 Gantt*"), (b"4", "4 Grid*"), (b"1", "publish"),
            (b"x", "Why "), (b"h", "publish"),
            (b"kk", "publish"), (b"\r", "WHAT IT DOES"), (b"G", "NEIGHBOURS"), (b"h", "publish"),
            (b"L", "fetch try 1"), (b"h", "publish"),
            (b"c", "fetch is succeeded: nothing to cancel"),
            (b"k", "trigger"), (b"c", "Cancel:"), (b"n", "nothing was done"), (b"?", "Help"), (b"h", "publish"),
            (b"W", "Workflows"), (b"\r", "1 a: "), (b"h", "Workflows"), (b"t", "Make a run of"),
            (b"\x1b", "nothing was done"),
            (b"b", "Backfill "), (b"2026-11-01\t2026-11-02", "1 left out"), (b"\x1b", "nothing was done"),
            (b"S", "1 Schedules*"), (b"2", "DONE"), (b"p", "paused: "), (b"c", "Cancel:"), (b"n", "nothing"),
            (b"\r", "PARTITION"), (b"h", "DONE"), (b"A", "Audit"),
            (b"H", "Resources"), (b"2", "RANK"), (b"3", "WEIGHT"), (b"A", "Audit"), (b":", "tab completes"),
            (b"trigger", "trigger \\x1b]52"), (b"\x1b", "q leave"),
        ):  # fmt: skip
            terminal.send(keys)
            await terminal.shows(shown)
        terminal.send(b"q")
        assert await terminal.ended() == 0
        assert_inert(terminal)
        assert all(sequence in terminal.output for sequence in RESTORED)
        assert b"Traceback" not in terminal.output


@pytest.mark.asyncio
async def test_without_utf8_the_terminal_gets_only_ascii(tmp_path: Path) -> None:
    async with engine_on(tmp_path, ingest()), terminal_on(tmp_path, LANG="C") as terminal:
        await terminal.shows("ingest-daily")
        terminal.send(b"q")
        assert await terminal.ended() == 0
        assert bytes(terminal.output).isascii()


@pytest.mark.asyncio
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_the_console_with_the_terminal_as_it_was(tmp_path: Path, number: signal.Signals) -> None:
    async with engine_on(tmp_path, ingest()), terminal_on(tmp_path) as terminal:
        await terminal.shows("ingest-daily")
        terminal.process.send_signal(number)
        assert await terminal.ended() == 128 + number
        await until(lambda: all(sequence in terminal.output for sequence in RESTORED))


@pytest.mark.asyncio
async def test_a_signal_while_it_begins_ends_the_console_with_the_terminal_as_it_was(tmp_path: Path) -> None:
    async with engine_on(tmp_path, ingest()), terminal_on(tmp_path) as terminal:
        await until(lambda: b"\x1b[?1049h" in terminal.output)  # the first thing that is written
        terminal.process.send_signal(signal.SIGTERM)
        assert await terminal.ended() == 128 + signal.SIGTERM
        await until(lambda: all(sequence in terminal.output for sequence in RESTORED))
        assert terminal.attributes() == terminal.before


@pytest.mark.asyncio
async def test_a_console_leaves_though_its_terminal_takes_nothing(tmp_path: Path) -> None:
    async with engine_on(tmp_path, ingest()) as engine, terminal_on(tmp_path) as terminal:
        await terminal.shows("ingest-daily")
        await _fill(engine, terminal)
        terminal.send(b"q")
        assert await terminal.ended(_LEAVE_S + 10) == 0


@pytest.mark.asyncio
async def test_a_signal_ends_the_console_though_its_terminal_takes_nothing(tmp_path: Path) -> None:
    async with engine_on(tmp_path, ingest()), terminal_on(tmp_path) as terminal:
        await terminal.shows("ingest-daily")
        terminal.stall()
        for _ in range(40):  # each draws a screen anew, until the terminal and the queue before it are full
            terminal.send(b"?h")
            await asyncio.sleep(0.02)
        terminal.process.send_signal(signal.SIGTERM)
        assert await terminal.ended() == 128 + signal.SIGTERM


@pytest.mark.asyncio
@pytest.mark.parametrize("words", [(), ("ignore-hangup",)])
async def test_a_terminal_that_is_gone_ends_the_console(tmp_path: Path, words: tuple[str, ...]) -> None:
    async with engine_on(tmp_path, ingest()), terminal_on(tmp_path, *words) as terminal:
        await terminal.shows("ingest-daily")
        terminal.hang_up()
        await terminal.ended()


@pytest.mark.asyncio
async def test_the_console_stops_and_comes_back_like_any_program(tmp_path: Path) -> None:
    async with engine_on(tmp_path, ingest()) as engine, terminal_on(tmp_path) as terminal:
        await terminal.shows("ingest-daily")
        terminal.send(b"\x1a")
        process = psutil.Process(terminal.process.pid)
        await until(lambda: process.status() == psutil.STATUS_STOPPED)
        await until(lambda: RESTORED[0] in terminal.output)
        engine.world.runs[0] = msgspec.structs.replace(engine.world.runs[0], status="succeeded")
        engine.publish()
        terminal.process.send_signal(signal.SIGCONT)
        await terminal.shows("✓ ingest-daily")
        terminal.send(b"q")
        assert await terminal.ended() == 0
        assert terminal.attributes() == terminal.before


@pytest.mark.asyncio
async def test_a_console_that_was_frozen_from_outside_goes_on_and_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    async with engine_on(tmp_path, ingest()), terminal_on(tmp_path) as terminal:
        await terminal.shows("ingest-daily")
        process = psutil.Process(terminal.process.pid)
        threads = process.num_threads()
        for _ in range(3):
            terminal.process.send_signal(signal.SIGSTOP)
            await until(lambda: process.status() == psutil.STATUS_STOPPED)
            drawn = len(terminal.output)
            terminal.process.send_signal(signal.SIGCONT)
            await until(lambda before=drawn: b"ingest-daily" in terminal.output[before:])
        await until(lambda: process.num_threads() == threads)
        terminal.send(b"?")
        await terminal.shows("Help")
        terminal.send(b"q")
        assert await terminal.ended() == 0
        assert terminal.attributes() == terminal.before


async def _fill(engine: ConsoleEngine, terminal: Terminal) -> None:
    """Let the terminal stall while there is far more to draw than it and the queue before it can hold."""
    terminal.stall()
    flips = ("running", "paused", "cancelling")
    for turn in range(120):
        engine.world.runs = [
            msgspec.structs.replace(row, status=flips[(turn + at) % 3], workflow=f"w{turn}-{at}")
            for at, row in enumerate(ingest().runs * 5)
        ]
        engine.world.runs = [msgspec.structs.replace(row, run=f"r{at + 1}") for at, row in enumerate(engine.world.runs)]
        engine.publish()
        await asyncio.sleep(0.035)


@pytest.mark.asyncio
async def test_a_stalled_terminal_does_not_hold_up_the_console(tmp_path: Path) -> None:
    async with engine_on(tmp_path, ingest()) as engine, terminal_on(tmp_path) as terminal:
        await terminal.shows("ingest-daily")
        await _fill(engine, terminal)
        before = sum(isinstance(request, Subscribe) for request in engine.requests)
        engine.publish(skip=1)
        await until(lambda: sum(isinstance(request, Subscribe) for request in engine.requests) > before, 1.0)
        terminal.read_on()
        await terminal.shows("w119-0")
        terminal.send(b"q")
        assert await terminal.ended() == 0


def test_over_ssh_there_are_fewer_frames_and_what_the_operator_set_stays() -> None:
    here: dict[str, str] = {}
    prepare(here)
    away = {"SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22", "TEXTUAL_ANIMATIONS": "full"}
    prepare(away)
    assert here["TEXTUAL_ANIMATIONS"] == "none"
    assert away["TEXTUAL_FPS"] == "20"
    assert away["TEXTUAL_ANIMATIONS"] == "full"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LANG": "C.UTF-8"}, True),
        ({"LANG": "de_DE.utf8"}, True),
        ({"LANG": "C"}, False),
        ({}, False),
        ({"LANG": "C.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "C.UTF-8", "TERM": "linux"}, False),
    ],
)
def test_the_locale_decides_about_glyphs(environment: dict[str, str], expected: bool) -> None:
    assert speaks_utf8(environment) is expected


def test_the_backlog_of_the_driver_that_textual_has_today_is_known(tmp_path: Path) -> None:
    from textual.drivers._writer_thread import WriterThread

    class Driver:
        _writer_thread = WriterThread((tmp_path / "out").open("w"))

    try:
        assert backlog(Driver()) == 0
        Driver._writer_thread.write("x")
        Driver._writer_thread.write("y")
        assert backlog(Driver()) == 2
        assert backlog(object()) == 0
    finally:
        Driver._writer_thread._file.close()
