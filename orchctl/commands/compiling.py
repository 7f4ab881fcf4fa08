"""Definitions, from a file to the bytes that the engine takes, and every fault shown at once."""

import os
from typing import TYPE_CHECKING

from engine.model.errors import DefinitionError, Fault

if TYPE_CHECKING:
    from engine.model.workflow import Workflow


def is_file(text: str) -> bool:
    """Whether a word names a workflow's file, and not a workflow that was added."""
    return os.sep in text or text.endswith((".yaml", ".yml", ".py")) or os.path.isfile(text)


def compile_file(path: str) -> "Workflow":
    """The workflow in a file. Raises DefinitionError with all faults, also where the file cannot be read."""
    from engine.definition.load import load_file

    return load_file(_found(path))


def encode_file(path: str) -> bytes:
    """The encoding of the workflow in a file, for an engine. Raises as `compile_file`."""
    from engine.definition.load import encode_file

    return encode_file(_found(path))


def _found(path: str) -> str:
    if not os.path.exists(path):
        raise DefinitionError([Fault("there is no such file", path)])
    return path
