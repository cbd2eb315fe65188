"""Channels outlive topology versions, stale ones go, and a killed member is survived."""

from __future__ import annotations

import asyncio

import pytest

from cluster.clients.channel_pool import ChannelPool
from cluster.errors import ConnectionLost, RankerUnavailable, ShardUnavailable
from cluster.serving.services import ranker_service, shard_service
from cluster.topology import Replica, Topology
from tests.cluster.parts import FakeRanker, FakeShard, query, rank_query
from tests.cluster.served import LIMITS, NODE, SECRET, run, serving, soon, until
from tests.cluster.test_topology import SPEC


def topology(version: int, shards: list[list[Replica]], rankers: tuple[Replica, ...] = ()) -> Topology:
    return Topology(version, SPEC, tuple(map(tuple, shards)), rankers)


def channel_pool(retire_s: float = 0.05) -> ChannelPool:
    return ChannelPool(secret=SECRET, limits=LIMITS, node_id=NODE, retire_s=retire_s)


def test_a_fleet_answers_for_every_shard_and_ranks() -> None:
    async def check() -> None:
        async with (
            serving(shard_service(lambda g: FakeShard(1))) as (_, first),
            serving(shard_service(lambda g: FakeShard(2)), tcp=True) as (_, second),
            serving(ranker_service(lambda g: FakeRanker())) as (_, third),
        ):
            mine = channel_pool()
            shards = [[Replica("s0", first, "ready")], [Replica("s1", second, "loading")]]
            fleet = mine.fleet(topology(4, shards, (Replica("r0", third, "ready"),)))
            assert await mine.wait_connected(2) == 0
            assert (fleet.version, fleet.spec, [shard.name for shard in fleet.shards]) == (4, SPEC, ["s0", "s1"])
            replies = await asyncio.gather(*(shard.retrieve(query(), soon()) for shard in fleet.shards))
            assert [reply.keys.tolist() for reply in replies] == [[1], [2]]
            assert fleet.ranker is not None
            assert (await fleet.ranker.rank(rank_query(), soon())).order.tolist() == [2, 1, 0]
            await mine.close()

    run(check())


def test_channels_are_kept_across_versions_and_stale_ones_closed_when_no_request_can_hold_them() -> None:
    async def check() -> None:
        async with (
            serving(shard_service(lambda g: FakeShard(1))) as (kept_server, kept),
            serving(shard_service(lambda g: FakeShard(2))) as (stale_server, stale),
        ):
            mine = channel_pool(retire_s=0.1)
            old = mine.fleet(topology(1, [[Replica("a", kept, "ready")], [Replica("b", stale, "ready")]]))
            assert await mine.wait_connected(2) == 0
            channel = mine.channels[kept]
            new = mine.fleet(topology(2, [[Replica("a", kept, "ready")], []]))
            assert mine.channels[kept] is channel
            assert (await old.shards[1].retrieve(query(), soon())).keys.tolist() == [2], "a request may still hold it"
            with pytest.raises(ShardUnavailable):
                await new.shards[1].retrieve(query(), soon())
            await until(lambda: stale not in mine.channels)
            await until(lambda: not stale_server.connections)
            with pytest.raises(ConnectionLost):
                await old.shards[1].retrieve(query(), soon())
            assert len(kept_server.connections) == 1
            await mine.close()

    run(check())


def test_an_address_that_returns_before_it_retired_keeps_its_channel() -> None:
    async def check() -> None:
        async with serving(shard_service(lambda g: FakeShard(1))) as (_, address):
            mine = channel_pool(retire_s=0.05)
            named = topology(1, [[Replica("a", address, "ready")]])
            mine.fleet(named)
            channel = mine.channels[address]
            mine.fleet(topology(2, [[]]))
            mine.fleet(named)
            await asyncio.sleep(0.1)
            assert mine.channels[address] is channel
            await mine.close()

    run(check())


def test_dead_processes_are_left_out_and_no_rankers_is_not_dead_rankers() -> None:
    async def check() -> None:
        async with serving(ranker_service(lambda g: FakeRanker())) as (_, address):
            mine = channel_pool()
            assert mine.fleet(topology(1, [[]])).ranker is None
            fleet = mine.fleet(topology(2, [[Replica("a", address, "dead")]], (Replica("r", address, "dead"),)))
            assert mine.channels == {}
            assert fleet.ranker is not None
            with pytest.raises(RankerUnavailable):
                await fleet.ranker.rank(rank_query(), soon())
            with pytest.raises(ShardUnavailable):
                await fleet.shards[0].retrieve(query(), soon())
            await mine.close()

    run(check())


def test_with_two_replicas_no_call_notices_that_one_goes_away() -> None:
    async def check() -> None:
        service = shard_service(lambda g: FakeShard(1))
        async with serving(service) as (first_server, first), serving(service) as (_, second):
            mine = channel_pool()
            replicas = [Replica("a", first, "ready"), Replica("b", second, "ready")]
            shard = mine.fleet(topology(1, [replicas])).shards[0]
            assert await mine.wait_connected(2) == 0
            assert shard.name == "shard-0"
            for step in range(200):
                if step == 50:
                    await first_server.close(0)
                assert (await shard.retrieve(query(), soon())).keys.tolist() == [1]
            assert await mine.wait_connected(0.01) == 1
            await mine.close()

    run(check())
