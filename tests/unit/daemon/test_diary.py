"""The diary takes whatever happens, and what cannot be written ends nothing."""

import json
import os
import sys
from pathlib import Path

import pytest

from engine.daemon.folders import Folders
from engine.daemon.log import say
from engine.model.errors import ValueFault
from engine.planning.plan import Plan

NO_UTF8 = os.fsdecode(b"\xff.yaml")


def test_a_name_that_is_no_utf8_is_told_visibly(capfd: pytest.CaptureFixture[str]):
    say("definition refused", file=Path("/workflows") / NO_UTF8, count=2)
    line = json.loads(capfd.readouterr().err)
    assert (line["file"], line["count"]) == ("/workflows/\\udcff.yaml", 2)


def test_a_full_disk_under_the_diary_ends_nothing(monkeypatch: pytest.MonkeyPatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        say("the disk is full")


@pytest.mark.trio
async def test_the_fault_of_a_file_with_such_a_name_can_be_sent(tmp_path: Path):
    async def refuse(path: Path) -> Plan:
        raise ValueFault(f"{path}: there is no workflow in it")

    (tmp_path / NO_UTF8).write_text("x")
    folders = Folders([tmp_path], refuse, lambda plan: None, {})
    for _ in range(2):
        await folders.look()
    [(file, fault)] = folders.faults.items()
    assert file.endswith("\\udcff.yaml")
    assert fault.startswith(file)
    (tmp_path / NO_UTF8).unlink()
    await folders.look()
    assert not folders.faults
