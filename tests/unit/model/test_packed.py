"""Large workflows keep their tasks as bytes: nobody who uses them sees a difference."""

import tracemalloc

import msgspec
import pytest

from engine.definition.check import check
from engine.model.packed import Packed, Packer
from engine.model.workflow import Command, Need, Python, Shell, Source, Task, Workflow, decode, encode, version_of
from engine.planning.plan import Plan, make_plan


def several(count: int) -> tuple[Task, ...]:
    """Tasks of every kind; each fifth needs the one before, each seventh one that stands further down."""
    tasks: list[Task] = []
    for number in range(count):
        needs = (Need(f"t{number - 1}"),) if number % 5 == 1 else ()
        if number % 7 == 3 and number + 2 < count and (number + 2) % 5 != 1:
            needs += (Need(f"t{number + 2}"),)
        action = (
            Command(("echo", f"näme {number}")),
            Shell(f"echo {number}\ntrue"),
            Python("m:f", {"b": number, "a": [None, 1.5]}),
        )[number % 3]
        tasks.append(Task(f"t{number}", action, needs=needs, for_each=[1, "x"] if number % 11 == 0 else None))
    return tuple(tasks)


def large(count: int = 3_000) -> Workflow:
    return Workflow("large", several(count), source=Source("/w/large.yaml", "/w", "text"))


@pytest.mark.parametrize("count", [0, 1, 15, 16, 255, 256, 257, 3_000])
def test_packed_records_are_those_that_were_encoded(count: int) -> None:
    tasks = several(count)
    encoded = msgspec.msgpack.encode(tasks, order="deterministic")
    packed = Packer(Task).pack(msgspec.Raw(encoded))
    assert (tuple(packed), len(packed), packed.encoded()) == (tasks, count, encoded)
    assert [packed[number] for number in range(count)] == list(tasks)
    assert packed == tasks
    assert packed == Packer(Task).pack(msgspec.Raw(encoded))


def test_packed_records_are_found_as_in_a_tuple() -> None:
    tasks = several(2_500)
    packed = Packer(Task).pack(msgspec.Raw(msgspec.msgpack.encode(tasks)))
    assert (packed[-1], packed[-2_500], packed[7:1_200:3]) == (tasks[-1], tasks[0], list(tasks[7:1_200:3]))
    assert packed[2_000] is packed[2_000]
    for outside in (2_500, -2_501):
        with pytest.raises(IndexError):
            packed[outside]
    assert packed.mentions(b"t2499")
    assert not packed.mentions(b"t2500")
    assert packed != tasks[:-1]
    assert packed != (*tasks[:-1], Task("other", Command(("x",))))


def test_a_large_workflow_is_the_same_packed() -> None:
    workflow = large()
    packed = decode(encode(workflow))
    assert isinstance(packed.tasks, Packed)
    assert packed == workflow
    assert (encode(packed), version_of(packed)) == (encode(workflow), version_of(workflow))
    assert [fault.render() for fault in check(packed)] == [fault.render() for fault in check(workflow)] == []


def test_a_large_workflow_has_the_same_plan_packed() -> None:
    plain, packed = make_plan(large()), make_plan(decode(encode(large())))
    columns = [name for name in Plan.__slots__ if name not in ("tasks", "workflow", "_index")]
    assert {name: getattr(packed, name) for name in columns} == {name: getattr(plain, name) for name in columns}


def test_an_encoding_that_another_program_wrote_makes_the_same_version() -> None:
    workflow = large()
    fields = msgspec.msgpack.decode(encode(workflow))
    for task in fields["tasks"]:
        task.append("a field of a newer version")
        if isinstance(task[1][-1], dict):  # the arguments, in another order
            task[1][-1] = dict(reversed(task[1][-1].items()))
    assert encode(decode(msgspec.msgpack.encode(fields))) == encode(workflow)


def test_a_task_that_is_slow_to_make_is_not_packed() -> None:
    workflow = Workflow("w", (*several(2_000), Task("long", Command(("x",)), for_each=list(range(100_000)))))
    decoded = decode(encode(workflow))
    assert isinstance(decoded.tasks, tuple)
    assert decoded == workflow


def test_faults_of_a_packed_workflow_are_told_as_of_any_other() -> None:
    tasks = (*several(2_000), Task("../t", Command(("",)), needs=(Need("t1999"), Need("nowhere"))), several(1)[0])
    bad = Workflow("large", tasks, source=Source("/w/large.yaml", "/w"))
    told = [fault.render() for fault in check(bad)]
    assert told == [fault.render() for fault in check(decode(encode(bad)))]
    assert len(told) == 2
    command = Command(("x",))
    wrong = (
        Task("x", command, needs=(Need("y"),)),
        Task("y", command, needs=(Need("x"),)),
        Task("z", command, needs=(Need("nowhere"),)),
        Task("t0", command),
    )
    bad = Workflow("large", (*several(2_000), *wrong), source=Source("/w/large.yaml", "/w"))
    told = [fault.render() for fault in check(decode(encode(bad)))]
    assert told == [fault.render() for fault in check(bad)]
    assert len(told) == 3
    assert all(words in "\n".join(told) for words in ("there twice", "no task 'nowhere'", "y -> x -> y"))


@pytest.mark.parametrize("damage", [b"\xc1", b"\xdd\xff\xff\xff\xff"])
def test_bytes_that_are_no_tasks_are_refused(damage: bytes) -> None:
    good = encode(large())
    at = good.index(b"\xa5tasks") + 6
    with pytest.raises(ValueError, match=r"."):
        decode(good[:at] + damage + good[at + len(damage) :])
    fields = msgspec.msgpack.decode(good)
    fields["tasks"][1_500][0] = 7
    with pytest.raises(ValueError, match=r"Expected `str`"):
        decode(msgspec.msgpack.encode(fields))


def test_a_large_workflow_and_its_plan_take_few_bytes_a_task() -> None:
    encoded = encode(Workflow("w", tuple(Task(f"t{n}", Command(("/bin/true",))) for n in range(20_000))))
    tracemalloc.start()
    try:
        plan = make_plan(decode(encoded))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / len(plan) < 180
