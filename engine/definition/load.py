"""The way in: from text or a file to a checked Workflow.

Reading a file never blocks on a FIFO, never follows a device without an end, and is bounded.
"""

import os
import stat
from pathlib import Path

from engine.definition.collecting import uncollected
from engine.definition.complaints import Complaints, shown
from engine.model.errors import DefinitionError, Fault
from engine.model.workflow import DEFINITION_BYTES_MAX, Source, Workflow, encode

YAML_SUFFIXES = (".yaml", ".yml")


def parse_yaml(text: str, file: str, folder: str) -> Workflow:
    """The workflow of a YAML text. Raises DefinitionError with every fault, in the order of lines.

    `file` is for messages and gives the name where the text has none; `folder` is where its tasks run.
    """
    with uncollected():
        return _parse(text, file, folder)


def _parse(text: str, file: str, folder: str) -> Workflow:
    from engine.definition.build import build  # a Python file is read elsewhere, and needs none of these here
    from engine.definition.check import check_meaning
    from engine.definition.yaml_reader import Places, read_yaml

    document, faults = read_yaml(text, file)
    complaints = Complaints()
    workflow = None
    if document is not None or not faults:
        workflow = build(document, complaints, Source(file, folder, text), Path(file).stem)
        check_meaning(workflow, complaints)
    if complaints:
        faults += complaints.faults(file, Places(text))
    if faults or workflow is None:
        raise DefinitionError(sorted(faults, key=lambda fault: (fault.line or 2**31, fault.column)))
    return workflow


def load_file(path: str | Path) -> Workflow:
    """The checked workflow of a .yaml, .yml or .py file; a Python file is run in a process of its own.

    Raises DefinitionError, also for what cannot be read.
    """
    path = Path(path).absolute()
    if path.suffix != ".py":
        return _load_yaml(path)
    from engine.definition.compile_python import compile_file

    with uncollected():
        return compile_file(path)


def encode_file(path: str | Path) -> bytes:
    """The encoding of the workflow of a file, for an engine to check and take. Raises as `load_file`.

    What a Python file's process gives goes on as it is: the engine looks at it as at all that comes from outside.
    """
    path = Path(path).absolute()
    if path.suffix != ".py":
        return encode(_load_yaml(path))
    from engine.definition import compile_python

    return compile_python.encode_file(path)


def _load_yaml(path: Path) -> Workflow:
    if path.suffix not in YAML_SUFFIXES:
        raise DefinitionError([Fault("a workflow is written in a .yaml, .yml or .py file", shown(str(path)))])
    return parse_yaml(read_text(path), str(path), str(path.parent))


def read_text(path: Path) -> str:
    """The text of a regular file of at most 64 MiB. Raises DefinitionError."""
    file = str(path)
    try:
        # Without O_NONBLOCK the open of a FIFO would wait for a writer for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the name holds a NUL"
        raise DefinitionError([Fault(f"the file cannot be read: {reason}", shown(file))]) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise DefinitionError([Fault("this is not a regular file", file)])
    with os.fdopen(handle, "rb") as stream:
        data = stream.read(DEFINITION_BYTES_MAX + 1)
    if len(data) > DEFINITION_BYTES_MAX:
        raise DefinitionError([Fault(f"a definition has at most {DEFINITION_BYTES_MAX // 2**20} MiB", file)])
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DefinitionError([Fault("the file is not UTF-8 text", file, line)]) from None
