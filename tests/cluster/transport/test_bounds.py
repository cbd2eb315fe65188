"""What bounds a connection: calls in flight, frame sizes, unread bytes; and how a server and a channel close."""

from __future__ import annotations

import asyncio
import time

import pytest

from cluster.config.sections import TransportSection
from cluster.errors import ConnectionLost, DeadlineExceeded, MalformedFrame, Overloaded, Unavailable
from tests.cluster.served import ECHO, HOLD, LIMITS, Puppet, channel_to, run, serving, soon, until


def test_more_than_in_flight_max_is_refused_on_the_callers_side() -> None:
    limits = LIMITS.model_copy(update={"in_flight_max": 3})

    async def check() -> None:
        puppet = Puppet()
        async with serving(puppet) as (_, address), channel_to(address, limits=limits) as channel:
            futures = [channel.call(HOLD, b"", soon(), bytes) for _ in range(3)]
            with pytest.raises(Overloaded, match="3 calls in flight") as caught:
                await channel.call(ECHO, b"", soon(), bytes)
            assert caught.value.details == {"retry_after_s": 1}
            await until(lambda: len(puppet.held) == 3)
            puppet.let_go()
            await asyncio.gather(*futures)
            assert await channel.call(ECHO, b"room again", soon(), bytes) == b"room again"

    run(check())


def test_more_than_in_flight_max_is_refused_on_the_servers_side() -> None:
    limits = LIMITS.model_copy(update={"in_flight_max": 3})

    async def check() -> None:
        puppet = Puppet()
        async with serving(puppet, limits=limits) as (_, address), channel_to(address) as channel:
            futures = [channel.call(HOLD, b"%d" % i, soon(), bytes) for i in range(5)]
            for refused in futures[3:]:
                with pytest.raises(Overloaded, match="already has 3 calls"):
                    await refused
            puppet.let_go()
            assert await asyncio.gather(*futures[:3]) == [b"0", b"1", b"2"]

    run(check())


def test_frames_over_the_limit_are_refused_in_both_directions() -> None:
    small = TransportSection(frame_bytes_max=4096)

    def inflate(calls) -> None:
        for call in calls:
            call.reply(bytes(10_000))

    async def check() -> None:
        async with serving(inflate, limits=small) as (_, address), channel_to(address, limits=small) as channel:
            with pytest.raises(MalformedFrame, match="5000 bytes do not fit"):
                await channel.call(ECHO, bytes(5000), soon(), bytes)
            with pytest.raises(MalformedFrame, match="an answer of 10000 bytes"):
                await channel.call(ECHO, b"", soon(), bytes)
            assert channel.connected

    run(check())


def test_closing_finishes_what_is_in_flight_and_refuses_what_is_new() -> None:
    async def check() -> None:
        puppet = Puppet()
        async with serving(puppet) as (server, address), channel_to(address) as channel:
            held = channel.call(HOLD, b"kept", soon(), bytes)
            await until(lambda: len(puppet.held) == 1)
            closing = asyncio.create_task(server.close(5))
            await until(lambda: server.closing)
            with pytest.raises(Unavailable, match="closing"):
                await channel.call(ECHO, b"", soon(), bytes)
            puppet.let_go()
            assert await held == b"kept"
            await closing
            await until(lambda: not channel.connected)

    run(check())


def test_closing_waits_no_longer_than_its_grace() -> None:
    async def check() -> None:
        puppet = Puppet()
        async with serving(puppet) as (server, address), channel_to(address) as channel:
            held = channel.call(HOLD, b"", soon(), bytes)
            await until(lambda: len(puppet.held) == 1)
            began = time.monotonic()
            await server.close(0.05)
            assert time.monotonic() - began < 2
            with pytest.raises(ConnectionLost, match="in flight"):
                await held
            puppet.let_go()

    run(check())


def test_closing_a_channel_fails_its_calls_in_flight() -> None:
    async def check() -> None:
        async with serving(Puppet()) as (server, address), channel_to(address) as channel:
            held = channel.call(HOLD, b"", soon(), bytes)
            channel.close()
            await channel.wait_closed()
            with pytest.raises(ConnectionLost):
                await held
            with pytest.raises(ConnectionLost, match="is closed"):
                await channel.call(ECHO, b"", soon(), bytes)
            await until(lambda: not server.connections)

    run(check())


def test_a_connection_between_its_end_and_the_news_of_it_takes_neither_calls_nor_answers() -> None:
    async def check() -> None:
        puppet = Puppet()
        async with serving(puppet) as (server, address), channel_to(address) as channel:
            assert channel._connection is not None
            channel._connection._transport.close()
            with pytest.raises(ConnectionLost):
                await channel.call(ECHO, b"", soon(), bytes)
            await until(lambda: not server.connections)
            assert await channel.wait_connected(2)
            held = channel.call(HOLD, b"", soon(), bytes)
            await until(lambda: puppet.held)
            (connection,) = server.connections
            connection._transport.close()
            puppet.let_go()
            with pytest.raises(ConnectionLost):
                await held

    run(check())


def test_a_server_that_does_not_read_costs_a_bounded_number_of_bytes() -> None:
    small = TransportSection(frame_bytes_max=100_000, in_flight_max=10_000)

    async def check() -> None:
        def hang(calls) -> None:  # its bytes in flight make the server stop reading, and then the socket is full
            del calls

        async with serving(hang, limits=small) as (_, address), channel_to(address, limits=small) as channel:
            futures = [channel.call(HOLD, bytes(50_000), soon(200), bytes) for _ in range(200)]
            outcomes = await asyncio.gather(*futures, return_exceptions=True)
            kinds = {type(outcome) for outcome in outcomes}
            assert kinds == {DeadlineExceeded, Overloaded}
            assert sum(type(outcome) is Overloaded for outcome in outcomes) > 150

    run(check())
