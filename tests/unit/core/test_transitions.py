"""Every line of the tables is legal, everything else is refused and changes nothing."""

from enum import IntEnum
from itertools import product

import pytest

from engine.core import transitions
from engine.core.transitions import Table, after
from engine.model.errors import IllegalTransition
from engine.model.status import AttemptStatus, RunStatus, TaskStatus
from tests.support.builders import flow, task
from tests.support.stories import Player

TABLES = [(transitions.TASK, TaskStatus), (transitions.ATTEMPT, AttemptStatus), (transitions.RUN, RunStatus)]
CASES = [(table, cause, status) for table, kind in TABLES for cause, status in product(table, kind)]
LEGAL = [case for case in CASES if case[2] in case[0][case[1]]]
ILLEGAL = [case for case in CASES if case[2] not in case[0][case[1]]]


def _id(value: object) -> str | None:
    return value.name if isinstance(value, IntEnum) else value if isinstance(value, str) else ""


@pytest.mark.parametrize(("table", "cause", "status"), LEGAL, ids=_id)
def test_a_line_of_a_table_leads_where_it_says(table: Table[IntEnum], cause: str, status: IntEnum):
    assert after(table, status, cause) is table[cause][status]


@pytest.mark.parametrize(("table", "cause", "status"), ILLEGAL, ids=_id)
def test_what_is_no_line_is_refused_by_name(table: Table[IntEnum], cause: str, status: IntEnum):
    with pytest.raises(IllegalTransition, match=f"{status.name.lower()} cannot become {cause}"):
        after(table, status, cause)


def test_an_unknown_cause_is_refused():
    with pytest.raises(IllegalTransition):
        after(transitions.TASK, TaskStatus.READY, "wished_for")


@pytest.mark.parametrize(
    ("cause", "status"), [(cause, status) for table, cause, status in ILLEGAL if table is transitions.TASK], ids=_id
)
def test_a_row_that_refuses_a_transition_stays_as_it_was(cause: str, status: TaskStatus):
    player = Player(flow(task("a"), task("b", "a")))
    player.submit()
    run, cx = player.run(), player.machine.cx
    run.set_status(1, 1, status)
    counts, changed = list(run.header.counts), set(cx.changes.chunks)
    with pytest.raises(IllegalTransition):
        cx.move_row(run, 1, 1, cause)
    assert run.status[1] == status
    assert run.header.counts == counts
    assert cx.changes.chunks == changed


@pytest.mark.parametrize(
    ("cause", "status"), [(cause, status) for table, cause, status in ILLEGAL if table is transitions.RUN], ids=_id
)
def test_a_run_that_refuses_a_transition_stays_as_it_was(cause: str, status: RunStatus):
    player = Player(flow(task("a")))
    player.submit()
    run, cx = player.run(), player.machine.cx
    run.header.status = status
    before = list(cx.changes.journal)
    with pytest.raises(IllegalTransition):
        cx.move_run(run, cause)
    assert run.header.status is status
    assert cx.changes.journal == before


def test_final_statuses_can_only_be_left_by_reopening_or_marking():
    leaving = {cause for cause, lines in transitions.TASK.items() for status in lines if status.finished}
    assert leaving == {"reopened", "marked_succeeded", "marked_failed"}
    assert {cause for cause, lines in transitions.RUN.items() for status in lines if status.finished} == {"reopened"}
    ended = (AttemptStatus.EXITED, AttemptStatus.LOST)
    assert not any(status in lines for lines in transitions.ATTEMPT.values() for status in ended)
