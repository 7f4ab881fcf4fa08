"""What hostile clients send, and that it costs only them: every test ends by asking whether others are served."""

import gc
import os
import random
import resource
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import psutil
import pytest
import trio
import trio.lowlevel

from engine.model.workflow import Workflow
from engine.protocol.framing import frame
from engine.protocol.messages import (
    PROTOCOL,
    Act,
    GetEngine,
    Hello,
    ListRuns,
    ListTasks,
    Refused,
    Rows,
    Snapshot,
    Submit,
    Subscribe,
    Target,
)
from engine.server.limits import Limits
from tests.adapters.server.fuzzing import fuzz
from tests.adapters.server.talk import PATIENCE_S, Site, blocking_socket, site
from tests.unit.server.house import House, tasks_of

pytestmark = pytest.mark.trio
FAN = Workflow("fan", tasks_of(("each", "", ["y" * 4_000] * 200)))
QUICK = Limits(hello_s=0.3, frame_s=0.3, stall_s=0.5, drain_s=0.2, accept_pause_s=0.02)
MIB = 2**20


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def rss() -> int:
    gc.collect()
    return psutil.Process().memory_info().rss


@asynccontextmanager
async def besieged(limits: Limits = QUICK, house: House | None = None) -> AsyncGenerator[Site]:
    """A site that must still serve a client that was there before, and a new one, and keep nothing of the others."""
    async with site(house, limits=limits) as here:
        before = await here.client()
        memory = rss()
        yield here
        assert (await before.ask(GetEngine(id=1), Rows)).rows
        assert (await (await here.client()).ask(GetEngine(id=2), Rows)).rows
        await here.until_clients(2)
        assert rss() - memory < 64 * MIB


async def sent_away(here: Site, data: bytes, *, welcomed: bool = True) -> Refused | None:
    """The server's last words to a client that sends the bytes; fails unless it then closes."""
    client = await (here.client() if welcomed else here.connect())
    await client.raw(data)
    words: Refused | None = None
    while (reply := await client.next()) is not None:
        words = reply if isinstance(reply, Refused) else words
    await client.close()
    return words


GARBAGE: dict[str, bytes] = {
    "a frame of length 0": b"\0\0\0\0",
    "a frame of 4 GiB": b"\xff\xff\xff\xff" + b"x" * 100,
    "a frame just over the limit": (MIB + 1).to_bytes(4, "big") + b"x" * 5000,
    "100,000 nested arrays": framed(b"\x91" * 100_000),
    "100,000 nested maps in parameters": framed(
        b"\x84\xa4type\xa6Submit\xaarequest_id\xa1x\xa8workflow\xa1w\xa6params" + b"\x81\xa1a" * 100_000 + b"\xc0"
    ),
    "a map that says it has 4G entries": framed(b"\xdf\xff\xff\xff\xff"),
    "a text that says it has 4G bytes": framed(b"\x82\xa4type\xdb\xff\xff\xff\xff"),
    "a megabyte of empty maps": framed(b"\xdd\x00\x0f\x00\x00" + b"\x80" * (MIB - 100)),
    "bad UTF-8 in a field": framed(b"\x83\xa4type\xa7GetRuns\xa2id\x01\xa4text\xa2\xff\xfe"),
    "bad UTF-8 in the tag": framed(b"\x81\xa4type\xa2\xff\xfe"),
    "a surrogate": framed(b"\x82\xa4type\xa8ListRuns\xa8workflow\xa3\xed\xa0\x80"),
    "an unknown tag": framed(b"\x81\xa4type\xa4Boom"),
    "no tag": framed(b"\x81\xa2id\x01"),
    "an unknown field": framed(b"\x82\xa4type\xa9GetEngine\xa5extra\x01"),
    "a number where text belongs": framed(b"\x82\xa4type\xa8ListRuns\xa8workflow\x05"),
    "an integer of 2^64-1 as a limit": framed(b"\x82\xa4type\xa8ListRuns\xa5limit\xd3\x80\x00\x00\x00\x00\x00\x00"),
    "bytes after the message": framed(b"\x81\xa4type\xa9GetEngine\xc0"),
    "a nil": framed(b"\xc0"),
    "an extension type": framed(b"\xc7\x05\x01hello"),
    "a string that is HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("what", GARBAGE)
async def test_garbage_ends_its_own_session_with_a_refusal(what: str) -> None:
    async with besieged() as here:
        for welcomed in (True, False):
            words = await sent_away(here, GARBAGE[what], welcomed=welcomed)
            if what not in ("100,000 nested arrays",):  # a close may overtake it while bytes are unread
                assert words is None or words.code == "invalid_value"


async def test_duplicate_keys_are_taken_once_and_numbers_that_are_none_are_refused() -> None:
    async with besieged() as here:
        client = await here.client()
        await client.raw(framed(b"\x83\xa4type\xa9GetEngine\xa2id\x01\xa2id\x07"))
        reply = await client.next()
        assert reply is not None
        assert reply.id == 7
        for rate in (float("nan"), float("inf"), -1.0, 0.0, 1e300):
            await client.ask(Subscribe(id=9, view=ListRuns(), rate=rate), Refused)
        for value in (float("nan"), float("-inf"), b"bytes", {1: 2}, msgspec.msgpack.Ext(5, b"x"), [[float("inf")]]):
            words = await client.ask(Submit(id=9, request_id="x", workflow="w", params={"v": value}), Refused)
            assert words.code == "invalid_value"
        many: dict[str, Any] = {f"k{number}": 1 for number in range(5_000)}
        submit = Submit(id=9, request_id="x", workflow="w", params=many)
        assert (await client.ask(submit, Refused)).code == "invalid_value"
        await client.close()


async def test_names_and_texts_from_hell_are_refused_as_values() -> None:
    async with besieged() as here:
        run = here.house.begin(FAN)
        client = await here.client()
        for name in (
            "../../etc/passwd",
            "/etc/passwd",
            "-rf",
            ".",
            "..",
            "",
            "x" * 500,
            "a\x1b]52;c;x\x07",
            "a\0b",
            "\u202e",
        ):
            target = Target(task=name)
            act = Act(id=1, request_id="x", verb="cancel", run=run, targets=(target,))
            assert (await client.ask(act, Refused)).code == "invalid_value"
            assert (await client.ask(ListTasks(id=2, run=run, task=name or "-"), Refused)).code == "not_found"
        many = tuple(Target(task="each", index=0) for _ in range(10_001))
        act = Act(id=3, request_id="y", verb="cancel", run=run, targets=many)
        assert (await client.ask(act, Refused)).code == "invalid_value"
        assert here.house.live(run)
        await client.close()


async def test_whoever_begins_a_frame_must_finish_it_however_it_drips() -> None:
    async with besieged() as here:
        request = frame(GetEngine(id=1))
        silent = await here.client()
        await silent.raw(request[:2])
        dripping = await here.client()
        with trio.fail_after(PATIENCE_S):
            for byte in (b"\0\0\1\0" + bytes(256))[:250]:  # would take far longer than a frame may
                await dripping.raw(bytes((byte,)))
                with trio.move_on_after(0.02):
                    await dripping.ended()
                    break
            else:
                pytest.fail("a dripping frame was waited for")
        await silent.ended()
        await silent.close()
        await dripping.close()


async def test_a_length_and_then_silence_or_half_a_frame_and_then_nothing_is_closed() -> None:
    async with besieged() as here:
        for data in (b"\0\0\0\x10", b"\0\0\x10\0half", b"\0"):
            client = await here.client()
            await client.raw(data)
            await client.ended()
            await client.close()
            gone = await here.client()
            await gone.raw(data)
            await gone.close()


async def test_a_client_that_never_says_hello_is_closed() -> None:
    async with besieged() as here:
        client = await here.connect()
        reply = await client.next()
        assert isinstance(reply, Refused)
        await client.ended()


async def test_connections_beyond_the_cap_are_refused_and_those_within_are_served() -> None:
    limits = Limits(connections=60, connections_per_uid=40, hello_s=30)
    async with besieged(limits) as here:
        refused = 0
        held: list[socket.socket] = []
        for _ in range(400):
            plain = blocking_socket(here.path)
            held.append(plain)
            await trio.lowlevel.checkpoint()
        await here.until_clients(40)
        with trio.fail_after(PATIENCE_S):
            for plain in held:
                plain.settimeout(0)
                while True:
                    try:
                        refused += b"connections already" in plain.recv(1000)
                        break
                    except BlockingIOError:
                        if refused + 39 >= 400:
                            break
                        await trio.sleep(0.001)
                        if plain in held[:39]:
                            break
        for plain in held:
            plain.close()
        assert refused == 361
        await here.until_clients(1)


async def test_a_process_out_of_descriptors_goes_on_and_accepts_again_afterwards() -> None:
    async with besieged(Limits(accept_pause_s=0.02)) as here:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        served = await here.client()
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(5)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        hoard: list[int] = []
        try:
            try:
                while True:
                    hoard.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                pass
            for plain in waiting:
                plain.connect(str(here.path))
            await trio.sleep(0.1)
            assert (await served.ask(GetEngine(id=1), Rows)).rows
            assert here.server.clients == 2
        finally:
            for fd in hoard:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await here.until_clients(7)
        await served.close()
        for plain in waiting:
            plain.close()


@pytest.mark.parametrize("what", ["subscriptions", "answers"])
async def test_a_client_that_never_reads_is_dropped_and_holds_little(what: str) -> None:
    async with besieged() as here:
        run = here.house.begin(FAN)
        deaf = await here.client()
        memory = rss()
        view = ListTasks(run=run, limit=200)
        if what == "answers":
            for number in range(50):
                await deaf.raw(frame(msgspec.structs.replace(view, id=number + 1)))
        else:
            await deaf.send(
                *[Subscribe(id=n + 1, view=msgspec.structs.replace(view, offset=n), rate=20) for n in range(20)]
            )
        with trio.fail_after(PATIENCE_S):
            while here.server.clients == 2:
                live = here.house.live(run)
                here.house.start(live[0], pid=random.randrange(1, 10**6))
                await trio.sleep(0.01)
        assert rss() - memory < 32 * MIB
        await deaf.close()


async def test_a_flood_of_requests_waits_instead_of_piling_up() -> None:
    async with besieged(Limits(in_flight=4)) as here:
        run = here.house.begin(FAN)
        client = await here.client()
        count = 300
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                client.raw, b"".join(frame(ListTasks(id=n + 1, run=run, limit=50)) for n in range(count))
            )
            seen = set[int]()
            while len(seen) < count:
                reply = await client.next()
                assert isinstance(reply, Rows)
                seen.add(reply.id)
        await client.close()


async def test_descriptors_that_are_sent_along_are_not_kept() -> None:
    async with besieged() as here:
        plain = blocking_socket(here.path)
        before = len(os.listdir("/proc/self/fd"))
        hello = frame(Hello(protocol=PROTOCOL))
        for at in range(len(hello)):
            socket.send_fds(plain, [hello[at : at + 1]], [plain.fileno()] * 100)
            await trio.lowlevel.checkpoint()
        plain.settimeout(0)
        with trio.fail_after(PATIENCE_S):
            while True:
                try:
                    assert plain.recv(4)
                    break
                except BlockingIOError:
                    await trio.sleep(0.005)
        assert len(os.listdir("/proc/self/fd")) <= before + 1
        plain.close()


async def test_a_client_that_resets_in_the_middle_of_answers_leaves_nothing() -> None:
    async with besieged() as here:
        run = here.house.begin(FAN)
        for _ in range(30):
            plain = blocking_socket(here.path)
            plain.sendall(frame(Hello(protocol=PROTOCOL)) + frame(Subscribe(id=1, view=ListTasks(run=run))))
            await trio.sleep(0.002)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            plain.close()


async def test_too_many_subscriptions_of_a_session_are_refused_and_a_number_is_used_once() -> None:
    async with besieged(Limits(subscriptions_per_session=5, subscriptions=8)) as here:
        one, two = await here.client(), await here.client()
        for number in range(5):
            await one.ask(Subscribe(id=number, view=ListRuns()), Snapshot)
        assert (await one.ask(Subscribe(id=9, view=ListRuns()), Refused)).code == "unavailable"
        assert (await one.ask(Subscribe(id=3, view=ListRuns()), Refused)).code == "conflict"
        for number in range(3):
            await two.ask(Subscribe(id=number, view=ListRuns()), Snapshot)
        assert (await two.ask(Subscribe(id=9, view=ListRuns()), Refused)).code == "unavailable"
        await one.close()
        await here.until_clients(2)
        await two.ask(Subscribe(id=9, view=ListRuns()), Snapshot)
        await two.close()


async def test_a_hundred_thousand_mutated_frames_harm_nobody() -> None:
    """Every frame is decoded; of those that are no requests, which end a session each, one in twenty is sent too."""
    async with besieged(Limits()) as here:
        run = here.house.begin(FAN)
        await fuzz(here, 100_000, seed=20_261_123, run=run, bad_share=0.05)
