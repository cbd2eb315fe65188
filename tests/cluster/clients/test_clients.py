"""One contract for every way to reach a shard or a ranker: in process, over a socket, through a pool."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from cluster.clients.local import LocalRankerClient, LocalShardClient
from cluster.clients.protocols import RankerClient, ShardClient
from cluster.clients.remote import RemoteRankerClient, RemoteShardClient
from cluster.clients.replicas import RankerReplicas, ShardReplicas
from cluster.deadline import Deadline
from cluster.errors import (
    DeadlineExceeded,
    GenerationMismatch,
    InternalError,
    InvalidQuery,
    Overloaded,
    RankerUnavailable,
    ShardLoading,
)
from cluster.filtering import Condition, Filter
from cluster.serving.services import PROBES_MAX, ranker_service, shard_service
from cluster.topology import Address
from cluster.transport.server_thread import ServerThread
from cluster.types import FetchQuery, RankReply
from tests.cluster.parts import FakeRanker, FakeShard, fetch_query, lookup_query, probe_query, query, rank_query
from tests.cluster.served import LIMITS, NODE, SECRET, channel_to, run, serving, socket_folder, soon, until

ROADS = ["local", "channel", "one replica", "two replicas"]


@contextlib.asynccontextmanager
async def shard_client(road: str, shard: FakeShard) -> AsyncIterator[ShardClient]:
    """A client of this shard, by the road that is named."""
    if road == "local":
        yield LocalShardClient(shard)
        return
    async with serving(shard_service(lambda generation: shard)) as (_, address), channel_to(address) as channel:
        client = RemoteShardClient("shard-0-a", channel)
        replicas = {"one replica": [client], "two replicas": [client, RemoteShardClient("shard-0-b", channel)]}
        yield client if road == "channel" else ShardReplicas(0, replicas[road])


@contextlib.asynccontextmanager
async def ranker_client(road: str, ranker: FakeRanker) -> AsyncIterator[RankerClient]:
    if road == "local":
        yield LocalRankerClient(ranker)
        return
    async with serving(ranker_service(lambda generation: ranker)) as (_, address), channel_to(address) as channel:
        client = RemoteRankerClient("ranker-0", channel)
        rankers = {"one replica": [client], "two replicas": [client, RemoteRankerClient("ranker-1", channel)]}
        yield client if road == "channel" else RankerReplicas(rankers[road])


@pytest.mark.parametrize("road", ROADS)
def test_a_shard_answers(road: str) -> None:
    async def check() -> None:
        async with shard_client(road, FakeShard(42)) as client:
            reply = await client.retrieve(query("g7"), soon())
            assert (reply.generation, reply.keys.tolist(), reply.n_eligible) == ("g7", [42], 4)
            fetched = await client.fetch(fetch_query("g7"), soon())
            assert fetched.payloads == ({"row": 3}, {"row": 1})
            found = await client.lookup(lookup_query("g7"), soon())
            assert (found.known.tolist(), found.vectors["als"].shape) == ([True, False], (2, 2))
            probed = await client.probe(probe_query("g7"), soon())
            assert (probed.generation, probed.before) == ("g7", {"ann": 42})
            assert client.name

    run(check())


@pytest.mark.parametrize("road", ROADS)
def test_a_ranker_answers(road: str) -> None:
    async def check() -> None:
        ranker = FakeRanker()
        async with ranker_client(road, ranker) as client:
            reply = await client.rank(rank_query(m=3), soon(5_000))
            assert reply.order.tolist() == [2, 1, 0]
            assert 1_000 < ranker.remaining_ms[0] <= 5_000
            assert client.name

    run(check())


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize(
    ("raised", "arrives"),
    [
        (ShardLoading("12 % read"), ShardLoading),
        (GenerationMismatch("g is not here"), GenerationMismatch),
        (InvalidQuery("no", field="/k"), InvalidQuery),
        (IndexError("a bug"), InternalError),
    ],
)
def test_errors_arrive_as_what_they_are(road: str, raised: Exception, arrives: type[Exception]) -> None:
    async def check() -> None:
        async with shard_client(road, FakeShard(error=raised)) as client:
            for call in (
                client.retrieve(query(), soon()),
                client.fetch(fetch_query(), soon()),
                client.lookup(lookup_query(), soon()),
                client.probe(probe_query(), soon()),
            ):
                with pytest.raises(arrives) as caught:
                    await call
                assert type(caught.value) is arrives
        async with ranker_client(road, FakeRanker(error=raised)) as client:
            with pytest.raises(arrives):
                await client.rank(rank_query(), soon())

    run(check())


@pytest.mark.parametrize("road", ROADS)
def test_calls_return_at_once_and_errors_come_with_the_await(road: str) -> None:
    unsendable = FetchQuery("g", fetch_query().rows, Filter((Condition("a", "eq", (2**70,)),)))

    async def check() -> None:
        async with shard_client(road, FakeShard()) as client:
            expired = client.retrieve(query(), Deadline.after_ms(0))
            with pytest.raises(DeadlineExceeded):
                await expired
            if road != "local":
                refused = client.fetch(unsendable, soon())
                with pytest.raises(InvalidQuery, match="cannot be sent"):
                    await refused

    run(check())


def serve_and_call(service, make: Callable) -> None:
    async def check() -> None:
        async with serving(service, batch_max=32) as (_, address), channel_to(address) as channel:
            await make(channel)

    run(check())


def test_a_generation_is_looked_up_for_every_query() -> None:
    held = {"old": FakeShard(1), "new": FakeShard(2)}

    def lookup(generation: str) -> FakeShard:
        if generation not in held:
            raise GenerationMismatch(f"holds {sorted(held)}, not {generation!r}")
        return held[generation]

    async def calls(channel) -> None:
        client = RemoteShardClient("s", channel)
        assert (await client.retrieve(query("old"), soon())).keys.tolist() == [1]
        assert (await client.retrieve(query("new"), soon())).keys.tolist() == [2]
        with pytest.raises(GenerationMismatch, match="not 'gone'"):
            await client.retrieve(query("gone"), soon())

    serve_and_call(shard_service(lookup), calls)


def test_a_shard_that_loads_says_so_and_then_serves() -> None:
    loaded: list[FakeShard] = []

    def lookup(generation: str) -> FakeShard:
        if not loaded:
            raise ShardLoading("3 of 9 files read")
        return loaded[0]

    async def calls(channel) -> None:
        client = RemoteShardClient("s", channel)
        with pytest.raises(ShardLoading, match="3 of 9"):
            await client.retrieve(query(), soon())
        loaded.append(FakeShard(5))
        assert (await client.retrieve(query(), soon())).keys.tolist() == [5]

    serve_and_call(shard_service(lookup), calls)


def test_requests_that_wait_together_are_ranked_together_by_generation() -> None:
    rankers = {"a": FakeRanker(), "b": FakeRanker()}

    def lookup(generation: str) -> FakeRanker:
        if generation not in rankers:
            raise RankerUnavailable("not read yet")
        return rankers[generation]

    async def calls(channel) -> None:
        client = RemoteRankerClient("r", channel)
        futures = [client.rank(rank_query(g, m), soon()) for m, g in enumerate("ababbcb")]
        for m, (generation, future) in enumerate(zip("ababbcb", futures, strict=True)):
            if generation == "c":
                with pytest.raises(RankerUnavailable):
                    await future
            else:
                assert len((await future).order) == m

    serve_and_call(ranker_service(lookup), calls)
    assert (rankers["a"].batches, rankers["b"].batches) == ([2], [4])


def test_a_reply_that_is_known_leaves_before_the_next_heavy_call() -> None:
    arrived = threading.Event()
    in_time: list[bool] = []

    class Wavy(FakeRanker):
        def rank(self, queries, remaining_ms) -> Iterator[tuple[int, RankReply]]:
            yield from super().rank(queries, remaining_ms)
            in_time.append(arrived.wait(5))

    async def check(address: Address) -> None:
        async with channel_to(address) as channel:
            client = RemoteRankerClient("r", channel)
            await client.rank(rank_query(), soon(10_000))
            arrived.set()

    with socket_folder() as folder:
        host = ServerThread(ranker_service(lambda generation: Wavy()), secret=SECRET, limits=LIMITS, batch_max=32)
        host.start(unix_path=f"{folder}/s")
        try:
            run(check(Address(NODE, "", 0, f"{folder}/s")))
        finally:
            host.stop()
    assert in_time == [True]


class SlowProbe(FakeShard):
    """Its probes take until the test lets them go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def probe(self, query):
        self.begun.set()
        assert self.go_on.wait(10), "the test lets probes go on"
        return super().probe(query)


def test_a_retrieval_does_not_wait_for_a_probe() -> None:
    shard = SlowProbe()

    async def calls(channel) -> None:
        client = RemoteShardClient("s", channel)
        probed = client.probe(probe_query(), soon(10_000))
        await until(shard.begun.is_set)
        assert (await client.retrieve(query(), soon())).keys.tolist() == [7]
        assert not probed.done()
        shard.go_on.set()
        assert (await probed).held == {"ann": 9}

    serve_and_call(shard_service(lambda generation: shard), calls)


def test_probes_that_would_wait_too_long_are_refused_and_their_place_comes_back() -> None:
    shard = SlowProbe()

    async def calls(channel) -> None:
        client = RemoteShardClient("s", channel)
        probes = [client.probe(probe_query(), soon(10_000)) for _ in range(PROBES_MAX)]
        with pytest.raises(Overloaded, match=f"{PROBES_MAX} calls already wait for the probe lane"):
            await client.probe(probe_query(), soon())
        shard.go_on.set()
        assert len(await asyncio.gather(*probes)) == PROBES_MAX
        assert (await client.probe(probe_query(), soon())).held == {"ann": 9}

    serve_and_call(shard_service(lambda generation: shard), calls)


def test_a_probe_whose_deadline_passed_in_the_lane_costs_no_work() -> None:
    n_probed = []

    class Counting(SlowProbe):
        def probe(self, query):
            n_probed.append(query.key)
            return super().probe(query)

    shard = Counting()

    async def calls(channel) -> None:
        client = RemoteShardClient("s", channel)
        first = client.probe(probe_query(), soon(10_000))
        await until(shard.begun.is_set)
        hurried = client.probe(probe_query(), Deadline.after_ms(20))
        with pytest.raises(DeadlineExceeded):
            await hurried
        shard.go_on.set()
        await first
        await client.probe(probe_query(), soon())

    serve_and_call(shard_service(lambda generation: shard), calls)
    assert len(n_probed) == 2


def test_a_query_that_makes_no_sense_spoils_only_itself() -> None:
    ranker = FakeRanker()

    async def calls(channel) -> None:
        client = RemoteRankerClient("r", channel)
        good = client.rank(rank_query(), soon())
        spoilt = channel.call(3, b"\x00", soon(), bytes)
        unknown = channel.call(99, b"", soon(), bytes)
        assert (await good).order.tolist() == [2, 1, 0]
        with pytest.raises(Exception, match="decode_rank_query"):
            await spoilt
        with pytest.raises(InvalidQuery, match="unknown method 99"):
            await unknown

    serve_and_call(ranker_service(lambda generation: ranker), calls)


def test_time_in_the_servers_queue_comes_back_with_the_reply() -> None:
    async def calls(channel) -> None:
        reply = await RemoteShardClient("s", channel).retrieve(query(), soon())
        assert 0 < reply.queue_us < 1e6

    serve_and_call(shard_service(lambda generation: FakeShard()), calls)


def test_a_reply_of_the_wrong_length_is_refused_by_the_client() -> None:
    class Short(FakeRanker):
        def _rank(self, query):
            return super()._rank(rank_query(m=len(query.keys) - 1))

    async def calls(channel) -> None:
        with pytest.raises(Exception, match="2 entries, expected 3"):
            await RemoteRankerClient("r", channel).rank(rank_query(m=3), soon())

    serve_and_call(ranker_service(lambda generation: Short()), calls)
