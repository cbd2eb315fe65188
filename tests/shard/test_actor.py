"""The shard's process shell over a real socket: loading, ready, dead and why."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cluster.clients.remote import RemoteShardClient
from cluster.deadline import Deadline
from cluster.errors import GenerationMismatch, InvalidQuery, ShardLoading
from cluster.generation import Generation
from cluster.serving.endpoint import Endpoint
from cluster.topology import ReplicaStatus
from cluster.transport.channel import Channel
from cluster.types import Ask, FetchQuery, Query
from shard.actor import ShardActor
from shard.shard import Shard
from tests.cluster.generation.making import copied, flip_bit
from tests.cluster.served import LIMITS, NODE, SECRET, run
from tests.shard.golden import make

GOLDEN = Path(make.__file__).parent / "v2"
QUERY = Query("golden", (Ask("ann", 3), Ask("tops", 4, (("purchases/7d", 1.0),))), vectors={"taste": np.ones(3, np.float32)})


@contextmanager
def acting(folder: Path, socket: Path) -> Iterator[ShardActor]:
    endpoint = Endpoint(
        name="shard-0-a",
        shard=0,
        generation_path=str(folder),
        secret=SECRET,
        limits=LIMITS,
        unix_path=str(socket),
        host="",
        node_id=NODE,
    )
    actor = ShardActor(endpoint)
    try:
        yield actor
    finally:
        actor.stop()


def settled(actor: ShardActor) -> ReplicaStatus:
    """Its status once it no longer loads."""
    until = time.monotonic() + 10
    while (status := actor.status()).state == "loading" and time.monotonic() < until:
        time.sleep(0.005)
    return status


async def connected(actor: ShardActor) -> RemoteShardClient:
    channel = Channel(actor.status().address, node_id=NODE, secret=SECRET, limits=LIMITS)
    while not channel.connected:
        await asyncio.sleep(0.005)
    return RemoteShardClient("shard-0", channel)


def test_it_answers_as_the_shard_itself_does(tmp_path: Path) -> None:
    async def scene(actor: ShardActor) -> None:
        client = await connected(actor)
        reply = await client.retrieve(QUERY, Deadline.after_ms(5000))
        true = Shard.load(Generation.open(GOLDEN), 0).retrieve(QUERY)
        assert reply.keys.tolist() == true.keys.tolist() and reply.match.tolist() == true.match.tolist()
        assert [hits.scores.tolist() for hits in reply.sources] == [hits.scores.tolist() for hits in true.sources]
        fetched = await client.fetch(FetchQuery("golden", true.rows), Deadline.after_ms(5000))
        assert set(fetched.item_ids) <= set(make.ITEMS)
        with pytest.raises(GenerationMismatch):
            await client.retrieve(Query("other", ()), Deadline.after_ms(5000))
        with pytest.raises(InvalidQuery, match="no source 'clicks'"):
            await client.retrieve(Query("golden", (Ask("clicks", 1),)), Deadline.after_ms(5000))
        client.channel.close()

    with acting(GOLDEN, tmp_path / "s") as actor:
        status = settled(actor)
        assert (status.state, status.generation, status.shard, status.detail) == ("ready", "golden", 0, "")
        run(scene(actor))


def test_a_damaged_generation_leaves_a_process_that_says_why(tmp_path: Path) -> None:
    folder = copied(Generation.open(GOLDEN), tmp_path / "g")
    flip_bit(folder / "shard-0000/graph-taste.hnsw", 77)

    async def scene(actor: ShardActor) -> None:
        client = await connected(actor)
        with pytest.raises(ShardLoading, match="unable to load: GenerationCorrupt"):
            await client.retrieve(QUERY, Deadline.after_ms(5000))
        client.channel.close()

    with acting(folder, tmp_path / "s") as actor:
        status = settled(actor)
        assert (status.state, status.generation) == ("dead", "") and "sha256" in status.detail
        assert "graph-taste.hnsw has sha256" in status.detail
        run(scene(actor))
