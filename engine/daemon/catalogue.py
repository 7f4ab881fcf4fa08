"""Definitions on their way into the machine: decoded, checked and planned away from the loop, then installed."""

from collections.abc import Callable

import trio

from engine.core.machine import Machine
from engine.definition.check import check
from engine.model.errors import DefinitionError, NotFound, ValueFault
from engine.model.workflow import DEFINITION_BYTES_MAX, Workflow, decode
from engine.planning.plan import Plan, make_plan


class Catalogue:
    """Makes versions known to the machine. `read_version` finds the definition of a stored version, or None."""

    def __init__(self, machine: Machine, read_version: Callable[[str], Workflow | None]) -> None:
        self._machine = machine
        self._read_version = read_version

    async def install(self, data: bytes) -> Plan:
        """Take an encoded definition. Raises DefinitionError with all of its faults, ValueFault for other bytes."""
        if len(data) > DEFINITION_BYTES_MAX:
            raise ValueFault(
                f"a definition of {len(data)} bytes is not allowed", f"the limit is {DEFINITION_BYTES_MAX}"
            )
        plan = await trio.to_thread.run_sync(_checked_plan, data) if len(data) > 4096 else _checked_plan(data)
        known = self._machine.state.plans.get(plan.version)
        if known is not None:
            return known
        self._machine.install_plan(plan)
        return plan

    async def of_workflow(self, name: str) -> Plan:
        """The current version of a workflow that was added. Raises NotFound."""
        entry = self._machine.state.workflows.get(name)
        if entry is None:
            raise NotFound(f"there is no workflow {name!r}", "`orchctl workflows` lists them")
        return self.plan_of(entry.version)

    def plan_of(self, version: str) -> Plan:
        """The plan of a version that is known or stored. Raises NotFound."""
        plan = self._machine.state.plans.get(version)
        if plan is None:
            workflow = self._read_version(version)
            if workflow is None:
                raise NotFound(f"version {version} is not known")
            plan = make_plan(workflow)
            self._machine.install_plan(plan)
        return plan


def _checked_plan(data: bytes) -> Plan:
    try:
        workflow = decode(data)
    except (ValueError, RecursionError) as error:
        raise ValueFault(f"not a definition: {str(error)[:200]}") from error
    faults = check(workflow)
    if faults:
        raise DefinitionError(faults)
    return make_plan(workflow)
