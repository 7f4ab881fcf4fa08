"""The gate, the tickets and the shelf: small parts with an order that matters."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from engine.core.effects import Answer
from engine.model.errors import Unavailable
from engine.model.workflow import Workflow
from engine.server.gate import Gate
from engine.server.look import Shelf
from engine.server.shape import Layout, PlanFacts, Plans
from engine.server.tickets import Tickets
from tests.unit.server.house import House, tasks_of


@pytest.mark.trio
async def test_a_look_waits_until_the_state_is_settled_and_happens_right_then() -> None:
    settled = False
    gate = Gate(lambda: settled)
    seen: list[str] = []

    async def look(name: str) -> None:
        await gate.look(lambda: seen.append(name))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look, "first")
        await wait_all_tasks_blocked()
        nursery.start_soon(look, "second")
        await wait_all_tasks_blocked()
        assert seen == []
        gate.opened()  # the state may be unsettled again before any waiting task runs
        assert seen == ["first", "second"]
    settled = True
    await look("third")
    assert seen[-1] == "third"


@pytest.mark.trio
async def test_a_look_that_fails_fails_for_whoever_asked_and_a_given_up_one_is_not_called() -> None:
    gate = Gate(lambda: False)
    called: list[int] = []

    async def fails() -> None:
        with pytest.raises(KeyError):
            await gate.look(lambda: {}["x"])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fails)
        with trio.move_on_after(0):
            await gate.look(lambda: called.append(1))
        await wait_all_tasks_blocked()
        gate.opened()
    assert called == []


@pytest.mark.trio
async def test_an_answer_reaches_its_ticket_once_and_late_ones_are_dropped() -> None:
    tickets = Tickets(2)
    one, two = tickets.issue(), tickets.issue()
    with pytest.raises(Unavailable):
        tickets.issue()
    tickets.give(Answer(one, body={"n": 1}))
    tickets.give(Answer(one, body={"n": 2}))
    assert (await tickets.wait(one)).body == {"n": 1}
    tickets.give(Answer(one, body={"n": 3}))
    with trio.move_on_after(0):
        await tickets.wait(two)
    tickets.give(Answer(two, body={}))
    with trio.fail_after(1):
        await tickets.all_given()
    assert tickets.issue() > two


def test_a_run_that_changed_while_it_was_loaded_is_not_kept() -> None:
    house = House()
    run = house.state.runs[house.begin(Workflow("w", tasks_of(("a", ""))))]
    shelf = Shelf()
    shelf.begin(1)
    shelf.drop(1)
    shelf.put(1, run)
    assert shelf.get(1) is None
    for number in range(1, 40):
        shelf.begin(number)
        shelf.put(number, run)
    assert shelf.get(39) is run
    assert shelf.get(1) is None


def test_facts_of_a_plan_are_found_again_but_not_those_of_another_object() -> None:
    house, other = House(), House()
    flow = Workflow("w", tasks_of(("a", ""), ("b", "a")))
    run, twin = house.state.runs[house.begin(flow)], other.state.runs[other.begin(flow)]
    plans = Plans()
    facts = plans.of(run.plan)
    assert plans.of(run.plan) is facts
    assert plans.of(twin.plan) is not facts


def test_positions_agree_with_walking_whatever_is_expanded() -> None:
    house = House()
    flow = Workflow(
        "w", tasks_of(("m0", "", []), ("a", ""), ("m1", "", [1]), ("m2", "a", [1, 2, 3]), ("z", "m2"), ("m3", "z", [1]))
    )
    number = house.begin(flow)
    for _ in range(3):
        run = house.state.runs[number]
        layout = Layout(run, PlanFacts(run.plan))
        everything = list(layout.from_position(0))
        assert len(everything) == layout.total
        for offset in range(layout.total + 1):
            assert list(layout.from_position(offset)) == everything[offset:]
        house.start(house.live(number)[0])
        house.end(house.live(number)[0])
