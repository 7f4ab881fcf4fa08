"""Moments as people write them."""

import time
from collections.abc import Iterator

import pytest

from engine.model.errors import ValueFault
from engine.model.instants import from_text
from engine.protocol.messages import GetMoment
from orchctl.moments import moment_named

NOW_NS = from_text("2026-11-23T10:33:20Z")


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-23T08:00:00Z", "2026-11-23T08:00:00.000000Z"),
        ("2026-11-23T09:00:00+01:00", "2026-11-23T08:00:00.000000Z"),
        ("10m", "2026-11-23T10:23:20.000000Z"),
        (" 1.5s ", "2026-11-23T10:33:18.500000Z"),
        ("11:00", "2026-11-23T10:00:00.000000Z"),
        ("11:33:20", "2026-11-23T10:33:20.000000Z"),
        ("11:34", "2026-11-22T10:34:00.000000Z"),
    ],
)
def test_an_instant_a_duration_and_the_last_time_of_that_name_are_moments(text: str, at: str) -> None:
    assert moment_named(7, text, NOW_NS) == GetMoment(run=7, at=at)


def test_digits_are_a_revision() -> None:
    assert moment_named(7, "1042", NOW_NS) == GetMoment(run=7, revision=1042)


@pytest.mark.parametrize("text", ["", "soon", "25:00", "12:61", "0", "-3m", "9" * 30, "2026-11-23", "١٢:٠٠", "%"])
def test_what_names_no_moment_is_refused_with_what_does(text: str) -> None:
    with pytest.raises(ValueFault) as caught:
        moment_named(7, text, NOW_NS)
    assert "10m" in caught.value.hint
