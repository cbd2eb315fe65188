"""A router over a whole generation in this process that keeps what it answers, and parts of it that fail."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cluster.clients.local import failed
from cluster.clients.protocols import Fleet, RankerClient, ShardClient
from cluster.config.sections import Config
from cluster.deadline import Deadline
from cluster.errors import RankerUnavailable, ShardUnavailable
from cluster.partition import item_keys
from cluster.probe import ProbeQuery, ProbeReply
from cluster.types import FetchQuery, FetchReply, Query, RankQuery, RankReply, ShardReply
from deploy.replay.house import House
from deploy.replay.recorder import ReplayLog
from router.replay.file import read_log
from router.replay.logged import Logged
from router.request import Recommendation, Request
from router.router import Router
from tests.router.fakes import DictStore
from tests.worlds import tiny_config

USERS = ("user-0003", "user-0007", "user-0011")
AMPLE_MS = 30_000.0

Fault = Literal["none", "silent", "no_payloads", "no_vectors", "stale"]


def config(storage: Path, **sections: dict[str, object]) -> Config:
    ample = {"timeout_ms": 2_000}  # what comes late on a busy machine is not there when the request is made again
    given = {"observability": {"replay_sample": 1.0}, "deadline": {"default_ms": 2_000}, "ranker": ample, "users": ample}
    return tiny_config(storage, **{**given, **sections})


def logs(folder: Path) -> list[Logged]:
    return [one for file in sorted(folder.glob("*.parquet")) for one in read_log(file)]


@contextmanager
def keeping(
    house: House, config: Config, folder: Path, *, fleet: Fleet | None = None, draw: Callable[[], float] = random.random
) -> Iterator[Asked]:
    """Files are written when it ends. fleet: the house's, or one with faults."""
    asked = Asked(house, fleet or house.fleet, config, ReplayLog(folder, config, draw=draw))
    yield asked
    asked.log.close()


class Asked:
    """Users the generation knows are known here."""

    def __init__(self, house: House, fleet: Fleet, config: Config, log: ReplayLog) -> None:
        self.log = log
        store = DictStore(*house.users.values())
        sections = config
        tower = house.tower
        self.router = Router(lambda: fleet, store, sections, tower_of=lambda _: tower, recorder=self.log)

    def recommend(self, *requests: Request) -> list[Recommendation]:
        async def run() -> list[Recommendation]:
            found = [await self.router.recommend(request, Deadline.after_ms(AMPLE_MS)) for request in requests]
            await self.log.finished()
            return found

        return asyncio.run(run())


@dataclass(frozen=True)
class FaultyShard:
    """stale: two of three of its items are gone when they are to be shown."""

    client: ShardClient
    fault: Fault

    @property
    def name(self) -> str:
        return self.client.name

    def retrieve(self, query: Query, deadline: Deadline) -> Awaitable[ShardReply]:
        if self.fault == "silent":
            return failed(ShardUnavailable("it is dead"))
        return self.client.retrieve(query, deadline)

    def fetch(self, query: FetchQuery, deadline: Deadline) -> Awaitable[FetchReply]:
        if self.fault == ("no_vectors" if query.vectors else "no_payloads"):
            return failed(ShardUnavailable("it is dead"))
        return self._stale(query, deadline) if self.fault == "stale" else self.client.fetch(query, deadline)

    async def _stale(self, query: FetchQuery, deadline: Deadline) -> FetchReply:
        reply = await self.client.fetch(query, deadline)
        return replace(reply, eligible=reply.eligible & (np.array(item_keys(reply.item_ids)) % 3 == 0))

    def probe(self, query: ProbeQuery, deadline: Deadline) -> Awaitable[ProbeReply]:
        return self.client.probe(query, deadline)


class CountingRanker:
    name = "ranker"

    def __init__(self, client: RankerClient) -> None:
        self.client = client
        self.n_calls = 0

    def rank(self, query: RankQuery, deadline: Deadline) -> Awaitable[RankReply]:
        self.n_calls += 1
        return self.client.rank(query, deadline)


class DeadRanker:
    name = "ranker"

    def rank(self, query: RankQuery, deadline: Deadline) -> Awaitable[RankReply]:
        return failed(RankerUnavailable("it is dead"))


def with_faults(fleet: Fleet, faults: Sequence[Fault], *, dead_ranker: bool = False) -> Fleet:
    shards = tuple(FaultyShard(client, fault) for client, fault in zip(fleet.shards, faults, strict=True))
    return replace(fleet, shards=shards, ranker=DeadRanker() if dead_ranker else fleet.ranker)


def same_bits(one: NDArray[np.generic], other: NDArray[np.generic]) -> bool:
    """Whether two arrays are equal to the last bit, NaN to NaN."""
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()
