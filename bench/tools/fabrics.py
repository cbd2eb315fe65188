"""Three ways to ask many local processes at once: our data plane, gRPC, Ray actor calls. Each with its own best settings.

Every shard process does nothing but answer a query with its first bytes and a kilobyte of filler, so what is measured
is the way there and back. All callers run the same code (`pace`) around their own fan-out.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import uvloop

from bench.tools.harness import Metrics, percentiles
from bench.tools.machine import cpu_s
from deploy.machine.listeners import process_tree

QUERY_BYTES = 256
REPLY_BYTES = 1024
IN_FLIGHT = 32
TIMEOUT_MS = 1_000

_STAMP_BYTES = 8
_FILLER = os.urandom(REPLY_BYTES - _STAMP_BYTES)
_SECRET = b"a secret for one benchmark"

FanOut = Callable[[bytes], Awaitable[list[bytes]]]


def answer(query: bytes) -> bytes:
    """What a shard replies in every fabric."""
    return query[:_STAMP_BYTES] + _FILLER


async def pace(fan_out: FanOut, n_shards: int, seconds: float) -> Metrics:
    """p50 and p99 with one fan-out at a time, then fan-outs per second with IN_FLIGHT at a time; each for `seconds`.

    Every reply is checked to be its own query's.
    """
    stamps = itertools.count()
    padding = bytes(QUERY_BYTES - _STAMP_BYTES)

    async def one() -> None:
        stamp = next(stamps).to_bytes(_STAMP_BYTES, "little")
        replies = await fan_out(stamp + padding)
        assert len(replies) == n_shards, f"{len(replies)} replies of {n_shards}"
        assert all(r[:_STAMP_BYTES] == stamp and len(r) == REPLY_BYTES for r in replies), "a reply of another query"

    taken = []
    until = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < until:
        await one()
        taken.append(time.perf_counter() - begin)

    async def keep_asking() -> None:
        while time.perf_counter() < until:
            await one()

    begin = time.perf_counter()
    until = begin + seconds
    await asyncio.gather(*(keep_asking() for _ in range(IN_FLIGHT)))
    n_fanouts = next(stamps)
    rate = (n_fanouts - len(taken)) / (time.perf_counter() - begin)
    return {"fanouts_per_s": rate} | percentiles(taken) | {"n_fanouts": n_fanouts}


class Fabric(Protocol):
    """Processes that run until `stop`."""

    def pids(self) -> list[int]:
        """Every process that takes part, the caller's included."""
        ...

    def measure(self, n_shards: int, seconds: float) -> Metrics:
        """Pace fan-outs to the first n_shards of them."""
        ...

    def stop(self) -> None: ...


def with_cpu(fabric: Fabric, n_shards: int, seconds: float) -> Metrics:
    """`measure`, and the CPU time of all processes per fan-out, of both phases together."""
    pids = fabric.pids()
    before = cpu_s(pids)
    metrics = dict(fabric.measure(n_shards, seconds))
    return metrics | {"cpu_us_per_fanout": (cpu_s(pids) - before) / metrics.pop("n_fanouts") * 1e6}


class Oskolok:
    """Our data plane over Unix sockets, uvloop on both sides."""

    def __init__(self, n_shards: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="osk")
        paths = [f"{self._folder.name}/{i}.sock" for i in range(n_shards)]
        self._servers = _spawn(_serve_oskolok, paths)
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._runner.run(self._connect(paths))

    async def _connect(self, paths: list[str]) -> None:
        from cluster.config.sections import TransportSection
        from cluster.topology import Address
        from cluster.transport.channel import Channel

        limits = TransportSection()
        self._channels = [Channel(Address("", "", 0, p), node_id="", secret=_SECRET, limits=limits) for p in paths]
        for channel in self._channels:
            assert await channel.wait_connected(60)

    def pids(self) -> list[int]:
        return [os.getpid(), *(server.pid for server in self._servers)]

    def measure(self, n_shards: int, seconds: float) -> Metrics:
        from cluster.deadline import Deadline

        channels = self._channels[:n_shards]

        async def fan_out(query: bytes) -> list[bytes]:
            deadline = Deadline.after_ms(TIMEOUT_MS)
            futures = [channel.call(1, query, deadline, bytes) for channel in channels]
            await asyncio.wait(futures, timeout=TIMEOUT_MS / 1000)
            return [future.result() for future in futures]

        return self._runner.run(pace(fan_out, n_shards, seconds))

    def stop(self) -> None:
        async def close() -> None:
            for channel in self._channels:
                channel.close()
                await channel.wait_closed()

        self._runner.run(close())
        self._runner.close()
        _kill(self._servers)
        self._folder.cleanup()


def _serve_oskolok(path: str) -> None:
    from cluster.config.sections import TransportSection
    from cluster.transport.server import Server

    def service(calls) -> None:
        for call in calls:
            call.reply(answer(call.body))

    async def serve() -> None:
        await Server(service, secret=_SECRET, limits=TransportSection()).start(unix_path=path)
        await asyncio.Event().wait()

    uvloop.run(serve())


class GrpcAio:
    """grpc.aio over Unix sockets, uvloop on both sides, plain bytes instead of protobuf."""

    def __init__(self, n_shards: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="osk")
        paths = [f"{self._folder.name}/{i}.sock" for i in range(n_shards)]
        self._servers = _spawn(_serve_grpc, paths)
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._runner.run(self._connect(paths))

    async def _connect(self, paths: list[str]) -> None:
        import grpc

        self._channels = [grpc.aio.insecure_channel(f"unix:{path}") for path in paths]
        self._calls = [channel.unary_unary("/bench.Shard/Retrieve") for channel in self._channels]
        for channel in self._channels:
            await asyncio.wait_for(channel.channel_ready(), 60)

    def pids(self) -> list[int]:
        return [os.getpid(), *(server.pid for server in self._servers)]

    def measure(self, n_shards: int, seconds: float) -> Metrics:
        calls = self._calls[:n_shards]

        async def fan_out(query: bytes) -> list[bytes]:
            return await asyncio.gather(*[call(query, timeout=TIMEOUT_MS / 1000) for call in calls])

        return self._runner.run(pace(fan_out, n_shards, seconds))

    def stop(self) -> None:
        async def close() -> None:
            for channel in self._channels:
                await channel.close()

        self._runner.run(close())
        self._runner.close()
        _kill(self._servers)
        self._folder.cleanup()


def _serve_grpc(path: str) -> None:
    import grpc

    async def retrieve(query: bytes, context: object) -> bytes:
        return answer(query)

    async def serve() -> None:
        server = grpc.aio.server()
        methods = {"Retrieve": grpc.unary_unary_rpc_method_handler(retrieve)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Shard", methods),))
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        await server.wait_for_termination()

    uvloop.run(serve())


class RayActors:
    """Async actors called from an async actor, gathered. Workers run at the same priority as everybody else here."""

    def __init__(self, n_shards: int) -> None:
        others = set(process_tree(os.getpid()))
        os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  # Ray's own spelling
        import ray

        ray.init(num_cpus=n_shards + 2, include_dashboard=False, log_to_driver=False, logging_level="error")

        class Shard:
            async def retrieve(self, query: bytes) -> bytes:
                return answer(query)

        class Caller:
            async def measure(self, shards: list, seconds: float) -> Metrics:
                async def fan_out(query: bytes) -> list[bytes]:
                    return await asyncio.gather(*[shard.retrieve.remote(query) for shard in shards])

                return await pace(fan_out, len(shards), seconds)

        self._ray = ray
        self._shards = [ray.remote(Shard).remote() for _ in range(n_shards)]
        self._caller = ray.remote(Caller).remote()
        ray.get([shard.retrieve.remote(bytes(QUERY_BYTES)) for shard in self._shards])
        self._pids = sorted(set(process_tree(os.getpid())) - others)

    def pids(self) -> list[int]:
        return self._pids

    def measure(self, n_shards: int, seconds: float) -> Metrics:
        return self._ray.get(self._caller.measure.remote(self._shards[:n_shards], seconds))

    def stop(self) -> None:
        self._ray.shutdown()


def _spawn(serve: Callable[[str], None], paths: list[str]) -> list[multiprocessing.process.BaseProcess]:
    context = multiprocessing.get_context("spawn")
    servers = [context.Process(target=serve, args=(path,), daemon=True) for path in paths]
    for server in servers:
        server.start()
    until = time.monotonic() + 120
    while not all(Path(path).exists() for path in paths):
        assert time.monotonic() < until, "a server does not come up"
        time.sleep(0.05)
    return list(servers)


def _kill(servers: list[multiprocessing.process.BaseProcess]) -> None:
    for server in servers:
        server.kill()
        server.join()
