"""The ranker's process shell over a real socket: it ranks, batches what waits, and says why it cannot load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.clients.remote import RemoteRankerClient
from cluster.deadline import Deadline
from cluster.errors import GenerationMismatch, InvalidQuery, RankerUnavailable, SchemaMismatch
from cluster.generation import Generation
from cluster.serving.endpoint import Endpoint
from cluster.topology import ReplicaStatus
from cluster.transport.channel import Channel
from cluster.types import RankReply
from ranker.actor import RankerActor
from ranker.ranker import Ranker
from tests.cluster.served import LIMITS, NODE, SECRET, run, socket_folder
from tests.ranker.making import SPOILINGS, heavy_blob, light_model, publish, query_of, spoilt


@pytest.fixture(scope="module")
def generation(tmp_path_factory: pytest.TempPathFactory) -> Generation:
    return publish(tmp_path_factory.mktemp("store"), light=light_model().to_json(), heavy=heavy_blob())


@contextmanager
def acting(folder: Path) -> Iterator[RankerActor]:
    with socket_folder() as sockets:
        endpoint = Endpoint(
            name="ranker-0",
            shard=-1,
            generation_path=str(folder),
            secret=SECRET,
            limits=LIMITS,
            unix_path=f"{sockets}/s",
            host="",
            node_id=NODE,
        )
        actor = RankerActor(endpoint, batch_requests_max=16)
        try:
            yield actor
        finally:
            actor.stop()


def settled(actor: RankerActor) -> ReplicaStatus:
    """Its status once it no longer loads."""
    until = time.monotonic() + 10
    while (status := actor.status()).state == "loading" and time.monotonic() < until:
        time.sleep(0.005)
    return status


async def connected(actor: RankerActor) -> RemoteRankerClient:
    channel = Channel(actor.status().address, node_id=NODE, secret=SECRET, limits=LIMITS)
    assert await channel.wait_connected(5)
    return RemoteRankerClient("ranker-0", channel)


def test_it_ranks_as_the_ranker_itself_does(generation: Generation) -> None:
    queries = [query_of(i, m=30, n_heavy=10) for i in range(40)]

    async def scene(actor: RankerActor) -> list[RankReply]:
        client = await connected(actor)
        replies = await asyncio.gather(*(client.rank(query, Deadline.after_ms(5_000)) for query in queries))
        client.channel.close()
        return replies

    with acting(generation.path) as actor:
        status = settled(actor)
        assert (status.state, status.generation, status.shard) == ("ready", "g1", -1)
        replies = run(scene(actor))
    for reply, true in zip(replies, Ranker.load(generation).rank_batch(queries, [5_000] * 40), strict=True):
        assert isinstance(true, RankReply)
        assert reply.order.tolist() == true.order.tolist() and reply.scores.tobytes() == true.scores.tobytes()
        assert (reply.n_heavy, reply.skipped) == (10, "")


def test_bad_queries_beside_good_ones_fail_alone(generation: Generation) -> None:
    kinds = ["infinite match", "another schema", "another generation", "user too long"]

    async def scene(actor: RankerActor) -> list[object]:
        client = await connected(actor)
        mixed = [query if i % 2 else spoilt(query, kinds[i // 2]) for i, query in enumerate(map(query_of, range(8)))]
        outcomes = await asyncio.gather(
            *(client.rank(query, Deadline.after_ms(5_000)) for query in mixed), return_exceptions=True
        )
        client.channel.close()
        return list(outcomes)

    assert set(kinds) <= SPOILINGS.keys()
    with acting(generation.path) as actor:
        settled(actor)
        outcomes = run(scene(actor))
    assert [type(o) for o in outcomes[1::2]] == [RankReply] * 4
    assert [type(o) for o in outcomes[::2]] == [InvalidQuery, SchemaMismatch, GenerationMismatch, InvalidQuery]


def test_what_cannot_be_loaded_is_told_and_refused(tmp_path: Path) -> None:
    broken = publish(tmp_path, light=b"{}")

    async def scene(actor: RankerActor) -> None:
        client = await connected(actor)
        with pytest.raises(RankerUnavailable, match="unable to load: GenerationCorrupt"):
            await client.rank(query_of(), Deadline.after_ms(5_000))
        client.channel.close()

    with acting(broken.path) as actor:
        status = settled(actor)
        assert status.state == "dead" and "light model cannot be read" in status.detail
        run(scene(actor))
