"""What the host has, who holds it and what waits for it."""

from engine.core.events import HostSampled
from engine.model.resources import Capacity, Claim
from engine.model.workflow import Command, Policy, Task, Workflow
from engine.protocol.messages import (
    GetResources,
    ListQueue,
)
from engine.server.ports import HostUse
from tests.unit.server.house import TRUE, House, tasks_of
from tests.unit.server.test_queries import page, rows


def test_resources_add_up_what_live_attempts_claim() -> None:
    house = House(cpus=4, pools=(("db", 3),))
    policies = (Policy(claim=Claim(1500, 2**20, (("db", 2),))), Policy(claim=Claim(500, 0, (("own", 1),))))
    flow = Workflow(
        "w", (Task("a", TRUE), Task("b", TRUE), Task("c", Command(("x",)), policy=1)), policies, pools=(("own", 5),)
    )
    run = house.begin(flow)
    first = house.live(run)[0]
    house.use = HostUse(1.5, 2**30, 2**29, 0.25, {first.attempt: 777})
    row = rows(house, GetResources())[0]
    assert (row["cpus"], row["cpus_claimed"], row["cpus_used"], row["memory_claimed"]) == (4.0, 2.0, 1.5, 2**20)
    assert row["pools"] == {"db": {"slots": 3, "claimed": 2}, "w/own": {"slots": 5, "claimed": 1}}
    assert (row["running"], row["ready"]) == (2, 1)
    held = row["holders"][0]
    assert (held["row"], held["run"], held["cpu"], held["memory"]) == ("a", f"r{run}", 1.5, 2**20)
    assert (held["pools"], held["rss"], held["since"] is not None) == ({"db": 2}, 777, True)


def test_resources_name_gpus_mutexes_pins_scratch_owners_and_the_reservation() -> None:
    capacity = Capacity(
        4000, 2**30, scratch_bytes=2**30, gpus=(("GPU-a", 0), ("GPU-b", 0)), cores=((0, (0, 1)), (0, (2, 3)))
    )
    house = House(capacity=capacity)
    policies = (
        Policy(claim=Claim(1000, 0, (), 1000, 2**20, ("lock",), "core")),
        Policy(claim=Claim(4000)),
    )
    flow = Workflow("w", (Task("a", TRUE), Task("wide", TRUE, policy=1)), policies, owner="data")
    run = house.begin(flow)
    row = rows(house, GetResources())[0]
    assert sorted(row["gpus"].values()) == [0.0, 1.0]
    assert row["mutexes"] == {"lock": f"r{run} a"}
    assert (row["scratch"], row["scratch_claimed"]) == (2**30, 2**20)
    assert (row["cores"], row["cores_bound"]) == (2, 1)
    assert row["holders"][0]["owner"] == "data"
    assert (row["reservation"]["run"], row["reservation"]["row"]) == (f"r{run}", "wide")
    assert [owner["owner"] for owner in row["owners"]] == ["data"]
    assert row["owners"][0]["share"] == 0.5


def test_resources_tell_of_the_pressure_while_there_is_some() -> None:
    house = House(cpus=4)
    quiet = rows(house, GetResources())[0]
    assert (quiet["admission"], quiet["pressure"], quiet["cpus_others"]) == ("open", [], None)
    house.step(HostSampled(cpu_foreign_milli=3000, cpu_total_milli=4000))
    row = rows(house, GetResources())[0]
    assert (row["admission"], row["cpus_others"]) == ("slow", 3.0)
    assert row["pressure"] == ["cpu: others leave 1, the bound is 2: what others use counts as claimed"]


def test_the_queue_is_a_window_over_stretches_of_rows_with_ranks_and_reasons() -> None:
    house = House(cpus=1)
    flow = Workflow("w", tasks_of(("a", "", [1, 2, 3]), ("b", "")), owner="data")
    run = house.begin(flow)
    assert page(house, ListQueue(limit=1)).total == 2
    first, second = rows(house, ListQueue())
    assert [first["rank"], second["rank"]] == [1, 1 + first["rows"]]
    assert {first["run"], second["run"]} == {f"r{run}"}
    assert first["claim"]["cpu"] == 1.0
    assert first["reasons"][0]["resource"] == "cpu"
    assert first["reasons"][0]["holders"]
    assert [row["rank"] for row in rows(house, ListQueue(offset=1))] == [second["rank"]]
