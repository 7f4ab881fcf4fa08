"""Sessions over real sockets: the handshake, questions, acts, logs, roles."""

import os
import socket
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from engine.core.events import LogSlice
from engine.model.errors import Unavailable
from engine.model.samples import Sample, packed, samples_path
from engine.model.workflow import Param, Workflow, encode
from engine.protocol.messages import (
    CHUNK_BYTES,
    PROTOCOL,
    Act,
    AddWorkflow,
    Backup,
    CollectGarbage,
    Definition,
    Done,
    GetEngine,
    GetRun,
    GetWorkflow,
    Hello,
    ListAudit,
    ListRuns,
    ListSamples,
    ListTasks,
    ListWorkflows,
    LogChunk,
    PauseWorkflow,
    ReadLog,
    Refused,
    RemoveWorkflow,
    Rows,
    StopEngine,
    Submit,
    Subscribe,
    Target,
    Upload,
    VerifyAudit,
)
from engine.server.access import Access, Role
from engine.server.limits import Limits
from tests.adapters.server.talk import PATIENCE_S, Client, site
from tests.unit.server.house import House, tasks_of

pytestmark = pytest.mark.trio
FLOW = Workflow("flow", tasks_of(("a", ""), ("b", "a")), params=(Param("x", default="1"),))
BIG = Workflow("big", tasks_of(("a", "")), description="d" * 3_000_000)


async def upload(client: Client, name: str, data: bytes) -> None:
    for offset in range(0, len(data), CHUNK_BYTES):
        piece = data[offset : offset + CHUNK_BYTES]
        done = await client.ask(Upload(id=50, upload=name, offset=offset, data=piece), Done)
        assert done.body["bytes"] == offset + len(piece)


async def test_hello_is_answered_with_the_engine_and_the_role() -> None:
    async with site() as here:
        welcome = await (await here.connect()).hello()
        assert (welcome.protocol, welcome.role, welcome.engine.clients) == (PROTOCOL, "admin", 1)


async def test_another_protocol_is_refused_with_a_hint_and_closed() -> None:
    async with site() as here:
        for protocol in (0, PROTOCOL + 1, 2**63, -5):
            client = await here.connect()
            refused = await client.ask(Hello(protocol=protocol), Refused)
            assert "protocol" in refused.sentence
            assert refused.hint
            await client.ended()


async def test_the_first_message_must_be_hello() -> None:
    async with site() as here:
        client = await here.connect()
        await client.send(GetEngine(id=3))
        assert isinstance(await client.next(), Refused)
        await client.ended()


async def test_questions_are_answered_with_their_ids_and_wrong_ones_refused() -> None:
    async with site() as here:
        run = here.house.begin(FLOW)
        client = await here.client()
        rows = await client.ask(ListTasks(id=9, run=run), Rows)
        assert (rows.total, rows.revision) == (2, here.house.state.meta.revision)
        assert (await client.ask(ListTasks(id=10, run=77), Refused)).code == "not_found"
        assert (await client.ask(ListTasks(id=11, run=run, limit=-1), Refused)).code == "invalid_value"
        definition = await client.ask(GetRun(id=12, run=run), Rows)
        assert definition.rows[0]["workflow"] == "flow"


async def test_nothing_is_answered_from_a_state_that_is_not_on_disk() -> None:
    async with site() as here:
        client = await here.client()
        here.house.committing = True
        await client.send(ListRuns(id=1))
        with trio.move_on_after(0.1):
            reply = await client.next()
            pytest.fail(f"answered during a commit: {reply}")
        here.house.committing = False
        here.house.begin(FLOW)
        reply = await client.next()
        assert isinstance(reply, Rows)
        assert [row["run"] for row in reply.rows] == ["r1"]


async def test_a_run_is_submitted_acted_on_and_audited() -> None:
    async with site() as here:
        client = await here.client(via="console", place="pts/3" + "x" * 999)
        done = await client.ask(Submit(id=1, request_id="s1", definition=encode(FLOW), params={"x": "2"}), Done)
        assert done.body["run"] == "r1"
        assert here.house.state.runs[1].header.params == {"x": "2"}
        for verb in ("pause", "resume", "cancel"):
            done = await client.ask(Act(id=2, request_id=verb, verb=verb, run=1), Done)
        stale = Act(id=3, request_id="x", verb="cancel", run=1, targets=(Target(task="a", status="waiting"),))
        refused = await client.ask(stale, Refused)
        assert refused.code == "conflict"
        audit = await client.ask(ListAudit(id=4), Rows)
        assert [(row["verb"], row["result"]) for row in audit.rows] == [
            ("cancel", "conflict"), ("cancel", "accepted"), ("resume", "accepted"), ("pause", "accepted"),
            ("submit", "accepted"),
        ]  # fmt: skip
        assert {(row["uid"], row["via"]) for row in audit.rows} == {(os.getuid(), "console")}
        assert {row["place"] for row in audit.rows} == {"pts/3".ljust(40, "x")}


async def test_the_note_of_every_act_reaches_the_audit() -> None:
    async with site() as here:
        client = await here.client()
        number = here.house.begin(FLOW)
        rows = (Target(task="a", index=None),)
        acts: list[tuple[Any, tuple[Target, ...]]] = [
            ("pause", ()), ("resume", ()), ("retry", ()), ("rerun", rows), ("mark", rows), ("cancel", ()),
        ]  # fmt: skip
        for verb, targets in acts:
            act = Act(
                id=1, request_id=verb, verb=verb, run=number, targets=targets, note=f"why {verb}",
                mark="failed" if verb == "mark" else "",
            )  # fmt: skip
            await client.ask(act, Done if verb in ("pause", "resume", "cancel") else Refused)
        audit = await client.ask(ListAudit(id=2, limit=len(acts)), Rows)
        assert [(row["verb"], row["note"]) for row in reversed(audit.rows)] == [
            (verb, f"why {verb}") for verb, _ in acts
        ]


async def test_a_request_that_is_repeated_does_nothing_twice_and_an_id_is_never_used_for_two() -> None:
    async with site() as here:
        client = await here.client()
        submit = Submit(id=1, request_id="same", definition=encode(FLOW))
        first = await client.ask(submit, Done)
        second = await (await here.client()).ask(submit, Done)
        assert first.body == second.body
        assert len(here.house.state.runs) == 1
        other = msgspec.structs.replace(submit, params={"x": "9"})
        assert (await client.ask(other, Refused)).code == "conflict"
        assert len(here.house.state.runs) == 1
        assert (await client.ask(Submit(request_id="", workflow="flow"), Refused)).code == "invalid_value"


async def test_a_large_definition_comes_in_pieces() -> None:
    async with site() as here:
        client = await here.client()
        await upload(client, "u", encode(BIG))
        assert (await client.ask(AddWorkflow(id=2, request_id="a", upload="u", paused=True), Done)).body["changed"]
        assert here.house.state.workflows["big"].paused
        assert (await client.ask(AddWorkflow(id=3, request_id="b", upload="u"), Refused)).code == "not_found"
        shown = await client.ask(ListWorkflows(id=4), Rows)
        assert shown.rows[0]["workflow"] == "big"
        text = await client.ask(GetWorkflow(id=5, workflow="big"), Definition)
        assert (text.workflow, text.truncated) == ("big", False)
        repeat = msgspec.structs.replace(AddWorkflow(id=6, request_id="a", upload="again", paused=True))
        await upload(client, "again", encode(BIG))
        assert (await client.ask(repeat, Done)).body["workflow"] == "big"


async def test_uploads_are_bounded_ordered_and_forgotten() -> None:
    limits = Limits(upload_bytes=100, upload_bytes_total=150, upload_s=0.05)
    async with site(limits=limits) as here:
        one, two = await here.client(), await here.client()
        assert (await one.ask(Upload(id=1, upload="u", offset=5, data=b"x"), Refused)).code == "invalid_value"
        await one.ask(Upload(id=2, upload="u", offset=0, data=b"x" * 100), Done)
        assert (await one.ask(Upload(id=3, upload="u", offset=100, data=b"x"), Refused)).code == "invalid_value"
        assert (await two.ask(Upload(id=4, upload="u", offset=0, data=b"x" * 60), Refused)).code == "unavailable"
        await trio.sleep(0.1)
        assert (await one.ask(Submit(id=5, request_id="x", upload="u"), Refused)).code == "not_found"
        await two.ask(Upload(id=6, upload="u", offset=0, data=b"x" * 60), Done)
        await two.close()
        await here.until_clients(1)
        await one.ask(Upload(id=7, upload="v", offset=0, data=b"x" * 100), Done)


async def test_the_engine_is_stopped_backed_up_and_cleaned_by_request() -> None:
    async with site() as here:
        client = await here.client()
        assert (await client.ask(Backup(id=1, folder="relative"), Refused)).code == "invalid_value"
        assert (await client.ask(Backup(id=2, folder="/b"), Done)).body["folder"] == "/b"
        assert (await client.ask(CollectGarbage(id=3, dry_run=True), Done)).body["runs"] == 0
        assert (await client.ask(VerifyAudit(id=5), Done)).body == {"intact": True, "entries": 3, "fault": ""}
        await client.ask(StopEngine(id=4, kill=True), Done)
        assert here.house.stops == [(True, False)]
        assert [entry.verb for entry in here.house.audited] == ["backup", "backup", "gc", "stop"]


async def test_workflows_are_paused_and_removed_by_request() -> None:
    async with site() as here:
        here.house.add(FLOW)
        client = await here.client()
        await client.ask(PauseWorkflow(id=1, request_id="p", workflow="flow", paused=True), Done)
        assert here.house.state.workflows["flow"].paused
        await client.ask(Submit(id=2, request_id="s", workflow="flow"), Done)
        await client.ask(RemoveWorkflow(id=3, request_id="r", workflow="flow"), Done)
        assert not here.house.state.workflows
        assert (await client.ask(Submit(id=4, request_id="t", workflow="flow"), Refused)).code == "not_found"


# --- logs -----------------------------------------------------------------------------------------------------------


async def test_a_log_is_read_in_pieces_from_either_end_and_says_when_it_is_whole() -> None:
    async with site() as here:
        run = here.house.begin(FLOW)
        attempt = here.house.live(run)[0]
        file = here.folder / "logs" / f"r{run}" / "a.1.log"
        client = await here.client()
        empty = await client.ask(ReadLog(id=1, run=run, task="a"), LogChunk)
        assert (empty.data, empty.size, empty.final) == (b"", 0, False)
        assert (await client.ask(ReadLog(id=6, run=run, task="b"), Refused)).code == "not_found"
        file.parent.mkdir()
        file.write_bytes(b"....0123456789")
        attempt.log = LogSlice(f"r{run}/a.1.log", 4, 0)
        live = await client.ask(ReadLog(id=2, run=run, task="a", offset=2, limit=3), LogChunk)
        assert (live.data, live.offset, live.size, live.final, live.number) == (b"234", 2, 10, False, 1)
        here.house.start(attempt)
        here.house.end(attempt, log=LogSlice(f"r{run}/a.1.log", 4, 8))
        tail = await client.ask(ReadLog(id=3, run=run, task="a", offset=-3), LogChunk)
        assert (tail.data, tail.offset, tail.size, tail.final) == (b"567", 5, 8, True)
        assert tail.path == str(file)
        beyond = await client.ask(ReadLog(id=4, run=run, task="a", offset=100), LogChunk)
        assert (beyond.data, beyond.offset) == (b"", 8)
        file.unlink()
        assert (await client.ask(ReadLog(id=5, run=run, task="a"), Refused)).code == "not_found"
        assert (await client.ask(ReadLog(id=7, run=run, task="a", number=2), Refused)).code == "not_found"


async def test_what_an_attempt_used_is_told_while_it_runs_and_later() -> None:
    async with site() as here:
        run = here.house.begin(FLOW)
        attempt = here.house.live(run)[0]
        client = await here.client()
        assert (await client.ask(ListSamples(id=1, run=run, task="a"), Rows)).rows == []
        file = here.folder / "logs" / samples_path(run, "a", -1, 1)
        file.parent.mkdir()
        first = Sample(10**18, 5 * 2**20, 10**8, 7, 8, 2, 3)
        file.write_bytes(packed([first, first._replace(at_ns=10**18 + 2 * 10**9, cpu_ns=31 * 10**8)]) + b"half a one")
        live = await client.ask(ListSamples(id=2, run=run, task="a"), Rows)
        assert [(row["memory"], row["cpu_seconds"], row["cpus"], row["threads"]) for row in live.rows] == [
            (5 * 2**20, 0.1, 0.0, 3), (5 * 2**20, 3.1, 1.5, 3),
        ]  # fmt: skip
        assert live.rows[1]["at"] == "2001-09-09T01:46:42.000000Z"
        here.house.start(attempt)
        here.house.end(attempt)
        assert len((await client.ask(ListSamples(id=3, run=run, task="a", number=1), Rows)).rows) == 2
        assert (await client.ask(ListSamples(id=4, run=run, task="a", number=9), Refused)).code == "not_found"
        assert (await client.ask(ListSamples(id=5, run=run, task="a", number=-1), Refused)).code == "invalid_value"


async def test_no_log_leads_out_of_the_log_folder_and_no_pipe_blocks() -> None:
    async with site() as here:
        run = here.house.begin(FLOW)
        attempt = here.house.live(run)[0]
        logs = here.folder / "logs"
        (here.folder / "secret").write_text("secret")
        (logs / "link").symlink_to(here.folder / "secret")
        (logs / "folder").symlink_to(here.folder)
        os.mkfifo(logs / "pipe")
        client = await here.client()
        for path in ("link", "folder/secret", "pipe", "../secret", "/etc/passwd", ".", ""):
            attempt.log = LogSlice(path, 0, 0)
            await client.send(ReadLog(id=1, run=run, task="a"))
            reply = await client.next()
            assert isinstance(reply, Refused) or (isinstance(reply, LogChunk) and not reply.data), (path, reply)


# --- who may ------------------------------------------------------------------------------------------------------


async def test_a_read_only_session_and_a_viewer_may_ask_but_not_act() -> None:
    async with site() as here:
        client = await here.client(read_only=True)
        run = here.house.begin(FLOW)
        await client.ask(ListTasks(id=1, run=run), Rows)
        for request in (
            Act(id=2, request_id="a", verb="cancel", run=run), Submit(id=2, request_id="b", workflow="flow"),
            StopEngine(id=2), Upload(id=2, upload="u", offset=0, data=b"x"),
        ):  # fmt: skip
            assert (await client.ask(request, Refused)).code == "forbidden"
        assert len(here.house.state.runs) == 1
        assert not here.house.stops
        assert {entry.result for entry in here.house.audited} == {"forbidden"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.OPERATOR])
async def test_another_user_gets_in_only_with_a_role_and_is_judged_before_it_speaks(role: Role | None) -> None:
    uids = ((role, frozenset((12_345,))),) if role else ((Role.VIEWER, frozenset((1,))),)
    async with site(access=Access(0, uids)) as here:
        here.folder.chmod(0o711)
        client = await trio.to_thread.run_sync(_as_user, here.path, 12_345)
        speaker = here.of(trio.SocketStream(trio.socket.from_stdlib_socket(client)))
        if role is None:
            reply = await speaker.next()
            assert isinstance(reply, Refused)
            assert reply.code == "forbidden"
            await speaker.ended()
            assert [(entry.verb, entry.actor.uid) for entry in here.house.audited] == [("connect", 12_345)]
            return
        assert (await speaker.hello()).role == role.text
        here.house.add(FLOW)
        run = here.house.begin(FLOW)
        reply = Done if role is Role.OPERATOR else Refused
        await speaker.ask(Act(id=1, request_id="x", verb="cancel", run=run), reply)
        await speaker.ask(Submit(id=2, request_id="y", workflow="flow"), reply)
        await speaker.ask(Submit(id=3, request_id="z", definition=encode(FLOW)), Refused)
        await speaker.ask(StopEngine(id=4), Refused)


def _as_user(path: Path, uid: int) -> socket.socket:
    """A socket that another user has connected: the kernel notes who connects, whoever uses it later."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.connect(str(path))
            socket.send_fds(theirs, [b"x"], [connected.fileno()])
        finally:
            os._exit(0)
    theirs.close()
    _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    os.waitpid(child, 0)
    ours.close()
    return socket.socket(fileno=fds[0])


async def test_the_socket_and_its_folder_are_private_unless_roles_are_given() -> None:
    async with site() as here:
        assert stat.S_IMODE(here.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(here.path.parent.stat().st_mode) == 0o700
    shared = Access(os.geteuid(), ((Role.VIEWER, frozenset((1,))),))
    async with site(access=shared) as here:
        assert stat.S_IMODE(here.path.stat().st_mode) == 0o666
        assert stat.S_IMODE(here.path.parent.stat().st_mode) == 0o711


# --- the socket's file ----------------------------------------------------------------------------------------------


async def test_a_path_longer_than_an_address_works() -> None:
    async with site(inner="/".join(["x" * 60] * 4)) as here:
        assert len(str(here.path)) > 200
        folder = os.open(here.path.parent, os.O_PATH)
        client = await here.connect(f"/proc/self/fd/{folder}/engine.sock")
        os.close(folder)
        assert (await client.hello()).role == "admin"


async def test_a_dead_engines_socket_is_replaced_and_a_living_ones_is_not(tmp_path: Path) -> None:
    path = tmp_path / "run" / "engine.sock"
    path.parent.mkdir()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    house = House()
    async with site(house) as here:
        server = here.server
        second = type(server)(path, Access(os.geteuid()), house.state, house.history, house, tmp_path)
        async with trio.open_nursery() as nursery:
            await nursery.start(second.run)
            third = type(server)(path, Access(os.geteuid()), house.state, house.history, house, tmp_path)
            with pytest.raises(Unavailable, match="another engine"):
                await third.run()
            assert (await (await here.connect(str(path))).hello()).role == "admin"
            nursery.cancel_scope.cancel()
    assert list(path.parent.iterdir()) == []


async def test_a_file_in_the_sockets_place_is_left_alone(tmp_path: Path) -> None:
    house = House()
    async with site(house) as here:
        (tmp_path / "engine.sock").write_text("precious")
        other = type(here.server)(
            tmp_path / "engine.sock", Access(os.geteuid()), house.state, house.history, house, tmp_path
        )
        with pytest.raises(Unavailable, match="no socket"):
            await other.run()
        assert (tmp_path / "engine.sock").read_text() == "precious"


async def test_draining_lets_the_last_answer_through_and_ends_the_server() -> None:
    async with site() as here:
        client = await here.client()
        await client.send(*[GetEngine(id=number) for number in range(1, 30)])
        await client.ask(GetEngine(id=99), Rows)
        with trio.fail_after(PATIENCE_S):
            await here.server.drain()
        await client.ended()
        with pytest.raises(OSError):
            await here.connect()


async def test_a_client_that_closes_its_sending_side_still_gets_its_answers() -> None:
    async with site() as here:
        client = await here.client()
        await client.send(*[GetEngine(id=number) for number in range(1, 200)], Subscribe(id=500, view=ListRuns()))
        await client.stream.send_eof()
        replies = 0
        while (reply := await client.next()) is not None:
            replies += isinstance(reply, Rows)
        assert replies == 199
