"""A raw client and a running server for tests over real sockets."""

import os
import socket
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import trio

from engine.protocol.framing import FrameBuffer, decode_reply, frame
from engine.protocol.messages import PROTOCOL, AnyReply, Hello, Reply, Request, Welcome
from engine.server.access import Access
from engine.server.limits import Limits
from engine.server.server import Server
from tests.unit.server.house import House

R = TypeVar("R", bound=Reply)
PATIENCE_S = 10.0


class Client:
    """One connection that says exactly what a test wants to say."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._buffer = FrameBuffer(2**24)
        self._replies: list[AnyReply] = []

    async def send(self, *requests: Request) -> None:
        await self.stream.send_all(b"".join(frame(request) for request in requests))

    async def raw(self, data: bytes) -> None:
        """Bytes as they are; a connection that is closed meanwhile is no surprise."""
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def next(self) -> AnyReply | None:
        """The next reply, None at the end. Fails where none comes."""
        with trio.fail_after(PATIENCE_S):
            while not self._replies:
                try:
                    data = await self.stream.receive_some(2**16)
                except trio.BrokenResourceError:
                    return None
                if not data:
                    return None
                self._replies += [decode_reply(body) for body in self._buffer.feed(bytes(data))]
        return self._replies.pop(0)

    async def ask(self, request: Request, kind: type[R]) -> R:
        """The answer to a request; what else comes is skipped."""
        await self.send(request)
        while True:
            reply = await self.next()
            assert reply is not None, f"the server closed instead of answering {request}"
            if reply.id == request.id and isinstance(reply, kind):
                return reply
            assert reply.id != request.id, reply

    async def ended(self) -> None:
        """Fails unless the server closes the connection soon."""
        while await self.next() is not None:
            pass

    async def hello(self, **fields: Any) -> Welcome:
        return await self.ask(Hello(**({"protocol": PROTOCOL} | fields)), Welcome)

    async def close(self) -> None:
        await trio.aclose_forcefully(self.stream)


class Site:
    """A server over a house, and the folder that both live in."""

    def __init__(self, house: House, server: Server, folder: Path, path: Path) -> None:
        self.house = house
        self.server = server
        self.folder = folder
        self.path = path
        self._clients: list[Client] = []

    async def connect(self, path: str = "") -> Client:
        """A client that has said nothing yet."""
        return self.of(await trio.open_unix_socket(path or str(self.path)))

    def of(self, stream: trio.SocketStream) -> Client:
        """A client over a connected socket; it is closed with the site."""
        client = Client(stream)
        self._clients.append(client)
        return client

    def forget(self, client: Client) -> None:
        """A client that a test has closed."""
        self._clients.remove(client)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()

    async def client(self, **fields: Any) -> Client:
        """A client that has been welcomed."""
        client = await self.connect()
        await client.hello(**fields)
        return client

    async def until_clients(self, count: int) -> None:
        """Wait until so many are connected."""
        with trio.fail_after(PATIENCE_S):
            while self.server.clients != count:  # noqa: ASYNC110 - the server has no reason to tell
                await trio.sleep(0.005)


@asynccontextmanager
async def site(
    house: House | None = None, limits: Limits | None = None, access: Access | None = None, inner: str = "run"
) -> AsyncGenerator[Site]:
    """A running server; ended, with its socket gone, when the block is left."""
    house = house or House()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "logs").mkdir()
        path = folder / inner / "engine.sock"
        server = Server(
            path, access or Access(os.geteuid()), house.state, house.history, house, folder / "logs", limits
        )  # fmt: skip
        house.on_changes = server.publish
        house.on_answer = server.answer
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            here = Site(house, server, folder, path)
            try:
                yield here
            finally:
                await here.close()
                nursery.cancel_scope.cancel()
        assert not path.exists()


def blocking_socket(path: Path) -> socket.socket:
    """A connected socket outside trio."""
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    plain.connect(str(path))
    return plain
