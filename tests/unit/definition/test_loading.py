"""Files of all kinds: read, or refused without waiting."""

import os
from pathlib import Path

import pytest

from engine.definition.load import load_file
from engine.model.errors import DefinitionError


def refused(path: Path, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        load_file(path)


def test_a_yaml_file_is_named_after_itself_and_lives_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "nightly.yml").write_text("\ufefftasks: {a: {run: ./x}}\n")
    workflow = load_file(tmp_path / "nightly.yml")
    assert (workflow.name, workflow.source.folder) == ("nightly", str(tmp_path))
    assert workflow.source.file == str(tmp_path / "nightly.yml")


@pytest.mark.timeout(10)
def test_a_fifo_a_folder_a_device_and_a_missing_file_are_refused_without_waiting(tmp_path: Path) -> None:
    for suffix in ("yaml", "py"):
        os.mkfifo(tmp_path / f"fifo.{suffix}")
        refused(tmp_path / f"fifo.{suffix}", "not a regular file")
        (tmp_path / f"zero.{suffix}").symlink_to("/dev/zero")
        refused(tmp_path / f"zero.{suffix}", "not a regular file")
        (tmp_path / f"folder.{suffix}").mkdir()
        refused(tmp_path / f"folder.{suffix}", "not a regular file")
        refused(tmp_path / f"none.{suffix}", "No such file")
    refused(tmp_path / "a\0.yaml", "NUL")


def test_other_endings_too_large_files_and_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "x.json", ".yaml, .yml or .py")
    with (tmp_path / "large.yaml").open("wb") as stream:
        stream.truncate(2**26 + 1)
    refused(tmp_path / "large.yaml", "at most 64 MiB")
    (tmp_path / "latin.yaml").write_bytes(b"a: b\nc: \xe9\n")
    refused(tmp_path / "latin.yaml", "latin.yaml:2: the file is not UTF-8")
