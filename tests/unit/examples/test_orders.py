"""The example of the format: its tasks do what they say, run by hand in the order of their needs."""

import importlib.util
import inspect
import os
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from engine.expressions import compile_shell, compile_template

FOLDER = Path(__file__).parents[3] / "orchctl" / "examples" / "orders"
definition = yaml.safe_load((FOLDER / "orders.yaml").read_text(encoding="utf-8"))


def load_pipeline() -> ModuleType:
    spec = importlib.util.spec_from_file_location("orders_pipeline", FOLDER / "pipeline.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pipeline = load_pipeline()


def test_the_orders_are_extracted_cleaned_in_shards_and_added_up(tmp_path: Path) -> None:
    params = {"day": "2026-01-31", "shards": 4, "channel": "web", "folder": str(tmp_path)}
    script = compile_shell(definition["tasks"]["extract"]["run"]).render_text({"params": params})
    env = {"PATH": os.environ["PATH"], "PARAM_day": params["day"], "CHANNEL": "web"}
    done = subprocess.run(["sh", "-e", "-c", script], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1000 orders of 2026-01-31 from web\n"
    items = compile_template(definition["tasks"]["clean"]["for_each"]).render({"params": params})
    shards = [pipeline.clean(str(tmp_path / "orders.csv"), shard, 4) for shard in items]
    total = pipeline.total(shards, "2026-01-31")
    amounts = [int(line.split(",")[1]) for line in (tmp_path / "orders.csv").read_text().splitlines()]
    kept = [amount for amount in amounts if amount >= 0]
    assert total == {"day": "2026-01-31", "kept": len(kept), "refused": 1000 - len(kept), "cents": sum(kept)}
    assert 0 < total["refused"] < total["kept"]


@pytest.mark.parametrize("name", ["clean", "total"])
def test_the_arguments_in_the_definition_fit_the_function(name: str) -> None:
    task = definition["tasks"][name]
    inspect.signature(getattr(pipeline, task["python"].partition(":")[2])).bind(**task["args"])
