"""Definitions, from a file to the bytes that the engine takes, and every fault shown at once."""

import os
from pathlib import Path

from engine.model.errors import DefinitionError, Fault
from engine.model.workflow import Workflow


def is_file(text: str) -> bool:
    """Whether a word names a workflow's file, and not a workflow that was added."""
    return os.sep in text or text.endswith((".yaml", ".yml", ".py")) or os.path.isfile(text)


def compile_file(path: str) -> Workflow:
    """The workflow in a file. Raises DefinitionError with all faults, also where the file cannot be read."""
    from engine.definition.load import load_file

    if not os.path.exists(path):
        raise DefinitionError([Fault("there is no such file", path)])
    return load_file(Path(path))
