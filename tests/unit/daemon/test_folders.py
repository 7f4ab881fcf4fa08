"""Watched folders: which of several files counts, and for how long."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

from engine.daemon.folders import Folders
from engine.model.errors import ValueFault
from engine.planning.plan import Plan, make_plan
from tests.support.builders import flow, task

pytestmark = pytest.mark.trio


class Desk:
    """A folder whose files hold the name of the workflow that they define, and what was added from them."""

    def __init__(self, folder: Path, defines: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.added: list[str] = []
        self.folders = Folders(
            [folder], self._compiled, self._add, {folder / file: name for file, name in (defines or {}).items()}
        )

    async def _compiled(self, path: Path) -> Plan:
        text = await trio.Path(path).read_text()
        if not text:
            raise ValueFault(f"{path}: there is no workflow in it")
        return make_plan(flow(task("a"), name=text.strip(), description=path.name))

    def _add(self, plan: Plan) -> None:
        self.added.append(f"{plan.workflow.name} of {plan.workflow.description}")

    async def write(self, file: str, text: str) -> None:
        (self.folder / file).write_text(text)
        await self.look()

    async def look(self) -> None:
        for _ in range(2):
            await self.folders.look()

    @property
    def refused(self) -> list[str]:
        return sorted(Path(file).name for file in self.folders.faults)


async def test_the_second_file_of_a_workflow_is_refused_and_both_are_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path)
    await desk.write("z.yaml", "words")
    await desk.write("a.yaml", "words")
    assert desk.added == ["words of z.yaml"]
    [(file, fault)] = desk.folders.faults.items()
    assert file == str(tmp_path / "a.yaml")
    assert fault.startswith(f"{tmp_path}/a.yaml: {tmp_path}/z.yaml defines the workflow words already")
    told = json.loads(capfd.readouterr().err)
    assert (told["what"], told["file"], told["fault"]) == ("definition refused", file, fault)


async def test_the_first_file_may_go_on_changing_beside_the_second(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    await desk.write("z.yaml", "words")
    await desk.write("a.yaml", "words")
    await desk.write("z.yaml", "words ")
    assert (desk.added, desk.refused) == (["words of z.yaml"] * 2, ["a.yaml"])


@pytest.mark.parametrize("text", ["other", None])
async def test_the_second_file_counts_once_the_first_defines_something_else_or_is_gone(
    tmp_path: Path, text: str | None
) -> None:
    desk = Desk(tmp_path)
    await desk.write("z.yaml", "words")
    await desk.write("a.yaml", "words")
    if text is None:
        (tmp_path / "z.yaml").unlink()
    else:
        await desk.write("z.yaml", text)
    await desk.look()
    assert (desk.added[-1], desk.refused) == ("words of a.yaml", [])


async def test_the_first_file_still_counts_after_a_restart_even_with_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("words")
    (tmp_path / "z.yaml").write_text("")
    desk = Desk(tmp_path, {"z.yaml": "words", "gone.yaml": "words"})
    await desk.look()
    assert (desk.added, desk.refused) == ([], ["a.yaml", "z.yaml"])
    await desk.write("z.yaml", "words")
    assert (desk.added, desk.refused) == (["words of z.yaml"], ["a.yaml"])
