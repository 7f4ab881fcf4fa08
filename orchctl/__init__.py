"""A terminal operations console with an embedded, durable workflow engine for one big host.

`from orchctl import workflow, task` is the Python way to write a workflow. The names are loaded when they are asked
for, so that a command-line verb does not pay for them.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchctl.authoring import TaskHandle, WorkflowBuilder, task, workflow

__all__ = ["TaskHandle", "WorkflowBuilder", "task", "workflow"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from orchctl import authoring

    return getattr(authoring, name)
