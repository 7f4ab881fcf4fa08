"""Workflows from the wire: right types, any values. None may pass that the engine could not run."""

import time
from typing import Any

import pytest
from msgspec.structs import replace

from engine.definition.check import check
from engine.definition.graph import cycles
from engine.model.campaign import Campaign
from engine.model.resources import Claim
from engine.model.workflow import (
    Command,
    Need,
    Param,
    Policy,
    Python,
    Quota,
    Retry,
    Schedule,
    Shell,
    Source,
    Stop,
    Task,
    Workflow,
)  # fmt: skip

TASK = Task("a", Command(("true",)))
GOOD = Workflow("w", (TASK,), source=Source("/x/w.yaml", "/x"))


def with_task(**changes: Any) -> Workflow:
    return replace(GOOD, tasks=(replace(TASK, **changes),))


def with_policy(**changes: Any) -> Workflow:
    return replace(GOOD, policies=(Policy(**changes),))


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_a_good_workflow_has_no_faults() -> None:
    assert check(GOOD) == []


@pytest.mark.parametrize(
    "workflow",
    [
        replace(GOOD, name="../w"),
        replace(GOOD, name=""),
        replace(GOOD, name="w" * 129),
        replace(GOOD, tasks=()),
        replace(GOOD, policies=()),
        replace(GOOD, source=Source("w.yaml", "relative")),
        replace(GOOD, source=Source("w.yaml", "/x\0y")),
        replace(GOOD, description="\x1b]0;x\x07"),
        replace(GOOD, pools=(("p", 0),)),
        replace(GOOD, pools=(("p", 1), ("p", 2))),
        replace(GOOD, params=(Param("p"), Param("p"))),
        replace(GOOD, params=(Param("p", "integer", "x"),)),
        replace(GOOD, params=(Param("p", "list", deep(100)),)),
        replace(GOOD, schedules=(Schedule(),)),
        replace(GOOD, schedules=(Schedule(cron="* * * * *", interval_ns=10**10),)),
        replace(GOOD, schedules=(Schedule(interval_ns=5),)),
        replace(GOOD, schedules=(Schedule(cron="* * * * *", timezone="\0"),)),
        replace(GOOD, schedules=(Schedule(cron="* " * 100_000),)),
        replace(GOOD, schedules=(Schedule(interval_ns=10**10),) * 101),
        replace(GOOD, tasks=(TASK, TASK)),
        with_task(name="a\x1b[31m"),
        with_task(name="/etc/passwd"),
        with_task(policy=1),
        with_task(policy=-1),
        with_task(action=Command(())),
        with_task(action=Command(("",))),
        with_task(action=Command(("x", "a\0b"))),
        with_task(action=Command(("x", "\ud800"))),
        with_task(action=Shell("")),
        with_task(action=Shell("x" * (2**20 + 1))),
        with_task(action=Shell('echo "{{ run.id }}"')),
        with_task(action=Python("x")),
        with_task(action=Python("m:f", {"a": b"bytes"})),
        with_task(action=Python("m:f", {"a": float("nan")})),
        with_task(action=Python("m:f", {"a": deep(1_000)})),
        with_task(action=Python("m:f", {"a": {1: 2}})),
        with_task(for_each=5),
        with_task(for_each=deep(100)),
        with_task(for_each=[2**64]),
        with_task(for_each="{{ range(2000000) }}"),
        with_task(for_each="no expression"),
        with_task(max_parallel=-1),
        with_task(tolerate=-1),
        with_task(tolerate_percent=float("nan")),
        with_task(needs=(Need("a"),)),
        with_task(needs=(Need("b"),)),
        with_task(teardown_for=("a",)),
        with_task(when="''.__class__"),
        with_task(campaign=Campaign(trials=1, noise=(("loud", 0.5),))),
        with_task(campaign=Campaign(trials=1, noise=(("io", 1.5),))),
        with_task(campaign=Campaign(trials=1, noise=(("io", float("nan")),))),
        with_task(campaign=Campaign(trials=1, noise=(("looks", 1e9),))),
        with_task(campaign=Campaign(trials=1, noise=(("io", 0.5), ("io", 0.6)))),
        with_task(campaign=Campaign(noise=(("io", 0.5),))),
        with_policy(priority=1_001),
        with_policy(claim=Claim(-1)),
        with_policy(claim=Claim(1, 0, (("b", 1), ("a", 1)))),
        with_policy(claim=Claim(1, 0, (("p", 0),))),
        with_policy(quota=Quota(wall_ns=-1)),
        with_policy(retry=Retry(limit=10**9)),
        with_policy(retry=Retry(backoff=float("inf"))),
        with_policy(retry=Retry(on=("lost",))),
        with_policy(retry=Retry(grow=(("memory", 0.5),))),
        with_policy(stop=Stop(signal=0)),
        with_policy(stop=Stop(grace_ns=2**70)),
        with_policy(env=(("A=B", "x"),)),
        with_policy(env=(("ORCHCTL_RUN", "x"),)),
        with_policy(env=(("A", "x\0"),)),
        with_policy(dir="a\0"),
        with_policy(dir="{{ nothing }}"),
    ],
    ids=lambda workflow: "",
)
def test_a_workflow_out_of_bounds_is_refused(workflow: Workflow) -> None:
    faults = check(workflow)
    assert faults
    assert all(fault.render().isprintable() for fault in faults)


def test_a_hundred_thousand_tasks_in_a_chain_are_checked_in_about_a_second() -> None:
    tasks = tuple(
        Task(f"t{i}", Command(("x", f"--n={i}", "{{ params.day }}")), needs=(Need(f"t{i - 1}"),) if i else ())
        for i in range(100_000)
    )
    began = time.process_time()
    assert check(replace(GOOD, tasks=tasks, params=(Param("day"),))) == []
    assert time.process_time() - began < 4


def test_a_cycle_of_a_hundred_thousand_tasks_is_named_in_short() -> None:
    tasks = tuple(Task(f"t{i}", Command(("x",)), needs=(Need(f"t{(i - 1) % 100_000}"),)) for i in range(100_000))
    (fault,) = check(replace(GOOD, tasks=tasks))
    assert "-> ... ->" in fault.message
    assert len(fault.message) < 1_000


def test_one_cycle_is_found_for_each_knot() -> None:
    found = cycles([[1], [0], [3], [4], [2], [0], []])
    assert [sorted(cycle) for cycle in found] == [[0, 1], [2, 3, 4]]
    for cycle, parents in zip(found, ([[1], [0]], [[3], [4], [2]]), strict=True):
        low = min(cycle)
        for before, after in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert before in parents[after - low]
    assert cycles([[], [0], [0, 1]]) == []


def test_what_could_give_nothing_back_cannot_be_suspended() -> None:
    alone, trials = Policy(claim=Claim(exclusive=True), preemption="suspend"), Policy(preemption="suspend")
    tasks = (Task("a", Command(("x",))), Task("b", Command(("x",)), policy=1, campaign=Campaign(trials=3)))
    first, second = check(replace(GOOD, tasks=tasks, policies=(alone, trials)))
    assert "a is exclusive: who has the host alone cannot be suspended" in first.message
    assert "b has trials" in second.message
    assert "requeue" in first.hint
    assert check(replace(GOOD, tasks=tasks[:1], policies=(trials,))) == []
