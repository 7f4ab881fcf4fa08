"""The spool keeps what a launcher must not forget, and knows when it was damaged."""

import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.execution.spool import Spool, SpoolFull, instance_of, unfinished


def end_of(attempt: int, **more: Any) -> dict[str, Any]:
    return {"a": attempt, "at": 1, "o": {"kind": "succeeded", "exit_code": 0}, **more}


def opened(path: Path, boot: str = "boot", **given: Any) -> Spool:
    return Spool(path, 7, boot, **given)


def test_intents_and_ends_survive_the_launcher(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    spool.begin([(1, 1), (2, 3)])
    spool.end([end_of(1, result='{"x": 1}')])
    spool.close()
    again = opened(tmp_path / "s")
    assert (again.open, again.exits) == ({2: 3}, {1: end_of(1, result='{"x": 1}')})
    assert not again.damaged
    assert not again.other_boot
    again.close()


def test_what_was_acknowledged_is_forgotten(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    spool.begin([(1, 1), (2, 1)])
    spool.end([end_of(1), end_of(2)])
    spool.forget([1, 99])
    spool.close()
    again = opened(tmp_path / "s")
    assert list(again.exits) == [2]
    again.close()


def test_an_intent_that_came_to_nothing_is_forgotten_at_once(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    spool.begin([(1, 1), (2, 1)])
    spool.forget([1])
    assert unfinished(tmp_path / "s", 7) == {2}
    spool.close()


def test_ends_and_intents_of_a_turn_are_written_in_one_piece_or_not_at_all(tmp_path: Path, no_more_than: Any) -> None:
    spool = opened(tmp_path / "s", capacity=65_536)
    spool.begin([(1, 1)])
    spool.write([end_of(1)], [(2, 1)])
    assert unfinished(tmp_path / "s", 7) == {2}
    no_more_than(65_536)
    with pytest.raises(SpoolFull):
        spool.write([end_of(2)], [(attempt, 1) for attempt in range(3, 3000)])
    assert unfinished(tmp_path / "s", 7) == {2}
    assert list(spool.exits) == [1]
    spool.close()


def test_a_spool_of_another_boot_says_so(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    spool.begin([(1, 1)])
    spool.close()
    again = opened(tmp_path / "s", "another boot")
    assert again.other_boot
    assert again.open == {1: 1}
    again.close()


def test_a_spool_of_another_instance_means_nothing(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    spool.begin([(1, 1)])
    spool.close()
    other = Spool(tmp_path / "s", 8, "boot")
    assert other.open == {}
    assert instance_of(tmp_path / "s") == 8
    other.close()


def test_others_can_look_while_it_is_written(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    spool.begin([(1, 1), (2, 1)])
    spool.end([end_of(1)])
    assert unfinished(tmp_path / "s", 7) == {2}
    assert unfinished(tmp_path / "s", 8) == set()
    assert unfinished(tmp_path / "none", 7) == set()
    spool.close()


def test_it_is_rewritten_when_full_and_loses_nothing(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s", capacity=4096)
    for attempt in range(1, 400):
        spool.begin([(attempt, 1)])
        spool.end([end_of(attempt)])
        if attempt % 10:
            spool.forget([attempt])
    spool.close()
    again = opened(tmp_path / "s")
    assert list(again.exits) == list(range(10, 400, 10))
    assert again.open == {}
    again.close()


def test_it_grows_when_more_is_alive_than_it_holds(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s", capacity=4096)
    spool.begin([(attempt, 1) for attempt in range(1000)])
    spool.close()
    again = opened(tmp_path / "s")
    assert len(again.open) == 1000
    again.close()


@pytest.mark.parametrize("cut", [1, 5, 11])
def test_a_torn_tail_is_detected(tmp_path: Path, cut: int) -> None:
    spool = opened(tmp_path / "s")
    spool.begin([(1, 1)])
    whole = (tmp_path / "s").read_bytes()
    spool.begin([(2, 1)])
    spool.close()
    data = bytearray((tmp_path / "s").read_bytes())
    end = len(whole.rstrip(b"\0"))
    start = end + -end % 8
    data[start + cut : start + 64] = bytes(64 - cut)
    (tmp_path / "s").write_bytes(data)
    again = opened(tmp_path / "s")
    assert again.damaged
    assert again.open == {1: 1}
    again.close()


def test_a_flipped_bit_in_the_middle_costs_that_record_only_and_is_remembered(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s")
    for attempt in (1, 2, 3):
        spool.begin([(attempt, 1)])
    spool.close()
    data = bytearray((tmp_path / "s").read_bytes())
    data[data.index(b'["i",2,1]') + 2] ^= 1
    (tmp_path / "s").write_bytes(data)
    again = opened(tmp_path / "s")
    assert again.damaged
    assert again.open == {1: 1, 3: 1}
    again.close()
    later = opened(tmp_path / "s")
    assert later.damaged
    later.settle()
    later.close()
    last = opened(tmp_path / "s")
    assert not last.damaged
    last.close()


def test_garbage_is_damage(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"not a spool at all" * 100)
    spool = opened(tmp_path / "s")
    assert spool.damaged
    spool.begin([(1, 1)])
    spool.close()


@pytest.fixture
def no_more_than() -> Iterator[Any]:
    """Lets files grow no further than so many bytes, as on a disk that is full."""
    previous = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, previous[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, previous)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_refuses_intents_and_keeps_what_there_is(tmp_path: Path, no_more_than: Any) -> None:
    spool = opened(tmp_path / "s", capacity=65_536)
    spool.begin([(1, 1)])
    no_more_than(65_536)
    with pytest.raises(SpoolFull):
        spool.begin([(attempt, 1) for attempt in range(2, 3000)])
    assert spool.open == {1: 1}
    spool.end([end_of(1, result="x" * 4000)])
    assert unfinished(tmp_path / "s", 7) == set()
    spool.close()
    again = opened(tmp_path / "s", capacity=65_536)
    assert list(again.exits) == [1]
    again.close()


def test_the_old_file_serves_on_when_there_is_no_room_for_a_new_one(tmp_path: Path, no_more_than: Any) -> None:
    spool = opened(tmp_path / "s", capacity=65_536)
    spool.begin([(1, 1)])
    spool.close()
    no_more_than(32_768)
    again = opened(tmp_path / "s", capacity=65_536)
    assert again.open == {1: 1}
    again.end([end_of(1)])
    assert list(again.exits) == [1]
    again.close()
