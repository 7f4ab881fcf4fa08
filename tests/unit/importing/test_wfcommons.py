"""Instances of WfCommons become workflows: the five real ones, and small ones with what real ones may hold."""

import gzip
import json
import resource
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.definition.load import parse_yaml
from engine.model.errors import EngineError, NotFound, ValueFault
from engine.model.ids import is_name
from orchctl.importing.wfcommons import INSTANCE_BYTES_MAX, convert, name_for, read_instance

FOLDER = Path(__file__).parents[4] / "shared" / "inputs" / "wfinstances"
INSTANCES = sorted(FOLDER.glob("*.json*")) if FOLDER.is_dir() else []
needs_instances = pytest.mark.skipif(not INSTANCES, reason="the shared inputs are not on this machine")


def instance(*tasks: dict[str, Any], executed: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    measured = [{"id": task["id"], "runtimeInSeconds": 1.0} for task in tasks] if executed is None else executed
    return {
        "name": "small",
        "schemaVersion": "1.5",
        "workflow": {"specification": {"tasks": list(tasks)}, "execution": {"tasks": measured}},
    }


def parsed(given: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The document of a conversion, which our own reader must accept as well as any other."""
    text = convert(given, **{"time_scale": 1.0, "work": "sleep", "name": "small", **options})
    document = yaml.safe_load(text)
    workflow = parse_yaml(text, "imported.yaml", "/")
    assert [task.name for task in workflow.tasks] == list(document["tasks"])
    return document


@needs_instances
@pytest.mark.parametrize("path", INSTANCES, ids=lambda path: path.name)
@pytest.mark.parametrize("work", ["sleep", "cpu"])
def test_a_real_instance_keeps_its_tasks_edges_times_and_claims(path: Path, work: str) -> None:
    given = read_instance(path)
    tasks = parsed(given, time_scale=0.01, work=work, name=name_for(path))["tasks"]
    specified = given["workflow"]["specification"]["tasks"]
    measured = {task["id"]: task for task in given["workflow"]["execution"]["tasks"]}
    assert list(tasks) == [task["id"] for task in specified]
    edges = {(parent, task["id"]) for task in specified for parent in task["parents"]}
    edges |= {(task["id"], child) for task in specified for child in task["children"]}
    assert {(parent, name) for name, task in tasks.items() for parent in task.get("needs", [])} == edges
    for name, task in tasks.items():
        record = measured[name]
        assert task["claim"]["cpu"] == record.get("coreCount", 1)
        assert task["claim"].get("memory", 0) == record.get("memoryInBytes", 0)
        if work == "sleep":
            program, seconds = task["run"]
            assert program == "sleep"
            assert float(seconds) == pytest.approx(record["runtimeInSeconds"] * 0.01, abs=1e-6)


@needs_instances
@pytest.mark.parametrize("path", INSTANCES, ids=lambda path: path.name)
def test_a_real_instance_is_a_valid_workflow(path: Path, tmp_path: Path) -> None:
    given = read_instance(path)
    for work in ("sleep", "cpu"):
        text = convert(given, time_scale=0.01, work=work, name=name_for(path))
        workflow = parse_yaml(text, "imported.yaml", str(tmp_path))
        assert [task.name for task in workflow.tasks] == [
            task["id"] for task in given["workflow"]["specification"]["tasks"]
        ]
        memory = [task.get("memoryInBytes", 0) for task in given["workflow"]["execution"]["tasks"]]
        claimed = [workflow.policies[task.policy].claim.memory_bytes for task in workflow.tasks]
        assert sorted(claimed) == sorted(memory)


def test_edges_written_at_one_end_only_count_and_at_both_ends_count_once() -> None:
    tasks = parsed(
        instance(
            {"id": "a", "children": ["b", "c"]},
            {"id": "b", "parents": ["a"]},
            {"id": "c"},
            {"id": "d", "parents": ["b", "c", "b"]},
        )
    )["tasks"]
    assert [task.get("needs") for task in tasks.values()] == [None, ["a"], ["a"], ["b", "c"]]


def test_ids_that_cannot_name_a_task_are_made_to_fit_and_stay_distinct() -> None:
    ids = [
        "split/x",
        "split x",
        "split_x",
        "../up",
        "名前",
        "-",
        "no",
        "007",
        "x" * 200,
        "x" * 201,
        "a\nb: [c",
        "a{{b}}",
    ]
    tasks = parsed(instance(*({"id": id_, "parents": ids[:1] if id_ != ids[0] else []} for id_ in ids)))["tasks"]
    names = list(tasks)
    assert len(set(names)) == len(ids)
    assert all(isinstance(name, str) and is_name(name) for name in names)
    assert names[2] == "split_x"
    assert names[6:8] == ["no", "007"]
    assert {task["needs"][0] for task in list(tasks.values())[1:]} == {names[0]}


def test_hostile_text_in_an_instance_stays_text() -> None:
    given = instance({"id": "a"})
    given["name"] = 'x"\ntasks: {evil: {run: rm}} # {{ params.x }} \x1b[31m \u2028 \udcff \x9b \x7f'
    document = parsed(given)
    assert list(document) == ["name", "description", "tags", "tasks"]
    assert list(document["tasks"]) == ["a"]
    assert "{{" not in document["description"]
    assert "\x1b" not in document["description"]


def test_a_task_without_an_execution_takes_no_time_and_the_file_says_so() -> None:
    given = instance({"id": "a"}, {"id": "b"}, executed=[{"id": "a", "runtimeInSeconds": 2.5}])
    text = convert(given, time_scale=2, work="sleep", name="small")
    assert "# 1 tasks have no recorded execution" in text
    tasks = yaml.safe_load(text)["tasks"]
    assert [task["run"] for task in tasks.values()] == [["sleep", "5"], ["sleep", "0"]]


def test_a_very_short_time_has_no_exponent() -> None:
    given = instance({"id": "a"}, executed=[{"id": "a", "runtimeInSeconds": 0.00002}])
    assert parsed(given)["tasks"]["a"]["run"] == ["sleep", "0.00002"]


def test_cpu_work_uses_the_recorded_time_on_every_claimed_core() -> None:
    executed = [{"id": "one", "runtimeInSeconds": 3}, {"id": "two", "runtimeInSeconds": 3, "coreCount": 2}]
    tasks = parsed(instance({"id": "one"}, {"id": "two"}, executed=executed), time_scale=0.05, work="cpu")["tasks"]
    for name, cores in (("one", 1), ("two", 2)):
        assert tasks[name]["claim"]["cpu"] == cores
        before = _children_cpu()
        subprocess.run(tasks[name]["run"], check=True, timeout=60)
        used = _children_cpu() - before
        assert 0.15 * cores - 0.02 <= used <= 0.15 * cores + 0.2


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "workflow"),
        ({"schemaVersion": "1.3", "workflow": {"tasks": []}}, "specification"),
        (instance(), "no tasks"),
        (instance({"id": "a"}, {"id": "a"}), "two tasks 'a'"),
        (instance({"id": "a", "parents": ["ghost"]}), "'ghost', named by 'a'"),
        (instance({"id": "a", "children": ["ghost"]}), "tasks[0].children"),
        (instance({"id": "a"}, executed=[{"id": "b"}]), "execution.tasks[0].id"),
        (instance({"id": "a"}, executed=[{"id": "a"}, {"id": "a"}]), "executed twice"),
        (instance({"id": "a"}, executed=[{"id": "a", "runtimeInSeconds": -1}]), "runtimeInSeconds"),
        (instance({"id": "a"}, executed=[{"id": "a", "runtimeInSeconds": "long"}]), "execution.tasks[0]"),
        (instance({"id": "a"}, executed=[{"id": "a", "memoryInBytes": 1e300}]), "memoryInBytes"),
    ],
)
def test_a_faulty_instance_is_refused_with_the_place_of_the_fault(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueFault) as caught:
        convert(given, time_scale=1, work="sleep", name="small")
    assert words in caught.value.sentence


def test_another_version_of_the_format_is_named_in_the_hint() -> None:
    with pytest.raises(ValueFault) as caught:
        convert({"schemaVersion": "1.3", "workflow": {}}, time_scale=1, work="sleep", name="small")
    assert "1.3" in caught.value.hint


@pytest.mark.parametrize("scale", [-1.0, float("nan"), float("inf")])
def test_a_senseless_time_scale_is_refused(scale: float) -> None:
    with pytest.raises(ValueFault, match="time scale"):
        convert(instance({"id": "a"}), time_scale=scale, work="sleep", name="small")


def test_instances_are_read_plain_or_compressed_whatever_the_file_is_called(tmp_path: Path) -> None:
    given = instance({"id": "a"})
    plain, packed = tmp_path / "a.json.gz", tmp_path / "b.json"
    plain.write_text(json.dumps(given))
    packed.write_bytes(gzip.compress(json.dumps(given).encode()))
    assert read_instance(plain) == read_instance(packed) == given


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "not JSON"),
        (b"[1]", "JSON object"),
        (b"\x1f\x8b\x08", "damaged"),
        (gzip.compress(b"{}" * 9_000)[:-30], "damaged"),
        (b'{"a": "\xff"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
    ids=["cut", "list", "gzip head", "gzip cut", "bad utf-8", "deep"],
)
def test_a_file_that_is_no_instance_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(data)
    with pytest.raises(ValueFault, match=words) as caught:
        read_instance(path)
    assert str(path) in caught.value.sentence


def test_a_compressed_bomb_is_refused_by_its_unpacked_size(tmp_path: Path) -> None:
    path = tmp_path / "bomb.json.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(INSTANCE_BYTES_MAX // 2**20 + 1):
            stream.write(b" " * 2**20)
    with pytest.raises(ValueFault, match="larger than 256 MiB"):
        read_instance(path)


def test_a_missing_file_and_a_folder_are_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        read_instance(tmp_path / "none.json")
    with pytest.raises(EngineError, match="cannot be read"):
        read_instance(tmp_path)


def test_the_name_comes_from_the_file() -> None:
    assert name_for(Path("/x/montage 2mass.json.gz")) == "montage_2mass"
    assert name_for(Path("...json")) == "instance"
