"""A server and a channel, over real sockets: answers, errors, order, deadlines, batches."""

from __future__ import annotations

import asyncio
import time

import pytest

from cluster.deadline import Deadline
from cluster.errors import (
    DeadlineExceeded,
    InternalError,
    MalformedFrame,
    OskolokError,
    all_classes,
)
from tests.cluster.served import ECHO, FAIL, HOLD, RAISE, Puppet, channel_to, run, serving, soon, until


def test_a_call_is_answered_over_tcp_and_over_a_unix_socket() -> None:
    async def over(tcp: bool) -> bytes:
        async with serving(Puppet(), tcp=tcp) as (_, address), channel_to(address) as channel:
            return await channel.call(ECHO, b"hello", soon(), bytes)

    assert [run(over(tcp)) for tcp in (True, False)] == [b"hello"] * 2


def test_it_does_not_need_uvloop() -> None:
    async def check() -> None:
        async with serving(Puppet()) as (_, address), channel_to(address) as channel:
            bodies = [bytes([i]) * 50_000 * i for i in range(20)]
            assert await asyncio.gather(*(channel.call(ECHO, body, soon(), bytes) for body in bodies)) == bodies

    asyncio.run(check())


def test_replies_find_their_calls_in_any_order() -> None:
    async def check() -> None:
        puppet = Puppet()
        async with serving(puppet) as (_, address), channel_to(address) as channel:
            futures = [channel.call(HOLD, b"%d" % i, soon(), bytes) for i in range(50)]
            await until(lambda: len(puppet.held) == 50)
            puppet.held.reverse()
            puppet.let_go()
            assert await asyncio.gather(*futures) == [b"%d" % i for i in range(50)]

    run(check())


def test_a_thousand_calls_in_flight_on_one_connection() -> None:
    async def check() -> None:
        puppet = Puppet()
        async with serving(puppet) as (_, address), channel_to(address) as channel:
            futures = [channel.call(HOLD, b"%d" % i, soon(), bytes) for i in range(1000)]
            await until(lambda: len(puppet.held) == 1000)
            assert channel.in_flight == 1000
            puppet.let_go()
            assert await asyncio.gather(*futures) == [b"%d" % i for i in range(1000)]
            assert channel.in_flight == 0

    run(check())


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 300_000, 5_000_000])
def test_bodies_of_any_size_come_back_whole(size: int) -> None:
    async def check() -> None:
        body = bytes(range(256)) * (size // 256) + bytes(size % 256)
        async with serving(Puppet(), tcp=True) as (_, address), channel_to(address) as channel:
            futures = [channel.call(ECHO, body, soon(5_000), bytes) for _ in range(3)]
            assert await asyncio.gather(*futures) == [body] * 3

    run(check())


def test_every_error_crosses_as_its_own_class_and_the_connection_lives_on() -> None:
    async def check() -> None:
        async with serving(Puppet()) as (_, address), channel_to(address) as channel:
            for name, cls in all_classes().items():
                with pytest.raises(OskolokError) as caught:
                    await channel.call(FAIL, name.encode(), soon(), bytes)
                assert type(caught.value) is cls
                assert (caught.value.message, caught.value.details) == ("on purpose", {"n": 1})
            assert await channel.call(ECHO, b"still here", soon(), bytes) == b"still here"

    run(check())


def test_an_exception_in_the_service_is_an_answer_not_the_end_of_the_connection(caplog) -> None:
    async def check() -> None:
        async with serving(Puppet()) as (_, address), channel_to(address) as channel:
            with pytest.raises(InternalError, match="RuntimeError: a bug"):
                await channel.call(RAISE, b"", soon(), bytes)
            assert await channel.call(ECHO, b"still here", soon(), bytes) == b"still here"

    run(check())
    assert "the service failed on 1 calls" in caplog.text


def test_an_exception_in_decoding_fails_the_call_not_the_connection(caplog) -> None:
    def broken(body: bytes) -> int:
        return int(body)

    def strict(body: bytes) -> int:
        raise MalformedFrame("not a number")

    async def check() -> None:
        async with serving(Puppet()) as (_, address), channel_to(address) as channel:
            with pytest.raises(InternalError, match="ValueError"):
                await channel.call(ECHO, b"x", soon(), broken)
            with pytest.raises(MalformedFrame, match="not a number"):
                await channel.call(ECHO, b"x", soon(), strict)
            assert await channel.call(ECHO, b"7", soon(), broken) == 7

    run(check())
    assert "cannot decode a reply" in caplog.text


def test_the_deadline_travels_as_what_remains_of_it() -> None:
    seen: list[float] = []

    def service(calls) -> None:
        for call in calls:
            seen.append(call.deadline.remaining_ms())
            call.reply(b"")

    async def check() -> None:
        async with serving(service) as (_, address), channel_to(address) as channel:
            await channel.call(ECHO, b"", soon(5_000), bytes)

    run(check())
    assert 1_000 < seen[0] <= 5_000


def test_work_that_expired_while_it_waited_never_reaches_the_service() -> None:
    served: list[bytes] = []

    def slow(calls) -> None:
        for call in calls:
            served.append(call.body)
            time.sleep(0.05)
            call.reply(b"done")

    async def check() -> None:
        async with serving(slow) as (_, address), channel_to(address) as channel:
            first = channel.call(ECHO, b"first", soon(), bytes)
            late = [channel.call(ECHO, b"late", Deadline.after_ms(20), bytes) for _ in range(5)]
            last = channel.call(ECHO, b"last", soon(), bytes)
            assert await first == await last == b"done"
            for future in late:
                with pytest.raises(DeadlineExceeded):
                    await future

    run(check())
    assert served == [b"first", b"last"]


def test_a_call_whose_time_is_over_is_not_even_sent() -> None:
    async def check() -> None:
        puppet = Puppet()
        async with serving(puppet) as (_, address), channel_to(address) as channel:
            with pytest.raises(DeadlineExceeded, match="before calling"):
                await channel.call(ECHO, b"", Deadline.after_ms(0), bytes)
            await channel.call(ECHO, b"after", soon(), bytes)
        assert puppet.served == [b"after"]

    run(check())


def test_a_call_nobody_answers_ends_soon_after_its_deadline_by_itself() -> None:
    async def check() -> None:
        puppet = Puppet()
        async with serving(puppet) as (_, address), channel_to(address) as channel:
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded, match="did not answer in time"):
                await channel.call(HOLD, b"", Deadline.after_ms(50), bytes)
            assert 0.05 <= time.monotonic() - began < 1
            assert (channel.in_flight, channel.load) == (0, 1)
            puppet.let_go()
            await channel.call(ECHO, b"", soon(), bytes)
            assert channel.load == 0, "a word from the server clears its name"

    run(check())


def test_late_replies_of_cancelled_calls_are_dropped() -> None:
    async def check() -> None:
        puppet = Puppet()
        async with serving(puppet) as (_, address), channel_to(address) as channel:
            cancelled = [channel.call(HOLD, b"old", soon(), bytes) for _ in range(20)]
            await until(lambda: len(puppet.held) == 20)
            for future in cancelled:
                future.cancel()
            assert channel.in_flight == 0
            puppet.let_go()
            fresh = [channel.call(ECHO, b"new %d" % i, soon(), bytes) for i in range(20)]
            assert await asyncio.gather(*fresh) == [b"new %d" % i for i in range(20)]
            assert all(future.cancelled() for future in cancelled)

    run(check())


def test_waiting_with_a_timeout_frees_the_place_of_what_is_late() -> None:
    async def check() -> None:
        async with serving(Puppet()) as (_, address), channel_to(address) as channel:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(channel.call(HOLD, b"", soon(), bytes), 0.01)
            assert channel.in_flight == 0

    run(check())


def test_waiting_calls_reach_a_batching_service_together_up_to_batch_max() -> None:
    async def check() -> list[int]:
        puppet = Puppet()
        async with serving(puppet, batch_max=8) as (_, address), channel_to(address) as channel:
            await asyncio.gather(*(channel.call(ECHO, b"", soon(), bytes) for _ in range(20)))
        return puppet.batches

    assert run(check()) == [8, 8, 4]


def test_time_in_the_queue_is_measured_from_arrival() -> None:
    waited: list[float] = []

    def slow(calls) -> None:
        for call in calls:
            waited.append(call.queued_us)
            time.sleep(0.01)
            call.reply(b"")

    async def check() -> None:
        async with serving(slow) as (_, address), channel_to(address) as channel:
            await asyncio.gather(*(channel.call(ECHO, b"", soon(), bytes) for _ in range(4)))

    run(check())
    assert waited == sorted(waited)
    assert waited[3] - waited[0] > 29_000
