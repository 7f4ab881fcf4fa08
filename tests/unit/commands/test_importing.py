"""import wfcommons, as a verb: a file in, a workflow out, whole or not at all."""

import json
from pathlib import Path

import pytest

from tests.support.cli import orchctl


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    path = tmp_path / "blast.json"
    names = ("split", "blast")
    tasks = [
        {"id": name, "name": name, "parents": ["split"] if name == "blast" else [], "children": []} for name in names
    ]
    measured = [{"id": name, "runtimeInSeconds": 2.0} for name in names]
    body = {"specification": {"tasks": tasks}, "execution": {"makespanInSeconds": 4.0, "tasks": measured}}
    path.write_text(json.dumps({"name": "blast", "schemaVersion": "1.5", "workflow": body}))
    return path


def test_an_instance_becomes_a_workflow_that_validates(tmp_path: Path, instance: Path) -> None:
    out = tmp_path / "out.yaml"
    words = ("import", "wfcommons", str(instance), "-o", str(out), "--time-scale", "0.5")
    result = orchctl(tmp_path, *words)
    assert result.code == 0, result.err
    assert f"`orchctl run {out}` runs it" in result.out
    assert orchctl(tmp_path, "validate", str(out), "--json").rows[0]["tasks"] == 2
    assert orchctl(tmp_path, *words, "--json").rows == [{"workflow": "blast", "file": str(out)}]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_is_no_instance_leaves_the_target_as_it_was(tmp_path: Path) -> None:
    source, out = tmp_path / "bad.json", tmp_path / "out.yaml"
    source.write_text('{"name": "\\u001b[2J"}')
    out.write_text("mine")
    result = orchctl(tmp_path, "import", "wfcommons", str(source), "-o", str(out))
    assert result.code == 2
    assert "\x1b" not in result.err
    assert out.read_text() == "mine"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path, instance: Path) -> None:
    out = tmp_path / "none" / "out.yaml"
    result = orchctl(tmp_path, "import", "wfcommons", str(instance), "-o", str(out))
    assert (result.code, result.err) == (2, f"orchctl: {out}: No such file or directory\n")
