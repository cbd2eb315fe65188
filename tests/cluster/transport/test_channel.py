"""Connecting and reconnecting: growing pauses, the right road, failing at once meanwhile."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import ConnectionLost
from cluster.topology import Address
from cluster.transport.channel import pause_s
from cluster.transport.server import Server
from tests.cluster.served import (
    ECHO,
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


@given(st.integers(1, 10_000), st.floats(1, 100), st.floats(100, 10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_stay_within_their_bounds(attempt: int, min_ms: float, max_ms: float, jitter: float) -> None:
    pause_ms = pause_s(attempt, min_ms=min_ms, max_ms=max_ms, jitter=jitter) * 1000
    assert min_ms / 2 * 0.9999 <= pause_ms <= max_ms * 1.0001


def test_pauses_double_up_to_the_maximum() -> None:
    pauses = [pause_s(attempt, min_ms=20, max_ms=100, jitter=0) for attempt in range(1, 6)]
    assert pauses == [0.02, 0.04, 0.08, 0.1, 0.1]


def test_without_a_connection_calls_fail_at_once_and_say_why() -> None:
    async def check() -> None:
        async with channel_to(Address(NODE, "127.0.0.1", 1, ""), connected=False) as channel:
            assert type(await refusal(channel, "not yet connected to 127.0.0.1:1")) is ConnectionLost
            assert type(await refusal(channel, "cannot connect to 127.0.0.1:1")) is ConnectionLost
            assert not await channel.wait_connected(0.05)
            assert (channel.in_flight, channel.load, channel.connected) == (0, 0, False)

    run(check())


def test_a_server_that_starts_later_is_found() -> None:
    async def check() -> None:
        with socket_folder() as folder:
            address = Address(NODE, "", 0, f"{folder}/s.sock")
            async with channel_to(address, connected=False) as channel:
                assert not await channel.wait_connected(0.05)
                server = Server(Puppet(), secret=SECRET, limits=LIMITS)
                await server.start(unix_path=address.unix_path)
                assert await channel.wait_connected(1)
                assert await channel.call(ECHO, b"hello", soon(), bytes) == b"hello"
                await server.close()

    run(check())


def test_a_connection_that_breaks_is_made_again() -> None:
    async def check() -> None:
        async with serving(Puppet(), tcp=True) as (server, address), channel_to(address) as channel:
            for _ in range(5):
                for connection in list(server.connections):
                    connection.abort()
                await until(lambda: not channel.connected)
                assert await channel.wait_connected(2)
                assert await channel.call(ECHO, b"again", soon(), bytes) == b"again"

    run(check())


def test_the_unix_socket_is_for_the_same_node_only() -> None:
    async def check() -> None:
        async with serving(Puppet(), tcp=True) as (_, tcp):
            unreachable = "/nonexistent/s.sock"
            async with channel_to(Address("another-node", tcp.host, tcp.port, unreachable)) as channel:
                assert channel.connected
            async with channel_to(Address(NODE, tcp.host, tcp.port, unreachable), connected=False) as channel:
                assert not await channel.wait_connected(0.05)

    run(check())


def test_closing_while_connecting_leaves_nothing() -> None:
    async def check() -> None:
        async with serving(Puppet()) as (server, address):
            for _ in range(20):
                async with channel_to(address, connected=False):
                    pass
            await until(lambda: not server.connections)

    run(check())
