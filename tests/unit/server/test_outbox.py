"""What a client has still to read comes whole and in order, however much of it its socket takes at once."""

import socket

import pytest
import trio

from engine.server.limits import Limits
from engine.server.outbox import Outbox, OutSpace

FRAMES = [bytes([number]) * size for number, size in enumerate((10, 3_000_000, 20, 500_000, 1, 70_000))]


@pytest.mark.trio
async def test_frames_come_whole_and_in_order_whatever_the_socket_takes() -> None:
    ours, theirs = (trio.SocketStream(trio.socket.from_stdlib_socket(end)) for end in socket.socketpair())
    space = OutSpace(Limits())
    outbox = Outbox(ours, space)
    for frame in FRAMES[:2]:  # the socket takes the first and a part of the second
        outbox.put(frame)
    assert 0 < space.used_bytes < 3_000_010
    got = bytearray()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.write)
            while len(got) < 2_000_000:
                got += await theirs.receive_some(65_536)
            for frame in FRAMES[2:]:  # while the second is being written
                outbox.put(frame)
            while len(got) < sum(map(len, FRAMES)):
                got += await theirs.receive_some(65_536)
            await outbox.drained()
            outbox.close()
    await ours.aclose()
    await theirs.aclose()
    assert got == b"".join(FRAMES)
    assert space.used_bytes == 0


@pytest.mark.trio
async def test_nothing_is_kept_of_what_a_client_takes_at_once_and_a_client_that_is_gone_is_let_go() -> None:
    ours, theirs = (trio.SocketStream(trio.socket.from_stdlib_socket(end)) for end in socket.socketpair())
    space = OutSpace(Limits())
    outbox = Outbox(ours, space)
    outbox.put(b"at once")
    assert space.used_bytes == 0
    assert await theirs.receive_some(100) == b"at once"
    await theirs.aclose()
    outbox.put(b"into the void")
    with trio.fail_after(20):
        await outbox.write()
    assert outbox.closed
    assert space.used_bytes == 0
    await ours.aclose()
