"""Orders on success: a launcher starts what follows an attempt only if that has succeeded, and asks nobody."""

from typing import Any

import pytest

from engine.core.events import AttemptNeverStarted
from engine.execution.queue import NO_SUCCESS
from engine.model.status import OutcomeKind
from engine.model.workflow import Python

pytestmark = pytest.mark.trio


def _chain(world: Any, *scripts: str) -> list[int]:
    """Attempts each of which is to follow the success of the one before."""
    orders = [world.order(scripts[0])]
    for script in scripts[1:]:
        orders.append(world.order(script, claim_from=orders[-1].attempt, on_success=True))
    world.executor.start(orders)
    return [order.attempt for order in orders]


async def _returned(world: Any, attempt: int, why: str = NO_SUCCESS) -> None:
    await world.until(lambda: AttemptNeverStarted(attempt, why) in world.events, f"attempt {attempt} to come back")


async def test_a_chain_runs_by_itself_in_its_order(world: Any) -> None:
    *_, last = _chain(world, *(f"echo {n} >> order" for n in range(20)))
    assert (await world.end(last)).outcome.kind is OutcomeKind.SUCCEEDED
    assert world.file("order").read_text().split() == [str(n) for n in range(20)]


@pytest.mark.parametrize(
    "end", ["exit 3", "kill -9 $$", "echo '{broken' > $ORCHCTL_RESULT", "echo 1 > $ORCHCTL_RESULT"]
)
async def test_what_follows_is_given_back_where_that_is_not_a_plain_success(world: Any, end: str) -> None:
    _, second, third = _chain(world, end, "touch second", "touch third")
    await _returned(world, third)
    await _returned(world, second)
    assert not world.file("second").exists()
    assert not world.file("third").exists()


async def test_a_stopped_attempt_gives_back_what_follows_it(world: Any) -> None:
    first, second = _chain(world, "sleep 600", "touch second")
    await world.started(first)
    world.stop(first)
    await _returned(world, second)
    assert not world.file("second").exists()


async def test_what_follows_a_recalled_order_on_success_is_given_back_too(world: Any) -> None:
    first, second, third = _chain(world, "sleep 600", "touch second", "touch third")
    await world.started(first)
    world.executor.recall([second])
    await _returned(world, second, "recalled: the attempt before it takes long")
    await _returned(world, third)
    world.stop(first, kill=True)
    await world.end(first)


async def test_an_order_that_comes_after_the_end_looks_at_how_that_was(world: Any) -> None:
    """The end was not acknowledged yet, so the launcher still knows it."""
    good, bad = world.start("true"), world.start("false")
    await world.end(good)
    await world.end(bad)
    after_good = world.order("touch good", claim_from=good, on_success=True)
    after_bad = world.order("touch bad", claim_from=bad, on_success=True)
    world.executor.start([after_good, after_bad])
    await _returned(world, after_bad.attempt)
    assert not world.file("bad").exists()


async def test_nobody_knows_how_an_attempt_ended_that_was_forgotten(world: Any) -> None:
    late = world.start("touch late", claim_from=77, on_success=True)
    await _returned(world, late)
    assert not world.file("late").exists()


async def test_python_follows_a_process_and_the_other_way_round(world: Any) -> None:
    world.file("m.py").write_text("def f(n):\n    open('order', 'a').write(f'{n}\\n')\n")
    first = world.order("echo 0 >> order")
    second = world.order(Python("m:f", args={"n": 1}), claim_from=first.attempt, on_success=True)
    third = world.order(Python("m:f", args={"n": 2}), claim_from=second.attempt, on_success=True)
    fourth = world.order("echo 3 >> order", claim_from=third.attempt, on_success=True)
    world.executor.start([first, second, third, fourth])
    assert (await world.end(fourth.attempt)).outcome.kind is OutcomeKind.SUCCEEDED
    assert world.file("order").read_text().split() == ["0", "1", "2", "3"]
