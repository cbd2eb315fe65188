"""What does another shard cost, and what does it buy? 1, 2, 4 and 8 shards of one catalogue, and of one size each.

Real shard processes behind the data plane and a router in this one; no Ray, no HTTP, no ranker, so that the figures are those
of retrieval alone. `cpu_ms_per_request` is of the router and all shards; the fixed cost of a shard is what it grows by from
one shard to the next where the items stay the same. `rows_per_shard` are the candidates that one shard ships.
`bytes_per_item` is the memory of the shard processes, interpreter and libraries included, divided by the items.

    python -m bench.scaling [--quick] [--json FILE] [--only TEXT]
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
import uvloop

from bench.tools.cluster_under_test import Deployment, deployment
from bench.tools.harness import Bench, percentiles
from bench.tools.machine import CpuMeter, memory_bytes
from bench.tools.world import SPACE
from cluster.clients.channel_pool import ChannelPool
from cluster.config.file import load
from cluster.config.sections import Config, HeavySection, LightSection, RankerSection, TransportSection
from cluster.deadline import Deadline
from cluster.generation import Generation
from cluster.serving.endpoint import Endpoint
from cluster.topology import Replica, Topology
from cluster.types import Ask, Query
from router.request import Request, ShardTrace
from router.retrieve import retrieve
from router.router import Router
from router.users.opening import open_store
from shard.actor import ShardActor

K = 20
RECALL_K = 100
SYSTEM = "oskolok"


@dataclass(frozen=True)
class ShardProcesses:
    """Running shards and what a router needs to reach them."""

    topology: Topology
    secret: bytes
    pids: tuple[int, ...]


def main() -> None:
    bench = Bench.from_arguments("scaling", packages=("numpy", "hnswlib", "uvloop", "msgspec"))
    fixed, each = bench.size(full=100_000, quick=16_000), bench.size(full=25_000, quick=4_000)
    for n_shards in (1, 2, 4, 8):
        for case, n_items in (
            (f"{n_shards} shards, {fixed:,} items in all", fixed),
            (f"{n_shards} shards, {each:,} items each", each * n_shards),
        ):
            if bench.wants(case):
                bench.add(case, {SYSTEM: measure(deployment(n_items, n_shards), n_requests=bench.size(full=1500, quick=150))})


def measure(deployed: Deployment, *, n_requests: int) -> dict[str, float]:
    """Metrics of one deployment; requests are made one after the other."""
    with shard_processes(deployed) as shards:
        return uvloop.run(_requests(deployed, shards, n_requests))


async def _requests(deployed: Deployment, shards: ShardProcesses, n_requests: int) -> dict[str, float]:
    config = load(deployed.config).config
    channels = ChannelPool(secret=shards.secret, limits=TransportSection(), node_id="here")
    fleet = channels.fleet(shards.topology)
    assert await channels.wait_connected(10) == 0, "a shard cannot be reached"
    store = open_store(f"lmdb://{deployed.config.parent}/bench-users", config.users, access="write")
    await store.put_many(deployed.world.records(fleet.spec.id))
    router = Router(lambda: fleet, store, _without_ranking(config))
    users = deployed.world.user_ids
    traces: list[ShardTrace] = []
    for at in range(50):
        traces += (await router.recommend(Request(users[at], K, explain="funnel"), Deadline.after_ms(2000))).shards
    cpu = CpuMeter([*shards.pids, os.getpid()])
    taken = []
    for at in range(n_requests):
        began = time.perf_counter()
        answer = await router.recommend(Request(users[at % len(users)], K), Deadline.after_ms(2000))
        taken.append(time.perf_counter() - began)
        assert answer.coverage.ratio == 1 and len(answer.items) == K, "an answer is not whole"
    cpu_ms = cpu.used_s() * 1000 / n_requests
    recall = await _recall(deployed, fleet)
    await channels.close()
    await store.close()
    return percentiles(taken, "ms") | {
        "cpu_ms_per_request": cpu_ms,
        "rows_per_shard": float(np.mean([trace.n_rows for trace in traces])),
        "bytes_per_item": memory_bytes(shards.pids) / deployed.world.size.n_items,
        "recall": recall,
    }


async def _recall(deployed: Deployment, fleet, *, n_users: int = 50) -> float:
    """recall@100 of the ann source over all shards, against exact truth over the whole catalogue."""
    world, found = deployed.world, []
    for user in range(n_users):
        vector = world.user_vectors[user]
        query = Query(generation=fleet.spec.id, asks=(Ask("ann", RECALL_K),), vectors={SPACE: vector})
        answers = await retrieve(query, range(fleet.spec.n_shards), fleet, Deadline.after_ms(5000))
        keys = np.concatenate([reply.keys[reply.sources[0].members] for reply in answers.got.values()])
        scores = np.concatenate([reply.sources[0].scores for reply in answers.got.values()])
        best = keys[np.argsort(-scores, kind="stable")[:RECALL_K]]
        truth = world.keys[np.argsort(-(world.vectors @ vector), kind="stable")[:RECALL_K]]
        found.append(len(np.intersect1d(best, truth)) / RECALL_K)
    return float(np.mean(found))


def _without_ranking(config: Config) -> Config:
    ranker = RankerSection(light=LightSection(enabled=False), heavy=HeavySection(enabled=False))
    return config.model_copy(update={"ranker": ranker})


@contextlib.contextmanager
def shard_processes(deployed: Deployment) -> Iterator[ShardProcesses]:
    """One process a shard, each as in a cluster but for Ray."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["shard.actor"])
    secret = secrets.token_bytes(32)
    generation = Generation.open(deployed.generation)
    with tempfile.TemporaryDirectory(prefix="osk-") as folder:
        children, replicas = [], []
        try:
            for shard in range(generation.spec.n_shards):
                ours, theirs = context.Pipe()
                arguments = (theirs, shard, str(deployed.generation), secret, f"{folder}/{shard}.sock")
                child = context.Process(target=_shard_process, args=arguments)
                child.start()
                children.append((child, ours))
            for _, pipe in children:
                status = pipe.recv()
                replicas.append((Replica(status.name, status.address, "ready"),))
            topology = Topology(1, generation.spec, tuple(replicas), ())
            yield ShardProcesses(topology, secret, tuple(child.pid for child, _ in children))
        finally:
            for child, pipe in children:
                pipe.close()
                child.join(10)


def _shard_process(pipe: Connection, shard: int, path: str, secret: bytes, unix_path: str) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    endpoint = Endpoint(
        name=f"shard-{shard}",
        shard=shard,
        generation_path=path,
        secret=secret,
        limits=TransportSection(),
        unix_path=unix_path,
        host="",
        node_id="here",
    )
    actor = ShardActor(endpoint)
    while (status := actor.status()).state == "loading":
        time.sleep(0.02)
    assert status.state == "ready", status.detail
    pipe.send(status)
    with contextlib.suppress(EOFError):
        pipe.recv()
    actor.stop()


if __name__ == "__main__":
    main()
