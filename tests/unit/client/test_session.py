"""A session across restarts of the engine: what is repeated, and what never is."""

from collections.abc import Generator
from pathlib import Path

import pytest

from engine.protocol.messages import (
    CHUNK_BYTES,
    Act,
    Backup,
    Done,
    GetRun,
    ListTasks,
    Refused,
    Rows,
    Submit,
    Upload,
)
from engine.protocol.rows import RunRow
from orchctl.client.connection import EngineGone, NoEngine
from orchctl.client.session import Session, backoff, typed
from orchctl.paths import Home
from tests.support.fake_engine import FakeEngine, rows_of
from tests.support.rows import run_row, task_row


@pytest.fixture
def engine(tmp_path: Path) -> Generator[FakeEngine]:
    with FakeEngine(tmp_path) as fake:
        yield fake


def test_an_act_whose_answer_was_lost_is_sent_again_with_the_same_request_id(engine: FakeEngine) -> None:
    engine.answers[Act] = [lambda _: None, Done(body={"changed": 1})]
    with Session(Home(engine.home)) as session:
        assert session.act(Act(request_id="abc", verb="cancel", run=12)) == {"changed": 1}
    acts = [request for request in engine.asked if isinstance(request, Act)]
    assert [act.request_id for act in acts] == ["abc", "abc"]


def test_a_backup_whose_answer_was_lost_is_not_made_again(engine: FakeEngine) -> None:
    engine.answers[Backup] = lambda _: None
    with Session(Home(engine.home)) as session, pytest.raises(EngineGone):
        session.ask(Backup(folder="/b"), Done)
    assert engine.kinds() == ["Backup"]


def test_a_question_is_asked_again_after_the_engine_came_back(engine: FakeEngine) -> None:
    engine.answers[GetRun] = rows_of(run_row())
    with Session(Home(engine.home)) as session:
        session.one(GetRun(run=12), RunRow)
        engine.drop()
        row, as_sent = session.one(GetRun(run=12), RunRow)
    assert row.run == as_sent["run"] == "r12"


def test_an_engine_that_never_ran_is_not_waited_for(tmp_path: Path) -> None:
    with Session(Home(tmp_path)) as session, pytest.raises(NoEngine):
        session.rows(GetRun(run=12))


def test_reconnecting_gives_up_in_time(tmp_path: Path) -> None:
    with pytest.raises(NoEngine):
        Session(Home(tmp_path)).reconnect(0.1)


def test_a_small_definition_goes_along_with_the_submission(engine: FakeEngine) -> None:
    engine.answers[Submit] = Done(body={"run": "r13"})
    with Session(Home(engine.home)) as session:
        assert session.send_definition(Submit(request_id="x"), b"small") == {"run": "r13"}
    assert engine.last(Submit).definition == b"small"


def test_a_large_definition_is_uploaded_in_pieces_and_again_on_a_new_connection(engine: FakeEngine) -> None:
    definition = bytes(range(256)) * (CHUNK_BYTES // 256 * 2 + 1)
    engine.answers[Upload] = [Done(), lambda _: None, Done()]
    engine.answers[Submit] = Done(body={"run": "r13"})
    with Session(Home(engine.home)) as session:
        session.send_definition(Submit(request_id="x"), definition)
    name = engine.last(Submit).upload
    pieces = [request for request in engine.asked if isinstance(request, Upload)]
    sent = [piece for piece in pieces if piece.upload == name]
    assert len(pieces) == 2 + len(sent)
    assert b"".join(piece.data for piece in sent) == definition
    assert [piece.offset for piece in sent] == [0, CHUNK_BYTES, 2 * CHUNK_BYTES]


def test_all_pages_of_rows_are_read(engine: FakeEngine) -> None:
    everything = [task_row(index=n) for n in range(7)]

    def page(request: ListTasks) -> Rows:
        end = request.offset + min(request.limit, 2)  # what fits a frame
        return rows_of(*everything[request.offset : end], total=7, cursor=str(end) if end < 7 else "")

    engine.answers[ListTasks] = page
    with Session(Home(engine.home)) as session:
        assert [row["index"] for row in session.pages(ListTasks(run=1, limit=3))] == list(range(7))
        assert [row["index"] for row in session.pages(ListTasks(run=1, limit=3), most=4)] == list(range(4))


def test_rows_that_are_no_rows_are_noticed() -> None:
    with pytest.raises(EngineGone, match="no RunRow"):
        typed([{"run": 12}], RunRow)


def test_a_refusal_is_not_repeated(engine: FakeEngine) -> None:
    engine.answers[GetRun] = Refused(code="not_found", sentence="there is no run r99")
    with Session(Home(engine.home)) as session, pytest.raises(Exception, match="r99"):
        session.rows(GetRun(run=99))
    assert engine.kinds() == ["GetRun"]


def test_backoff_begins_short_and_ends_at_a_second() -> None:
    waits = backoff()
    assert [next(waits) for _ in range(8)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
