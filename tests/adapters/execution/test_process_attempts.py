"""Attempts that are processes: how they begin, what they are given, and how they end."""

from typing import Any

import pytest

from engine.model.status import OutcomeKind

pytestmark = pytest.mark.trio


async def test_an_exit_code_of_zero_is_success_and_any_other_is_failure(world: Any) -> None:
    good, bad = world.start(["true"]), world.start(["sh", "-c", "exit 3"])
    assert (await world.end(good)).outcome.kind is OutcomeKind.SUCCEEDED
    ended = await world.end(bad)
    assert (ended.outcome.kind, ended.outcome.exit_code) == (OutcomeKind.FAILED, 3)
