"""A workflow in one line, for tests.

`flow(task("a"), task("b", "a", for_each=[1, 2]), task("c", "b[i]", for_each=[1, 2]))`: needs are names, `b[i]` pairs
rows with those of b. What belongs to a policy (retry, claim, trigger_rule, ...) is given to the task; equal policies
become one, as the real definition reader does it.
"""

from typing import Any, NamedTuple

from engine.model.workflow import Action, Command, Need, Policy, Task, Workflow

_POLICY_FIELDS = frozenset(Policy.__struct_fields__)


class Piece(NamedTuple):
    """A task and the policy that it wants."""

    task: Task
    policy: Policy


def task(name: str, *needs: str, action: Action | None = None, **fields: Any) -> Piece:
    """One task. Fields of a policy go to its policy, all others to the task."""
    policy = Policy(**{key: value for key, value in fields.items() if key in _POLICY_FIELDS})
    own = {key: value for key, value in fields.items() if key not in _POLICY_FIELDS}
    pairs = tuple(Need(need.removesuffix("[i]"), need.endswith("[i]")) for need in needs)
    return Piece(Task(name, action or Command(("true",)), needs=pairs, **own), policy)


def flow(*pieces: Piece, name: str = "w", **fields: Any) -> Workflow:
    """The workflow of these tasks; `fields` are those of Workflow."""
    policies: list[Policy] = []
    tasks: list[Task] = []
    for piece in pieces:
        if piece.policy not in policies:
            policies.append(piece.policy)
        values = {field: getattr(piece.task, field) for field in Task.__struct_fields__}
        tasks.append(Task(**(values | {"policy": policies.index(piece.policy)})))
    return Workflow(name, tuple(tasks), policies=tuple(policies) or (Policy(),), **fields)
