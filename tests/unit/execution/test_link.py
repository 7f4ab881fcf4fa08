"""The engine's connection to a launcher notices one that says nothing."""

from pathlib import Path
from typing import Any

import pytest
import trio

from engine.execution import wire
from engine.execution.link import Link
from engine.execution.places import Places

pytestmark = pytest.mark.trio

WELCOME = {"pid": 5, "workers": [], "damaged": False, "running": [], "held": [], "exits": []}


class Mute:
    """A launcher that says welcome so many times, and nothing else. `heard` is what it was told."""

    def __init__(self, path: Path, welcomes: int) -> None:
        self.heard: list[wire.Message] = []
        self.welcomes = welcomes
        self.server = trio.socket.from_stdlib_socket(wire.listen(path))

    async def serve(self) -> None:
        with self.server:
            async with trio.open_nursery() as nursery:
                while True:
                    sock, _ = await self.server.accept()
                    nursery.start_soon(self._one, trio.SocketStream(sock))

    async def _one(self, stream: trio.SocketStream) -> None:
        inbox = wire.Inbox()
        async with stream:
            async for data in stream:
                for message in inbox.feed(bytes(data)):
                    self.heard.append(message)
                    if message[0] == "hello" and self.welcomes:
                        self.welcomes -= 1
                        await stream.send_all(wire.pack(["welcome", WELCOME]))


@pytest.fixture
def place(tmp_path: Path) -> Places:
    places = Places(tmp_path / "home", tmp_path / "run", tmp_path / "logs")
    places.prepare()
    return places


async def test_a_launcher_that_hangs_is_given_up_and_complained_about(place: Places, autojump_clock: Any) -> None:
    complaints: list[int] = []

    async def complain(slot: int) -> None:
        complaints.append(slot)
        mute.welcomes = int(len(complaints) == 3)

    mute = Mute(place.socket("launcher-0"), welcomes=1)
    link = Link(place, 0, 7, 1, complain)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mute.serve)
        await link.open()
        link.load = 1
        await link.serve(lambda _link, _messages: None)
        assert not link.connected
        assert ["ping"] in mute.heard
        assert complaints == []
        await link.open()
        assert complaints == [0, 0, 0]
        assert link.connected
        await link.aclose()
        nursery.cancel_scope.cancel()


async def test_a_launcher_without_work_may_say_nothing(place: Places, autojump_clock: Any) -> None:
    async def complain(slot: int) -> None:
        raise AssertionError(f"slot {slot} was complained about")

    mute = Mute(place.socket("launcher-0"), welcomes=1)
    link = Link(place, 0, 7, 1, complain)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mute.serve)
        await link.open()
        with trio.move_on_after(3600) as hour:
            await link.serve(lambda _link, _messages: None)
        assert hour.cancelled_caught
        assert link.connected
        assert ["ping"] not in mute.heard
        await link.aclose()
        nursery.cancel_scope.cancel()
