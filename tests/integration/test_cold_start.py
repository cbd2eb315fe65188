"""A start in a damaged world: one shard that cannot be read, no user store, and a router that dies on top of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.generation import current_id, generation_path
from tests.integration.conftest import free_port
from tests.integration.running import Cluster, kill, wait_until
from tests.router.users.redis_server import RedisServer
from tests.worlds import build_tiny, tiny_config

pytestmark = [pytest.mark.ray, pytest.mark.long]


@pytest.fixture
def own_redis(tmp_path: Path) -> RedisServer:
    server = RedisServer(tmp_path)
    server.stop()
    return server


def answers(cluster: Cluster) -> Callable[[], bool]:
    """Whether it answers at all, from three of its four shards, and is ready for more."""

    def answered() -> bool:
        try:
            return cluster.recommend("user-0001").status == 200 and cluster.get("/readyz").status == 200
        except OSError:
            return False

    return answered


def test_what_can_be_had_is_served_and_the_rest_comes_when_it_is_mended(tmp_path: Path, own_redis: RedisServer) -> None:
    config = tiny_config(
        tmp_path / "store",
        n_shards=4,
        http={"port": free_port()},
        users={"store": f"redis://{own_redis.address}"},
        deadline={"default_ms": 1_000},
    )
    build_tiny(tmp_path, config=config)
    shard = generation_path(config.storage.path, current_id(config.storage.path)) / "shard-0002"
    file = max(shard.iterdir(), key=lambda path: path.stat().st_size)
    good = file.read_bytes()
    file.write_bytes(good[: len(good) // 2] + bytes([good[len(good) // 2] ^ 1]) + good[len(good) // 2 + 1 :])

    cluster = Cluster(config, tmp_path)
    try:
        said = cluster.said()
        assert "missing    shard-2-0" in said and "sha256" in said, said
        assert "not loaded yet: redis" in said
        partial(cluster)
        assert cluster.get("/readyz").status == 200

        router = cluster.pid_titled("ray::ServeReplica")
        kill(router)
        wait_until(lambda: router not in cluster.tree(), 5, "the router lives")
        wait_until(answers(cluster), 30, "a restarted router waits for a shard that is not to be had")
        partial(cluster)

        own_redis.start()
        file.write_bytes(good)
        cluster.wait_whole(30)
        assert "records in redis" in cluster.said()
    finally:
        code = cluster.stop()
        own_redis.stop()
    assert code == 0, cluster.said()


def partial(cluster: Cluster) -> None:
    """It answers, from exactly the shards that can be read, and says so."""
    sizes = cluster.view()["topology"]["spec"]["shard_items"]
    reply = cluster.recommend("user-0001")
    assert reply.status == 200 and len(reply.json["items"]) == 20
    assert reply.ratio == pytest.approx(1 - sizes[2] / sum(sizes), abs=1e-12)
    assert [missing["shard"] for missing in reply.json["coverage"]["missing"]] == [2]
    assert "user_store" in reply.degraded
