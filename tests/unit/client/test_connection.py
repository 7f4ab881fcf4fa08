"""One connection: shaking hands, asking, and every way in which the other end can disappoint."""

import socket
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.model.errors import Unavailable, ValueFault
from engine.protocol.messages import Done, GetEngine, GetRun, Hello, Refused, Request, Rows, Snapshot, Submit, Subscribe
from orchctl.client.connection import EngineGone, NoEngine, RefusalError, open_connection
from orchctl.client.session import Session
from orchctl.paths import Home, find_home, socket_address
from tests.support.fake_engine import FakeEngine, engine_row, rows_of, snapshot_of
from tests.support.rows import run_row


@pytest.fixture
def engine(tmp_path: Path) -> Generator[FakeEngine]:
    with FakeEngine(tmp_path) as fake:
        yield fake


def test_a_question_is_answered(engine: FakeEngine) -> None:
    engine.answers[GetEngine] = rows_of(engine_row(engine.home))
    connection = open_connection(Home(engine.home), read_only=True)
    try:
        assert connection.ask(GetEngine(), Rows).rows[0]["state"] == "serving"
    finally:
        connection.close()
    hello = engine.last(Hello)
    assert (hello.protocol, hello.via, hello.read_only) == (1, "cli", True)


def test_without_an_engine_the_sentence_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(NoEngine) as caught:
        open_connection(Home(tmp_path))
    assert caught.value.sentence == f"no engine runs in {tmp_path}"
    assert "orchctl engine start" in caught.value.hint
    assert caught.value.exit_code == 3


def test_a_socket_that_a_dead_engine_left_is_no_engine(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "run" / "engine.sock"))
    with pytest.raises(NoEngine):
        open_connection(Home(tmp_path))


def test_an_engine_of_another_protocol_is_refused(engine: FakeEngine) -> None:
    engine.welcome = replace(engine.welcome, protocol=2)
    with pytest.raises(Unavailable, match="protocol 2, this orchctl 1"):
        open_connection(Home(engine.home))


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("invalid_definition", 2), ("invalid_value", 2), ("not_found", 3), ("conflict", 3), ("forbidden", 3), ("new", 3)],
)
def test_a_refusal_keeps_its_code_and_gets_its_exit_code(engine: FakeEngine, code: str, exit_code: int) -> None:
    engine.answers[Submit] = Refused(code=code, sentence="no", hint="try later", faults=("a", "b"))
    connection = open_connection(Home(engine.home))
    with pytest.raises(RefusalError) as caught:
        connection.ask(Submit(request_id="x"), Done)
    connection.close()
    assert (caught.value.code, caught.value.exit_code, caught.value.hint) == (code, exit_code, "try later")
    assert caught.value.faults == ("a", "b")


def test_an_engine_that_dies_while_it_is_asked_is_gone(engine: FakeEngine) -> None:
    engine.answers[GetEngine] = lambda _: None
    connection = open_connection(Home(engine.home))
    with pytest.raises(EngineGone):
        connection.ask(GetEngine(), Rows)
    connection.close()


def test_an_engine_that_never_answers_is_gone_after_the_timeout(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "run" / "engine.sock"))
        silent.listen()
        with pytest.raises(EngineGone, match="did not answer"):
            open_connection(Home(tmp_path), timeout_s=0.05)


def test_who_waits_for_an_answer_hears_of_it_once(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchctl.client.connection.PATIENCE_S", 0.01)
    told = threading.Event()

    def after_telling(_: Request) -> Rows:
        assert told.wait(10)
        return rows_of(engine_row(engine.home))

    engine.answers[GetEngine] = after_telling
    with Session(Home(engine.home), on_wait=told.set) as session:
        assert session.rows(GetEngine()).rows


def test_an_answer_of_another_kind_is_no_answer(engine: FakeEngine) -> None:
    engine.answers[GetEngine] = Done()
    connection = open_connection(Home(engine.home))
    with pytest.raises(EngineGone, match="answered GetEngine with Done"):
        connection.ask(GetEngine(), Rows)
    connection.close()


def test_pieces_of_a_subscription_wait_while_a_question_is_asked(engine: FakeEngine) -> None:
    engine.subscriptions[GetRun] = snapshot_of(run_row())
    engine.answers[GetEngine] = rows_of(engine_row(engine.home))
    connection = open_connection(Home(engine.home))
    number = connection.send(Subscribe(view=GetRun(run=12)))
    connection.ask(GetEngine(), Rows)
    piece = connection.receive(5)
    connection.close()
    assert isinstance(piece, Snapshot)
    assert piece.id == number


def test_a_home_deeper_than_a_socket_address_is_reached(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with FakeEngine(deep) as engine:
        engine.answers[GetEngine] = rows_of(engine_row(deep))
        connection = open_connection(Home(deep))
        assert connection.ask(GetEngine(), Rows).rows[0]["home"] == str(deep)
        connection.close()


def test_a_short_path_is_its_own_address(tmp_path: Path) -> None:
    with socket_address("/a/b.sock") as address:
        assert address == "/a/b.sock"


def test_the_home_is_the_option_then_the_variable_then_the_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/op")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.delenv("ORCHCTL_HOME", raising=False)
    assert find_home().folder == "/home/op/.local/state/orchctl"
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    assert find_home().folder == "/xdg/orchctl"
    monkeypatch.setenv("ORCHCTL_HOME", "~/mine")
    assert find_home().folder == "/home/op/mine"
    assert find_home("/other/").folder == "/other"


def test_a_user_without_a_home_folder_is_told_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_STATE_HOME", "ORCHCTL_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)
    with pytest.raises(ValueFault, match="no home folder") as caught:
        find_home()
    assert "ORCHCTL_HOME" in caught.value.hint
