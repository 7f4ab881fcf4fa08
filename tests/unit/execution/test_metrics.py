"""What a task says of itself, however badly it says it."""

import signal
from pathlib import Path

import pytest

from engine.execution.metrics import REPORT_BYTES_MAX, SEARCH_S, VALUES_MAX, Values, read_report, read_slice, search_log


def report(data: bytes) -> tuple[dict[str, float], list[str]]:
    found = Values()
    read_report(data, found)
    return found.values, found.all_notes()


def test_lines_are_objects_of_names_and_numbers_and_the_last_of_a_name_counts() -> None:
    assert report(b'{"a": 1, "b.c-d": 2.5}\n\n{"a": 3}') == ({"a": 3.0, "b.c-d": 2.5}, [])


@pytest.mark.parametrize(
    ("line", "note"),
    [
        (b"rubbish", "line 1 of the report is no JSON object"),
        (b"[1]", "line 1 of the report is no JSON object"),
        (b'\xff{"a": 1}', "line 1 of the report is no JSON object"),
        (b"[" * 50_000, "line 1 of the report is no JSON object"),
        (b'{"a": "1"}', "line 1 of the report: a is no number"),
        (b'{"a": true}', "line 1 of the report: a is no number"),
        (b'{"a": null}', "line 1 of the report: a is no number"),
        (b'{"a": NaN}', "line 1 of the report: a is not finite"),
        (b'{"a": 1e999}', "line 1 of the report: a is not finite"),
        (b'{"a": 1' + b"0" * 400 + b"}", "line 1 of the report: a is not finite"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "line 1 of the report is no JSON object"),
        (b'{"a b": 1}', "line 1 of the report: 'a b' is no name of a metric"),
        (b'{"\x1b[31m": 1}', "line 1 of the report is no JSON object"),
        (b'{"\\u001b[31m": 1}', "line 1 of the report: '\\x1b[31m' is no name of a metric"),
        (b'{"": 1}', "line 1 of the report: '' is no name of a metric"),
        (b'{"cpu": 1}', "line 1 of the report: cpu is measured of every attempt and cannot be reported"),
    ],
)
def test_a_bad_line_is_noted_and_the_others_count(line: bytes, note: str) -> None:
    assert report(line + b'\n{"good": 1}\n') == ({"good": 1.0}, [note])


def test_many_faults_are_counted_not_listed() -> None:
    values, notes = report(b"x\n" * 1000)
    assert not values
    assert len(notes) == 6
    assert notes[-1] == "and 995 further faults"


def test_no_more_names_than_the_bound_are_kept_and_known_ones_still_change() -> None:
    lines = b"".join(b'{"m%d": 1}\n' % number for number in range(VALUES_MAX + 3)) + b'{"m0": 2}\n'
    values, notes = report(lines)
    assert len(values) == VALUES_MAX
    assert values["m0"] == 2
    assert notes == [
        f"line {VALUES_MAX + n} of the report: there are more than {VALUES_MAX} metrics" for n in (1, 2, 3)
    ]


def test_a_report_beyond_the_bound_is_cut_at_the_end_of_a_line() -> None:
    line = b'{"a": 1, "pad": 1}\n'
    values, notes = report(b'{"first": 1}\n' + line * (REPORT_BYTES_MAX // len(line) + 1))
    assert values == {"first": 1.0, "a": 1.0, "pad": 1.0}
    assert notes == ["the report was cut at 64 KiB"]
    assert report(b"x" * (REPORT_BYTES_MAX + 1)) == ({}, ["the report was cut at 64 KiB"])


def search(text: str, *patterns: tuple[str, str]) -> tuple[dict[str, float], list[str]]:
    found = Values()
    search_log(text, patterns, found)
    return found.values, found.all_notes()


def test_the_last_match_of_each_expression_counts() -> None:
    log = "rate 1.5 MB/s\nrate 2.5e3 MB/s\ntotal 1,234,567 bytes\n"
    found = search(log, ("rate", r"^rate (\S+)"), ("total", r"total ([\d,]+)"))
    assert found == ({"rate": 2500.0, "total": 1234567.0}, [])


def test_what_an_expression_does_not_find_or_cannot_read_is_noted() -> None:
    found = search("rate: fast\n\n", ("rate", r"rate: (\w+)"), ("none", r"(\d+)"), ("maybe", r"rate(\d)?"))
    assert found[0] == {}
    assert found[1] == [
        "rate: 'fast' in the log is no number", "none: nothing in the log matches",
        "maybe: '' in the log is no number",
    ]  # fmt: skip


def test_an_endless_search_is_ended_and_noted_and_leaves_no_alarm() -> None:
    before = signal.getsignal(signal.SIGALRM)
    values, notes = search("n 1\n" + "a" * 60, ("n", r"n (\d)"), ("slow", r"((?:a+)+)$b"), ("n2", r"n (\d)"))
    assert values == {"n": 1.0}
    assert notes == [f"slow: its regular expression took longer than {SEARCH_S:g} s on the log"]
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_only_a_plain_file_s_slice_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"0123456789")
    assert read_slice(str(path), 2, 3) == b"234"
    (tmp_path / "link").symlink_to(path)
    assert read_slice(str(tmp_path / "link"), 0, 3) == b""
    assert read_slice(str(tmp_path / "none"), 0, 3) == b""
    assert read_slice(str(tmp_path), 0, 3) == b""
