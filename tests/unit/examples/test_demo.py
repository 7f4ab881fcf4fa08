"""The demo's stages on a small folder, and that its definition and its functions fit together."""

import importlib.util
import inspect
import json
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from engine.expressions import compile_shell

FOLDER = Path(__file__).parents[3] / "orchctl" / "examples"
DEMO = FOLDER / "demo" / "demo.yaml"


def load_stages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_stages", FOLDER / "demo" / "stages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


stages = load_stages()
definition = yaml.safe_load(DEMO.read_text(encoding="utf-8"))


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library of two packages and two modules, with what must be left out beside them."""
    root = tmp_path / "library with a blank"
    sources = {
        "json/__init__.py": "import os\nfrom sys import path\n\n\ndef dump(x):\n    return (lambda: x)()\n",
        "json/tool.py": "class Tool:\n    async def run(self): ...\n",
        "email/quote's.py": "x = 1",
        "abc.py": "import json\n",
        "zipapp.py": "# nothing\n",
        "json/tests/test_json.py": "this is not Python and is left out",
        "site-packages/other/__init__.py": "left out too",
    }
    for name, text in sources.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def out(tmp_path: Path) -> str:
    return str(tmp_path / "out folder")


def run_all(out: str, library: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], dict[str, int]]:
    listed = stages.inventory(out, str(library))
    monkeypatch.setenv("ORCHCTL_ATTEMPT", "2")
    stages.fetch_reference(out)
    for package in listed["packages"]:
        stages.count(package, out)
        stages.load(package, out)
    return listed, line_totals(out)


def line_totals(out: str) -> dict[str, int]:
    """The shell step as the engine would run it."""
    script = compile_shell(definition["tasks"]["line_totals"]["run"]).render_text({"params": {"out": out}})
    result = Path(out, "result.json")
    env = {"PATH": os.environ["PATH"], "ORCHCTL_RESULT": str(result)}
    subprocess.run(["sh", "-e", "-c", script], check=True, env=env, timeout=60)
    return json.loads(result.read_text(encoding="utf-8"))


def test_the_inventory_lists_packages_and_groups_single_modules(out: str, library: Path) -> None:
    listed = stages.inventory(out, str(library))
    assert listed["packages"] == ["email", "json", "modules_a-c", "modules_q-z"]
    assert (listed["files"], listed["lines"]) == (5, 10)
    assert listed["bytes"] == sum(
        path.stat().st_size for path in library.rglob("*.py") if not {"tests", "site-packages"} & set(path.parts)
    )
    assert Path(out, "files", "json.list").read_bytes().count(b"\0") == 2


def test_an_empty_library_is_an_error_and_not_an_empty_report(out: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no Python sources"):
        stages.inventory(out, str(tmp_path / "nothing"))


def test_a_package_is_counted_by_its_syntax(out: str, library: Path) -> None:
    stages.inventory(out, str(library))
    totals = stages.count("json", out)
    assert {name: totals[name] for name in ("files", "functions", "classes", "imports", "unparsable")} == {
        "files": 2,
        "functions": 3,
        "classes": 1,
        "imports": 2,
        "unparsable": 0,
    }
    assert totals["tokens"] > 20


def test_the_download_fails_on_its_first_attempt_and_only_then(
    out: str, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages.inventory(out, str(library))
    monkeypatch.setenv("ORCHCTL_ATTEMPT", "1")
    with pytest.raises(ConnectionError):
        stages.fetch_reference(out)
    assert not Path(out, "reference.json").exists()
    monkeypatch.setenv("ORCHCTL_ATTEMPT", "2")
    assert stages.fetch_reference(out)["modules"] > 100


def test_the_whole_pipeline_agrees_with_itself_and_reports(
    out: str, library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed, counted = run_all(out, library, monkeypatch)
    assert counted == {"lines": 10}
    totals = stages.check(out, listed, counted)
    assert (totals["packages"], totals["lines"], totals["unparsable"]) == (4, 10, 0)
    report = stages.report(out, totals)
    text = Path(report["report"]).read_text(encoding="utf-8")
    assert text in capsys.readouterr().out
    assert "json" in text
    assert text.index("json") < text.index("email")


def test_the_check_names_every_fault_of_the_numbers(out: str, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, counted = run_all(out, library, monkeypatch)
    with pytest.raises(stages.QualityError, match="three counts of lines"):
        stages.check(out, listed, {"lines": counted["lines"] + 1})
    with closing(sqlite3.connect(Path(out, "library.sqlite"))) as database, database:
        database.execute("UPDATE package SET lines = lines + bytes WHERE name = 'json'")
        database.execute("DELETE FROM package WHERE name = 'email'")
    with pytest.raises(stages.QualityError) as caught:
        stages.check(out, listed, counted)
    for words in ("every package", "as many files", "three counts", "out of its range"):
        assert words in str(caught.value)


def test_a_second_writer_is_refused_so_the_pool_is_really_needed(
    out: str, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_all(out, library, monkeypatch)
    with closing(sqlite3.connect(Path(out, "library.sqlite"))) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            stages.load("json", out)


def test_a_file_that_does_not_parse_is_counted_and_its_package_quarantined(
    out: str, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (library / "json" / "broken.py").write_text("def (:\n", encoding="utf-8")
    listed, counted = run_all(out, library, monkeypatch)
    totals = stages.check(out, listed, counted)
    assert totals["unparsable"] == 1
    stages.quarantine(out, totals["unparsable"])
    assert json.loads(Path(out, "quarantine.json").read_text(encoding="utf-8")) == {"json": 1}


@pytest.mark.parametrize("name", [name for name, task in definition["tasks"].items() if "python" in task])
def test_the_arguments_in_the_definition_fit_the_function(name: str) -> None:
    task = definition["tasks"][name]
    module, _, function = task["python"].partition(":")
    assert module == "stages"
    inspect.signature(getattr(stages, function)).bind(**task["args"])
