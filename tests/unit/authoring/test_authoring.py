"""Workflows in Python: the same workflow as from YAML, the same faults, with the line of the call."""

import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.definition import registry
from engine.definition.load import parse_yaml
from engine.model.errors import DefinitionError
from engine.model.workflow import Command, Need, version_of
from orchctl import task, workflow


@pytest.fixture(autouse=True)
def _forget_what_was_defined():
    registry.take()
    yield
    registry.take()


def test_python_and_yaml_make_the_same_workflow() -> None:
    with workflow(
        "orders",
        schedule={"cron": "15 2 * * *", "timezone": "Europe/Berlin"},
        params={"day": {"type": "date", "default": "{{ partition }}"}, "since": date(2026, 1, 1)},
        pools={"warehouse": 4},
        defaults={"retry": 2, "env": {"A": 1}},
    ) as orders:
        extract = task("extract", run=["./x.sh", "{{ params.day }}", 5], claim={"cpu": 2, "pools": {"warehouse"}})
        clean = task("clean", python="m:clean", args={"n": (1, 2)}, needs=[extract], for_each=range(64), tolerate="5%")
        task("pair", run="./y.sh", for_each=range(64), needs=[{"task": clean, "same_index": True}, "extract"])
        task("last", run="./z.sh a", needs=clean, quota={"wall": timedelta(minutes=5)}, dir=Path("/tmp"))
        task("try", run=["t", "{{ item.n }}"], matrix={"n": range(2), "s": ("a",)}, trials=3, metrics={"size": "B"})
    text = """\
name: orders
schedule: {cron: "15 2 * * *", timezone: Europe/Berlin}
params: {day: {type: date, default: "{{ partition }}"}, since: 2026-01-01}
pools: {warehouse: 4}
defaults: {retry: 2, env: {A: 1}}
tasks:
  extract: {run: ["./x.sh", "{{ params.day }}", 5], claim: {cpu: 2, pools: [warehouse]}}
  clean: {python: "m:clean", args: {n: [1, 2]}, needs: extract, for_each: "{{ range(0, 64, 1) }}", tolerate: 5%}
  pair: {run: ./y.sh, for_each: "{{ range(0, 64, 1) }}", needs: [{task: clean, same_index: true}, extract]}
  last: {run: ./z.sh a, needs: clean, quota: {wall: 5m}, dir: /tmp}
  try: {run: [t, "{{ item.n }}"], matrix: {n: [0, 1], s: [a]}, trials: 3, metrics: {size: B}}
"""
    other = parse_yaml(text, "x.yaml", orders.workflow.source.folder)
    assert replace(orders.workflow, source=other.source) == other
    assert version_of(orders.workflow) == version_of(other)


def test_a_workflow_knows_its_file_and_is_named_after_it_without_a_name() -> None:
    with workflow() as wf:
        task("a", run="x")
    assert wf.workflow.name == "test_authoring"
    assert wf.workflow.source.folder == str(Path(__file__).parent)
    assert [defined.workflow for defined in registry.take()] == [wf.workflow]


def test_faults_name_the_line_of_the_call_and_come_at_once() -> None:
    def define() -> None:
        with workflow("w", pols={"p": 1}):
            task("a", rnu="x")
            task("b", run="x", needs=["aa"], retry={"limt": 3})
            task("b", run="y")
            task("../c", run="{{ item }}")

    with pytest.raises(DefinitionError) as caught:
        define()
    line = define.__code__.co_firstlineno + 1
    found = [(fault.line - line, fault.field, fault.hint) for fault in caught.value.faults]
    assert (0, "pols", "did you mean pools?") in found
    assert (1, "tasks.a.rnu", "did you mean run?") in found
    assert (2, "tasks.b.needs[0]", "did you mean a?") in found
    assert (2, "tasks.b.retry.limt", "did you mean limit?") in found
    assert any(at == 3 and field == "tasks.b" for at, field, _ in found)
    assert any(at == 4 and field == "tasks.../c" for at, field, _ in found)
    assert caught.value.faults[0].file == __file__
    assert registry.take() == []


def test_values_that_no_field_knows_are_refused_by_the_field() -> None:
    with pytest.raises(DefinitionError, match=r"tasks\.a\.run: a list of words"), workflow("w"):
        task("a", run=object())
    with pytest.raises(DefinitionError, match=r"tasks\.a\.args"), workflow("w"):
        task("a", python="m:f", args={"x": object()})
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(DefinitionError, match="nests deeper"), workflow("w"):
        task("a", python="m:f", args={"x": endless})


def test_tasks_and_workflows_out_of_place_are_refused() -> None:
    with pytest.raises(DefinitionError, match="belongs to no workflow"):
        task("a", run="x")
    with pytest.raises(DefinitionError, match="inside another"), workflow("w"), workflow("v"):
        pass
    with pytest.raises(DefinitionError, match="only after its block"):
        _ = workflow("w").workflow


def test_an_error_inside_the_block_passes_through_and_leaves_no_workflow_open() -> None:
    with pytest.raises(ZeroDivisionError), workflow("w"):
        _ = 1 / 0
    with workflow("v") as wf:
        task("a", run="x")
    assert [defined.workflow for defined in registry.take()] == [wf.workflow]


def test_a_hundred_thousand_tasks_take_a_loop_and_a_moment() -> None:
    began = time.process_time()
    with workflow("large") as wf:
        before = task("t0", run=["echo", "0"])
        for number in range(1, 100_000):
            before = task(f"t{number}", run=["echo", str(number)], needs=[before])
    assert time.process_time() - began < 6
    assert wf.workflow.tasks[-1].needs == (Need("t99998"),)
    assert wf.workflow.tasks[-1].action == Command(("echo", "99999"))


def test_importing_the_package_loads_nothing_of_the_authoring() -> None:
    code = "import sys, orchctl; sys.exit(any(m.startswith(('engine', 'yaml', 'orchctl.')) for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3]).returncode == 0
    with pytest.raises(ImportError):
        exec("from orchctl import nothing")


def test_a_value_that_nests_without_end_is_a_fault_of_its_field() -> None:
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    for fields in (
        {"claim": deep},
        {"env": {"A": deep}},
        {"for_each": deep},
        {"needs": deep},
        {"retry": {"limit": deep}},
    ):
        with pytest.raises(DefinitionError), workflow("w"):
            task("a", run="x", **fields)
