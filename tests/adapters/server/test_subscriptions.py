"""Subscriptions: what deltas lead to is what a fresh question answers, whatever happens, for fast and slow readers."""

import random
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.events import Ask, CancelRequested, RetryRequested, RunPauseRequested, RunResumeRequested
from engine.model.status import SUCCESS, Outcome, OutcomeKind
from engine.model.workflow import Workflow
from engine.protocol.messages import (
    Delta,
    Done,
    ExplainRun,
    GetEngine,
    GetResources,
    GetRun,
    Gone,
    ListAttempts,
    ListBackfills,
    ListGroups,
    ListQueue,
    ListRuns,
    ListSchedules,
    ListTasks,
    ListWorkflows,
    Refused,
    Reply,
    Request,
    Rows,
    Snapshot,
    Subscribe,
    Unsubscribe,
    key_of,
)
from engine.server.packing import Packed, Page
from engine.server.ports import HostUse
from engine.server.subscriptions import SharedView, Subscriber
from tests.adapters.server.talk import PATIENCE_S, Client, Site, site
from tests.unit.server.house import House, tasks_of

pytestmark = pytest.mark.trio
FLOW = Workflow("flow", tasks_of(("a", ""), ("each", "a", list(range(12))), ("b", "each"), ("c", "a")))
FAILED = Outcome(OutcomeKind.FAILED, exit_code=1)


class Picture:
    """What a client knows by a snapshot and the deltas after it. It insists that nothing was missed."""

    def __init__(self) -> None:
        self.revision = -1
        self.rows: dict[str, dict[str, Any]] = {}
        self.total = 0
        self.ended = ""

    def take(self, reply: Reply) -> None:
        if isinstance(reply, Gone):
            self.ended = reply.why
            return
        assert isinstance(reply, Snapshot | Delta)
        assert reply.revision >= self.revision
        fresh = {key_of(row): row for row in reply.rows}
        if isinstance(reply, Snapshot):
            self.rows = fresh
        else:
            assert reply.since == self.revision
            known = self.rows | fresh
            self.rows = known if reply.order is None else {key: known[key] for key in reply.order}
            assert reply.order is not None or list(known) == list(self.rows)
        self.revision, self.total = reply.revision, reply.total


def stir(house: House, rng: random.Random) -> None:
    """One thing that can happen to an engine."""
    runs = list(house.state.runs)
    choice = rng.random()
    if not runs or (choice < 0.05 and len(runs) < 4):
        house.begin(FLOW)
        return
    run = rng.choice(runs)
    if choice < 0.08:
        house.step(CancelRequested(Ask(), run))
    elif choice < 0.12:
        house.step(RunPauseRequested(Ask(), run) if rng.random() < 0.5 else RunResumeRequested(Ask(), run))
    elif choice < 0.15:
        house.step(RetryRequested(Ask(), run))
    elif live := house.live(run):
        attempt = rng.choice(live)
        if attempt.started_ns:
            house.end(attempt, FAILED if rng.random() < 0.1 else SUCCESS)
        else:
            house.start(attempt, pid=rng.randrange(1, 10**5))
    else:
        house.step()


@pytest.mark.parametrize("seed", range(6))
async def test_deltas_lead_to_what_a_fresh_question_answers(seed: int) -> None:
    rng = random.Random(seed)
    house = House(cpus=5)
    house.add(FLOW)
    first = house.begin(FLOW)
    views: list[Request] = [
        ListRuns(limit=3), ListRuns(statuses=("running",)), GetRun(run=first), GetRun(run=0), ListGroups(run=first),
        ListTasks(run=first), ListTasks(run=first, sort="attention", limit=5),
        ListTasks(run=first, statuses=("running",)),
        ListTasks(run=first, sort="duration", offset=2, limit=4), ListAttempts(run=first, task="a"),
        ExplainRun(run=first), ListSchedules(), ListWorkflows(), ListBackfills(), GetResources(), GetEngine(),
        ListQueue(limit=3),
    ]  # fmt: skip
    async with site(house) as here:
        client, asker = await here.client(), await here.client()
        pictures = {number: Picture() for number in range(1, len(views) + 1)}
        deltas = 0
        for number, view in enumerate(views, 1):
            await client.send(Subscribe(id=number, view=view, rate=20))  # pyright: ignore[reportArgumentType]
        for _ in range(150):
            stir(house, rng)
            await trio.sleep(0.001 if rng.random() < 0.9 else 0.06)
        await _until_quiet(client, pictures)
        for number, view in enumerate(views, 1):
            answer = await asker.ask(msgspec.structs.replace(view, id=number), Rows)
            picture = pictures[number]
            deltas += picture.revision > 0
            assert list(picture.rows) == [key_of(row) for row in answer.rows], view
            assert [_still(row) for row in picture.rows.values()] == [_still(row) for row in answer.rows], view
            assert picture.total == answer.total, view
        assert deltas == len(views)


def _still(row: dict[str, Any]) -> dict[str, Any]:
    """Without what goes on changing with time alone: how long a delay still takes, what an owner has used."""
    row = dict(row)
    row.pop("predicted_start", None)
    if "owners" in row:
        row["owners"] = [{**owner, "used": 0} for owner in row["owners"]]
    return row


async def _until_quiet(client: Client, pictures: dict[int, Picture]) -> None:
    """Take in everything until nothing has come for longer than the slowest view takes."""
    while True:
        reply = None
        with trio.move_on_after(0.7):
            reply = await client.next()
        if reply is None:
            return
        pictures[reply.id].take(reply)


KEYS = st.lists(st.sampled_from("abcdefg"), unique=True, max_size=6)
STEPS = st.lists(
    st.tuples(KEYS, st.integers(0, 2), st.lists(st.integers(0, 3), max_size=3)), min_size=1, max_size=25
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(STEPS)
async def test_readers_of_one_view_at_different_speeds_all_arrive_at_its_rows(
    steps: list[tuple[list[str], int, list[int]]],
) -> None:
    view = SharedView(b"", GetEngine())
    readers = [Subscriber(number, None, view, 1) for number in range(4)]  # pyright: ignore[reportArgumentType]
    pictures = [Picture() for _ in readers]
    for revision, (keys, value, reading) in enumerate(steps, 1):
        rows = [Packed(key, msgspec.msgpack.encode({"run": key, "v": (ord(key) * value) % 3})) for key in keys]
        view.take(revision, Page(rows, total=len(rows)))
        for number in {*reading, *(range(4) if revision == len(steps) else ())}:
            _read(view, readers[number], pictures[number])
    for picture in pictures:
        assert [msgspec.msgpack.encode(row) for row in picture.rows.values()] == [row.data for row in view.rows]


def _read(view: SharedView, reader: Subscriber, picture: Picture) -> None:
    if reader.serial != view.serial:
        frame = view.frame_for(reader)
        reply = msgspec.msgpack.decode(frame[4:], type=Snapshot | Delta)
        assert (reply.id, isinstance(reply, Snapshot)) == (reader.number, reader.serial == 0)
        picture.take(reply)
        reader.serial, reader.revision = view.serial, view.revision


async def test_nothing_is_sent_where_nothing_changed_and_only_rows_that_did() -> None:
    async with site() as here:
        run = here.house.begin(FLOW)
        client = await here.client()
        first = await client.ask(Subscribe(id=1, view=ListTasks(run=run), rate=20), Snapshot)
        assert len(first.rows) == 4
        here.house.begin(FLOW)
        with trio.move_on_after(0.2):
            pytest.fail(f"sent for nothing: {await client.next()}")
        here.house.start(here.house.live(run)[0], pid=5)
        delta = await client.next()
        assert isinstance(delta, Delta)
        assert [row["task"] for row in delta.rows] == ["a"]
        assert delta.order is None


async def test_changes_come_at_most_at_the_rate_and_coalesce() -> None:
    async with site() as here:
        run = here.house.begin(FLOW)
        client = await here.client()
        await client.ask(Subscribe(id=1, view=GetRun(run=run), rate=5), Snapshot)
        begun, count = trio.current_time(), 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_busy, here, run)
            while trio.current_time() - begun < 1:
                reply = await client.next()
                assert isinstance(reply, Delta)
                count += 1
            nursery.cancel_scope.cancel()
        assert 2 <= count <= 7


async def _busy(here: Site, run: int) -> None:
    paused = False
    while True:
        here.house.step(RunResumeRequested(Ask(), run) if paused else RunPauseRequested(Ask(), run))
        paused = not paused
        await trio.sleep(0.003)


async def test_equal_views_share_one_evaluation_and_one_encoding() -> None:
    async with site() as here:
        run = here.house.begin(FLOW)
        clients = [await here.client() for _ in range(30)]
        for number, client in enumerate(clients, 1):
            await client.ask(Subscribe(id=number, view=ListTasks(run=run, id=number), rate=20), Snapshot)
        reads = here.house.history.reads
        here.house.start(here.house.live(run)[0])
        here.house.end(here.house.live(run)[0])
        for client in clients:
            while not isinstance(reply := await client.next(), Delta):
                pass
            assert reply.since < reply.revision
        assert here.house.history.reads - reads <= 3


async def test_an_ended_subscription_sends_nothing_and_its_number_is_free_again() -> None:
    async with site() as here:
        run = here.house.begin(FLOW)
        client = await here.client()
        for _ in range(3):
            await client.ask(Subscribe(id=1, view=GetRun(run=run), rate=20), Snapshot)
            await client.ask(Unsubscribe(id=2, subscription=1), Done)
            here.house.step(RunPauseRequested(Ask(), run))
            here.house.step(RunResumeRequested(Ask(), run))
            with trio.move_on_after(0.1):
                pytest.fail(f"sent after the end: {await client.next()}")


async def test_a_subscription_to_nothing_is_refused_and_one_whose_run_goes_away_ends() -> None:
    async with site() as here:
        run = here.house.begin(FLOW)
        client = await here.client()
        await client.ask(Subscribe(id=1, view=ListTasks(run=99)), Refused)
        await client.ask(Subscribe(id=1, view=ListTasks(run=run, limit=-1)), Refused)
        await client.ask(Subscribe(id=1, view=ListTasks(run=run, limit=2), rate=20), Snapshot)
        here.house.finish(run)
        assert run not in here.house.state.runs
        with trio.fail_after(PATIENCE_S):
            status = ""
            while status != "succeeded":
                reply = await client.next()
                assert isinstance(reply, Delta)
                status = next((row["status"] for row in reply.rows if row["task"] == "each"), status)
        here.house.history.finished.clear()
        here.house.history.headers.clear()
        here.server.history_pruned()
        gone = await client.next()
        assert isinstance(gone, Gone)
        assert "r1" in gone.why


async def test_a_finished_run_is_loaded_for_whoever_subscribes_to_it() -> None:
    async with site() as here:
        run = here.house.begin(FLOW)
        here.house.finish(run)
        client = await here.client()
        rows = await client.ask(Subscribe(id=1, view=ListTasks(run=run)), Snapshot)
        assert {row["status"] for row in rows.rows} == {"succeeded"}
        groups = await client.ask(Subscribe(id=2, view=ListGroups(run=run)), Snapshot)
        assert len(groups.rows) == 4
        assert here.house.history.loads == 1
        await client.ask(Subscribe(id=3, view=GetRun(run=run)), Snapshot)


async def test_what_changes_with_time_alone_comes_by_itself_once_a_second() -> None:
    async with site() as here:
        client = await here.client()
        first = await client.ask(Subscribe(id=1, view=GetResources(), rate=20), Snapshot)
        assert first.rows[0]["load"] is None
        here.house.use = HostUse(load=2.5)
        began = trio.current_time()
        reply = await client.next()
        assert isinstance(reply, Delta)
        assert reply.rows[0]["load"] == 2.5
        assert trio.current_time() - began < 3
