"""Where workflows that Python code defines are noted, so that whoever runs the code finds them.

The engine does not know the library that people write with; both know this list.
"""

from typing import NamedTuple

from engine.model.workflow import Workflow


class Defined(NamedTuple):
    """A workflow and the place of the call that began it."""

    workflow: Workflow
    file: str
    line: int


_defined: list[Defined] = []


def note(workflow: Workflow, file: str, line: int) -> None:
    """Called when a workflow is complete."""
    _defined.append(Defined(workflow, file, line))


def take() -> list[Defined]:
    """All that were noted since the last call."""
    taken = list(_defined)
    _defined.clear()
    return taken
