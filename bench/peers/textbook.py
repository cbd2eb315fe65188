"""The form a Ray tutorial leads to: shards and rankers as actors called through Ray, default Serve, FastAPI, pydantic.

The cores are ours to the last line, `Shard`, `Ranker` and `Router`, so answers are the same; what differs is only how queries
travel and how HTTP is served. (Annotations are evaluated here: FastAPI must find RecommendBody where Serve unpickles it.)
"""

import argparse
import asyncio
import os
import signal
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import ray
from fastapi import FastAPI
from pydantic import BaseModel, Field
from ray import serve

from cluster.clients.protocols import Fleet
from cluster.config.file import load
from cluster.config.sections import Config
from cluster.deadline import Deadline
from cluster.errors import OskolokError
from cluster.generation import Generation
from cluster.types import FetchQuery, FetchReply, Query, RankQuery, RankReply, ShardReply
from deploy.runtime.wiring import user_store_url
from ranker.ranker import Ranker
from router.request import Request
from router.router import Router
from router.users.opening import open_store
from shard.shard import Shard


@ray.remote(num_cpus=0.1)
class ShardActor:
    def __init__(self, path: str, shard: int) -> None:
        self.shard = Shard.load(Generation.open(path), shard)

    def retrieve(self, query: Query) -> ShardReply:
        return self.shard.retrieve(query)

    def fetch(self, query: FetchQuery) -> FetchReply:
        return self.shard.fetch(query)


@ray.remote(num_cpus=0.1)
class RankerActor:
    def __init__(self, path: str) -> None:
        self.ranker = Ranker.load(Generation.open(path))

    def rank(self, query: RankQuery, remaining_ms: float) -> RankReply:
        (outcome,) = self.ranker.rank_batch([query], [remaining_ms])
        if isinstance(outcome, OskolokError):
            raise outcome
        return outcome


class RayShard:
    """A shard behind actor calls."""

    def __init__(self, name: str, handle: Any) -> None:
        self.name = name
        self.handle = handle

    def retrieve(self, query: Query, deadline: Deadline) -> Awaitable[ShardReply]:
        return asyncio.wrap_future(self.handle.retrieve.remote(query).future())

    def fetch(self, query: FetchQuery, deadline: Deadline) -> Awaitable[FetchReply]:
        return asyncio.wrap_future(self.handle.fetch.remote(query).future())


class RayRankers:
    """Rankers behind actor calls, in turn."""

    name = "rankers"

    def __init__(self, handles: list[Any]) -> None:
        self.handles = handles
        self.turn = 0

    def rank(self, query: RankQuery, deadline: Deadline) -> Awaitable[RankReply]:
        self.turn += 1
        handle = self.handles[self.turn % len(self.handles)]
        return asyncio.wrap_future(handle.rank.remote(query, deadline.remaining_ms()).future())


class RecommendBody(BaseModel):
    user_id: str
    k: int = Field(20, ge=1, le=200)


app = FastAPI()


@serve.deployment(max_ongoing_requests=100)
@serve.ingress(app)
class Recommender:
    def __init__(self, path: str, config: Config, shards: list[Any], rankers: list[Any]) -> None:
        spec = Generation.open(path).spec
        clients = tuple(RayShard(f"shard-{i}", handle) for i, handle in enumerate(shards))
        fleet = Fleet(1, spec, clients, RayRankers(rankers))
        self.router = Router(lambda: fleet, open_store(user_store_url(config), config.users), config)

    @app.post("/v1/recommend")
    async def recommend(self, body: RecommendBody) -> dict[str, Any]:
        answer = await self.router.recommend(Request(body.user_id, body.k), Deadline.after_ms(2_000))
        items = [
            {"item_id": i.item_id, "rank": i.rank, "score": i.score, "sources": i.sources, "payload": i.payload}
            for i in answer.items
        ]
        return {"items": items, "coverage": answer.coverage.ratio, "degraded": answer.degraded}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--generation", required=True)
    parser.add_argument("--config", type=Path, required=True)
    arguments = parser.parse_args()
    config = load(arguments.config).config
    ray.init("local", num_cpus=8, include_dashboard=False, log_to_driver=False, configure_logging=False)
    spec = Generation.open(arguments.generation).spec
    shards = [ShardActor.remote(arguments.generation, shard) for shard in range(spec.n_shards)]
    rankers = [RankerActor.remote(arguments.generation) for _ in range(config.cluster.n_rankers)]
    serve.start(http_options={"host": "127.0.0.1", "port": arguments.port})
    serve.run(Recommender.bind(arguments.generation, config, shards, rankers), route_prefix="/")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    os.environ.setdefault("RAY_worker_niceness", "0")  # before Ray reads it; at nice 15 the load generator would starve it
    main()
