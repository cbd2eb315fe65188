"""Running coroutines, servers and channels in tests: real sockets, uvloop, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import uvloop

from cluster.config.sections import TransportSection
from cluster.deadline import Deadline
from cluster.errors import OskolokError, all_classes
from cluster.topology import Address
from cluster.transport.channel import Channel
from cluster.transport.server import Server
from cluster.transport.service import Call, Service

T = TypeVar("T")

SECRET = b"a secret of at least sixteen bytes"
LIMITS = TransportSection(connect_timeout_ms=500, reconnect_min_ms=5, reconnect_max_ms=50)
NODE = "this-node"


ECHO, FAIL, RAISE, HOLD = 1, 2, 3, 4


class Puppet:
    """A service that echoes, fails with the error named, raises, or holds calls until it is told to let go."""

    def __init__(self) -> None:
        self.held: list[Call] = []
        self.batches: list[int] = []
        self.served: list[bytes] = []

    def __call__(self, calls: Sequence[Call]) -> None:
        self.batches.append(len(calls))
        for call in calls:
            self.served.append(call.body)
            if call.method == ECHO:
                call.reply(call.body)
            elif call.method == FAIL:
                call.fail(all_classes()[call.body.decode()]("on purpose", n=1))
            elif call.method == HOLD:
                self.held.append(call)
            else:
                raise RuntimeError("a bug")

    def let_go(self) -> None:
        for call in self.held:
            call.reply(call.body)
        self.held.clear()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result, on a fresh uvloop; a test that hangs fails after 20 s."""
    return uvloop.run(asyncio.wait_for(coroutine, 20))


def soon(ms: float = 2_000) -> Deadline:
    return Deadline.after_ms(ms)


@contextlib.contextmanager
def socket_folder() -> Iterator[str]:
    """A short-named folder: a Unix socket's path may have 107 bytes only, and pytest's are long."""
    with tempfile.TemporaryDirectory(prefix="osk") as folder:
        yield folder


@contextlib.asynccontextmanager
async def serving(
    service: Service, *, tcp: bool = False, limits: TransportSection = LIMITS, secret: bytes = SECRET, batch_max: int = 1
) -> AsyncIterator[tuple[Server, Address]]:
    """A server in this loop, and its address; closed at the end."""
    with socket_folder() as folder:
        server = Server(service, secret=secret, limits=limits, batch_max=batch_max)
        path = "" if tcp else f"{folder}/s.sock"
        port = await server.start(unix_path=path, host="127.0.0.1" if tcp else "")
        try:
            yield server, Address(NODE, "127.0.0.1", port, path)
        finally:
            await server.close(0)


@contextlib.asynccontextmanager
async def channel_to(
    address: Address, *, limits: TransportSection = LIMITS, secret: bytes = SECRET, connected: bool = True
) -> AsyncIterator[Channel]:
    """A channel, connected unless told not to wait for it; closed at the end."""
    channel = Channel(address, node_id=NODE, secret=secret, limits=limits)
    try:
        if connected:
            assert await channel.wait_connected(5), "the channel does not connect"
        yield channel
    finally:
        channel.close()
        await channel.wait_closed()


async def refusal(channel: Channel, saying: str, timeout_s: float = 5.0) -> OskolokError:
    """The error that calls without a connection come to fail with; fails if it does not come to say so in time."""
    async with asyncio.timeout(timeout_s):
        while True:
            call = channel.call(ECHO, b"", soon(), bytes)
            assert call.done(), "without a connection a call fails at once"
            error = call.exception()
            assert isinstance(error, OskolokError)
            if saying in error.message:
                return error
            await asyncio.sleep(0.002)


async def until(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    """Until the condition holds; fails if it does not in time."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.001)
