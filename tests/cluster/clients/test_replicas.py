"""Whom a pool asks, and whom after a failure."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.clients.replicas import RankerReplicas, Retried, ShardReplicas, choose
from cluster.deadline import Deadline
from cluster.errors import (
    ConnectionLost,
    DeadlineExceeded,
    HandshakeRefused,
    InvalidQuery,
    OskolokError,
    Overloaded,
    RankerUnavailable,
    ShardLoading,
    ShardUnavailable,
)
from tests.cluster.parts import fetch_query, probe_query, query, rank_query
from tests.cluster.served import run, soon


@dataclass(eq=False)
class Line:
    connected: bool = True
    load: int = 0


@dataclass(eq=False)
class Fake:
    """A member whose calls are futures that the test settles."""

    name: str = "fake"
    channel: Line = field(default_factory=Line)
    calls: list[asyncio.Future] = field(default_factory=list)

    def start(self) -> asyncio.Future:
        future = asyncio.get_running_loop().create_future()
        self.calls.append(future)
        return future


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_chosen_is_connected_if_anyone_is_and_never_the_busiest_of_many(members, random) -> None:
    fakes = [Fake(channel=Line(connected, load)) for connected, load in members]
    chosen = choose(fakes, random.randrange)
    able = [fake for fake in fakes if fake.channel.connected] or fakes
    assert chosen in able
    loads = sorted(fake.channel.load for fake in able)
    assert len(able) == 1 or chosen.channel.load < loads[-1] or loads[-2] == loads[-1]


def test_every_idle_member_gets_its_share() -> None:
    fakes = [Fake() for _ in range(3)]
    counts = {id(fake): 0 for fake in fakes}
    for _ in range(3000):
        counts[id(choose(fakes))] += 1
    assert min(counts.values()) > 700


def test_a_member_that_hangs_is_avoided_by_its_load() -> None:
    hangs, works = Fake(channel=Line(load=5)), Fake()
    assert all(choose([hangs, works]) is works for _ in range(100))


@pytest.mark.parametrize(
    "error", [ConnectionLost("gone"), HandshakeRefused("no"), ShardLoading("soon"), RankerUnavailable("away")]
)
def test_a_failure_of_whoever_was_asked_is_tried_once_more_elsewhere(error: OskolokError) -> None:
    async def check() -> None:
        one, two = Fake(), Fake(channel=Line(load=9))
        call = Retried(Fake.start, [one, two], soon())
        one.calls[0].set_exception(error)
        await asyncio.sleep(0)
        two.calls[0].set_result("second")
        assert await call == "second"
        assert len(one.calls) == len(two.calls) == 1

    run(check())


def test_two_failures_are_enough_and_the_second_is_told() -> None:
    async def check() -> None:
        fakes = [Fake(channel=Line(load=i)) for i in range(3)]
        call = Retried(Fake.start, fakes, soon())
        for _ in range(2):
            asked = next(fake for fake in fakes if fake.calls and not fake.calls[0].done())
            asked.calls[0].set_exception(ConnectionLost(asked.name))
            await asyncio.sleep(0)
        with pytest.raises(ConnectionLost):
            await call
        assert sum(len(fake.calls) for fake in fakes) == 2

    run(check())


@pytest.mark.parametrize("error", [InvalidQuery("no"), DeadlineExceeded("late"), Overloaded("full")])
def test_a_failure_that_another_would_repeat_is_not_tried_again(error: OskolokError) -> None:
    async def check() -> None:
        one, two = Fake(), Fake(channel=Line(load=9))
        call = Retried(Fake.start, [one, two], soon())
        one.calls[0].set_exception(error)
        with pytest.raises(type(error)):
            await call
        assert not two.calls

    run(check())


def test_no_second_try_after_the_deadline() -> None:
    async def check() -> None:
        now = [0.0]
        one, two = Fake(), Fake(channel=Line(load=9))
        call = Retried(Fake.start, [one, two], Deadline.after_ms(50, lambda: now[0]))
        now[0] = 1.0
        one.calls[0].set_exception(ConnectionLost("gone"))
        with pytest.raises(ConnectionLost):
            await call
        assert not two.calls

    run(check())


def test_cancelling_cancels_the_attempt_that_runs() -> None:
    async def check() -> None:
        one, two = Fake(), Fake(channel=Line(load=9))
        call = Retried(Fake.start, [one, two], soon())
        call.cancel()
        assert one.calls[0].cancelled()
        with pytest.raises(asyncio.CancelledError):
            await call
        again = Retried(Fake.start, [one, two], soon())
        one.calls[1].set_exception(ConnectionLost("gone"))
        await asyncio.sleep(0)
        again.cancel()
        assert two.calls[0].cancelled()

    run(check())


def test_a_group_with_nobody_in_it_fails_by_name() -> None:
    async def check() -> None:
        nobody = ShardReplicas(3, [])
        for call in (
            nobody.retrieve(query(), soon()),
            nobody.fetch(fetch_query(), soon()),
            nobody.probe(probe_query(), soon()),
        ):
            with pytest.raises(ShardUnavailable, match="shard-3 has no replica"):
                await call
        with pytest.raises(RankerUnavailable, match="no ranker is alive"):
            await RankerReplicas([]).rank(rank_query(), soon())

    run(check())
