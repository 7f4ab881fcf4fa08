"""Every example is a valid workflow, and the demo has in it what it is there to show."""

from pathlib import Path

import pytest

from engine.definition.load import load_file
from engine.model.workflow import Python

FOLDER = Path(__file__).parents[3] / "orchctl" / "examples"
FILES = sorted(FOLDER.rglob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_is_a_valid_workflow_named_like_its_file(path: Path) -> None:
    workflow = load_file(path)
    assert workflow.name == path.stem
    for task in workflow.tasks:
        if isinstance(task.action, Python):
            module = task.action.target.partition(":")[0]
            assert (path.parent / f"{module}.py").is_file()


def test_the_demo_has_a_pool_a_retry_paired_rows_and_a_condition() -> None:
    workflow = load_file(FOLDER / "demo" / "demo.yaml")
    tasks = {task.name: task for task in workflow.tasks}
    assert workflow.pools == (("sqlite", 1),)
    assert workflow.policies[tasks["load"].policy].claim.pools == (("sqlite", 1),)
    assert workflow.policies[tasks["fetch_reference"].policy].retry.limit >= 1
    assert [(need.task, need.same_index) for need in tasks["load"].needs] == [("inventory", False), ("count", True)]
    assert tasks["count"].mapped
    assert tasks["quarantine"].when
    assert workflow.policies[tasks["report"].policy].trigger_rule == "none_failed"
