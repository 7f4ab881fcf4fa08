"""Definitions on their way into the machine: decoded, checked and planned away from the loop, then installed."""

import trio

from engine.core.machine import Machine
from engine.definition.check import check
from engine.definition.collecting import uncollected
from engine.model.errors import DefinitionError, ValueFault
from engine.model.workflow import DEFINITION_BYTES_MAX, decode
from engine.planning.plan import Plan, make_plan


class Catalogue:
    """Makes versions known to the machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

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


def _checked_plan(data: bytes) -> Plan:
    with uncollected():
        return _plan_of(data)


def _plan_of(data: bytes) -> Plan:
    try:
        workflow = decode(data)
    except (ValueError, RecursionError) as error:
        raise ValueFault(f"not a definition: {str(error)[:200]}") from error
    faults = check(workflow)
    if faults:
        raise DefinitionError(faults)
    return make_plan(workflow)
