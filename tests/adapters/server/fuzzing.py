"""Frames that are nearly right: good requests of every kind with bytes changed, cut, doubled, spliced or lengthened."""

import random
from collections.abc import Iterator

import trio

from engine.model.errors import ValueFault
from engine.model.workflow import Workflow, encode
from engine.protocol.framing import FrameBuffer, decode_request, frame
from engine.protocol.messages import (
    PROTOCOL,
    Act,
    ActOnBackfill,
    AddWorkflow,
    Backup,
    ChangeSettings,
    CollectGarbage,
    ExplainRun,
    GetEngine,
    GetMoment,
    GetResources,
    GetRun,
    GetWorkflow,
    Hello,
    ListAttempts,
    ListAudit,
    ListBackfills,
    ListEvents,
    ListGroups,
    ListMetrics,
    ListMoments,
    ListPartitions,
    ListPast,
    ListRuns,
    ListSchedules,
    ListTasks,
    ListTrials,
    ListWorkflows,
    PauseWorkflow,
    ReadLog,
    RemoveWorkflow,
    Request,
    Rows,
    StartBackfill,
    Submit,
    Subscribe,
    Target,
    Unsubscribe,
    Upload,
    VerifyAudit,
)
from tests.adapters.server.talk import PATIENCE_S, Client, Site
from tests.unit.server.house import tasks_of

_EDGES = (0, 1, 0x7F, 0x80, 0x90, 0xA0, 0xC0, 0xC1, 0xC6, 0xCB, 0xCF, 0xD3, 0xDB, 0xDD, 0xDF, 0xFF)


def seeds(run: int) -> list[bytes]:
    """One good request of each kind that changes little, without its length."""
    flow = encode(Workflow("fuzz", tasks_of(("a", ""))))
    requests: list[Request] = [
        Hello(protocol=1), Subscribe(id=1, view=ListTasks(run=run, limit=5)), Unsubscribe(subscription=1), GetEngine(),
        ListRuns(workflow="fan", statuses=("running",), before=5), GetRun(run=run), ListGroups(run=run, text="e"),
        ListTasks(run=run, statuses=("running",), sort="attention", limit=3),
        ListAttempts(run=run, task="each", index=1),
        ListMetrics(run=run, task="each"), ListTrials(run=run, task="each", metrics=("cpu",), limit=2),
        ExplainRun(run=run, limit=3), ReadLog(run=run, task="each", index=1), ListEvents(run=run, limit=5), ListAudit(),
        ListSchedules(), ListWorkflows(), GetWorkflow(workflow="fan"), GetResources(),
        Upload(upload="u", offset=0, data=b"x" * 50),
        Submit(request_id="s", workflow="fan", params={"a": [1, {"b": 2.5}]}),
        AddWorkflow(request_id="a", definition=flow), RemoveWorkflow(request_id="r", workflow="x"),
        PauseWorkflow(request_id="p", workflow="x", paused=True), Backup(folder="relative"),
        CollectGarbage(dry_run=True), VerifyAudit(), ListBackfills(), GetMoment(run=run, revision=3),
        ListMoments(run=run, before=9), ListPast(run=run, revision=3, task="each"),
        GetMoment(run=run, at="2026-11-23T02:15:00Z"),
        ListPartitions(workflow="fan", since="2026-11-01", until="2026-11-03"),
        StartBackfill(request_id="b", workflow="fan", since="2026-11-01", until="2026-11-03", params={"a": 1}),
        ActOnBackfill(request_id="e", verb="cancel", backfill=1, seen="running"),
        ChangeSettings(request_id="f", run=run, task="each", settings={"max_parallel": 2, "priority": None}),
        Act(request_id="c", verb="mark", run=run, targets=(Target(task="each", index=1, status="running"),)),
        Act(request_id="d", verb="cancel", run=run, targets=(Target(task="each", index=2),), note="n"),
    ]  # fmt: skip
    return [frame(request)[4:] for request in requests]


def hostile_frames(rng: random.Random, good: list[bytes]) -> Iterator[bytes]:
    """Mutants without end; about one in ten also has a wrong length."""
    while True:
        body = bytearray(rng.choice(good))
        for _ in range(rng.randint(1, 4)):
            _mutate(rng, body, good)
        length = len(body) if rng.random() < 0.9 else rng.choice((0, 1, 2**20, 2**20 + 1, 2**32 - 1, len(body) + 1))
        yield length.to_bytes(4, "big") + bytes(body)


def _mutate(rng: random.Random, body: bytearray, good: list[bytes]) -> None:
    at = rng.randrange(len(body) + 1)
    match rng.randrange(6):
        case 0 if at < len(body):
            body[at] = rng.choice(_EDGES)
        case 1 if at < len(body):
            body[at] ^= 1 << rng.randrange(8)
        case 2:
            del body[at : at + rng.randint(1, 8)]
        case 3:
            body[at:at] = bytes(rng.choice(_EDGES) for _ in range(rng.randint(1, 8)))
        case 4:
            other = rng.choice(good)
            body[at:] = other[rng.randrange(len(other)) :]
        case _:
            body[at:at] = body[at : at + rng.randint(1, 16)]
    if not body:
        body.append(rng.choice(_EDGES))


async def fuzz(here: Site, count: int, seed: int, run: int, bad_share: float = 1.0) -> None:
    """Send so many mutants, and look after another client meanwhile.

    A frame that is no request ends its session, so each takes a connection; only `bad_share` of those are sent.
    """
    rng = random.Random(seed)
    witness = await here.client()
    batch = bytearray()
    for number, mutant in enumerate(hostile_frames(rng, seeds(run))):
        if number == count:
            break
        if _is_request(mutant):
            batch += mutant
        elif rng.random() < bad_share:
            await _send(here, bytes(batch + mutant))
            batch.clear()
        if number % 5_000 == 0:
            with trio.fail_after(PATIENCE_S):
                assert (await witness.ask(GetEngine(id=1), Rows)).rows
    await _send(here, bytes(batch))
    await witness.close()


def _is_request(mutant: bytes) -> bool:
    """Whether the server will go on after this frame; anything but a ValueFault is a fault of ours."""
    buffer = FrameBuffer()
    try:
        bodies = buffer.feed(mutant)
        for body in bodies:
            decode_request(body)
    except ValueFault:
        return False
    return bool(bodies) and not buffer.partial


async def _send(here: Site, data: bytes) -> None:
    """One session: the bytes, then the end; and everything that comes back is taken."""
    client = await here.connect()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_drink, client)
        await client.raw(frame(Hello(protocol=PROTOCOL)) + data)
        try:
            await client.stream.send_eof()
        except trio.BrokenResourceError:
            pass
    await client.close()
    here.forget(client)


async def _drink(client: Client) -> None:
    """Read until the server closes."""
    with trio.fail_after(PATIENCE_S):
        while True:
            try:
                if not await client.stream.receive_some(2**16):
                    return
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
