"""logs: pieces of a log become lines that drive no terminal."""

import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from engine.protocol.messages import ListTasks, LogChunk, ReadLog
from tests.support.cli import command, on_terminal, orchctl
from tests.support.fake_engine import FakeEngine, rows_of
from tests.support.rows import task_row

HOSTILE = b"plain\n\x1b]52;c;eA==\x07\x1b[6n\x9b31m\r\ntab\there \xe2\x80\xaeevil\xff\nlast"
INERT = "plain\n\\x1b]52;c;eA==\\x07\\x1b[6n\\x9b31m\ntab\there \\u{202e}evil\\xff\nlast\n"


class Log:
    """A log that a fake engine serves as the real one does: by offset, in pieces of at most `piece` bytes."""

    def __init__(
        self, data: bytes, *, piece: int = 1 << 18, final: bool = True, number: int = 1, sentence: str = ""
    ) -> None:
        self.data = data
        self.piece = piece
        self.final = final
        self.number = number
        self.sentence = sentence

    def __call__(self, request: ReadLog) -> LogChunk:
        size = len(self.data)
        offset = max(0, size + request.offset) if request.offset < 0 else min(request.offset, size)
        data = self.data[offset : offset + min(self.piece, request.limit)]
        return LogChunk(
            data=data, offset=offset, size=size, number=self.number, final=self.final, sentence=self.sentence
        )


@pytest.fixture
def engine(tmp_path: Path) -> Generator[FakeEngine]:
    with FakeEngine(tmp_path) as fake:
        yield fake


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 1000])
def test_a_log_is_printed_inert_however_it_is_cut(engine: FakeEngine, piece: int) -> None:
    engine.answers[ReadLog] = Log(HOSTILE, piece=piece)
    result = orchctl(engine.home, "logs", "r12", "clean[3]", "--attempt", "2")
    assert (result.code, result.out) == (0, INERT)
    asked = engine.last(ReadLog)
    assert (asked.run, asked.task, asked.index) == (12, "clean", 3)
    assert next(request for request in engine.asked if isinstance(request, ReadLog)).number == 2


def test_an_attempt_that_wrote_nothing_says_how_it_ended_beside_the_output(engine: FakeEngine) -> None:
    engine.answers[ReadLog] = Log(b"", number=2, sentence="not_started: no such file: \x1b[6n")
    result = orchctl(engine.home, "logs", "r12", "clean[3]")
    assert (result.code, result.out) == (0, "")
    assert result.err == "attempt 2 of clean[3] wrote nothing: not_started: no such file: \\x1b[6n\n"
    engine.answers[ReadLog] = Log(b"", final=False)
    assert orchctl(engine.home, "logs", "r12", "clean").err == "attempt 1 of clean has written nothing yet\n"
    assert orchctl(engine.home, "logs", "r12", "clean", "--json").err == ""


def test_on_a_terminal_no_byte_of_a_log_is_alive(engine: FakeEngine) -> None:
    engine.answers[ReadLog] = Log(HOSTILE)
    with on_terminal(engine.home, "logs", "r12", "clean") as terminal:
        assert terminal.end() == 0
    assert b"\\x1b]52;c;eA==" in terminal.seen
    assert not set(terminal.seen) & (set(range(0x20)) - {0x09, 0x0A, 0x0D} | {0x7F, 0x9B})


def test_raw_gives_the_bytes_to_a_pipe(engine: FakeEngine) -> None:
    engine.answers[ReadLog] = Log(HOSTILE, piece=7)
    done = subprocess.run(
        command("--home", str(engine.home), "logs", "r12", "clean", "--raw"),
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == HOSTILE


def test_raw_is_refused_on_a_terminal(engine: FakeEngine) -> None:
    with on_terminal(engine.home, "logs", "r12", "clean", "--raw") as terminal:
        assert terminal.end() == 2
    assert b"--raw is not for a terminal" in terminal.seen
    assert engine.kinds() == []


def test_json_gives_an_object_a_line_with_its_offset(engine: FakeEngine) -> None:
    engine.answers[ReadLog] = Log(b"one\r\ntwo \xff\n\nend\x1b[1m", piece=4)
    result = orchctl(engine.home, "logs", "r12", "clean", "--json")
    assert result.rows == [
        {"attempt": 1, "offset": 0, "text": "one"},
        {"attempt": 1, "offset": 5, "text": "two \\xff"},
        {"attempt": 1, "offset": 11, "text": ""},
        {"attempt": 1, "offset": 12, "text": "end\x1b[1m"},
    ]
    assert "\x1b" not in result.out


def test_a_line_without_an_end_does_not_grow_in_memory(engine: FakeEngine) -> None:
    engine.answers[ReadLog] = Log(b"x" * 300_000, piece=50_000)
    rows = orchctl(engine.home, "logs", "r12", "clean", "--json").rows
    assert max(len(row["text"]) for row in rows) <= 1 << 16
    assert "".join(row["text"] for row in rows) == "x" * 300_000
    assert [row["offset"] for row in rows] == [n << 16 for n in range(len(rows))]


@pytest.mark.parametrize(
    ("data", "tail", "expected"),
    [
        (b"a\nb\nc\n", 2, "b\nc\n"),
        (b"a\nb\nc", 2, "b\nc\n"),
        (b"a\nb\nc\n", 9, "a\nb\nc\n"),
        (b"a\nb\nc\n", 0, ""),
        (b"", 3, ""),
        (b"\n\n\n", 2, "\n\n"),
        (b"only", 1, "only\n"),
    ],
)
def test_the_tail_begins_lines_before_the_end(engine: FakeEngine, data: bytes, tail: int, expected: str) -> None:
    engine.answers[ReadLog] = Log(data)
    assert orchctl(engine.home, "logs", "r12", "clean", "--tail", str(tail)).out == expected


def test_the_tail_of_a_long_log_is_found_piece_by_piece(engine: FakeEngine) -> None:
    lines = [f"line {n} {'x' * 90}\n" for n in range(20_000)]
    engine.answers[ReadLog] = Log("".join(lines).encode())
    out = orchctl(engine.home, "logs", "r12", "clean", "--tail", "6000").out
    assert out == "".join(lines[-6000:])


def test_following_goes_on_with_the_next_attempt_until_the_row_has_finished(engine: FakeEngine) -> None:
    logs = {1: Log(b"first try\n"), 2: Log(b"second try\n", number=2)}
    engine.answers[ReadLog] = lambda request: logs[request.number](request)
    engine.answers[ListTasks] = [
        rows_of(task_row(status="waiting", attempts=0)),
        rows_of(task_row(status="running", attempts=1)),
        rows_of(task_row(status="backing_off", attempts=1)),
        rows_of(task_row(status="succeeded", attempts=2)),
    ]
    result = orchctl(engine.home, "logs", "r12", "clean[3]", "-f")
    assert (result.code, result.out) == (0, "first try\nsecond try\n")
    assert "--- clean[3]: attempt 2 ---" in result.err


def test_following_one_attempt_ends_with_it(engine: FakeEngine) -> None:
    engine.answers[ListTasks] = rows_of(task_row(status="running", attempts=3))
    engine.answers[ReadLog] = Log(b"old\n", number=2)
    assert orchctl(engine.home, "logs", "r12", "clean[3]", "-f", "--attempt", "2").out == "old\n"


def test_following_survives_a_restart_of_the_engine(engine: FakeEngine) -> None:
    engine.answers[ListTasks] = rows_of(task_row(status="succeeded", attempts=1))
    whole = Log(b"before\nafter\n")
    begun = Log(b"before\n", final=False)
    engine.answers[ReadLog] = [begun, lambda _: None, whole]
    assert orchctl(engine.home, "logs", "r12", "clean[3]", "-f").out == "before\nafter\n"
    assert [request.offset for request in engine.asked if isinstance(request, ReadLog)] == [0, 7, 7]


def test_following_needs_one_row(engine: FakeEngine) -> None:
    engine.answers[ListTasks] = rows_of(task_row(index=0), task_row(index=1))
    result = orchctl(engine.home, "logs", "r12", "clean", "-f")
    assert result.code == 2
    assert "name one of them, such as clean[0]" in result.err


def test_a_reader_that_leaves_ends_the_verb_silently(engine: FakeEngine) -> None:
    engine.answers[ReadLog] = Log(b"line\n" * 200_000)
    process = subprocess.Popen(
        command("--home", str(engine.home), "logs", "r12", "clean"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"line\n"
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == b""
    process.stderr.close()
