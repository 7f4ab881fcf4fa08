"""The console's line to the engine: snapshots and deltas, gaps, restarts, acts that must happen once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from engine.protocol.messages import Act, Delta, Done, ListRuns, Refused, Snapshot, Subscribe
from engine.protocol.rows import RunRow
from orchctl.client.connection import EngineGone, RefusalError
from orchctl.console import feed as feed_module
from orchctl.console.feed import Feed
from orchctl.console.store import Change, Picture
from orchctl.paths import Home
from tests.support.console_engine import ConsoleEngine
from tests.support.console_pilot import until
from tests.support.console_world import ingest, run


class Seen:
    """A picture of the runs, and what it was told."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.ended: list[str] = []
        self.picture: Picture[RunRow] = Picture(RunRow, self.changes.append, self.ended.append)

    @property
    def statuses(self) -> list[str]:
        return [row.status for row in self.picture.rows]


@contextlib.asynccontextmanager
async def feeding(folder: Path, *, read_only: bool = False) -> AsyncIterator[tuple[ConsoleEngine, Feed]]:
    engine = ConsoleEngine(folder, ingest())
    await engine.start()
    feed = Feed(Home(folder), read_only=read_only)
    life = asyncio.create_task(feed.run())
    try:
        await until(lambda: feed.live)
        yield engine, feed
    finally:
        life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life
        if engine._server is not None:
            await engine.stop()


@pytest.mark.asyncio
async def test_a_subscription_brings_a_snapshot_and_then_only_what_changed(tmp_path: Path) -> None:
    async with feeding(tmp_path) as (engine, feed):
        seen = Seen()
        feed.subscribe(ListRuns(), seen.picture)
        await until(lambda: seen.picture.known)
        assert seen.statuses == ["running", "paused", "succeeded"]
        engine.world.runs[1] = msgspec.structs.replace(engine.world.runs[1], status="running")
        engine.publish()
        await until(lambda: seen.statuses[1] == "running")
        assert seen.changes[-1].keys == {"r11"}
        assert not seen.changes[-1].moved


@pytest.mark.asyncio
async def test_rows_that_come_and_go_keep_the_order_of_the_engine(tmp_path: Path) -> None:
    async with feeding(tmp_path) as (engine, feed):
        seen = Seen()
        feed.subscribe(ListRuns(), seen.picture)
        await until(lambda: seen.picture.known)
        engine.world.runs = [run(13, "new", "queued", {}), *engine.world.runs[:2]]
        engine.publish()
        await until(lambda: seen.picture.keys == ["r13", "r12", "r11"])
        assert seen.changes[-1].moved
        assert seen.picture.get("r10") is None


@pytest.mark.asyncio
async def test_a_gap_between_deltas_makes_the_feed_subscribe_anew(tmp_path: Path) -> None:
    async with feeding(tmp_path) as (engine, feed):
        seen = Seen()
        feed.subscribe(ListRuns(), seen.picture)
        await until(lambda: seen.picture.known)
        engine.world.runs[0] = msgspec.structs.replace(engine.world.runs[0], status="failed")
        engine.publish(skip=1)
        await until(lambda: seen.statuses[0] == "failed")
        subscribed = [request for request in engine.requests if isinstance(request, Subscribe)]
        assert len(subscribed) == 2
        assert len(engine.subscriptions) == 1


@pytest.mark.asyncio
async def test_a_picture_refuses_a_delta_that_orders_a_row_it_never_got() -> None:
    seen = Seen()
    seen.picture.apply(Snapshot(revision=4, rows=[msgspec.to_builtins(run(1, "a", "running", {}))], total=1))
    with pytest.raises(feed_module.OutOfStepError):
        seen.picture.apply(Delta(since=4, revision=5, rows=[], order=["r1", "r2"], total=2))
    assert seen.picture.keys == ["r1"]
    assert seen.picture.revision == 4


@pytest.mark.asyncio
async def test_a_row_of_another_kind_ends_the_subscription_and_is_not_asked_for_again(tmp_path: Path) -> None:
    async with feeding(tmp_path) as (engine, feed):
        seen = Seen()
        engine.rows = lambda view: ([{"run": 7}], 1)  # type: ignore[method-assign]
        feed.subscribe(ListRuns(), seen.picture)
        await until(lambda: bool(seen.ended))
        assert "RunRow" in seen.ended[0]
        assert sum(isinstance(request, Subscribe) for request in engine.requests) == 1


@pytest.mark.asyncio
async def test_after_a_restart_of_the_engine_everything_is_subscribed_again(tmp_path: Path) -> None:
    async with feeding(tmp_path) as (engine, feed):
        seen = Seen()
        feed.subscribe(ListRuns(), seen.picture)
        await until(lambda: seen.picture.known)
        await engine.stop()
        await until(lambda: feed.link == "stale")
        assert not feed.may_act
        assert "no engine" in feed.trouble or "closed" in feed.trouble
        engine.world.runs[0] = msgspec.structs.replace(engine.world.runs[0], status="cancelled")
        await engine.start()
        await until(lambda: feed.live and seen.statuses[0] == "cancelled")
        assert feed.stale_s() == 0


@pytest.mark.asyncio
async def test_staleness_counts_from_when_the_engine_was_last_heard(tmp_path: Path) -> None:
    now = [100.0]
    feed = Feed(Home(tmp_path), clock=lambda: now[0])
    now[0] = 112.0
    assert feed.stale_s() == 12.0


@pytest.mark.asyncio
async def test_an_act_whose_answer_was_lost_is_sent_again_under_the_same_name(tmp_path: Path) -> None:
    async with feeding(tmp_path) as (engine, feed):
        engine.silent = True
        acting = asyncio.create_task(feed.act(Act(request_id="", verb="cancel", run=12)))
        await until(lambda: len(engine.acts) == 1)
        await engine.stop()
        engine.silent = False
        await engine.start()
        done = await acting
        assert isinstance(done, Done)
        assert len(engine.acts) == 2
        assert engine.acts[0].request_id == engine.acts[1].request_id != ""


@pytest.mark.asyncio
async def test_a_refusal_is_raised_with_the_engines_own_words(tmp_path: Path) -> None:
    async with feeding(tmp_path) as (engine, feed):
        engine.answer_act = Refused(code="conflict", sentence="r12 has ended", hint="look again")
        with pytest.raises(RefusalError) as refused:
            await feed.act(Act(request_id="", verb="cancel", run=12))
        assert refused.value.sentence == "r12 has ended"
        assert refused.value.code == "conflict"


@pytest.mark.asyncio
async def test_an_engine_that_answers_nothing_counts_as_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "SILENCE_S", 0.2)
    monkeypatch.setattr(feed_module, "HEARTBEAT_S", 0.05)
    async with feeding(tmp_path) as (engine, feed):
        engine.silent = True
        await until(lambda: not feed.live)
        assert "said nothing" in feed.trouble or feed.trouble
        engine.silent = False
        await until(lambda: feed.live)


@pytest.mark.asyncio
async def test_a_quiet_engine_is_kept_alive_by_the_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "SILENCE_S", 0.3)
    monkeypatch.setattr(feed_module, "HEARTBEAT_S", 0.05)
    async with feeding(tmp_path) as (engine, feed):
        asked = len(engine.requests)
        await until(lambda: len(engine.requests) >= asked + 12)  # more than the silence that is borne
        assert feed.live


@pytest.mark.asyncio
async def test_a_socket_path_longer_than_an_address_is_reached(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    async with feeding(folder) as (_, feed):
        assert feed.live


@pytest.mark.asyncio
async def test_without_an_engine_a_question_is_refused_at_once(tmp_path: Path) -> None:
    feed = Feed(Home(tmp_path))
    with pytest.raises(EngineGone):
        await feed.ask(ListRuns(), Done)


@pytest.mark.asyncio
async def test_a_viewer_may_not_act(tmp_path: Path) -> None:
    async with feeding(tmp_path, read_only=True) as (_, feed):
        assert feed.live
        assert not feed.may_act


@pytest.mark.asyncio
async def test_text_of_the_engine_is_inert_when_it_arrives(tmp_path: Path) -> None:
    async with feeding(tmp_path) as (engine, feed):
        engine.world.runs[0] = run(12, "a\x1b]52;c;aGk=\x07b", "running", {}, params={"k\x9b": ["\u202e"]})
        seen = Seen()
        feed.subscribe(ListRuns(), seen.picture)
        await until(lambda: seen.picture.known)
        row = seen.picture.rows[0]
        assert row.workflow == "a\\x1b]52;c;aGk=\\x07b"
        assert row.params == {"k\\x9b": ["\\u{202e}"]}
