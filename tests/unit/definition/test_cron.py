"""The checker's view of cron expressions and the scheduler's: neither takes what the other refuses."""

import pytest

from engine.definition.cron import cron_fault
from engine.model.errors import ValueFault
from engine.scheduling.cron_expression import compile_expression

EXPRESSIONS = [
    "* * * * *", "15 2 * * *", "*/15 0-6,22 1,15 * mon-fri", "0 0 29 2 *", "0 0 30 2 *", "0 0 31 2,4,6 *",
    "0 0 31 4 mon", "@daily", "@Daily", " @hourly ", "@reboot", "@dialy", "* * * * * *", "* * * * * */15",
    "0 0 1 1 * 0 2030", "* * * *", "", "61 * * * *", "* 24 * * *", "0 0 0 * *", "0 0 32 * *", "0 0 * 13 *",
    "0 0 * * 8", "R * * * *", "H * * * *", "h(0-5) * * * *", "0 0 * * 7", "0 0 * * 7/2", "0 0 * * *,sat#3",
    "0 0 * * fri#2", "0 0 1 2 fri#2", "0 0 * * mon#6", "0 0 * * 0-6,sat#3", "0 0 * * Thu-Tue/2",
    "0 0 1 Apr-Mar/2 *", "22-2/2 * * * *", "22-2 * * * *", "0 0 * * fri-sun", "0 0 L * *", "0 0 15W * *",
    "0\t0  *\n* *", "0 0 * * x", "a b c d e", "*/0 * * * *", "5-5 * * * *", "1-5/2 * * * *", "0 0 * * mon-sun/2",
    "* * * * * 61", "\x1b[31m * * * *", "0 0 * * " + "1," * 300 + "2", "٣ * * * *", "1.5 * * * *", "-1 * * * *",
    "*/100 * * * *",
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_checker_and_scheduler_agree(expression: str) -> None:
    try:
        accepted = not compile_expression(expression).never()
    except ValueFault:
        accepted = False
    fault, _ = cron_fault(expression)
    assert (not fault) == accepted, fault
