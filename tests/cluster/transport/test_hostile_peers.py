"""Peers that are strangers, broken or mean: they are cut, and everybody else is served meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from cluster.config.sections import TransportSection
from cluster.errors import ConnectionLost, HandshakeRefused, MalformedFrame
from cluster.topology import Address
from cluster.transport import server_connection
from cluster.transport.channel import Channel
from cluster.transport.frames import HEADER, REPLY, pack
from cluster.transport.handshake import MAGIC, ClientHandshake, ServerHandshake
from cluster.transport.server import Server
from tests.cluster.served import (
    ECHO,
    HOLD,
    LIMITS,
    NODE,
    SECRET,
    Puppet,
    channel_to,
    refusal,
    run,
    serving,
    socket_folder,
    soon,
    until,
)

Raw = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def stranger(address: Address) -> AsyncIterator[Raw]:
    """A bare connection that speaks whatever the test makes it."""
    reader, writer = await asyncio.open_unix_connection(address.unix_path)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def prove(raw: Raw, secret: bytes = SECRET) -> None:
    reader, writer = raw
    handshake = ClientHandshake(secret)
    writer.write(handshake.hello)
    writer.write(handshake.feed(await reader.readexactly(72)))


async def is_cut(raw: Raw) -> bool:
    """Whether the other side closes, after whatever it still says."""
    try:
        async with asyncio.timeout(2):
            while await raw[0].read(1 << 16):
                pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def among_good_peers(misbehave: Callable[[Raw], Awaitable[None]], limits: TransportSection = LIMITS) -> Puppet:
    """Misbehave towards a server that serves another peer; it must cut the one and go on serving the other."""
    puppet = Puppet()

    async def check() -> None:
        async with serving(puppet, limits=limits) as (server, address), channel_to(address) as good:
            async with stranger(address) as raw:
                await misbehave(raw)
                assert await is_cut(raw)
            assert await good.call(ECHO, b"good", soon(), bytes) == b"good"
            await until(lambda: len(server.connections) == 1)

    run(check())
    return puppet


def test_garbage_is_cut_before_anything_is_decoded() -> None:
    async def misbehave(raw: Raw) -> None:
        raw[1].write(b"GET / HTTP/1.1\r\nHost: shard\r\n\r\n")

    among_good_peers(misbehave)


def test_calls_before_the_handshake_are_not_served() -> None:
    async def misbehave(raw: Raw) -> None:
        raw[1].write(b"".join(pack(ECHO, 10**6, 1, b"let me in")))

    assert among_good_peers(misbehave).served == [b"good"]


def test_calls_behind_a_wrong_proof_are_not_served() -> None:
    async def misbehave(raw: Raw) -> None:
        raw[1].write(ClientHandshake(SECRET).hello)
        await raw[0].readexactly(72)
        raw[1].write(bytes(32) + b"".join(pack(ECHO, 10**6, 1, b"let me in")))

    assert among_good_peers(misbehave).served == [b"good"]


def test_a_peer_that_says_nothing_or_dribbles_is_cut_in_time() -> None:
    limits = LIMITS.model_copy(update={"connect_timeout_ms": 100})

    async def silence(raw: Raw) -> None:
        pass

    async def dribble(raw: Raw) -> None:
        for byte in MAGIC:
            raw[1].write(bytes([byte]))
            await asyncio.sleep(0.005)

    among_good_peers(silence, limits)
    among_good_peers(dribble, limits)


@pytest.mark.parametrize("size", [0, 3, LIMITS.frame_bytes_max + 1, 2**32 - 1])
def test_a_frame_of_impossible_length_ends_the_connection(size: int) -> None:
    async def misbehave(raw: Raw) -> None:
        await prove(raw)
        raw[1].write(struct.pack("<I", max(0, size - 4)) + bytes(HEADER.size))

    among_good_peers(misbehave)


@pytest.mark.parametrize("kind", [0, 128, 255])
def test_a_frame_that_is_no_request_ends_the_connection(kind: int) -> None:
    async def misbehave(raw: Raw) -> None:
        await prove(raw)
        raw[1].write(HEADER.pack(13, kind, 10**6, 1))

    among_good_peers(misbehave)


def test_half_a_frame_and_goodbye_leaves_nothing_behind() -> None:
    async def check() -> None:
        puppet = Puppet()
        async with serving(puppet) as (server, address):
            async with stranger(address) as raw:
                await prove(raw)
                raw[1].write(b"".join(pack(ECHO, 10**6, 1, b"whole")) + b"".join(pack(ECHO, 10**6, 2, b"half"))[:-2])
                assert (await raw[0].readexactly(HEADER.size + 5))[-5:] == b"whole"
            await until(lambda: not server.connections)
        assert puppet.served == [b"whole"]

    run(check())


def test_a_caller_that_left_costs_no_work() -> None:
    async def check() -> None:
        puppet = Puppet()
        async with serving(puppet, batch_max=2) as (server, address):
            async with stranger(address) as raw:
                await prove(raw)
                await until(lambda: server.connections)
                raw[1].write(b"".join(pack(HOLD, 10**7, 1, b"held")))
                await until(lambda: puppet.held)
            await until(lambda: not server.connections)
            puppet.let_go()

    run(check())


def test_a_peer_that_does_not_read_its_answers_is_cut() -> None:
    limits = TransportSection(frame_bytes_max=100_000)

    def generous(calls) -> None:
        for call in calls:
            call.reply(bytes(90_000))

    async def check() -> None:
        async with serving(generous, limits=limits) as (server, address), stranger(address) as raw:
            await prove(raw)
            await until(lambda: server.connections)
            (connection,) = server.connections
            with contextlib.suppress(ConnectionError):
                for call_id in range(500):
                    raw[1].write(b"".join(pack(ECHO, 10**7, call_id, b"")))
            await until(lambda: not server.connections or not connection._transport.is_reading())
            assert not server.connections or connection._transport.get_write_buffer_size() <= 3 * limits.frame_bytes_max

    run(check())


def test_strangers_cannot_take_every_place(monkeypatch) -> None:
    monkeypatch.setattr(server_connection, "HANDSHAKES_MAX", 3)

    async def check() -> None:
        async with serving(Puppet()) as (server, address), channel_to(address) as proven, contextlib.AsyncExitStack() as stack:
            strangers = []
            for n in range(3):
                strangers.append(await stack.enter_async_context(stranger(address)))
                await until(lambda n=n: len(server.connections) == 2 + n)
            async with channel_to(address) as late:
                assert await late.call(ECHO, b"in", soon(), bytes) == b"in"
                assert await is_cut(strangers[0])
                assert len(server.connections) == 4
            assert await proven.call(ECHO, b"still here", soon(), bytes) == b"still here"

    run(check())


@pytest.mark.parametrize("secret", [b"x" * 32, SECRET + b"x"])
def test_a_channel_with_another_secret_is_refused_and_says_so(secret: bytes) -> None:
    async def check() -> None:
        puppet = Puppet()
        async with serving(puppet) as (_, address), channel_to(address, secret=secret, connected=False) as channel:
            assert type(await refusal(channel, "does not hold this cluster's secret")) is HandshakeRefused
        assert puppet.served == []

    run(check())


@contextlib.asynccontextmanager
async def impostor(script: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[Address]:
    """A server that follows a script with every connection, then closes it."""

    async def follow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await script(reader, writer)
        writer.close()

    with socket_folder() as folder:
        server = await asyncio.start_unix_server(follow, f"{folder}/s.sock")
        try:
            yield Address(NODE, "", 0, f"{folder}/s.sock")
        finally:
            server.close()


async def admit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    handshake = ServerHandshake(SECRET)
    writer.write(handshake.feed(await reader.readexactly(40)))
    handshake.feed(await reader.readexactly(32))


@pytest.mark.parametrize(
    "answer",
    [struct.pack("<I", 2**31) + bytes(13), HEADER.pack(13, 7, 0, 1), HEADER.pack(13, 7, 0, 999), bytes(17)],
    ids=["oversize", "a request", "a request of an unknown id", "zeros"],
)
def test_a_server_that_breaks_the_protocol_loses_the_connection_and_the_calls_fail(answer: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await admit(reader, writer)
        await reader.readexactly(HEADER.size)
        writer.write(answer)
        await reader.read()

    async def check() -> None:
        async with impostor(script) as address, channel_to(address) as channel:
            with pytest.raises(ConnectionLost, match="in flight"):
                await channel.call(ECHO, b"", soon(), bytes)
            await until(lambda: not channel.connected)

    run(check())


def test_an_error_frame_that_is_no_error_fails_the_call_alone() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await admit(reader, writer)
        for body in (b"\xc1", b"fine"):
            await reader.readexactly(HEADER.size)
            call_id = 1 if body == b"\xc1" else 2
            writer.write(HEADER.pack(13 + len(body), 255 if call_id == 1 else REPLY, 0, call_id) + body)
        await reader.read()

    async def check() -> None:
        async with impostor(script) as address, channel_to(address) as channel:
            with pytest.raises(MalformedFrame):
                await channel.call(ECHO, b"", soon(), bytes)
            assert await channel.call(ECHO, b"", soon(), bytes) == b"fine"

    run(check())


def test_a_server_that_never_proves_itself_is_given_up(caplog) -> None:
    caplog.set_level(logging.CRITICAL)
    limits = LIMITS.model_copy(update={"connect_timeout_ms": 30})

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def check() -> None:
        async with impostor(script) as address, channel_to(address, limits=limits, connected=False) as channel:
            assert type(await refusal(channel, "within 30 ms")) is ConnectionLost

    run(check())


def test_neither_side_starts_with_a_secret_that_could_be_guessed() -> None:
    with pytest.raises(AssertionError, match="at least 16"):
        Server(Puppet(), secret=b"", limits=LIMITS)
    with pytest.raises(AssertionError, match="at least 16"):
        Channel(Address(NODE, "", 0), node_id=NODE, secret=b"short", limits=LIMITS)
