"""What an expression downstream sees of how a task ended."""

from engine.core.effects import StartAttempt
from engine.core.events import Ask, AttemptExited, AttemptStarted, RunRequested
from engine.core.machine import Machine
from engine.core.state import EngineState, Meta
from engine.model.resources import Capacity
from engine.model.status import Outcome, OutcomeKind, TaskStatus
from engine.model.workflow import Command, Need, Policy, Task, Workflow
from engine.planning.plan import make_plan


def _statuses_after(exit_code: int) -> list[TaskStatus]:
    true = Command(("true",))
    tasks = (
        Task("check", true),
        Task("repair", true, 1, needs=(Need("check"),), when="needs.check.exit_code == 3"),
        Task("page", true, 1, needs=(Need("check"),), when="needs.check.outcome == 'signalled'"),
    )
    plan = make_plan(Workflow("w", tasks, (Policy(), Policy(trigger_rule="all_done"))))
    machine = Machine(EngineState(Meta(instance=1, seed=1), Capacity(1000, 2**30)))
    machine.install_plan(plan)
    changes = machine.step([RunRequested(Ask(), "w", plan.version)], 1, 1)
    order = next(effect for effect in changes.effects if isinstance(effect, StartAttempt))
    outcome = Outcome(OutcomeKind.FAILED, exit_code=exit_code)
    machine.step([AttemptStarted(order.attempt, 2, 9), AttemptExited(order.attempt, 3, outcome)], 3, 3)
    return [TaskStatus(status) for status in machine.state.runs[1].status]


def test_when_can_ask_for_the_exit_code_of_a_failed_task():
    assert _statuses_after(3) == [TaskStatus.FAILED, TaskStatus.RUNNING, TaskStatus.SKIPPED]


def test_when_sees_another_exit_code_as_different():
    assert _statuses_after(4) == [TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.SKIPPED]
