"""Diaries are bounded, and who writes to one goes on writing to it."""

import os
from pathlib import Path

from engine.execution.diary import KEPT, bound_diary


def test_a_full_diary_begins_anew_for_all_who_write_to_it_and_a_few_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    writers = [os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) for _ in range(2)]
    for life in range(6):
        for writer in writers:
            os.write(writer, b"%d" % life * 30)
        bound_diary(path, 50)
        assert path.read_bytes() == b""
    bound_diary(path, 50)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "engine.log",
        *(f"engine.log.{n + 1}" for n in range(KEPT)),
    ]
    assert [(tmp_path / f"engine.log.{n + 1}").read_bytes() for n in range(KEPT)] == [b"5" * 60, b"4" * 60, b"3" * 60]
    for writer in writers:
        os.close(writer)


def test_a_diary_that_is_not_full_or_not_there_or_cannot_be_kept_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    bound_diary(path, 50)
    path.write_bytes(b"x" * 49)
    bound_diary(path, 50)
    assert [file.name for file in tmp_path.iterdir()] == ["engine.log"]
    (tmp_path / "engine.log.2").write_bytes(b"older")
    (tmp_path / "engine.log.3").mkdir()
    path.write_bytes(b"x" * 50)
    bound_diary(path, 50)
    assert path.read_bytes() == b"x" * 50
