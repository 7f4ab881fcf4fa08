"""What the host has, who holds it and what waits for it."""

from engine.core.events import Ask, AttemptSuspended, HostSampled, RunPauseRequested, RunResumeRequested
from engine.model.host import GpuUse
from engine.model.resources import Capacity, Claim
from engine.model.workflow import Command, Policy, Task, Workflow
from engine.protocol.messages import ExplainRun, GetResources, ListGroups, ListQueue, ListTasks
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
    house.use = HostUse(gpus=(GpuUse("GPU-a", 87, 2**30), GpuUse("GPU-b"), GpuUse("GPU-not-ours", 5, 5)))
    row = rows(house, GetResources())[0]
    assert sorted(row["gpus"].values()) == [0.0, 1.0]
    assert row["gpus_used"] == {"GPU-a": {"busy": 87, "memory": 2**30}, "GPU-b": {"busy": None, "memory": None}}
    assert row["mutexes"] == {"lock": f"r{run} a"}
    assert (row["scratch"], row["scratch_claimed"]) == (2**30, 2**20)
    assert (row["cores"], row["cores_bound"]) == (2, 1)
    assert row["holders"][0]["owner"] == "data"
    assert (row["reservation"]["run"], row["reservation"]["row"]) == (f"r{run}", "wide")
    assert [owner["owner"] for owner in row["owners"]] == ["data"]
    assert row["owners"][0]["share"] == 0.5


def test_pressure_on_the_host_is_told_while_it_lasts() -> None:
    house = House(cpus=4)
    quiet = rows(house, GetResources())[0]
    assert (quiet["admission"], quiet["pressure"], quiet["cpus_others"]) == ("open", [], None)
    house.step(HostSampled(memory_available_bytes=8 * 2**30, memory_total_bytes=100 * 2**30))
    (told,) = rows(house, GetResources())[0]["pressure"]
    assert told == "memory: 8.00G available, the bound is 10.0G: one attempt starts a second"
    house.step(HostSampled(2**30, 100 * 2**30, cpu_foreign_milli=3000, cpu_total_milli=4000))
    row = rows(house, GetResources())[0]
    assert (row["admission"], row["cpus_others"]) == ("closed", 3.0)
    assert row["pressure"] == [
        "memory: 1.00G available, the bound is 5.00G: nothing starts",
        "cpu: others leave 1 free, the bound is 2: what others use counts as claimed",
    ]


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


def test_who_stands_still_for_whom_and_what_it_has_given_back_is_shown_everywhere() -> None:
    house = House(cpus=1)
    low = house.begin(Workflow("low", (Task("train", TRUE),), (Policy(priority=-1, preemption="suspend"),)))
    (attempt,) = house.live(low)
    house.start(attempt)
    high = house.begin(Workflow("high", (Task("serve", TRUE),)))
    house.step(AttemptSuspended(attempt.attempt, house.now_ns, 1))
    said = f"suspended for r{high} serve (higher priority)"
    assert [row["row"] for row in rows(house, GetResources())[0]["holders"]] == ["serve", "train"]
    held = rows(house, GetResources())[0]["holders"][1]
    assert (held["cpu"], held["released"], held["still"]) == (0.0, 1.0, said)
    assert rows(house, GetResources())[0]["cpus_claimed"] == 1.0
    task = rows(house, ListTasks(run=low))[0]
    assert (task["suspended"], task["why"]) == (True, said)
    assert rows(house, ListGroups(run=low))[0]["why"] == said
    (waits,) = rows(house, ListQueue())
    assert (waits["run"], waits["task"], waits["rank"], waits["rows"]) == (f"r{low}", "train", 1, 1)
    (why,) = rows(house, ExplainRun(run=low))
    assert [reason["kind"] for reason in why["reasons"]] == ["suspended", "capacity"]
    assert why == rows(house, ExplainRun(run=low, task="train", index=-1))[0]
    house.step(RunPauseRequested(Ask(), low, running=True))
    assert rows(house, ListTasks(run=low))[0]["why"] == "paused; others may have its CPUs"
    assert rows(house, ListQueue()) == []
    house.step(RunResumeRequested(Ask(), low))
    assert rows(house, ListTasks(run=low))[0]["why"] == "waits for its CPUs, to go on"
    house.finish(high)
    assert rows(house, ExplainRun(run=low)) == []
