"""A cluster left alone with what happens around it: builds beside it, and the end of the process that started it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.generation import generation_ids
from deploy.machine.listeners import require_free
from tests.integration.conftest import free_port
from tests.integration.running import Cluster, command_of, kill, load, wait_until
from tests.worlds import NOW, build_tiny, tiny_config

pytestmark = [pytest.mark.ray, pytest.mark.long]

AGENTS = ("ray::RuntimeEnvAgent", "ray::DashboardAgent")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("alone")


@pytest.fixture(scope="module")
def alone(folder: Path) -> Iterator[Cluster]:
    """2 shards, a ranker, users in LMDB, and everything else as by default."""
    config = tiny_config(folder / "store", n_shards=2, http={"port": free_port()}, deadline={"default_ms": 1_000})
    build_tiny(folder, config=config)
    cluster = Cluster(config, folder)
    cluster.wait_whole(30)
    yield cluster
    if command_of(cluster.pid):
        cluster.stop()


def test_builds_beside_a_server_leave_it_what_it_serves(alone: Cluster, folder: Path) -> None:
    served = alone.view()["topology"]["spec"]["id"]
    for seconds in range(1, 5):
        build_tiny(folder, config=alone.config, now=NOW + seconds)
    kept = generation_ids(alone.config.storage.path)
    assert served in kept and len(kept) == 1 + alone.config.storage.keep_generations
    assert alone.get("/v1/cluster").json["published"] == kept[-1]
    shard = alone.part("shard-1-0")
    with load(alone, per_s=20) as found:
        kill(shard["pid"])
        time.sleep(0.2)
        kill(alone.pid_titled("ray::Supervisor"))
        killed = time.monotonic()
        wait_until(lambda: alone.part("shard-1-0")["pid"] not in (0, shard["pid"]), 60, lambda: str(alone.part("shard-1-0")))
        wait_until(lambda: alone.recommend("user-0001").ratio == 1, 60, lambda: str(alone.part("shard-1-0")))
        whole_s = time.monotonic() - killed
    assert (found.failures, found.statuses) == ([], {200})
    assert whole_s <= 15 + 2 * alone.part("shard-1-0")["load_s"], "a supervisor and a shard, on two busy cores"
    assert alone.view()["topology"]["spec"]["id"] == served in generation_ids(alone.config.storage.path)
    build_tiny(folder, config=alone.config, now=NOW + 5)
    assert served in generation_ids(alone.config.storage.path), "the new supervisor and the new shard hold it too"


def test_nothing_is_left_of_a_cluster_whose_launcher_was_killed(alone: Cluster, folder: Path) -> None:
    """Two of Ray's agents tell its dead control store for a minute that they end; they have no port that a start needs, and
    the next start ends them."""
    processes = {pid: command_of(pid) for pid in alone.tree()}
    assert any("haproxy" in command for command in processes.values())
    kill(alone.pid)
    alone.wait_gone()

    def left() -> list[str]:
        return [command for pid, command in processes.items() if command not in AGENTS and command_of(pid) == command != ""]

    wait_until(lambda: not left(), 10, lambda: f"{left()}")
    require_free("127.0.0.1", alone.port)
    again = Cluster(alone.config, folder)
    assert again.recommend("user-0001").status == 200
    assert [command for pid, command in processes.items() if command and command_of(pid) == command] == []
    assert again.stop() == 0
