"""One cluster for most integration tests: 4 shards, 2 rankers, Serve behind HAProxy, users in a real Redis."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.integration.running import Cluster, command_of
from tests.router.users.redis_server import RedisServer
from tests.worlds import build_tiny, tiny_config


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Iterator[Cluster]:
    """The cluster, in whatever state the last test left it; at the end it must stop by itself and leave nothing behind."""
    folder = tmp_path_factory.mktemp("cluster")
    config = tiny_config(
        folder / "store",
        n_shards=4,
        http={"port": free_port()},
        users={"store": f"redis://{redis.address}"},
        deadline={"default_ms": 1_000},  # two cores, shared with the load: the product's 200 ms would test the machine
        admission={"max_in_flight": 12},
    )
    build_tiny(folder, config=config)
    cluster = Cluster(config, folder)
    yield cluster
    processes = cluster.tree()
    code = cluster.stop()
    left = [command_of(pid) for pid in processes if command_of(pid)]
    assert (code, left) == (0, []), cluster.said()


@pytest.fixture
def cluster(running: Cluster) -> Cluster:
    """The same, whole."""
    running.wait_whole(30)
    return running
